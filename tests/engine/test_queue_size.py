"""A bounded queue: `send_event` is refused, `send` waits for room, and nothing is lost or stands still for ever."""

from __future__ import annotations

from typing import Annotated, Any

import anyio
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    HumanResponseEvent,
    QueueFullError,
    RetryPolicy,
    RunEndedError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from stretto.joins import First
from stretto.retry import fixed

pytestmark = pytest.mark.anyio


class Job(Event):
    n: int


class Go(Event, external=True):
    n: int


class Works(Workflow[list[int]]):
    """Sends so many jobs to a step with one worker, which takes a second for each."""

    def __init__(self, jobs: int, how: str, **options: Any) -> None:
        self.jobs = jobs
        self.how = how
        self.sent: list[tuple[int, float]] = []
        self.done: list[int] = []
        super().__init__(**options)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        began = anyio.current_time()
        for n in range(self.jobs):
            if self.how == "send":
                await ctx.send(Job(n=n))
            else:
                ctx.send_event(Job(n=n))
            self.sent.append((n, round(anyio.current_time() - began, 6)))

    @step(num_workers=1)
    async def work(self, ev: Job) -> StopEvent[list[int]] | None:
        await anyio.sleep(1)
        self.done.append(ev.n)
        return StopEvent(result=self.done) if len(self.done) == self.jobs else None


async def test_who_waits_for_room_is_let_in_as_workers_become_free():
    workflow = Works(6, "send", queue_size=2)
    assert await workflow.run() == [0, 1, 2, 3, 4, 5]
    assert workflow.sent == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 3)]


async def test_who_does_not_wait_is_refused_and_nothing_has_happened():
    workflow = Works(6, "send_event", queue_size=2)
    with pytest.raises(QueueFullError, match=r"no room for Job\(n=3\)"):
        await workflow.run()
    assert [n for n, _ in workflow.sent] == [0, 1, 2]


async def test_without_a_bound_send_never_waits():
    workflow = Works(6, "send")
    assert await workflow.run() == [0, 1, 2, 3, 4, 5]
    assert {at for _, at in workflow.sent} == {0}


async def test_from_outside_send_waits_too_and_send_event_is_refused():
    class Takes(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Go) -> StopEvent[list[int]] | None:
            await anyio.sleep(1)
            done.append(ev.n)
            return StopEvent(result=done) if len(done) == 5 else None

    done: list[int] = []
    async with Takes(queue_size=1).run() as run:
        began = anyio.current_time()
        for n in range(5):
            await run.send(Go(n=n))
            if n == 1:
                with pytest.raises(QueueFullError):
                    run.send_event(Go(n=9))
        assert anyio.current_time() - began == pytest.approx(3)
        assert await run == [0, 1, 2, 3, 4]


async def test_those_who_wait_are_let_in_in_the_order_of_asking():
    class Races(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            async def late(n: int) -> None:
                await anyio.sleep(0.125 * n)
                await ctx.send(Job(n=n))

            async with anyio.create_task_group() as tg:
                for n in reversed(range(5)):
                    tg.start_soon(late, n)

        @step(num_workers=1)
        async def work(self, ev: Job) -> StopEvent[list[int]] | None:
            await anyio.sleep(1)
            done.append(ev.n)
            return StopEvent(result=done) if len(done) == 5 else None

    done: list[int] = []
    assert await Races(queue_size=1).run() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("jobs", [2, 3])
async def test_a_step_that_waits_for_room_which_only_it_can_make_fails_at_once(jobs: int):
    class Feeds(Workflow[None]):
        @step(num_workers=1)
        async def feed(self, ctx: Context, ev: StartEvent | Job) -> Job | StopEvent[None]:
            for n in range(jobs):
                await ctx.send(Job(n=n))
            return StopEvent()

    began = anyio.current_time()
    with pytest.raises(QueueFullError, match="all steps at work wait for room as well"):
        await Feeds(queue_size=1).run()
    assert anyio.current_time() == began


async def test_steps_that_wait_for_room_of_each_other_fail_when_the_last_that_could_make_some_has_ended():
    class Circle(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[None]:
            for n in range(3):
                await ctx.send(Job(n=n))
            return StopEvent()

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Job) -> Job:
            await anyio.sleep(3)
            await ctx.send(Job(n=9))
            return Job(n=10)

    began = anyio.current_time()
    with pytest.raises(QueueFullError, match=r"Circle\.work"):
        await Circle(queue_size=1).run()
    assert anyio.current_time() - began == pytest.approx(3)


class Crowded(Workflow[str]):
    """Two steps wait for room for ever, and a third may still end the run."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | Go | None:
        ctx.send_event(Job(n=0))
        await anyio.sleep(0.5)
        for n in range(3):
            await ctx.send(Go(n=n))
        raise AssertionError

    @step(num_workers=1)
    async def crowd(self, ctx: Context, ev: Go) -> Go:
        for n in range(2):
            await ctx.send(Go(n=n))
        raise AssertionError


async def test_a_step_that_will_be_tried_again_may_still_make_room():
    class Tries(Crowded):
        @step(retry_policy=RetryPolicy(attempts=2, wait=fixed(2)))
        async def work(self, ctx: Context, ev: Job) -> StopEvent[str]:
            if ctx.attempt.number == 1:
                raise ValueError
            return StopEvent(result="tried again")

    assert await Tries(queue_size=1).run() == "tried again"


async def test_a_step_that_waits_for_an_event_may_still_make_room():
    class Waits(Crowded):
        @step
        async def work(self, ctx: Context, ev: Job) -> StopEvent[str]:
            answer = await ctx.wait_for_event(HumanResponseEvent)
            return StopEvent(result=answer.text)

    async with Waits(queue_size=1).run() as run:
        await anyio.sleep(2)
        run.send_event(HumanResponseEvent(text="came"))
        assert await run == "came"


async def test_a_refusal_can_be_caught_and_the_run_goes_on():
    class Catches(Workflow[str]):
        @step(num_workers=1)
        async def feed(self, ctx: Context, ev: StartEvent | Job) -> Job | StopEvent[str] | None:
            if isinstance(ev, Job):
                return StopEvent(result=f"job {ev.n}")
            await ctx.send(Job(n=0))
            with pytest.raises(QueueFullError):
                await ctx.send(Job(n=1))
            return None

    assert await Catches(queue_size=1).run() == "job 0"


async def test_an_event_for_more_steps_than_there_is_room_is_refused_at_once():
    class Twins(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job:
            ctx.send_event(Job(n=0))
            await ctx.send(Job(n=1))
            return Job(n=2)

        @step(num_workers=1)
        async def one(self, ev: Job) -> StopEvent[None]:
            await anyio.sleep(1)
            return StopEvent()

        @step(num_workers=1)
        async def other(self, ev: Job) -> None:
            await anyio.sleep(1)

    with pytest.raises(QueueFullError, match="in 2 steps of Twins at once"):
        await Twins(queue_size=1).run()


async def test_what_a_step_returns_and_what_is_tried_again_always_finds_room():
    class Lists(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(5)]

        @step(num_workers=1, retry_policy=RetryPolicy(attempts=2, wait=fixed(0.5)))
        async def work(self, ctx: Context, ev: Job) -> StopEvent[int] | None:
            await anyio.sleep(1)
            if ctx.attempt.number == 1:
                raise ValueError
            done.append(ev.n)
            return StopEvent(result=len(done)) if len(done) == 5 else None

    done: list[int] = []
    assert await Lists(queue_size=1).run() == 5


async def test_an_event_that_somebody_waits_for_needs_no_room():
    class Waits(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[int]:
            ctx.send_event(Job(n=0))
            ctx.send_event(Job(n=1))
            job = await ctx.wait_for_event(Job)
            return StopEvent(result=job.n)

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Job) -> Job | None:
            ctx.send_event(Job(n=7))

    assert await Waits(queue_size=1).run() == 7


@pytest.mark.parametrize("sender", ["step", "task of a step"])
async def test_one_who_is_cancelled_while_it_waits_has_sent_nothing_and_gives_up_its_place(sender: str):
    class Gives(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            await ctx.send(Job(n=0))
            await ctx.send(Job(n=1))
            with anyio.move_on_after(0.5) as scope:
                if sender == "step":
                    await ctx.send(Job(n=2))
                else:
                    async with anyio.create_task_group() as tg:
                        tg.start_soon(ctx.send, Job(n=2))
            assert scope.cancelled_caught
            await ctx.send(Job(n=3))

        @step(num_workers=1)
        async def work(self, ev: Job) -> StopEvent[list[int]] | None:
            await anyio.sleep(1)
            done.append(ev.n)
            return StopEvent(result=done) if ev.n == 3 else None

    done: list[int] = []
    assert await Gives(queue_size=1).run() == [0, 1, 3]


async def test_a_run_that_ends_ends_those_who_wait_for_room():
    workflow = Works(9, "send", queue_size=1, timeout=2.5)
    with pytest.raises(WorkflowTimeoutError):
        await workflow.run()
    assert workflow.done == [0, 1]


async def test_one_outside_who_waits_for_room_is_told_when_the_run_is_over():
    class Sleeps(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            await anyio.sleep(2)
            return StopEvent(result="over")

        @step(num_workers=1)
        async def work(self, ev: Go) -> None:
            await anyio.sleep(9)

    async with Sleeps(queue_size=1).run() as run:
        await run.send(Go(n=0))
        await run.send(Go(n=1))
        with pytest.raises(RunEndedError, match="waited for room"):
            await run.send(Go(n=2))
        assert await run == "over"
        with pytest.raises(RunEndedError):
            await run.send(Go(n=3))
    assert [ev.n for ev in run.leftovers if isinstance(ev, Go)] == [1]


async def test_a_step_in_a_thread_may_not_wait_for_room():
    class Threads(Workflow[None]):
        pass

    @step(workflow=Threads)
    def work(ctx: Context, ev: StartEvent) -> StopEvent[None]:
        ctx.send(Job(n=1)).send(None)
        raise AssertionError

    with pytest.raises(WorkflowError, match="async step"):
        await Threads(queue_size=1, disable_validation=True).run()


@pytest.mark.parametrize("size", [0, -1, 1.5, "9", True])
def test_a_queue_size_that_is_no_number_is_refused(size: Any):
    with pytest.raises(DefinitionError, match="queue_size is a whole number of at least 1"):
        Works(1, "send", queue_size=size)


async def test_a_flood_is_bounded_and_loses_nothing():
    most = 0

    class Floods(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for n in range(2_000):
                await ctx.send(Job(n=n))

        @step(num_workers=3)
        async def work(self, ctx: Context, ev: Job) -> StopEvent[int] | None:
            nonlocal most
            driver: Any = ctx._run
            most = max(most, driver.machine.room.queued)
            await anyio.sleep(0.001)
            done.append(ev.n)
            return StopEvent(result=len(done)) if len(done) == 2_000 else None

    done: list[int] = []
    assert await Floods(queue_size=10, timeout=None).run() == 2_000
    assert sorted(done) == list(range(2_000))
    assert 9 <= most <= 10


async def test_a_flood_beyond_the_bound_is_refused_and_what_was_taken_is_handled():
    refused = 0

    class Floods(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            nonlocal refused
            for n in range(100_000):
                try:
                    ctx.send_event(Job(n=n))
                except QueueFullError:
                    refused += 1

        @step(num_workers=3)
        async def work(self, ev: Job) -> StopEvent[int] | None:
            await anyio.sleep(1)
            done.append(ev.n)
            return StopEvent(result=len(done)) if len(done) == 13 else None

    done: list[int] = []
    run = Floods(queue_size=10).run()
    assert await run == 13
    assert sorted(done) == list(range(13))
    assert refused == 100_000 - 13
    assert run.leftovers == run.dead_letters == ()


class Racer(Event):
    pass


class Quick(Event):
    n: int


class Won(Event):
    pass


async def test_what_waited_for_room_and_came_too_late_is_told_of_the_step_that_sent_it(
    caplog: pytest.LogCaptureFixture,
):
    """The log named the step whose end had made the room."""

    class Race(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Racer | Quick]:
            return [Racer(), Quick(n=1), Quick(n=2)]

        @step
        async def flood(self, ctx: Context, ev: Racer) -> Quick | None:
            await ctx.send(Quick(n=3))

        @step(num_workers=1)
        async def run_off(self, ev: Quick) -> Won:
            await anyio.sleep(1)
            return Won()

        @step
        async def take(self, won: Annotated[list[Won], First()]) -> StopEvent[int]:
            return StopEvent(result=len(won))

    run = Race(queue_size=1).run()
    assert await run == 1
    assert [letter.event for letter in run.dead_letters] == [Quick(n=2), Quick(n=3)]
    (line,) = [record.getMessage() for record in caplog.records if "Quick(n=3)" in record.getMessage()]
    assert line.startswith("Race: dead letter Quick(n=3) from Race.flood (test_queue_size.py:")


async def test_who_is_cancelled_already_has_sent_nothing_though_there_was_room():
    """It was sent, and the cancellation came out of the call, so that who tried again sent it twice."""

    class Sends(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await ctx.send(Job(n=1))
            assert scope.cancelled_caught
            await ctx.send(Job(n=2))

        @step(emit="on_success")
        async def hold(self, ctx: Context, ev: StartEvent) -> Job | None:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await ctx.send(Job(n=3))
            with anyio.CancelScope() as scope:
                scope.cancel()
                await ctx.write(Job(n=4))

        @step
        async def take(self, ctx: Context, ev: Job | Go) -> StopEvent[list[int]] | None:
            taken.append(ev.n)
            return StopEvent(result=taken) if ev.n == 6 else None

    taken: list[int] = []
    async with Sends().run() as run:
        await anyio.sleep(1)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await run.send(Go(n=5))
        assert scope.cancelled_caught
        await run.send(Go(n=6))
        assert await run == [2, 6]
