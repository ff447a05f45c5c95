"""What a step does with more than it can take: bounded queues, priorities, one at a time, and waiting for quiet."""

from __future__ import annotations

import logging
import threading
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    QueueFullError,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from stretto.limits import Debounce, Rate
from stretto.retry import fixed

pytestmark = pytest.mark.anyio


class BoomError(Exception):
    pass


class Job(Event):
    n: int
    room: str = ""
    urgency: int = 0


class Done(Event):
    n: int


class Go(Event, external=True):
    n: int
    room: str = ""


class End(Event, external=True):
    pass


def told(run: Any) -> list[tuple[int, str]]:
    """The numbers of the dead letters, each with its reason."""
    return [(letter.event.n, letter.reason) for letter in run.dead_letters]


class Jobs(Workflow[list[int]]):
    """Sends these jobs at once; `work` takes a second for each. Ends when nothing that descends from them is left."""

    jobs: tuple[Job, ...]

    def __init__(self, *jobs: Job, **options: Any) -> None:
        self.jobs = jobs
        self.done: list[int] = []
        super().__init__(**options)

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return list(self.jobs)

    @step
    async def end(self, done: list[Done]) -> StopEvent[list[int]]:
        return StopEvent(result=[each.n for each in done])


def numbered(count: int) -> list[Job]:
    return [Job(n=n) for n in range(count)]


# -- queues with a bound -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overflow", "kept", "lost", "why"),
    [
        ("drop_oldest", [0, 4, 5], [1, 2, 3], "was full (queue_size=2), and it had waited longest"),
        ("drop_newest", [0, 1, 2], [3, 4, 5], "was full (queue_size=2)"),
    ],
)
async def test_a_full_queue_drops_one_end_and_the_join_of_its_fork_does_not_wait_for_it(
    overflow: Any, kept: list[int], lost: list[int], why: str
):
    class Drops(Jobs):
        @step(num_workers=1, queue_size=2, overflow=overflow)
        async def work(self, ev: Job) -> Done:
            await anyio.sleep(1)
            return Done(n=ev.n)

    run = Drops(*numbered(6)).run()
    assert await run == kept
    assert [n for n, _ in told(run)] == lost
    assert all(
        reason.startswith("the queue of Drops.work (") and reason.endswith(why) for _, reason in told(run)
    )
    assert run.leftovers == ()


async def test_what_a_policy_drops_is_logged_and_is_no_warning(caplog: pytest.LogCaptureFixture):
    class Drops(Jobs):
        @step(num_workers=1, queue_size=1, overflow="drop_newest")
        async def work(self, ev: Job) -> Done:
            return Done(n=ev.n)

    caplog.set_level(logging.INFO, "stretto")
    await Drops(*numbered(3)).run()
    assert [(record.levelname, "dead letter Job(n=2" in record.message) for record in caplog.records] == [
        ("INFO", True)
    ]


async def test_a_full_queue_of_a_step_refuses_who_sends_and_lets_who_waits_in():
    class Refuses(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            ctx.send_event(Job(n=0))
            ctx.send_event(Job(n=1))
            with pytest.raises(QueueFullError, match=r"queue of Refuses\.work \(.*queue_size=1\)"):
                ctx.send_event(Job(n=9))
            for n in (2, 3):
                await ctx.send(Job(n=n))
                sent.append(anyio.current_time() - began)

        @step(num_workers=1, queue_size=1)
        async def work(self, ev: Job) -> StopEvent[list[int]] | None:
            await anyio.sleep(1)
            done.append(ev.n)
            return StopEvent(result=done) if ev.n == 3 else None

    done: list[int] = []
    sent: list[float] = []
    began = anyio.current_time()
    assert await Refuses().run() == [0, 1, 2, 3]
    assert sent == pytest.approx([1, 2])


async def test_a_step_that_waits_for_room_in_a_queue_that_only_time_makes_is_not_refused():
    class Paced(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for n in range(4):
                await ctx.send(Job(n=n))

        @step(rate=Rate(1, per=1.0), queue_size=1)
        async def work(self, ev: Job) -> StopEvent[int] | None:
            return StopEvent(result=ev.n) if ev.n == 3 else None

    assert await Paced().run() == 3


async def test_only_the_latest_of_a_key_waits():
    class Latest(Jobs):
        @step(num_workers=1, overflow="latest", key="room")
        async def work(self, ev: Job) -> Done:
            await anyio.sleep(1)
            return Done(n=ev.n)

    run = Latest(*[Job(n=n, room="ab"[n % 2]) for n in range(7)]).run()
    assert await run == [0, 5, 6]
    assert [n for n, _ in told(run)] == [2, 1, 4, 3] or [n for n, _ in told(run)] == [1, 2, 3, 4]
    assert {reason.partition(":")[0] for _, reason in told(run)} == {"superseded"}


async def test_a_join_of_several_types_and_a_collect_get_on_with_what_was_not_dropped():
    class Collects(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for n in range(5):
                ctx.send_event(Job(n=n))

        @step(num_workers=1, queue_size=1, overflow="drop_oldest")
        async def work(self, ev: Job) -> Done:
            await anyio.sleep(1)
            return Done(n=ev.n)

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[list[int]] | None:
            done = ctx.collect_events(ev, [Done, Done])
            return None if done is None else StopEvent(result=[each.n for each in done])

    run = Collects().run()
    assert await run == [0, 4]
    assert [n for n, _ in told(run)] == [1, 2, 3]


# -- priorities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", ["urgency", lambda ev: ev.urgency])
async def test_the_highest_goes_first_and_of_equal_ones_the_first_that_came(priority: Any):
    class Ranked(Jobs):
        @step(num_workers=1, priority=priority)
        async def work(self, ev: Job) -> Done:
            await anyio.sleep(1)
            self.done.append(ev.n)
            return Done(n=ev.n)

    ranked = Ranked(*[Job(n=n, urgency=n % 3) for n in range(7)])
    await ranked.run()
    assert ranked.done == [0, 2, 5, 1, 4, 3, 6]


async def test_a_priority_that_is_no_number_fails_the_run():
    wrong: Any = lambda ev: "high"  # noqa: E731 - to a checker it is whatever it should be

    class Ranked(Jobs):
        @step(priority=wrong)
        async def work(self, ev: Job) -> Done:
            return Done(n=ev.n)

    with pytest.raises(TypeError, match="a priority is an int or a float, the higher the sooner, not 'high'"):
        await Ranked(*numbered(1)).run()


# -- one at a time -------------------------------------------------------------------------------------------------


class Talks(Workflow[list[tuple[str, int, float]]]):
    """What was done until the end, and what was cleaned up."""

    def __init__(self, **options: Any) -> None:
        self.log: list[tuple[str, int, float]] = []
        self.start = anyio.current_time()
        super().__init__(**options)

    def note(self, what: str, n: int) -> None:
        self.log.append((what, n, round(anyio.current_time() - self.start, 9)))

    async def talk(self, ev: Go) -> None:
        self.note("begins", ev.n)
        try:
            await anyio.sleep(2)
            self.note("ends", ev.n)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.25)
                self.note("left", ev.n)

    @step
    async def begin(self, ev: StartEvent) -> None: ...

    @step
    async def end(self, ev: End) -> StopEvent[list[tuple[str, int, float]]]:
        return StopEvent(result=self.log)


async def test_a_later_one_cancels_the_earlier_of_its_key_and_begins_when_that_has_cleaned_up():
    class Cancels(Talks):
        @step(singleton="cancel", key="room")
        async def work(self, ev: Go) -> None:
            await self.talk(ev)

    talks = Cancels()
    async with talks.run() as run:
        run.send_event(Go(n=0, room="a"))
        run.send_event(Go(n=1, room="b"))
        await anyio.sleep(1)
        run.send_event(Go(n=2, room="a"))
        run.send_event(Go(n=3, room="a"))  # 2 has not begun
        await anyio.sleep(5)
        run.send_event(End())
        log = await run
    assert log == [
        ("begins", 0, 0), ("begins", 1, 0), ("left", 0, 1.25), ("begins", 3, 1.25), ("ends", 1, 2), ("left", 1, 2.25),
        ("ends", 3, 3.25), ("left", 3, 3.5),
    ]  # fmt: skip
    assert {n for n, _ in told(run)} == {0, 2}
    assert all(
        reason.startswith("superseded: a later one of its key came to Cancels.work")
        for _, reason in told(run)
    )


async def test_while_there_is_one_of_its_key_a_later_one_is_refused():
    class Refuses(Talks):
        @step(singleton="refuse", key="room")
        async def work(self, ev: Go) -> None:
            await self.talk(ev)

    async with Refuses().run() as run:
        run.send_event(Go(n=0, room="a"))
        run.send_event(Go(n=1, room="b"))
        run.send_event(Go(n=2, room="a"))
        await anyio.sleep(3)
        run.send_event(Go(n=3, room="a"))
        await anyio.sleep(3)
        run.send_event(End())
        log = await run
    assert [n for what, n, _ in log if what == "begins"] == [0, 1, 3]
    ((n, reason),) = told(run)
    assert n == 2
    assert reason.startswith("refused: Refuses.work (")


async def test_what_a_superseded_step_sends_and_returns_all_the_same_comes_too_late():
    class Stubborn(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step(singleton="cancel")
        async def work(self, ctx: Context, ev: Go) -> Done:
            try:
                await anyio.sleep(2)
            except anyio.get_cancelled_exc_class():
                ctx.send_event(Done(n=100 + ev.n))
                raise
            return Done(n=ev.n)

        @step
        async def end(self, ev: Done) -> StopEvent[list[int]]:
            return StopEvent(result=[ev.n])

    async with Stubborn().run() as run:
        run.send_event(Go(n=0))
        await anyio.sleep(1)
        run.send_event(Go(n=1))
        assert await run == [1]
    assert [n for n, _ in told(run)] == [0, 100]
    assert "because a later event of its key came" in told(run)[1][1]


async def test_a_superseded_step_in_a_thread_is_waited_for_and_what_it_returns_comes_too_late(
    real_time: None,
):
    class Threads(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step(singleton="cancel")
        def work(self, ev: Go) -> Done:
            at_work.append(ev.n)
            assert len(at_work) == 1
            superseded.wait(5)
            at_work.remove(ev.n)
            return Done(n=ev.n)

        @step
        async def end(self, ev: Done) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    at_work: list[int] = []
    superseded = threading.Event()
    async with Threads().run() as run:
        run.send_event(Go(n=0))
        while not at_work:  # noqa: ASYNC110 - a thread sees to it
            await anyio.sleep(0.001)
        run.send_event(Go(n=1))
        superseded.set()
        assert await run == 1
    assert [n for n, _ in told(run)] == [0, 0]


async def test_one_that_waits_to_be_tried_again_is_superseded_too():
    class Flaky(Talks):
        @step(singleton="cancel", retry_policy=RetryPolicy(attempts=2, wait=fixed(10)))
        async def work(self, ev: Go) -> None:
            self.note("begins", ev.n)
            if ev.n == 0:
                raise BoomError

    async with Flaky().run() as run:
        run.send_event(Go(n=0))
        await anyio.sleep(1)
        run.send_event(Go(n=1))
        await anyio.sleep(20)
        run.send_event(End())
        assert await run == [("begins", 0, 0), ("begins", 1, 1)]
    assert [n for n, _ in told(run)] == [0]


async def test_a_singleton_that_waits_in_its_middle_is_superseded():
    class Answer(Event, external=True):
        pass

    class Asks(Talks):
        @step(singleton="cancel")
        async def work(self, ctx: Context, ev: Go) -> None:
            self.note("asks", ev.n)
            await ctx.wait_for_event(Answer)
            self.note("ends", ev.n)

    async with Asks().run() as run:
        run.send_event(Go(n=0))
        await anyio.sleep(1)
        run.send_event(Go(n=1))
        await anyio.sleep(1)
        run.send_event(Answer())
        await anyio.sleep(1)
        run.send_event(End())
        assert await run == [("asks", 0, 0), ("asks", 1, 1), ("ends", 1, 2)]


async def test_a_branch_that_is_superseded_ends_its_fork():
    class Forks(Jobs):
        @step(singleton="cancel")
        async def work(self, ev: Job) -> Done:
            await anyio.sleep(1)
            return Done(n=ev.n)

    run = Forks(*numbered(4)).run()
    assert await run == [3]
    assert sorted(n for n, _ in told(run)) == [0, 1, 2]


# -- quiet ---------------------------------------------------------------------------------------------------------


async def test_a_step_begins_when_nothing_more_of_the_key_has_come_for_so_long():
    class Waits(Talks):
        @step(debounce=0.5, key="room")
        async def work(self, ev: Go) -> None:
            self.note("begins", ev.n)

    async with Waits().run() as run:
        for n in range(4):
            run.send_event(Go(n=n, room="a"))
            await anyio.sleep(0.25)
        run.send_event(Go(n=9, room="b"))
        await anyio.sleep(2)
        run.send_event(End())
        assert await run == [("begins", 3, 1.25), ("begins", 9, 1.5)]
    assert [n for n, _ in told(run)] == [0, 1, 2]


async def test_a_debounced_step_begins_at_the_latest_when_its_time_is_over():
    class Waits(Talks):
        @step(debounce=Debounce(0.5, at_most=1.125))
        async def work(self, ev: Go) -> None:
            self.note("begins", ev.n)

    async with Waits().run() as run:
        for n in range(8):
            run.send_event(Go(n=n))
            await anyio.sleep(0.25)
        await anyio.sleep(2)
        run.send_event(End())
        log = await run
    assert log == [("begins", 4, 1.125), ("begins", 7, 2.25)]


async def test_a_run_that_waits_for_quiet_alone_is_not_stuck_and_a_cancelled_one_keeps_the_event():
    class Waits(Jobs):
        @step(debounce=5)
        async def work(self, ev: Job) -> Done:
            return Done(n=ev.n)

    assert await Waits(*numbered(3)).run() == [2]
    async with Waits(*numbered(3)).run() as run:
        await anyio.sleep(1)
        await run.cancel()
    assert run.leftovers == (Job(n=2),)


# -- what makes no sense -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"key": "room"},
        {"overflow": "drop_oldest"},
        {"overflow": "drop_eldest", "queue_size": 1},
        {"overflow": "drop_oldest", "queue_size": 1, "priority": "urgency"},
        {"overflow": "latest", "singleton": "cancel"},
        {"singleton": "replace"},
        {"priority": 5},
        {"priority": None, "debounce": 0},
        {"queue_size": 0},
        {"rate": 5},
        {"singleton": "cancel", "key": 5},
        {"debounce": 1, "key": "rome"},
        {"priority": "urgent"},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_where_it_is_written(options: dict[str, Any]):
    with pytest.raises(DefinitionError):

        class Bad(Workflow[None]):
            @step(**options)
            async def work(self, ev: Job) -> StopEvent[None]:
                return StopEvent()


def test_a_step_that_joins_has_no_policy_about_one_event():
    with pytest.raises(DefinitionError, match="joins several events, and debounce= is about one"):

        class Bad(Workflow[None]):
            @step(debounce=1)
            async def work(self, evs: list[Job]) -> StopEvent[None]:
                return StopEvent()


def test_the_times_of_a_debounce_are_in_order():
    with pytest.raises(DefinitionError, match="at_most is a longer time than the 2 s of quiet, not 1"):
        Debounce(2, at_most=1)
