"""At most so many step bodies, or runs, at once: who waits is in line, can be cancelled, and leaves no turn behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    Limit,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from tests import virtual

pytestmark = pytest.mark.anyio

TWO = Limit(2)


class BoomError(Exception):
    pass


class Job(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class Log:
    """How many are at work, the most there ever were, and who began when."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.began: list[tuple[Any, float]] = []

    async def work(self, who: object, seconds: float = 1) -> None:
        self.began.append((who, anyio.current_time()))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.sleep(seconds)
        finally:
            self.now -= 1


class Limited(Workflow[int]):
    """Four jobs at once by its workers, two by the limit, and a step beside them."""

    def __init__(self, log: Log, jobs: int = 4, timeout: float | None = 45.0) -> None:
        super().__init__(timeout=timeout)
        self.log = log
        self.jobs = jobs

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(number=number) for number in range(self.jobs)]

    @step(limiter=TWO)
    async def work(self, ev: Job) -> Done:
        await self.log.work(ev.number)
        return Done(number=ev.number)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
        done = ctx.collect_events(ev, [Done] * self.jobs)
        return None if done is None else StopEvent(result=len(done))


def free() -> int:
    """How many turns of `TWO` can be had at once."""
    line = TWO.line()
    number = 0
    while line.join(number):
        number += 1
    for each in range(number + 1):
        line.leave(each)
    return number


# -- step bodies ---------------------------------------------------------------------------------------------------


async def test_no_more_bodies_are_at_work_than_the_limit_says():
    log = Log()
    began = anyio.current_time()
    assert await Limited(log).run() == 4
    assert (log.most, log.now) == (2, 0)
    assert anyio.current_time() - began == pytest.approx(2)
    assert free() == 2


async def test_who_waits_gets_its_turn_in_order():
    log = Log()
    await Limited(log, jobs=6).run()
    assert {number for number, _ in log.began[:2]} == {0, 1}
    times = [at - log.began[0][1] for _, at in log.began]
    assert times == pytest.approx([0, 0, 1, 1, 2, 2])


async def test_a_limit_is_shared_by_runs_and_workflows():
    log = Log()
    async with anyio.create_task_group() as tg:
        for _ in range(3):
            tg.start_soon(Limited(log, jobs=2).execute)
    assert log.most == 2
    assert len(log.began) == 6


async def test_waiting_for_a_turn_does_not_hold_up_other_steps():
    one = Limit(1)

    class Beside(Workflow[float]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Done | None:
            for _ in range(3):
                ctx.send_event(Job())
            ctx.send_event(Done())

        @step(limiter=one)
        async def slow(self, ev: Job) -> None:
            await anyio.sleep(10)

        @step
        async def other(self, ev: Done) -> StopEvent[float]:
            return StopEvent(result=anyio.current_time())

    began = anyio.current_time()
    assert await Beside().run() == began


async def test_a_step_that_fails_gives_its_turn_back():
    class Failing(Workflow[None]):
        @step(limiter=TWO)
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            raise BoomError

    for _ in range(3):
        with pytest.raises(BoomError):
            await Failing().run()
    assert free() == 2


@pytest.mark.parametrize("after", [0.5, 1.0, 1.5])
async def test_a_cancelled_run_leaves_no_turn_behind(after: float):
    log = Log()
    with anyio.move_on_after(after) as scope:
        await Limited(log, jobs=6).run()
    assert scope.cancelled_caught
    assert (log.now, free()) == (0, 2)


async def test_a_run_that_times_out_in_line_leaves_no_turn_behind():
    log = Log()
    async with anyio.create_task_group() as tg:
        tg.start_soon(Limited(log, jobs=2).execute)
        await anyio.sleep(0.1)
        with pytest.raises(
            WorkflowTimeoutError, match=r"Limited\.work \(test_limits\.py:\d+\) x4 for 0\.5 s"
        ):
            await Limited(Log(), timeout=0.5).run()
        assert log.now == 2
    assert free() == 2


async def test_a_step_in_a_thread_has_a_turn_too():
    one = Limit(1)
    spans: list[tuple[float, float]] = []

    class Threads(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(), Job()]

        @step(limiter=one)
        def work(self, ev: Job) -> Done:
            began = time.monotonic()
            time.sleep(0.01)
            spans.append((began, time.monotonic()))
            return Done()

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
            return StopEvent(result=len(spans)) if ctx.collect_events(ev, [Done] * 2) else None

    assert await Threads().run() == 2
    assert spans[0][1] <= spans[1][0]


async def test_nothing_is_kept_of_who_has_waited():
    await Limited(Log(), jobs=6).run()
    assert not TWO.line()._waking


def test_each_event_loop_counts_for_itself(anyio_backend_name: str):
    log = Log()
    for _ in range(2):
        assert virtual.run(Limited(log).execute, backend=anyio_backend_name) == 4
    assert log.most == 2


def test_a_limit_says_how_many():
    assert (repr(TWO), TWO.most) == ("Limit(2)", 2)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, None, "3"])
def test_a_limit_is_a_whole_number(wrong: object):
    with pytest.raises(DefinitionError, match="Limit is a whole number"):
        Limit(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -- runs ----------------------------------------------------------------------------------------------------------


class Runs(Workflow[object]):
    def __init__(self, log: Log, at_once: int | None, timeout: float | None = 45.0) -> None:
        super().__init__(timeout=timeout, num_concurrent_runs=at_once)
        self.log = log

    @step
    async def work(self, ev: StartEvent) -> StopEvent[object]:
        await self.log.work(ev.who)
        if ev.who == "boom":
            raise BoomError
        return StopEvent(result=ev.who)


async def all_at_once(*calls: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with anyio.create_task_group() as tg:
        for call in calls:
            tg.start_soon(call)


async def test_no_more_runs_are_at_work_than_the_workflow_allows():
    log = Log()
    flow = Runs(log, 2)
    async with anyio.create_task_group() as tg:
        for who in range(5):
            tg.start_soon(flow.execute, StartEvent(who=who))
    assert log.most == 2
    assert sorted(who for who, _ in log.began) == [0, 1, 2, 3, 4]


async def test_the_others_wait_in_the_order_in_which_they_were_started():
    log = Log()
    flow = Runs(log, 1)
    async with flow.run(who=0) as a, flow.run(who=1) as b, flow.run(who=2) as c:
        assert [await each for each in (c, b, a)] == [2, 1, 0]
    assert [who for who, _ in log.began] == [0, 1, 2]


async def test_the_time_limit_counts_from_when_a_run_goes_on():
    log = Log()
    flow = Runs(log, 1, timeout=1.5)
    async with flow.run(who=0) as a, flow.run(who=1) as b, flow.run(who=2) as c:
        assert [await each for each in (a, b, c)] == [0, 1, 2]
    slow = Runs(log, 1, timeout=0.5)
    async with slow.run(who=0) as a, slow.run(who=1) as b:
        for each in (a, b):
            with pytest.raises(WorkflowTimeoutError, match=r"timed out after 0\.5 s"):
                await each


async def test_each_object_counts_for_itself():
    log = Log()
    async with Runs(log, 1).run(who=0) as a, Runs(log, 1).run(who=1) as b:
        assert (await a, await b) == (0, 1)
    assert log.most == 2


async def test_without_a_number_there_is_no_limit():
    log = Log()
    flow = Runs(log, None)
    async with flow.run(who=0) as a, flow.run(who=1) as b:
        assert (await a, await b) == (0, 1)
    assert log.most == 2


async def test_a_run_that_waits_is_cancelled_by_its_handler():
    log = Log()
    flow = Runs(log, 1)
    async with flow.run(who=0) as first, flow.run(who=1) as second, flow.run(who=2) as third:
        await anyio.sleep(0.5)
        began = anyio.current_time()
        await second.cancel()
        assert anyio.current_time() == began
        with pytest.raises(WorkflowCancelledError):
            await second
        assert second.leftovers == (StartEvent(who=1),)
        assert (await first, await third) == (0, 2)
    assert [who for who, _ in log.began] == [0, 2]


async def test_a_run_that_waits_is_cancelled_with_its_caller():
    log = Log()
    flow = Runs(log, 1)
    async with flow.run(who=0) as first:
        with anyio.move_on_after(0.5) as scope:
            await flow.run(who=1)
        assert scope.cancelled_caught
        assert await flow.run(who=2) == 2
        assert await first == 0
    assert [who for who, _ in log.began] == [0, 2]


async def test_a_run_gives_its_turn_back_however_it_ends():
    log = Log()
    flow = Runs(log, 1)
    with pytest.raises(BoomError):
        await flow.run(who="boom")
    with anyio.move_on_after(0.5):
        await flow.run(who=1)
    with pytest.raises(ZeroDivisionError):
        async with flow.run(who=2):
            await anyio.sleep(0.5)
            raise ZeroDivisionError
    never = flow.run(who=3)
    await never.cancel()
    assert await flow.run(who=4) == 4


async def test_an_event_sent_to_a_run_that_waits_is_handled_when_it_goes_on():
    class Heard(Workflow[list[str]]):
        @step
        async def begin(self, ev: StartEvent) -> None:
            order.append(ev.who)
            await anyio.sleep(1)

        @step
        async def hear(self, ctx: Context, ev: Job) -> StopEvent[list[str]]:
            order.append(f"job {ev.number}")
            return StopEvent(result=order)

    order: list[str] = []
    flow = Heard(num_concurrent_runs=1, disable_validation=True)
    async with flow.run(who="a") as a, flow.run(who="b") as b:
        b.send_event(Job(number=2))
        await anyio.sleep(0.5)
        assert order == ["a"]
        a.send_event(Job(number=1))
        await a
        await b
    assert order[:3] == ["a", "job 1", "b"]
    assert "job 2" in order


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_nested_run_that_would_wait_for_its_own_ancestor_fails_at_once(depth: int):
    class Between(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=await flow.run(left=0))

    class Nested(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            if ev.left == 0:
                return StopEvent(result=0)
            return StopEvent(result=await (self.run(left=ev.left - 1) if depth == 1 else Between().run()))

    flow = Nested(timeout=None, num_concurrent_runs=1)
    began = anyio.current_time()
    with pytest.raises(WorkflowError, match="would wait for its own ancestor"):
        await flow.run(left=1)
    assert anyio.current_time() == began
    assert await flow.run(left=0) == 0
    if depth == 1:
        assert await Nested(timeout=None, num_concurrent_runs=2).run(left=1) == 0


async def test_runs_that_nest_in_each_other_at_once_fail_and_do_not_lock():
    class Nested(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            await anyio.sleep(1)
            return StopEvent(result=await self.run(deep=True) if not ev.deep else 0)

    flow = Nested(timeout=None, num_concurrent_runs=2)
    errors: list[str] = []

    async def one() -> None:
        try:
            await flow.run(deep=False)
        except WorkflowError as error:
            errors.append(str(error))

    await all_at_once(one, one)
    assert errors
    assert await flow.run(deep=True) == 0


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "3"])
def test_the_number_of_runs_is_a_whole_number(wrong: object):
    with pytest.raises(DefinitionError, match="num_concurrent_runs is a whole number"):
        Runs(Log(), wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
