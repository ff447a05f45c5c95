"""A step sees the context variables set where its event was sent; what it sets goes with what it sends."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import anyio
import pytest

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.events import HumanResponseEvent

pytestmark = pytest.mark.anyio

request: ContextVar[str] = ContextVar("request", default="none")


class Job(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class Answer(HumanResponseEvent):
    pass


async def test_the_first_step_sees_what_its_caller_set():
    class Sees(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=request.get())

    request.set("caller")
    assert await Sees().run() == "caller"
    async with Sees().run() as run:
        assert await run == "caller"
    handler = Sees().run()
    handler.start()
    assert await handler == "caller"


async def test_what_a_step_sets_goes_along_its_chain():
    class Chain(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            request.set("begin")
            await anyio.sleep(1)
            return Job()

        @step
        async def job(self, ev: Job) -> Done:
            assert request.get() == "begin"
            await anyio.sleep(1)
            assert request.get() == "begin"
            request.set("job")
            return Done()

        @step
        async def done(self, ev: Done) -> StopEvent:
            return StopEvent(result=request.get())

    assert await Chain().run() == "job"


@pytest.mark.parametrize("pause", [0, 1])
async def test_what_a_step_sets_never_reaches_the_caller(pause: float):
    class Sets(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            request.set("leaked")
            if pause:
                await anyio.sleep(pause)
            return StopEvent(result=request.get())

    request.set("caller")
    assert await Sets().run() == "leaked"
    assert request.get() == "caller"


async def test_siblings_do_not_see_each_others_variables():
    class Fan(Workflow[list[str]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            request.set("begin")
            for number in range(4):
                ctx.send_event(Job(number=number))

        @step
        async def job(self, ev: Job) -> Done:
            assert request.get() == "begin"
            request.set(f"job {ev.number}")
            await anyio.sleep(1 + ev.number)
            assert request.get() == f"job {ev.number}"
            return Done(number=ev.number)

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
            seen.append(request.get())
            return None if ctx.collect_events(ev, [Done] * 4) is None else StopEvent(result=seen)

    seen: list[str] = []
    assert await Fan().run() == [f"job {number}" for number in range(4)]


async def test_steps_of_one_event_do_not_see_each_others_variables():
    class Two(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            request.set("begin")
            return Job()

        @step
        async def left(self, ev: Job) -> None:
            request.set("left")

        @step
        async def right(self, ev: Job) -> StopEvent:
            await anyio.sleep(1)
            return StopEvent(result=request.get())

    assert await Two().run() == "begin"


async def test_an_event_carries_what_was_set_when_it_was_sent_not_later():
    class Later(Workflow[list[str]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(3):
                request.set(f"at {number}")
                ctx.send_event(Job(number=number))
            request.set("later")
            await anyio.sleep(1)

        @step
        async def job(self, ctx: Context, ev: Job) -> StopEvent | None:
            seen.append(request.get())
            return StopEvent(result=seen) if len(seen) == 3 else None

    seen: list[str] = []
    assert await Later().run() == ["at 0", "at 1", "at 2"]


async def test_an_event_from_outside_carries_what_its_sender_set():
    class Waits(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> None:
            request.set("begin")

        @step
        async def answer(self, ev: Answer) -> StopEvent:
            return StopEvent(result=request.get())

    async with Waits().run() as run:
        request.set("outside")
        run.send_event(Answer())
        assert await run == "outside"


async def test_a_run_made_in_a_step_that_was_woken_from_outside_belongs_to_the_run():
    """It is the sender's context that such a step has, and the sender is in no run."""

    class Child(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            try:
                await anyio.sleep(9)
            finally:
                ended.append("child")
            return StopEvent()

    class Waits(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step
        async def answer(self, ev: Answer) -> StopEvent[None]:
            Child().run().start()
            await anyio.sleep(1)
            return StopEvent()

    ended: list[str] = []
    async with Waits().run() as run:
        run.send_event(Answer())
        await run
        assert ended == ["child"]


async def test_a_nested_run_sees_what_its_step_set():
    class Child(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            before = request.get()
            request.set("child")
            return StopEvent(result=before)

    class Parent(Workflow[list[str]]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            request.set("parent")
            awaited = await Child().run()
            assert request.get() == "parent"
            beside = Child().run()
            await anyio.sleep(1)
            return StopEvent(result=[awaited, await beside, request.get()])

    assert await Parent().run() == ["parent", "parent", "parent"]


async def test_a_step_in_a_thread_sees_the_variables_too():
    class Threaded(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            request.set("begin")
            return Job()

    @step(workflow=Threaded)
    def sit(ev: Job) -> StopEvent:
        assert threading.current_thread() is not threading.main_thread()
        return StopEvent(result=request.get())

    assert await Threaded().run() == "begin"


async def test_tasks_that_a_step_starts_see_its_variables():
    class Starts(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            seen: list[str] = []

            async def look() -> None:
                await anyio.sleep(1)
                seen.append(request.get())

            request.set("step")
            async with anyio.create_task_group() as tg:
                tg.start_soon(look)
                await anyio.sleep(0.5)
            return StopEvent(result=seen[0])

    assert await Starts().run() == "step"


async def test_a_token_made_in_a_step_can_be_reset_there_after_an_await():
    class Resets(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            request.set("outer")
            token = request.set("inner")
            await anyio.sleep(1)
            request.reset(token)
            return StopEvent(result=request.get())

    assert await Resets().run() == "outer"


async def test_variables_live_through_cancellation_and_clean_up():
    seen: list[str] = []

    class Cleans(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            request.set("step")
            try:
                await anyio.sleep(100)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(1)
                seen.append(request.get())
            return StopEvent()

    request.set("caller")
    with anyio.move_on_after(1):
        await Cleans().run()
    assert seen == ["step"]
    assert request.get() == "caller"


async def test_what_a_step_in_a_thread_sets_goes_with_what_it_sends():
    class Threaded(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            request.set("begin")
            return Job()

        @step
        async def done(self, ev: Done) -> StopEvent:
            return StopEvent(result=request.get())

    @step(workflow=Threaded)
    def sit(ctx: Context, ev: Job) -> None:
        request.set("thread")
        ctx.send_event(Done())
        request.set("later")

    assert await Threaded().run() == "thread"


async def test_what_a_step_in_a_thread_sets_goes_with_what_it_returns():
    class Threaded(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            request.set("begin")
            return Job()

        @step
        async def done(self, ev: Done) -> StopEvent:
            return StopEvent(result=request.get())

    @step(workflow=Threaded)
    def sit(ev: Job) -> Done:
        request.set("thread")
        return Done()

    assert await Threaded().run() == "thread"
