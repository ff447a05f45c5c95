"""`ctx.progress` and `run.queued`: how far a step has come, and what waits for a worker."""

from __future__ import annotations

import anyio
import pytest

from stretto import Context, Event, StartEvent, StopEvent, ThreadContext, Workflow, WorkflowError, step
from stretto.events import StepProgress

pytestmark = pytest.mark.anyio


class Ask(Event):
    number: int


class Steps(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.progress(1)
        ctx.progress(1, 3, "asks the mill")
        return StopEvent()


class Threaded(Workflow):
    @step
    def begin(self, ctx: ThreadContext, ev: StartEvent) -> StopEvent:
        ctx.progress(2, 3)
        return StopEvent()


class Queues(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(number=number) for number in range(3)]

    @step(num_workers=1)
    async def ask(self, ctx: Context, ev: Ask) -> StopEvent | None:
        await ctx.sleep(1)
        return StopEvent() if ev.number == 2 else None


async def progress_of(workflow: Workflow) -> list[Event]:
    async with workflow.run() as run:
        return [ev async for ev in run.stream_events()][:-1]


async def test_progress_is_written_to_the_stream_with_the_step_that_tells_it():
    assert await progress_of(Steps()) == [
        StepProgress(step="begin", done=1, total=None, text=""),
        StepProgress(step="begin", done=1, total=3, text="asks the mill"),
    ]


async def test_a_step_in_a_thread_tells_it_too():
    assert await progress_of(Threaded()) == [StepProgress(step="begin", done=2, total=3, text="")]


async def test_progress_that_is_no_number_is_refused_with_the_step():
    class Wrong(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.progress("half")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            return StopEvent()

    with pytest.raises(TypeError) as caught:
        await Wrong().run()
    assert str(caught.value).startswith("Wrong.begin (test_progress.py:")
    assert str(caught.value).endswith(
        "progress takes numbers, as in ctx.progress(3, 10, 'asks the mill'), not 'half'"
    )


async def test_somebody_outside_tells_no_progress():
    async with Steps().run() as run:
        with pytest.raises(WorkflowError, match="progress belongs to a step"):
            run.ctx.progress(1)


async def test_what_waits_for_a_worker_is_counted_for_each_step():
    run = Queues().run()
    assert run.queued == {}
    async with run:
        await anyio.sleep(0.5)
        assert run.queued == {"ask": 2}
        await anyio.sleep(1)
        assert run.queued == {"ask": 1}
    assert run.queued == {}
