"""A step with a retry policy is tried again: once per attempt, without a worker meanwhile, never past the run."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto.retry import Attempt, after_attempts, fixed, no_wait
from tests import leaks, virtual
from tests.engine.ledger import Ledger

pytestmark = pytest.mark.anyio

EVERY_SECOND = RetryPolicy(attempts=3, wait=fixed(1))


class Job(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class BoomError(Exception):
    pass


class Flaky(Workflow[str]):
    """Fails `failures` times, half a second after it began, then succeeds."""

    def __init__(self, failures: float, error: type[BaseException] = BoomError, **options: Any) -> None:
        self.failures = failures
        self.error = error
        self.began: list[float] = []
        self.attempts: list[Attempt] = []
        super().__init__(**options)

    async def _try(self, ctx: Context | None) -> StopEvent[str]:
        self.began.append(anyio.current_time())
        if ctx is not None:
            self.attempts.append(ctx.attempt)
        await anyio.sleep(0.5)
        if len(self.began) <= self.failures:
            raise self.error(len(self.began))
        return StopEvent(result=f"attempt {len(self.began)}")


class Narrow(Flaky):
    @step(retry_policy=EVERY_SECOND)
    async def begin(self, ev: StartEvent) -> StopEvent[str]:
        return await self._try(None)


class Wide(Flaky):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for number in range(3):
            ctx.send_event(Job(number=number))

    @step(retry_policy=EVERY_SECOND)
    async def work(self, ctx: Context, ev: Job) -> StopEvent[str] | None:
        if ev.number == 1:
            return await self._try(ctx)
        await anyio.sleep(100)
        return None


class Limited(Flaky):
    @step(retry_policy=EVERY_SECOND, timeout=50)
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        return await self._try(ctx)


SHAPES = [Narrow, Wide, Limited]


async def awaited(workflow: Workflow[str]) -> object:
    return await workflow.run()


async def in_a_block(workflow: Workflow[str]) -> object:
    async with workflow.run() as run:
        return await run


async def by_itself(workflow: Workflow[str]) -> object:
    run = workflow.run()
    async for _ in run.stream_events():
        pass
    return await run


FORMS = [awaited, in_a_block, by_itself]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [None, 45.0])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_step_that_fails_twice_succeeds_in_its_third_attempt_after_its_waits(
    shape: type[Flaky], limit: float | None, form: Callable[[Workflow[str]], Any]
):
    workflow = shape(failures=2, timeout=limit)
    began = anyio.current_time()
    assert await form(workflow) == "attempt 3"
    assert [at - began for at in workflow.began] == pytest.approx([0, 1.5, 3])
    assert anyio.current_time() - began == pytest.approx(3.5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_last_error_comes_out_bare_with_the_number_of_attempts(
    shape: type[Flaky], form: Callable[[Workflow[str]], Any]
):
    workflow = shape(failures=9)
    with pytest.raises(BoomError) as caught:
        await form(workflow)
    assert caught.value.args == (3,)
    assert len(workflow.began) == 3
    assert (
        "not tried again after attempt 3, 3.5 s after the first one began: its retry policy gave up"
        in caught.value.__notes__
    )
    assert caught.value.__notes__[-1].endswith("attempt 3")


async def test_a_step_that_succeeds_is_not_tried_again():
    workflow = Wide(failures=0)
    assert await workflow.run() == "attempt 1"
    assert workflow.attempts == [Attempt()]


async def test_what_the_policy_does_not_cover_fails_at_once():
    class Picky(Flaky):
        @step(retry_policy=RetryPolicy(on=ConnectionError))
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return await self._try(None)

    workflow = Picky(failures=1)
    with pytest.raises(BoomError):
        await workflow.run()
    assert len(workflow.began) == 1


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("backend", virtual.BACKENDS)
def test_ctrl_c_is_never_tried_again(backend: str, error: type[BaseException]):
    workflow = Wide(failures=1, error=error)
    with pytest.raises(error):
        virtual.run(workflow.execute, backend=backend)
    assert len(workflow.began) == 1


@pytest.mark.parametrize("limit", [None, 45.0])
async def test_ctx_attempt_tells_the_number_the_time_and_the_last_error(limit: float | None):
    class Late(Wide):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            assert ctx.attempt == Attempt(number=1, elapsed=0.0, error=None)
            await anyio.sleep(7)
            return await super().begin(ctx, ev)

    workflow = Late(failures=2, timeout=limit)
    await workflow.run()
    assert [each.number for each in workflow.attempts] == [1, 2, 3]
    assert [each.elapsed for each in workflow.attempts] == pytest.approx([0, 1.5, 3])
    assert [None if each.error is None else each.error.args for each in workflow.attempts] == [
        None,
        (1,),
        (2,),
    ]


async def test_attempt_belongs_to_a_step():
    async with Wide(failures=0).run() as run:
        with pytest.raises(WorkflowError, match="attempt belongs to a step"):
            run.ctx.attempt  # noqa: B018


async def test_a_step_in_a_thread_is_tried_again_and_knows_its_attempt():
    attempts: list[int] = []

    class Threaded(Workflow[int]):
        @step(retry_policy=EVERY_SECOND)
        def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            attempts.append(ctx.attempt.number)
            if ctx.attempt.error is None:
                raise BoomError
            return StopEvent(result=ctx.attempt.number)

    assert await Threaded().run() == 2
    assert attempts == [1, 2]


async def test_a_waiting_retry_holds_no_worker_and_goes_to_the_tail():
    ledger: list[tuple[float, int, int]] = []

    class One(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(4)]

        @step(num_workers=1, retry_policy=RetryPolicy(wait=fixed(2.5)))
        async def work(self, ctx: Context, ev: Job) -> Done:
            ledger.append((anyio.current_time() - began, ev.number, ctx.attempt.number))
            await anyio.sleep(1)
            if ev.number == 0 and ctx.attempt.number == 1:
                raise BoomError
            return Done(number=ev.number)

        @step
        async def join(self, ctx: Context, ev: Done) -> StopEvent[None] | None:
            return StopEvent() if ctx.collect_events(ev, [Done] * 4) else None

    began = anyio.current_time()
    await One().run()
    assert ledger == [(0, 0, 1), (1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 0, 2)]


async def test_steps_that_fail_and_are_tried_without_a_wait_leave_the_loop_to_others():
    ticks: list[int] = []

    class Busy(Workflow[None]):
        @step(retry_policy=RetryPolicy(attempts=1000, wait=no_wait()))
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            if ctx.attempt.number < 1000:
                raise BoomError
            return StopEvent()

    async def tick() -> None:
        while True:
            ticks.append(1)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tg:
        tg.start_soon(tick)
        await Busy().run()
        tg.cancel_scope.cancel()
    assert len(ticks) > 100


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_run_that_only_waits_to_try_again_ends_with_its_caller(shape: type[Flaky]):
    workflow = shape(failures=9)
    began = anyio.current_time()
    with anyio.move_on_after(1):
        await workflow.run()
    assert anyio.current_time() - began == pytest.approx(1)
    assert len(workflow.began) == 1


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_retry_that_waits_when_the_run_is_cancelled_is_a_leftover(shape: type[Flaky]):
    workflow = shape(failures=9)
    with pytest.raises(WorkflowCancelledError):
        async with workflow.run() as run:
            await anyio.sleep(1)
            await run.cancel()
            await run
    assert len(workflow.began) == 1
    assert len(run.leftovers) == 1


async def test_a_retry_that_waits_when_another_step_stops_the_run_is_cancelled():
    tried: list[int] = []

    class Race(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job | Done]:
            return [Job(number=7), Done()]

        @step(retry_policy=RetryPolicy(wait=fixed(10)))
        async def work(self, ev: Job) -> None:
            tried.append(1)
            raise BoomError

        @step
        async def stop(self, ev: Done) -> StopEvent[str]:
            await anyio.sleep(1)
            return StopEvent(result="stopped")

    began = anyio.current_time()
    async with Race().run() as run:
        assert await run == "stopped"
    assert anyio.current_time() - began == pytest.approx(1)
    assert tried == [1]
    assert run.leftovers == (Job(number=7),)


async def test_a_wait_that_would_reach_the_deadline_is_not_begun():
    workflow = Narrow(failures=9, timeout=1.5)
    began = anyio.current_time()
    with pytest.raises(BoomError) as caught:
        await workflow.run()
    assert anyio.current_time() - began == pytest.approx(0.5)
    assert any("would begin at or after the deadline of the run" in note for note in caught.value.__notes__)


async def test_the_deadline_ends_an_attempt_like_any_step():
    workflow = Narrow(failures=9, timeout=1.75)
    with pytest.raises(WorkflowTimeoutError):
        await workflow.run()
    assert len(workflow.began) == 2


async def test_a_run_whose_last_retry_returned_nothing_is_stuck():
    class Silent(Workflow[None]):
        @step(retry_policy=EVERY_SECOND)
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None] | None:
            if ctx.attempt.number == 1:
                raise BoomError
            return None

    began = anyio.current_time()
    with pytest.raises(WorkflowStalledError):
        await Silent().run()
    assert anyio.current_time() - began == pytest.approx(1)


async def test_a_step_that_turns_the_callers_cancellation_into_an_error_is_not_tried_again(
    anyio_backend_name: str,
):
    tried: list[int] = []

    class Stubborn(Workflow[str]):
        @step(retry_policy=RetryPolicy(attempts=None, wait=no_wait()))
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            tried.append(1)
            try:
                await anyio.sleep(10)
            except BaseException as error:
                raise BoomError from error
            return StopEvent(result="never")

    with pytest.raises(BoomError):  # and not the scope's own cancellation, which it would swallow
        with anyio.move_on_after(1):
            await Stubborn().run()
    assert tried == [1]
    tried.clear()

    async def main() -> None:
        task = asyncio.create_task(Stubborn().execute())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(BoomError):
            await task

    if anyio_backend_name == "asyncio":
        await main()
        assert tried == [1]


async def test_a_child_run_that_failed_is_run_again_by_its_step():
    class Around(Workflow[str]):
        @step(retry_policy=EVERY_SECOND)
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result=await inner.run())

    inner = Narrow(failures=4)
    assert await Around().run() == "attempt 5"


async def test_each_attempt_runs_all_its_clean_up_before_the_next_begins():
    ledger = Ledger()

    class Tidy(Workflow[str]):
        @step(retry_policy=EVERY_SECOND)
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            async with ledger.signed(str(ctx.attempt.number), cleanup=1):
                if ctx.attempt.number < 3:
                    raise BoomError
            return StopEvent(result="done")

    await Tidy().run()
    assert ledger.log == ["+1", "-1", "+2", "-2", "+3", "-3"]


async def test_a_predicate_that_raises_fails_the_run_with_its_own_error():
    def predicate(error: Exception) -> bool:
        raise LookupError("wrong predicate")

    class Asks(Workflow[str]):
        @step(retry_policy=RetryPolicy(on=predicate))
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            raise BoomError

    with pytest.raises(LookupError) as caught:
        await Asks().run()
    assert isinstance(caught.value.__context__, BoomError)
    assert caught.value.__notes__[0].startswith("raised by the retry policy of Asks.begin")


async def test_joined_policies_give_each_error_its_own():
    class Both(Workflow[int]):
        @step(
            retry_policy=RetryPolicy(on=ConnectionError, attempts=None, stop=after_attempts(4), wait=fixed(1))
            | RetryPolicy(on=ValueError, attempts=2, wait=fixed(5))
        )
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            if ctx.attempt.number == 4:
                return StopEvent(result=4)
            raise (ValueError if ctx.attempt.number == 1 else ConnectionError)

    began = anyio.current_time()
    assert await Both().run() == 4
    assert anyio.current_time() - began == pytest.approx(7)


async def test_the_default_waits_are_short_and_random():
    waits: list[float] = []

    class Often(Workflow[None]):
        @step(retry_policy=RetryPolicy(attempts=12))
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            waits.append(anyio.current_time())
            if ctx.attempt.number < 12:
                raise BoomError
            return StopEvent()

    await Often(timeout=None).run()
    between = [then - now for now, then in itertools.pairwise(waits)]
    assert all(wait <= min(5, 0.1 * 2**number) + 1e-9 for number, wait in enumerate(between))
    assert len({round(wait, 9) for wait in between}) > 8


colour: ContextVar[str] = ContextVar("colour", default="none")


async def test_an_attempt_does_not_see_the_context_variables_that_a_failed_one_set():
    seen: list[str] = []

    class Sets(Workflow[str]):
        @step(retry_policy=EVERY_SECOND)
        async def begin(self, ctx: Context, ev: StartEvent) -> Done:
            seen.append(colour.get())
            colour.set(f"of attempt {ctx.attempt.number}")
            if ctx.attempt.number == 1:
                raise BoomError
            return Done()

        @step
        async def end(self, ev: Done) -> StopEvent[str]:
            return StopEvent(result=colour.get())

    colour.set("the caller's")
    assert await Sets().run() == "of attempt 2"
    assert seen == ["the caller's", "the caller's"]


async def test_the_trace_counts_attempts(caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", logger="stretto"):
        await Narrow(failures=1, verbose=True).run()
    lines = [line for line in caplog.messages if "begin" in line]
    assert ["#1" in lines[0], "raised BoomError" in lines[0], "#2" in lines[1]] == [True, True, True]


# -- what an attempt sends -------------------------------------------------------------------------------------


class Sends(Workflow[list[Any]]):
    """Sends in each of two attempts; the join ends when it has seen enough."""

    emit: Any = "now"
    wanted = 0

    @step
    async def note(self, ctx: Context, ev: Job) -> Done:
        return Done(number=ev.number)

    @step
    async def join(self, ctx: Context, ev: Done) -> StopEvent[list[Any]] | None:
        done = ctx.collect_events(ev, [Done] * self.wanted)
        return None if done is None else StopEvent(result=[each.number for each in done])


async def test_what_a_failed_attempt_sent_stays_sent():
    class Now(Sends):
        wanted = 2

        @step(retry_policy=EVERY_SECOND)
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            ctx.send_event(Job(number=ctx.attempt.number))
            ctx.write_event_to_stream(Done(number=ctx.attempt.number))
            if ctx.attempt.number == 1:
                raise BoomError

    async with Now().run() as run:
        streamed = [ev async for ev in run.stream_events()]
        assert await run == [1, 2]
    assert streamed[:2] == [Done(number=1), Done(number=2)]


@pytest.mark.parametrize("threaded", [False, True])
async def test_on_success_discards_what_a_failed_attempt_sent_and_sends_the_rest_in_order(threaded: bool):
    def body(ctx: Context) -> Job:
        number = ctx.attempt.number
        ctx.send_event(Job(number=10 * number))
        ctx.write_event_to_stream(Done(number=number))
        ctx.send_event(Job(number=10 * number + 1))
        if number == 1:
            raise BoomError
        return Job(number=99)

    class Held(Sends):
        wanted = 3

        @step(retry_policy=EVERY_SECOND, emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> Job:
            return body(ctx)

    class HeldInAThread(Sends):
        wanted = 3

        @step(retry_policy=EVERY_SECOND, emit="on_success")
        def begin(self, ctx: Context, ev: StartEvent) -> Job:
            return body(ctx)

    async with (HeldInAThread if threaded else Held)().run() as run:
        streamed = [ev async for ev in run.stream_events()]
        assert await run == [20, 21, 99]
    assert streamed[0] == Done(number=2)
    assert len(streamed) == 2
    assert run.dead_letters == ()


async def test_on_success_sends_nothing_before_the_step_has_returned():
    at: list[float] = []

    class Held(Workflow[None]):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            ctx.send_event(Job())
            await anyio.sleep(3)

        @step
        async def work(self, ev: Job) -> StopEvent[None]:
            at.append(anyio.current_time())
            return StopEvent()

    began = anyio.current_time()
    await Held().run()
    assert at == pytest.approx([began + 3])


async def test_what_is_held_back_is_checked_at_once():
    class Held(Workflow[None]):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            with pytest.raises(TypeError, match="send_event takes an event"):
                ctx.send_event(3)  # pyright: ignore[reportArgumentType]
            with pytest.raises(TypeError, match="the stream of a run takes"):
                ctx.write_event_to_stream(StopEvent())
            with pytest.raises(WorkflowError, match="no step 'nobody'"):
                ctx.send_event(Job(), "nobody")
            return StopEvent()

    await Held(verbose=True).run()


async def test_what_is_to_be_held_back_is_not_taken_from_another_thread():
    class Held(Workflow[None]):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[None]:
            with pytest.raises(WorkflowError, match="send_event for a run of Held in another thread"):
                await anyio.to_thread.run_sync(ctx.send_event, Job())
            return StopEvent()

        @step
        async def work(self, ev: Job) -> None: ...

    async with Held().run() as run:
        await run
    assert run.dead_letters == run.leftovers == ()


async def test_what_is_sent_after_the_end_of_the_attempt_is_told_with_its_sender(
    caplog: pytest.LogCaptureFixture,
):
    contexts: list[Context] = []

    class Orphan(Event):
        pass

    class Held(Workflow[None]):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> Job:
            contexts.append(ctx)
            return Job()

        @step
        async def work(self, ev: Job) -> StopEvent[None]:
            contexts[0].send_event(Orphan())
            return StopEvent()

    await Held().run()
    kept, dead = caplog.messages
    assert "Orphan() from Held.begin (test_retries.py:" in kept
    assert dead.startswith("Held: dead letter Orphan(): ")


async def test_what_a_cancelled_step_held_back_is_a_dead_letter():
    class Held(Workflow[None]):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[None]:
            ctx.send_event(Job(number=3))
            await anyio.sleep(100)
            return StopEvent()

        @step
        async def work(self, ev: Job) -> None: ...

    with pytest.raises(WorkflowTimeoutError):
        async with Held(timeout=1).run() as run:
            await run
    assert [letter.event for letter in run.dead_letters] == [Job(number=3)]


async def test_a_step_that_fails_for_good_has_sent_nothing_that_it_held_back():
    class Held(Workflow[None]):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[None]:
            ctx.send_event(Job(number=3))
            raise BoomError

        @step
        async def work(self, ev: Job) -> None: ...

    with pytest.raises(BoomError):
        async with Held().run() as run:
            await run
    assert (run.dead_letters, run.leftovers) == ((), ())


# -- collect ---------------------------------------------------------------------------------------------------


async def test_a_batch_taken_by_an_attempt_that_failed_is_taken_again_by_its_retry():
    batches: list[tuple[int, list[int]]] = []

    class Joins(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(6):
                ctx.send_event(Job(number=number))

        @step(num_workers=1, retry_policy=EVERY_SECOND)
        async def join(self, ctx: Context, ev: Job) -> Done | None:
            jobs = ctx.collect_events(ev, [Job] * 3)
            if jobs is None:
                return None
            batches.append((ctx.attempt.number, [job.number for job in jobs]))
            if ctx.attempt.number == 1:
                raise BoomError
            return Done()

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
            return StopEvent(result=2) if ctx.collect_events(ev, [Done] * 2) else None

    async with Joins().run() as run:
        await run
    assert batches == [(1, [0, 1, 2]), (1, [3, 4, 5]), (2, [0, 1, 2]), (2, [3, 4, 5])]
    assert run.leftovers == ()


async def test_a_retried_attempt_does_not_add_its_event_twice():
    class Joins(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            ctx.send_event(Job(number=1))
            await anyio.sleep(5)
            ctx.send_event(Job(number=2))

        @step(retry_policy=EVERY_SECOND)
        async def join(self, ctx: Context, ev: Job) -> StopEvent[list[int]] | None:
            jobs = ctx.collect_events(ev, [Job] * 2)
            if jobs is None and ctx.attempt.number < 3:
                raise BoomError
            return None if jobs is None else StopEvent(result=[job.number for job in jobs])

    assert await Joins().run() == [1, 2]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", virtual.BACKENDS)
def test_a_program_that_is_cancelled_at_any_time_leaves_nothing_behind(backend: str, shape: type[Flaky]):
    async def program(after: float) -> None:
        before = leaks.Before()
        with anyio.move_on_after(after):
            await shape(failures=2).run()
        before.check()

    for tenths in range(0, 40, 3):
        virtual.run(program, tenths / 10, backend=backend)
