"""Rates, limits and the like on the steps of members: what is held back begins, whoever holds it back."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from stretto import Application, Context, Event, Limit, StartEvent, StopEvent, Workflow, step
from stretto.limits import Rate
from stretto.retry import fixed
from stretto.supervision import Restart

pytestmark = pytest.mark.anyio


class Job(Event):
    n: int


class Other(Event):
    n: int


class Sends(Workflow[str]):
    """Sends jobs, with so many turns of the loop between them."""

    def __init__(self, count: int = 3, *, turns: int = 1) -> None:
        super().__init__(timeout=100)
        self.count, self.turns = count, turns

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
        for n in range(self.count):
            ctx.send_event(Job(n=n))
            for _ in range(self.turns):
                await anyio.lowlevel.checkpoint()
        return StopEvent(result="sent")


def working(taken: list[int], **options: Any) -> Workflow[Any]:
    """A member whose step has these options."""

    class Works(Workflow[Any]):
        @step(**options)
        async def work(self, ev: Job) -> None:
            taken.append(ev.n)

    return Works()


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("options", [{"rate": Rate(1, per=2.0)}, {"debounce": 2.0, "key": "n"}])
async def test_what_comes_as_a_period_of_work_ends_begins_in_its_time(turns: int, options: dict[str, Any]):
    taken: list[int] = []
    async with Application(sends=Sends(turns=turns), works=working(taken, **options)) as app:
        assert await app.run("sends") == "sent"
    assert sorted(taken) == [0, 1, 2]
    assert not app.dead_letters


@pytest.mark.parametrize("turns", [1, 2])
async def test_what_comes_as_the_task_group_of_a_period_closes_begins_in_its_time(turns: int):
    """In whichever order the loop wakes them: trio's is another each time, and its nursery takes nothing by then."""
    for _ in range(24):
        taken: list[int] = []
        works = working(taken, rate=Rate(1, per=2.0))
        async with Application(sends=Sends(turns=turns), works=works) as app:
            assert await app.run("sends") == "sent"
        assert sorted(taken) == [0, 1, 2]


async def test_who_waits_for_a_seat_of_another_member_is_woken_when_it_is_free():
    one, done = Limit(1, key=lambda ev: "all"), list[str]()

    class First(Workflow[Any]):
        @step(limiter=one)
        async def work(self, ev: Job) -> None:
            await anyio.sleep(1)
            done.append("first")

    class Second(Workflow[Any]):
        @step(limiter=one)
        async def work(self, ev: Other) -> None:
            done.append("second")

    class Both(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Other | StopEvent[str]:
            ctx.send_event(Job(n=0))
            await anyio.sleep(0.5)
            ctx.send_event(Other(n=0))
            return StopEvent(result="sent")

    async with Application(both=Both(timeout=100), first=First(), second=Second()) as app:
        await app.run("both")
    assert done == ["first", "second"]


async def called(app: Application) -> None:
    assert await app.run("sends") == "sent"


async def test_conversations_that_share_a_rate_all_get_on():
    taken: list[int] = []
    rated = working(taken, rate=Rate(1, per=1.0))
    async with Application(sends=Sends(2), works=rated) as app, anyio.create_task_group() as tg:
        for _ in range(4):
            tg.start_soon(called, app)
    assert sorted(taken) == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": 1},
        {"num_workers": 1, "rate": Rate(1, per=0.5)},
        {"num_workers": 1, "priority": "n"},
        {"limiter": Limit(1, key=lambda ev: "all")},
        {"limiter": Limit(1)},
        {"num_workers": 1, "debounce": 0.5, "key": "n"},
    ],
)
@pytest.mark.parametrize("pause", [0.0, 1.0])
async def test_what_is_held_back_when_a_member_fails_is_for_the_new_run(
    options: dict[str, Any], pause: float
):
    taken: list[int] = []

    class Fails(Workflow[Any]):
        @step(**options)
        async def work(self, ev: Job) -> None:
            await anyio.sleep(1)
            if ev.n == 9:
                raise ValueError(ev.n)
            taken.append(ev.n)

    class Asks(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            ctx.send_event(Job(n=9))
            await anyio.sleep(pause)  # until it begins, or until the instant in which it fails
            for n in range(3):
                ctx.send_event(Job(n=n))
            await anyio.sleep(20)
            return StopEvent(result="sent")

    supervise = {"fails": Restart(backoff=fixed(0.1))}
    async with Application(asks=Asks(timeout=100), fails=Fails(timeout=None), supervise=supervise) as app:
        await app.run("asks")
    assert sorted(taken) == [0, 1, 2]
    assert [letter.event for letter in app.dead_letters] == [Job(n=9)]


@pytest.mark.parametrize("key", [None, lambda _: "all"], ids=["no key", "a key"])
async def test_what_waits_for_a_turn_when_a_member_fails_is_discarded_with_its_mailbox_and_told_once(
    key: Any,
):
    taken: list[int] = []
    limit = Limit(1, key=key)

    class Fails(Workflow[Any]):
        @step(limiter=limit)
        async def work(self, ev: Job) -> None:
            await anyio.sleep(1)
            if ev.n == 0:
                raise ValueError(ev.n)
            taken.append(ev.n)

    class Asks(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            for n in range(3):
                ctx.send_event(Job(n=n))
            await anyio.sleep(2)
            ctx.send_event(Job(n=9))
            return StopEvent(result="sent")

    supervise = {"fails": Restart(backoff=fixed(0.1), mailbox="discard")}
    async with Application(asks=Asks(), fails=Fails(timeout=None), supervise=supervise) as app:
        await app.run("asks")
    assert taken == [9]
    why = "fails (Fails) failed with ValueError(0) and was restarted"
    assert [(letter.event, letter.reason) for letter in app.dead_letters] == [
        (Job(n=1), f"it was queued when {why}, and its mailbox was discarded"),
        (Job(n=2), f"it was queued when {why}, and its mailbox was discarded"),
        (Job(n=0), f"it was being handled when {why}"),
    ]


@pytest.mark.parametrize("key", [None, lambda _: "all"], ids=["no key", "a key"])
async def test_what_waits_for_a_turn_when_its_conversation_is_cut_is_a_dead_letter_once(key: Any):
    taken: list[int] = []
    limit = Limit(1, key=key)

    class Slow(Workflow[Any]):
        @step(limiter=limit)
        async def work(self, ev: Job) -> None:
            taken.append(ev.n)
            await anyio.sleep(10)

    class Asks(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            for n in range(6):
                ctx.send_event(Job(n=n))
            await anyio.sleep(1)
            return StopEvent(result="sent")

    async with Application(asks=Asks(), slow=Slow(), on_stop="cancel") as app:
        assert await app.run("asks") == "sent"
    assert taken == [0]
    letters: list[Any] = [letter.event for letter in app.dead_letters]
    assert sorted(each.n for each in letters) == [1, 2, 3, 4, 5]


async def test_what_a_superseded_step_returns_is_told_as_that():
    class Search(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for n in range(2):
                ctx.send_event(Job(n=n))
                await anyio.sleep(1)

        @step(singleton="cancel")
        async def look(self, ev: Job) -> StopEvent[str] | Other:
            try:
                await anyio.sleep(3)
            except anyio.get_cancelled_exc_class():  # noqa: ASYNC103 - as a step should not
                return Other(n=ev.n)
            return StopEvent(result="found")

        @step
        async def other(self, ev: Other) -> None: ...

    run = Search().run()
    assert await run == "found"
    reasons = {letter.event: letter.reason.partition(" (")[2] for letter in run.dead_letters}
    assert "a later event of its key came" in reasons[Other(n=0)]
