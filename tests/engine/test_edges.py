"""Where several things meet: cancellations of two kinds, groups, streams that are polled, threads, late starts.

Each was found by attacking the engine with random programs; the docstring says how it showed.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    RunEndedError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from tests import virtual

pytestmark = pytest.mark.anyio


class Tick(Event):
    n: int


class Child(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await anyio.sleep(100)
        return StopEvent(result="child")


class HoldsABlock(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        async with Child().run() as run:
            return StopEvent(result=await run)


def test_a_native_time_limit_around_a_step_that_holds_a_block_is_a_timeout():
    """It was called stray: anyio counts the child task's scope against the task that waits, and takes back one."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await HoldsABlock().run()

    virtual.run(main, backend="asyncio")


class FailsInItsGroup(Workflow[str]):
    def __init__(self, error: BaseException, **options: Any) -> None:
        self.error = error
        super().__init__(**options)

    @step
    async def begin(self, ev: StartEvent) -> StopEvent | None:
        async with anyio.create_task_group() as tg:
            tg.start_soon(anyio.sleep, 100)
            try:
                await anyio.sleep(100)
            finally:
                raise self.error


async def test_a_group_with_a_cancellation_in_it_does_not_hide_a_timeout():
    """On trio a BaseExceptionGroup of Cancelled and ValueError came out in place of the timeout."""
    with pytest.raises(WorkflowTimeoutError) as caught:
        await FailsInItsGroup(ValueError("clean-up"), timeout=1).run()
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions[0].args == ("clean-up",)


def test_ctrl_c_in_a_group_of_a_steps_own_comes_out_bare(anyio_backend_name: str):
    """On trio it came out in a group."""
    caught: list[BaseException] = []

    async def main() -> None:
        try:
            with anyio.move_on_after(1):
                await FailsInItsGroup(KeyboardInterrupt()).run()
        except BaseException as error:  # noqa: BLE001
            caught.append(error)

    virtual.run(main, backend=anyio_backend_name)
    assert [type(error) for error in caught] == [KeyboardInterrupt]


class TwoTicks(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for n in range(2):
            await anyio.sleep(1)
            ctx.write_event_to_stream(Tick(n=n))
        return StopEvent(result="end")


async def test_a_reader_that_is_cancelled_as_an_event_arrives_reads_it_once():
    """It read it twice: from the deque of its old place, and from the new one."""
    async with TwoTicks().run() as run:
        stream = run.stream_events()
        seen: list[Event] = []
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tg:

                async def read() -> None:
                    with anyio.CancelScope(shield=False):
                        seen.append(await anext(stream))

                tg.start_soon(read)
                await anyio.sleep(1)
                scope.cancel()
        seen += [ev async for ev in stream]
        assert [ev.n for ev in seen if isinstance(ev, Tick)] == [0, 1]


async def test_a_second_task_may_not_wait_in_the_same_reader():
    async with TwoTicks().run() as run:
        stream = run.stream_events()
        async with anyio.create_task_group() as tg:
            tg.start_soon(anext, stream)
            await anyio.sleep(0.5)
            with pytest.raises(anyio.BusyResourceError):
                await anext(stream)


async def test_a_started_run_whose_block_is_cancelled_on_leaving_is_over_then():
    """It went on behind the block."""
    run = Child().run().start()
    with anyio.move_on_after(1):
        async with run:
            pass
    assert run.done


async def test_a_block_cannot_be_entered_twice():
    """On trio two tasks that entered one handler hung for ever."""
    run = Child().run()
    with anyio.move_on_after(1):
        async with run:
            with pytest.raises(WorkflowError, match="entered"):
                await run.__aenter__()


class StartsInItsCleanUp(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        try:
            await anyio.sleep(100)
        finally:
            self.inner = Child().run()
            self.inner.start()
        return StopEvent()


async def test_a_clean_up_cannot_start_a_run_that_would_outlive_its_own():
    """It was hosted by the loop and outlived its parent."""
    with pytest.raises(WorkflowTimeoutError) as caught:
        await StartsInItsCleanUp(timeout=1).run()
    assert isinstance(caught.value.__cause__, RunEndedError)


class Swallows(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> Tick:
        try:
            await anyio.sleep(100)
        except anyio.get_cancelled_exc_class():
            return Tick(n=1)
        raise AssertionError

    @step
    async def end(self, ev: Tick) -> StopEvent:
        return StopEvent()


async def test_what_a_step_returns_after_its_caller_was_cancelled_is_a_leftover():
    """It was neither a leftover nor a dead letter."""
    run = Swallows().run()
    with anyio.move_on_after(1):
        await run
    assert run.leftovers == (Tick(n=1),)


class HandlesFailures(Workflow[int]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for _ in range(50):
            inner = FailsInItsGroup(ValueError("no"), timeout=0.001).run()
            await anyio.lowlevel.checkpoint()
            with suppress(WorkflowTimeoutError):
                await inner
        run: Any = ctx._run
        self.children = run._children
        return StopEvent(result=50)


async def test_nested_runs_that_failed_and_were_handled_leave_nothing():
    """Six kilobytes each stayed until the parent ended."""
    workflow = HandlesFailures()
    assert await workflow.run() == 50
    assert not workflow.children


async def test_an_event_cannot_be_sent_from_another_thread_by_mistake():
    """On trio it raised after the event was admitted, and the run then timed out."""
    async with Swallows().run() as run:
        await anyio.sleep(0.1)
        with pytest.raises(WorkflowError, match="from_thread"):
            await anyio.to_thread.run_sync(run.send_event, Tick(n=2))
        assert run.leftovers == ()
        await run.cancel()


@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("inner", ["asyncio", "trio"])
async def test_a_step_in_a_thread_may_run_a_workflow_in_a_loop_of_its_own(inner: str):
    """The nested run was adopted by the run around it, from the wrong thread and loop."""

    class Small(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=threading.current_thread().name)

    class Outer(Workflow[str]):
        @step
        def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=Small().run_sync(backend=inner))

    assert await Outer().run() != threading.current_thread().name


def _decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


async def test_a_step_above_another_decorator_is_read_and_named_as_the_function_below():
    """Its annotations were looked up where the decorator is defined, and its line was the decorator's."""

    class Wrapped(Workflow[str]):
        @step
        @_decorated
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result="wrapped")

    assert await Wrapped().run() == "wrapped"
    label = Wrapped.blueprint().specs[0].label
    below = inspect.unwrap(Wrapped.begin).__code__
    assert label.endswith(f":{below.co_firstlineno})")


async def test_an_attribute_error_within_a_property_of_an_event_comes_out():
    """It was told as a field that the event does not have."""

    class Odd(Event):
        n: int

        @property
        def twice(self) -> int:
            return getattr(self.n, "nothing")  # noqa: B009 - it fails in here

    with pytest.raises(AttributeError, match="nothing"):
        _ = Odd(n=1).twice


def test_a_field_called_self_is_refused_where_it_is_declared():
    with pytest.raises(DefinitionError, match="'self'"):

        class _Odd(Event):
            self: int


@pytest.mark.usefixtures("real_time")
async def test_a_nested_run_that_blocks_past_the_deadline_is_a_timeout():
    """On asyncio it was called stalled, on trio timed out."""

    class Blocks(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            await anyio.sleep(0.01)
            time.sleep(0.05)  # noqa: ASYNC251 - it blocks the loop
            return StopEvent()

    class Parent(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent | None:
            self.inner = Blocks().run()
            return None

    with pytest.raises(WorkflowTimeoutError):
        await Parent(timeout=0.03).run()


async def test_what_is_written_to_the_stream_of_a_run_that_is_over_is_a_dead_letter():
    """It went behind the terminal event, or nowhere."""

    class KeepsItsContext(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            self.ctx = ctx
            return StopEvent(result="done")

    workflow = KeepsItsContext()
    async with workflow.run() as run:
        await run
    workflow.ctx.write_event_to_stream(Tick(n=1))
    assert [letter.event for letter in run.dead_letters] == [Tick(n=1)]
    assert [type(ev) for ev in [ev async for ev in run.stream_events()]] == [StopEvent]


async def test_a_timeout_error_tells_the_time_limit_that_was_given():
    """It told 0.1000000000003638."""
    await anyio.sleep(1234.5678)
    with pytest.raises(WorkflowTimeoutError) as caught:
        await Child(timeout=0.1).run()
    assert caught.value.timeout == 0.1
