"""What is held back: after a restart, in nested runs, in applications, in any order, and at every turn."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
    Event,
    Limit,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from stretto.limits import Debounce, Rate
from stretto.testing import TestRun, explore

pytestmark = pytest.mark.anyio


class Job(Event):
    n: int
    room: str = "a"


class Done(Event):
    n: int


class Typed(Event, external=True):
    n: int


class Paced(Workflow[list[tuple[int, float]]]):
    """Four jobs, one a second, of which the highest numbers come first; and something that is typed."""

    def __init__(self) -> None:
        super().__init__()
        self.start = anyio.current_time()
        self.typed: list[tuple[int, float]] = []

    def now(self) -> float:
        return round(anyio.current_time() - self.start, 6)

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(n=n) for n in range(4)]

    @step(rate=Rate(1, per=1.0, key="room"), priority="n")
    async def work(self, ev: Job) -> Done:
        return Done(n=ev.n)

    @step(debounce=Debounce(2.0, at_most=3.0))
    async def look(self, ev: Typed) -> None:
        self.typed.append((ev.n, self.now()))

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[list[tuple[int, float]]] | None:
        await ctx.store.set(str(ev.n), self.now())
        done = ctx.collect_events(ev, [Done] * 4)
        return (
            None
            if done is None
            else StopEvent(result=[(each.n, await ctx.store.get(str(each.n))) for each in done])
        )


async def test_a_run_goes_on_from_a_snapshot_with_its_tokens_its_order_and_its_quiet():
    async with Paced().run() as run:
        run.send_event(Typed(n=7))
        await anyio.sleep(0.5)
        run.send_event(Typed(n=8))
        data = json.loads(json.dumps(run.ctx.to_dict()))
        await run.cancel()
    await anyio.sleep(100)  # the other process: its buckets are full
    workflow = Paced()
    async with workflow.run(ctx=Context.from_dict(workflow, data)) as run:
        result = await run
    assert [n for n, _ in result] == [0, 3, 2, 1]
    assert [at for _, at in result[1:]] == [0.5, 1.5, 2.5], "half a second of the first pause was over"
    assert workflow.typed == [(8, 2.0)]


async def test_what_was_superseded_before_a_snapshot_does_not_run_again():
    class Talks(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step(singleton="cancel")
        async def work(self, ev: Typed) -> StopEvent[list[int]]:
            began.append(ev.n)
            try:
                await anyio.sleep(1)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(1)
            return StopEvent(result=began)

    began: list[int] = []
    async with Talks().run() as run:
        run.send_event(Typed(n=0))
        await anyio.sleep(0.5)
        run.send_event(Typed(n=1))
        data = run.ctx.to_dict()
        await run.cancel()
    assert began == [0]
    workflow = Talks()
    assert await workflow.run(ctx=Context.from_dict(workflow, data)) == [0, 1]


async def test_runs_that_are_nested_share_a_rate_with_others():
    shared = Rate(1, per=1.0)

    class Inner(Workflow[float]):
        @step(rate=shared)
        async def begin(self, ev: StartEvent) -> StopEvent[float]:
            return StopEvent(result=anyio.current_time() - start)

    class Outer(Workflow[list[float]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(3)]

        @step
        async def work(self, ev: Job) -> Done:
            times.append(await Inner().run())
            return Done(n=ev.n)

        @step
        async def end(self, done: list[Done]) -> StopEvent[list[float]]:
            return StopEvent(result=sorted(times))

    start = anyio.current_time()
    times: list[float] = []
    assert await Outer().run() == pytest.approx([0, 1, 2])


class Price(Event):
    n: int


class Handled(Event):
    n: int


class Monitor(Workflow[list[float]]):
    """Sends prices to another member, which is slow about them, and ends when it has heard of all."""

    @step
    async def begin(self, ev: StartEvent) -> list[Price]:
        return [Price(n=n) for n in range(3)]

    @step
    async def end(self, ctx: Context, ev: Handled) -> StopEvent[list[float]] | None:
        handled = ctx.collect_events(ev, [Handled] * 3)
        return None if handled is None else StopEvent(result=[each.n for each in handled])


async def test_a_member_of_an_application_that_holds_back_is_neither_stuck_nor_over():
    class Orders(Workflow[None]):
        @step(rate=Rate(1, per=5.0))
        async def take(self, ev: Price) -> Handled:
            times.append(anyio.current_time() - start)
            return Handled(n=ev.n)

    times: list[float] = []
    start = anyio.current_time()
    async with Application(monitor=Monitor(), orders=Orders()) as app:
        await app.run("monitor")
    assert times == pytest.approx([0, 5, 10])


async def test_a_conversation_goes_on_with_what_its_members_hold_back():
    class Orders(Workflow[None]):
        @step(rate=Rate(1, per=5.0))
        async def take(self, ev: Price) -> Handled:
            times.append(round(anyio.current_time() - start, 6))
            return Handled(n=ev.n)

    times: list[float] = []
    start = anyio.current_time()
    async with Application(monitor=Monitor(), orders=Orders()) as app, app.run("monitor") as run:
        await anyio.sleep(6)
        data = json.loads(json.dumps(run.ctx.to_dict()))
        await run.cancel()
    assert times == [0, 5]
    times.clear()
    await anyio.sleep(100)
    start = anyio.current_time()
    async with Application(monitor=Monitor(), orders=Orders()) as app:
        assert await app.resume(data) == [0, 1, 2]
    assert times == [4]


async def test_the_time_counts_at_which_an_event_comes_from_another_member():
    class Feed(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Price | StopEvent[None]:
            for pause in (2.0, 0.5, 9.0):
                ctx.send_event(Price(n=0))
                await anyio.sleep(pause)
            return StopEvent()

    class Orders(Workflow[None]):
        @step(rate=Rate(1, per=1.0))
        async def take(self, ev: Price) -> None:
            times.append(anyio.current_time() - start)
            await anyio.sleep(1.25)

    times: list[float] = []
    start = anyio.current_time()
    async with Application(feed=Feed(), orders=Orders()) as app:
        await app.run("feed")
    assert times == pytest.approx([0, 2, 3])


async def test_a_member_that_is_woken_by_something_that_waits_for_quiet_works_when_it_is():
    class Orders(Workflow[None]):
        @step(debounce=5.0, key="n")
        async def take(self, ev: Price) -> Handled:
            times.append(anyio.current_time() - start)
            return Handled(n=ev.n)

    times: list[float] = []
    start = anyio.current_time()
    async with Application(monitor=Monitor(), orders=Orders()) as app:
        await app.run("monitor")
    assert times == pytest.approx([5, 5, 5])


# -- in any order --------------------------------------------------------------------------------------------------


class Busy(Workflow[list[int]]):
    """Two hosts, of each one at once, and a queue that drops what is too much."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work: list[str] = []
        self.broken: list[str] = []

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(n=n, room="ab"[n % 2]) for n in range(8)]

    @step(num_workers=3, limiter=Limit(1, key="room"), queue_size=4, overflow="drop_newest")
    async def work(self, ev: Job) -> Done:
        if ev.room in self.at_work:
            self.broken.append(ev.room)
        self.at_work.append(ev.room)
        await anyio.sleep(1)
        self.at_work.remove(ev.room)
        return Done(n=ev.n)

    @step
    async def end(self, done: list[Done]) -> StopEvent[list[int]]:
        return StopEvent(result=sorted(each.n for each in done))


@explore(Busy, max_schedules=60, durations="any")
def test_whatever_ends_first_no_two_of_a_key_are_at_work_and_each_event_is_accounted_for(
    run: TestRun,
) -> None:
    assert run.result == [0, 1, 2, 3, 4, 5]
    assert [letter.event for letter in run.dead_letters] == [Job(n=6, room="a"), Job(n=7, room="b")]


@pytest.mark.parametrize("at", range(24))
async def test_a_cancellation_at_any_moment_leaves_no_turn_taken_and_loses_nothing(at: int):
    limit, rate = Limit(1, key="room"), Rate(4, per=1.0, key="room")

    class Cut(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n, room="ab"[n % 2]) for n in range(6)]

        @step(limiter=limit, rate=rate)
        async def work(self, ev: Job) -> Done:
            began.append(ev.n)
            await anyio.sleep(0.375)
            return Done(n=ev.n)

        @step
        async def end(self, done: list[Done]) -> StopEvent[None]:
            return StopEvent()

    began: list[int] = []
    run = Cut().run()
    with anyio.move_on_after(at / 8):
        await run
    left: list[Any] = [each.n for each in run.leftovers if isinstance(each, Job)]
    assert sorted(began + left) == list(range(6)) or (at == 0 and not began)
    assert len(limit.permits()) == 0
    await anyio.sleep(1)
    buckets = rate.permits()
    buckets.let_go(buckets.of("c", anyio.current_time()), anyio.current_time())
    assert len(buckets) == 0
