"""What waits for a turn of a `Limit` when its run ends has not begun: it is left over once, and begins nowhere."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    Handler,
    Limit,
    Resource,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    step,
)
from stretto.errors import StepTimeoutError
from stretto.joins import First
from stretto.retry import RetryPolicy, no_wait

pytestmark = pytest.mark.anyio


class BoomError(Exception):
    pass


class Job(Event):
    n: int
    seconds: float = 1


class Done(Event):
    n: int


class Late(Event):
    pass


class Works(Workflow[Any]):
    """Of four jobs one is at work, two wait for a turn with a worker of their own, and one waits for a worker."""

    def __init__(self, end: object, limit: Limit, **options: Any) -> None:
        self.end = end
        self.limit = limit
        self.began: list[int] = []
        super().__init__(**options)

    @step
    async def begin(self, ev: StartEvent) -> list[Job | Late]:
        return [*(Job(n=n, seconds=10) for n in range(4)), Late()]

    async def body(self, ev: Job) -> Done:
        self.began.append(ev.n)
        await anyio.sleep(ev.seconds)
        return Done(n=ev.n)

    @step
    async def finish(self, ev: Late) -> StopEvent[Any]:
        await anyio.sleep(1.5)
        if isinstance(self.end, Exception):
            raise self.end
        return StopEvent(result=self.end)

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent[Any] | None:
        return None


def works(limit: Limit, end: object = "end", **options: Any) -> Works:
    """Such a workflow, whose jobs have this limit."""

    class Limited(Works):
        @step(num_workers=3, limiter=limit)
        async def work(self, ev: Job) -> Done:
            return await self.body(ev)

    return Limited(end, limit, **options)


def told(run: Handler[Any]) -> Counter[int]:
    return Counter(letter.event.n for letter in run.dead_letters if isinstance(letter.event, Job))


KINDS = pytest.mark.parametrize("key", [None, lambda _: "all"], ids=["no key", "a key"])


def left(run: Handler[Any]) -> Counter[int]:
    assert not run.dead_letters
    return Counter(event.n for event in run.leftovers if isinstance(event, Job))


@KINDS
@pytest.mark.parametrize("how", ["result", "failure", "timeout", "cancel"])
async def test_what_waits_for_a_turn_when_its_run_ends_is_left_over_once(how: str, key: Any):
    limit = Limit(1, key=key)
    workflow = works(limit, BoomError() if how == "failure" else "end", timeout=1 if how == "timeout" else 45)
    errors: dict[str, type[Exception]] = {
        "failure": BoomError, "timeout": WorkflowTimeoutError, "cancel": WorkflowCancelledError
    }  # fmt: skip
    async with workflow.run() as run:
        if how == "cancel":
            await anyio.sleep(1)
            await run.cancel()
        if how in errors:
            with pytest.raises(errors[how]):
                await run
        else:
            assert await run == "end"
    assert workflow.began == [0]
    assert left(run) == {1: 1, 2: 1, 3: 1}
    assert limit.line().join("somebody")
    limit.line().leave("somebody")


@KINDS
async def test_it_is_left_over_too_when_the_caller_is_cancelled(key: Any):
    workflow = works(Limit(1, key=key))
    run = workflow.run()
    with anyio.move_on_after(1):
        await run
    assert workflow.began == [0]
    assert left(run) == {1: 1, 2: 1, 3: 1}


async def test_a_turn_that_comes_as_the_run_ends_begins_nothing():
    """The body began on asyncio, in a run that was over: the turn had come before the cancellation was delivered."""
    limit = Limit(1)

    class Ends(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(3)]

        @step(limiter=limit)
        async def work(self, ev: Job) -> StopEvent[int]:
            began.append(ev.n)
            await anyio.sleep(ev.seconds)
            return StopEvent(result=ev.n)

    began: list[int] = []
    async with Ends().run() as run:
        assert await run == 0
    assert began == [0]
    assert left(run) == {1: 1, 2: 1}


async def test_one_of_another_run_goes_on_with_the_turn():
    limit = Limit(1)
    first, second = works(limit), works(limit)
    async with first.run() as run:
        await anyio.sleep(0.5)
        async with second.run() as other:
            await run
            await anyio.sleep(0.5)
            assert second.began == [0]
            await other.cancel()
    assert left(other) == {1: 1, 2: 1, 3: 1}


async def test_a_loser_of_a_race_that_waits_for_a_turn_is_told_as_never_begun():
    limit = Limit(1)

    class Race(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(3)]

        @step(limiter=limit)
        async def work(self, ev: Job) -> Done:
            began.append(ev.n)
            await anyio.sleep(1)
            return Done(n=ev.n)

        @step
        async def end(self, done: Annotated[list[Done], First()]) -> StopEvent[int]:
            await anyio.sleep(1)
            return StopEvent(result=done[0].n)

    began: list[int] = []
    async with Race().run() as run:
        assert await run == 0
    assert began == [0]
    assert [event for event in run.leftovers if isinstance(event, Job)] == []
    assert told(run) == {1: 1, 2: 1}
    assert {letter.reason.partition(" Race")[0] for letter in run.dead_letters} == {
        "the join of its fork had enough before"
    }
    assert run.counts.begun["work"] == 1


async def test_one_that_is_superseded_while_it_waits_for_a_turn_is_a_dead_letter_once():
    limit = Limit(1)

    class Supersedes(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Late:
            ctx.send_event(Job(n=0))
            for n in (1, 2):
                await anyio.sleep(0.25)
                ctx.send_event(Job(n=n))
            return Late()

        @step(limiter=limit, singleton="cancel", num_workers=3)
        async def work(self, ev: Job) -> None:
            began.append(ev.n)
            await anyio.sleep(5)

        @step
        async def end(self, ev: Late) -> StopEvent[str]:
            await anyio.sleep(1)
            return StopEvent(result="end")

    began: list[int] = []
    line = limit.line()
    assert line.join("somebody")
    async with Supersedes().run() as run:
        await anyio.sleep(0.75)
        line.leave("somebody")
        assert await run == "end"
    assert began == [2]
    assert run.counts.begun["work"] == 1
    assert [event for event in run.leftovers if isinstance(event, Job)] == []
    assert told(run) == {0: 1, 1: 1}


async def test_an_attempt_whose_time_passes_while_it_waits_for_a_turn_has_failed_and_is_tried_again():
    limit = Limit(1)

    class Tries(Workflow[int]):
        @step(limiter=limit, timeout=1, retry_policy=RetryPolicy(attempts=2, wait=no_wait()))
        async def work(self, ev: StartEvent) -> StopEvent[int]:
            began.append(anyio.current_time())
            return StopEvent(result=1)

    began: list[float] = []
    line = limit.line()
    for lets_in in (True, False):
        assert line.join("somebody")
        async with Tries().run() as run:
            await anyio.sleep(1.5)
            if lets_in:
                line.leave("somebody")
                assert await run == 1
            else:
                with pytest.raises(StepTimeoutError, match="what was left of it went into waiting"):
                    await run
        assert len(began) == 1
        assert not run.leftovers
    line.leave("somebody")


async def test_what_waits_for_a_turn_is_among_what_is_queued_in_a_snapshot_and_comes_again_once():
    limit = Limit(1)
    workflow = works(limit)
    async with workflow.run() as run:
        await anyio.sleep(1)
        data = run.ctx.to_dict()
        await run.cancel()
    assert [each["step"] for each in data["active"]] == ["work", "finish"]
    assert [each["step"] for each in data["queued"]] == ["work"] * 3
    again = works(limit)
    async with again.run(ctx=Context.from_dict(again, data)) as resumed:
        assert await resumed == "end"
    assert again.began == [0]
    assert left(resumed) == {1: 1, 2: 1, 3: 1}


async def test_what_waits_for_its_resources_when_its_run_ends_is_left_over_too():
    async def slow() -> int:
        await anyio.sleep(10)
        return 1

    class Needs(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job | Late]:
            return [Job(n=0), Late()]

        @step
        async def work(self, ev: Job, number: Annotated[int, Resource(slow)]) -> None: ...

        @step
        async def end(self, ev: Late) -> StopEvent[str]:
            await anyio.sleep(1)
            return StopEvent(result="end")

    async with Needs().run() as run:
        assert await run == "end"
    assert left(run) == {0: 1}
