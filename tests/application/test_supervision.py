"""A member that is supervised and fails: what is begun anew, what is kept, what is told, and when it is enough."""

from __future__ import annotations

import contextlib
import gc
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
    Event,
    HumanResponseEvent,
    InternalError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto.retry import exponential, fixed, no_wait
from stretto.retry.waits import Wait
from stretto.supervision import Restart
from tests.application.programs import Answer, Ask, Boom, Oracle

pytestmark = pytest.mark.anyio


class Job(Event):
    n: int
    seconds: float = 1
    fails: bool = False


class Done(Event):
    n: int


class Boss(Workflow[list[int]]):
    """Sends what it is told to, each after so many seconds, and ends when as many have come back as it expects."""

    def __init__(self, jobs: Mapping[Any, list[Job]], expects: int, timeout: float | None = None) -> None:
        self.jobs = jobs
        self.expects = expects
        self.done: list[int] = []
        super().__init__(timeout=timeout)

    @step
    async def send(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[list[int]] | None:
        began = anyio.current_time()
        for at, jobs in self.jobs.items():
            await anyio.sleep(began + at - anyio.current_time())
            for job in jobs:
                ctx.send_event(job)
        return None if self.expects else StopEvent(result=[])

    @step
    async def gather(self, ev: Done) -> StopEvent[list[int]] | None:
        self.done.append(ev.n)
        return StopEvent(result=self.done) if len(self.done) >= self.expects else None


class Worker(Workflow):
    """Works on one job after the other."""

    def __init__(self, timeout: float | None = None, queue_size: int | None = None) -> None:
        self.log: list[tuple[float, str]] = []
        self.runs: dict[str, int] = {}
        self.began = anyio.current_time()
        super().__init__(timeout=timeout, queue_size=queue_size)

    def say(self, what: str) -> None:
        self.log.append((round(anyio.current_time() - self.began, 6), what))

    @step(num_workers=1)
    async def work(self, ctx: Context, ev: Job) -> Done:
        self.runs.setdefault(ctx.run_id, len(self.runs))
        seen = await ctx.store.get("seen", 0)
        await ctx.store.set("seen", seen + 1)
        self.say(f"{ev.n} begins in run {self.runs[ctx.run_id]}, {seen} before it")
        try:
            await anyio.sleep(ev.seconds)
            if ev.fails:
                raise Boom(str(ev.n))
        finally:
            self.say(f"{ev.n} ends")
        return Done(n=ev.n)


def jobs(*numbers: int, fails: tuple[int, ...] = (), seconds: float = 1) -> list[Job]:
    return [Job(n=n, seconds=seconds, fails=n in fails) for n in numbers]


def letters(app: Application) -> list[tuple[Any, str]]:
    return [(getattr(letter.event, "n", letter.event), letter.reason) for letter in app.dead_letters]


def drivers() -> Iterator[object]:
    return (each for each in gc.get_objects() if type(each).__name__ == "Driver")


@pytest.fixture
def quiet() -> Iterator[None]:
    """Nothing is logged: pytest would keep each failure with its traceback, and the run that is in there."""
    logging.getLogger("stretto").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("stretto").setLevel(logging.NOTSET)


IN_FLIGHT = "it was being handled when worker (Worker) failed with Boom('{}') and was restarted"


async def test_a_member_that_fails_is_begun_anew_and_what_it_had_not_begun_with_is_kept(
    caplog: pytest.LogCaptureFixture,
):
    boss, worker = Boss({0: jobs(0, 1, 2, 3, fails=(1,))}, expects=3), Worker()
    supervise = {"worker": Restart(backoff=fixed(5))}
    async with Application(boss=boss, worker=worker, supervise=supervise) as app:
        async with app.run("boss") as run:
            assert await run == [0, 2, 3]
        assert letters(app) == [(1, IN_FLIGHT.format(1))]
        assert [letter.member for letter in run.dead_letters] == ["worker"]
    assert worker.log == [
        (0, "0 begins in run 0, 0 before it"), (1, "0 ends"),
        (1, "1 begins in run 0, 1 before it"), (2, "1 ends"),
        (7, "2 begins in run 1, 0 before it"), (8, "2 ends"),
        (8, "3 begins in run 1, 1 before it"), (9, "3 ends"),
    ]  # fmt: skip
    (told, dead) = caplog.records
    assert told.getMessage() == (
        "boss (Boss): worker (Worker) failed with Boom('1') and is restarted in 5 s, restart 1 of 5 in 60 s"
    )
    assert told.exc_info is not None
    assert dead.getMessage().startswith(
        "Worker: dead letter Job(n=1, seconds=1, fails=True): it was being handled"
    )


async def test_who_is_not_named_fails_its_conversation_as_before():
    boss = Boss({0: jobs(0, 1, fails=(0,))}, expects=1)
    async with Application(boss=boss, worker=Worker(), supervise={"boss": Restart()}) as app:
        with pytest.raises(Boom) as caught:
            await app.run("boss")
    assert not any("restart" in note for note in caught.value.__notes__)


async def test_what_comes_during_the_backoff_waits_its_turn_behind_what_was_kept():
    boss = Boss({0: jobs(0, 1, 2, fails=(0,)), 3: jobs(3), 20: jobs(4)}, expects=4)
    worker = Worker()
    async with Application(boss=boss, worker=worker, supervise={"worker": Restart(backoff=fixed(9))}) as app:
        assert await app.run("boss") == [1, 2, 3, 4]
    begins = [(at, what.split(",")[0]) for at, what in worker.log if "begins" in what]
    assert begins == [
        (0, "0 begins in run 0"), (10, "1 begins in run 1"), (11, "2 begins in run 1"), (12, "3 begins in run 1"),
        (20, "4 begins in run 1"),
    ]  # fmt: skip


async def test_what_comes_during_the_backoff_is_kept_although_nothing_else_was():
    boss, worker = Boss({0: jobs(0, fails=(0,)), 3: jobs(1)}, expects=1), Worker()
    async with Application(boss=boss, worker=worker, supervise={"worker": Restart(backoff=fixed(9))}) as app:
        assert await app.run("boss") == [1]
    assert [at for at, what in worker.log if "begins" in what] == [0, 10]


async def test_a_mailbox_that_is_discarded_is_told_and_so_is_what_comes_before_the_restart():
    boss = Boss({0: jobs(0, 1, 2, fails=(0,)), 3: jobs(3), 10: jobs(4), 11: jobs(5)}, expects=2)
    supervise = {"worker": Restart(backoff=fixed(9), mailbox="discard")}
    async with Application(boss=boss, worker=Worker(), supervise=supervise) as app:
        assert await app.run("boss") == [4, 5]
        why = "worker (Worker) failed with Boom('0') and was restarted"
        assert letters(app) == [
            (1, f"it was queued when {why}, and its mailbox was discarded"),
            (2, f"it was queued when {why}, and its mailbox was discarded"),
            (0, f"it was being handled when {why}"),
            (3, "worker (Worker) is to be restarted in 7 s, and its mailbox is discarded"),
        ]


async def test_more_restarts_than_its_limit_in_the_period_fail_the_conversation_with_the_last_error():
    boss = Boss({0: jobs(0, 1, 2, 3, fails=(0, 1, 2))}, expects=1)
    supervise = {"worker": Restart(backoff=fixed(1), limit=2, period=30)}
    async with Application(boss=boss, worker=Worker(), supervise=supervise) as app:
        with pytest.raises(Boom) as caught:
            await app.run("boss")
        assert str(caught.value) == "2"
        assert sorted(n for n, _ in letters(app)) == [0, 1, 3]  # and the error says what 2 has come to
    notes = caught.value.__notes__
    assert [note for note in notes if "restart" in note] == [
        "worker (Worker) is not restarted: it was restarted 2 x in 30 s, and that is its limit",
        "before that, worker (Worker) was restarted after Boom('0')",
        "before that, worker (Worker) was restarted after Boom('1')",
    ]
    assert "in worker (Worker), which works for boss (Boss)" in notes
    assert any("Worker.work" in note and "Job(n=2" in note for note in notes)


async def test_failures_that_are_far_enough_from_each_other_are_never_too_many():
    boss = Boss({10.0 * n: jobs(n, fails=(n,)) for n in range(20)} | {300: jobs(99)}, expects=1)
    supervise = {"worker": Restart(backoff=exponential(1, factor=9, maximum=99), limit=1, period=10)}
    async with Application(boss=boss, worker=Worker(), supervise=supervise) as app:
        assert await app.run("boss") == [99]
        assert [n for n, _ in letters(app)] == list(range(20))


async def test_the_restarts_of_one_conversation_are_nothing_to_another():
    results: dict[int, Any] = {}

    class Calls(Workflow[list[int]]):
        @step
        async def send(self, ctx: Context, ev: StartEvent) -> Job | None:
            for job in jobs(0, 1, 2, fails=(0, 1) if ev.bad else ()):
                ctx.send_event(job)

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent[list[int]] | None:
            return StopEvent(result=[ev.n]) if ev.n == 2 else None

    supervise = {"worker": Restart(backoff=fixed(1), limit=1)}
    async with Application(calls=Calls(), worker=Worker(), supervise=supervise) as app:

        async def call(number: int, bad: bool) -> None:
            try:
                results[number] = await app.run("calls", bad=bad)
            except Boom as error:
                results[number] = error

        async with anyio.create_task_group() as tg:
            for number in range(4):
                tg.start_soon(call, number, number == 1)
    assert isinstance(results.pop(1), Boom)
    assert results == {0: [2], 2: [2], 3: [2]}


# -- what is at work when it fails -----------------------------------------------------------------------------


class Pair(Workflow):
    """Works on several jobs at once; what is cut takes a while to clean up."""

    def __init__(self, clean_up: float = 4) -> None:
        self.clean_up = clean_up
        self.log: list[str] = []
        super().__init__(timeout=None)

    @step(num_workers=3)
    async def work(self, ev: Job) -> Done:
        self.log.append(f"begin {ev.n}")
        try:
            await anyio.sleep(ev.seconds)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(self.clean_up)
            self.log.append(f"cut {ev.n} at {anyio.current_time():.0f}")
            raise
        if ev.fails:
            raise Boom(str(ev.n))
        self.log.append(f"end {ev.n}")
        return Done(n=ev.n)


@pytest.mark.parametrize(("backoff", "at"), [(2, 5), (7, 8)])
async def test_the_new_run_begins_when_the_old_one_has_cleaned_up_and_the_backoff_is_over(
    backoff: int, at: int
):
    pair, began = Pair(), anyio.current_time()
    sent = [Job(n=0, fails=True), Job(n=1, seconds=9), Job(n=2, seconds=9), Job(n=3, seconds=0)]
    boss = Boss({0: sent}, expects=1)
    async with Application(boss=boss, pair=pair, supervise={"pair": Restart(backoff=fixed(backoff))}) as app:
        assert await app.run("boss") == [3]
        assert anyio.current_time() - began == pytest.approx(at)
        assert sorted(n for n, _ in letters(app)) == [0, 1, 2]
    assert pair.log[-2:] == ["begin 3", "end 3"]


async def test_a_step_that_ends_all_the_same_is_not_in_flight_and_what_it_returns_is_told():
    class Stubborn(Workflow):
        @step
        async def work(self, ev: Job) -> Done:
            with contextlib.suppress(BaseException):  # what is tested
                await anyio.sleep(ev.seconds)
            if ev.fails:
                raise Boom(str(ev.n))
            return Done(n=ev.n)

    boss = Boss({0: [Job(n=0, fails=True), Job(n=1, seconds=9)], 3: jobs(2)}, expects=1)
    async with Application(
        boss=boss, worker=Stubborn(), supervise={"worker": Restart(backoff=no_wait())}
    ) as app:
        assert await app.run("boss") == [2]
        told = [(letter.event, letter.reason.split(" when ")[0]) for letter in app.dead_letters]
    assert told == [
        (Job(n=0, fails=True), "it was being handled"),
        (Done(n=1), "it was not used"),
    ]


async def test_what_was_half_collected_is_told_and_the_new_run_collects_from_nothing():
    class Half(Event):
        n: int

    class Sends(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Half | Job | None:
            ctx.send_event(Half(n=0))
            await anyio.sleep(1)
            ctx.send_event(Job(n=1, seconds=0, fails=True))
            await anyio.sleep(1)
            for n in (2, 3):
                ctx.send_event(Half(n=n))

        @step
        async def end(self, ev: Done) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    class Collects(Worker):
        @step
        async def collect(self, ctx: Context, ev: Half) -> Done | None:
            batch = ctx.collect_events(ev, [Half] * 2)
            return None if batch is None else Done(n=sum(each.n for each in batch))

    supervise = {"worker": Restart(backoff=no_wait())}
    async with Application(sends=Sends(), worker=Collects(), supervise=supervise) as app:
        assert await app.run("sends") == 5
        why = "when worker (Collects) failed with Boom('1') and was restarted"
        assert letters(app) == [(1, f"it was being handled {why}"), (0, f"it was not used {why}")]


async def test_a_run_that_is_past_its_own_time_limit_has_failed():
    boss, worker = Boss({0: [Job(n=0, seconds=99), *jobs(1, 2)]}, expects=2), Worker(timeout=3)
    async with Application(boss=boss, worker=worker, supervise={"worker": Restart(backoff=fixed(10))}) as app:
        assert await app.run("boss") == [1, 2]
        ((_, why),) = letters(app)
    assert why.startswith("it was being handled when worker (Worker) failed with WorkflowTimeoutError(")
    assert [at for at, what in worker.log if "begins" in what] == [0, 13, 14]


# -- where events go -------------------------------------------------------------------------------------------


async def test_what_comes_back_for_the_run_that_has_failed_is_for_the_new_one():
    class Query(Event):
        n: int

    class Found(Event):
        n: int

    class Shop(Workflow):
        @step
        async def work(self, ev: Job) -> Query:
            return Query(n=ev.n)

        @step
        async def stumble(self, ev: Ask) -> None:
            raise Boom

        @step
        async def found(self, ctx: Context, ev: Found) -> Done:
            return Done(n=ev.n)

    class Store(Workflow):
        @step
        async def look(self, ev: Query) -> Found:
            await anyio.sleep(5)
            return Found(n=10 * ev.n)

    class Sends(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Ask | None:
            ctx.send_event(Job(n=1))
            await anyio.sleep(1)
            ctx.send_event(Ask())
            await anyio.sleep(0.5)
            ctx.send_event(Ask())

        @step
        async def end(self, ev: Done) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    supervise = {"shop": Restart(backoff=no_wait())}
    async with Application(a=Sends(), shop=Shop(), store=Store(), supervise=supervise) as app:
        assert await app.run("a") == 10
        assert [type(letter.event) for letter in app.dead_letters] == [Ask, Ask]


async def test_what_no_member_takes_is_kept_for_a_wait_of_the_new_run():
    class Loose(Event):
        n: int

    class Waits(Workflow):
        @step
        async def work(self, ctx: Context, ev: Job) -> Ask | Done:
            if ev.fails:
                ctx.send_event(Ask(n=1))
                await anyio.sleep(1)
                raise Boom
            kind: type[Event] = Loose
            got: Any = await ctx.wait_for_event(kind)
            return Done(n=got.n)

    class Tells(Workflow):
        @step
        async def tell(self, ctx: Context, ev: Ask) -> Loose | None:
            await anyio.sleep(ev.seconds + 1)
            return Loose(n=7)

    boss = Boss({0: [Job(n=0, fails=True)], 9: [Job(n=1)]}, expects=1)
    supervise = {"waits": Restart(backoff=no_wait())}
    async with Application(boss=boss, waits=Waits(), tells=Tells(), supervise=supervise) as app:
        assert await app.run("boss") == [7]


async def test_each_key_has_a_run_of_its_own_and_the_others_are_not_touched():
    worker = Worker()
    sent = {0: jobs(0, 2, fails=(0,)), 0.25: [Job(n=1, seconds=5), Job(n=3)], 9: jobs(4)}
    app = Application(
        boss=Boss(sent, expects=4), worker=worker, supervise={"worker": Restart(backoff=fixed(2))}
    )
    app.connect(Job, key=lambda ev: ev.n % 2)
    async with app:
        assert await app.run("boss") == [2, 1, 3, 4]
        assert [n for n, _ in letters(app)] == [0]
    begins = [(at, what.split(",")[0]) for at, what in worker.log if "begins" in what]
    assert begins == [
        (0, "0 begins in run 0"), (0.25, "1 begins in run 1"), (3, "2 begins in run 2"), (5.25, "3 begins in run 1"),
        (9, "4 begins in run 2"),
    ]  # fmt: skip


async def test_the_successor_of_a_run_that_was_closed_finishes_what_that_took_in_and_the_next_one_is_not_hurt():
    class Closes(Workflow):
        log: list[str] = []  # noqa: RUF012

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Job) -> Done | StopEvent[int]:
            await anyio.sleep(ev.seconds)
            self.log.append(f"{ev.n} in {ctx.run_id}")
            if ev.fails:
                raise Boom(str(ev.n))
            return StopEvent(result=ev.n) if ev.n in {0, 2} else Done(n=ev.n)

    sent = {0: jobs(0, 1, 2, fails=(1,)), 1.5: [Job(n=3, seconds=5)], 6: jobs(4)}
    closes = Closes()
    async with Application(
        boss=Boss(sent, expects=2), closes=closes, supervise={"closes": Restart(backoff=fixed(2))}
    ) as app:
        assert await app.run("boss") == [3, 4]
        assert [letter.event for letter in app.dead_letters] == [
            Job(n=1, fails=True),
            StopEvent(result=2),  # it had been closed by the first one
        ]
    runs = [line.split()[-1] for line in sorted(closes.log)]
    assert runs[0] == runs[1]
    assert runs[3] == runs[4]
    assert len(set(runs)) == 3


@pytest.mark.usefixtures("quiet")
async def test_closed_runs_that_fail_with_nothing_left_leave_nothing():
    class Closes(Workflow):
        @step
        async def work(self, ev: Job) -> StopEvent[int]:
            return StopEvent(result=ev.n)

        @step
        async def stumble(self, ev: Job) -> None:
            await anyio.sleep(1)
            raise Boom

    class Sends(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int] | Job:
            for n in range(40):
                ctx.send_event(Job(n=n))
                await anyio.sleep(2)
            gc.collect()
            return StopEvent(result=sum(1 for _ in drivers()))

    supervise = {"closes": Restart(backoff=no_wait(), limit=99)}
    async with Application(sends=Sends(timeout=None), closes=Closes(), supervise=supervise) as app:
        assert await app.run("sends") <= 3
        assert len(app.dead_letters) == 40


# -- those that were declared after it -------------------------------------------------------------------------


class Part(Event):
    n: int


def rest_for_one(log: list[str], **more: Any) -> Application:  # noqa: C901 - five members
    class Line(Workflow):
        """Counts what it was given."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__(timeout=None)

        async def count(self, ctx: Context, seconds: float) -> None:
            n = await ctx.store.get("n", 0) + 1
            await ctx.store.set("n", n)
            try:
                await anyio.sleep(seconds)
            except BaseException:
                log.append(f"{self.name} is cut")
                raise
            log.append(f"{self.name} {n}")

    class First(Line):
        @step
        async def work(self, ctx: Context, ev: Ask) -> None:
            await self.count(ctx, 1)

    class Second(Line):
        @step
        async def work(self, ctx: Context, ev: Job) -> None:
            await self.count(ctx, ev.seconds)
            if ev.fails:
                raise Boom

    class Third(Line):
        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Part) -> None:
            await self.count(ctx, 3)

    class Fourth(Line):
        @step
        async def work(self, ctx: Context, ev: Done) -> None:
            await self.count(ctx, 9 if ev.n == 1 else 0)

    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Ask | Job | Part | Done:
            for event in (Ask(), Job(n=0, fails=True), Part(n=1), Part(n=2), Done(n=0)):
                ctx.send_event(event)
            await anyio.sleep(0.5)
            ctx.send_event(Done(n=1))
            await anyio.sleep(20)
            for event in (Ask(), Job(n=1), Part(n=3), Done(n=2)):
                ctx.send_event(event)
            return StopEvent(result="sent")

    return Application(
        sends=Sends(timeout=None),
        first=First("first"),
        second=Second("second"),
        third=Third("third"),
        fourth=Fourth("fourth"),
        **more,
    )


async def test_rest_for_one_restarts_the_members_that_were_declared_after_it_and_no_other():
    log: list[str] = []
    policy = Restart(backoff=fixed(2), strategy="rest_for_one")
    async with rest_for_one(log, supervise={"second": policy}) as app:
        assert await app.run("sends") == "sent"
        told = [
            (type(each.event).__name__, getattr(each.event, "n", None), each.reason)
            for each in app.dead_letters
        ]
    why = "was restarted, because second (Second) failed"
    assert sorted(told) == [
        ("Done", 1, f"it was being handled when fourth (Fourth) {why}"),
        ("Job", 0, "it was being handled when second (Second) failed with Boom() and was restarted"),
        ("Part", 1, f"it was being handled when third (Third) {why}"),
    ]
    assert sorted(log) == [
        "first 1", "first 2", "fourth 1", "fourth 1", "fourth is cut", "second 1", "second 1", "third 1", "third 2",
        "third is cut",
    ]  # fmt: skip


async def test_rest_for_one_keeps_or_discards_the_mailbox_of_each_as_that_declares():
    log: list[str] = []
    policy = Restart(backoff=fixed(2), strategy="rest_for_one")
    discards = Restart(mailbox="discard")
    async with rest_for_one(log, supervise={"second": policy, "third": discards}) as app:
        assert await app.run("sends") == "sent"
        told = {n: reason for n, reason in letters(app) if "queued" in reason}
    assert told == {
        2: "it was queued when third (Third) was restarted, because second (Second) failed, and its mailbox was "
        "discarded"
    }


async def test_rest_for_one_reaches_a_member_that_waits_for_its_own_restart():
    class Fails(Workflow):
        def __init__(self, at: float) -> None:
            self.at = at
            self.log: list[float] = []
            super().__init__(timeout=None)

        async def work(self) -> None:
            self.log.append(anyio.current_time())
            if len(self.log) == 1:
                await anyio.sleep(self.at)
                raise Boom

    class One(Fails):
        @step(num_workers=1)
        async def take(self, ev: Job) -> None:
            await self.work()

    class Two(Fails):
        @step(num_workers=1)
        async def take(self, ev: Part) -> None:
            await self.work()

    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Job | Part:
            for n in range(2):
                ctx.send_event(Job(n=n))
                ctx.send_event(Part(n=n))
            return StopEvent(result="sent")

    began, one, two = anyio.current_time(), One(2), Two(1)
    supervise = {
        "one": Restart(backoff=fixed(5), strategy="rest_for_one"),
        "two": Restart(backoff=fixed(3)),
    }
    async with Application(sends=Sends(), one=one, two=two, supervise=supervise) as app:
        assert await app.run("sends") == "sent"
        assert sorted(n for n, _ in letters(app)) == [0, 0]
    assert [at - began for at in one.log] == [0, 7]
    assert [at - began for at in two.log] == [0, 7]  # and not at 4, when its own backoff is over


async def test_rest_for_one_restarts_one_that_was_restarted_before_and_one_that_has_nothing_to_do():
    class Half(Event):
        n: int

    class Collects(Workflow):
        @step
        async def collect(self, ctx: Context, ev: Half) -> None:
            batch = ctx.collect_events(ev, [Half] * 2)
            if batch is not None:
                collected.append([each.n for each in batch])

    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Half | Job | Ask:
            ctx.send_event(Half(n=1))
            ctx.send_event(Job(n=1, seconds=1, fails=True))
            await anyio.sleep(2)
            ctx.send_event(Job(n=2, seconds=9))
            ctx.send_event(Ask())
            await anyio.sleep(2)
            ctx.send_event(Half(n=2))
            ctx.send_event(Half(n=3))
            return StopEvent(result="sent")

    class First(Workflow):
        @step
        async def work(self, ev: Ask) -> None:
            await anyio.sleep(1)
            raise Boom

    class Second(Pair):
        @step
        async def hear(self, ev: Done) -> None: ...

    collected: list[list[int]] = []
    second = Second(clean_up=0)
    supervise = {
        "first": Restart(backoff=no_wait(), strategy="rest_for_one"),
        "second": Restart(backoff=no_wait()),
    }
    async with Application(
        sends=Sends(), first=First(), second=second, collects=Collects(), supervise=supervise
    ) as app:
        assert await app.run("sends") == "sent"
        told = {
            (type(each.event).__name__, getattr(each.event, "n", None)): each.reason
            for each in app.dead_letters
        }
    assert told.keys() == {("Job", 1), ("Ask", 0), ("Job", 2), ("Half", 1)}
    assert (
        told["Half", 1]
        == "it was not used when collects (Collects) was restarted, because first (First) failed"
    )
    assert collected == [[2, 3]]


# -- how the conversation ends ---------------------------------------------------------------------------------


async def test_the_drain_waits_for_what_was_kept_and_not_for_a_backoff_that_nothing_waits_for():
    for sent, seconds in ((jobs(0, 1, fails=(0,)), 9), (jobs(0, fails=(0,)), 1)):
        worker, began = Worker(), anyio.current_time()
        supervise = {"worker": Restart(backoff=fixed(7))}
        async with Application(boss=Boss({0: sent}, expects=0), worker=worker, supervise=supervise) as app:
            assert await app.run("boss") == []
            assert anyio.current_time() - began == pytest.approx(seconds)
            assert (0, IN_FLIGHT.format(0)) in letters(app)


async def test_what_is_kept_is_cut_and_told_if_that_is_asked_for():
    class Quits(Boss):
        @step
        async def quit(self, ev: Ask) -> StopEvent[list[int]]:
            await anyio.sleep(3)
            return StopEvent(result=[])

    class Both(Quits):
        @step
        async def begin(self, ev: StartEvent) -> Ask:
            return Ask()

    supervise = {"worker": Restart(backoff=fixed(7))}
    app = Application(
        boss=Both({0: jobs(0, 1, fails=(0,))}, expects=9),
        worker=Worker(),
        on_stop="cancel",
        supervise=supervise,
    )
    async with app:
        assert await app.run("boss") == []
        assert [n for n, _ in letters(app)] == [0, 1]


async def test_the_deadline_of_the_conversation_holds_during_the_backoff_and_says_what_had_failed():
    boss = Boss({0: jobs(0, 1, fails=(0,)), 50: []}, expects=1, timeout=9)
    began = anyio.current_time()
    async with Application(
        boss=boss, worker=Worker(), supervise={"worker": Restart(backoff=fixed(7.5))}
    ) as app:
        with pytest.raises(WorkflowTimeoutError) as caught:
            await app.run("boss")
        assert anyio.current_time() - began == pytest.approx(9)
        assert sorted(n for n, _ in letters(app)) == [0]  # and 1 was at work again
    assert "worker (Worker) was restarted after Boom('0')" in caught.value.__notes__


async def test_a_deadline_during_the_backoff_tells_what_waits_for_it():
    class Impatient(Boss):
        @step
        async def soon(self, ev: Ask) -> StopEvent[list[int]]:
            await anyio.sleep_forever()
            return StopEvent(result=[])

    class Outer(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Job | None:
            for job in jobs(0, 1, 2, fails=(0,)):
                ctx.send_event(job)
            await anyio.sleep(0.5)
            await ctx.sleep(1.5)
            raise Boom("outer")

    supervise = {"worker": Restart(backoff=fixed(7))}
    async with Application(outer=Outer(), worker=Worker(), supervise=supervise) as app:
        with pytest.raises(Boom, match="outer"):
            await app.run("outer")
        assert sorted(n for n, _ in letters(app)) == [0, 1, 2]


async def test_a_restart_that_would_come_after_the_deadline_is_none():
    boss = Boss({0: jobs(0, 1, fails=(0,))}, expects=1, timeout=8)
    began = anyio.current_time()
    async with Application(
        boss=boss, worker=Worker(), supervise={"worker": Restart(backoff=fixed(7))}
    ) as app:
        with pytest.raises(Boom) as caught:
            await app.run("boss")
        assert anyio.current_time() - began == pytest.approx(1)
    assert (
        "worker (Worker) is not restarted: its restart, 7 s later, would be at or after the deadline of its "
        "conversation" in caught.value.__notes__
    )


async def test_who_is_cancelled_during_the_backoff_leaves_nothing_and_tells_what_was_kept():
    boss = Boss({0: jobs(0, 1, 2, fails=(0,))}, expects=2)
    async with Application(
        boss=boss, worker=Worker(), supervise={"worker": Restart(backoff=fixed(7))}
    ) as app:
        async with app.run("boss") as run:
            await anyio.sleep(4)
            await run.cancel()
            with pytest.raises(WorkflowCancelledError):
                await run
        assert [n for n, _ in letters(app)] == [0, 1, 2]
        with anyio.move_on_after(4):
            await app.run("boss")
        assert [n for n, _ in letters(app)][3:] == [0, 1, 2]


async def test_a_conversation_whose_only_event_was_in_flight_is_stuck_at_once_and_says_what_had_failed():
    boss, began = Boss({0: jobs(0, fails=(0,))}, expects=1), anyio.current_time()
    async with Application(
        boss=boss, worker=Worker(), supervise={"worker": Restart(backoff=fixed(7))}
    ) as app:
        with pytest.raises(WorkflowStalledError) as caught:
            await app.run("boss")
    assert anyio.current_time() - began == pytest.approx(1)
    assert caught.value.__notes__ == [
        "worker (Worker) was restarted after Boom('0')",
        "worker (Worker) is to be restarted in 7 s, and 0 events wait for it",
    ]


async def test_what_a_restart_tells_is_no_error_where_dead_letters_are():
    boss = Boss({0: jobs(0, 1, fails=(0,))}, expects=1)
    supervise = {"worker": Restart(backoff=no_wait())}
    app = Application(boss=boss, worker=Worker(), supervise=supervise, dead_letters="error")
    async with app:
        assert await app.run("boss") == [1]
        assert len(app.dead_letters) == 1


# -- which errors ----------------------------------------------------------------------------------------------


async def test_only_what_on_is_true_of_is_worth_a_restart():
    for on, lives in ((Boom, True), (lambda error: str(error) == "0", True), (OSError, False)):
        boss = Boss({0: jobs(0, 1, fails=(0,))}, expects=1)
        supervise = {"worker": Restart(backoff=no_wait(), on=on)}
        async with Application(boss=boss, worker=Worker(), supervise=supervise) as app:
            if lives:
                assert await app.run("boss") == [1]
            else:
                with pytest.raises(Boom):
                    await app.run("boss")


def raises(error: Exception) -> bool:
    raise LookupError("broken")


async def later(error: Exception) -> bool:
    return True


class Broken(Wait):
    def seconds(self, attempt: int, draw: float) -> float:
        raise LookupError("broken")


@pytest.mark.parametrize(
    ("restart", "says"),
    [
        (Restart(on=raises), "LookupError('broken')"),
        (Restart(on=lambda error: {}[error]), "KeyError(Boom('0'))"),
        (Restart(on=lambda _: next(iter(()))), "RuntimeError('<lambda> ("),
        (Restart(on=lambda error: later(error) or None), "TypeError('<lambda> (test_supervision.py:"),
        (Restart(backoff=Broken()), "LookupError('broken')"),
    ],
)
async def test_a_predicate_that_fails_is_told_as_that_and_the_member_fails_as_without_a_policy(
    restart: Restart, says: str, caplog: pytest.LogCaptureFixture
):
    """It was told as another step that had failed."""
    boss = Boss({0: jobs(0, 1, fails=(0,))}, expects=1)
    async with Application(boss=boss, worker=Worker(), supervise={"worker": restart}) as app:
        with pytest.raises(Boom, match="0") as caught:
            await app.run("boss")
    told = "worker (Worker) is not restarted: its Restart was asked about this, and raised "
    (note,) = [note for note in caught.value.__notes__ if "Restart" in note]
    assert note.startswith(told + says)
    assert not any("another step failed" in note for note in caught.value.__notes__)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    gc.collect()  # a coroutine that nobody awaited would warn


async def test_a_predicate_that_fails_is_asked_once_although_steps_end_after_the_failure():
    asked: list[Exception] = []

    def fails(error: Exception) -> bool:
        asked.append(error)
        raise LookupError

    class Slow(Workflow):
        @step
        async def work(self, ev: Job) -> Done:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(ev.seconds)
            return Done(n=ev.n)

    boss = Boss({0: [Job(n=0, seconds=2), Job(n=1, seconds=3)]}, expects=1)
    async with Application(boss=boss, slow=Slow(timeout=1), supervise={"slow": Restart(on=fails)}) as app:
        with pytest.raises(WorkflowTimeoutError, match="Slow timed out"):
            await app.run("boss")
    assert len(asked) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_ctrl_c_in_a_predicate_ends_the_conversation(kind: type[BaseException]):
    def interrupted(error: Exception) -> bool:
        raise kind

    boss = Boss({0: jobs(0, 1, fails=(0,))}, expects=1)
    async with Application(boss=boss, worker=Worker(), supervise={"worker": Restart(on=interrupted)}) as app:
        with pytest.raises(kind) as caught:
            await app.run("boss")
    assert "raised when a restart of worker (Worker) was asked about Boom('0')" in caught.value.__notes__


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_ctrl_c_and_an_exit_are_never_outlived(kind: type[BaseException]):
    class Exits(Workflow):
        @step
        async def leave(self, ev: Ask) -> None:
            raise kind

    class Sends(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask:
            return Ask()

    async with Application(sends=Sends(), exits=Exits(), supervise={"exits": Restart()}) as app:
        with pytest.raises(kind):
            await app.run("sends")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, InternalError])
async def test_whoever_says_that_all_errors_are_worth_a_restart_does_not_mean_these(
    kind: type[BaseException],
):
    class Exits(Worker):
        @step
        async def leave(self, ev: Ask) -> None:
            raise kind("it")

    class Asks(Boss):
        @step
        async def begin(self, ev: StartEvent) -> Ask:
            return Ask()

    supervise = {"exits": Restart(on=lambda _: True)}
    async with Application(asks=Asks({}, 1), exits=Exits(), supervise=supervise) as app:
        with pytest.raises(kind):
            await app.run("asks")


async def test_a_failure_that_was_too_many_stays_that_although_its_siblings_end_when_it_would_not_be():
    class Stubborn(Workflow):
        @step
        async def work(self, ev: Job) -> Done:
            try:
                await anyio.sleep(ev.seconds)
            except BaseException:  # noqa: BLE001 - what is tested
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(5)
            if ev.fails:
                raise Boom(str(ev.n))
            return Done(n=ev.n)

    boss = Boss({0: jobs(0, seconds=9), 7: jobs(1, 2, seconds=9)}, 1)
    supervise = {"stubborn": Restart(backoff=no_wait(), limit=1, period=10)}
    async with Application(boss=boss, stubborn=Stubborn(timeout=1.5), supervise=supervise) as app:
        with pytest.raises(WorkflowTimeoutError, match=r"^Stubborn timed out"):
            await app.run("boss")


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("supervise", [None, {"messy": Restart(backoff=no_wait())}])
async def test_a_clean_up_that_fails_in_a_cancellation_is_as_without_supervision(supervise: Any, done: bool):
    class Messy(Workflow):
        @step
        async def work(self, ev: Job) -> Done:
            try:
                await anyio.sleep_forever()
            finally:
                raise Boom(str(ev.n))

    async with Application(boss=Boss({0: jobs(0)}, not done), messy=Messy(), supervise=supervise) as app:
        for _ in range(12):  # as trio shuffles who is cancelled first
            with anyio.move_on_after(2), pytest.raises(Boom):
                await app.run("boss")


@pytest.mark.parametrize("supervise", [None, {"slow": Restart(backoff=no_wait())}])
async def test_what_is_cut_after_the_result_and_late_to_clean_up_is_as_without_supervision(
    supervise: Any, caplog: pytest.LogCaptureFixture
):
    class Slow(Workflow):
        @step
        async def work(self, ev: Job) -> Done:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(9)
            return Done(n=ev.n)

    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Job:
            ctx.send_event(Job(n=0))
            await anyio.sleep(1)
            return StopEvent(result="sent")

        @step
        async def end(self, ev: Done) -> None: ...

    app = Application(sends=Sends(), slow=Slow(timeout=3), on_stop="cancel", supervise=supervise)
    async with app:
        assert await app.run("sends") == "sent"
    assert not any("is restarted" in record.getMessage() for record in caplog.records)


async def test_ctrl_c_in_the_clean_up_of_one_that_is_replaced_is_not_outlived_either():
    class Exits(Workflow):
        @step
        async def work(self, ev: Job) -> Done:
            if ev.fails:
                await anyio.sleep(1)
                raise Boom
            try:
                await anyio.sleep(9)
            except BaseException:  # noqa: BLE001 - what is tested
                raise KeyboardInterrupt from None
            return Done(n=ev.n)

    boss = Boss({0: jobs(0, 1, fails=(0,))}, expects=1)
    async with Application(boss=boss, exits=Exits(), supervise={"exits": Restart()}) as app:
        with pytest.raises(KeyboardInterrupt):
            await app.run("boss")


async def test_a_sibling_that_fails_in_its_clean_up_is_outlived_with_the_failure():
    class Messy(Workflow):
        @step
        async def work(self, ev: Job) -> Done:
            try:
                await anyio.sleep(ev.seconds)
            except BaseException:  # noqa: BLE001 - what is tested
                raise LookupError from None
            if ev.fails:
                raise Boom
            return Done(n=ev.n)

    boss = Boss({0: [Job(n=0, fails=True), Job(n=1, seconds=9)], 3: jobs(2)}, expects=1)
    async with Application(boss=boss, messy=Messy(), supervise={"messy": Restart(backoff=no_wait())}) as app:
        assert await app.run("boss") == [2]
        assert sorted(n for n, _ in letters(app)) == [0, 1]


# -- calls -----------------------------------------------------------------------------------------------------


async def test_a_run_that_was_called_is_its_callers_business():
    worker = Worker()
    async with Application(boss=Boss({}, 1), worker=worker, supervise={"worker": Restart()}) as app:
        with pytest.raises(Boom):
            await app.run("worker", Job(n=0, fails=True))
    assert len(worker.runs) == 1


class Asks(Workflow[list[object]]):
    """Sends a job that fails after a second, and one more, and asks the same member meanwhile, again and again."""

    def __init__(self, *asks: Ask, timeout: float | None = None) -> None:
        self.asks = asks
        self.limit = timeout
        super().__init__(timeout=None)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[list[object]] | Ask | Job:
        ctx.send_event(Job(n=0, fails=True))
        ctx.send_event(Job(n=1))
        got: list[object] = []
        for ask in self.asks:
            began = anyio.current_time()
            try:
                answer: object = (await ctx.request(ask, Answer, timeout=self.limit)).n
            except Exception as error:  # noqa: BLE001 - it is looked at
                answer = error
            got.append((answer, round(anyio.current_time() - began, 6)))
        return StopEvent(result=got)


class Both(Oracle):
    """Answers, and works."""

    def __init__(self) -> None:
        self.began = anyio.current_time()
        super().__init__(timeout=None)

    @step(num_workers=1)
    async def work(self, ev: Job) -> None:
        self.log.append(f"work {ev.n} at {anyio.current_time() - self.began:.0f}")
        await anyio.sleep(ev.seconds)
        if ev.fails:
            raise Boom


async def test_who_has_asked_is_given_the_error_and_who_asks_during_the_backoff_waits_for_its_end():
    both = Both()
    asks = Asks(Ask(n=1, seconds=2, fails=True), Ask(n=2, seconds=2), Ask(n=3, seconds=1))
    async with Application(asks=asks, both=both, supervise={"both": Restart(backoff=fixed(9))}) as app:
        (error, first), second, third = await app.run("asks")
        assert [type(letter.event) for letter in app.dead_letters] == [Job]
    assert isinstance(error, Boom)
    assert first == 2
    assert second == (20, 10)  # eight of the backoff, which began at 1, and two of its own
    assert third == (30, 1)
    assert [line for line in both.log if "work" in line] == ["work 0 at 0", "work 1 at 10"]


@pytest.mark.parametrize(("limit", "answer"), [(5, None), (9, None), (11, 20)])
async def test_the_time_limit_of_a_request_holds_during_the_backoff(limit: float, answer: int | None):
    asks = Asks(Ask(n=1, seconds=2), Ask(n=2, seconds=2), timeout=limit)
    async with Application(asks=asks, both=Both(), supervise={"both": Restart(backoff=fixed(9))}) as app:
        _, (got, seconds) = await app.run("asks")
    assert seconds == min(limit, 10)
    if answer is None:
        assert isinstance(got, WorkflowTimeoutError)
        assert ("which was to be restarted first" in str(got)) is (limit == 5)
    else:
        assert got == answer


async def test_who_asks_a_member_whose_mailbox_is_discarded_during_the_backoff_is_told_at_once():
    asks = Asks(Ask(n=1, seconds=2), Ask(n=2, seconds=2))
    supervise = {"both": Restart(backoff=fixed(9), mailbox="discard")}
    async with Application(asks=asks, both=Both(), supervise=supervise) as app:
        _, (got, seconds) = await app.run("asks")
    assert re.fullmatch(
        r"Asks\.begin \(\S+\) asks a member that is not there: both \(Both\) is to be restarted in 8 s, and its "
        r"mailbox is discarded",
        str(got),
    )
    assert seconds == 0


async def test_who_asks_when_the_backoff_is_over_is_answered_although_the_new_run_has_had_nothing_to_do():
    asks = Asks(Ask(n=1, seconds=12), Ask(n=2, seconds=1))
    supervise = {"both": Restart(backoff=fixed(9), mailbox="discard")}
    async with Application(asks=asks, both=Both(), supervise=supervise) as app:
        assert await app.run("asks") == [(10, 12), (20, 1)]


async def test_who_asks_another_member_during_the_backoff_does_not_wait():
    class Fails(Workflow):
        @step
        async def work(self, ev: Job) -> None:
            if ev.fails:
                raise Boom
            await anyio.sleep(ev.seconds)

    asks = Asks(Ask(n=1, seconds=2), Ask(n=2, seconds=1))
    supervise = {"fails": Restart(backoff=fixed(9))}
    async with Application(asks=asks, fails=Fails(), oracle=Oracle(), supervise=supervise) as app:
        assert await app.run("asks") == [(10, 2), (20, 1)]


async def test_who_is_cancelled_while_its_request_waits_for_a_restart_has_asked_nobody():
    both = Both()
    asks = Asks(Ask(n=1, seconds=2), Ask(n=2))
    async with Application(asks=asks, both=both, supervise={"both": Restart(backoff=fixed(9))}) as app:
        with anyio.move_on_after(6):
            await app.run("asks")
    assert [line for line in both.log if "asked" in line] == ["asked 1"]


async def test_a_member_is_restarted_in_the_conversation_of_a_request_too():
    class Asks(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int] | Ask:
            return StopEvent(result=(await ctx.request(Ask(n=1), Answer, timeout=20)).n)

    class Delegates(Workflow):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Job | None:
            ctx.send_event(Job(n=1, fails=True))
            ctx.send_event(Job(n=2))

        @step
        async def tell(self, ev: Done) -> Answer:
            return Answer(n=ev.n)

    supervise = {"worker": Restart(backoff=fixed(5))}
    async with Application(asks=Asks(), delegates=Delegates(), worker=Worker(), supervise=supervise) as app:
        assert await app.run("asks") == 2
        assert await app.request(Ask(n=1), Answer) == Answer(n=2)


async def test_a_request_of_a_step_that_is_cut_is_cancelled_before_the_restart():
    class Asks(Workflow):
        log: list[str] = []  # noqa: RUF012

        @step
        async def work(self, ctx: Context, ev: Job) -> Ask | Done:
            if ev.fails:
                await anyio.sleep(ev.seconds)
                raise Boom
            if ev.n == 1:
                await ctx.request(Ask(n=5, seconds=99), Answer)
            return Done(n=ev.n)

    oracle, sent = Oracle(), {0: jobs(0, 1, fails=(0,)), 2: jobs(2)}
    supervise = {"asks": Restart(backoff=no_wait())}
    async with Application(
        boss=Boss(sent, expects=1), asks=Asks(), oracle=oracle, supervise=supervise
    ) as app:
        assert await app.run("boss") == [2]
        assert sorted(n for n, _ in letters(app)) == [0, 1]
    assert oracle.log == ["asked 5", "left 5"]


async def test_somebody_outside_may_send_to_a_member_that_is_held():
    class Waits(Worker):
        @step
        async def hear(self, ev: HumanResponseEvent) -> Done:
            return Done(n=ev.n)

    boss = Boss({0: jobs(0, 1, fails=(0,))}, expects=2)
    supervise = {"worker": Restart(backoff=fixed(7))}
    async with (
        Application(boss=boss, worker=Waits(), supervise=supervise) as app,
        app.run("boss") as run,
    ):
        await anyio.sleep(3)
        run.send_event(HumanResponseEvent(n=5), to="worker")
        assert sorted(await run) == [1, 5]


async def test_who_waits_for_room_in_a_member_that_fails_waits_for_that_of_the_new_run():
    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Job:
            for n in range(5):
                await ctx.send(Job(n=n, fails=n == 0))
                sent.append((n, round(anyio.current_time() - began, 3)))
            return StopEvent(result="sent")

        @step
        async def end(self, ev: Done) -> None:
            pass

    sent: list[tuple[int, float]] = []
    narrow, began = Worker(queue_size=1), anyio.current_time()
    async with Application(
        sends=Sends(), narrow=narrow, supervise={"narrow": Restart(backoff=fixed(5))}
    ) as app:
        assert await app.run("sends") == "sent"
        assert [vars(each.event)["n"] for each in app.dead_letters if type(each.event) is Job] == [0]
    assert sent == [(0, 0), (1, 0), (2, 1), (3, 7), (4, 8)]
    begins = [(at, what[0]) for at, what in narrow.log if "begins" in what]
    assert begins == [(0, "0"), (6, "1"), (7, "2"), (8, "3"), (9, "4")]


async def test_who_is_cancelled_while_it_waits_for_the_room_of_the_new_run_sends_nothing():
    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Job:
            for n in range(3):
                with anyio.move_on_after(3) as scope:
                    await ctx.send(Job(n=n, fails=n == 0, seconds=1))
                    await ctx.send(Job(n=10 + n))
                    await ctx.send(Job(n=20 + n))
                cut.append(scope.cancelled_caught)
            return StopEvent(result="sent")

        @step
        async def end(self, ev: Done) -> None:
            pass

    cut: list[bool] = []
    narrow = Worker(queue_size=1)
    async with Application(
        sends=Sends(), narrow=narrow, supervise={"narrow": Restart(backoff=fixed(30))}
    ) as app:
        assert await app.run("sends") == "sent"
        assert [vars(each.event)["n"] for each in app.dead_letters if type(each.event) is Job] == [0]
    assert cut == [False, True, True]
    assert [what.split()[0] for _, what in narrow.log if "begins" in what] == ["0", "10", "20"]


async def test_who_was_taken_over_with_the_room_and_is_cancelled_then_sends_nothing():
    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Job:
            async def send(n: int) -> None:
                with anyio.move_on_after(3):
                    await ctx.send(Job(n=n))

            ctx.send_event(Job(n=0, fails=True))
            await anyio.sleep(0.25)
            ctx.send_event(Job(n=1))
            async with anyio.create_task_group() as tg:
                tg.start_soon(send, 2)
                await anyio.sleep(0.25)
                tg.start_soon(send, 3)
            return StopEvent(result="sent")

        @step
        async def end(self, ev: Done) -> None: ...

    narrow = Worker(queue_size=1)
    async with Application(
        sends=Sends(), narrow=narrow, supervise={"narrow": Restart(backoff=fixed(9))}
    ) as app:
        assert await app.run("sends") == "sent"
    assert [what[0] for _, what in narrow.log if "begins" in what] == ["0", "1", "2"]


# -- under load ------------------------------------------------------------------------------------------------

KILLS = 1_000


class Killed(Workflow):
    """Fails at every so-manieth job that it begins, with others at work."""

    def __init__(self) -> None:
        self.begun = self.kills = 0
        self.handled: Counter[int] = Counter()
        super().__init__(timeout=None)

    @step(num_workers=4)
    async def work(self, ev: Job) -> None:
        self.begun += 1
        kills = self.begun % 7 == 0 and self.kills < KILLS
        await anyio.sleep(0.001 * (self.begun % 3))
        if kills:
            self.kills += 1
            raise Boom(str(ev.n))
        self.handled[ev.n] += 1


@pytest.mark.usefixtures("quiet")
async def test_a_member_that_is_killed_a_thousand_times_under_load_loses_nothing_that_is_not_told():
    class Floods(Workflow[int]):
        alive = 0

        @step
        async def send(self, ctx: Context, ev: StartEvent) -> StopEvent[int] | Job:
            n = 0
            while killed.kills < KILLS:
                for _ in range(20):
                    ctx.send_event(Job(n=n))
                    n += 1
                await anyio.sleep(0.01)
                if n % 2_000 == 0:
                    gc.collect()
                    self.alive = max(self.alive, sum(1 for _ in drivers()))
            return StopEvent(result=n)

    killed, floods = Killed(), Floods(timeout=None)
    told: Counter[int] = Counter()
    supervise = {"killed": Restart(backoff=no_wait(), limit=KILLS, period=1e9)}
    async with Application(floods=floods, killed=killed, supervise=supervise) as app:
        app.dead_letters.listen(lambda letter: told.update([vars(letter.event)["n"]]))
        sent = await app.run("floods")
    assert killed.kills == KILLS
    assert sum(told.values()) >= KILLS
    assert killed.handled + told == Counter(range(sent))
    assert floods.alive <= 6
