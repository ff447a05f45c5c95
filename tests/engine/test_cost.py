"""P8 and P9 without a stopwatch: operations are counted, bytes are counted, and the dead are dead.

Times differ from machine to machine; how many calls an event costs does not. The interpreter's own profiler
counts them (`sys.setprofile` sees each call of a Python or C function), at one size and at eight times that
size: what is linear costs eight times as much.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable, Generator
from types import FunctionType
from typing import Any

import anyio
import pytest

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.testing._trio_time import in_order
from tests import virtual
from tests.engine.ledger import Ledger

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def no_lots() -> Generator[None]:
    """On trio too the same task is first each time: by lot, up to a twentieth more or fewer of them cost a call."""
    with in_order():
        yield


class Job(Event):
    number: int


class Done(Event):
    number: int


class Hops(Workflow[int]):
    """A loop of so many hops; `narrow` needs no task group."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(timeout=None)

    @step
    async def begin(self, ev: StartEvent) -> Job:
        return Job(number=0)

    @step
    async def hop(self, ev: Job) -> Job | StopEvent:
        if ev.number == self.size:
            return StopEvent(result=ev.number)
        return Job(number=ev.number + 1)


class WideHops(Workflow[int]):
    """The same with a Context, and a suspension in each hop."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(timeout=60)

    @step
    async def begin(self, ev: StartEvent) -> Job:
        return Job(number=0)

    @step
    async def hop(self, ctx: Context, ev: Job) -> Job | StopEvent | None:
        await anyio.lowlevel.checkpoint()
        if ev.number == self.size:
            return StopEvent(result=ev.number)
        ctx.send_event(Job(number=ev.number + 1))
        return None


class Fan(Workflow[int]):
    """So many at once, collected in one batch."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.expected = [Done] * size
        super().__init__(timeout=None)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for number in range(self.size):
            ctx.send_event(Job(number=number))

    @step(num_workers=4)
    async def work(self, ev: Job) -> Done:
        await anyio.lowlevel.checkpoint()
        return Done(number=ev.number)

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
        batch = ctx.collect_events(ev, self.expected)
        return None if batch is None else StopEvent(result=len(batch))


class Streams(Workflow[int]):
    """Writes so many events to the stream."""

    def __init__(self, size: int, **options: Any) -> None:
        self.size = size
        super().__init__(timeout=None, **options)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for number in range(self.size):
            ctx.write_event_to_stream(Job(number=number))
            if number % 16 == 0:
                await anyio.lowlevel.checkpoint()
        return StopEvent(result=self.size)


def with_steps_before(count: int) -> Workflow[int]:
    """A loop of two steps, defined after so many others, none of which is ever needed."""

    async def idle(ev: Event) -> None:
        raise AssertionError

    class Many(Workflow[int]):
        pass

    for number in range(count):
        one = FunctionType(idle.__code__, globals(), f"idle{number}")
        one.__annotations__ = {"ev": type(f"Idle{number}", (Event,), {}), "return": None}
        step(workflow=Many)(one)

    class Loop(Many):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            return Job(number=0)

        @step
        async def hop(self, ctx: Context, ev: Job) -> Job | StopEvent | None:
            if ev.number == 500:
                return StopEvent(result=ev.number)
            if ev.number % 2:
                return Job(number=ev.number + 1)
            ctx.send_event(Job(number=ev.number + 1))
            return None

    return Loop(disable_validation=True)


async def awaited(workflow: Workflow[int]) -> None:
    await workflow.run()


async def streamed(workflow: Workflow[int]) -> None:
    async with workflow.run() as run:
        async for _ in run.stream_events():
            pass


def calls(program: Callable[[], Awaitable[object]], backend: str) -> int:
    """How many functions the program calls."""
    count = 0

    def profile(frame: object, kind: str, argument: object) -> None:
        nonlocal count
        if kind in {"call", "c_call"}:
            count += 1

    async def main() -> None:
        await program()  # once to warm what is made once
        sys.setprofile(profile)
        try:
            await program()
        finally:
            sys.setprofile(None)

    virtual.run(main, backend=backend)
    return count


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (Hops, awaited),
        (WideHops, awaited),
        (Fan, awaited),
        (Streams, awaited),
        (Streams, streamed),
        (Fan, streamed),
    ],
)
def test_eight_times_the_events_cost_eight_times_the_calls(
    make: Callable[[int], Workflow[int]],
    how: Callable[[Workflow[int]], Awaitable[None]],
    anyio_backend_name: str,
):
    small = calls(lambda: how(make(1000)), anyio_backend_name)
    large = calls(lambda: how(make(8000)), anyio_backend_name)
    # Up to a thousand events the share of those that cost a task still grows.
    assert large / small < 10, "a quadratic part of a thirty-thousandth would show"


def test_an_event_costs_the_same_however_many_steps_the_class_has(anyio_backend_name: str):
    few = calls(with_steps_before(1).execute, anyio_backend_name)
    many = calls(with_steps_before(200).execute, anyio_backend_name)
    assert many / few < 1.01


def test_an_event_costs_the_same_however_many_siblings_are_asleep(anyio_backend_name: str):
    class Asleep(Workflow[int]):
        def __init__(self, sleepers: int) -> None:
            self.sleepers = sleepers
            self.counted = 0
            super().__init__(timeout=None)

        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Done | Job | None:
            for number in range(self.sleepers):
                ctx.send_event(Done(number=number))
            await anyio.sleep(1)
            ctx.send_event(Job(number=0))

        @step(num_workers=10_000)
        async def nap(self, ev: Done) -> None:
            await anyio.sleep(1000)

        @step
        async def hop(self, ctx: Context, ev: Job) -> Job | StopEvent | None:
            if ev.number == 0:
                sys.setprofile(self.profile)
            if ev.number == 500:
                sys.setprofile(None)
                return StopEvent(result=self.counted)
            if ev.number % 2:
                return Job(number=ev.number + 1)
            ctx.send_event(Job(number=ev.number + 1))
            return None

        def profile(self, frame: object, kind: str, argument: object) -> None:
            self.counted += kind in {"call", "c_call"}

    few = virtual.run(Asleep(4).execute, backend=anyio_backend_name)
    many = virtual.run(Asleep(1000).execute, backend=anyio_backend_name)
    assert many / few < 1.01


# -- memory -------------------------------------------------------------------------------------------------


class Weighed(Workflow[list[int]]):
    """A loop that weighs the interpreter every thousand hops."""

    def __init__(self, size: int = 12_000, *, wide: bool = False) -> None:
        self.size, self.wide = size, wide
        self.weights: list[int] = [0] * (size // 1000 + 1)
        super().__init__(timeout=None)

    def weigh(self, number: int) -> None:
        if number % 1000 == 0:
            gc.collect()
            self.weights[number // 1000] = tracemalloc.get_traced_memory()[0]

    @step
    async def begin(self, ev: StartEvent) -> Job:
        return Job(number=0)

    @step
    async def hop(self, ev: Job) -> Done | StopEvent:
        self.weigh(ev.number)
        if ev.number == self.size:
            return StopEvent(result=self.weights)
        return Done(number=ev.number)

    @step
    async def back(self, ctx: Context, ev: Done) -> Job:
        if ev.number % 100 == 0:
            await anyio.sleep(0.001)
        if self.wide:
            ctx.collect_events(ev, [Done])
            ctx.write_event_to_stream(ev)
        return Job(number=ev.number + 1)


@pytest.mark.untraced
@pytest.mark.parametrize("wide", [False, True])
async def test_a_hop_keeps_no_byte(*, wide: bool):
    await Weighed(1000, wide=wide).run()  # what is made once is made now
    tracemalloc.start()
    try:
        weights = await Weighed(wide=wide).run()
    finally:
        tracemalloc.stop()
    kept = (weights[12] - weights[2]) / 10_000  # a dict that grows once is a kibibyte, and is none of a hop
    assert kept < 0.5, f"{kept} bytes a hop: {weights}"


@pytest.mark.untraced
async def test_a_queued_event_costs_less_than_a_kibibyte():
    class Flood(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Done | None:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for number in range(10_000):
                ctx.send_event(Job(number=number))
            self.each = (tracemalloc.get_traced_memory()[0] - before) / 10_000
            ctx.send_event(Done(number=0))

        @step(num_workers=1)
        async def slow(self, ev: Job) -> None:
            await anyio.sleep(1000)

        @step
        async def enough(self, ev: Done) -> StopEvent:
            return StopEvent(result=0)

    wf = Flood(timeout=None)
    tracemalloc.start()
    try:
        await wf.run()
    finally:
        tracemalloc.stop()
    assert wf.each < 1024


class Watched(Event):
    number: int


class Population:
    """How many of the events made are still alive."""

    def __init__(self) -> None:
        self._refs: list[weakref.ref[Event]] = []
        self.most = 0

    def make(self, number: int) -> Watched:
        ev = Watched(number=number)
        self._refs.append(weakref.ref(ev))
        return ev

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(ref() is not None for ref in self._refs)


async def test_finished_work_leaves_nothing_behind():
    population = Population()

    class Loop(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> Watched:
            return population.make(0)

        @step
        async def hop(self, ctx: Context, ev: Watched) -> Watched | StopEvent:
            await anyio.sleep(0.001)
            ctx.collect_events(ev, [Watched])
            if ev.number % 50 == 0:
                population.most = max(population.most, population.alive)
            if ev.number == 200:
                return StopEvent(result=ev.number)
            return population.make(ev.number + 1)

    run = Loop().run()
    assert await run == 200
    assert population.most <= 3
    assert population.alive == 0
    assert run.done


async def test_a_batch_that_was_collected_is_not_kept():
    population = Population()

    class Rounds(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Watched | None:
            for number in range(100):
                ctx.send_event(population.make(number))

        @step(num_workers=1)
        async def gather(self, ctx: Context, ev: Watched) -> StopEvent | None:
            batch = ctx.collect_events(ev, [Watched] * 10)
            if batch is not None and batch[-1].number == 99:
                del batch, ev
                await anyio.lowlevel.checkpoint()
                return StopEvent(result=population.alive)
            return None

    assert await Rounds().run() <= 10, "no more than the last batch"
    assert population.alive == 0


async def test_an_awaited_run_keeps_no_stream():
    population = Population()

    class Writes(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            for number in range(1000):
                ctx.write_event_to_stream(population.make(number))
            await anyio.sleep(1)
            return StopEvent(result=population.alive)

    run = Writes().run()
    assert await run == 0
    assert run.done


async def test_an_opened_run_keeps_no_more_than_its_stream_buffer():
    population = Population()

    class Writes(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            for number in range(1000):
                ctx.write_event_to_stream(population.make(number))
            await anyio.sleep(1)
            return StopEvent(result=population.alive)

    async with Writes(stream_buffer=32).run() as run:
        slow = run.stream_events()
        assert 31 <= await run <= 33
        del slow
    del run
    assert population.alive == 0


async def test_a_dropped_handle_of_a_finished_run_keeps_nothing():
    ledger = Ledger()

    class Holds(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            async with ledger.signed("begin"):
                ctx.write_event_to_stream(population.make(1))
                await anyio.sleep(1)
            return StopEvent(result="done")

    population = Population()
    workflow = Holds()
    ref = weakref.ref(workflow)
    handler = workflow.run()
    async for _ in handler.stream_events():
        pass
    assert await handler == "done"
    del handler, workflow, _
    assert population.alive == 0
    assert ref() is None


class Sleeps(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        await anyio.sleep(10)
        return StopEvent(result=1)


class SleepsInAGroup(Workflow[int]):
    """Its step may send, so that the run has a task group of its own."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await anyio.sleep(10)
        return StopEvent(result=1)


@pytest.mark.untraced
@pytest.mark.parametrize(("workflow", "kibibytes"), [(Sleeps, 10), (SleepsInAGroup, 10)])
async def test_a_live_run_weighs_no_more_than_is_told(workflow: type[Workflow[int]], kibibytes: int):
    """With the task that it is in, its timer, and what the loop keeps of both."""
    wf = workflow()
    await wf.run()
    gc.collect()
    tracemalloc.start()
    try:
        async with anyio.create_task_group() as tg:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(200):
                tg.start_soon(wf.execute)
            await anyio.sleep(5)
            gc.collect()
            each = (tracemalloc.get_traced_memory()[0] - before) / 200
    finally:
        tracemalloc.stop()
    assert each < kibibytes * 1024
