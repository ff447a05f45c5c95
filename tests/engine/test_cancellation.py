"""P1: nothing outlives its run, for whatever reason it ended.

One workflow has everything in it that can be left behind: steps that sleep, that clean up in a shield, that
sit in a thread, that hold an async generator open, and a run within the run. It is ended in every way there
is, and when the caller goes on, all of them must have signed out. The leak check round every test looks for
tasks, threads and generators.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import anyio
import pytest
import trio
from anyio.abc import TaskStatus

from stretto import (
    Context,
    Event,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    step,
)
from tests import leaks, virtual
from tests.engine.ledger import Ledger

pytestmark = pytest.mark.anyio


class Nap(Event):
    """For a step that sleeps."""


class Tidy(Event):
    """For a step whose clean-up takes a second."""


class Thread(Event):
    """For a step in a thread."""


class Count(Event):
    """For a step that reads an async generator."""


class Child(Event):
    """For a step that runs a workflow."""


class Stubborn(Event):
    """For a step that swallows its first cancellation."""


class Go(Event):
    """For the step that ends it all."""


class BoomError(Exception):
    """What a step raises."""


async def numbers(ledger: Ledger) -> AsyncGenerator[int]:
    ledger.enter("numbers")
    try:
        for number in range(1000):
            yield number
            await anyio.sleep(1)
    finally:
        ledger.leave("numbers")


class Leaf(Workflow[None]):
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(timeout=None)

    @step
    async def rest(self, ev: StartEvent) -> StopEvent:
        async with self.ledger.signed("leaf", cleanup=0.5):
            await anyio.sleep(1000)
        return StopEvent()


class Everything(Workflow[str]):
    """All that can be left behind, and a step that decides how it ends."""

    def __init__(self, ledger: Ledger, end: str = "sleep", timeout: float | None = 100.0) -> None:
        self.ledger = ledger
        self.end = end
        super().__init__(timeout=timeout)

    @step
    async def begin(
        self, ctx: Context, ev: StartEvent
    ) -> Nap | Tidy | Thread | Count | Child | Stubborn | Go | None:
        for kind in (Nap, Tidy, Thread, Count, Child, Stubborn, Go):
            ctx.send_event(kind())

    @step
    async def nap(self, ev: Nap) -> None:
        async with self.ledger.signed("nap"):
            await anyio.sleep(1000)

    @step
    async def tidy(self, ev: Tidy) -> None:
        async with self.ledger.signed("tidy", cleanup=1):
            await anyio.sleep(1000)

    @step
    async def count(self, ev: Count) -> None:
        async with self.ledger.signed("count"):
            async for _ in numbers(self.ledger):
                pass

    @step
    async def child(self, ev: Child) -> None:
        async with self.ledger.signed("child"):
            await Leaf(self.ledger).run()

    @step
    async def stubborn(self, ev: Stubborn) -> None:
        async with self.ledger.signed("stubborn"):
            try:
                await anyio.sleep(1000)
            except anyio.get_cancelled_exc_class():
                self.ledger.log.append("swallowed")

    @step
    async def go(self, ctx: Context, ev: Go) -> StopEvent:
        async with self.ledger.signed("go"):
            ctx.write_event_to_stream(ev)
            await anyio.sleep(2)
            if self.end == "stop":
                return StopEvent(result="done")
            if self.end == "boom":
                raise BoomError
            await anyio.sleep(1000)
        return StopEvent(result="too late")


@step(workflow=Everything)
def thread(ev: Thread) -> None:
    time.sleep(0.05)


ALL = {"nap", "tidy", "count", "numbers", "child", "leaf", "stubborn", "go"}


def all_gone(ledger: Ledger) -> None:
    assert set(ledger.entered) == ALL, "the test itself is broken: some of it was never begun"
    assert not ledger.inside
    gc.collect()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def test_after_a_result_nothing_is_left(ledger: Ledger):
    assert await Everything(ledger, "stop").run() == "done"
    all_gone(ledger)


async def test_after_an_error_nothing_is_left(ledger: Ledger):
    with pytest.raises(BoomError):
        await Everything(ledger, "boom").run()
    all_gone(ledger)


async def test_after_a_timeout_nothing_is_left(ledger: Ledger):
    with pytest.raises(WorkflowTimeoutError):
        await Everything(ledger, timeout=5).run()
    all_gone(ledger)


async def test_after_the_callers_scope_was_cancelled_nothing_is_left(ledger: Ledger):
    with anyio.move_on_after(5) as scope:
        await Everything(ledger).run()
    assert scope.cancelled_caught
    all_gone(ledger)


async def test_after_a_failing_sibling_of_the_caller_nothing_is_left(ledger: Ledger):
    async def fail() -> None:
        await anyio.sleep(5)
        raise BoomError

    with pytest.RaisesGroup(BoomError):
        async with anyio.create_task_group() as tg:
            tg.start_soon(Everything(ledger).execute)
            tg.start_soon(fail)
    all_gone(ledger)


@pytest.mark.parametrize("form", ["await", "block"])
async def test_after_cancel_nothing_is_left(ledger: Ledger, form: str):
    async with Everything(ledger).run() as run:
        await anyio.sleep(5)
        await run.cancel()
        all_gone(ledger)
        assert run.done
        if form == "await":
            with pytest.raises(WorkflowCancelledError):
                await run


async def test_after_the_body_of_a_block_raised_nothing_is_left(ledger: Ledger):
    with pytest.raises(BoomError):
        async with Everything(ledger).run():
            await anyio.sleep(5)
            raise BoomError
    all_gone(ledger)


async def test_after_the_scope_round_a_block_was_cancelled_nothing_is_left(ledger: Ledger):
    with anyio.move_on_after(5) as scope:
        async with Everything(ledger).run():
            await anyio.sleep(1000)
    assert scope.cancelled_caught
    all_gone(ledger)


async def test_after_the_articles_form_was_cancelled_while_iterating_nothing_is_left(ledger: Ledger):
    handler = Everything(ledger).run()
    with anyio.move_on_after(5) as scope:
        async for _ in handler.stream_events():
            pass
    assert scope.cancelled_caught
    all_gone(ledger)
    assert handler.done
    with pytest.raises(WorkflowCancelledError):
        await handler


async def test_after_the_articles_form_was_cancelled_while_awaiting_nothing_is_left(ledger: Ledger):
    handler = Everything(ledger).run()
    handler.stream_events()
    with anyio.move_on_after(5) as scope:
        await handler
    assert scope.cancelled_caught
    all_gone(ledger)


async def test_a_dropped_handle_cancels_its_run(ledger: Ledger):
    before = leaks.Before()
    handler = Everything(ledger).run()
    handler.stream_events()
    await anyio.sleep(5)
    assert before.left_behind() != []
    del handler
    gc.collect()
    await anyio.sleep(5)
    all_gone(ledger)
    assert before.left_behind() == []


async def test_a_stream_that_is_abandoned_with_its_handle_cancels_the_run(ledger: Ledger):
    async for ev in Everything(ledger).run().stream_events():
        assert ev == Go()
        await anyio.sleep(1)
        break
    gc.collect()
    await anyio.sleep(5)
    all_gone(ledger)


async def test_an_abandoned_stream_keeps_the_run_for_whoever_still_has_the_handle(ledger: Ledger):
    handler = Everything(ledger, "stop").run()
    stream = handler.stream_events()
    await anext(stream)
    del stream
    gc.collect()
    assert await handler == "done"
    all_gone(ledger)


async def test_a_run_whose_sibling_still_works_ends_at_once_on_a_stop_event(ledger: Ledger):
    began = anyio.current_time()
    await Everything(ledger, "stop").run()
    assert anyio.current_time() - began < 2 + 1 + 0.5, "StopEvent at 2, and a clean-up of one second"


def test_after_control_c_nothing_is_left(ledger: Ledger, anyio_backend_name: str):
    import signal

    async def main() -> None:
        before = leaks.Before()

        async def press() -> None:
            await anyio.sleep(5)
            signal.raise_signal(signal.SIGINT)

        async with anyio.create_task_group() as tg:
            tg.start_soon(press)
            try:
                await Everything(ledger).run()
            finally:
                assert not ledger.inside
                assert len(before.left_behind()) <= 1  # `press` may be there still

    told = 0
    try:
        virtual.run(main, backend=anyio_backend_name)
    except* KeyboardInterrupt:  # in a group on trio, where the task group of `main` was hit
        told += 1
    assert told == 1
    all_gone(ledger)


# -- asyncio's own ways to cancel ---------------------------------------------------------------------------


def on_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    async def watched() -> None:
        before = leaks.Before()
        await main()
        before.check()

    virtual.run(watched, backend="asyncio")


def test_after_wait_for_nothing_is_left(ledger: Ledger):
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Everything(ledger).run(), 5)
        all_gone(ledger)

    on_asyncio(main)


def test_after_asyncio_timeout_nothing_is_left(ledger: Ledger):
    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(5):
                await Everything(ledger).run()
        assert not isinstance(caught.value, WorkflowTimeoutError)
        all_gone(ledger)

    on_asyncio(main)


@pytest.mark.parametrize("form", ["awaited", "block", "article"])
def test_after_task_cancel_nothing_is_left(ledger: Ledger, form: str):
    async def program() -> None:
        run = Everything(ledger).run()
        if form == "awaited":
            await run
        elif form == "block":
            async with run:
                await run
        else:
            async for _ in run.stream_events():
                pass

    async def main() -> None:
        task = asyncio.create_task(program())
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        all_gone(ledger)

    on_asyncio(main)


class Tidies(Workflow[str]):
    """Takes a second to clean up."""

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        try:
            await anyio.sleep(1000)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
        return StopEvent(result="late")


class Beside(Workflow[str]):
    """Makes a run and leaves it to itself."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | None:
        self.kept = Tidies().run()
        return None


class Around(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await Beside().run())


@pytest.mark.parametrize("make", [Tidies, Beside, Around])
def test_task_cancel_goes_on_though_a_nested_run_takes_its_time(make: Callable[[], Workflow[str]]):
    """It ended as an error "raised CancelledError although nothing was cancelled".

    A scope of a child that is cancelled a second time makes anyio count one native cancellation of the host task
    less, so that cannot be asked afterwards.
    """

    async def main() -> None:
        task = asyncio.create_task(make().execute())
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    on_asyncio(main)


def test_after_a_cancelled_gather_nothing_is_left(ledger: Ledger):
    other = Ledger()

    async def main() -> None:
        both = asyncio.gather(Everything(ledger).execute(), Everything(other).execute())
        await asyncio.sleep(5)
        both.cancel()
        with pytest.raises(asyncio.CancelledError):
            await both
        all_gone(ledger)
        all_gone(other)

    on_asyncio(main)


def test_after_trios_own_nursery_was_cancelled_nothing_is_left(ledger: Ledger):
    async def main() -> None:
        before = leaks.Before()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Everything(ledger).execute)
            await trio.sleep(5)
            nursery.cancel_scope.cancel()
        all_gone(ledger)
        before.check()

    virtual.run(main, backend="trio")


# -- steps that swallow a cancellation meant for the caller -------------------------------------------------


class Swallow(Workflow[str]):
    """One step, in the caller's own task, that takes a cancellation for itself and returns a value."""

    def __init__(self, *, wide: bool) -> None:
        self.wide = wide
        super().__init__(timeout=100)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Nap | StopEvent | None:
        if self.wide:
            ctx.send_event(Nap())
        return await self.swallow()

    @step
    async def nap(self, ev: Nap) -> StopEvent:
        return await self.swallow()

    async def swallow(self) -> StopEvent:
        try:
            await anyio.sleep(50)
        except anyio.get_cancelled_exc_class():
            return StopEvent(result="swallowed")
        return StopEvent(result="in time")


class SwallowNarrow(Workflow[str]):
    """The same without a Context: the engine has no task group for it."""

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        try:
            await anyio.sleep(50)
        except anyio.get_cancelled_exc_class():
            return StopEvent(result="swallowed")
        return StopEvent(result="in time")


SWALLOWERS: list[Callable[[], Workflow[str]]] = [
    SwallowNarrow,
    lambda: Swallow(wide=False),
    lambda: Swallow(wide=True),
]


@pytest.mark.parametrize("make", SWALLOWERS, ids=["narrow", "one step", "two steps"])
async def test_a_swallowed_scope_cancellation_still_cancels_the_caller(make: Callable[[], Workflow[str]]):
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tg:

            async def caller() -> None:
                result = await make().run()
                raise AssertionError(f"the cancellation became a result: {result}")

            tg.start_soon(caller)
            await anyio.sleep(5)
            scope.cancel()
    assert scope.cancelled_caught


@pytest.mark.parametrize("make", SWALLOWERS, ids=["narrow", "one step", "two steps"])
def test_a_swallowed_task_cancel_still_cancels_the_caller(make: Callable[[], Workflow[str]]):
    async def caller() -> str:
        return await make().run()

    async def main() -> None:
        task = asyncio.create_task(caller())
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    on_asyncio(main)


@pytest.mark.parametrize("make", SWALLOWERS, ids=["narrow", "one step", "two steps"])
def test_a_swallowed_wait_for_still_times_out(make: Callable[[], Workflow[str]]):
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(make().run(), 5)

    on_asyncio(main)


@pytest.mark.parametrize("make", SWALLOWERS, ids=["narrow", "one step", "two steps"])
async def test_a_swallowed_cancel_of_the_handle_does_not_become_a_result(make: Callable[[], Workflow[str]]):
    async with make().run() as run:
        await anyio.sleep(5)
        await run.cancel()
        with pytest.raises(WorkflowCancelledError):
            await run


@pytest.mark.parametrize("make", SWALLOWERS, ids=["narrow", "one step", "two steps"])
async def test_a_run_in_a_scope_that_is_cancelled_already_does_not_give_a_result(
    make: Callable[[], Workflow[str]],
):
    with anyio.CancelScope() as scope:
        scope.cancel()
        result = await make().run()
        raise AssertionError(f"ran all the same: {result}")
    assert scope.cancelled_caught


class Spinner(Workflow[str]):
    """A step that swallows its first three cancellations."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(timeout=100)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for _ in range(3):
            try:
                await anyio.sleep(50)
            except anyio.get_cancelled_exc_class():
                self.ledger.log.append("swallowed")
        return StopEvent(result="swallowed")


async def test_a_step_that_swallows_in_a_loop_still_cancels_the_caller(ledger: Ledger):
    with anyio.move_on_after(5) as scope:
        result = await Spinner(ledger).run()
        raise AssertionError(f"the cancellation became a result: {result}")
    assert scope.cancelled_caught
    assert ledger.log == ["swallowed"] * 3


async def test_start_in_a_task_group_works_like_any_task(ledger: Ledger):
    async def host(task_status: TaskStatus[None]) -> None:
        task_status.started()
        await Everything(ledger).run()

    async with anyio.create_task_group() as tg:
        await tg.start(host)
        await anyio.sleep(5)
        tg.cancel_scope.cancel()
    all_gone(ledger)


def test_what_ends_with_the_program_is_cleaned_up_too(ledger: Ledger, anyio_backend_name: str):
    """A run in the article's form that nobody waits for: the end of main cancels it, on both backends."""

    async def main() -> None:
        main.handler = Everything(ledger).run()
        main.handler.stream_events()
        await anyio.sleep(5)

    virtual.run(main, backend=anyio_backend_name)
    assert not ledger.inside


class Poke(Event, external=True):
    pass


class Begins(Workflow[None]):
    def __init__(self):
        super().__init__()
        self.begun = 0

    @step
    async def idle(self, ctx: Context, ev: StartEvent) -> None:
        pass

    @step
    async def poked(self, ctx: Context, ev: Poke) -> StopEvent[None]:
        self.begun += 1
        await anyio.sleep(60)
        return StopEvent()


async def test_what_was_sent_just_before_a_cancellation_begins_no_step():
    workflow = Begins()
    with anyio.fail_after(5):
        async with workflow.run() as run:
            await anyio.wait_all_tasks_blocked()
            event = Poke()
            run.send_event(event)
            await run.cancel()
    assert not workflow.begun
    assert run.leftovers == (event,)
