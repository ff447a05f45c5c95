"""P2: a timeout is strict, whatever a step does about it."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest

from stretto import (
    Context,
    Event,
    Limit,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from tests import virtual
from tests.engine.ledger import Ledger
from tests.engine.misbehaviours import sleeps, swallows_by_a_scope_of_its_own, swallows_once

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class Shout(Event):
    pass


class Narrow(Workflow[str]):
    """One step without a Context: it runs in the caller's own task."""

    def __init__(
        self, work: Callable[[], Awaitable[None]], timeout: float | None = 5.0, grace: float | None = 5.0
    ) -> None:
        self.work = work
        super().__init__(timeout=timeout, grace=grace)

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        await self.work()
        return StopEvent(result="late")


class Wide(Workflow[str]):
    """The same beside two siblings: it runs in a task of the run."""

    def __init__(
        self, work: Callable[[], Awaitable[None]], timeout: float | None = 5.0, grace: float | None = 5.0
    ) -> None:
        self.work = work
        super().__init__(timeout=timeout, grace=grace)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for number in range(3):
            ctx.send_event(Job(number=number))

    @step
    async def do(self, ev: Job) -> StopEvent | None:
        if ev.number == 2:
            await self.work()
            return StopEvent(result="late")
        await anyio.sleep(1000)
        return None


SHAPES = [Narrow, Wide]


async def swallows_in_a_loop() -> None:
    for _ in range(100):
        try:
            await anyio.sleep(1000)
        except anyio.get_cancelled_exc_class():
            pass


MISBEHAVIOURS = [sleeps, swallows_once, swallows_in_a_loop, swallows_by_a_scope_of_its_own]


@pytest.mark.parametrize("work", MISBEHAVIOURS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_timeout_is_raised_at_its_second_whatever_the_step_does(
    shape: type[Narrow], work: Callable[[], Awaitable[None]]
):
    began = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError):
        await shape(work).run()
    assert anyio.current_time() - began == pytest.approx(5)


@pytest.mark.parametrize("work", MISBEHAVIOURS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_timeout_comes_out_of_a_block_and_of_the_articles_form_too(
    shape: type[Narrow], work: Callable[[], Awaitable[None]]
):
    with pytest.raises(WorkflowTimeoutError):
        async with shape(work).run() as run:
            await run
    with pytest.raises(WorkflowTimeoutError):
        async with shape(work).run():
            pass
    handler = shape(work).run()
    handler.start()
    with pytest.raises(WorkflowTimeoutError):
        await handler


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_timeout_waits_for_a_clean_up_of_a_second_and_says_nothing(
    shape: type[Narrow], caplog: pytest.LogCaptureFixture
):
    ledger = Ledger()

    async def tidies() -> None:
        async with ledger.signed("step", cleanup=1):
            await anyio.sleep(1000)

    began = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError):
        await shape(tidies).run()
    assert anyio.current_time() - began == pytest.approx(6)
    assert ledger.log == ["+step", "-step"]
    assert [record for record in caplog.records if record.name == "stretto"] == []


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_step_that_refuses_to_end_is_named_after_the_grace_and_waited_for(
    shape: type[Narrow], caplog: pytest.LogCaptureFixture
):
    ledger = Ledger()

    async def lingers() -> None:
        async with ledger.signed("step", cleanup=30):
            await anyio.sleep(1000)

    began = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError):
        await shape(lingers, grace=2.0).run()
    assert anyio.current_time() - began == pytest.approx(35)
    assert ledger.log == ["+step", "-step"]
    told = [
        record for record in caplog.records if record.name == "stretto" and record.levelno >= logging.WARNING
    ]
    assert told, "a step that does not end is not named"
    name = "Narrow.begin" if shape is Narrow else "Wide.do"
    assert name in told[0].getMessage()


@pytest.mark.parametrize("shape", SHAPES)
async def test_without_a_grace_a_step_that_refuses_to_end_is_waited_for_in_silence(
    shape: type[Narrow], caplog: pytest.LogCaptureFixture
):
    async def lingers() -> None:
        async with Ledger().signed("step", cleanup=3000):
            await anyio.sleep(1000)

    began = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError):
        await shape(lingers, grace=None).run()
    assert anyio.current_time() - began == pytest.approx(3005)
    assert [record for record in caplog.records if record.name == "stretto"] == []


@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_step_that_blocks_the_loop_past_the_deadline_and_returns_is_late(shape: type[Narrow]):
    async def blocks() -> None:
        time.sleep(0.06)  # noqa: ASYNC251

    with pytest.raises(WorkflowTimeoutError):
        await shape(blocks, timeout=0.03).run()


@pytest.mark.usefixtures("real_time")
async def test_a_stop_event_sent_past_the_deadline_is_late_too():
    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | None:
            time.sleep(0.06)  # noqa: ASYNC251
            ctx.send_event(StopEvent(result="late"))

    with pytest.raises(WorkflowTimeoutError):
        await Sends(timeout=0.03).run()


@pytest.mark.usefixtures("real_time")
async def test_after_a_blocking_step_the_next_one_is_not_begun():
    begun: list[str] = []

    class Two(Workflow[str]):
        @step
        async def one(self, ev: StartEvent) -> Job:
            time.sleep(0.06)  # noqa: ASYNC251
            return Job()

        @step
        async def two(self, ev: Job) -> StopEvent:
            begun.append("two")
            return StopEvent(result="late")

    with pytest.raises(WorkflowTimeoutError):
        await Two(timeout=0.03).run()
    assert begun == []


@pytest.mark.usefixtures("real_time")
async def test_a_loop_of_steps_that_never_suspend_is_timed_out():
    class Busy(Workflow[str]):
        @step
        async def spin(self, ev: StartEvent | Job) -> Job | StopEvent:
            return Job()

    with pytest.raises(WorkflowTimeoutError):
        await Busy(timeout=0.03).run()


@pytest.mark.usefixtures("real_time")
async def test_a_thread_step_past_the_deadline_has_ended_when_the_timeout_comes_out():
    began, ended = threading.Event(), threading.Event()

    class Threaded(Workflow[str]):
        pass

    @step(workflow=Threaded)
    def sit(ev: StartEvent) -> StopEvent:
        began.set()
        time.sleep(0.08)
        ended.set()
        return StopEvent(result="late")

    while not began.is_set():  # on a busy machine the time may be over before it begins
        with pytest.raises(WorkflowTimeoutError):
            await Threaded(timeout=0.02).run()
    assert ended.is_set()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("limit", [5.0, None])
async def test_raising_the_backends_cancellation_with_nothing_cancelled_is_an_error_that_names_the_step(
    shape: type[Narrow], limit: float | None
):
    async def raises() -> None:
        kept: BaseException | None = None
        with anyio.CancelScope() as scope:
            scope.cancel()
            try:
                await anyio.sleep(1)
            except anyio.get_cancelled_exc_class() as error:
                kept = error
        assert kept is not None
        raise kept

    began = anyio.current_time()
    with pytest.raises(WorkflowError, match="Narrow.begin" if shape is Narrow else "Wide.do"):
        await shape(raises, timeout=limit).run()
    assert anyio.current_time() == began


@pytest.mark.parametrize("shape", SHAPES)
def test_awaiting_a_cancelled_asyncio_task_is_an_error_that_names_the_step(shape: type[Narrow]):
    async def awaits_a_dead_task() -> None:
        task = asyncio.create_task(asyncio.sleep(1))
        task.cancel()
        await task

    async def main() -> None:
        with pytest.raises(WorkflowError, match="Narrow.begin" if shape is Narrow else "Wide.do"):
            await shape(awaits_a_dead_task).run()

    virtual.run(main, backend="asyncio")


# -- what the error tells -----------------------------------------------------------------------------------


class Crowd(Workflow[str]):
    """Two at work, four queued, and a collect that misses most."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for number in range(7):
            ctx.send_event(Job(number=number))

    @step(num_workers=2)
    async def work(self, ev: Job) -> Done:
        await anyio.sleep(0 if ev.number == 0 else 1000)
        return Done(number=ev.number)

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
        return StopEvent(result="all") if ctx.collect_events(ev, [Done] * 7) else None


async def test_the_timeout_names_who_was_at_work_for_how_long_and_what_was_queued_or_half_collected():
    with pytest.raises(WorkflowTimeoutError, match=r"Crowd") as caught:
        await Crowd(timeout=8).run()
    text = str(caught.value)
    assert "work" in text
    assert "8" in text, "the time limit, and how long the steps were at work"
    assert "4" in text, "four events were queued"
    assert "gather" in text
    assert "Done" in text
    assert isinstance(caught.value, TimeoutError)


async def test_a_clean_up_that_fails_after_a_timeout_is_its_cause_and_kept():
    class Clumsy(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            try:
                await anyio.sleep(1000)
            finally:
                raise ValueError("clumsy")

    run = Clumsy(timeout=5).run()
    with pytest.raises(WorkflowTimeoutError) as caught:
        await run
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__cause__ in run.failures


async def test_a_stop_event_before_the_deadline_stands_though_the_clean_up_passes_it():
    class Tidy(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | Job:
            ctx.send_event(Job())
            await anyio.sleep(2)
            return StopEvent(result="in time")

        @step
        async def slow(self, ev: Job) -> None:
            async with ledger.signed("slow", cleanup=10):
                await anyio.sleep(1000)

    ledger = Ledger()
    began = anyio.current_time()
    assert await Tidy(timeout=4).run() == "in time"
    assert anyio.current_time() - began == pytest.approx(12)
    assert ledger.log == ["+slow", "-slow"]


# -- from when the time counts, and whose time it is --------------------------------------------------------


async def test_the_deadline_counts_from_the_start_of_the_run_not_from_the_handle():
    handler = Narrow(lambda: anyio.sleep(3), timeout=4).run()
    await anyio.sleep(10)
    assert await handler == "late"


async def test_the_deadline_counts_from_entering_the_block():
    async with Narrow(sleeps, timeout=4).run() as run:
        began = anyio.current_time()
        await anyio.sleep(3)
        with pytest.raises(WorkflowTimeoutError):
            await run
        assert anyio.current_time() - began == pytest.approx(4)


async def test_a_run_that_nobody_awaits_is_timed_out_all_the_same():
    handler = Narrow(sleeps).run()
    handler.start()
    await anyio.sleep(5.5)
    assert handler.done
    with pytest.raises(WorkflowTimeoutError):
        await handler


@pytest.mark.parametrize("limit", [None, float("inf")])
@pytest.mark.parametrize("shape", SHAPES)
async def test_without_a_time_limit_a_run_may_take_years(shape: type[Narrow], limit: float | None):
    assert await shape(lambda: anyio.sleep(10**8), timeout=limit).run() == "late"


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_callers_deadline_is_the_callers_error(shape: type[Narrow]):
    with pytest.raises(TimeoutError) as caught:
        with anyio.fail_after(2):
            await shape(sleeps).run()
    assert not isinstance(caught.value, WorkflowTimeoutError)


class Outer(Workflow[str]):
    def __init__(self, inner: Workflow[str], timeout: float | None) -> None:
        self.inner = inner
        super().__init__(timeout=timeout)

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        try:
            return StopEvent(result=await self.inner.run())
        except WorkflowTimeoutError as error:
            return StopEvent(result=str(error))


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_nested_run_that_is_late_tells_the_step_that_awaits_it(shape: type[Narrow]):
    assert shape.__name__ in await Outer(shape(sleeps), timeout=20).run()


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_outer_deadline_is_the_outer_runs_error(shape: type[Narrow]):
    began = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError, match="Outer"):
        await Outer(shape(swallows_once, timeout=100), timeout=7).run()
    assert anyio.current_time() - began == pytest.approx(7)


async def test_remaining_counts_down_to_the_deadline():
    seen: list[float | None] = []

    class Watch(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            seen.append(ctx.remaining)
            await ctx.sleep(2)
            seen.append(ctx.remaining)
            return StopEvent()

    await Watch(timeout=5).run()
    await Watch(timeout=None).run()
    assert seen == [pytest.approx(5), pytest.approx(3), None, None]


async def test_a_hundred_sleepers_are_all_ended_by_the_timeout():
    ledger = Ledger()

    class Hundred(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(100):
                ctx.send_event(Job(number=number))

        @step(num_workers=100)
        async def nap(self, ev: Job) -> StopEvent:
            async with ledger.signed(str(ev.number)):
                await anyio.sleep(1000)
            return StopEvent(result="late")

    with pytest.raises(WorkflowTimeoutError):
        await Hundred(timeout=5).run()
    assert len(ledger.left) == 100


class Careful(Workflow[list[str]]):
    """Steps that limit their own time; `native` by asyncio's own means."""

    def __init__(self, *, native: bool = False) -> None:
        self.native = native
        super().__init__(timeout=60)

    async def limited(self) -> str:
        if self.native:
            try:
                async with asyncio.timeout(1):
                    await asyncio.sleep(10)
            except TimeoutError:
                return "late"
        with anyio.move_on_after(1):
            await anyio.sleep(10)
            return "in time"
        return "late"

    @step
    async def alone(self, ev: StartEvent) -> Done:
        assert await self.limited() == "late"
        return Done()

    @step
    async def begin(self, ctx: Context, ev: Done) -> Job | None:
        for number in range(3):
            ctx.send_event(Job(number=number))

    @step
    async def together(self, ctx: Context, ev: Job) -> StopEvent | None:
        assert await self.limited() == "late"
        batch = ctx.collect_events(ev, [Job] * 3)
        return None if batch is None else StopEvent(result=["late"] * 3)


async def test_a_step_may_cancel_scopes_of_its_own():
    began = anyio.current_time()
    assert await Careful().run() == ["late"] * 3
    assert anyio.current_time() - began == pytest.approx(2)


def test_a_step_may_use_asyncios_own_timeouts():
    async def main() -> None:
        assert await Careful(native=True).run() == ["late"] * 3

    virtual.run(main, backend="asyncio")


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_smallest_timeout_still_raises(shape: type[Narrow]):
    with pytest.raises(WorkflowTimeoutError):
        await shape(sleeps, timeout=1e-9).run()


class Stands(Workflow[str]):
    """Some work, and some wait: for a turn, to edit the state, or for room."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | Done | Shout | None:
        for number in range(3):
            ctx.send_event(Job(number=number))
            ctx.send_event(Done())
        for _ in range(3):
            await ctx.send(Shout())

    @step(limiter=Limit(1))
    async def limited(self, ev: Job) -> None:
        await anyio.sleep(1000 if ev.number else 1)

    @step
    async def edit(self, ctx: Context, ev: Done) -> None:
        async with ctx.store.edit_state():
            await anyio.sleep(1000)

    @step(num_workers=1)
    async def work(self, ev: Shout) -> StopEvent[str] | None:
        await anyio.sleep(1000)


async def test_the_timeout_says_what_those_wait_for_that_are_at_work_and_cannot_go_on():
    """They were told as active, and nothing told them from those that worked."""
    with pytest.raises(WorkflowTimeoutError) as caught:
        await Stands(timeout=5, queue_size=1).run()
    active = str(caught.value).partition("; active: ")[2].partition(";")[0]
    assert re.sub(r" \(test_timeouts\.py:\d+\)", "", active) == (
        "Stands.begin x1 for 5 s (waiting for room in the queue), "
        "Stands.edit x3 for 5 s (2 waiting for a turn to edit the state), "
        "Stands.limited x2 for 5 s (1 waiting for a turn of Limit(1)), Stands.work x1 for 5 s"
    )
    assert caught.value.held_up == {
        "begin": {"room in the queue": 1},
        "limited": {"a turn of Limit(1)": 1},
        "edit": {"a turn to edit the state": 2},
    }
