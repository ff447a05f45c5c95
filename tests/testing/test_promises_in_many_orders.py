"""What the engine promises about order holds in whatever order steps go on, on both backends."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import anyio
import pytest

from stretto import Context, Event, RetryPolicy, StartEvent, StopEvent, Workflow, WorkflowError, step
from stretto.joins import All
from stretto.testing import Faults, TestRun, explore

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def many(cls: Any, backend: str, **options: Any) -> list[TestRun]:
    """Runs in many orders; nothing is lost or left in any."""
    runs = list(explore(cls, backend=backend, durations="any", max_schedules=120, **options).runs(backend))
    for run in runs:
        assert run.lost_events == run.leaked_tasks == ()
    return runs


class Job(Event):
    n: int


class Done(Event):
    n: int


class Jobs(Workflow[list[int]]):
    """Three jobs are sent at once; what was done, in which order, is the result."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = self.most = 0
        self.arrived: list[int] = []
        self.bodies = Counter[int]()

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(n=n) for n in range(3)]

    async def do(self, ev: Job) -> Done:
        self.bodies[ev.n] += 1
        self.busy += 1
        self.most = max(self.most, self.busy)
        await anyio.sleep(3 - ev.n)
        self.busy -= 1
        return Done(n=ev.n)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[list[int]] | None:
        self.arrived.append(ev.n)
        done = ctx.collect_events(ev, [Done] * 3)
        return StopEvent(result=[each.n for each in done]) if done else None


class OneByOne(Jobs):
    @step(num_workers=1)
    async def work(self, ev: Job) -> Done:
        return await self.do(ev)


class TwoAtOnce(Jobs):
    @step(num_workers=2)
    async def work(self, ev: Job) -> Done:
        return await self.do(ev)


@on_both
def test_deliveries_begin_in_the_order_in_which_they_were_sent(backend: str):
    for run in many(OneByOne, backend):
        assert [each.event for each in run.steps("work")] == [Job(n=0), Job(n=1), Job(n=2)]
        assert run.workflow.most == 1


@on_both
def test_no_more_workers_are_at_work_than_a_step_has_and_each_body_runs_once(backend: str):
    runs = many(TwoAtOnce, backend)
    for run in runs:
        assert [each.event for each in run.steps("work")] == [Job(n=0), Job(n=1), Job(n=2)]
        assert run.workflow.most <= 2
        assert run.workflow.bodies == {0: 1, 1: 1, 2: 1}
    assert len({tuple(run.result) for run in runs}) > 1


@on_both
def test_what_is_collected_comes_in_the_order_of_its_arrival(backend: str):
    for run in many(TwoAtOnce, backend):
        assert run.result == run.workflow.arrived


@on_both
def test_a_collect_in_rounds_takes_the_earliest_and_keeps_the_rest(backend: str):
    class Rounds(TwoAtOnce):
        batches: tuple[tuple[int, ...], ...] = ()

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[list[int]] | None:
            self.arrived.append(ev.n)
            pair = ctx.collect_events(ev, [Done] * 2)
            self.batches = (*self.batches, *([tuple(each.n for each in pair)] if pair else []))
            return StopEvent(result=self.arrived) if len(self.arrived) == 3 else None

    for run in many(Rounds, backend):
        assert run.workflow.batches == (tuple(run.result[:2]),)
        assert run.leftovers == (Done(n=run.result[2]),)


@on_both
def test_the_steps_of_one_event_begin_in_order_of_definition_base_class_first(backend: str):
    class Base(Workflow[None]):
        @step
        async def first(self, ev: StartEvent) -> Done:
            await anyio.sleep(1)
            return Done(n=1)

    class Derived(Base):
        @step
        async def second(self, ev: StartEvent) -> Done:
            return Done(n=2)

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[None] | None:
            return StopEvent() if ctx.collect_events(ev, [Done] * 2) else None

    for run in many(Derived, backend):
        assert [each.step for each in run.deliveries if isinstance(each.event, StartEvent)] == [
            "first",
            "second",
        ]


@on_both
def test_a_run_has_the_result_of_its_first_stop_and_all_else_is_accounted_for(backend: str):
    class Races(Jobs):
        @step
        async def work(self, ev: Job) -> StopEvent[list[int]]:
            await anyio.sleep(1)
            return StopEvent(result=[ev.n])

    runs = many(Races, backend)
    assert {run.result[0] for run in runs} == {0, 1, 2}
    for run in runs:
        first = next(each for each in run.deliveries if isinstance(each.value, StopEvent))
        assert all(each.ended is None or each.ended >= first.began for each in run.steps("work"))
        ended = [each.event.n for each in run.steps("work") if each.value is not None]  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        assert run.result[0] in ended


@on_both
def test_a_retry_is_the_same_delivery_and_is_joined_once(backend: str):
    class Flaky(Jobs):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=0), Job(n=1)]

        @step(retry_policy=RetryPolicy(attempts=2, on=OSError))
        async def work(self, ctx: Context, ev: Job) -> Done:
            self.bodies[ev.n] += 1
            if ctx.attempt.number == 1 and ev.n == 0:
                raise OSError
            return Done(n=ev.n)

        @step
        async def end(self, done: Annotated[list[Done], All(order="source")]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in done])

    for run in many(Flaky, backend):
        assert run.result == [0, 1]
        assert run.workflow.bodies == {0: 2, 1: 1}


class Child(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent[int]:
        await anyio.sleep(1)
        return StopEvent(result=ev.n)


class Parent(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(n=1), Job(n=2)]

    @step
    async def work(self, ev: Job) -> Done:
        return Done(n=await Child().run(n=ev.n))

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
        done = ctx.collect_events(ev, [Done] * 2)
        return StopEvent(result=sum(each.n for each in done)) if done else None


@on_both
def test_a_nested_run_ends_with_its_parent_whatever_goes_wrong_in_either(backend: str):
    faults = Faults(raises=OSError, cancel_step=True, cancel=True, timeout=True, leave=True)
    found = many(Parent, backend, faults=faults)
    for run in found:
        assert run.faults or run.result == 3
    assert {type(run.error) for run in found} >= {OSError, WorkflowError, type(None)}


@on_both
def test_a_wait_takes_the_first_event_that_fits_however_early_it_came(backend: str):
    class Waits(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Job]:
            return [Job(n=1), Job(n=2)]

        @step(num_workers=2)
        async def work(self, ctx: Context, ev: Job) -> StopEvent[int] | None:
            if ev.n == 1:
                done = await ctx.wait_for_event(Done, requirements={"n": 7})
                return StopEvent(result=done.n)
            for n in (6, 7):
                ctx.send_event(Done(n=n))
                await anyio.sleep(1)
            return None

    for run in many(Waits, backend):
        assert run.result == 7
        assert all(event == Done(n=6) for event in run.leftovers if isinstance(event, Done))
