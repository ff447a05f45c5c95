"""`ctx.check_cancelled()`: a plain `def` step that asks is cancelled there, as an async one is where it awaits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest

from stretto import (
    Context,
    Event,
    StartEvent,
    StepTimeoutError,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from tests import leaks

pytestmark = pytest.mark.anyio

PATIENCE = 5.0  # seconds that a test which fails takes


class Job(Event):
    pass


class Done(Event):
    number: int = 0


class BoomError(Exception):
    pass


began = threading.Event()
seen: list[str] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    began.clear()
    seen.clear()


def compute(ctx: Context) -> None:
    """A long computation that asks now and then."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        began.set()
        ctx.check_cancelled()
        time.sleep(0.0002)
    seen.append("computed to the end")


class Computes(Workflow[str]):
    """One thread that computes, and a step that ends the run meanwhile."""

    def __init__(
        self, end: str, work: Callable[[Context], object] = compute, timeout: float | None = None
    ) -> None:
        self.end = end
        self.work = work
        super().__init__(timeout=timeout)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
        ctx.send_event(Job())
        await has_begun()
        if self.end == "error":
            raise BoomError
        if self.end == "sleep":
            await anyio.sleep(PATIENCE)
        return StopEvent(result="stopped")

    @step
    def calculate(self, ctx: Context, ev: Job) -> Done:
        try:
            self.work(ctx)
        finally:
            seen.append("cleaned up")
        return Done(number=7)

    @step
    async def never(self, ev: Done) -> StopEvent[str]:
        raise AssertionError("its run is over")


async def has_begun() -> None:
    while not began.is_set():  # noqa: ASYNC110 - a thread sets it
        await anyio.sleep(0.001)


async def stops(wf: Computes) -> None:
    run = wf.run()
    assert await run == "stopped"
    assert (run.failures, run.leftovers, run.dead_letters) == ((), (), ())


async def fails(wf: Computes) -> None:
    run = wf.run()
    with pytest.raises(BoomError) as caught:
        await run
    assert run.failures == (caught.value,)


async def times_out(wf: Computes) -> None:
    while not began.is_set():  # on a busy machine the time may be over before a thread is there
        run = wf.run()
        with pytest.raises(WorkflowTimeoutError):
            await run
        assert run.failures == ()


async def is_cancelled(wf: Computes) -> None:
    async with wf.run() as run:
        await has_begun()
        await run.cancel()
        with pytest.raises(WorkflowCancelledError):
            await run
    assert run.failures == ()


async def loses_its_caller(wf: Computes) -> None:
    while not began.is_set():  # as above
        with anyio.move_on_after(0.02) as scope:
            await wf.run()
        assert scope.cancelled_caught


async def is_left_by_an_error(wf: Computes) -> None:
    with pytest.raises(BoomError):
        async with wf.run():
            await has_begun()
            raise BoomError


class Outer(Workflow[str]):
    def __init__(self, inner: Computes) -> None:
        self.inner = inner
        super().__init__()

    @step
    async def nest(self, ev: StartEvent) -> StopEvent[str]:
        return StopEvent(result=await self.inner.run())


async def is_nested_in_a_run_that_is_cancelled(wf: Computes) -> None:
    async with Outer(wf).run() as run:
        await has_begun()
        await run.cancel()


@pytest.mark.parametrize(
    ("end", "limit", "program"),
    [
        ("stop", None, stops),
        ("error", None, fails),
        ("sleep", 0.02, times_out),
        ("sleep", None, is_cancelled),
        ("sleep", None, loses_its_caller),
        ("sleep", None, is_left_by_an_error),
        ("sleep", None, is_nested_in_a_run_that_is_cancelled),
    ],
    ids=["stop", "failure", "timeout", "cancel", "caller", "block", "nested"],
)
async def test_a_thread_that_asks_ends_early_when_its_run_does(
    end: str, limit: float | None, program: Callable[[Computes], Awaitable[None]]
):
    before = leaks.Before()
    await program(Computes(end, timeout=limit))
    assert seen == ["cleaned up"]
    before.check()


def test_a_thread_that_asks_ends_early_when_its_caller_is_cancelled_natively():
    async def main() -> None:
        task = asyncio.create_task(Computes("sleep").execute())
        await has_begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["cleaned up"]

    anyio.run(main)  # in real time: the virtual clock takes a thread whose wait was cancelled for none


def test_a_thread_in_the_very_task_that_is_cancelled_natively_ends_early_too():
    """No scope knows of that cancellation while the task waits for its thread."""

    class Alone(Workflow[str]):
        @step
        def work(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            try:
                compute(ctx)
            finally:
                seen.append("cleaned up")
            return StopEvent(result="")

    async def main() -> None:
        task = asyncio.create_task(Alone().execute())
        await has_begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["cleaned up"]

    anyio.run(main)  # in real time, as above


async def test_a_thread_that_asks_ends_early_at_the_time_limit_of_its_step():
    class Limited(Workflow[str]):
        @step(timeout=0.01)
        def work(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            compute(ctx)
            return StopEvent(result="")

    run = Limited().run()
    with pytest.raises(StepTimeoutError) as caught:
        await run
    assert seen == []
    assert run.failures == (caught.value,)


async def test_asking_costs_nothing_while_the_run_goes_on():
    class Counts(Workflow[int]):
        @step
        def count(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            for number in range(100):
                ctx.check_cancelled()
                seen.append(str(number))
            return StopEvent(result=len(seen))

    assert await Counts().run() == 100


async def test_what_is_raised_is_the_cancellation_of_the_loop_each_time():
    raised: list[BaseException] = []

    def ask_twice(ctx: Context) -> None:
        for _ in range(2):
            try:
                compute(ctx)
            except BaseException as error:  # noqa: BLE001 - a cancellation is one
                raised.append(error)
        compute(ctx)

    await stops(Computes("stop", ask_twice))
    assert [type(error) for error in raised] == [anyio.get_cancelled_exc_class()] * 2


async def test_a_thread_that_swallows_its_cancellation_returns_too_late():
    def swallow(ctx: Context) -> None:
        try:
            compute(ctx)
        except BaseException as error:  # noqa: BLE001 - a cancellation is one
            raised.append(error)

    raised: list[BaseException] = []
    run = Computes("stop", swallow).run()
    assert await run == "stopped"
    assert run.leftovers == (Done(number=7),)
    assert run.failures == ()
    assert [type(error) for error in raised] == [anyio.get_cancelled_exc_class()]


async def test_what_a_cancelled_thread_sends_as_it_cleans_up_is_a_dead_letter():
    def send(ctx: Context) -> None:
        try:
            compute(ctx)
        finally:
            ctx.send_event(Done(number=1))

    run = Computes("stop", send).run()
    assert await run == "stopped"
    assert [letter.event for letter in run.dead_letters] == [Done(number=1)]


async def test_an_error_that_a_cancelled_thread_raises_is_a_failure():
    def break_down(ctx: Context) -> None:
        try:
            compute(ctx)
        finally:
            raise BoomError

    run = Computes("stop", break_down).run()
    with pytest.raises(BoomError):
        await run


async def test_a_shield_of_the_caller_holds_for_its_threads_too():
    class Shielded(Workflow[str]):
        @step
        def work(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            began.set()
            time.sleep(0.01)
            ctx.check_cancelled()
            return StopEvent(result="done")

    got: list[str] = []

    async def call() -> None:
        with anyio.CancelScope(shield=True):
            got.append(await Shielded().run())

    async with anyio.create_task_group() as tg:
        tg.start_soon(call)
        await has_begun()
        tg.cancel_scope.cancel()
    assert got == ["done"]


async def test_a_hundred_threads_all_end_early():
    class Many(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Job] | StopEvent[str]:
            for _ in range(100):
                ctx.send_event(Job())
            await has_begun()
            return StopEvent(result="stopped")

        @step(num_workers=20)
        def work(self, ctx: Context, ev: Job) -> None:
            compute(ctx)

    run = Many().run()
    assert await run == "stopped"
    assert seen == []
    assert run.failures == ()


async def test_an_async_step_is_told_what_to_write_instead():
    class Asks(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            ctx.check_cancelled()
            return StopEvent(result="")

    run = Asks().run()
    with pytest.raises(WorkflowError, match=r"write await anyio\.lowlevel\.checkpoint\(\)"):
        await run
    with pytest.raises(WorkflowError, match="is for a plain def step"):
        run.ctx.check_cancelled()
