"""Windows of a member that others send to: they end at their time, hold the conversation open, and are drained."""

from __future__ import annotations

from typing import Annotated, Any

import anyio
import pytest

from stretto import Application, Context, Event, StartEvent, StopEvent, Workflow, WorkflowStalledError, step
from stretto.joins import Window

pytestmark = pytest.mark.anyio


class Reading(Event):
    n: int


class Batch(Event):
    ns: list[int]


class Sensor(Workflow[Any]):
    """Sends readings, and waits for a batch of them."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[Any] | Reading:
        await ctx.sleep(3)
        for n in range(ev.count):
            ctx.send_event(Reading(n=n))
            await ctx.sleep(1)
        batch = await ctx.wait_for_event(Batch)
        return StopEvent(result=batch.ns)


class Fires(Sensor):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[Any] | Reading:
        for n in range(ev.count):
            ctx.send_event(Reading(n=n))
        return StopEvent(result="sent")


class Timed(Workflow[Any]):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.batches: list[list[int]] = []

    @step
    async def take(self, readings: Annotated[list[Reading], Window(3, seconds=10)]) -> Batch:
        self.batches.append([each.n for each in readings])
        return Batch(ns=self.batches[-1])


class Counted(Timed):
    @step
    async def take(self, readings: Annotated[list[Reading], Window(3)]) -> Batch:
        self.batches.append([each.n for each in readings])
        return Batch(ns=self.batches[-1])


@pytest.mark.parametrize(("count", "result", "at"), [(2, [0, 1], 13), (4, [0, 1, 2], 7)])
async def test_a_window_of_another_member_ends_at_its_time_or_when_it_is_full(
    count: int, result: list[int], at: float
):
    start = anyio.current_time()
    async with Application(sensor=Sensor(), timed=Timed(), on_stop="cancel") as app:
        assert await app.run("sensor", count=count) == result
    assert anyio.current_time() - start == pytest.approx(at)


async def test_a_window_of_a_member_that_has_rested_begins_with_its_first_event():
    class Twice(Sensor):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[Any] | Reading:
            for n in range(2):
                ctx.send_event(Reading(n=n))
                await ctx.wait_for_event(Batch)
                await ctx.sleep(7)
            return StopEvent(result=anyio.current_time())

    start = anyio.current_time()
    async with Application(sensor=Twice(), timed=Timed()) as app:
        assert await app.run("sensor") - start == pytest.approx(2 * (10 + 7))


async def test_a_window_that_nothing_will_fill_is_a_stuck_conversation_that_says_so():
    async with Application(sensor=Sensor(), counted=Counted()) as app:
        with pytest.raises(WorkflowStalledError, match=r"take .* has 2 x Reading and still waits for 1 more"):
            await app.run("sensor", count=2)


async def test_a_window_of_time_is_drained_after_the_stop():
    timed, start = Timed(), anyio.current_time()
    async with Application(sensor=Fires(), timed=timed) as app:
        assert await app.run("sensor", count=2) == "sent"
    assert timed.batches == [[0, 1]]
    assert anyio.current_time() - start == pytest.approx(10)


async def test_a_window_that_is_cut_leaves_dead_letters():
    timed = Timed()
    async with Application(sensor=Fires(), timed=timed, on_stop="cancel") as app:
        assert await app.run("sensor", count=2) == "sent"
        assert [letter.event for letter in app.dead_letters] == [Reading(n=0), Reading(n=1)]
    assert timed.batches == []


async def test_a_window_goes_on_in_a_snapshot_of_the_conversation():
    class Once(Sensor):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[Any] | Reading:
            async def send() -> None:
                await ctx.sleep(3)
                ctx.send_event(Reading(n=1))
                ctx.send_event(Reading(n=2))

            await ctx.once("sent", send)
            batch = await ctx.wait_for_event(Batch)
            return StopEvent(result=batch.ns)

    async with Application(sensor=Once(), timed=Timed(), on_stop="cancel") as app, app.run("sensor") as run:
        await anyio.sleep(6)
        data = run.ctx.to_dict()
        await run.cancel()
    await anyio.sleep(100)
    start = anyio.current_time()
    async with Application(sensor=Once(), timed=Timed(), on_stop="cancel") as app:
        assert await app.resume(data) == [1, 2]
    assert anyio.current_time() - start == pytest.approx(3 + 10 - 6)
