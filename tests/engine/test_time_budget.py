"""One deadline, seen everywhere: what remains of it is inherited, and the error of one says who has used the time."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
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

pytestmark = pytest.mark.anyio


class Job(Event):
    seconds: float


class Done(Event):
    pass


async def timed_out(run: Any) -> WorkflowTimeoutError:
    with pytest.raises(WorkflowTimeoutError) as caught:
        await run
    return caught.value


# -- what remains ----------------------------------------------------------------------------------------------------


class Looks(Workflow[Any]):
    """Notes what remains."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[float | None] = []

    @step
    async def look(self, ctx: Context, ev: StartEvent) -> StopEvent[Any]:
        self.seen.append(ctx.remaining)
        return StopEvent()


class Parent(Workflow[Any]):
    @step
    async def go(self, ctx: Context, ev: StartEvent, looks: Looks) -> StopEvent[Any]:
        await ctx.sleep(4)
        await looks.run()
        return StopEvent()


@pytest.mark.parametrize(
    ("outer", "inner", "left"), [(10, 30, 6), (10, None, 6), (30, 10, 10), (None, 10, 10), (None, None, None)]
)
async def test_a_nested_run_sees_the_earliest_deadline(
    outer: float | None, inner: float | None, left: float | None
):
    looks = Looks(timeout=inner)
    await Parent(timeout=outer, looks=looks).run()
    assert looks.seen == [left]


async def test_a_nested_run_that_is_not_awaited_sees_it_too():
    class Lets(Parent):
        @step
        async def go(self, ctx: Context, ev: StartEvent, looks: Looks) -> StopEvent[Any]:
            run = looks.run()
            await ctx.sleep(3)
            await run
            return StopEvent()

    looks = Looks(timeout=None)
    await Lets(timeout=7, looks=looks).run()
    assert looks.seen == [7]


async def test_each_attempt_and_the_handler_after_the_last_see_what_is_left():
    seen: list[float | None] = []

    class Tries(Workflow[Any]):
        @step(retry_policy=RetryPolicy(attempts=2, wait=fixed(2)))
        async def fail(self, ctx: Context, ev: StartEvent) -> StopEvent[Any]:
            seen.append(ctx.remaining)
            await ctx.sleep(1)
            raise OSError

        @catch_error
        async def recover(self, ctx: Context, ev: StepFailedEvent) -> StopEvent[Any]:
            seen.append(ctx.remaining)
            return StopEvent()

    await Tries(timeout=10).run()
    assert seen == [10, 7, 6]


async def test_a_run_that_goes_on_from_a_snapshot_sees_what_was_left():
    class Sleeps(Looks):
        @step
        async def look(self, ctx: Context, ev: StartEvent) -> StopEvent[Any]:
            self.seen.append(ctx.remaining)
            await ctx.sleep(2)
            return StopEvent()

    sleeps = Sleeps(timeout=10)
    async with sleeps.run() as run:
        await anyio.sleep(1)
        data = run.ctx.to_dict()
        await run.cancel()
    await anyio.sleep(100)
    await sleeps.run(ctx=Context.from_dict(sleeps, data))
    assert sleeps.seen == [10, 9]


class Ask(Event):
    seconds: float = 0.0


class Answer(Event):
    pass


class Hello(Event):
    pass


class Oracle(Workflow[Any]):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[float | None] = []

    @step
    async def answer(self, ctx: Context, ev: Ask) -> Answer:
        self.seen.append(ctx.remaining)
        await ctx.sleep(ev.seconds)
        return Answer()

    @step
    async def hear(self, ctx: Context, ev: Hello) -> None:
        self.seen.append(ctx.remaining)


class Asker(Workflow[Any]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[Any] | Ask | Hello:
        await ctx.sleep(4)
        ctx.send_event(Hello())
        await ctx.request(Ask(seconds=ev.seconds), Answer)
        return StopEvent()


@pytest.mark.parametrize(
    ("asker", "oracle", "seen"), [(10, None, [6, 6]), (10, 30, [6, 6]), (30, 10, [10, 10])]
)
async def test_a_request_and_a_member_that_was_sent_an_event_see_the_callers_deadline(
    asker: float, oracle: float | None, seen: list[float]
):
    member = Oracle(timeout=oracle)
    async with Application(asker=Asker(timeout=asker), oracle=member) as app:
        await app.run("asker", seconds=0)
    assert member.seen == seen


# -- who has used the time -------------------------------------------------------------------------------------------


class Slow(Workflow[Any]):
    """Two at a time read for a second each, then one writes until it is too late."""

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        await anyio.sleep(0.5)
        return [Job(seconds=1)] * 4

    @step(num_workers=2)
    async def read(self, ev: Job) -> Done:
        await anyio.sleep(ev.seconds)
        return Done()

    @step(num_workers=1)
    async def write(self, ev: Done) -> StopEvent[Any]:
        await anyio.sleep(60)
        return StopEvent()


async def test_the_error_of_a_deadline_says_how_long_each_step_worked_the_largest_first():
    error = await timed_out(Slow(timeout=4).run())
    assert error.used == {
        "read": pytest.approx(4),
        "write": pytest.approx(2.5),
        "begin": pytest.approx(0.5),
    }
    assert list(error.used) == ["read", "write", "begin"]
    assert "; time went into Slow.read (test_time_budget.py:" in str(error)
    assert ") 4 s, Slow.write (test_time_budget.py:" in str(error)


async def test_where_no_work_has_ended_the_active_steps_tell_all():
    class One(Workflow[Any]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[Any]:
            await anyio.sleep(60)
            return StopEvent()

    error = await timed_out(One(timeout=4).run())
    assert error.used == {"begin": pytest.approx(4)}
    assert "time went into" not in str(error)


async def test_a_step_with_a_context_behind_one_without_is_at_work_since_its_own_start():
    """It was told to be active since the start of the run."""

    class Two(Workflow[Any]):
        @step
        async def begin(self, ev: StartEvent) -> Done:
            await anyio.sleep(3)
            return Done()

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[Any]:
            await ctx.sleep(60)
            return StopEvent()

    error = await timed_out(Two(timeout=5).run())
    assert error.active == {"end": (1, pytest.approx(2))}
    assert error.used == {"begin": pytest.approx(3), "end": pytest.approx(2)}


async def test_attempts_that_failed_count_and_pauses_between_them_do_not():
    class Tries(Workflow[Any]):
        @step(retry_policy=RetryPolicy(attempts=9, wait=fixed(3)))
        async def fail(self, ev: StartEvent) -> StopEvent[Any]:
            await anyio.sleep(1)
            raise OSError

    error = await timed_out(Tries(timeout=8.5).run())
    assert error.used == {"fail": pytest.approx(2.5)}


async def test_what_a_step_waits_in_its_middle_counts():
    class Waits(Workflow[Any]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Done:
            await ctx.wait_for_event(Job)
            return Done()

        @step
        async def end(self, ev: Done) -> StopEvent[Any]:
            await anyio.sleep(60)
            return StopEvent()

    async with Waits(timeout=4).run() as run:
        await anyio.sleep(3)
        run.send_event(Job(seconds=0))
        error = await timed_out(run)
    assert error.used == {"begin": pytest.approx(3), "end": pytest.approx(1)}


@pytest.mark.parametrize("size", [1, 100, 5000])
async def test_a_long_attempt_is_counted_however_many_short_ones_came_before(size: int):
    class Hops(Workflow[Any]):
        @step
        async def hop(self, ev: StartEvent | Job) -> Job | Done:
            left = size if isinstance(ev, StartEvent) else ev.seconds
            return Job(seconds=left - 1) if left else Done()

        @step
        async def rest(self, ev: Done) -> Ask:
            await anyio.sleep(0.25)
            return Ask()

        @step
        async def end(self, ev: Ask) -> StopEvent[Any]:
            await anyio.sleep(60)
            return StopEvent()

    error = await timed_out(Hops(timeout=4).run())
    assert error.used["rest"] == pytest.approx(0.25)


def pickled(error: object) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own


@pytest.mark.parametrize("made_again", [pickled, copy.copy])
async def test_the_error_says_it_on_the_other_side_too(made_again: Callable[[Any], Any]):
    error = await timed_out(Slow(timeout=4).run())
    assert made_again(error).used == error.used
    assert WorkflowTimeoutError("late").used == {}


class Inner(Workflow[Any]):
    @step
    async def work(self, ev: StartEvent) -> Done:
        await anyio.sleep(2)
        return Done()

    @step
    async def rest(self, ev: Done) -> StopEvent[Any]:
        await anyio.sleep(3)
        return StopEvent()


class Outer(Workflow[Any]):
    @step
    async def first(self, ev: StartEvent, inner: Inner) -> Done:
        await inner.run()
        return Done()

    @step
    async def again(self, ev: Done, inner: Inner) -> StopEvent[Any]:
        await inner.run()
        return StopEvent()


@pytest.mark.parametrize("inner", [45.0, None])
async def test_the_error_says_what_nested_runs_used_those_that_it_has_cut_included(inner: float | None):
    error = await timed_out(Outer(timeout=8, inner=Inner(timeout=inner)).run())
    assert error.used == {
        "first": pytest.approx(5),
        "Inner.work": pytest.approx(4),
        "Inner.rest": pytest.approx(4),
        "again": pytest.approx(3),
    }
    assert error.__notes__[0].startswith("of that, nested runs of Outer used: Inner.")
    assert "Inner.work 4 s" in error.__notes__[0]


async def test_runs_in_nested_runs_are_told_too():
    class Most(Workflow[Any]):
        @step
        async def go(self, ev: StartEvent, outer: Outer) -> StopEvent[Any]:
            await outer.run()
            return StopEvent()

    error = await timed_out(Most(timeout=4, outer=Outer(inner=Inner())).run())
    assert error.used == {
        "go": pytest.approx(4),
        "Outer.first": pytest.approx(4),
        "Inner.work": pytest.approx(2),
        "Inner.rest": pytest.approx(2),
    }


async def test_a_nested_run_that_ends_in_time_costs_its_parent_nothing():
    run = Outer(timeout=30, inner=Inner()).run()
    await run
    error = await timed_out(Inner(timeout=1).run())
    assert error.used == {"work": pytest.approx(1)}


async def test_what_requests_used_is_told_by_who_asked():
    async with Application(asker=Asker(timeout=10), oracle=Oracle()) as app:
        error = await timed_out(app.run("asker", seconds=60))
    assert error.used["begin"] == pytest.approx(10)
    assert error.used["Oracle.answer"] == pytest.approx(6)
