"""What showed when somebody set out to break the promises; each test says in its docstring how."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
import types
import weakref
from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio

from stretto import (
    Context,
    Event,
    Handler,
    StartEvent,
    StopEvent,
    UndeclaredEventError,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto._carry import carried
from stretto.errors import RoutingError
from stretto.events import StreamGap

pytestmark = pytest.mark.anyio


class Job(Event):
    n: int = 0


class Other(Event):
    n: int = 0


# -- native cancellations ----------------------------------------------------------------------------------------------


class Threaded(Workflow[None]):
    """Works in a thread for a moment."""

    working = False

    @step
    def work(self, ev: StartEvent) -> StopEvent[None]:
        self.working = True
        ev.begun.set()
        time.sleep(0.05)
        self.working = False
        return StopEvent()


@pytest.mark.parametrize("how", ["cancel", "wait_for", "timeout"])
def test_a_native_cancellation_waits_for_the_thread_of_a_step(how: str):
    """The thread was left at work: a native cancellation goes through the shield around it."""
    workflow = Threaded()
    begun = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(workflow.execute(StartEvent(begun=begun)))
        await asyncio.to_thread(begun.wait)
        if how == "cancel":
            task.cancel()
            await task
        elif how == "wait_for":
            await asyncio.wait_for(task, 0)
        else:
            async with asyncio.timeout(0):
                await task

    with pytest.raises((asyncio.CancelledError, TimeoutError)):
        asyncio.run(main())
    assert begun.is_set()
    assert not workflow.working


def test_a_step_in_a_thread_that_never_began_is_not_waited_for():
    """One that is cancelled while it waits for a thread."""

    async def main() -> None:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        held = threading.Event()
        async with anyio.create_task_group() as tg:
            tg.start_soon(anyio.to_thread.run_sync, held.wait)
            await anyio.sleep(0.01)
            task = asyncio.create_task(Threaded().execute(StartEvent(begun=threading.Event())))
            await anyio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            held.set()

    asyncio.run(main())


@pytest.mark.parametrize("swallows", [True, False])
def test_a_cancellation_that_is_pending_when_a_run_begins_goes_on(swallows: bool):
    """It became an error that said that nothing was cancelled, or a result."""

    class Sleeps(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                if not swallows:
                    raise
            return StopEvent(result="done")

    async def begins_cancelled() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return await Sleeps().run()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(begins_cancelled())


def test_an_interrupt_that_is_pending_when_a_run_begins_comes_out():
    """A server went on as if there had been no Ctrl-C."""

    class Sleeps(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            await asyncio.sleep(0.01)
            return StopEvent(result="done")

    async def main() -> None:
        signal.raise_signal(signal.SIGINT)
        await Sleeps().run()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


def test_an_interrupt_outranks_the_cancellation_of_the_caller():
    """On trio it was taken for one of the cancellations that it came with, and lost."""

    @trio.lowlevel.enable_ki_protection
    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    class Works(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(2)]

        @step
        async def work(self, ev: Job) -> StopEvent[None] | None:
            try:
                await anyio.sleep(10)
            finally:
                if ev.n == 0:
                    interrupt()
                else:
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(0.01)

    async def main() -> None:
        with anyio.move_on_after(0.01):
            await Works().run()
        await anyio.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend="trio")


async def test_who_cancels_past_the_deadline_comes_too_late():
    """The cancellation won although the clock was past the deadline."""

    class Sleeps(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            await anyio.sleep(5)
            return StopEvent()

    async with Sleeps(timeout=0.02).run() as run:
        await anyio.lowlevel.checkpoint()
        driver: Any = run._driver
        driver.machine.deadline -= 60  # as if the loop had been blocked
        await run.cancel()
        with pytest.raises(WorkflowTimeoutError):
            await run


async def test_the_result_of_a_run_whose_caller_was_cancelled_is_nobodys():
    """A second task that awaited the same run was given the result."""

    class Shields(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            event = anyio.Event()
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as tg:
                    tg.start_soon(anyio.sleep, 2)
                await anyio.lowlevel.checkpoint()
            event.set()
            return StopEvent(result=5)

    run = Shields().run()
    with anyio.move_on_after(1) as scope:
        await run
    assert scope.cancelled_caught
    with pytest.raises(WorkflowCancelledError):
        await run
    assert run.leftovers == (StopEvent(result=5),)


def test_an_interrupt_between_two_resumptions_is_raised_in_the_step():
    """The coroutine was dropped where it stood: its scopes stayed open and its clean-up did not run."""
    log: list[str] = []

    async def works() -> None:
        try:
            await anyio_free_checkpoint()
        except KeyboardInterrupt:
            log.append("interrupted")
            raise

    class Interrupted:
        carry = copy_context()
        suspended = lingers = inside = False
        fresh: list[Callable[[], None]] | None = None

        @property
        def host(self) -> Any:
            return self

        def start_fresh(self) -> None:
            raise KeyboardInterrupt

        def linger(self) -> None: ...

        def hit(self, *, closing: bool) -> None: ...

    carrier = Interrupted()
    carrier.fresh = [lambda: None]
    with pytest.raises(KeyboardInterrupt):
        made: Any = carried(carrier, works())
        made.send(None)
    assert log == ["interrupted"]


@types.coroutine
def anyio_free_checkpoint() -> Generator[None, None, None]:
    yield


@pytest.mark.parametrize("form", ["awaited", "in a block"])
async def test_an_interrupt_before_the_first_step_comes_out(form: str, monkeypatch: pytest.MonkeyPatch):
    """In a block it was lost, and the body with it."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stretto._driver.native_cancellations_before", interrupted)
    with pytest.raises(KeyboardInterrupt):
        if form == "awaited":
            await Hops().run()
        else:
            async with Hops().run() as run:
                await run


async def test_a_scope_that_something_else_cancelled_is_not_the_deadline():
    """A run was told to have timed out after 45 s when 0.05 s had passed."""

    class Sleeps(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            await anyio.sleep(5)
            return StopEvent()

    async with Sleeps().run() as run:
        await anyio.sleep(1)
        driver: Any = run._driver
        driver.scope.cancel()
        with pytest.raises(WorkflowCancelledError):
            await run


async def test_a_list_is_sent_whole_before_its_run_may_be_stuck():
    """The first event went to a task that is none of the run's, and with the second still to come it was stuck."""
    kept: list[Context] = []
    got: list[int] = []

    class Lists(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Job]:
            kept.append(ctx)
            await anyio.sleep(2)
            return [Job(n=1), Job(n=2)]

        @step
        async def take(self, ev: Job) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    async def waits_elsewhere() -> None:
        await anyio.sleep(1)
        got.append((await kept[0].wait_for_event(Job)).n)

    async with anyio.create_task_group() as tg:
        tg.start_soon(waits_elsewhere)
        assert await Lists().run() == 2
    assert got == [1]


async def test_who_waits_for_the_end_of_a_cancelled_run_waits_also_if_it_is_cancelled():
    """`await run.cancel()` came back while a clean-up was still at work."""
    log: list[str] = []

    class Cleans(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            try:
                await anyio.sleep(9)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(2)
                log.append("clean")
            return StopEvent()

    async with Cleans().run() as run:
        await anyio.sleep(1)
        with anyio.move_on_after(1):
            await run.cancel()
        assert log == ["clean"]


# -- streams -----------------------------------------------------------------------------------------------------------


class Hops(Workflow[None]):
    @step
    async def begin(self, ev: StartEvent) -> Job:
        return Job(n=1)

    @step
    async def hop(self, ctx: Context, ev: Job) -> Job | StopEvent[None]:
        ctx.write_event_to_stream(Other(n=ev.n))
        return Job(n=ev.n + 1) if ev.n < 100 else StopEvent()


async def test_a_reader_of_internal_events_that_is_cancelled_goes_on_where_it_was():
    """It was given 20 events twice, after a gap that was none."""
    async with Hops().run() as run:
        stream = run.stream_events(expose_internal=True)
        await run
        seen = [await anext(stream) for _ in range(63)]
        with anyio.move_on_after(0):
            await anext(stream)
        seen += [ev async for ev in stream]
    assert [ev.n for ev in seen if isinstance(ev, Other)] == [*range(1, 101)]
    assert not [ev for ev in seen if isinstance(ev, StreamGap)]


async def test_the_place_of_a_reader_that_lost_internal_events_is_that_of_the_stream():
    async with Hops(stream_buffer=8).run() as run:
        stream = run.stream_events(expose_internal=True)
        await run
        stream.close()
        seen = [ev async for ev in run.stream_events()]
    assert seen[0] == StreamGap(missed=93)
    assert [ev.n for ev in seen if isinstance(ev, Other)] == [*range(94, 101)]


async def test_a_reader_that_polls_with_no_time_at_all_gets_on():
    """It was cancelled for ever at its 64th event, which was at hand."""
    async with Hops().run() as run:
        stream = run.stream_events()
        await run
        seen: list[Event] = []
        for _ in range(300):
            with anyio.move_on_after(0):
                seen.append(await anext(stream))
            if isinstance(seen[-1], StopEvent):
                break
    assert [ev.n for ev in seen if isinstance(ev, Other)] == [*range(1, 101)]


async def test_two_tasks_at_one_reader_are_told_so():
    """They met `IndexError: pop from an empty deque`."""
    told: list[type[BaseException]] = []
    async with Hops().run() as run:
        stream = run.stream_events()
        await run

        async def read() -> None:
            try:
                async for _ in stream:
                    pass
            except anyio.BusyResourceError as error:
                told.append(type(error))

        async with anyio.create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(read)
    assert told == [anyio.BusyResourceError] * 2


async def test_a_stream_that_was_closed_gives_nothing_more():
    async with Hops().run() as run:
        stream = run.stream_events()
        await run
        assert await anext(stream) == Other(n=1)
        stream.close()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert [ev.n async for ev in run.stream_events() if isinstance(ev, Other)] == [*range(2, 101)]


# -- values and threads ------------------------------------------------------------------------------------------------


async def test_many_failures_are_not_all_noted_on_the_first():
    """Forty thousand notes took ten seconds to write, in one go."""

    class Fails(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(50)]

        @step(num_workers=100)
        async def work(self, ctx: Context, ev: Job) -> StopEvent[None]:
            if ev.n == 49:
                await anyio.sleep(1)
                return StopEvent()
            try:
                await anyio.sleep(10)
            finally:
                raise ValueError(ev.n)

    run = Fails().run()
    with pytest.raises(ValueError, match=r"\d+") as caught:
        await run
    assert len(run.failures) == 49
    assert len(caught.value.__notes__) == 12
    assert caught.value.__notes__[-1] == "and 38 more, see run.failures"


@pytest.mark.parametrize("use", [Handler.cancel, lambda run: run._join()])
async def test_a_run_belongs_to_the_thread_of_its_loop(use: Callable[[Any], Awaitable[Any]]):
    """It was cancelled from another thread without waking its loop, and the caller there hung."""

    class Sleeps(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            await anyio.sleep(1)
            return StopEvent()

    async def elsewhere(run: Handler[None]) -> str:
        with pytest.raises(WorkflowError, match="in another thread") as caught:
            await use(run)
        return str(caught.value)

    async with Sleeps().run() as run:
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(asyncio.run(elsewhere(run))))
        thread.start()
        thread.join()
    assert said[0].endswith("write anyio.from_thread.run(run.cancel)")


async def test_a_context_belongs_to_the_thread_of_its_loop():
    """An event that was sent in a thread was taken up when the loop happened to wake, or never."""

    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            said: list[str] = []

            def send() -> None:
                with pytest.raises(WorkflowError, match="in another thread") as caught:
                    ctx.send_event(Job())
                said.append(str(caught.value))

            thread = threading.Thread(target=send)
            thread.start()
            thread.join()
            return StopEvent(result=said[0])

        @step
        async def take(self, ev: Job) -> None: ...

    assert "anyio.from_thread.run_sync" in await Sends().run()


async def test_the_events_beside_one_that_may_not_be_returned_are_left_over():
    """They were nowhere."""

    class Wrong(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job] | StopEvent[None]:
            return [Job(n=1), Job(n=2), Other()]  # type: ignore[list-item]  # pyright: ignore[reportReturnType]

        @step
        async def take(self, ev: Job) -> None: ...

    run = Wrong().run()
    with pytest.raises(UndeclaredEventError):
        await run
    assert run.leftovers == (Job(n=1), Job(n=2), Other())


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


async def test_a_buffer_id_that_cannot_be_shown_is_the_users_own_affair():
    """It was reported as a bug of the engine."""

    class Collects(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None] | None:
            ctx.collect_events(ev, [StartEvent] * 2, buffer_id=Unprintable())
            return None

    with pytest.raises(WorkflowStalledError, match="Unprintable"):
        await Collects().run()


async def test_a_step_is_sent_to_by_its_name_and_by_nothing_else():
    class Sends(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            name: Any = self.begin
            with pytest.raises(RoutingError, match="step= is the name of a step"):
                ctx.send_event(Job(), step=name)
            return StopEvent()

    await Sends().run()


def test_a_field_may_be_called_like_what_an_init_uses():
    """`locals` hid the function of that name."""

    class Hides(Event):
        locals: int
        other: int

    with pytest.raises(TypeError, match="misses 'other'"):
        Hides(locals=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def test_a_class_of_events_that_a_step_makes_is_not_kept():
    """The routes of a workflow held each class that was ever sent."""
    made: list[weakref.ref[type]] = []

    class Makes(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            class Local(Event):
                n: int

            made.append(weakref.ref(Local))
            ctx.send_event(Local(n=1))
            return StopEvent()

    workflow = Makes()
    for _ in range(3):
        await workflow.run()
    gc.collect()
    assert [ref() for ref in made] == [None] * 3


async def test_a_failure_in_an_inherited_step_names_the_workflow_that_ran():
    class Base(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            raise ValueError

    class Mine(Base):
        pass

    with pytest.raises(ValueError) as caught:
        await Mine().run()
    assert "of Mine, which handled" in caught.value.__notes__[0]


async def test_a_run_may_be_fed_by_a_subclass_of_what_a_step_takes():
    """It was stuck at once, although the step takes what may come from outside."""

    class Message(Event):
        n: int

    class Outside(Message, external=True):
        pass

    class Takes(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step(accept_event_subclasses=True)
        async def take(self, ev: Message) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    async with Takes().run() as run:
        await anyio.sleep(1)
        run.send_event(Outside(n=7))
        assert await run == 7


async def test_every_gate_of_a_step_is_passed(monkeypatch: pytest.MonkeyPatch):
    """The seam for schedules: before a body, in a sleep, after a wait, and before what it returned is handed on."""
    passed: list[object] = []

    class Gate:
        def opened(self, run: Any) -> None:
            passed.append(run.machine.plan.name)

        async def __call__(self, run: Any, delivery: Any, point: str, what: object) -> None:
            passed.append((delivery.step.name, point, what))

    class Ready(Event, external=True):
        pass

    ready, stop = Ready(), StopEvent()

    class Sleeps(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            await ctx.sleep(1)
            await ctx.wait_for_event(Ready)
            return stop

    monkeypatch.setattr("stretto._driver.gate", Gate())
    async with Sleeps().run() as run:
        run.send_event(ready)
        await run
    assert passed == [
        "Sleeps",
        ("begin", "start", None),
        ("begin", "sleep", 1),
        ("begin", "resume", ready),
        ("begin", "end", stop),
    ]


def test_the_defaults_are_those_that_are_told():
    options = Workflow()._options
    assert (options.timeout, options.stream_buffer, options.collect_limit, options.grace) == (
        45.0,
        16_384,
        100_000,
        5.0,
    )
    assert {options.verbose, options.disable_validation, options.scoped_only} == {False}
