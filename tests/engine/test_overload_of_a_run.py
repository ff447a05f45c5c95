"""More than all queues of a run together may hold: what is dropped of it, and what never is."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
    DefinitionError,
    Event,
    Handler,
    HumanResponseEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    Workflow,
    catch_error,
    step,
)
from stretto._core.shedding import Row
from stretto.limits import Rate
from stretto.retry import RetryPolicy, fixed

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])


class Job(Event):
    n: int


class Other(Event):
    n: int


class Done(Event):
    n: int


class End(Event):
    pass


class BoomError(Exception):
    pass


def dropped(run: Handler[Any]) -> list[Any]:
    """What is a dead letter: the number of each event, with the type if it is no job."""
    letters: list[Any] = [letter.event for letter in run.dead_letters]
    return [each.n if isinstance(each, Job) else type(each)(n=each.n) for each in letters]


class Works(Workflow[list[int]]):
    """Sends jobs and others in turn, to steps that take a second for each, and gives the numbers that were handled."""

    def __init__(self, count: int = 4, how: str = "send", **options: Any) -> None:
        self.count = count
        self.how = how
        self.done: list[int] = []
        super().__init__(**options)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Job | Other | End]:
        events = [(Job if n % 2 else Other)(n=n) for n in range(self.count)]
        if self.how == "return":
            return [*events, End()]
        for each in events:
            if self.how == "send_event":
                ctx.send_event(each)
            else:
                await ctx.send(each)
        self.sent_at = anyio.current_time()
        return [End()]

    @step(num_workers=1)
    async def work(self, ev: Job) -> None:
        await anyio.sleep(1)
        self.done.append(ev.n)

    @step(num_workers=1)
    async def other(self, ev: Other) -> None:
        await anyio.sleep(1)
        self.done.append(ev.n)

    @step
    async def end(self, ev: End) -> StopEvent[list[int]]:
        await anyio.sleep(20)
        return StopEvent(result=sorted(self.done))


@pytest.mark.parametrize("how", ["send", "send_event", "return"])
@pytest.mark.parametrize(
    ("overflow", "handled"), [("drop_oldest", [0, 1, 7, 8, 9]), ("drop_newest", [0, 1, 2, 3, 4])]
)
async def test_of_all_that_waits_in_a_run_one_end_is_dropped(how: str, overflow: Any, handled: list[int]):
    async with Works(10, how, queue_size=3, overflow=overflow).run() as run:
        assert await run == handled
    assert sorted(
        letter.event.n for letter in run.dead_letters if isinstance(letter.event, (Job, Other))
    ) == [n for n in range(10) if n not in handled]
    assert not run.leftovers
    assert run.counts.begun == {
        "begin": 1,
        "work": 3 if 9 in handled else 2,
        "other": 2 if 9 in handled else 3,
        "end": 1,
    }


async def test_the_letter_says_which_queue_was_full_and_for_which_step_it_was(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, "stretto")
    for overflow, reason in (
        ("drop_oldest", ", and it had waited longest, for Works.other (test_overload_of_a_run.py:"),
        ("drop_newest", " when it came for Works.other (test_overload_of_a_run.py:"),
    ):
        async with Works(5, queue_size=1, overflow=overflow).run() as run:
            await run
        told = {letter.reason for letter in run.dead_letters if isinstance(letter.event, Other)}
        assert len(told) == 1
        assert told.pop().startswith(f"the queue of Works was full (queue_size=1){reason}")
    assert {record.levelname for record in caplog.records} == {"INFO"}


@BOTH
async def test_what_fits_is_all_handled(overflow: Any):
    async with Works(5, queue_size=3, overflow=overflow).run() as run:
        assert await run == [0, 1, 2, 3, 4]
    assert not run.dead_letters


@BOTH
async def test_nobody_is_refused_or_waits_and_the_memory_of_a_flood_is_bounded(overflow: Any):
    began = anyio.current_time()
    workflow = Works(3_000, queue_size=10, overflow=overflow)
    async with workflow.run() as run:
        await anyio.sleep(0.5)
        assert sum(run.queued.values()) == 10
        assert workflow.sent_at == began
        handled = await run
    assert len(handled) == 12
    assert len(run.dead_letters) == 1_000  # which are kept
    sent = sum(count for (_, kind), count in run.counts.sent.items() if kind in {Job, Other})
    assert sent == 3_000


@BOTH
async def test_an_event_for_several_steps_waits_and_is_dropped_for_each_by_itself(overflow: Any):
    class Two(Workflow[list[str]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job | End]:
            return [*(Job(n=n) for n in range(4)), End()]

        @step(num_workers=1)
        async def one(self, ev: Job) -> None:
            await anyio.sleep(1)
            done.append(f"one {ev.n}")

        @step(num_workers=1)
        async def two(self, ev: Job) -> None:
            await anyio.sleep(1)
            done.append(f"two {ev.n}")

        @step
        async def end(self, ev: End) -> StopEvent[list[str]]:
            await anyio.sleep(10)
            return StopEvent(result=sorted(done))

    done: list[str] = []
    async with Two(queue_size=3, overflow=overflow).run() as run:
        await run
    kept = {"drop_oldest": ["one 3", "two 2", "two 3"], "drop_newest": ["one 1", "one 2", "two 1"]}[overflow]
    assert sorted(done) == sorted(["one 0", "two 0", *kept])
    assert sorted(dropped(run)) == {"drop_oldest": [1, 1, 2], "drop_newest": [2, 3, 3]}[overflow]


@BOTH
async def test_a_fork_that_loses_a_branch_closes_without_it(overflow: Any):
    class Forks(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(5)]

        @step(num_workers=1)
        async def work(self, ev: Job) -> Done:
            await anyio.sleep(1)
            return Done(n=ev.n)

        @step
        async def end(self, done: list[Done]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in done])

    began = anyio.current_time()
    async with Forks(queue_size=1, overflow=overflow).run() as run:
        assert await run == {"drop_oldest": [0, 4], "drop_newest": [0, 1]}[overflow]
    assert anyio.current_time() == began + 2
    assert dropped(run) == {"drop_oldest": [1, 2, 3], "drop_newest": [2, 3, 4]}[overflow]


@BOTH
async def test_the_call_of_a_join_is_neither_dropped_nor_counted(overflow: Any):
    class Joins(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Other | End]:
            return [*(Other(n=n) for n in range(4)), End()]

        @step
        async def fork(self, ev: Other) -> list[Job]:
            return [Job(n=ev.n)] * 2

        @step(num_workers=8)
        async def work(self, ev: Job) -> Done:
            return Done(n=ev.n)

        @step(num_workers=1)
        async def join(self, done: list[Done]) -> None:
            assert len(done) == 2
            await anyio.sleep(1)
            joined.append(done[0].n)

        @step
        async def end(self, ev: End) -> StopEvent[int]:
            await anyio.sleep(10)
            return StopEvent(result=len(joined))

    joined: list[int] = []
    async with Joins(queue_size=1, overflow=overflow).run() as run:
        await anyio.sleep(0.5)
        assert run.queued == {"join": 3}
        assert await run == 4


@BOTH
async def test_a_failure_on_its_way_to_its_handler_is_not_dropped(overflow: Any):
    class Recovers(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job | Other | End]:
            return [*(Job(n=n) for n in range(8)), *(Other(n=n) for n in range(3)), End()]

        @step(num_workers=8)
        async def work(self, ev: Job) -> Done:
            await anyio.sleep(0.5)
            raise BoomError(ev.n)

        @step(num_workers=1)
        async def other(self, ev: Other) -> None:
            await anyio.sleep(1)

        @catch_error
        async def recover(self, ev: StepFailedEvent) -> Done:
            await anyio.sleep(1)
            assert isinstance(ev.event, Job)
            return Done(n=ev.event.n)

        @step
        async def note(self, ev: Done) -> None:
            done.append(ev.n)

        @step
        async def end(self, ev: End) -> StopEvent[list[int]]:
            await anyio.sleep(10)
            return StopEvent(result=done)

    done: list[int] = []
    async with Recovers(queue_size=1, overflow=overflow).run() as run:
        await anyio.sleep(0.75)
        assert run.queued == {"recover": 7, "other": 1}
        assert sorted(await run) == [*range(8)]
    assert {type(letter.event) for letter in run.dead_letters} == {Other}


async def test_what_is_tried_again_is_not_the_newest_and_may_be_the_oldest():
    class Tries(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | End:
            for n in (0, 1):
                ctx.send_event(Job(n=n))
            for n, pause in ((2, 0.75), (3, 0.5)):
                await anyio.sleep(pause)
                ctx.send_event(Job(n=n))
            return End()

        @step(num_workers=1, retry_policy=RetryPolicy(attempts=2, wait=fixed(0.2)))
        async def work(self, ev: Job) -> None:
            if ev.n == 0 and not failed:
                failed.append(ev.n)
                await anyio.sleep(0.5)
                raise BoomError
            await anyio.sleep(1)
            done.append(ev.n)

        @step
        async def end(self, ev: End) -> StopEvent[list[int]]:
            await anyio.sleep(10)
            return StopEvent(result=done)

    cases: list[tuple[Any, list[int], list[int]]] = [
        ("drop_newest", [1, 0], [2, 3]),
        ("drop_oldest", [1, 3], [0, 2]),
    ]
    for overflow, handled, lost in cases:
        done: list[int] = []
        failed: list[int] = []
        async with Tries(queue_size=1, overflow=overflow).run() as run:
            assert await run == handled
        assert dropped(run) == lost


async def test_what_is_tried_again_finds_room_where_the_newest_is_dropped():
    class Tries(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | End:
            for n in (0, 1):
                ctx.send_event(Job(n=n))
            await anyio.sleep(0.6)
            ctx.send_event(Job(n=2))
            return End()

        @step(num_workers=1, retry_policy=RetryPolicy(attempts=2, wait=fixed(0.2)))
        async def work(self, ev: Job) -> None:
            await anyio.sleep(0.5)
            if ev.n == 0 and not failed:
                failed.append(ev.n)
                raise BoomError
            done.append(ev.n)

        @step
        async def end(self, ev: End) -> StopEvent[list[int]]:
            await anyio.sleep(10)
            return StopEvent(result=done)

    done: list[int] = []
    failed: list[int] = []
    async with Tries(queue_size=1, overflow="drop_newest").run() as run:
        assert await run == [1, 2, 0]
    assert not run.dead_letters


@BOTH
async def test_the_policies_of_a_step_hold_too_and_go_first(overflow: Any):
    class Mixed(Workflow[list[str]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job | Other | End]:
            both = [each for n in range(4) for each in (Job(n=n), Other(n=n))]
            return [*both, End()]

        @step(num_workers=1, queue_size=1, overflow="drop_newest")
        async def work(self, ev: Job) -> None:
            await anyio.sleep(1)
            done.append(f"job {ev.n}")

        @step(rate=Rate(1, per=1.0))
        async def other(self, ev: Other) -> None:
            done.append(f"other {ev.n}")

        @step
        async def end(self, ev: End) -> StopEvent[list[str]]:
            await anyio.sleep(20)
            return StopEvent(result=sorted(done))

    done: list[str] = []
    async with Mixed(queue_size=2, overflow=overflow).run() as run:
        await run
    assert (
        sorted(done)
        == {
            "drop_oldest": ["job 0", "job 3", "other 0", "other 3"],
            "drop_newest": ["job 0", "job 1", "other 0", "other 1"],
        }[overflow]
    )
    assert len(run.dead_letters) == 4


async def test_a_run_has_no_latest_of_a_key_and_no_policy_without_a_bound():
    with pytest.raises(
        DefinitionError, match=r"write it there, as in @step\(overflow='latest', key='symbol'\)"
    ):
        Works(overflow="latest", queue_size=1)
    with pytest.raises(DefinitionError, match=r"there always is; add queue_size=100"):
        Works(overflow="drop_oldest")
    with pytest.raises(DefinitionError, match=r"not 'drop_odlest'; did you mean 'drop_oldest'\?"):
        Works(overflow="drop_odlest", queue_size=1)
    with pytest.raises(DefinitionError, match=r"overflow is 'fail', 'drop_oldest' or 'drop_newest', not 3"):
        Works(overflow=3, queue_size=1)


async def test_said_to_fail_a_run_refuses_as_without_it():
    with pytest.raises(Exception, match="there is no room for"):
        await Works(10, "send_event", queue_size=3, overflow="fail").run()


async def test_the_oldest_is_not_dropped_where_a_step_has_priorities():
    class Urgent(Workflow[None]):
        @step(priority=lambda ev: 1)
        async def work(self, ev: StartEvent) -> StopEvent[None]:
            return StopEvent()

    assert await Urgent(queue_size=1, overflow="drop_newest").run() is None
    wrong = Urgent(queue_size=1, overflow="drop_oldest")
    with pytest.raises(
        DefinitionError, match=r"that may be the most urgent; write Urgent\(overflow='drop_newest'\)"
    ):
        await wrong.run()
    with pytest.raises(DefinitionError, match="that may be the most urgent"):
        async with Application(urgent=wrong):
            pass


@BOTH
async def test_what_comes_from_outside_is_dropped_too_and_who_sends_is_not_refused(overflow: Any):
    class Answers(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step(num_workers=1)
        async def take(self, ev: HumanResponseEvent) -> StopEvent[list[int]] | None:
            await anyio.sleep(1)
            done.append(ev.n)
            return StopEvent(result=done) if len(done) == 3 else None

    done: list[int] = []
    async with Answers(queue_size=2, overflow=overflow).run() as run:
        for n in range(5):
            if n % 2:
                run.send_event(HumanResponseEvent(n=n))
            else:
                await run.send(HumanResponseEvent(n=n))
        assert await run == {"drop_oldest": [0, 3, 4], "drop_newest": [0, 1, 2]}[overflow]


@BOTH
async def test_in_a_snapshot_what_waits_is_whole_and_in_the_order_in_which_it_came(overflow: Any):
    workflow = Works(6, queue_size=4, overflow=overflow)
    async with workflow.run() as run:
        await anyio.sleep(0.5)
        data = run.ctx.to_dict()
        await run.cancel()
    numbers = [data["events"][each["event"]] for each in data["queued"]]
    assert [int(str(each).rpartition("'n': ")[2].partition("}")[0]) for each in numbers] == [2, 3, 4, 5]
    smaller = Works(6, queue_size=1, overflow=overflow)
    async with smaller.run(ctx=Context.from_dict(smaller, data)) as resumed:
        await anyio.sleep(0.5)
        assert not resumed.dead_letters
        assert sum(resumed.queued.values()) == 4
        resumed.send_event(Job(n=9))
        assert sum(resumed.queued.values()) == {"drop_oldest": 1, "drop_newest": 4}[overflow]
        await resumed
    assert [letter.event.n for letter in resumed.dead_letters if isinstance(letter.event, (Job, Other))] == {
        "drop_oldest": [2, 3, 4, 5],
        "drop_newest": [9],
    }[overflow]


@BOTH
async def test_members_drop_what_is_too_much_for_them(overflow: Any):
    class Feed(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            for n in range(5):
                await ctx.send(Job(n=n))
            return StopEvent(result="sent")

    class Slow(Workflow[Any]):
        @step(num_workers=1)
        async def take(self, ev: Job) -> None:
            await anyio.sleep(1)
            done.append(ev.n)

    done: list[int] = []
    async with Application(feed=Feed(), slow=Slow(queue_size=2, overflow=overflow)) as app:
        assert await app.run("feed") == "sent"
    assert done == {"drop_oldest": [0, 3, 4], "drop_newest": [0, 1, 2]}[overflow]
    assert [letter.member for letter in app.dead_letters] == ["slow"] * 2


@BOTH
async def test_after_a_step_has_waited_for_an_event_the_bound_still_holds(overflow: Any):
    """A run without a bound takes its short way again when nobody waits any more."""

    class Waits(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | End:
            await ctx.wait_for_event(HumanResponseEvent)
            for n in range(4):
                ctx.send_event(Job(n=n))
            return End()

        @step(num_workers=1)
        async def work(self, ev: Job) -> None:
            await anyio.sleep(1)
            done.append(ev.n)

        @step
        async def end(self, ev: End) -> StopEvent[list[int]]:
            await anyio.sleep(10)
            return StopEvent(result=done)

    done: list[int] = []
    async with Waits(queue_size=1, overflow=overflow).run() as run:
        await anyio.sleep(1)
        run.send_event(HumanResponseEvent())
        await run
    assert len(dropped(run)) == 2


@BOTH
async def test_a_step_that_has_waited_and_waits_for_a_worker_to_go_on_is_neither_dropped_nor_counted(
    overflow: Any,
):
    class Waits(Workflow[list[str]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job | End]:
            return [*(Job(n=n) for n in range(3)), End()]

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Job) -> None:
            if ev.n == 0:
                await ctx.wait_for_event(HumanResponseEvent)
                log.append("goes on")
            await anyio.sleep(1)
            log.append(f"job {ev.n}")

        @step
        async def end(self, ev: End) -> StopEvent[list[str]]:
            await anyio.sleep(10)
            return StopEvent(result=log)

    log: list[str] = []
    async with Waits(queue_size=2, overflow=overflow).run() as run:
        await anyio.sleep(0.5)
        run.send_event(HumanResponseEvent())  # while the one worker is with the second job
        await anyio.sleep(0.125)
        for n in (3, 4):
            run.send_event(Job(n=n))
        assert run.queued == {"work": 3}
        assert (
            await run
            == {
                "drop_oldest": ["job 1", "goes on", "job 0", "job 3", "job 4"],
                "drop_newest": ["job 1", "job 2", "goes on", "job 0", "job 3"],
            }[overflow]
        )
    assert dropped(run) == {"drop_oldest": [2], "drop_newest": [4]}[overflow]


def test_a_row_and_a_deque_are_the_same_queue():
    row, queue = Row[str](), deque[str]()
    for text in "abcd":
        row.append(text)
        queue.append(text)
    row.remove("b")
    queue.remove("b")
    assert (row.popleft(), [*row], bool(row), "c" in row) == (queue.popleft(), [*queue], bool(queue), True)
