"""`@catch_error`: a step that has failed for good is recovered in place of failing the run, within a budget."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowTimeoutError,
    catch_error,
    step,
)
from stretto.events import StepFailedEvent
from stretto.retry import fixed
from tests import virtual

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class Again(Event):
    number: int = 0


class BoomError(Exception):
    pass


class Base(Workflow[Any]):
    """Two steps, of which `work` fails always."""

    @step
    async def begin(self, ev: StartEvent) -> Job:
        return Job(number=7)

    @step(retry_policy=RetryPolicy(attempts=2, wait=fixed(1)))
    async def work(self, ctx: Context, ev: Job | Again) -> StopEvent[Any]:
        await anyio.sleep(0.5)
        raise BoomError(ev.number, ctx.attempt.number)


async def test_a_handler_gets_the_whole_story_and_may_end_the_run():
    class Rescued(Base):
        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[StepFailedEvent]:
            return StopEvent(result=ev)

    async with Rescued().run() as run:
        failed = await run
    assert (failed.step, failed.event, failed.attempts) == ("work", Job(number=7), 2)
    assert failed.exception.args == (7, 2)
    assert failed.elapsed == pytest.approx(2)
    assert run.failures == ()
    assert run.leftovers == run.dead_letters == ()


async def test_a_recovered_error_is_no_failure_of_the_run_and_is_told_by_the_trace(
    caplog: pytest.LogCaptureFixture,
):
    class Rescued(Base):
        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[str]:
            return StopEvent(result="rescued")

    caplog.set_level("INFO", "stretto")
    async with Rescued(verbose=True, disable_validation=True).run() as run:
        assert await run == "rescued"
    assert run.failures == ()
    assert [line.partition("s  ")[2] for line in caplog.messages] == [
        "begin #1  <- StartEvent  -> Job  0.0 ms",
        "work #1  <- Job  -> raised BoomError  500.0 ms",
        "work #2  <- Job  -> raised BoomError  500.0 ms",
        "rescue #1  <- StepFailedEvent  -> StopEvent  0.0 ms",
    ]


async def test_a_handler_may_take_a_context_send_and_run_in_a_thread():
    class Rescued(Base):
        @catch_error()
        def rescue(self, ctx: Context, ev: StepFailedEvent) -> Again | None:
            ctx.send_event(Again(number=ev.attempts))

        @step
        async def work(self, ctx: Context, ev: Job | Again) -> StopEvent[int]:
            if isinstance(ev, Job):
                raise BoomError
            return StopEvent(result=ev.number)

    assert await Rescued().run() == 1


async def test_a_step_in_a_chain_without_contexts_is_recovered_too():
    class Chain(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            return Job()

        @step
        async def work(self, ev: Job) -> StopEvent[str]:
            raise BoomError

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[str]:
            return StopEvent(result=f"rescued from {type(ev.exception).__name__}")

    for timeout in (None, 45.0):
        assert await Chain(timeout=timeout).run() == "rescued from BoomError"


async def test_a_recovery_that_fails_again_ends_in_the_original_error():
    rescued: list[int] = []

    class Loop(Base):
        @catch_error(max_recoveries=3)
        async def rescue(self, ev: StepFailedEvent) -> Again:
            rescued.append(1)
            return Again(number=len(rescued))

    with pytest.raises(BoomError) as caught:
        await Loop().run()
    assert len(rescued) == 3
    assert caught.value.args == (3, 2)
    assert any("not recovered: Loop.rescue" in note for note in caught.value.__notes__)


async def test_what_a_handler_sends_has_its_budget_spent_too():
    rescued: list[int] = []

    class Loop(Base):
        @catch_error
        async def rescue(self, ctx: Context, ev: StepFailedEvent) -> Again | None:
            rescued.append(1)
            ctx.send_event(Again(number=len(rescued)))

    with pytest.raises(BoomError):
        await Loop().run()
    assert rescued == [1]


async def test_each_lineage_has_its_own_budget():
    rescued: list[int] = []

    class Many(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(20)]

        @step
        async def work(self, ev: Job) -> Again:
            if ev.number % 2:
                raise BoomError
            return Again(number=ev.number)

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> Again:
            assert isinstance(ev.event, Job)
            rescued.append(ev.event.number)
            return Again(number=ev.event.number)

        @step
        async def join(self, ctx: Context, ev: Again) -> StopEvent[int] | None:
            done = ctx.collect_events(ev, [Again] * 20)
            return None if done is None else StopEvent(result=len({each.number for each in done}))

    assert await Many().run() == 20
    assert sorted(rescued) == list(range(1, 20, 2))


async def test_the_handler_that_names_the_step_is_before_the_one_for_all():
    class Two(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            raise BoomError

        @step
        async def work(self, ev: Job) -> StopEvent[str]:
            raise BoomError

        @catch_error
        async def others(self, ev: StepFailedEvent) -> Job:
            return Job()

        @catch_error(for_steps=["work"])
        async def of_work(self, ev: StepFailedEvent) -> StopEvent[str]:
            return StopEvent(result=f"{ev.step} rescued")

    assert await Two().run() == "work rescued"


async def test_a_step_that_no_handler_is_for_fails_the_run():
    class Other(Base):
        @catch_error(for_steps=["begin"])
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[None]:
            return StopEvent()

    with pytest.raises(BoomError):
        await Other().run()


async def test_the_error_of_a_handler_comes_out_with_the_first_as_its_context():
    class Fails(Base):
        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[None]:
            raise LookupError("no rescue")

    with pytest.raises(LookupError) as caught:
        await Fails().run()
    assert isinstance(caught.value.__context__, BoomError)
    assert caught.value.__notes__[-1] == "while it recovered step 'work' from BoomError(7, 2)"


async def test_a_handler_may_raise_the_error_on():
    class Raises(Base):
        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[None]:
            raise ev.exception

    with pytest.raises(BoomError) as caught:
        await Raises().run()
    assert caught.value.args == (7, 2)


async def test_a_handler_is_inherited_and_may_be_left_out():
    class Rescued(Base):
        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[str]:
            return StopEvent(result="rescued")

    class Heir(Rescued):
        pass

    class Bare(Rescued):
        rescue = None  # pyright: ignore[reportAssignmentType]

    assert await Heir().run() == "rescued"
    with pytest.raises(BoomError):
        await Bare().run()


async def test_the_deadline_of_a_run_is_not_recovered():
    class Slow(Base):
        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[str]:
            return StopEvent(result="rescued")

    with pytest.raises(WorkflowTimeoutError):
        await Slow(timeout=0.25).run()


async def test_a_step_past_its_limit_is_recovered():
    class Late(Workflow[str]):
        @step(timeout=1)
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            await anyio.sleep(100)
            return StopEvent(result="never")

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[str]:
            return StopEvent(result=type(ev.exception).__name__)

    assert await Late().run() == "StepTimeoutError"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("backend", virtual.BACKENDS)
def test_ctrl_c_is_not_recovered(backend: str):
    class Broken(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            raise KeyboardInterrupt

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent[str]:
            return StopEvent(result="never")

    with pytest.raises(KeyboardInterrupt):
        virtual.run(Broken().execute, backend=backend)


async def test_a_handler_needs_no_maker_and_is_reached_whatever_the_graph(caplog: pytest.LogCaptureFixture):
    class OnlyTheHandlerStops(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> None:
            raise BoomError

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> Again:
            return Again()

        @step
        async def end(self, ev: Again) -> StopEvent[str]:
            return StopEvent(result="rescued")

    assert await OnlyTheHandlerStops().run() == "rescued"
    assert caplog.messages == []


async def test_steps_added_later_are_looked_at_too():
    class App(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            raise BoomError

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> Job:
            return Job()

    with pytest.raises(DefinitionError, match="goes to handlers alone"):

        @step(workflow=App)
        async def wrong(ev: StepFailedEvent) -> None: ...

    @step(workflow=App)
    async def end(ev: Job) -> StopEvent[str]:
        return StopEvent(result="added")

    assert await App().run() == "added"
