"""Random applications: members, which types go where, what each event causes; and the books of what became of it."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import attrs
from hypothesis import strategies as st

from stretto import Application, Context, Event, StartEvent, StopEvent, Workflow, step

MEMBERS = 4


class Piece(Event):
    """Names itself, and what is sent by the step that takes it."""

    name: str
    kind: int
    sender: int
    key: int = 0
    seconds: float = 0.0
    then: tuple[Any, ...] = ()


KINDS = [type(f"Piece{number}", (Piece,), {}) for number in range(6)]


@attrs.frozen
class Node:
    """An event to be: its kind, its key, how long it is worked on, and what is sent then."""

    kind: int
    key: int
    seconds: int
    then: tuple[Node, ...]


@attrs.frozen
class Way:
    """Where a kind of events goes: who takes it, and what the application says of it."""

    takers: tuple[int, ...]
    to: tuple[int, ...] | None  # what `connect` says
    keyed: bool

    @property
    def broadcast(self) -> bool:
        return self.to is None and len(self.takers) > 1

    def receivers(self, sender: int) -> tuple[int, ...]:
        """The rules in a line: `connect` first, then each taker of a broadcast, then the sender's own class."""
        return self.to or (self.takers if self.broadcast else (self.takers[0],))


@attrs.frozen
class Program:
    ways: tuple[Way, ...]
    first: tuple[Node, ...]
    stops_after: float
    closes: frozenset[int]  # members whose steps end with a StopEvent
    drains: bool


def nodes(depth: int) -> st.SearchStrategy[Node]:
    then = st.just(()) if not depth else st.lists(nodes(depth - 1), max_size=2).map(tuple)
    return st.builds(Node, st.integers(0, 5), st.integers(0, 1), st.integers(0, 3), then)


@st.composite
def ways(draw: st.DrawFn) -> Way:
    takers = tuple(sorted(draw(st.frozensets(st.integers(0, MEMBERS - 1), min_size=1, max_size=3))))
    to = draw(st.none() | st.frozensets(st.sampled_from(takers), min_size=1).map(sorted).map(tuple))
    return Way(takers, to, draw(st.booleans()))


programs = st.builds(
    Program,
    st.lists(ways(), min_size=6, max_size=6).map(tuple),
    st.lists(nodes(2), max_size=3).map(tuple),
    st.integers(0, 6).map(lambda whole: whole + 0.5),  # at no moment at which a piece is done
    st.frozensets(st.integers(1, 3)),
    st.booleans(),
)


class Books:
    """What was sent to whom, who handled it, and what is being handled."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.sent: Counter[tuple[int, str]] = Counter()
        self.handled: Counter[tuple[int, str]] = Counter()
        self.open: Counter[tuple[int, str]] = Counter()
        self.done: Counter[tuple[int, str]] = Counter()
        self.fails: frozenset[tuple[int, int]] = frozenset()  # members, with the kinds that they stumble over
        self.times: list[tuple[float, int, str]] = []
        self.astray: list[tuple[int, str]] = []

    def make(self, node: Node, sender: int, name: str) -> Piece:
        for receiver in self.program.ways[node.kind].receivers(sender):
            self.sent[receiver, name] += 1
        return KINDS[node.kind](
            name=name,
            kind=node.kind,
            sender=sender,
            key=node.key,
            seconds=float(node.seconds),
            then=node.then,
        )

    def begin(self, member: int, ev: Piece) -> None:
        if member not in self.program.ways[ev.kind].receivers(ev.sender):
            self.astray.append((member, ev.name))
        self.handled[member, ev.name] += 1
        self.open[member, ev.name] += 1
        self.times.append((anyio.current_time(), member, ev.name))

    def end(self, member: int, ev: Piece) -> None:
        self.open[member, ev.name] -= 1


def application(program: Program, books: Books, *, workers: int = 2, **more: Any) -> Application:
    made: Any = {f"m{number}": _member(number, program, books, workers) for number in range(MEMBERS)}
    on_stop: Any = "drain" if program.drains else "cancel"
    app = Application(
        on_stop=on_stop,
        external=KINDS,
        broadcast=[kind for kind, way in zip(KINDS, program.ways, strict=True) if way.broadcast],
        **more,
        **{name: each for name, each in made.items() if each is not None},
    )
    for kind, way in zip(KINDS, program.ways, strict=True):
        to = None if way.to is None else [f"m{number}" for number in way.to]
        key: Callable[[Any], Any] | None = (lambda ev: ev.key) if way.keyed else None
        if to or key:
            app.connect(kind, to=to, key=key)
    return app


def _member(number: int, program: Program, books: Books, workers: int) -> Workflow[str] | None:
    taken = [kind for kind, way in zip(KINDS, program.ways, strict=True) if number in way.takers]
    if not taken and number:
        return None
    takes = functools.reduce(operator.or_, taken) if taken else StartEvent
    gives = functools.reduce(operator.or_, [*KINDS, StopEvent])

    class Handles(Workflow[str]):
        if taken:

            @step(num_workers=workers)
            async def handle(self, ctx: Context, ev: takes) -> gives | None:  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]
                books.begin(number, ev)
                try:
                    await anyio.sleep(ev.seconds)
                finally:
                    books.end(number, ev)
                if (number, ev.kind) in books.fails:
                    raise ValueError(ev.name)
                for index, node in enumerate(ev.then):
                    ctx.send_event(books.make(node, number, f"{ev.name}.{number}.{index}"))
                books.done[number, ev.name] += 1
                return StopEvent(result=ev.name) if number in program.closes else None

    class Root(Handles):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> gives:  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]
            for index, node in enumerate(program.first):
                ctx.send_event(books.make(node, number, f"{index}"))
            await anyio.sleep(program.stops_after)
            return StopEvent(result="stopped")

    return Handles(timeout=None) if number else Root(timeout=None)


def dead(app: Application) -> Counter[str]:
    """The names of the pieces that nobody took."""
    return Counter(letter.event.name for letter in app.dead_letters if isinstance(letter.event, Piece))


def unaccounted(books: Books, app: Application) -> dict[str, tuple[int, int, int]]:
    """What was not handled, or told, as often as it was to be: the pieces, each with the three numbers.

    One that a step has sent whose run had just been cut is told once, whoever might have taken it.
    """
    sent, handled, told = by_name(books.sent), by_name(books.handled), dead(app)
    return {
        name: (count, handled[name], told[name])
        for name, count in sent.items()
        if handled[name] + told[name] != count and (handled[name], told[name]) != (0, 1)
    }


def by_name(counted: Counter[tuple[int, str]]) -> Counter[str]:
    names: Counter[str] = Counter()
    for (_, name), count in counted.items():
        names[name] += count
    return +names
