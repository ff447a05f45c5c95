"""P3: no event is lost in silence. Every one sent is handled, collected, left over, or a dead letter."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    Handler,
    RunEndedError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    step,
)
from stretto.events import HumanResponseEvent

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int


class Done(Event):
    number: int


class Nobody(Event):
    """Accepted by no step."""

    number: int = 0


class Wake(HumanResponseEvent):
    """From outside."""


class BoomError(Exception):
    pass


JOBS = 23


class Factory(Workflow[str]):
    """Sends jobs, works on some at a time, collects their outcomes by fives, and sends in its clean-ups."""

    def __init__(self, end: str, timeout: float | None = None, workers: int = 3) -> None:
        self.end = end
        self.sent: Counter[tuple[str, int]] = Counter()
        self.handled: Counter[tuple[str, int]] = Counter()
        super().__init__(timeout=timeout)

    def send(self, ctx: Context, ev: Job | Done | Nobody) -> None:
        self.sent[type(ev).__name__, ev.number] += 1
        ctx.send_event(ev)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | Nobody | None:
        for number in range(JOBS):
            self.send(ctx, Job(number=number))
        self.send(ctx, Nobody(number=1))

    @step(num_workers=3)
    async def work(self, ctx: Context, ev: Job) -> Done | None:
        self.handled["Job", ev.number] += 1
        try:
            await anyio.sleep(1 + 0.125 * (ev.number % 3))
            self.send(ctx, Done(number=ev.number))
        finally:
            if (
                ev.number % 2
            ):  # a clean-up that sends: a dead letter if the run is over, else an event like any
                self.send(ctx, Done(number=100 + ev.number))
        return None

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
        batch = ctx.collect_events(ev, [Done] * 5)
        if batch is None:
            return None
        for done in batch:
            self.handled["Done", done.number] += 1
        if 100 + 11 not in (done.number for done in batch):
            return None
        match self.end:
            case "result":
                return StopEvent(result="done")
            case "error":
                raise BoomError
            case "undeclared":
                return "no event"  # pyright: ignore[reportReturnType]
            case _:
                return None


def accounted(wf: Factory, run: Handler[str]) -> Counter[tuple[str, int]]:
    """Handled or collected, left over, dead."""
    found = Counter(wf.handled)
    events: list[Any] = [*run.leftovers, *(letter.event for letter in run.dead_letters)]
    for ev in events:
        if not isinstance(ev, StartEvent | StopEvent):
            found[type(ev).__name__, ev.number] += 1
    return found


async def test_after_a_result_every_event_is_accounted_for():
    wf = Factory("result")
    run = wf.run()
    assert await run == "done"
    assert accounted(wf, run) == wf.sent
    assert any(isinstance(ev, Job) for ev in run.leftovers)


@pytest.mark.parametrize("end", ["error", "undeclared"])
async def test_after_an_error_every_event_is_accounted_for(end: str):
    wf = Factory(end)
    run = wf.run()
    with pytest.raises(Exception):  # noqa: B017
        await run
    assert accounted(wf, run) == wf.sent


@pytest.mark.parametrize("seconds", [0.5, 1, 1.0625, 2.2, 4.75, 100])
async def test_after_a_timeout_every_event_is_accounted_for(seconds: float):
    wf = Factory("none", timeout=seconds)
    run = wf.run()
    with pytest.raises(Exception, match="Factory"):  # a stall in the longest of them
        await run
    assert accounted(wf, run) == wf.sent


@pytest.mark.parametrize("seconds", [0.5, 1, 2.2, 4.75])
async def test_after_the_caller_was_cancelled_every_event_is_accounted_for(seconds: float):
    wf = Factory("none")
    run = wf.run()
    with anyio.move_on_after(seconds):
        await run
    assert accounted(wf, run) == wf.sent


@pytest.mark.parametrize("seconds", [0, 0.5, 1, 2.2, 4.75])
async def test_after_cancel_every_event_is_accounted_for(seconds: float):
    wf = Factory("none")
    async with wf.run() as run:
        await anyio.sleep(seconds)
        await run.cancel()
    assert accounted(wf, run) == wf.sent


async def test_an_event_that_no_step_accepts_is_a_dead_letter_and_logged(caplog: pytest.LogCaptureFixture):
    class Lost(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | Nobody:
            ctx.send_event(Nobody(number=7))
            return StopEvent(result="done")

    run = Lost().run()
    assert await run == "done"
    (letter,) = run.dead_letters
    assert letter.event == Nobody(number=7)
    assert "Nobody" in letter.reason
    told = [r.getMessage() for r in caplog.records if r.name == "stretto" and r.levelno >= logging.WARNING]
    assert any("Nobody(number=7)" in text for text in told)


async def test_what_a_clean_up_sends_is_a_dead_letter_and_the_result_stays_a_result():
    class Tidy(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | Job:
            ctx.send_event(Job(number=1))
            await anyio.sleep(1)
            return StopEvent(result="done")

        @step
        async def work(self, ctx: Context, ev: Job) -> None:
            try:
                await anyio.sleep(10)
            finally:
                ctx.send_event(Done(number=1))

        @step
        async def never(self, ev: Done) -> None:
            raise BoomError

    run = Tidy().run()
    assert await run == "done"
    assert [letter.event for letter in run.dead_letters] == [Done(number=1)]
    assert run.leftovers == ()
    assert run.failures == ()


async def test_a_value_returned_after_the_end_is_a_leftover():
    class Late(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | Job:
            ctx.send_event(Job(number=1))
            await anyio.sleep(1)
            return StopEvent(result="first")

        @step
        async def work(self, ev: Job) -> StopEvent:
            try:
                await anyio.sleep(10)
            except anyio.get_cancelled_exc_class():
                pass
            return StopEvent(result="second")

    run = Late().run()
    assert await run == "first"
    assert run.leftovers == (StopEvent(result="second"),)


async def test_what_was_queued_when_the_run_ended_is_left_over_in_order():
    class Queue(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(5):
                ctx.send_event(Job(number=number))

        @step(num_workers=1)
        async def work(self, ev: Job) -> StopEvent | None:
            return StopEvent(result="enough") if ev.number == 1 else None

    run = Queue().run()
    assert await run == "enough"
    assert run.leftovers == tuple(Job(number=number) for number in (2, 3, 4))


async def test_what_was_half_collected_when_the_run_ended_is_left_over():
    class Half(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Done | Job | None:
            ctx.send_event(Done(number=1))
            ctx.send_event(Done(number=2))
            await anyio.sleep(1)
            ctx.send_event(Job(number=3))

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
            return StopEvent(result="all") if ctx.collect_events(ev, [Done] * 3) else None

        @step
        async def work(self, ev: Job) -> StopEvent:
            return StopEvent(result="enough")

    run = Half().run()
    assert await run == "enough"
    assert run.leftovers == (Done(number=1), Done(number=2))


class Patient(Workflow[str]):
    """Waits to be woken from outside."""

    @step
    async def begin(self, ev: StartEvent) -> None:
        pass

    @step
    async def wake(self, ev: Wake) -> StopEvent:
        return StopEvent(result="awake")


async def test_what_comes_from_outside_and_no_step_accepts_is_a_leftover():
    async with Patient().run() as run:
        run.send_event(Nobody(number=1))
        await anyio.sleep(1)
        run.send_event(Wake())
        assert await run == "awake"
    assert run.leftovers == (Nobody(number=1),)


@pytest.mark.parametrize("end", ["result", "cancel", "timeout"])
async def test_sending_to_a_run_that_ended_is_an_error(end: str):
    async with Patient(timeout=5).run() as run:
        if end == "result":
            run.send_event(Wake())
            await run
        elif end == "cancel":
            await run.cancel()
        else:
            with pytest.raises(WorkflowTimeoutError):
                await run
        with pytest.raises(RunEndedError):
            run.send_event(Wake())
        if end == "cancel":
            with pytest.raises(WorkflowCancelledError):
                await run


async def test_sending_by_ctx_to_a_run_that_ended_is_an_error_as_by_the_handle():
    async with Patient().run() as run:
        ctx = run.ctx
        run.send_event(Wake())
        await run
        with pytest.raises(RunEndedError):
            ctx.send_event(Wake())


async def test_one_object_sent_twice_is_two_deliveries():
    class Twice(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            job = Job(number=1)
            ctx.send_event(job)
            ctx.send_event(job)

        @step
        async def work(self, ctx: Context, ev: Job) -> StopEvent | None:
            batch = ctx.collect_events(ev, [Job, Job])
            return None if batch is None else StopEvent(result=len(batch))

    assert await Twice().run() == 2


async def test_an_unhashable_event_is_delivered_like_any():
    class Odd(Event):
        values: list[int]

        def __eq__(self, other: object) -> bool:
            raise AssertionError("the engine compares no events")

        __hash__ = None  # pyright: ignore[reportAssignmentType]

    class Carry(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Odd | None:
            ctx.send_event(Odd(values=[1]))
            ctx.send_event(Odd(values=[2]))

        @step
        async def gather(self, ctx: Context, ev: Odd) -> StopEvent | None:
            batch = ctx.collect_events(ev, [Odd, Odd])
            return None if batch is None else StopEvent(result=sum(odd.values[0] for odd in batch))

    assert await Carry().run() == 3


async def test_an_event_that_two_steps_accept_reaches_both():
    seen: list[str] = []
    sent = Job(number=1)

    class Both(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            return sent

        @step
        async def left(self, ev: Job) -> Done:
            assert ev is sent, "no copy is made"
            seen.append("left")
            return Done(number=1)

        @step
        async def right(self, ev: Job) -> Done:
            assert ev is sent
            seen.append("right")
            return Done(number=2)

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
            return StopEvent(result="both") if ctx.collect_events(ev, [Done, Done]) else None

    assert await Both().run() == "both"
    assert seen == ["left", "right"]


async def test_a_hundred_thousand_events_to_one_slow_step_are_all_handled():
    many = 100_000
    handled = 0

    class Flood(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(many):
                ctx.send_event(Job(number=number))

        @step(num_workers=1)
        async def slow(self, ev: Job) -> StopEvent | None:
            nonlocal handled
            assert ev.number == handled, "in the order they were sent"
            handled += 1
            if ev.number % 10_000 == 0:
                await anyio.sleep(1)
            return StopEvent(result=handled) if handled == many else None

    run = Flood(timeout=None).run()
    assert await run == many
    assert run.leftovers == ()
    assert run.dead_letters == ()


async def test_a_fan_out_of_ten_thousand_never_has_more_than_its_workers_at_work():
    at_work = most = ended = 0

    class Fan(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(10_000):
                ctx.send_event(Job(number=number))

        @step(num_workers=4)
        async def work(self, ev: Job) -> StopEvent | None:
            nonlocal at_work, most, ended
            at_work += 1
            most = max(most, at_work)
            await anyio.lowlevel.checkpoint()
            at_work -= 1
            ended += 1
            return StopEvent(result=ended) if ended == 10_000 else None

    assert await Fan(timeout=None).run() == 10_000
    assert most == 4


@pytest.mark.parametrize("end", ["deadline", "stop"])
async def test_what_a_nested_run_sends_to_a_parent_that_is_over_is_a_dead_letter(end: str):
    class Child(Workflow[str]):
        def __init__(self, parent: Context) -> None:
            self.parent = parent
            super().__init__()

        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            try:
                await anyio.sleep(1000)
            finally:
                self.parent.send_event(Job(number=7))
            return StopEvent()

    class Parent(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job:
            await Child(ctx).run()
            return Job(number=0)

        @step
        async def other(self, ev: StartEvent) -> StopEvent[str]:
            await anyio.sleep(1 if end == "stop" else 1000)
            return StopEvent(result="over")

        @step
        async def never(self, ev: Job) -> None:
            raise AssertionError("it came too late")

    run = Parent(timeout=2).run()
    if end == "stop":
        assert await run == "over"
    else:
        with pytest.raises(WorkflowTimeoutError):
            await run
    assert [letter.event for letter in run.dead_letters] == [Job(number=7)]
    assert run.failures == ()


async def test_the_context_of_a_step_that_is_over_sends_as_long_as_its_run_goes_on():
    contexts: list[Context] = []

    class Late(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job:
            contexts.append(ctx)
            return Job(number=1)

        @step
        async def work(self, ev: Job) -> Done | None:
            await anyio.sleep(1)
            contexts[0].send_event(Done(number=ev.number))

        @step
        async def end(self, ev: Done) -> StopEvent[str]:
            return StopEvent(result="delivered")

    run = Late().run()
    assert await run == "delivered"
    contexts[0].send_event(Done(number=2))
    assert [letter.event for letter in run.dead_letters] == [Done(number=2)]
