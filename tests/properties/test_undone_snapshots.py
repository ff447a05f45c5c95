"""A saga whose process dies at any moment, any number of times, is undone as one that never died; junk is told."""

from __future__ import annotations

import contextlib
import json
import random
from functools import cache
from typing import Any

import anyio
from hypothesis import given, settings, strategies as st

from stretto import Context, Event, SnapshotError, StartEvent, StopEvent, Workflow, step
from tests import virtual
from tests.properties.test_mutated_snapshots import mutate


class Job(Event):
    number: int
    seconds: float


class Part(Event):
    number: int


class Sum(Event):
    numbers: tuple[int, ...]


class BoomError(Exception):
    pass


class Saga(Workflow[None]):
    """Does some jobs at once, each of which may be undone, joins them, and fails."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(timeout=None)
        self.log = log

    async def uncut(self, ev: StartEvent, jobs: list[Job]) -> None:
        self.log.append(f"uncut {[job.number for job in jobs]}")

    async def undo(self, ev: Job, result: Part) -> None:
        self.log.append(f"undo {ev.number} {result.number}")

    async def part(self, parts: list[Part], result: Sum) -> None:
        self.log.append(f"part {sorted(each.number for each in parts)} {sorted(result.numbers)}")

    @step(undo=uncut)
    async def cut(self, ev: StartEvent) -> list[Job]:
        return [Job(number=number, seconds=seconds) for number, seconds in enumerate(ev.seconds)]

    @step(undo=undo, num_workers=2)
    async def work(self, ev: Job) -> Part:
        await anyio.sleep(ev.seconds)
        return Part(number=-ev.number)

    @step(undo=part)
    async def join(self, parts: list[Part]) -> Sum:
        return Sum(numbers=tuple(each.number for each in parts))

    @step
    async def fail(self, ev: Sum) -> StopEvent[None]:
        await anyio.sleep(1)
        raise BoomError


async def lived(seconds: list[float], deaths: list[float]) -> list[str]:
    """What was undone; the process dies so many seconds after it was born, each time but the last."""
    log: list[str] = []
    saga = Saga(log)
    run = saga.run(seconds=seconds)
    for death in deaths:
        died = False
        with contextlib.suppress(BoomError):
            async with run:
                with anyio.move_on_after(death):
                    await run
                if not run.done:
                    died = True
                    data = json.loads(json.dumps(run.ctx.to_dict()))
                    driver: Any = run._driver
                    driver.undoes = False
                    await run.cancel()
        if not died:
            return log
        assert log == []
        saga = Saga(log)
        run = saga.run(ctx=Context.from_dict(saga, data))
    with contextlib.suppress(BoomError):
        await run
    return log


TIMES = st.sampled_from([0.25, 0.5, 1.0, 1.5])


@given(
    st.lists(TIMES, min_size=1, max_size=6),
    st.lists(st.sampled_from([0.3, 0.7, 1.1, 1.6, 2.3]), max_size=4),
    st.sampled_from(virtual.BACKENDS),
)
@settings(deadline=None)
def test_a_saga_that_dies_is_undone_as_one_that_does_not(
    seconds: list[float], deaths: list[float], backend: str
):
    log = virtual.run(lived, seconds, deaths, backend=backend)
    count = len(seconds)
    numbers = sorted(-number for number in range(count))
    assert log[0] == f"part {numbers} {numbers}"
    assert log[-1] == f"uncut {[*range(count)]}"
    assert sorted(log[1:-1]) == sorted(f"undo {number} {-number}" for number in range(count))


@given(st.lists(TIMES, min_size=1, max_size=6))
@settings(deadline=None)
def test_the_order_is_that_of_completion_backwards(seconds: list[float]):
    class Watched(Saga):
        @step(undo="undo", num_workers=2)
        async def work(self, ev: Job) -> Part:
            part = await super().work(ev)
            done.append(ev.number)
            return part

    done: list[int] = []
    log: list[str] = []

    async def main() -> None:
        with contextlib.suppress(BoomError):
            await Watched(log).run(seconds=seconds)

    virtual.run(main)
    assert log[1:-1] == [f"undo {number} {-number}" for number in reversed(done)]


@cache
def wholes() -> list[str]:
    """Snapshots with something to undo."""

    async def cut(seconds: float) -> str:
        async with Saga([]).run(seconds=[0.5, 1.0, 1.5, 0.5]) as run:
            await anyio.sleep(seconds)
            data = json.dumps(run.ctx.to_dict())
            await run.cancel()
        return data

    return [virtual.run(cut, seconds, backend="asyncio") for seconds in (0.6, 1.2, 2.2)]


@given(seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_a_log_that_was_changed_is_read_or_told(seed: int):
    of = random.Random(seed)
    for _ in range(20):
        data = json.loads(of.choice(wholes()))
        data["undos"] = mutate(data["undos"], of)
        with contextlib.suppress(SnapshotError):
            saga = Saga([])
            Context.from_dict(saga, data)
