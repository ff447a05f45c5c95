"""One run more than `num_concurrent_runs`, which does not wait: it is refused, or takes the place of the oldest."""

from __future__ import annotations

import time
from typing import Any, Literal

import anyio
import anyio.from_thread
import pytest

from stretto import (
    Application,
    Context,
    DefinitionError,
    Event,
    QueueFullError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    step,
)
from stretto.events import WorkflowCancelledEvent, WorkflowFailedEvent

pytestmark = pytest.mark.anyio

CANCELLED = "because a later run of the same Search has taken its place"
FULL = r"of this \w+ (is|are) at work, which is all that num_concurrent_runs=\d+ lets"
Overflow = Literal["wait", "fail", "cancel_oldest"]


class Job(Event, external=True):
    n: int


class Answer(Event):
    n: int


class Search(Workflow[int]):
    """Takes a second, and cleans up for so long; who began and ended when is noted."""

    def __init__(self, most: int, overflow: Overflow | None, cleanup: float = 0, **options: Any) -> None:
        super().__init__(num_concurrent_runs=most, run_overflow=overflow, **options)
        self.cleanup = cleanup
        self.log: list[str] = []
        self.now = self.peak = 0
        self.began = anyio.current_time()

    def say(self, what: str) -> None:
        self.log.append(f"{round(anyio.current_time() - self.began, 3):g} {what}")

    @step
    async def look(self, ev: StartEvent) -> StopEvent[int]:
        self.now += 1
        self.peak = max(self.peak, self.now)
        self.say(f"{ev.n} begins")
        try:
            await anyio.sleep(1)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(self.cleanup)
            self.now -= 1
            self.say(f"{ev.n} ends")
        return StopEvent(result=ev.n)


async def outcome(run: Any) -> object:
    try:
        return await run
    except WorkflowError as error:
        return type(error).__name__


# -- refused -------------------------------------------------------------------------------------------------------


async def test_a_run_that_is_too_many_is_refused_at_once_where_it_is_awaited():
    flow = Search(2, "fail")
    async with flow.run(n=0), flow.run(n=1):
        await anyio.sleep(0.5)
        refused = flow.run(n=2)
        with pytest.raises(QueueFullError, match=f"2 runs {FULL}"):
            await refused
        assert refused.done
        assert refused.leftovers == (StartEvent(n=2),)
        with pytest.raises(QueueFullError, match=FULL):
            await refused
    assert await flow.run(n=3) == 3
    assert sorted(flow.log) == ["0 0 begins", "0 1 begins", "1 0 ends", "1 1 ends", "1 3 begins", "2 3 ends"]


@pytest.mark.parametrize("form", ["block", "block and await", "stream", "cancel"])
async def test_however_it_is_run_it_is_refused_once(form: str):
    flow = Search(1, "fail")
    async with flow.run(n=0) as first:
        run = flow.run(n=1)
        if form.startswith("block"):
            with pytest.raises(QueueFullError, match=f"a run {FULL}"):
                async with run:
                    if form == "block and await":
                        await run
        elif form == "stream":
            kinds = [type(event) async for event in run.stream_events()]
            assert kinds == [WorkflowFailedEvent]
            with pytest.raises(QueueFullError):
                await run
        else:
            await run.cancel()
            with pytest.raises(WorkflowCancelledError, match="before it started"):
                await run
        assert await first == 0
    assert flow.log == ["0 0 begins", "1 0 ends"]


async def test_while_one_cleans_up_its_place_is_taken():
    flow = Search(1, "fail", cleanup=1)
    async with flow.run(n=0) as first:
        await anyio.sleep(0.5)
        async with anyio.create_task_group() as tg:
            tg.start_soon(first.cancel)
            await anyio.sleep(0.5)
            with pytest.raises(QueueFullError):
                await flow.run(n=1)
        assert await flow.run(n=2) == 2
    assert flow.peak == 1


async def test_a_nested_run_that_is_refused_is_the_error_of_the_step_that_awaits_it_or_of_its_run():
    flow = Search(1, "fail")

    class Around(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            if ev.awaits:
                try:
                    await flow.run(n=1)
                except QueueFullError:
                    return StopEvent(result="told")
            flow.run(n=2)
            await anyio.sleep(0.1)
            return StopEvent(result="not told")

    async with flow.run(n=0):
        assert await Around().run(awaits=True) == "told"
        with pytest.raises(QueueFullError):
            await Around().run(awaits=False)


async def test_a_request_and_a_call_of_a_member_are_refused_and_nothing_else_is_harmed():
    class Asks(Workflow[list[object]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[list[object]]:
            async def ask(n: int) -> None:
                try:
                    answer = await ctx.request(Job(n=n), reply=Answer)
                except QueueFullError as full:
                    answers.append(str(full).partition(",")[0])
                else:
                    answers.append(answer.n)

            answers: list[object] = []
            async with anyio.create_task_group() as tg:
                for n in range(2):
                    tg.start_soon(ask, n)
                    await anyio.sleep(0.1)
            return StopEvent(result=answers)

    class Answers(Workflow[Any]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            await anyio.sleep(1)
            return StopEvent(result="called")

        @step
        async def answer(self, ev: Job) -> Answer:
            await anyio.sleep(1)
            return Answer(n=ev.n)

    answers = Answers(num_concurrent_runs=1, run_overflow="fail")
    async with Application(asks=Asks(), answers=answers) as app:
        assert await app.run("asks") == ["a run of this Answers is at work", 0]
        async with app.run("answers") as first:
            with pytest.raises(QueueFullError):
                await app.run("answers")
            assert await first == "called"
        assert await app.run("answers") == "called"


@pytest.mark.parametrize("overflow", ["fail", "cancel_oldest"])
async def test_a_run_that_an_event_has_opened_is_not_counted(overflow: Overflow):
    """It has no caller and lives as long as its conversation: it is neither refused nor cancelled."""

    class Sends(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[int]:
            ctx.send_event(Job(n=ev.n))
            await anyio.sleep(0.5)
            return StopEvent(result=ev.n)

    class Takes(Workflow[Any]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            await anyio.sleep(1)
            return StopEvent(result="called")

        @step
        async def take(self, ev: Job) -> None:
            await anyio.sleep(1)
            taken.append(ev.n)

    taken: list[int] = []
    takes = Takes(num_concurrent_runs=1, run_overflow=overflow)
    async with (
        Application(sends=Sends(), takes=takes) as app,
        app.run("sends", n=0) as a,
        app.run("takes") as b,
        app.run("sends", n=1) as c,
    ):
        assert [await each for each in (a, b, c)] == [0, "called", 1]
    assert sorted(taken) == [0, 1]
    assert not app.dead_letters


async def test_a_run_that_is_refused_with_a_snapshot_has_undone_nothing_and_its_snapshot_is_as_good_as_before():
    flow = Books(num_concurrent_runs=1, run_overflow="fail")
    first = flow.run(who="a").start()
    await anyio.sleep(0.5)
    data = first.ctx.to_dict()
    for nested in (False, True):
        with pytest.raises(QueueFullError):
            if nested:
                await Nests(flow, data).run()
            else:
                await flow.run(ctx=Context.from_dict(flow, data))
    assert await first == "paid"
    assert flow.log == ["a books"]
    assert await flow.run(ctx=Context.from_dict(flow, data)) == "paid"


class Books(Workflow[str]):
    """What it has booked is undone if it fails, which takes a second."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []

    @step(undo="unbook")
    async def book(self, ev: StartEvent) -> Job:
        self.log.append(f"{ev.who} books")
        return Job(n=1)

    async def unbook(self, ev: StartEvent) -> None:
        await anyio.sleep(1)
        self.log.append(f"{ev.who} undone")

    @step
    async def pay(self, ev: Job) -> StopEvent[str]:
        await anyio.sleep(1)
        return StopEvent(result="paid")


class Nests(Workflow[None]):
    """A step goes on with the snapshot of another run."""

    def __init__(self, flow: Workflow[Any], data: dict[str, Any]) -> None:
        super().__init__()
        self.flow, self.data = flow, data

    @step
    async def begin(self, ev: StartEvent) -> StopEvent[None]:
        await self.flow.run(ctx=Context.from_dict(self.flow, self.data))
        return StopEvent()


async def test_a_conversation_that_is_refused_with_a_snapshot_begins_nothing():
    class Calls(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            ctx.send_event(Job(n=1))
            await anyio.sleep(1)
            return StopEvent(result="called")

    class Takes(Workflow[Any]):
        @step(undo="give_back")
        async def take(self, ev: Job) -> None:
            taken.append(ev.n)
            await anyio.sleep(0.25 if len(taken) == 1 else 0.75)

        async def give_back(self, ev: Job) -> None:
            taken.append(-ev.n)

    taken: list[int] = []
    calls = Calls(num_concurrent_runs=1, run_overflow="fail")
    async with Application(calls=calls, takes=Takes()) as app, app.run("calls") as run:
        await anyio.sleep(0.5)
        data = run.ctx.to_dict()
        with pytest.raises(QueueFullError):
            await app.resume(data)
        assert await run == "called"
        assert taken == [1]
        async with app.resume(data) as again:
            await anyio.sleep(0.5)
            at_work = again.ctx.to_dict()
            with pytest.raises(QueueFullError):
                await app.resume(at_work)
            assert await again == "called"
        assert taken == [1, 1]  # the call had sent it before, and was begun again


async def test_a_run_that_is_refused_holds_no_place_also_before_its_task_has_seen_that():
    flow = Search(1, "fail")
    first = flow.run(n=0).start()
    await anyio.sleep(0.5)
    refused = flow.run(n=1).start()
    place: Any = flow._stretto_runs
    place.line().leave(first._driver)  # as when it has ended
    assert place.line().join("another")
    place.line().leave("another")
    assert [await outcome(each) for each in (first, refused)] == [0, "QueueFullError"]


# -- the oldest gives way ------------------------------------------------------------------------------------------


async def test_the_oldest_is_cancelled_and_the_new_one_begins_when_its_place_is_free():
    flow = Search(2, "cancel_oldest", cleanup=0.125)
    runs = []
    for n in range(4):
        runs.append(flow.run(n=n).start())
        await anyio.sleep(0.25)
    told = [await outcome(each) for each in runs]
    assert told == ["WorkflowCancelledError", "WorkflowCancelledError", 2, 3]
    assert flow.log == [
        "0 0 begins", "0.25 1 begins", "0.625 0 ends", "0.625 2 begins", "0.875 1 ends", "0.875 3 begins",
        "1.75 2 ends", "2 3 ends",
    ]  # fmt: skip
    assert flow.peak == 2


async def test_who_awaits_the_one_that_gave_way_is_told_why():
    flow = Search(1, "cancel_oldest", cleanup=0.5)
    async with flow.run(n=0) as first:
        await anyio.sleep(0.5)
        async with flow.run(n=1) as second:
            with pytest.raises(WorkflowCancelledError, match=f"Search was cancelled {CANCELLED}") as caught:
                await first
            assert "(num_concurrent_runs=1, run_overflow='cancel_oldest')" in str(caught.value)
            assert [type(event) async for event in first.stream_events()] == [WorkflowCancelledEvent]
            assert await second == 1
    assert flow.log == ["0 0 begins", "1 0 ends", "1 1 begins", "2.5 1 ends"]
    assert flow.peak == 1


async def test_a_block_whose_run_gave_way_raises_when_it_is_left():
    flow = Search(1, "cancel_oldest")
    with pytest.raises(WorkflowCancelledError, match=CANCELLED):
        async with flow.run(n=0):
            assert await flow.run(n=1) == 1


async def test_of_a_thousand_at_once_the_last_go_on():
    flow = Search(4, "cancel_oldest", cleanup=0.5)
    results: dict[int, object] = {}

    async def one(n: int) -> None:
        results[n] = await outcome(runs[n])

    runs = [flow.run(n=n).start() for n in range(1_000)]
    async with anyio.create_task_group() as tg:
        for n in range(1_000):
            tg.start_soon(one, n)
    assert [n for n, result in sorted(results.items()) if result == n] == [996, 997, 998, 999]
    assert {results[n] for n in range(996)} == {"WorkflowCancelledError"}
    assert flow.peak <= 4
    assert flow.now == 0
    assert await flow.run(n=7) == 7


async def test_one_that_was_to_begin_gives_way_too_and_never_does():
    flow = Search(1, "cancel_oldest", cleanup=1)
    runs = [flow.run(n=n).start() for n in range(1)]
    await anyio.sleep(0.5)
    runs += [flow.run(n=n).start() for n in (1, 2)]
    began = anyio.current_time()
    with pytest.raises(WorkflowCancelledError, match=CANCELLED):
        await runs[1]
    assert anyio.current_time() == began
    assert runs[1].leftovers == (StartEvent(n=1),)
    assert await runs[2] == 2
    assert [line.partition(" ")[2] for line in flow.log] == ["0 begins", "0 ends", "2 begins", "2 ends"]
    assert await outcome(runs[0]) == "WorkflowCancelledError"


async def test_a_run_whose_end_is_decided_has_given_up_its_place_and_no_other_gives_way():
    flow = Search(2, "cancel_oldest", cleanup=0.5)
    a, b = flow.run(n=0).start(), flow.run(n=1).start()
    await anyio.sleep(0.25)
    async with anyio.create_task_group() as tg:
        tg.start_soon(b.cancel)
        await anyio.sleep(0.25)
        c = flow.run(n=2).start()
    assert [await outcome(each) for each in (a, b, c)] == [0, "WorkflowCancelledError", 2]
    assert flow.peak == 2


async def test_a_run_whose_caller_was_cancelled_has_given_up_its_place_while_it_is_undone():
    flow = Books(num_concurrent_runs=2, run_overflow="cancel_oldest")
    async with anyio.create_task_group() as tg:
        a = flow.run(who="a").start()
        await anyio.sleep(0.25)

        async def b() -> None:
            with anyio.move_on_after(0.25):
                await flow.run(who="b")

        tg.start_soon(b)
        await anyio.sleep(0.5)
        c = flow.run(who="c").start()
        assert await a == "paid"
        assert await c == "paid"
    assert flow.log == ["a books", "b books", "c books", "b undone"]


async def test_a_run_that_waits_and_is_cancelled_brings_nobody_back_and_leaves_the_place_free():
    flow = Search(1, "cancel_oldest", cleanup=0.5)
    a = flow.run(n=0).start()
    await anyio.sleep(0.25)
    b = flow.run(n=1).start()
    await b.cancel()
    assert await outcome(a) == "WorkflowCancelledError"
    assert await flow.run(n=2) == 2
    assert [line.partition(" ")[2] for line in flow.log] == ["0 begins", "0 ends", "2 begins", "2 ends"]


async def test_a_caller_that_is_cancelled_while_its_run_waits_leaves_nothing():
    flow = Search(1, "cancel_oldest", cleanup=1)
    a = flow.run(n=0).start()
    await anyio.sleep(0.25)
    with anyio.move_on_after(0.25) as scope:
        await flow.run(n=1)
    assert scope.cancelled_caught
    assert await outcome(a) == "WorkflowCancelledError"
    b = flow.run(n=2).start()
    assert await b == 2
    line: Any = flow._stretto_runs
    assert len(line.line().crowd) == 0


async def test_a_handle_that_is_cancelled_before_it_starts_makes_nobody_give_way():
    flow = Search(1, "cancel_oldest")
    async with flow.run(n=0) as first:
        await flow.run(n=1).cancel()
        assert await first == 0


async def test_the_time_limit_of_the_new_one_counts_from_when_it_begins():
    flow = Search(1, "cancel_oldest", cleanup=3, timeout=5)
    a = flow.run(n=0).start()
    await anyio.sleep(0.5)
    assert await flow.run(n=1) == 1
    assert await outcome(a) == "WorkflowCancelledError"
    assert flow.log[-1] == "7.5 1 ends"


async def test_what_the_one_that_gives_way_has_done_is_undone_before_the_new_one_begins():
    flow = Books(num_concurrent_runs=1, run_overflow="cancel_oldest")
    a = flow.run(who="a").start()
    await anyio.sleep(0.5)
    assert await flow.run(who="b") == "paid"
    assert flow.log == ["a books", "a undone", "b books"]
    assert await outcome(a) == "WorkflowCancelledError"


@pytest.mark.usefixtures("real_time")
async def test_a_thread_of_the_one_that_gives_way_is_waited_for():
    class Threads(Workflow[int]):
        @step
        def work(self, ev: StartEvent) -> StopEvent[int]:
            log.append(f"{ev.n} begins")
            anyio.from_thread.run_sync(begun.set)
            time.sleep(0.05)
            log.append(f"{ev.n} ends")
            return StopEvent(result=ev.n)

    log: list[str] = []
    begun = anyio.Event()
    flow = Threads(num_concurrent_runs=1, run_overflow="cancel_oldest")
    a = flow.run(n=0).start()
    await begun.wait()
    assert await flow.run(n=1) == 1
    assert log == ["0 begins", "0 ends", "1 begins", "1 ends"]
    assert await outcome(a) == "WorkflowCancelledError"


async def test_a_run_never_gives_way_to_one_that_is_nested_in_it():
    class Nested(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            log.append(ev.who)
            await anyio.sleep(1)
            if ev.who == "outer":
                return StopEvent(result=await self.run(who="inner"))
            return StopEvent(result=ev.who)

    log: list[str] = []
    alone = Nested(num_concurrent_runs=1, run_overflow="cancel_oldest")
    with pytest.raises(WorkflowError, match="it would wait for its own ancestor"):
        await alone.run(who="outer")
    assert await alone.run(who="another") == "another"


async def test_a_younger_run_gives_way_where_the_oldest_is_an_ancestor():
    class Nested(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            if ev.who == "outer":
                await anyio.sleep(1)
                return StopEvent(result=await self.run(who="inner"))
            await anyio.sleep(9)
            return StopEvent(result=ev.who)

    flow = Nested(num_concurrent_runs=2, run_overflow="cancel_oldest")
    outer = flow.run(who="outer").start()
    await anyio.sleep(0.25)
    other = flow.run(who="other").start()
    began = anyio.current_time()
    with pytest.raises(WorkflowCancelledError, match="has taken its place"):
        await other
    assert anyio.current_time() == began + 0.75
    assert await outer == "inner"


async def test_a_run_in_the_clean_up_of_one_that_gave_way_fails_at_once_and_does_not_lock():
    class Cleans(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            try:
                await anyio.sleep(1)
            finally:
                if ev.who == "first":
                    with anyio.CancelScope(shield=True):
                        told.append(await outcome(self.run(who="nested")))
            return StopEvent(result=ev.who)

    told: list[object] = []
    flow = Cleans(num_concurrent_runs=1, run_overflow="cancel_oldest")
    first = flow.run(who="first").start()
    await anyio.sleep(0.5)
    assert await flow.run(who="second") == "second"
    assert told == ["WorkflowError"]
    assert await outcome(first) == "WorkflowCancelledError"


async def test_a_called_member_gives_way_with_its_conversation_and_a_request_is_told():
    class Answers(Workflow[Any]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[str]:
            ctx.send_event(Job(n=0))
            await anyio.sleep(5)
            return StopEvent(result=f"called {ev.n}")

    class Takes(Workflow[Any]):
        @step
        async def take(self, ev: Job) -> None:
            try:
                await anyio.sleep(9)
            finally:
                ended.append(anyio.current_time() - began)

    ended: list[float] = []
    began = anyio.current_time()
    answers = Answers(num_concurrent_runs=1, run_overflow="cancel_oldest")
    told: list[object] = []

    async def first() -> None:
        told.append(await outcome(app.run("answers", n=0)))

    async with (
        Application(answers=answers, takes=Takes(), on_stop="cancel") as app,
        anyio.create_task_group() as tg,
    ):
        tg.start_soon(first)
        await anyio.sleep(0.5)
        assert await app.run("answers", n=1) == "called 1"
    assert told == ["WorkflowCancelledError"]
    assert ended[0] == 0.5
    assert len(ended) == 2


async def test_a_run_that_goes_on_from_a_snapshot_takes_the_place_of_the_oldest():
    flow = Search(1, "cancel_oldest")
    first = flow.run(n=0).start()
    await anyio.sleep(0.5)
    data = first.ctx.to_dict()
    second = flow.run(n=1).start()
    await anyio.sleep(0.5)
    assert await flow.run(ctx=Context.from_dict(flow, data)) == 0
    assert [await outcome(each) for each in (first, second)] == ["WorkflowCancelledError"] * 2


# -- what is said --------------------------------------------------------------------------------------------------


async def test_said_to_wait_runs_wait_as_without_it():
    flow = Search(1, "wait")
    async with flow.run(n=0) as a, flow.run(n=1) as b:
        assert (await a, await b) == (0, 1)
    assert flow.log == ["0 0 begins", "1 0 ends", "1 1 begins", "2 1 ends"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"run_overflow": "fail"}, "there always is; add num_concurrent_runs=4"),
        ({"num_concurrent_runs": 1, "run_overflow": "cancel"}, "did you mean 'cancel_oldest'"),
        ({"num_concurrent_runs": 1, "run_overflow": True}, "is 'wait', 'fail' or 'cancel_oldest', not True"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any], says: str):
    class Idle(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            return StopEvent()

    with pytest.raises(DefinitionError, match=says):
        Idle(**options)
