"""A fork that is written in the middle is joined elsewhere, with what had arrived and what has still to come."""

from __future__ import annotations

import json
from typing import Annotated, Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    Handler,
    RetryPolicy,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    Workflow,
    step,
)
from stretto.joins import All, ByKey, First, Quorum, Settle, Until, Window
from stretto.retry import fixed

pytestmark = pytest.mark.anyio


class Job(Event):
    n: int
    seconds: float = 1.0


class Done(Event):
    n: int


class Other(Event):
    n: int


class Sums(Event):
    ns: list[int]


async def cut(run: Handler[Any], after: float) -> str:
    async with run:
        await anyio.sleep(after)
        data = json.dumps(run.ctx.to_dict())
        await run.cancel()
    return data


def again(workflow: Workflow[Any], data: str) -> Handler[Any]:
    return workflow.run(ctx=Context.from_dict(workflow, json.loads(data)))


class Joined(Workflow[list[int]]):
    """Branches that end after their number of seconds, one of which sends nothing."""

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(n=n, seconds=n) for n in (4, 1, 3, 2)]

    @step
    async def work(self, ctx: Context, ev: Job) -> Done | None:
        await ctx.sleep(ev.seconds)
        return None if ev.n == 3 else Done(n=ev.n)

    @step
    async def join(
        self, ctx: Context, done: Annotated[list[Done], All(order="source")]
    ) -> StopEvent[list[int]]:
        await ctx.sleep(2)
        return StopEvent(result=[each.n for each in done])


@pytest.mark.parametrize("after", [0.0, 0.5, 1.5, 3.5, 5.0])
async def test_a_list_is_joined_whenever_it_is_cut_off(after: float):
    data = await cut(Joined().run(), after)
    assert await again(Joined(), data) == [4, 1, 2]


async def test_a_join_that_waits_for_a_worker_is_given_its_list():
    class Narrow(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(2)]

        @step
        async def split(self, ev: Job) -> list[Other]:
            return [Other(n=ev.n), Other(n=ev.n + 10)]

        @step(num_workers=1)
        async def join(self, ctx: Context, others: list[Other]) -> Done:
            await ctx.sleep(1)
            return Done(n=sum(each.n for each in others))

        @step
        async def end(self, done: list[Done]) -> StopEvent[int]:
            return StopEvent(result=sum(each.n for each in done))

    data = await cut(Narrow().run(), 0.5)
    assert [len(json.loads(data)[part]) for part in ("active", "queued")] == [1, 1]
    assert json.loads(data)["queued"][0]["joined"]
    assert await again(Narrow(), data) == 22


async def test_a_branch_that_is_to_be_tried_again_holds_its_fork_open():
    class Flaky(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(2)]

        @step(retry_policy=RetryPolicy(attempts=2, wait=fixed(5)))
        async def work(self, ctx: Context, ev: Job) -> Done:
            if ev.n and ctx.attempt.number == 1:
                raise ConnectionError
            return Done(n=ev.n)

        @step
        async def join(self, done: list[Done]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in done])

    data = await cut(Flaky().run(), 1)
    assert await again(Flaky(), data) == [0, 1]


def is_two(done: Done) -> bool:
    return done.n == 2


@pytest.mark.parametrize(
    ("policy", "result"),
    [
        (First(2), [[1, 2]]),
        (First(2, losers="keep"), [[1, 2]]),
        (First(2, losers="drain"), [[1, 2]]),
        (Until(is_two), [[1, 2]]),
        (Quorum(lambda done: len(done) == 2), [[1, 2]]),
        (ByKey(is_two), [[1, 4], [2]]),
        (Window(2), [[1, 2], [4]]),
        (Window(seconds=3), [[1, 2], [4]]),
    ],
)
@pytest.mark.parametrize("after", [0.5, 1.5, 2.5, 3.5])
async def test_each_policy_goes_on_after_a_restart(policy: Any, result: list[list[int]], after: float):
    """The steps that were at work begin again, so times are not as without; what has come is there."""

    class Policies(Workflow[list[list[int]]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in (4, 1, 2)]

        @step
        async def work(self, ctx: Context, ev: Job) -> Done:
            await ctx.sleep(ev.n)
            return Done(n=ev.n)

        @step
        async def part(self, done: Annotated[list[Done], policy]) -> Sums:
            return Sums(ns=[each.n for each in done])

        @step
        async def end(self, sums: list[Sums]) -> StopEvent[list[list[int]]]:
            return StopEvent(result=[each.ns for each in sums])

    data = await cut(Policies().run(), after)
    assert sorted(await again(Policies(), data)) == result


async def test_a_failure_that_is_settled_goes_on_after_a_restart():
    class Settled(Workflow[list[str]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in (3, 1)]

        @step
        async def work(self, ctx: Context, ev: Job) -> Done:
            await ctx.sleep(ev.n)
            if ev.n == 1:
                raise ValueError("one is none")
            return Done(n=ev.n)

        @step
        async def end(
            self, done: Annotated[list[Done | StepFailedEvent], Settle(order="source")]
        ) -> StopEvent[list[str]]:
            return StopEvent(
                result=[f"{each.n}" if isinstance(each, Done) else f"{each.exception}" for each in done]
            )

    data = await cut(Settled().run(), 2)
    assert await again(Settled(), data) == ["3", "one is none"]


class Race(Workflow[list[int]]):
    """The first wins, and the others take a second to clean up."""

    cleaned: list[int]

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(n=n, seconds=n) for n in (3, 1, 2)]

    @step
    async def work(self, ctx: Context, ev: Job) -> Done:
        try:
            await ctx.sleep(ev.seconds)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            self.cleaned.append(ev.n)
            raise
        return Done(n=ev.n)

    @step
    async def join(self, done: Annotated[list[Done], First()]) -> StopEvent[list[int]]:
        return StopEvent(result=[each.n for each in done])

    def __init__(self) -> None:
        super().__init__()
        self.cleaned = []


async def test_a_race_that_is_not_decided_goes_on():
    data = await cut(Race().run(), 0.5)
    race = Race()
    assert await again(race, data) == [1]
    assert sorted(race.cleaned) == [2, 3]


async def test_the_losers_of_a_race_do_not_run_again():
    data = await cut(Race().run(), 1.5)
    race = Race()
    began = anyio.current_time()
    assert await again(race, data) == [1]
    assert race.cleaned == []
    assert anyio.current_time() == began


async def test_one_of_each_is_joined_also_if_one_had_come_before():
    class Pair(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n, seconds=n) for n in range(1, 5)]

        @step
        async def work(self, ctx: Context, ev: Job) -> Done | Other:
            await ctx.sleep(ev.seconds)
            return Done(n=ev.n) if ev.n in {1, 2} else Other(n=ev.n)

        @step
        async def pair(self, done: Done, other: Other) -> Other | StopEvent[list[int]]:
            return StopEvent(result=[done.n, other.n])

    data = await cut(Pair(timeout=60).run(), 2.5)
    assert await again(Pair(), data) == [1, 3]


async def test_what_arrived_outside_of_all_forks_waits_there():
    class Go(Event, external=True):
        n: int

    class Stay(Event, external=True):
        n: int

    class Loose(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step
        async def pair(self, go: Go, stay: Stay) -> StopEvent[list[int]]:
            return StopEvent(result=[go.n, stay.n])

    async with Loose().run() as run:
        run.send_event(Go(n=1))
        data = json.dumps(run.ctx.to_dict())
        await run.cancel()
    async with again(Loose(), data) as run:
        run.send_event(Stay(n=2))
        assert await run == [1, 2]


async def test_what_a_step_has_sent_so_far_waits_in_its_fork():
    class Sending(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> None:
            async def send() -> None:
                for n in range(3):
                    ctx.send_event(Job(n=n, seconds=0))
                await ctx.sleep(1)

            await ctx.once("sent", send)
            await ctx.sleep(1)

        @step
        async def work(self, ev: Job) -> Done:
            return Done(n=ev.n)

        @step
        async def join(self, done: list[Done]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in done])

    data = await cut(Sending().run(), 1.5)
    assert await again(Sending(), data) == [0, 1, 2]


async def test_a_workflow_that_has_got_a_join_since_reads_what_it_wrote_before():
    def workflow(*, joins: bool) -> Workflow[Any]:
        class Grown(Workflow[Any]):
            @step
            async def begin(self, ctx: Context, ev: StartEvent) -> list[Job] | StopEvent[Any]:
                await ctx.sleep(1)
                return [Job(n=1), Job(n=2)] if joins else StopEvent(result="old")

            @step
            async def work(self, ev: Job) -> Done:
                return Done(n=ev.n)

            if joins:

                @step
                async def join(self, done: list[Done]) -> StopEvent[Any]:
                    return StopEvent(result=[each.n for each in done])
            else:

                @step
                async def end(self, ev: Done) -> StopEvent[Any]:
                    return StopEvent(result=ev.n)

        return Grown()

    data = await cut(workflow(joins=False).run(), 0.5)
    assert await again(workflow(joins=True), data) == [1, 2]


async def test_room_in_a_bounded_queue_is_counted_again():
    class Narrow(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> None:
            for n in range(4):
                await ctx.send(Job(n=n))
            await ctx.sleep(60)

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Job) -> Done:
            await ctx.sleep(ev.seconds)
            return Done(n=ev.n)

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
            done = ctx.collect_events(ev, [Done] * 4)
            return StopEvent(result=len(done)) if done else None

    narrow = Narrow(queue_size=2)
    data = await cut(narrow.run(), 0.5)
    assert len(json.loads(data)["queued"]) == 2
    assert await again(narrow, data) == 4


class Branch(Event):
    n: int


class Settled(Workflow[list[object]]):
    """Two branches, each done in parts; one part of the second fails after two seconds and a half."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[int] = []

    @step
    async def begin(self, ev: StartEvent) -> list[Branch]:
        return [Branch(n=0), Branch(n=1)]

    @step
    async def branch(self, ev: Branch) -> list[Job]:
        return [Job(n=ev.n, seconds=1), Job(n=ev.n, seconds=-2.5 if ev.n else 2), Job(n=ev.n, seconds=4)]

    @step(num_workers=9)
    async def work(self, ctx: Context, ev: Job) -> Done:
        began = await ctx.once(f"{ev.n} {ev.seconds}", anyio.current_time)
        await ctx.sleep(max(0.0, began + abs(ev.seconds) - anyio.current_time()))
        if ev.seconds < 0:
            raise OSError("part")
        return Done(n=ev.n)

    @step
    async def add(self, done: list[Done]) -> Sums:
        self.added.append(len(done))
        return Sums(ns=[each.n for each in done])

    @step
    async def decide(
        self, sums: Annotated[list[Sums | StepFailedEvent], Settle(order="source")]
    ) -> StopEvent[list[object]]:
        return StopEvent(result=[each.ns if isinstance(each, Sums) else str(each.exception) for each in sums])


@pytest.mark.parametrize("after", [0.5, 1.5, 3.0])
async def test_a_branch_that_fails_in_a_fork_inside_is_settled_whenever_it_is_cut_off(after: float):
    data = await cut(Settled().run(), after)
    workflow = Settled()
    run = again(workflow, data)
    result = await run
    assert result[0] == [0, 0, 0]
    assert "part" in str(result[1])
    assert workflow.added == [3]
    assert [letter.event for letter in run.dead_letters] == [Done(n=1)]


async def test_a_snapshot_of_a_program_that_settled_nothing_goes_on_in_one_that_does():
    data = json.loads(await cut(Settled().run(), 1.5))
    for fork in data["forks"]["open"]:
        fork.pop("leads", None)
    with pytest.raises(OSError, match="part"):
        await again(Settled(), json.dumps(data))
