"""Random applications and random schedules: each event is handled once, or told as a dead letter, and none is lost."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from stretto import Application, Context, Event, StartEvent, StopEvent, Workflow, step
from tests import virtual


class Piece(Event):
    """Names itself, and what is sent by the step that takes it."""

    name: str
    seconds: float = 0.0
    then: tuple[Any, ...] = ()


KINDS = [type(f"Piece{number}", (Piece,), {}) for number in range(6)]


@attrs.frozen
class Node:
    """An event to be: its kind, how long it is worked on, what is sent then, and whether by a request."""

    kind: int
    seconds: int
    then: tuple[Node, ...]


def nodes(depth: int) -> st.SearchStrategy[Node]:
    then = st.just(()) if not depth else st.lists(nodes(depth - 1), max_size=3).map(tuple)
    return st.builds(Node, st.integers(0, 5), st.integers(0, 3), then)


@attrs.frozen
class Program:
    owners: tuple[int, ...]  # the member of each kind
    first: tuple[Node, ...]
    stops_after: int
    closes: frozenset[int]  # members whose steps end with a StopEvent
    drains: bool


programs = st.builds(
    Program,
    st.lists(st.integers(0, 3), min_size=6, max_size=6).map(tuple),
    st.lists(nodes(3), max_size=4).map(tuple),
    st.integers(0, 6),
    st.frozensets(st.integers(1, 3)),
    st.booleans(),
)


class Books:
    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.handled: Counter[str] = Counter()
        self.open = 0

    def make(self, node: Node) -> Piece:
        name = f"{sum(self.sent.values())}"
        self.sent[name] += 1
        return KINDS[node.kind](name=name, seconds=float(node.seconds), then=node.then)


def member(number: int, program: Program, books: Books) -> Workflow[str] | None:
    owned = [KINDS[kind] for kind, owner in enumerate(program.owners) if owner == number]
    if not owned and number:
        return None
    takes = functools.reduce(operator.or_, owned) if owned else StartEvent
    gives = functools.reduce(operator.or_, [*KINDS, StopEvent])

    class Handles(Workflow[str]):
        if owned:

            @step(num_workers=2)
            async def handle(self, ctx: Context, ev: takes) -> gives | None:  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]
                books.handled[ev.name] += 1
                books.open += 1
                try:
                    await anyio.sleep(ev.seconds)
                    for node in ev.then:
                        ctx.send_event(books.make(node))
                finally:
                    books.open -= 1
                return StopEvent(result=ev.name) if number in program.closes else None

    class Root(Handles):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> gives:  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]
            for node in program.first:
                ctx.send_event(books.make(node))
            await anyio.sleep(program.stops_after)
            return StopEvent(result="stopped")

    return Handles(timeout=None) if number else Root(timeout=None)


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs)
def test_every_event_is_handled_once_or_a_dead_letter(backend: str, program: Program):
    books = Books()
    made: Any = {f"m{number}": member(number, program, books) for number in range(4)}
    members: Any = {name: each for name, each in made.items() if each is not None}

    async def main() -> list[str]:
        on_stop: Any = "drain" if program.drains else "cancel"
        async with Application(on_stop=on_stop, external=KINDS, **members) as app:
            assert await app.run("m0") == "stopped"
            assert books.open == 0
        return [letter.event.name for letter in app.dead_letters if isinstance(letter.event, Piece)]

    dead = Counter(virtual.run(main, backend=backend))
    assert books.handled + dead == books.sent
