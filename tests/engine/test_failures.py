"""P6: the user's own exception comes out, bare, the first one, with notes; Control-C outranks all."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    StartEvent,
    StopEvent,
    UndeclaredEventError,
    Workflow,
    WorkflowError,
    step,
)
from stretto.events import WorkflowFailedEvent
from tests import leaks, virtual
from tests.engine.ledger import Ledger

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class FirstError(Exception):
    pass


class SecondError(Exception):
    pass


class OddBaseError(BaseException):
    """Neither an Exception nor one that Python knows."""


class Narrow(Workflow[str]):
    """Raises in the caller's own task."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.ledger = Ledger()
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        await anyio.sleep(1)
        raise self.error


class Wide(Workflow[str]):
    """Raises in one of three tasks; the others clean up."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.ledger = Ledger()
        super().__init__()

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for number in range(3):
            ctx.send_event(Job(number=number))

    @step
    async def work(self, ev: Job) -> StopEvent | None:
        async with self.ledger.signed(str(ev.number), cleanup=0.5):
            await anyio.sleep(1 + ev.number)
            if ev.number == 1:
                raise self.error
            await anyio.sleep(100)
        return None


class AtOnce(Workflow[str]):
    """Raises before anything was awaited."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.ledger = Ledger()
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise self.error


class Around(Workflow[str]):
    def __init__(self, inner: Workflow[str]) -> None:
        self.inner = inner
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await self.inner.run())


async def awaited(workflow: Workflow[str]) -> object:
    return await workflow.run()


async def block_awaited(workflow: Workflow[str]) -> object:
    async with workflow.run() as run:
        return await run


async def block_left(workflow: Workflow[str]) -> object:
    async with workflow.run():
        pass
    raise AssertionError("leaving the block raises the run's error")


async def block_streamed(workflow: Workflow[str]) -> object:
    async with workflow.run() as run:
        events = [ev async for ev in run.stream_events()]
        assert isinstance(events[-1], WorkflowFailedEvent)
        return await run


async def article(workflow: Workflow[str]) -> object:
    handler = workflow.run()
    events = [ev async for ev in handler.stream_events()]
    assert isinstance(events[-1], WorkflowFailedEvent)
    return await handler


async def nested(workflow: Workflow[str]) -> object:
    return await Around(workflow).run()


FORMS = [awaited, block_awaited, block_left, block_streamed, article, nested]
SHAPES: list[Callable[[BaseException], Any]] = [Narrow, Wide, AtOnce]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_an_exception_comes_out_bare_in_every_form(
    shape: Callable[[BaseException], Any], form: Callable[[Workflow[str]], Awaitable[object]]
):
    error = FirstError("mine")
    workflow = shape(error)
    with pytest.raises(FirstError) as caught:
        await form(workflow)
    assert caught.value is error
    assert not workflow.ledger.inside


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, OddBaseError])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_base_exception_comes_out_bare_in_every_form(
    shape: Callable[[BaseException], Any],
    form: Callable[[Workflow[str]], Awaitable[object]],
    kind: type[BaseException],
    anyio_backend_name: str,
):
    error = kind("mine")
    workflow = shape(error)

    async def main() -> BaseException:
        before = leaks.Before()
        try:
            result = await form(workflow)
        except BaseException as caught:  # noqa: BLE001
            before.check()
            return caught
        raise AssertionError(f"no error: {result}")

    try:
        caught = virtual.run(main, backend=anyio_backend_name)
    except BaseException as escaped:
        raise AssertionError("it went past the caller and out of the loop") from escaped
    assert caught is error
    assert not workflow.ledger.inside


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("shape", SHAPES)
def test_control_c_in_a_step_ends_the_program_as_it_should(
    shape: Callable[[BaseException], Any],
    kind: type[BaseException],
    anyio_backend_name: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    workflow = shape(kind("mine"))
    with pytest.raises(kind):
        virtual.run(workflow.execute, backend=anyio_backend_name)
    assert not workflow.ledger.inside
    assert "never retrieved" not in capsys.readouterr().err + caplog.text


@pytest.mark.parametrize("shape", SHAPES)
async def test_notes_say_workflow_step_event_and_attempt(shape: Callable[[BaseException], Any]):
    workflow = shape(FirstError())
    with pytest.raises(FirstError) as caught:
        await workflow.run()
    notes = "\n".join(caught.value.__notes__)
    name = type(workflow).__name__
    assert f"{name}.{'work' if name == 'Wide' else 'begin'}" in notes
    assert ("Job(number=1)" if name == "Wide" else "StartEvent(") in notes
    assert "attempt 1" in notes
    assert "test_failures.py:" in notes


async def test_notes_of_a_nested_run_tell_both_steps():
    with pytest.raises(FirstError) as caught:
        await Around(Wide(FirstError())).run()
    notes = "\n".join(caught.value.__notes__)
    assert "Wide.work" in notes
    assert "Around.begin" in notes


@pytest.mark.parametrize("shape", SHAPES)
async def test_stop_async_iteration_is_an_error_like_any(shape: Callable[[BaseException], Any]):
    error = StopAsyncIteration()
    with pytest.raises(StopAsyncIteration) as caught:
        await shape(error).run()
    assert caught.value is error


@pytest.mark.parametrize("shape", SHAPES)
async def test_stop_iteration_is_the_runtime_error_that_python_makes_of_it(
    shape: Callable[[BaseException], Any],
):
    with pytest.raises(RuntimeError, match="StopIteration"):
        await shape(StopIteration()).run()


async def test_one_error_object_may_come_out_of_two_runs():
    error = FirstError()
    for _ in range(2):
        with pytest.raises(FirstError) as caught:
            await Narrow(error).run()
        assert caught.value is error


async def test_the_traceback_shows_the_users_line():
    with pytest.raises(FirstError) as caught:
        await Narrow(FirstError()).run()
    assert "raise self.error" in "".join(traceback.format_exception(caught.value))


async def test_a_cause_stays_the_cause():
    class Chained(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            try:
                raise SecondError
            except SecondError as error:
                raise FirstError from error

    with pytest.raises(FirstError) as caught:
        await Chained().run()
    assert isinstance(caught.value.__cause__, SecondError)


async def test_a_group_of_the_users_own_comes_out_as_it_is():
    class Grouped(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            async with anyio.create_task_group() as tg:
                tg.start_soon(self.fail)
                await anyio.sleep(10)
            return StopEvent()

        async def fail(self) -> None:
            raise FirstError

    with pytest.RaisesGroup(FirstError):
        await Grouped().run()


class Clumsy(Workflow[str]):
    """One step fails (or stops); two more raise when they are cancelled for it."""

    def __init__(self, first: BaseException | None, *others: BaseException, timeout: float = 60) -> None:
        self.first, self.others = first, others
        super().__init__(timeout=timeout)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent:
        for number in range(len(self.others)):
            ctx.send_event(Job(number=number))
        await anyio.sleep(1)
        if self.first is not None:
            raise self.first
        return StopEvent(result="done")

    @step
    async def work(self, ev: Job) -> StopEvent | None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1 + ev.number)
            raise self.others[ev.number]


async def test_failures_that_follow_are_noted_on_the_first_and_kept():
    first, second, third = FirstError("1"), SecondError("2"), SecondError("3")
    run = Clumsy(first, second, third).run()
    with pytest.raises(FirstError) as caught:
        await run
    assert caught.value is first
    assert set(run.failures) >= {second, third}
    notes = "\n".join(first.__notes__)
    assert "SecondError" in notes


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_control_c_that_follows_outranks_the_first_failure(
    kind: type[BaseException], anyio_backend_name: str
):
    first, late = FirstError("1"), kind("2")
    caught: list[BaseException] = []

    async def main() -> None:
        try:
            await Clumsy(first, late).run()
        except BaseException as error:  # noqa: BLE001
            caught.append(error)

    try:
        virtual.run(main, backend=anyio_backend_name)
    except BaseException as escaped:
        raise AssertionError("it went past the caller and out of the loop") from escaped
    assert caught == [late]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_control_c_outranks_a_timeout(kind: type[BaseException], anyio_backend_name: str):
    late = kind("late")
    caught: list[BaseException] = []

    async def main() -> None:
        try:
            await Clumsy(None, late, timeout=0.5).run()
        except BaseException as error:  # noqa: BLE001
            caught.append(error)

    try:
        virtual.run(main, backend=anyio_backend_name)
    except BaseException as escaped:
        raise AssertionError("it went past the caller and out of the loop") from escaped
    assert caught == [late]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_control_c_stays_first_whatever_follows(kind: type[BaseException], anyio_backend_name: str):
    first = kind("1")
    caught: list[BaseException] = []

    async def main() -> None:
        try:
            await Clumsy(first, SecondError("2")).run()
        except BaseException as error:  # noqa: BLE001
            caught.append(error)

    try:
        virtual.run(main, backend=anyio_backend_name)
    except BaseException as escaped:
        raise AssertionError("it went past the caller and out of the loop") from escaped
    assert caught == [first]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("shape", [Narrow, Wide])
def test_control_c_in_a_step_comes_out_of_the_block_of_its_run(
    kind: type[BaseException], shape: type[Narrow], anyio_backend_name: str
):
    """The body is cancelled, other than by an error: who presses Control-C does not want to wait for it."""
    error = kind("in the step")
    caught: list[BaseException] = []
    ended: list[float] = []

    async def main() -> None:
        try:
            began = anyio.current_time()
            async with shape(error).run():
                try:
                    await anyio.sleep(30)
                finally:
                    ended.append(anyio.current_time() - began)
        except BaseException as out:  # noqa: BLE001
            caught.append(out)

    try:
        virtual.run(main, backend=anyio_backend_name)
    except BaseException as escaped:
        raise AssertionError("it went past the caller and out of the loop") from escaped
    assert caught == [error]
    assert ended == [pytest.approx(1 if shape is Narrow else 3)]


async def test_a_sibling_that_raises_in_its_clean_up_after_the_stop_event_fails_the_run():
    error = SecondError("clumsy")
    run = Clumsy(None, error).run()
    with pytest.raises(SecondError) as caught:
        await run
    assert caught.value is error


async def test_a_failing_clean_up_comes_out_while_the_callers_cancellation_passes():
    error = SecondError("clumsy")
    caught: list[BaseException] = []
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tg:

            async def caller() -> None:
                try:
                    await Clumsy(FirstError(), error).run()
                except SecondError as raised:
                    caught.append(raised)

            tg.start_soon(caller)
            await anyio.sleep(0.5)
            scope.cancel()
    assert caught == [error]


async def test_a_failing_clean_up_comes_out_of_a_cancelled_block():
    error = SecondError("clumsy")
    with pytest.raises(SecondError) as caught:
        async with Clumsy(None, error).run() as run:
            await anyio.sleep(0.5)
            await run.cancel()
            await run
    assert caught.value is error


# -- steps that return what they should not -----------------------------------------------------------------


class Returns(Workflow[str]):
    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return self.make()


class Undeclared(Event):
    pass


@pytest.mark.parametrize(
    "make",
    [
        lambda: "text",
        lambda: 7,
        lambda: [1, 2],
        lambda: ["a"],
        lambda: Undeclared,
        Undeclared,
        lambda: StopEvent,
    ],
    ids=["string", "number", "numbers", "strings", "event class", "undeclared event", "stop class"],
)
async def test_a_value_that_the_annotation_does_not_name_is_an_undeclared_event_error(
    make: Callable[[], object],
):
    with pytest.raises(UndeclaredEventError, match=r"Returns\.begin"):
        await Returns(make).run()


async def test_a_coroutine_returned_for_want_of_an_await_is_told_and_closed():
    async def forgotten() -> StopEvent:
        return StopEvent()

    with pytest.raises(UndeclaredEventError, match="await"):
        await Returns(forgotten).run()


# -- a block, its body and its run --------------------------------------------------------------------------


async def test_a_run_that_fails_does_not_cancel_the_body_of_its_block():
    reached = False
    with pytest.raises(FirstError):
        async with Narrow(FirstError()).run():
            await anyio.sleep(5)
            reached = True
    assert reached


async def test_the_error_of_a_block_is_told_once():
    async with Narrow(FirstError()).run() as run:
        with pytest.raises(FirstError):
            await run


async def test_an_error_told_in_the_body_and_not_caught_there_is_the_same_one():
    error = FirstError()
    with pytest.raises(FirstError) as caught:
        async with Narrow(error).run() as run:
            await run
    assert caught.value is error


async def test_if_the_body_raises_too_its_error_comes_out_with_the_runs_as_a_note():
    with pytest.raises(SecondError) as caught:
        async with Narrow(FirstError("of the run")).run():
            await anyio.sleep(5)
            raise SecondError("of the body")
    assert "FirstError" in "\n".join(caught.value.__notes__)


async def test_awaiting_a_failed_run_twice_gives_the_same_error():
    error = FirstError()
    run = Wide(error).run()
    for _ in range(2):
        with pytest.raises(FirstError) as caught:
            await run
        assert caught.value is error


async def test_a_failing_constructor_of_an_event_is_the_steps_error():
    class Picky(Event):
        number: int

        def __attrs_post_init__(self) -> None:
            raise FirstError("never fits")

    class Makes(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Picky | StopEvent:
            return Picky(number=1)

    with pytest.raises(FirstError, match="never fits"):
        await Makes(disable_validation=True).run()


async def test_send_event_with_something_else_is_an_error_at_the_line_that_does_it():
    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            wrongs: Any = ("text", None, Job, [Job()], 3)
            for wrong in wrongs:
                with pytest.raises(TypeError):
                    ctx.send_event(wrong)
            with pytest.raises(WorkflowError):
                ctx.send_event(Job(), step="begin")
            with pytest.raises(WorkflowError):
                ctx.send_event(Job(), step="nowhere")
            return StopEvent(result="went on")

    run = Sends().run()
    assert await run == "went on"
    assert run.dead_letters == ()
