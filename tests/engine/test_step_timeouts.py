"""The time limit of a step: strict for each attempt, whatever the step does about it, and never above the run's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    RetryPolicy,
    StartEvent,
    StepTimeoutError,
    StopEvent,
    Workflow,
    WorkflowTimeoutError,
    step,
)
from stretto.retry import fixed
from tests import virtual
from tests.engine.ledger import Ledger
from tests.engine.misbehaviours import sleeps, swallows_by_a_scope_of_its_own, swallows_once

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class BoomError(Exception):
    pass


class Narrow(Workflow[str]):
    """One step, in the caller's own task."""

    def __init__(self, work: Callable[[], Awaitable[None]], **options: Any) -> None:
        self.work = work
        super().__init__(**options)

    @step(timeout=3)
    async def begin(self, ev: StartEvent) -> StopEvent[str]:
        await self.work()
        return StopEvent(result="in time")


class Wide(Narrow):
    """The same beside two siblings."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for number in range(3):
            ctx.send_event(Job(number=number))

    @step(timeout=3)
    async def do(self, ctx: Context, ev: Job) -> StopEvent[str] | None:
        if ev.number == 2:
            await self.work()
            return StopEvent(result="in time")
        await anyio.sleep(2.9)
        return None


SHAPES = [Narrow, Wide]


async def swallows_and_works_on() -> None:
    try:
        await anyio.sleep(1000)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1)


async def sleeps_in_a_group_of_its_own() -> None:
    async with anyio.create_task_group() as tg:
        tg.start_soon(anyio.sleep, 1000)
        tg.start_soon(anyio.sleep, 2000)


@pytest.mark.parametrize("limit", [None, 45.0])
@pytest.mark.parametrize(
    ("work", "takes"),
    [
        (sleeps, 3),
        (swallows_once, 3),
        (swallows_and_works_on, 4),
        (swallows_by_a_scope_of_its_own, 3),
        (sleeps_in_a_group_of_its_own, 3),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
async def test_past_its_limit_an_attempt_has_failed_whatever_it_does_about_it(
    shape: type[Narrow], work: Callable[[], Awaitable[None]], takes: float, limit: float | None
):
    began = anyio.current_time()
    with pytest.raises(StepTimeoutError) as caught:
        await shape(work, timeout=limit).run()
    assert anyio.current_time() - began == pytest.approx(takes)
    assert (caught.value.timeout, caught.value.attempt) == (3, 1)
    assert caught.value.step == ("begin" if shape is Narrow else "do")
    assert "passed its time limit of 3 s in attempt 1" in str(caught.value)
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_step_that_blocked_the_loop_past_its_limit_has_failed(shape: type[Narrow]):
    async def blocks() -> None:
        world = virtual.current_world()
        assert world is not None
        world.jump(3.5)

    with pytest.raises(StepTimeoutError):
        await shape(blocks).run()


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_step_that_ends_in_time_knows_nothing_of_its_limit(shape: type[Narrow]):
    async def is_quick() -> None:
        await anyio.sleep(2.95)

    assert await shape(is_quick).run() == "in time"


async def test_the_limit_counts_from_the_begin_of_the_step_and_not_from_when_it_was_queued():
    class Queued(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(4)]

        @step(num_workers=1, timeout=1.5)
        async def work(self, ctx: Context, ev: Job) -> StopEvent[int] | None:
            await anyio.sleep(1)
            return StopEvent(result=ev.number) if ev.number == 3 else None

    assert await Queued(timeout=None).run() == 3


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_error_raised_past_the_limit_is_the_cause_of_the_timeout(shape: type[Narrow]):
    async def breaks_in_its_clean_up() -> None:
        try:
            await anyio.sleep(1000)
        finally:
            raise BoomError

    with pytest.raises(StepTimeoutError) as caught:
        await shape(breaks_in_its_clean_up).run()
    assert isinstance(caught.value.__cause__, BoomError)


async def test_an_error_raised_in_time_comes_out_itself():
    async def breaks() -> None:
        await anyio.sleep(1)
        raise BoomError

    with pytest.raises(BoomError):
        await Narrow(breaks).run()


@pytest.mark.parametrize(
    ("on", "attempts"), [(Exception, 3), (TimeoutError, 3), (StepTimeoutError, 3), (ValueError, 1)]
)
async def test_a_timeout_is_tried_again_if_the_policy_covers_it(on: type[Exception], attempts: int):
    ledger = Ledger()

    class Tried(Workflow[str]):
        @step(timeout=2, retry_policy=RetryPolicy(on=on, wait=fixed(1)))
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            async with ledger.signed(str(ctx.attempt.number)):
                await anyio.sleep(1000)
            return StopEvent(result="never")

    began = anyio.current_time()
    with pytest.raises(StepTimeoutError) as caught:
        await Tried().run()
    assert caught.value.attempt == attempts
    assert anyio.current_time() - began == pytest.approx(3 * attempts - 1)
    assert len(ledger.left) == attempts


async def test_each_attempt_has_the_whole_limit():
    class Slower(Workflow[int]):
        @step(timeout=2, retry_policy=RetryPolicy(attempts=5, wait=fixed(1)))
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            await anyio.sleep(4.5 - ctx.attempt.number)
            return StopEvent(result=ctx.attempt.number)

    assert await Slower().run() == 3


@pytest.mark.parametrize("work", [sleeps, swallows_once, swallows_and_works_on])
@pytest.mark.parametrize("limit", [2.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_deadline_of_the_run_wins(
    shape: type[Narrow], limit: float, work: Callable[[], Awaitable[None]]
):
    with pytest.raises(WorkflowTimeoutError) as caught:
        await shape(work, timeout=limit).run()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("work", [sleeps, swallows_once, swallows_and_works_on])
@pytest.mark.parametrize("after", [1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_callers_cancellation_wins(
    shape: type[Narrow], after: float, work: Callable[[], Awaitable[None]]
):
    with anyio.move_on_after(after) as scope:
        await shape(work).run()
    assert scope.cancelled_caught


@pytest.mark.parametrize("work", [sleeps, swallows_once, swallows_and_works_on])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_native_cancellation_wins_too(shape: type[Narrow], work: Callable[[], Awaitable[None]]):
    async def main() -> None:
        task = asyncio.create_task(shape(work).execute())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual.run(main, backend="asyncio")


async def test_a_step_that_was_stopped_by_another_and_outlasts_its_limit_does_not_undo_the_result():
    class Stopped(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=0), Job(number=1)]

        @step(timeout=3)
        async def work(self, ev: Job) -> StopEvent[str]:
            if ev.number == 0:
                await anyio.sleep(1)
                return StopEvent(result="first")
            await swallows_long()
            return StopEvent(result="second")

    async def swallows_long() -> None:
        try:
            await anyio.sleep(1000)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(10)

    async with Stopped().run() as run:
        assert await run == "first"
    assert run.failures == ()
    assert run.leftovers == (StopEvent("second"),)


@pytest.mark.parametrize("context", [False, True])
async def test_a_step_in_a_thread_is_waited_for_and_has_failed_then(context: bool):
    ended = threading.Event()

    def work() -> None:
        time.sleep(0.1)  # a thread is the one thing that no virtual clock moves
        ended.set()

    if context:

        class Threaded(Workflow[str]):  # pyright: ignore[reportRedeclaration]
            @step(timeout=0.02)
            def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
                work()
                return StopEvent(result="late")
    else:

        class Threaded(Workflow[str]):
            @step(timeout=0.02)
            def begin(self, ev: StartEvent) -> StopEvent[str]:
                work()
                return StopEvent(result="late")

    with pytest.raises(StepTimeoutError):
        await Threaded().run()
    assert ended.is_set()


async def test_a_timed_out_attempt_does_not_send_what_it_held_back():
    class Held(Workflow[list[int]]):
        @step(timeout=2, emit="on_success", retry_policy=RetryPolicy(wait=fixed(1)))
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            ctx.send_event(Job(number=ctx.attempt.number))
            if ctx.attempt.number == 1:
                await swallows_once()

        @step
        async def work(self, ev: Job) -> StopEvent[list[int]]:
            return StopEvent(result=[ev.number])

    assert await Held().run() == [2]


async def test_an_attempt_that_waits_for_an_event_past_its_limit_has_failed_and_waits_again_in_the_next():
    class Asks(Workflow[str]):
        @step(num_workers=1, timeout=2, emit="on_success", retry_policy=RetryPolicy(wait=fixed(1)))
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            question = InputRequiredEvent(number=ctx.attempt.number)
            answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=question)
            return StopEvent(result=answer.text)

    asked: list[int] = []
    async with Asks().run() as run:
        async for ev in run.stream_events():
            if isinstance(ev, InputRequiredEvent):
                asked.append(ev.number)
            if asked == [1, 2]:
                run.send_event(HumanResponseEvent(text="yes"))
                asked.append(0)
        assert await run == "yes"
    assert asked == [1, 2, 0]
    assert run.leftovers == ()
