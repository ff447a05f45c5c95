"""Runs whose bound drops: nothing is lost without being told, the bound holds, and both backends do the same."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import anyio
import attrs
from hypothesis import given, strategies as st

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from tests import virtual


class Go(Event, external=True):
    n: int
    kind: int


class Job(Event):
    n: int


class Both(Event):
    n: int


class Held(Event):
    n: int


class End(Event, external=True):
    pass


KINDS = (Job, Both, Held)


@attrs.frozen
class Program:
    """What comes, each after a pause, and how long each step takes; all in steps of time that never meet."""

    size: int
    overflow: str
    sends: tuple[tuple[int, int], ...]  # the pause, and which kind
    takes: tuple[int, int, int]
    after: int


PROGRAMS = st.builds(
    Program,
    size=st.integers(1, 4),
    overflow=st.sampled_from(["drop_oldest", "drop_newest"]),
    sends=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=15).map(tuple),
    takes=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    after=st.integers(0, 12),
)


class Sheds(Workflow[str]):
    """Three kinds of events for three steps, one of which has a bound of its own."""

    def __init__(self, program: Program) -> None:
        super().__init__(timeout=None, queue_size=program.size, overflow=program.overflow)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.takes = program.takes
        self.handled: list[tuple[str, int]] = []

    @step
    async def begin(self, ev: StartEvent) -> None: ...

    @step
    async def relay(self, ctx: Context, ev: Go) -> Job | Both | Held:
        return KINDS[ev.kind](n=ev.n)

    @step(num_workers=1)
    async def first(self, ev: Job | Both) -> None:
        await self.works("first", ev.n)

    @step(num_workers=2)
    async def second(self, ev: Both) -> None:
        await self.works("second", ev.n)

    @step(num_workers=1, queue_size=2, overflow="drop_newest")
    async def third(self, ev: Held) -> None:
        await self.works("third", ev.n)

    async def works(self, name: str, n: int) -> None:
        self.handled.append((name, n))
        at = ("first", "second", "third").index(name)
        await anyio.sleep(self.takes[at] + (0.000101, 0.000213, 0.000307)[at] + 0.010007 * n)

    @step
    async def end(self, ev: End) -> StopEvent[str]:
        return StopEvent(result="end")


def deliveries(n: int, kind: int) -> list[int]:
    """The number once for each step that takes it."""
    return [n] * (2 if kind == 1 else 1)


def number(event: Any) -> int:
    return int(event.n)


@given(PROGRAMS, st.booleans())
def test_each_event_is_handled_told_or_left_over_and_the_bound_holds(program: Program, stops: bool):
    seen: list[Any] = []
    for backend in virtual.BACKENDS:

        async def main() -> Any:
            workflow = Sheds(program)
            async with workflow.run() as run:
                for n, (pause, kind) in enumerate(program.sends):
                    await anyio.sleep(pause)
                    run.send_event(Go(n=n, kind=kind))
                    await anyio.sleep(0.001)
                    assert sum(run.queued.values()) <= program.size
                await anyio.sleep(program.after + 0.0005)
                if stops:
                    run.send_event(End())
                else:
                    await run.cancel()
            letters = [(number(letter.event), letter.reason) for letter in run.dead_letters]
            leftovers = sorted(number(event) for event in run.leftovers if isinstance(event, KINDS))
            sent = Counter(n for at, (_, kind) in enumerate(program.sends) for n in deliveries(at, kind))
            told = (
                Counter([n for n, _ in letters])
                + Counter(leftovers)
                + Counter(n for _, n in workflow.handled)
            )
            assert told == sent
            return sorted(workflow.handled), letters, leftovers  # what begins at once has no order on trio

        seen.append(virtual.run(main, backend=backend))
    assert seen[0] == seen[1]


@given(PROGRAMS)
def test_a_run_that_goes_on_from_a_snapshot_has_all_that_waited_and_drops_nothing_of_it(program: Program):
    async def main() -> None:
        workflow = Sheds(program)
        async with workflow.run() as run:
            for n, (pause, kind) in enumerate(program.sends):
                await anyio.sleep(pause)
                run.send_event(Go(n=n, kind=kind))
            await anyio.sleep(0.001)
            data = json.loads(json.dumps(run.ctx.to_dict()))
            before = [(letter.event, letter.reason) for letter in run.dead_letters]
            queued = dict(run.queued)
            await run.cancel()
        again = Sheds(program)
        async with again.run(ctx=Context.from_dict(again, data)) as resumed:
            await anyio.sleep(0.0005)
            assert dict(resumed.queued) == queued
            assert [(letter.event, letter.reason) for letter in resumed.dead_letters] == before
            await anyio.sleep(200)
            resumed.send_event(End())
        waited = Counter(number(each) for each in run.leftovers if isinstance(each, KINDS))
        assert Counter(n for _, n in again.handled) >= waited

    virtual.run(main, backend="asyncio")
