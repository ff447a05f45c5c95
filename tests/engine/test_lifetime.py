"""The rules R1 to R5 of the handle: when a run starts, who owns it, and when it is over."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio

from stretto import (
    Context,
    Event,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from stretto.events import HumanResponseEvent
from tests import leaks, virtual
from tests.engine.ledger import Ledger

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class Answer(HumanResponseEvent):
    text: str = ""


class Word(StartEvent):
    text: str


class Number(StartEvent):
    number: int


class Spelt(StopEvent[Any]):
    text: str


class BoomError(Exception):
    pass


class Nap(Workflow[str]):
    """Sleeps and says so."""

    def __init__(
        self, ledger: Ledger | None = None, seconds: float = 2.0, name: str = "nap", **options: Any
    ) -> None:
        self.ledger = ledger or Ledger()
        self.seconds = seconds
        self.name = name
        super().__init__(**options)

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        async with self.ledger.signed(self.name):
            await anyio.sleep(self.seconds)
        return StopEvent(result=self.name)


class Fails(Workflow[str]):
    def __init__(self, seconds: float = 2.0) -> None:
        self.seconds = seconds
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        await anyio.sleep(self.seconds)
        raise BoomError


# -- R1 -----------------------------------------------------------------------------------------------------


async def test_await_run_runs_in_the_awaiters_own_task():
    tasks: list[object] = []

    class Who(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            tasks.append(anyio.get_current_task().id)
            return StopEvent()

    await Who().run()
    assert tasks == [anyio.get_current_task().id]


async def test_a_run_does_not_begin_before_it_is_awaited():
    ledger = Ledger()
    run = Nap(ledger).run()
    await anyio.sleep(10)
    assert ledger.log == []
    assert not run.done
    assert await run == "nap"
    assert run.done


async def test_a_run_is_awaited_as_often_as_one_likes():
    ledger = Ledger()
    run = Nap(ledger).run()
    assert [await run, await run, await run] == ["nap"] * 3
    assert ledger.log == ["+nap", "-nap"]


async def test_two_tasks_may_await_one_run():
    ledger = Ledger()
    run = Nap(ledger).run()
    results: list[str] = []

    async def wait() -> None:
        results.append(await run)

    async with anyio.create_task_group() as tg:
        tg.start_soon(wait)
        tg.start_soon(wait)
    assert results == ["nap", "nap"]
    assert ledger.log == ["+nap", "-nap"]


async def test_a_second_awaiter_is_told_when_the_first_one_is_cancelled():
    run = Nap(seconds=100).run()
    told: list[type[BaseException]] = []

    async def first() -> None:
        with anyio.move_on_after(1):
            await run

    async def second() -> None:
        await anyio.sleep(0.5)
        try:
            await run
        except WorkflowCancelledError as error:
            told.append(type(error))

    async with anyio.create_task_group() as tg:
        tg.start_soon(first)
        tg.start_soon(second)
    assert told == [WorkflowCancelledError]


async def test_a_second_awaiter_that_is_cancelled_harms_nobody():
    run = Nap(seconds=10).run()

    async def second() -> None:
        with anyio.move_on_after(1):
            await run

    async with anyio.create_task_group() as tg:
        tg.start_soon(second)
        tg.start_soon(second)
        assert await run == "nap"


async def test_a_handle_that_is_cancelled_before_its_start_never_starts():
    ledger = Ledger()
    run = Nap(ledger).run()
    await run.cancel()
    assert run.done
    with pytest.raises(WorkflowCancelledError):
        await run
    assert ledger.log == []


async def test_an_endless_chain_of_steps_lets_others_have_their_turn():
    turns = 0

    class Busy(Workflow[int]):
        hops = 0

        @step
        async def spin(self, ev: StartEvent | Job) -> Job | StopEvent:
            self.hops += 1
            return StopEvent(result=turns) if self.hops == 10_000 else Job()

    async def other() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tg:
        tg.start_soon(other)
        assert await Busy(timeout=None).run() >= 100
        tg.cancel_scope.cancel()


async def test_many_runs_of_one_workflow_go_on_at_once():
    wf = Nap()
    began = anyio.current_time()
    async with anyio.create_task_group() as tg:
        for _ in range(50):
            tg.start_soon(wf.execute)
    assert anyio.current_time() - began == pytest.approx(2)
    assert len(wf.ledger.left) == 50


async def test_runs_of_one_workflow_share_no_events_and_no_buffers():
    class Pairs(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            ctx.send_event(Job(number=ev.base))
            await anyio.sleep(1)
            ctx.send_event(Job(number=ev.base + 1))

        @step
        async def gather(self, ctx: Context, ev: Job) -> StopEvent | None:
            both = ctx.collect_events(ev, [Job, Job])
            return None if both is None else StopEvent(result=[job.number for job in both])

    wf = Pairs()
    results: list[list[int]] = []

    async def one(base: int) -> None:
        results.append(await wf.run(base=base))

    async with anyio.create_task_group() as tg:
        for base in (10, 20, 30):
            tg.start_soon(one, base)
    assert sorted(results) == [[10, 11], [20, 21], [30, 31]]


async def test_every_run_has_an_id_of_its_own():
    seen: list[str] = []

    class Tells(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=ctx.run_id)

    for _ in range(3):
        run = Tells().run()
        seen.append(await run)
        assert run.run_id == seen[-1]
    assert len(set(seen)) == 3


# -- R2 -----------------------------------------------------------------------------------------------------


async def test_a_block_starts_its_run_on_entry_and_waits_for_it_on_leaving():
    ledger = Ledger()
    async with Nap(ledger).run() as run:
        await anyio.sleep(1)
        assert ledger.log == ["+nap"]
        assert not run.done
    assert ledger.log == ["+nap", "-nap"]
    assert run.done
    assert await run == "nap"


async def test_leaving_a_block_by_an_exception_cancels_and_waits():
    ledger = Ledger()
    began = anyio.current_time()
    with pytest.raises(BoomError) as caught:
        async with Nap(ledger, 100).run() as run:
            await anyio.sleep(1)
            raise BoomError
    assert anyio.current_time() - began == pytest.approx(1)
    assert ledger.log == ["+nap", "-nap"]
    assert run.done
    assert not isinstance(caught.value, BaseExceptionGroup)


async def test_leaving_a_block_by_return_waits_for_the_result():
    ledger = Ledger()

    async def leave() -> object:
        async with Nap(ledger).run():
            return "left"

    assert await leave() == "left"
    assert ledger.log == ["+nap", "-nap"]


async def test_an_event_sent_as_the_first_thing_in_a_block_comes_after_the_start_event():
    seen: list[str] = []

    class Ordered(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> None:
            seen.append("start")

        @step
        async def answer(self, ev: Answer) -> StopEvent:
            seen.append(ev.text)
            return StopEvent(result="done")

    async with Ordered().run() as run:
        run.send_event(Answer(text="at once"))
        assert await run == "done"
    assert seen == ["start", "at once"]


async def test_cancel_ends_a_run_and_waits_and_leaving_its_block_is_silent():
    ledger = Ledger()
    async with Nap(ledger, 100).run() as run:
        await anyio.sleep(1)
        await run.cancel()
        assert ledger.log == ["+nap", "-nap"]
        assert run.done


async def test_awaiting_a_cancelled_run_raises_workflow_cancelled_error():
    async with Nap(seconds=100).run() as run:
        await anyio.sleep(1)
        await run.cancel()
        for _ in range(2):
            with pytest.raises(WorkflowCancelledError, match="Nap"):
                await run


async def test_cancelling_a_run_that_is_over_changes_nothing():
    async with Nap().run() as run:
        await run
        await run.cancel()
        assert await run == "nap"


async def test_a_run_can_be_cancelled_before_its_first_step_began():
    ledger = Ledger()
    async with Nap(ledger, 100).run() as run:
        await run.cancel()
    assert not ledger.inside
    with pytest.raises(WorkflowCancelledError):
        await run


# -- R3 -----------------------------------------------------------------------------------------------------


class Parent(Workflow[object]):
    """Runs `body` in a step; with `wide`, in a step that has a task group open."""

    def __init__(self, body: Callable[[], Awaitable[object]], *, wide: bool = False) -> None:
        self.body, self.wide = body, wide
        super().__init__(timeout=60)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        ctx.send_event(Job(number=0))
        if self.wide:
            ctx.send_event(Job(number=1))

    @step
    async def work(self, ev: Job) -> StopEvent | None:
        if ev.number == 1:
            await anyio.sleep(50)
            return None
        return StopEvent(result=await self.body())


class NarrowParent(Workflow[object]):
    """The same in a single step that takes no Context."""

    def __init__(self, body: Callable[[], Awaitable[object]]) -> None:
        self.body = body
        super().__init__(timeout=60)

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await self.body())


PARENTS: list[Callable[[Callable[[], Awaitable[object]]], Workflow[object]]] = [
    NarrowParent,
    Parent,
    lambda body: Parent(body, wide=True),
]
IDS = ["narrow", "one step", "two steps"]


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_a_nested_run_that_is_awaited_runs_in_its_step(parent: Callable[..., Workflow[object]]):
    async def body() -> str:
        return await Nap().run()

    assert await parent(body).run() == "nap"


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_a_nested_run_that_is_not_awaited_starts_when_its_step_suspends(
    parent: Callable[..., Workflow[object]],
):
    ledger = Ledger()

    async def body() -> str:
        began = anyio.current_time()
        inner = Nap(ledger).run()
        assert ledger.log == []
        await anyio.sleep(1.5)
        assert ledger.log == ["+nap"]
        result = await inner
        assert anyio.current_time() - began == pytest.approx(2)
        return result

    assert await parent(body).run() == "nap"


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_two_nested_runs_overlap_when_both_were_made_before_the_first_await(
    parent: Callable[..., Workflow[object]],
):
    async def body() -> list[str]:
        began = anyio.current_time()
        first, second = Nap(name="a").run(), Nap(name="b").run()
        results = [await first, await second]
        assert anyio.current_time() - began == pytest.approx(2)
        return results

    assert await parent(body).run() == ["a", "b"]


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_a_nested_run_never_outlives_its_parent(parent: Callable[..., Workflow[object]]):
    ledger = Ledger()
    kept: list[Any] = []

    async def body() -> str:
        kept.append(Nap(ledger, 100).run())
        await anyio.sleep(1)
        return "over"

    began = anyio.current_time()
    assert await parent(body).run() == "over"
    assert anyio.current_time() - began == pytest.approx(1)
    assert ledger.log == ["+nap", "-nap"]
    assert kept[0].done


async def test_a_nested_run_made_as_the_last_thing_in_a_step_runs_while_the_parent_does():
    ledger = Ledger()

    class Last(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            self.kept = Nap(ledger).run()
            return Job()

        @step
        async def work(self, ev: Job) -> StopEvent:
            await anyio.sleep(5)
            return StopEvent(result="done")

    assert await Last().run() == "done"
    assert ledger.log == ["+nap", "-nap"]


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_the_failure_of_a_nested_run_that_nobody_awaited_fails_the_parent_at_its_end(
    parent: Callable[..., Workflow[object]],
):
    """Until then somebody may still await it."""
    kept: list[Any] = []

    async def body() -> str:
        kept.append(Fails().run())
        await anyio.sleep(20)
        return "a result, but"

    began = anyio.current_time()
    with pytest.raises(BoomError) as caught:
        await parent(body).run()
    assert anyio.current_time() - began == pytest.approx(20)
    assert "Fails.begin" in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_a_nested_run_that_failed_long_ago_can_still_be_awaited(
    parent: Callable[..., Workflow[object]],
):
    async def body() -> str:
        inner = Fails().run()
        await anyio.sleep(20)
        assert inner.done
        with pytest.raises(BoomError):
            await inner
        return "caught"

    assert await parent(body).run() == "caught"


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_the_failure_of_a_nested_run_that_is_being_awaited_comes_out_there_alone(
    parent: Callable[..., Workflow[object]],
):
    async def body() -> str:
        inner = Fails().run()
        await anyio.sleep(1)
        with pytest.raises(BoomError):
            await inner
        return "caught"

    assert await parent(body).run() == "caught"


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_a_nested_block_works_as_outside(parent: Callable[..., Workflow[object]]):
    async def body() -> str:
        async with Nap().run() as inner:
            assert [type(ev) async for ev in inner.stream_events()] == [StopEvent]
            return await inner

    assert await parent(body).run() == "nap"


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_the_articles_form_in_a_step_belongs_to_the_step(parent: Callable[..., Workflow[object]]):
    ledger = Ledger()

    async def body() -> str:
        inner = Nap(ledger, 100).run()
        inner.stream_events()
        await anyio.sleep(1)
        raise BoomError

    with pytest.raises(BoomError):
        await parent(body).run()
    assert ledger.log == ["+nap", "-nap"]


async def test_a_nested_run_made_in_a_task_of_the_users_own_starts_at_once():
    ledger = Ledger()

    async def body() -> str:
        async def helper() -> None:
            inner = Nap(ledger).run()
            inner_began = anyio.current_time()
            await anyio.sleep(1)
            assert await inner == "nap"
            assert anyio.current_time() - inner_began == pytest.approx(2)

        async with anyio.create_task_group() as tg:
            tg.start_soon(helper)
        return "done"

    assert await Parent(body).run() == "done"


async def test_a_nested_run_may_be_handed_to_another_step_in_an_event():
    ledger = Ledger()

    class Carry(Event):
        inner: Any

    class Relay(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Carry:
            return Carry(inner=Nap(ledger).run())

        @step
        async def end(self, ev: Carry) -> StopEvent:
            began = anyio.current_time()
            await anyio.sleep(1)
            result = await ev.inner
            assert anyio.current_time() - began == pytest.approx(2), "it ran meanwhile"
            return StopEvent(result=result)

    assert await Relay().run() == "nap"
    assert ledger.log == ["+nap", "-nap"]


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_nested_runs_in_tasks_of_the_users_own_belong_to_the_step(
    parent: Callable[..., Workflow[object]],
):
    ledger = Ledger()

    async def body() -> str:
        async with anyio.create_task_group() as tg:
            for number in range(3):
                tg.start_soon(Nap(ledger, 1 + number, str(number)).execute)
            await anyio.sleep(1.5)
            tg.cancel_scope.cancel()
        return "over"

    assert await parent(body).run() == "over"
    assert not ledger.inside
    assert sorted(ledger.left) == ["0", "1", "2"]


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
async def test_a_time_limit_of_the_step_round_a_nested_run_ends_it_and_no_more(
    parent: Callable[..., Workflow[object]],
):
    ledger = Ledger()

    async def body() -> str:
        with anyio.move_on_after(1) as scope:
            await Nap(ledger, 100).run()
        assert scope.cancelled_caught
        assert ledger.log == ["+nap", "-nap"]
        await anyio.sleep(1)
        return "went on"

    assert await parent(body).run() == "went on"


@pytest.mark.parametrize("parent", PARENTS, ids=IDS)
@pytest.mark.parametrize("end", ["timeout", "cancel"])
async def test_a_step_and_its_nested_run_clean_up_at_the_same_time(
    parent: Callable[..., Workflow[object]], end: str
):
    ledger = Ledger()

    class Tidy(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            async with ledger.signed("inner", cleanup=4):
                await anyio.sleep(1000)
            return StopEvent(result="late")

    async def body() -> str:
        async with ledger.signed("outer", cleanup=4):
            kept.append(Tidy(timeout=None).run())
            await anyio.sleep(1000)
        return "late"

    kept: list[Any] = []
    began = anyio.current_time()
    if end == "timeout":
        with pytest.raises(WorkflowTimeoutError):
            await parent(body).run()
        began += 60
    else:
        async with parent(body).run() as run:
            await anyio.sleep(1)
            await run.cancel()
        began += 1
    assert anyio.current_time() - began == pytest.approx(4)
    assert not ledger.inside


async def test_runs_three_deep_end_inside_out_when_the_caller_is_cancelled():
    ledger = Ledger()

    class Level(Workflow[str]):
        def __init__(self, name: str, inner: Workflow[str]) -> None:
            self.name, self.inner = name, inner
            super().__init__(timeout=None)

        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            async with ledger.signed(self.name):
                return StopEvent(result=await self.inner.run())

    with anyio.move_on_after(1):
        await Level("a", Level("b", Nap(ledger, 100, "c"))).run()
    assert ledger.log == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_awaiting_ones_own_run_is_an_error_not_a_deadlock():
    class Ouroboros(Workflow[str]):
        handle: Any = None

        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            await anyio.sleep(1)
            with pytest.raises(WorkflowError, match="Ouroboros"):
                await self.handle
            with pytest.raises(WorkflowError, match="Ouroboros"):
                await self.handle.cancel()
            return StopEvent(result="told")

    wf = Ouroboros()
    async with wf.run() as run:
        wf.handle = run
        assert await run == "told"


# -- R4 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["start", "stream_events"])
async def test_the_articles_form_starts_at_start_or_at_the_first_stream(start: str):
    ledger = Ledger()
    handler = Nap(ledger).run()
    await anyio.sleep(10)
    assert ledger.log == []
    kept = getattr(handler, start)()
    await anyio.sleep(1)
    assert ledger.log == ["+nap"]
    assert await handler == "nap"
    del kept


async def test_a_started_run_goes_on_while_nobody_looks():
    ledger = Ledger()
    handler = Nap(ledger).run()
    handler.start()
    await anyio.sleep(5)
    assert handler.done
    assert ledger.log == ["+nap", "-nap"]
    assert await handler == "nap"


async def test_a_started_run_outlives_the_task_that_started_it():
    """It is hosted at the root of the loop: what bounds it is its handle and its timeout."""
    handlers: list[Any] = []

    async def starter() -> None:
        handler = Nap().run()
        handler.start()
        handlers.append(handler)

    async with anyio.create_task_group() as tg:
        tg.start_soon(starter)
    assert await handlers[0] == "nap"


async def test_the_failure_of_a_started_run_waits_for_its_await_and_harms_nobody():
    handler = Fails().run()
    handler.start()
    await anyio.sleep(5)
    assert handler.done
    with pytest.raises(BoomError):
        await handler


def test_scoped_only_forbids_the_articles_form_and_no_other(anyio_backend_name: str):
    async def main() -> None:
        wf = Nap(scoped_only=True)
        handler = wf.run()
        with pytest.raises(WorkflowError, match="scoped_only"):
            handler.start()
        with pytest.raises(WorkflowError, match="scoped_only"):
            handler.stream_events()
        assert await handler == "nap"
        async with wf.run() as run:
            run.stream_events()
            assert await run == "nap"
        assert await NarrowParent(wf.execute).run() == "nap"

    virtual.run(main, backend=anyio_backend_name)


async def test_a_handle_that_is_never_used_warns_with_the_line_that_made_it():
    line = inspect.stack()[0].lineno + 2
    with pytest.warns(RuntimeWarning, match=rf"Nap.*test_lifetime\.py:{line}"):
        handler = Nap().run()
        del handler
        gc.collect()


async def test_a_handle_that_was_used_does_not_warn(recwarn: pytest.WarningsRecorder):
    handler = Nap().run()
    await handler
    del handler
    handler = Nap().run()
    handler.start()
    await handler
    del handler
    async with Nap().run():
        pass
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


async def test_awaiting_two_runs_one_after_the_other_says_once_that_they_do_not_overlap(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
):
    began = anyio.current_time()
    for _ in range(2):
        first, second = Nap(name="a").run(), Nap(name="b").run()
        assert [await first, await second] == ["a", "b"]
    assert anyio.current_time() - began == pytest.approx(8)
    told = [r.getMessage() for r in caplog.records if r.name == "stretto"] + [str(w.message) for w in recwarn]
    assert len([text for text in told if "task group" in text]) <= 1


def test_the_hint_about_overlap_is_given_in_a_fresh_process(anyio_backend_name: str):
    """Said once a process: so the one that says it must be a new one."""
    import subprocess
    import sys

    program = f"""
import anyio
from stretto import StartEvent, StopEvent, Workflow, step

class Nap(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        await anyio.lowlevel.checkpoint()
        return StopEvent()

async def main():
    for _ in range(3):
        a = Nap().run(); b = Nap().run()
        await a; await b

anyio.run(main, backend={anyio_backend_name!r})
"""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("task group") == 1, done.stderr


def test_a_block_that_is_left_in_another_task_ends_its_run_and_says_why(anyio_backend_name: str):
    """A generator that was dropped left its block in a task of the loop: on trio the program hung."""
    import subprocess
    import sys

    program = f"""
import anyio
from stretto import StartEvent, StopEvent, Workflow, step

class Nap(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        try:
            await anyio.sleep_forever()
        finally:
            print("ended")

async def events():
    async with Nap().run():
        yield

async def main():
    async for _ in events():
        await anyio.lowlevel.checkpoint()
        break
    await anyio.sleep(0.01)

anyio.run(main, backend={anyio_backend_name!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert "ended" in done.stdout
    assert "contextlib.aclosing" in done.stderr


async def test_a_nested_run_that_nobody_awaited_is_told_where_its_parent_ends(
    caplog: pytest.LogCaptureFixture,
):
    class Parent(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            handler = Nap().run()
            await anyio.sleep(1)
            if ev.reads:
                handler.stream_events()
            return StopEvent(result="done")

    class Awaits(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Job]:
            return [Job(number=0), Job(number=1)]

        @step
        async def work(self, ctx: Context, ev: Job) -> StopEvent:
            if ev.number:
                await anyio.sleep(1)
                return StopEvent(result="done")
            handler = Nap(seconds=9).run()
            await anyio.sleep(0.5)
            return StopEvent(result=await handler)

    for reads in (True, False):
        assert await Parent().run(reads=reads) == "done"
    assert await Awaits().run() == "done"
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("a run of Nap made at test_lifetime.py:")
    assert told.endswith(
        "was cancelled, because Parent had its result and nobody awaited that run; write await in front of it"
    )


async def test_awaiting_two_runs_of_which_one_is_done_says_nothing(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "stretto")
    assert await Nap(name="a").run() == "a"
    assert await Nap(name="b").run() == "b"
    assert [record.getMessage() for record in caplog.records if record.name == "stretto"] == []


# -- sending, and the handle before its start ---------------------------------------------------------------


async def test_a_handle_that_has_not_started_takes_no_events():
    run = Nap().run()
    with pytest.raises(WorkflowError):
        run.send_event(Job())
    await run


async def test_run_ctx_sends_like_the_handle():
    class Waits(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> None:
            pass

        @step
        async def answer(self, ev: Answer) -> StopEvent:
            return StopEvent(result=ev.text)

    async with Waits().run() as run:
        run.ctx.send_event(Answer(text="by ctx"))
        assert await run == "by ctx"


async def test_send_event_may_name_its_step():
    class Two(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> None:
            pass

        @step
        async def left(self, ev: Answer) -> StopEvent:
            return StopEvent(result="left")

        @step
        async def right(self, ev: Answer) -> StopEvent:
            return StopEvent(result="right")

    for name in ("left", "right"):
        async with Two().run() as run:
            run.send_event(Answer(), step=name)
            assert await run == name


async def test_a_stop_event_from_outside_ends_the_run():
    ledger = Ledger()
    async with Nap(ledger, 100).run() as run:
        await anyio.sleep(1)
        run.send_event(StopEvent(result="enough"))
        assert await run == "enough"
    assert ledger.log == ["+nap", "-nap"]


# -- R5 -----------------------------------------------------------------------------------------------------


async def test_leaving_the_stream_does_not_cancel_the_run():
    class Talks(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            for number in range(5):
                ctx.write_event_to_stream(Job(number=number))
                await anyio.sleep(1)
            return StopEvent(result="done")

    handler = Talks().run()
    async for _ in handler.stream_events():
        break
    assert await handler == "done"
    async with Talks().run() as run:
        async for _ in run.stream_events():
            break
        assert await run == "done"


# -- other ways to start ------------------------------------------------------------------------------------


class Echo(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        await anyio.lowlevel.checkpoint()
        return StopEvent(result=ev.text)


class Ask(StartEvent):
    text: str


class Typed(Workflow[str]):
    @step
    async def begin(self, ev: Ask) -> StopEvent:
        return StopEvent(result=ev.text)


def test_run_sync_is_for_scripts(anyio_backend_name: str):
    assert Echo().run_sync(text="hi", backend=anyio_backend_name) == "hi"
    assert Typed().run_sync(Ask(text="ho"), backend=anyio_backend_name) == "ho"


def test_run_sync_runs_on_asyncio_unless_told_otherwise():
    class Where(Workflow[bool]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=asyncio.get_running_loop().is_running())

    assert Where().run_sync() is True


def test_execute_is_what_trio_run_and_asyncio_run_take():
    assert trio.run(Typed().execute, Ask(text="trio")) == "trio"
    assert asyncio.run(Typed().execute(Ask(text="asyncio"))) == "asyncio"
    assert asyncio.run(Echo().execute(text="fields")) == "fields"


async def test_execute_goes_into_a_task_group():
    ledger = Ledger()
    async with anyio.create_task_group() as tg:
        tg.start_soon(Nap(ledger, name="a").execute)
        tg.start_soon(Nap(ledger, name="b").execute)
    assert sorted(ledger.left) == ["a", "b"]


def test_gather_overlaps_runs_on_asyncio():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.gather(Nap(name="a").run(), Nap(name="b").run()) == ["a", "b"]
        assert loop.time() - began == pytest.approx(2)

    virtual.run(main, backend="asyncio")


async def test_start_event_fields_reach_the_first_step():
    assert await Echo().run(text="plain") == "plain"
    assert await Typed().run(text="typed") == "typed"
    assert await Typed().run(Ask(text="whole")) == "whole"
    assert await Typed().run(start_event=Ask(text="named")) == "named"


async def test_a_field_that_the_start_event_does_not_have_is_a_type_error_with_the_near_name():
    with pytest.raises(TypeError, match="did you mean 'text'"):
        Typed().run(txet="typo")


async def test_a_stop_event_subclass_is_itself_the_result():
    class Verdict(StopEvent):
        good: bool

    class Judges(Workflow[Verdict]):
        @step
        async def begin(self, ev: StartEvent) -> Verdict:
            return Verdict(good=True)

    assert await Judges().run() == Verdict(good=True)


@pytest.mark.parametrize(("start", "result"), [(Word(text="x"), Spelt(text="x")), (Number(number=3), 3)])
async def test_a_workflow_may_have_several_events_to_begin_and_to_end_with(start: StartEvent, result: object):
    class Either(Workflow[Any]):
        @step
        async def word(self, ev: Word) -> Spelt:
            return Spelt(text=ev.text)

        @step
        async def number(self, ev: Number) -> StopEvent[int]:
            return StopEvent(result=ev.number)

    assert await Either().run(start) == result


async def test_nothing_is_left_after_a_thousand_runs():
    before = leaks.Before()
    for _ in range(1000):
        await Echo().run(text="x")
    async with anyio.create_task_group() as tg:
        for _ in range(1000):
            tg.start_soon(Nap(seconds=1).execute)
    assert before.left_behind() == []
