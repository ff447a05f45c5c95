"""P4: a run that can never end fails at once and says why; one that waits for the world does not."""

from __future__ import annotations

import anyio
import pytest

from stretto import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto.events import WorkflowFailedEvent

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class Nobody(Event):
    """Accepted by no step."""


class Go(Event, external=True):
    """Declared to come from outside."""


class Further(Go):
    """Inherits it."""


class Answer(HumanResponseEvent):
    text: str = ""


async def stall(workflow: Workflow[str]) -> str:
    """Run it; it must stall without a second passing. Returns the message."""
    began = anyio.current_time()
    with pytest.raises(WorkflowStalledError) as caught:
        await workflow.run()
    assert anyio.current_time() == began
    return str(caught.value)


class ReturnsNothing(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> Job:
        return Job()

    @step
    async def forgets(self, ev: Job) -> StopEvent | None:
        return None


async def test_a_step_that_returns_nothing_stalls_the_run_and_is_named():
    text = await stall(ReturnsNothing())
    assert "ReturnsNothing" in text
    assert "forgets" in text


class FirstReturnsNothing(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent | None:
        return None


async def test_a_single_step_that_returns_nothing_stalls_the_run():
    assert "begin" in await stall(FirstReturnsNothing())


class CollectMisses(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Done | Job | None:
        ctx.send_event(Done())
        ctx.send_event(Done())
        ctx.send_event(Job())

    @step
    async def gather(self, ctx: Context, ev: Done | Job) -> StopEvent | None:
        return StopEvent(result="all") if ctx.collect_events(ev, [Done, Done, Done, Job]) else None


async def test_a_collect_that_misses_one_event_stalls_the_run_and_says_which():
    text = await stall(CollectMisses())
    assert "gather" in text
    assert "Done" in text
    assert "Job" not in text.replace("Done | Job", ""), "the Job is there, it is not missing"


class NobodyTakesIt(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Nobody | StopEvent:
        return Nobody()


async def test_an_event_that_nobody_accepts_stalls_the_run_and_is_named():
    text = await stall(NobodyTakesIt())
    assert "Nobody" in text


class SentToNobody(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Nobody | StopEvent | None:
        ctx.send_event(Nobody())
        return None


async def test_an_event_sent_to_nobody_stalls_the_run_and_is_named():
    assert "Nobody" in await stall(SentToNobody())


class LateStall(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for number in range(3):
            ctx.send_event(Job(number=number))

    @step(num_workers=1)
    async def work(self, ev: Job) -> Done:
        await anyio.sleep(2)
        return Done(number=ev.number)

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
        return StopEvent(result="all") if ctx.collect_events(ev, [Done] * 4) else None


async def test_a_run_stalls_when_its_last_step_ends_and_not_at_its_timeout():
    began = anyio.current_time()
    with pytest.raises(WorkflowStalledError):
        await LateStall(timeout=1000).run()
    assert anyio.current_time() - began == pytest.approx(6)


async def test_a_run_without_a_time_limit_stalls_just_the_same():
    with pytest.raises(WorkflowStalledError):
        await LateStall(timeout=None).run()


class AsksTheWorld(Workflow[str]):
    """Asks, but has no step for the answer."""

    @step
    async def begin(self, ev: StartEvent) -> InputRequiredEvent | StopEvent:
        return InputRequiredEvent(prompt="well?")


async def test_a_question_without_a_step_for_its_answer_stalls_the_run():
    await stall(AsksTheWorld())


async def test_the_message_names_the_way_out():
    """A run that is to be fed from outside must say so by the class of an event."""
    text = await stall(ReturnsNothing())
    assert "external=True" in text


async def test_a_stalled_run_in_a_block_raises_on_leaving_and_ends_its_stream():
    with pytest.raises(WorkflowStalledError):
        async with ReturnsNothing().run() as run:
            events = [ev async for ev in run.stream_events()]
    assert [type(ev) for ev in events] == [WorkflowFailedEvent]


async def test_a_stalled_run_in_the_articles_form_raises_at_its_await():
    handler = ReturnsNothing().run()
    assert [type(ev) async for ev in handler.stream_events()] == [WorkflowFailedEvent]
    with pytest.raises(WorkflowStalledError):
        await handler


async def test_what_is_sent_from_outside_in_time_keeps_the_run_going():
    class TwoWays(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Done | None:
            return None

        @step
        async def done(self, ev: Done) -> StopEvent:
            return StopEvent(result="fed")

    async with TwoWays().run() as run:
        run.send_event(Done())
        assert await run == "fed"


# -- not stalled --------------------------------------------------------------------------------------------


def waiting_for(kind: type[Event]) -> Workflow[str]:
    class Waits(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent | None:
            return None

        @step
        async def answered(self, ev: kind) -> StopEvent:  # pyright: ignore[reportInvalidTypeForm]
            return StopEvent(result="fed")

    return Waits(timeout=50)


@pytest.mark.parametrize("kind", [HumanResponseEvent, Answer, Go, Further])
async def test_a_run_that_accepts_events_from_outside_waits_for_them(kind: type[Event]):
    async with waiting_for(kind).run() as run:
        await anyio.sleep(40)
        run.send_event(kind())
        assert await run == "fed"


@pytest.mark.parametrize("kind", [HumanResponseEvent, Go])
async def test_a_run_that_is_never_fed_times_out(kind: type[Event]):
    with pytest.raises(WorkflowTimeoutError):
        await waiting_for(kind).run()


async def test_a_run_that_was_fed_waits_for_the_next_event_too():
    seen: list[str] = []

    class Chat(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> InputRequiredEvent:
            return InputRequiredEvent(prompt="first?")

        @step
        async def answer(self, ev: Answer) -> StopEvent | None:
            seen.append(ev.text)
            return StopEvent(result=" ".join(seen)) if len(seen) == 2 else None

    async with Chat().run() as run:
        await anyio.sleep(3)
        run.send_event(Answer(text="a"))
        await anyio.sleep(3)
        run.send_event(Answer(text="b"))
        assert await run == "a b"


async def test_a_step_that_waits_for_something_of_its_own_is_at_work_not_stuck():
    bell = anyio.Event()

    class Listens(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            await bell.wait()
            return StopEvent(result="rang")

    async def ring() -> None:
        await anyio.sleep(10)
        bell.set()

    async with anyio.create_task_group() as tg:
        tg.start_soon(ring)
        assert await Listens().run() == "rang"


async def test_a_nested_run_at_work_keeps_its_parent_from_stalling_and_no_longer():
    class Child(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            await anyio.sleep(10)
            return StopEvent(result="child")

    class Parent(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent | None:
            self.kept = Child().run()
            return None

    began = anyio.current_time()
    with pytest.raises(WorkflowStalledError):
        await Parent().run()
    assert anyio.current_time() - began == pytest.approx(10)
