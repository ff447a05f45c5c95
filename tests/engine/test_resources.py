"""Resources: made once when first asked for, torn down in reverse order when their scope ends, whatever ends it."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from contextvars import ContextVar
from typing import Annotated, Any, Self

import anyio
import anyio.lowlevel
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    Resource,
    ResourceConfig,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from stretto._loop import native_cancellations

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class BoomError(Exception):
    pass


class Things:
    """Factories that write down what happens to what they make."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.left_by: list[BaseException | None] = []
        self.made = 0

    def plain(self) -> int:
        self.made += 1
        return self.made

    async def slow(self) -> int:
        await anyio.sleep(1)
        return self.plain()

    async def nothing(self) -> None:
        await anyio.sleep(1)

    async def failing(self) -> int:
        self.made += 1
        await anyio.sleep(1)
        raise BoomError(self.made)

    @contextmanager
    def manager(self) -> Generator[str]:
        self.log.append("open manager")
        yield "manager"
        self.log.append("close manager")

    async def gives_a_manager(self) -> AbstractContextManager[str]:
        await anyio.sleep(1)
        return self.manager()

    async def gives_a_slow_manager(self) -> AbstractAsyncContextManager[str]:
        await anyio.sleep(1)
        return self.slow_manager()

    @asynccontextmanager
    async def slow_manager(self) -> AsyncGenerator[str]:
        self.log.append("opening")
        try:
            await anyio.sleep(1)
            self.log.append("open")
            try:
                yield "slow manager"
            except BaseException as error:
                self.left_by.append(error)
                raise
            finally:
                await anyio.sleep(1)
                self.log.append("closed")
        finally:
            self.log.append("over")


def user(needs: Any, body: Callable[[Any], Any] | None = None, **options: Any) -> Workflow[Any]:
    """A workflow with one step that asks for one resource and gives it as its result."""

    class User(Workflow[Any]):
        @step
        async def use(self, ev: StartEvent, it: Any) -> StopEvent[Any]:
            if body is not None:
                it = await body(it)
            return StopEvent(result=it)

        use.__annotations__["it"] = needs

    return User(**options)


async def nap(it: object) -> object:
    await anyio.sleep(10)
    return it


# -- what a factory may be -----------------------------------------------------------------------------------------


class Entered:
    """A context manager that somebody made, of both kinds."""

    inside = False

    def __enter__(self) -> Self:
        self.inside = True
        return self

    def __exit__(self, *how: object) -> None:
        self.inside = False


class EnteredAsync:
    inside = False

    async def __aenter__(self) -> Self:
        await anyio.lowlevel.checkpoint()
        self.inside = True
        return self

    async def __aexit__(self, *how: object) -> None:
        await anyio.lowlevel.checkpoint()
        self.inside = False


class Called:
    async def __call__(self) -> str:
        return "called"


@pytest.mark.parametrize(
    ("factory", "gives"),
    [
        (lambda: 3, 3),
        (functools.partial(int, "7"), 7),
        (dict, {}),
        (Called(), "called"),
        (Things().nothing, None),
        (Things().manager, "manager"),
        (functools.partial(Things().manager), "manager"),
        (Things().slow_manager, "slow manager"),
        (lambda: Things().slow_manager(), "slow manager"),
        (lambda: None, None),
        (Things().gives_a_manager, "manager"),
        (Things().gives_a_slow_manager, "slow manager"),
    ],
)
async def test_a_step_is_handed_what_the_factory_makes(factory: Callable[[], object], gives: object):
    assert await user(Annotated[Any, Resource(factory)]).run() == gives


@pytest.mark.parametrize("kind", [Entered, EnteredAsync])
async def test_a_context_manager_of_your_own_is_entered_if_you_say_so(kind: type):
    async def inside(it: Any) -> tuple[Any, bool]:
        return it, it.inside

    it, was_inside = await user(Annotated[kind, Resource(kind)], inside).run()
    assert not was_inside
    it, was_inside = await user(Annotated[kind, Resource(kind, enter=True)], inside).run()
    assert was_inside
    assert not it.inside


async def test_a_lock_is_handed_on_and_not_held():
    assert not (await user(Annotated[Any, Resource(anyio.Lock)]).run()).locked()


async def test_what_cannot_be_entered_is_told():
    with pytest.raises(WorkflowError, match=r"<lambda> \(test_resources\.py:\d+\) gave 3, which cannot be"):
        await user(Annotated[int, Resource(lambda: 3, enter=True)]).run()


async def test_two_lambdas_are_two_resources():
    class Two(Workflow[tuple[int, int]]):
        @step
        async def use(
            self,
            ev: StartEvent,
            a: Annotated[int, Resource(lambda: 1)],
            b: Annotated[int, Resource(lambda: 2)],
        ) -> StopEvent[tuple[int, int]]:
            return StopEvent(result=(a, b))

    assert await Two().run() == (1, 2)


def pool() -> list[str]:
    return ["pool"]


def session(pool: Annotated[list[str], Resource(pool)], name: str = "session") -> list[str]:
    return [*pool, name]


async def cursor(
    session: Annotated[list[str], Resource(session)], *, pool: Annotated[list[str], Resource(pool)]
) -> tuple[list[str], list[str]]:
    return session, pool


async def test_a_factory_asks_for_resources_itself():
    assert await user(Annotated[Any, Resource(cursor)]).run() == (["pool", "session"], ["pool"])


async def test_a_local_factory_may_ask_for_a_local_one():
    def lower() -> str:
        return "lower"

    def upper(it: Annotated[str, Resource(lower)]) -> str:
        return f"upper {it}"

    class Local(Workflow[str]):
        @step
        async def use(self, ev: StartEvent, it: Annotated[str, Resource(upper)]) -> StopEvent[str]:
            return StopEvent(result=it)

    assert await Local().run() == "upper lower"


async def test_a_partial_fills_what_it_says():
    given = functools.partial(cursor, session=["mine"])
    assert await user(Annotated[Any, Resource(given)]).run() == (["mine"], ["pool"])


async def test_a_thread_step_is_handed_resources_made_on_the_loop():
    class Threaded(Workflow[tuple[bool, bool]]):
        @step
        def use(
            self,
            ctx: Context,
            ev: StartEvent,
            it: Annotated[threading.Thread, Resource(threading.current_thread)],
        ) -> StopEvent[tuple[bool, bool]]:
            here = threading.current_thread()
            return StopEvent(result=(it is threading.main_thread(), here is threading.main_thread()))

    assert await Threaded().run() == (True, False)


async def test_an_unbound_step_asks_too():
    class Open(Workflow[list[str]]):
        pass

    @step(workflow=Open)
    async def use(
        ctx: Context, it: Annotated[list[str], Resource(pool)], ev: StartEvent
    ) -> StopEvent[list[str]]:
        return StopEvent(result=[*it, ctx.run_id[:0]])

    assert await Open().run() == ["pool", ""]


# -- made once -----------------------------------------------------------------------------------------------------

things = Things()


@pytest.fixture(autouse=True)
def fresh_things():
    things.__init__()


class Many(Workflow[list[int]]):
    """Several steps that ask at once."""

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job() for _ in range(6)]

    @step(num_workers=3)
    async def one(self, ev: Job, it: Annotated[int, Resource(things.slow)]) -> Done:
        return Done(number=it)

    @step(num_workers=3)
    async def other(self, ev: Job, it: Annotated[int, Resource(things.slow)]) -> Done:
        return Done(number=it)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[list[int]] | None:
        done = ctx.collect_events(ev, [Done] * 12)
        return None if done is None else StopEvent(result=[each.number for each in done])


async def test_all_who_ask_at_once_get_the_one():
    began = anyio.current_time()
    assert await Many().run() == [1] * 12
    assert anyio.current_time() - began == pytest.approx(1)


async def test_each_run_has_its_own():
    flow = Many()
    assert await flow.run() == [1] * 12
    assert await flow.run() == [2] * 12


async def test_one_that_is_never_asked_for_is_never_made():
    class Never(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None] | Job:
            return StopEvent()

        @step
        async def use(self, ev: Job, it: Annotated[int, Resource(things.plain)]) -> None: ...

    await Never().run()
    assert things.made == 0


async def test_if_it_fails_all_who_wait_get_the_error_and_the_next_asks_anew():
    class Catching(Many):
        @step(num_workers=6)
        async def one(self, ev: Job, it: Annotated[int, Resource(things.failing)]) -> Done: ...

        other = None  # pyright: ignore[reportAssignmentType]

    async with Catching().run() as run:
        with pytest.raises(BoomError) as caught:
            await run
        assert {type(each) for each in run.failures} == {BoomError}
    assert caught.value.args == (1,)
    assert any("while failing (test_resources.py:" in note for note in caught.value.__notes__)
    assert any("in Catching.one" in note for note in caught.value.__notes__)
    with pytest.raises(BoomError) as caught:
        await Catching().run()
    assert caught.value.args == (2,)


async def test_two_are_made_at_once_where_two_steps_ask():
    class Two(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job()]

        @step
        async def one(self, ev: Job, it: Annotated[int, Resource(things.slow)]) -> Done:
            return Done()

        @step
        async def other(self, ev: Job, it: Annotated[str, Resource(things.slow_manager)]) -> Done:
            return Done()

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[None] | None:
            times.append(anyio.current_time() - began)
            return StopEvent() if ctx.collect_events(ev, [Done] * 2) else None

    times: list[float] = []
    began = anyio.current_time()
    await Two().run()
    assert times == pytest.approx([1, 1])


# -- torn down -----------------------------------------------------------------------------------------------------


def part(name: str, log: list[str]) -> Callable[[], AbstractAsyncContextManager[str]]:
    @asynccontextmanager
    async def made() -> AsyncGenerator[str]:
        log.append(f"+{name}")
        try:
            yield name
        finally:
            await anyio.sleep(1)
            log.append(f"-{name}")

    return made


LOG: list[str] = []
a, b, c = part("a", LOG), part("b", LOG), part("c", LOG)


@contextmanager
def on_top(below: Annotated[str, Resource(c)]) -> Generator[str]:
    LOG.append("+top")
    yield f"top of {below}"
    LOG.append("-top")


class Ending(Workflow[str]):
    @step
    async def first(self, ev: StartEvent, it: Annotated[str, Resource(a)]) -> Job:
        self.how = ev.how
        return Job()

    @step
    async def then(
        self, ev: Job, top: Annotated[str, Resource(on_top)], it: Annotated[str, Resource(b)]
    ) -> StopEvent[str]:
        try:
            if self.how == "fail":
                raise BoomError
            if self.how == "wait":
                await anyio.sleep(10)
            return StopEvent(result=top)
        finally:
            LOG.append("step over")


EXPECTED = ["+a", "+c", "+top", "+b", "step over", "-b", "-top", "-c", "-a"]


@pytest.fixture(autouse=True)
def fresh_log():
    LOG.clear()


async def test_after_a_result_they_go_in_reverse_order_before_await_returns():
    began = anyio.current_time()
    assert await Ending().run(how="return") == "top of c"
    assert LOG == EXPECTED
    assert anyio.current_time() - began == pytest.approx(3)


async def test_after_an_error_too():
    with pytest.raises(BoomError):
        await Ending().run(how="fail")
    assert [line for line in LOG if line != "-top"] == [line for line in EXPECTED if line != "-top"]


async def test_after_a_timeout_too_and_the_teardown_may_await():
    with pytest.raises(WorkflowTimeoutError):
        await Ending(timeout=2).run(how="wait")
    assert LOG[4:] == ["step over", "-b", "-c", "-a"]


async def test_after_a_cancellation_of_the_caller_too():
    began = anyio.current_time()
    with anyio.move_on_after(2) as scope:
        await Ending().run(how="wait")
    assert scope.cancelled_caught
    assert LOG[4:] == ["step over", "-b", "-c", "-a"]
    assert anyio.current_time() - began == pytest.approx(5)


async def test_after_a_cancellation_by_the_handler_too():
    async with Ending().run(how="wait") as run:
        await anyio.sleep(1)
        await run.cancel()
        assert LOG[4:] == ["step over", "-b", "-c", "-a"]
        with pytest.raises(WorkflowCancelledError):
            await run


async def test_a_cancellation_during_the_teardown_waits_for_its_end():
    with anyio.move_on_after(1.5) as scope:
        await Ending().run(how="return")
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert LOG == EXPECTED


async def test_a_result_stands_though_the_teardown_passes_the_deadline():
    assert await Ending(timeout=1.5).run(how="return") == "top of c"


async def test_a_native_cancellation_during_the_teardown_waits_for_its_end(anyio_backend_name: str):
    if anyio_backend_name == "trio":
        return  # there is no such thing
    import asyncio

    task = asyncio.ensure_future(Ending().execute(StartEvent(how="return")))
    for _ in range(2):
        await asyncio.sleep(0.4)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert LOG == EXPECTED
    assert native_cancellations() == 0


async def test_it_is_left_by_the_error_of_the_run():
    flow = user(Annotated[str, Resource(things.slow_manager)], nap, timeout=5)
    with pytest.raises(WorkflowTimeoutError) as caught:
        await flow.run()
    assert things.left_by == [caught.value]
    trace = caught.value.__traceback__
    names = []
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert "_keep" not in names


async def test_it_is_left_by_a_cancellation_that_it_can_catch():
    with anyio.move_on_after(5):
        await user(Annotated[str, Resource(things.slow_manager)], nap).run()
    assert [type(each) for each in things.left_by] == [WorkflowCancelledError]
    assert things.log == ["opening", "open", "closed", "over"]


@contextmanager
def swallowing() -> Generator[str]:
    try:
        yield "it"
    except BoomError:
        LOG.append("swallowed")


async def boom(it: object) -> None:
    raise BoomError


async def test_what_becomes_of_the_error_in_there_changes_nothing():
    with pytest.raises(BoomError):
        await user(Annotated[str, Resource(swallowing)], boom).run()
    assert LOG == ["swallowed"]


@asynccontextmanager
async def bad_end() -> AsyncGenerator[str]:
    try:
        yield "it"
    finally:
        await anyio.sleep(1)
        raise OSError("disk full")


@contextmanager
def other_bad_end(it: Annotated[str, Resource(bad_end)]) -> Generator[str]:
    try:
        yield it
    finally:
        raise ZeroDivisionError


async def test_a_teardown_that_fails_makes_the_run_fail_and_the_rest_is_torn_down():
    async with user(Annotated[str, Resource(other_bad_end)]).run() as run:
        with pytest.raises(ZeroDivisionError) as caught:
            await run
        assert [type(each) for each in run.failures] == [ZeroDivisionError, OSError]
    assert any("while other_bad_end (test_resources.py:" in note for note in caught.value.__notes__)
    assert any("OSError('disk full')" in note for note in caught.value.__notes__)


async def test_after_a_failure_that_of_the_teardown_is_noted():
    async with user(Annotated[str, Resource(bad_end)], boom).run() as run:
        with pytest.raises(BoomError) as caught:
            await run
        assert [type(each) for each in run.failures] == [BoomError, OSError]
    assert any("OSError('disk full')" in note for note in caught.value.__notes__)


async def test_a_teardown_that_fails_comes_out_though_the_caller_is_cancelled():
    with pytest.raises(OSError, match="disk full"), anyio.move_on_after(1):
        await user(Annotated[str, Resource(bad_end)], nap).run()


async def test_a_timeout_outranks_it_and_has_it_as_its_cause():
    with pytest.raises(WorkflowTimeoutError) as caught:
        await user(Annotated[str, Resource(bad_end)], nap, timeout=1).run()
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_teardown_that_takes_its_time_is_named(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, logger="stretto"):
        await user(Annotated[str, Resource(things.slow_manager)], grace=0.5).run()
    assert [record.getMessage().replace("slow_manager", "it")[:40] for record in caplog.records] == [
        "User: after 0.5 s it (test_resources.py:"
    ]
    assert things.log[-1] == "over"


# -- cancelled while it is made ------------------------------------------------------------------------------------


async def test_a_creation_is_cancelled_with_its_run_and_waited_for():
    with anyio.move_on_after(0.5) as scope:
        await user(Annotated[str, Resource(things.slow_manager)]).run()
    assert scope.cancelled_caught
    assert things.log == ["opening", "over"]


@asynccontextmanager
async def slow_on_top(it: Annotated[str, Resource(a)]) -> AsyncGenerator[str]:
    await anyio.sleep(10)
    yield it


async def test_what_was_made_for_it_is_torn_down():
    with pytest.raises(WorkflowTimeoutError):
        await user(Annotated[str, Resource(slow_on_top)], timeout=1).run()
    assert LOG == ["+a", "-a"]


@asynccontextmanager
async def stubborn() -> AsyncGenerator[str]:
    try:
        await anyio.sleep(10)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(2)
        LOG.append("at last")
    yield "it"


async def test_a_creation_that_does_not_end_is_named_and_waited_for(caplog: pytest.LogCaptureFixture):
    with pytest.raises(WorkflowTimeoutError):
        await user(Annotated[str, Resource(stubborn)], timeout=1, grace=0.5).run()
    assert LOG == ["at last"]
    assert any("has not been broken off" in record.getMessage() for record in caplog.records)


# -- shared by the runs of a workflow ------------------------------------------------------------------------------


class Shared(Workflow[object]):
    """Asks for one of the workflow, through one of the run; the start event says how long its step takes."""

    @step
    async def use(
        self, ev: StartEvent, it: Annotated[str, Resource(things.slow_manager, scope="workflow")]
    ) -> StopEvent[object]:
        await anyio.sleep(ev.seconds)
        if ev.seconds == 3:
            raise BoomError
        return StopEvent(result=it)


OPEN = ["opening", "open"]
CLOSED = ["opening", "open", "closed", "over"]


async def test_it_is_made_once_for_all_runs_and_torn_down_when_the_block_is_left():
    async with Shared() as flow:
        assert await flow.run(seconds=0) == "slow manager"
        async with flow.run(seconds=1) as one, flow.run(seconds=2) as other:
            assert [await one, await other] == ["slow manager"] * 2
        with pytest.raises(BoomError):
            await flow.run(seconds=3)
        assert things.log == OPEN
    assert things.log == CLOSED
    assert things.left_by == []


async def test_runs_that_ask_at_once_get_the_one():
    began = anyio.current_time()
    async with Shared() as flow, anyio.create_task_group() as tg:
        for _ in range(5):
            tg.start_soon(flow.execute, StartEvent(seconds=0))
    assert anyio.current_time() - began == pytest.approx(2)
    assert things.log == CLOSED


@contextmanager
def shared_top(below: Annotated[str, Resource(c, scope="workflow")]) -> Generator[str]:
    LOG.append("+top")
    try:
        yield f"top of {below}"
    finally:
        LOG.append("-top")


@pytest.mark.parametrize("how", ["return", "fail", "cancel"])
async def test_those_of_the_workflow_go_in_reverse_order_however_its_block_is_left(how: str):
    with anyio.move_on_after(3), contextlib.suppress(BoomError):
        async with user(Annotated[str, Resource(shared_top, scope="workflow")]) as flow:
            assert await flow.run() == "top of c"
            if how == "fail":
                raise BoomError
            if how == "cancel":
                await anyio.sleep_forever()
    assert LOG == ["+c", "+top", "-top", "-c"]


async def test_a_workflow_may_be_entered_again_and_in_vain():
    flow = Shared()
    for _ in range(2):
        async with flow:
            await flow.run(seconds=0)
    async with flow as same:
        assert same is flow
    assert things.log == CLOSED * 2


async def test_a_run_of_a_workflow_that_was_not_entered_is_told_so():
    flow = Shared()
    for _ in range(2):
        with pytest.raises(WorkflowError, match=r"write async with Shared\(…\) as wf"):
            await flow.run(seconds=0)
        async with flow:
            pass
    assert things.log == []


async def test_it_is_left_by_the_error_of_the_block():
    with pytest.raises(ZeroDivisionError) as caught:
        async with Shared() as flow:
            await flow.run(seconds=0)
            raise ZeroDivisionError
    assert things.left_by == [caught.value]
    assert things.log == CLOSED


async def test_a_cancelled_block_tears_down_too():
    with anyio.move_on_after(5) as scope:
        async with Shared() as flow:
            await flow.run(seconds=10)
    assert scope.cancelled_caught
    assert things.log == CLOSED
    assert [type(each) for each in things.left_by] == [WorkflowCancelledError]


async def test_leaving_the_block_waits_for_the_runs_that_have_it():
    flow = Shared()
    run = flow.run(seconds=2)
    async with flow:
        run.start()
        await anyio.sleep(1.5)
    assert run.done
    assert await run == "slow manager"
    assert things.log == CLOSED


async def test_leaving_it_by_an_error_cancels_them():
    began = anyio.current_time()
    flow = Shared()
    run = flow.run(seconds=20)
    with pytest.raises(ZeroDivisionError):
        async with flow:
            run.start()
            await anyio.sleep(2)
            raise ZeroDivisionError
    assert anyio.current_time() - began == pytest.approx(3)
    with pytest.raises(
        WorkflowCancelledError, match="because the block of Shared was left by ZeroDivisionError"
    ):
        await run
    assert things.log == CLOSED


async def test_a_block_that_is_cancelled_while_it_waits_cancels_them():
    flow = Shared()
    run = flow.run(seconds=20)
    with anyio.move_on_after(3) as scope:
        async with flow:
            run.start()
            await anyio.sleep(2)
    assert scope.cancelled_caught
    with pytest.raises(WorkflowCancelledError):
        await run
    assert things.log == CLOSED


async def test_if_one_who_waits_goes_the_others_get_it():
    async with Shared() as flow, flow.run(seconds=0) as one, flow.run(seconds=0) as other:
        await anyio.sleep(0.5)
        await one.cancel()
        assert await other == "slow manager"
        assert things.log == OPEN


async def test_if_the_last_one_goes_the_creation_is_cancelled_and_the_next_makes_it_anew():
    async with Shared() as flow:
        with anyio.move_on_after(0.5):
            await flow.run(seconds=0)
        assert things.log == ["opening", "over"]
        assert await flow.run(seconds=0) == "slow manager"
    assert things.log == ["opening", "over", *CLOSED]


async def test_one_who_comes_while_a_creation_is_broken_off_makes_it_anew():
    tries: list[int] = []

    async def make() -> str:
        tries.append(1)
        try:
            await anyio.sleep(1)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
        return "made"

    class Slow(Workflow[str]):
        @step
        async def use(
            self, ev: StartEvent, it: Annotated[str, Resource(make, scope="workflow")]
        ) -> StopEvent[str]:
            return StopEvent(result=it)

    async with Slow() as flow, flow.run() as one:
        await anyio.sleep(0.5)
        async with anyio.create_task_group() as tg:
            tg.start_soon(one.cancel)
            await anyio.sleep(0.5)
            assert await flow.run() == "made"
    assert tries == [1, 1]


@asynccontextmanager
async def per_run(it: Annotated[str, Resource(c, scope="workflow")]) -> AsyncGenerator[str]:
    LOG.append("+run")
    yield f"run of {it}"
    LOG.append("-run")


@asynccontextmanager
async def deaf() -> AsyncGenerator[str]:
    with contextlib.suppress(anyio.get_cancelled_exc_class()):
        await anyio.sleep(1)
    LOG.append("+deaf")
    try:
        yield "deaf"
    finally:
        LOG.append("-deaf")


async def test_a_creation_that_swallows_its_cancellation_is_not_handed_out():
    async with user(Annotated[str, Resource(deaf, scope="workflow")]) as flow:
        with anyio.move_on_after(0.5):
            await flow.run()
        assert LOG == ["+deaf", "-deaf"]
        assert await flow.run() == "deaf"
        assert LOG == ["+deaf", "-deaf", "+deaf"]


async def test_a_creation_that_fails_while_it_is_broken_off_is_told():
    async def bad() -> None:
        try:
            await anyio.sleep(10)
        finally:
            raise OSError("disk full")

    with pytest.raises(WorkflowTimeoutError) as caught:
        await user(Annotated[None, Resource(bad)], timeout=1).run()
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(OSError, match="disk full"):
        async with user(Annotated[None, Resource(bad, scope="workflow")]) as flow:
            with anyio.move_on_after(1):
                await flow.run()


async def test_after_the_block_nothing_more_is_made_for_it():
    class Late(Workflow[str]):
        @step
        async def first(self, ev: StartEvent, it: Annotated[int, Resource(things.plain)]) -> Job:
            await anyio.sleep(2)
            return Job()

        @step
        async def then(
            self, ev: Job, it: Annotated[str, Resource(things.slow_manager, scope="workflow")]
        ) -> StopEvent[str]:
            return StopEvent(result=it)

    flow = Late()
    async with flow:
        run = flow.run().start()
        await anyio.sleep(1)
    with pytest.raises(WorkflowError, match="was not entered"):
        await run
    assert things.log == []


async def test_nothing_is_kept_of_a_creation_that_failed():
    async with user(Annotated[int, Resource(things.failing, scope="workflow")]) as flow:
        for _ in range(3):
            with pytest.raises(BoomError):
                await flow.run()
        assert flow._stretto_stock is not None
        assert not flow._stretto_stock._keepers


async def test_one_of_the_run_may_ask_for_one_of_the_workflow():
    async with user(Annotated[str, Resource(per_run)]) as flow:
        assert [await flow.run(), await flow.run()] == ["run of c"] * 2
    assert LOG == ["+c", "+run", "-run", "+run", "-run", "-c"]


async def test_a_teardown_that_fails_comes_out_of_the_block():
    needs = Annotated[str, Resource(bad_end, scope="workflow")]
    with pytest.raises(OSError, match="disk full"):
        async with user(needs) as flow:
            assert await flow.run() == "it"
    with pytest.raises(BoomError) as caught:
        async with user(needs) as flow:
            await flow.run()
            raise BoomError
    assert any("OSError('disk full')" in note for note in caught.value.__notes__)
    with pytest.raises(OSError, match="disk full"), anyio.move_on_after(1):
        async with user(needs) as flow:
            await flow.run()
            await anyio.sleep(10)


@contextmanager
def shared_bad_end(it: Annotated[str, Resource(bad_end, scope="workflow")]) -> Generator[str]:
    yield it
    raise ZeroDivisionError


async def test_of_two_teardowns_that_fail_the_first_comes_out():
    with pytest.raises(ZeroDivisionError) as caught:
        async with user(Annotated[str, Resource(shared_bad_end, scope="workflow")]) as flow:
            await flow.run()
    assert any("OSError('disk full')" in note for note in caught.value.__notes__)


async def test_attributes_of_the_users_own_are_left_alone():
    class Shop(Shared):
        def __init__(self) -> None:
            super().__init__(num_concurrent_runs=2)
            self._stock = {"tea": 3}
            self._runs = self._configs = "mine"

    async with Shop() as shop:
        assert await shop.run(seconds=0) == "slow manager"
    assert (shop._stock, shop._runs, shop._configs) == ({"tea": 3}, "mine", "mine")
    assert things.log == CLOSED


async def test_a_workflow_is_entered_once():
    async with Shared() as flow:
        with pytest.raises(WorkflowError, match="has been entered already"):
            async with flow:
                pass


# -- resources that hold scopes, and break -------------------------------------------------------------------------


@asynccontextmanager
async def beating(fails_after: float) -> AsyncGenerator[list[int]]:
    beats: list[int] = []

    async def beat() -> None:
        while True:
            await anyio.sleep(1)
            beats.append(1)
            if len(beats) > fails_after:
                raise BoomError

    async with anyio.create_task_group() as tg:
        tg.start_soon(beat)
        yield beats
        tg.cancel_scope.cancel()


async def test_a_resource_may_hold_a_task_group():
    async def wait(beats: list[int]) -> int:
        await anyio.sleep(3.5)
        return len(beats)

    needs = Annotated[Any, Resource(functools.partial(beating, 100))]
    assert await user(needs, wait).run() == 3
    began = anyio.current_time()
    with pytest.raises(BoomError) as caught:
        await user(needs, boom).run()
    assert anyio.current_time() == began
    assert not any("while" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("scope", ["run", "workflow"])
async def test_one_that_breaks_while_it_is_in_use_is_told(scope: Any):
    needs = Annotated[Any, Resource(functools.partial(beating, 2), scope=scope)]
    began = anyio.current_time()
    with pytest.raises(BoomError) as caught:
        async with user(needs, nap) as flow:
            await flow.run()
    assert anyio.current_time() - began == pytest.approx(3 if scope == "run" else 10)
    assert any("was in use" in note for note in caught.value.__notes__)


@asynccontextmanager
async def short_lived() -> AsyncGenerator[str]:
    with anyio.move_on_after(2):  # noqa: ASYNC100 - in here a run goes on
        yield "it"


async def test_after_one_has_broken_the_next_run_gets_a_new_one():
    needs = Annotated[Any, Resource(functools.partial(beating, 2), scope="workflow")]
    flow = user(needs)
    with pytest.raises(BoomError):
        async with flow:
            first = await flow.run()
            await anyio.sleep(4)
            second = await flow.run()
            assert first == [1, 1, 1]
            assert second == []


async def test_one_that_goes_by_itself_is_told():
    with pytest.raises(
        WorkflowError, match=r"short_lived \(test_resources\.py:\d+\) was left while it was in use"
    ):
        await user(Annotated[str, Resource(short_lived)], nap).run()


async def test_a_cancellation_of_the_loop_that_a_factory_raises_is_an_error(anyio_backend_name: str):
    if anyio_backend_name == "trio":
        return  # it cannot be made there
    import asyncio

    async def stray() -> None:
        raise asyncio.CancelledError

    with pytest.raises(WorkflowError, match="although nothing was cancelled"):
        await user(Annotated[None, Resource(stray)]).run()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_ends_a_program_comes_out_bare(error: type[BaseException]):
    def factory() -> None:
        raise error

    with pytest.raises(error):
        await user(Annotated[None, Resource(factory)]).run()


# -- replaced ------------------------------------------------------------------------------------------------------


async def test_a_value_stands_in_for_what_the_factory_makes():
    flow = user(Annotated[Any, Resource(cursor)])
    with Resource.override(session, ["fake"]):
        assert await flow.run() == (["fake"], ["pool"])
        with Resource.override(pool, None):
            assert await flow.run() == (["fake"], None)
        with Resource.override(session, "other"):
            assert await flow.run() == ("other", ["pool"])
    assert await flow.run() == (["pool", "session"], ["pool"])


async def test_a_factory_stands_in_for_it():
    @contextmanager
    def fake(pool: Annotated[list[str], Resource(pool)]) -> Generator[list[str]]:
        LOG.append("+fake")
        yield ["fake", *pool]
        LOG.append("-fake")

    with Resource.override(session, by=fake):
        assert await user(Annotated[Any, Resource(cursor)]).run() == (["fake", "pool"], ["pool"])
    assert LOG == ["+fake", "-fake"]


async def test_what_stands_in_has_the_same_scope():
    needs = Annotated[Any, Resource(things.slow_manager, scope="workflow")]
    with Resource.override(things.slow_manager, by=things.manager):
        async with user(needs) as flow:
            assert [await flow.run(), await flow.run()] == ["manager"] * 2
            assert things.log == ["open manager"]
    assert things.log == ["open manager", "close manager"]


def test_what_stands_in_may_not_ask_for_what_it_replaces_however_far_below():
    with (
        pytest.raises(DefinitionError, match=r"session \(.*\) asks for pool \(.*\), in whose place"),
        Resource.override(pool, by=cursor),
    ):
        pass


def one() -> str:
    return "one"


def two() -> str:
    return "two"


def asks_for_two(
    it: Annotated[str, Resource(two)], file: Annotated[Any, ResourceConfig("never-read.toml")] = None
) -> str:
    return it


def asks_for_one(it: Annotated[str, Resource(one)]) -> str:
    return it


async def test_two_that_stand_in_for_what_the_other_asks_for_are_refused():
    """Each waited for the other, until the deadline of the run."""
    with Resource.override(one, by=asks_for_two):
        with Resource.override(two, by=one):  # which asks for nothing
            pass
        with Resource.override(two, "fine"), Resource.override(pool, by=asks_for_one):
            pass
        with (
            pytest.raises(
                DefinitionError, match=r"asks_for_two \(.*\) asks for two \(.*\), in whose place asks_for_one"
            ),
            Resource.override(two, by=asks_for_one),
        ):
            pass


async def test_it_holds_for_the_runs_of_the_block_alone():
    async def inside() -> None:
        with Resource.override(session, "fake"):
            results.append(await flow.run())
            await anyio.sleep(1)

    results: list[object] = []
    flow = user(Annotated[Any, Resource(session)])
    async with anyio.create_task_group() as tg:
        tg.start_soon(inside)
        await anyio.sleep(0.5)
        results.append(await flow.run())
    assert results == ["fake", ["pool", "session"]]


async def test_one_of_the_workflow_is_replaced_without_entering_it():
    with Resource.override(things.slow_manager, "fake"):
        assert await Shared().run(seconds=0) == "fake"


# -- around it -----------------------------------------------------------------------------------------------------

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


async def test_a_factory_sees_the_context_variables_of_the_step_that_asked_first():
    flow = user(Annotated[str, Resource(tenant.get)])
    tenant.set("me")
    assert await flow.run() == "me"


async def test_a_run_nested_in_a_factory_ends_with_it():
    inner = Ending()

    async def nested() -> str:
        return await inner.run(how="wait")

    with pytest.raises(WorkflowTimeoutError):
        await user(Annotated[str, Resource(nested)], timeout=1).run()
    assert LOG[-1] == "-a"


async def test_a_run_started_in_a_factory_of_the_workflow_outlives_the_run_that_asked():
    """It was a nested run of the one that asked first, and was cancelled with it."""

    class Pulse(Workflow[None]):
        @step
        async def beat(self, ev: StartEvent) -> StopEvent[None]:
            for _ in range(10):
                await anyio.sleep(1)
                LOG.append("beat")
            return StopEvent()

    @asynccontextmanager
    async def pulse() -> AsyncGenerator[object]:
        run = Pulse().run().start()
        yield run
        await run.cancel()

    async def wait(run: object) -> object:
        await anyio.sleep(2.5)
        return run

    async with user(Annotated[object, Resource(pulse, scope="workflow")], wait) as flow:
        first = await flow.run()
        assert await flow.run() is first
        assert LOG == ["beat"] * 5
    assert LOG == ["beat"] * 5


@pytest.mark.parametrize("linked", [False, True])
async def test_a_run_in_the_background_tears_down_too(linked: bool):
    flow = Ending()
    run = flow.run(how="return")
    if linked:
        assert [type(ev) async for ev in run.stream_events()] == [StopEvent]
    assert await run == "top of c"
    assert LOG == EXPECTED


async def test_nothing_is_kept_of_a_run_that_has_ended():
    async with user(Annotated[str, Resource(per_run)]) as flow:
        for _ in range(3):
            await flow.run()
        stock = flow._stretto_stock
        assert stock is not None
        assert not stock.users
        assert len(stock._keepers) == 1
    assert not stock._keepers


def test_a_resource_is_known_by_its_factory_and_options():
    assert Resource(pool) == Resource(pool)
    assert Resource(things.plain) == Resource(things.plain)
    assert (
        len({Resource(pool), Resource(pool, scope="workflow"), Resource(pool, enter=True), Resource(session)})
        == 4
    )
    assert repr(Resource(pool, scope="workflow", enter=True)).startswith("Resource(pool (test_resources.py:")
    assert repr(Resource(dict)) == "Resource(dict)"
