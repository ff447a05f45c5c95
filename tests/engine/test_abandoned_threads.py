"""`@step(abandon=True)`: the one thing that outlives its run, and what becomes of it is told."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from stretto import (
    Context,
    Event,
    Limit,
    RetryPolicy,
    RunEndedError,
    StartEvent,
    StopEvent,
    ThreadContext,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    step,
)
from stretto.retry import no_wait
from tests import virtual

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("real_time"),
]  # virtual time knows of no abandoned thread

PATIENCE = 5.0  # seconds that a test which fails takes


class Job(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class BoomError(Exception):
    pass


began, free = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def threads_end_with_their_test() -> Generator[None]:
    began.clear()
    free.clear()
    yield
    free.set()


def nothing(ctx: Context) -> Done | None:
    """What most threads do once they are free."""


class Sits(Workflow[str]):
    """One thread that sits until it is freed, and a step that ends the run meanwhile."""

    def __init__(
        self, end: str, late: Callable[[Context], Done | None] = nothing, timeout: float | None = None
    ) -> None:
        self.end = end
        self.late = late
        super().__init__(timeout=timeout, grace=0.001)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
        ctx.send_event(Job())
        await has_begun()
        if self.end == "error":
            raise BoomError
        if self.end == "sleep":
            await anyio.sleep(PATIENCE)
        return StopEvent(result="stopped")

    @step(abandon=True)
    def sit(self, ctx: Context, ev: Job) -> Done | None:
        began.set()
        free.wait(PATIENCE)
        return self.late(ctx)

    @step
    async def never(self, ev: Done) -> StopEvent[str]:
        raise AssertionError("nothing is taken from a thread that was abandoned")


async def has_begun() -> None:
    while not began.is_set():  # noqa: ASYNC110 - a thread sets it
        await anyio.sleep(0.001)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def told(caplog: pytest.LogCaptureFixture, text: str) -> str:
    """The first line with this text, as soon as a thread has logged it."""
    until = time.monotonic() + PATIENCE
    while not any(text in line for line in lines(caplog)) and time.monotonic() < until:
        time.sleep(0.0005)
    return next(line for line in lines(caplog) if text in line)


async def stops(wf: Sits) -> None:
    assert await wf.run() == "stopped"


async def fails(wf: Sits) -> None:
    with pytest.raises(BoomError):
        await wf.run()


async def times_out(wf: Sits) -> None:
    while not began.is_set():  # on a busy machine the time may be over before a thread is there
        with pytest.raises(WorkflowTimeoutError):
            await wf.run()


async def is_cancelled(wf: Sits) -> None:
    async with wf.run() as run:
        await has_begun()
        await run.cancel()
        with pytest.raises(WorkflowCancelledError):
            await run
    assert run.failures == ()


async def loses_its_caller(wf: Sits) -> None:
    async with anyio.create_task_group() as tg:
        tg.start_soon(wf.execute)
        await has_begun()
        tg.cancel_scope.cancel()


async def is_left_by_an_error(wf: Sits) -> None:
    with pytest.raises(BoomError):
        async with wf.run():
            await has_begun()
            raise BoomError


@pytest.mark.parametrize(
    ("end", "limit", "program"),
    [
        ("stop", None, stops),
        ("error", None, fails),
        ("sleep", 0.05, times_out),
        ("sleep", None, is_cancelled),
        ("sleep", None, loses_its_caller),
        ("sleep", None, is_left_by_an_error),
    ],
    ids=["stop", "failure", "timeout", "cancel", "caller", "block"],
)
async def test_a_run_does_not_wait_for_a_thread_that_may_be_abandoned(
    end: str,
    limit: float | None,
    program: Callable[[Sits], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, "stretto")
    began_at = time.monotonic()
    await program(Sits(end, timeout=limit))
    assert time.monotonic() - began_at < PATIENCE / 2
    (line,) = lines(caplog)
    assert line.startswith("Sits: Sits.sit (test_abandoned_threads.py:")
    assert line.endswith(") was abandoned in its thread, which goes on")
    free.set()
    assert told(caplog, "has ended").endswith(", which was abandoned, has ended in its thread")


async def test_what_an_abandoned_thread_returns_is_told(caplog: pytest.LogCaptureFixture):
    await stops(Sits("stop", lambda ctx: Done(number=7)))
    free.set()
    assert told(caplog, "returned").endswith(
        ") returned Done(number=7) in its thread, when nobody waited for it any more"
    )


async def test_what_an_abandoned_thread_raises_is_told(caplog: pytest.LogCaptureFixture):
    def boom(ctx: Context) -> None:
        raise BoomError("late")

    run = Sits("stop", boom).run()
    assert await run == "stopped"
    free.set()
    line = told(caplog, "raised")
    assert line.endswith(") raised BoomError('late') in its thread, when nobody waited for it any more")
    assert caplog.records[-1].exc_info
    assert run.failures == ()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_abandoned_thread_ends_nobody_else(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
):
    def end_all(ctx: Context) -> None:
        raise kind

    await stops(Sits("stop", end_all))
    free.set()
    assert kind.__name__ in told(caplog, "raised")


async def test_what_an_abandoned_thread_sends_is_a_dead_letter(caplog: pytest.LogCaptureFixture):
    def send(ctx: Context) -> None:
        ctx.send_event(Done(number=1))
        ctx.write_event_to_stream(Done(number=2))

    run = Sits("stop", send).run()
    assert await run == "stopped"
    assert run.dead_letters == ()
    free.set()
    for number in (1, 2):
        assert f"dead letter Done(number={number}) from Sits.sit (" in told(caplog, f"(number={number})")
    told(caplog, "was abandoned in")
    while len(run.dead_letters) < 2:  # noqa: ASYNC110 - a thread sees to it
        await anyio.sleep(0.001)
    assert [letter.event for letter in run.dead_letters] == [Done(number=1), Done(number=2)]
    assert {letter.reason for letter in run.dead_letters} == {
        "the step that sent it was over, and its thread was not"
    }


async def test_an_abandoned_thread_that_asks_its_run_is_told_that_it_is_over(
    caplog: pytest.LogCaptureFixture,
):
    said: list[str] = []

    def ask(ctx: Context) -> None:
        for question in (lambda: ctx.remaining, lambda: ctx.collect_events(Job(), [Job])):
            with pytest.raises(RunEndedError) as caught:
                question()
            said.append(str(caught.value))
        said.append(ctx.run_id)

    caplog.set_level(logging.INFO, "stretto")
    run = Sits("stop", ask, timeout=10).run()
    assert await run == "stopped"
    free.set()
    told(caplog, "has ended")
    assert said[2] == run.run_id
    assert said[0] == said[1]
    assert said[0].endswith(") is over, and nothing is taken from its thread any more")


def test_an_abandoned_thread_may_outlive_the_loop(anyio_backend_name: str, caplog: pytest.LogCaptureFixture):
    said: list[type[BaseException]] = []

    def use_all(ctx: Context) -> Done:
        ctx.send_event(Done(number=1))
        ctx.write_event_to_stream(Done(number=2))
        for question in (
            lambda: ctx.remaining,
            lambda: ctx.collect_events(Job(), [Job]),
            ctx.check_cancelled,
        ):
            try:
                question()
            except BaseException as error:  # noqa: BLE001 - a cancellation is one
                said.append(type(error))
        return Done(number=3)

    cancelled: list[type[BaseException]] = []

    async def main() -> None:
        cancelled.append(anyio.get_cancelled_exc_class())
        await stops(Sits("stop", use_all, timeout=10))

    virtual.run(main, backend=anyio_backend_name)
    free.set()
    told(caplog, "returned Done(number=3)")
    assert said == [RunEndedError, RunEndedError, *cancelled]
    told(caplog, "dead letter Done(number=1)")
    told(caplog, "dead letter Done(number=2)")


class Alone(Workflow[str]):
    """One thread, and nothing beside it: the task that is cancelled is the one that waits for it."""

    @step(abandon=True)
    def sit(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        began.set()
        free.wait(PATIENCE)
        ctx.check_cancelled()
        return StopEvent(result="late")


@pytest.mark.parametrize("alone", [False, True])
def test_a_native_cancellation_abandons_too(alone: bool, caplog: pytest.LogCaptureFixture):
    def look(ctx: Context) -> Done:
        ctx.check_cancelled()
        return Done(number=7)

    async def main() -> None:
        task = asyncio.create_task((Alone() if alone else Sits("sleep", look)).execute())
        await has_begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not free.is_set()

    caplog.set_level(logging.INFO, "stretto")
    virtual.run(main, backend="asyncio")
    told(caplog, "was abandoned in")
    free.set()
    told(caplog, "has ended in its thread")


async def test_an_abandoned_thread_may_look_whether_it_is_cancelled(caplog: pytest.LogCaptureFixture):
    caught: list[BaseException] = []

    def look(ctx: Context) -> None:
        try:
            ctx.check_cancelled()
        except BaseException as error:
            caught.append(error)
            raise

    caplog.set_level(logging.INFO, "stretto")
    await stops(Sits("stop", look))
    free.set()
    told(caplog, "has ended in its thread")
    assert type(caught[0]) is anyio.get_cancelled_exc_class()


async def test_a_thread_that_may_be_abandoned_and_ends_in_time_is_a_step_like_any_other(
    caplog: pytest.LogCaptureFixture,
):
    class Quick(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(3)]

        @step(abandon=True)
        def work(self, ctx: Context, ev: Job) -> Done:
            ctx.write_event_to_stream(ev)
            return Done(number=ev.number)

        @step(abandon=True, num_workers=1)
        def gather(self, ctx: Context, ev: Done) -> StopEvent[list[int]] | None:
            batch = ctx.collect_events(ev, [Done] * 3)
            return None if batch is None else StopEvent(result=sorted(done.number for done in batch))

    async with Quick().run() as run:
        events = [ev async for ev in run.stream_events()]
        assert await run == [0, 1, 2]
    assert len(events) == 4
    assert caplog.records == []


async def test_a_thread_that_may_be_abandoned_fails_like_any_other():
    class Fails(Workflow[str]):
        @step(abandon=True)
        def fail(self, ev: StartEvent) -> StopEvent[str]:
            raise error

    error = BoomError()
    with pytest.raises(BoomError) as caught:
        await Fails().run()
    assert caught.value is error
    assert "Fails.fail" in "\n".join(caught.value.__notes__)


# A busy machine may let an attempt pass this limit that does not sit, too.
IMPATIENT = RetryPolicy(attempts=50, on=TimeoutError, wait=no_wait())


async def test_a_time_limit_of_a_step_abandons_its_thread_and_the_next_attempt_has_one_of_its_own(
    caplog: pytest.LogCaptureFixture,
):
    class Tries(Workflow[str]):
        @step(abandon=True, timeout=0.02, retry_policy=IMPATIENT)
        def sit(self, ctx: ThreadContext, ev: StartEvent) -> Job | StopEvent[str]:
            if not began.is_set():
                began.set()
                free.wait(PATIENCE)
                ctx.send_event(Job(number=1))
                with pytest.raises(RunEndedError, match="nothing is taken from its thread"):
                    ctx.store.set("late", True)
                refused.set()
                return Job(number=2)
            free.set()
            refused.wait(PATIENCE)  # the run goes on meanwhile
            return StopEvent(result="another attempt")

        @step
        async def never(self, ev: Job) -> StopEvent[str]:
            raise AssertionError("that attempt is over")

    refused = threading.Event()
    run = Tries().run()
    assert await run == "another attempt"
    assert await run.ctx.store.get("late", None) is None
    told(caplog, "was abandoned in")
    told(caplog, "returned Job(number=2)")
    while not run.dead_letters:  # noqa: ASYNC110 - a thread sees to it
        await anyio.sleep(0.001)
    assert [letter.event for letter in run.dead_letters] == [Job(number=1)]
    assert run.failures == ()


async def test_an_edit_of_an_abandoned_thread_is_dropped_and_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
):
    class Edits(Workflow[list[object]]):
        @step
        async def warm_up(self, ctx: Context, ev: StartEvent) -> Job:
            await ctx.store.set("late", False)
            return Job()

        @step(abandon=True, timeout=0.02, retry_policy=IMPATIENT)
        def edit(self, ctx: ThreadContext, ev: Job) -> Done | None:
            if began.is_set():
                free.set()
                return Done()
            with ctx.store.edit_state() as state:
                began.set()
                state["late"] = True
                free.wait(PATIENCE)
            return None

        @step
        async def then(self, ctx: Context, ev: Done) -> StopEvent[list[object]]:
            await ctx.store.set("then", 1)
            return StopEvent(result=[await ctx.store.get("late"), await ctx.store.get("then")])

    assert await Edits().run() == [False, 1]
    assert "is over, and nothing is taken from its thread any more" in told(caplog, "raised RunEndedError")


async def test_a_thread_that_is_abandoned_while_it_waits_for_its_turn_to_edit_is_told_so(
    caplog: pytest.LogCaptureFixture,
):
    class Waits(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Job] | None:
            await ctx.store.set("late", False)
            async with ctx.store.edit_state():
                ctx.send_event(Job())
                await has_begun()
                await anyio.sleep(0.005)  # it waits for its turn meanwhile
                ctx.send_event(StopEvent(result="stopped"))
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.005)
            return None

        @step(abandon=True)
        def wait(self, ctx: ThreadContext, ev: Job) -> StopEvent[str] | None:
            began.set()
            ctx.store.set("late", True)

    run = Waits().run()
    assert await run == "stopped"
    assert "is over, and nothing is taken from its thread any more" in told(caplog, "raised RunEndedError")
    assert await run.ctx.store.get("late") is False


async def test_the_store_of_an_abandoned_thread_is_closed(caplog: pytest.LogCaptureFixture):
    said: list[type[BaseException]] = []

    def use(ctx: Context) -> None:
        store: Any = ctx.store
        for call in (store.get_state, lambda: store.get("a", 0), lambda: store.set("a", 1), edit(store)):
            with pytest.raises(RunEndedError) as caught:
                call()
            said.append(caught.type)

    def edit(store: Any) -> Callable[[], None]:
        def edits() -> None:
            with store.edit_state():
                raise AssertionError("nobody lets it in")

        return edits

    caplog.set_level(logging.INFO, "stretto")
    await stops(Sits("stop", use))
    free.set()
    told(caplog, "has ended in its thread")
    assert said == [RunEndedError] * 4


async def test_of_many_each_is_named(caplog: pytest.LogCaptureFixture):
    class Many(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Job] | StopEvent[str]:
            for number in range(20):
                ctx.send_event(Job(number=number))
            while barrier.n_waiting < 20:  # noqa: ASYNC110 - threads come to it
                await anyio.sleep(0.001)
            return StopEvent(result="stopped")

        @step(abandon=True, num_workers=20)
        def sit(self, ev: Job) -> None:
            barrier.wait(PATIENCE)
            gone.release()

    barrier, gone = threading.Barrier(21), threading.Semaphore(0)
    assert await Many().run() == "stopped"
    assert sum("was abandoned" in line for line in lines(caplog)) == 20
    barrier.wait(PATIENCE)
    assert all(gone.acquire(timeout=PATIENCE) for _ in range(20))


async def test_one_that_has_not_begun_is_called_off_and_not_named(caplog: pytest.LogCaptureFixture):
    """It waits for a place among the threads that anyio lets run at once."""

    class Crowded(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            ctx.send_event(Job())
            await anyio.sleep(0.001)
            return StopEvent(result="stopped")

        @step(abandon=True)
        def sit(self, ev: Job) -> None:
            began.set()

    limiter = anyio.to_thread.current_default_thread_limiter()
    taken = [object() for _ in range(int(limiter.total_tokens))]
    for holder in taken:
        limiter.acquire_on_behalf_of_nowait(holder)
    try:
        assert await Crowded().run() == "stopped"
    finally:
        for holder in taken:
            limiter.release_on_behalf_of(holder)
    assert not began.is_set()
    assert caplog.records == []


async def test_an_abandoned_thread_keeps_its_place_on_trio_and_gives_it_back_on_asyncio(
    anyio_backend_name: str, caplog: pytest.LogCaptureFixture
):
    limiter = anyio.to_thread.current_default_thread_limiter()
    await stops(Sits("stop"))
    assert limiter.borrowed_tokens == {"asyncio": 0, "trio": 1}[anyio_backend_name]
    free.set()
    while limiter.borrowed_tokens:  # noqa: ASYNC110 - a thread sees to it
        await anyio.sleep(0.001)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_comes_of_a_thread_that_ends_as_its_run_does_is_told(
    fails: bool, caplog: pytest.LogCaptureFixture
):
    """It has ended, but the loop does not know yet."""

    class Meets(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            ctx.send_event(Job())
            await has_begun()
            free.set()
            time.sleep(0.005)  # noqa: ASYNC251 - the thread ends meanwhile
            return StopEvent(result="stopped")

        @step(abandon=True)
        def meet(self, ev: Job) -> StopEvent[str]:
            began.set()
            free.wait(PATIENCE)
            if fails:
                raise BoomError
            return StopEvent(result="late")

    assert await Meets().run() == "stopped"
    told(caplog, "raised BoomError()" if fails else "returned StopEvent(result='late')")


async def test_a_thread_that_only_waits_for_the_loop_is_answered_before_it_is_abandoned():
    """It had asked as its run was decided; the answer comes, and no thread hangs."""

    class Asks(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            ctx.send_event(Job())
            await has_begun()
            time.sleep(0.005)  # noqa: ASYNC251 - the thread asks meanwhile
            return StopEvent(result="stopped")

        @step(abandon=True)
        def ask(self, ctx: Context, ev: Job) -> None:
            began.set()
            try:
                answers.append(ctx.remaining is not None)
            except RunEndedError:
                answers.append(True)
            gone.set()

    answers: list[bool] = []
    gone = threading.Event()
    assert await Asks().run() == "stopped"
    for _ in range(100):
        await anyio.sleep(0.001)
    assert gone.wait(PATIENCE)
    assert answers == [True]


async def test_an_abandoned_thread_leaves_its_turn_to_edit_to_the_next_at_once(
    caplog: pytest.LogCaptureFixture,
):
    """Whoever wanted to edit waited for the end of the thread."""
    ended: list[bool] = []

    def dropped() -> list[str]:
        """What is noted on errors of threads; on a busy machine some are refused before they edit, without a note."""
        raised = [record.exc_info[1] for record in caplog.records if record.exc_info]
        return [note for error in raised for note in getattr(error, "__notes__", ())]

    class Edits(Workflow[list[object]]):
        @step
        async def warm_up(self, ctx: Context, ev: StartEvent) -> Job:
            await ctx.store.set("names", ["Ada"])
            return Job()

        @step(abandon=True, timeout=0.02, retry_policy=IMPATIENT)
        def edit(self, ctx: ThreadContext, ev: Job) -> Done | None:
            if began.is_set():
                return Done()
            with ctx.store.edit_state() as state:
                began.set()
                free.wait(PATIENCE)
                ended.append(True)
                state["names"].append("Bob")
            return None

        @step
        async def then(self, ctx: Context, ev: Done) -> StopEvent[list[object]]:
            before = await ctx.store.get("names")
            async with ctx.store.edit_state() as state:
                state["names"].append("Eve")
            await ctx.store.set("then", 1)
            assert not ended
            free.set()
            while not dropped():  # noqa: ASYNC110 - a thread sees to it
                await anyio.sleep(0.001)
            assert before == ["Ada"], "it edits what is its own"
            await ctx.store.set("at last", 2)
            return StopEvent(result=await ctx.store.get("names"))

    run = Edits().run()
    assert await run == ["Ada", "Eve"]
    assert await run.ctx.store.get("at last") == 2
    assert set(dropped()) == {
        "what its edit_state() block has changed is dropped: others may have edited since"
    }


async def test_an_abandoned_thread_gives_its_turn_of_a_limit_back_at_once_and_once_for_all():
    """It is over for its run, so it does not count; what it does at its end gives no turn to one too many."""
    limit, at_work, most = Limit(1), list[int](), list[int]()

    class Page(Event):
        number: int

    class Shares(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            return Job(number=0)

        @step(abandon=True, limiter=limit, timeout=0.02, retry_policy=IMPATIENT)
        def sit(self, ev: Job) -> list[Page] | None:
            if began.is_set():
                return [Page(number=number) for number in range(3)]
            began.set()
            free.wait(PATIENCE)
            ended.set()
            return None

        @step(limiter=limit)
        async def work(self, ev: Page) -> Done:
            assert not ended.is_set() or ev.number
            free.set()
            at_work.append(ev.number)
            most.append(len(at_work))
            while not ended.is_set():  # noqa: ASYNC110 - a thread sees to it
                await anyio.sleep(0.001)
            await anyio.sleep(0.005)
            at_work.remove(ev.number)
            return Done()

        @step
        async def end(self, done: list[Done]) -> StopEvent[int]:
            return StopEvent(result=len(done))

    ended = threading.Event()
    assert await Shares().run() == 3
    assert most == [1, 1, 1]
    line = limit.line()
    assert line.join("one")
    assert not line.join("another")
    line.leave("one")
    assert line.has("another")
    line.leave("another")
