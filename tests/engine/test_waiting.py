"""`wait_for_event` suspends a step where it stands: nothing runs again, nothing is lost and nothing given twice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    RunEndedError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from stretto.errors import WaitTimeoutError
from stretto.events import StepStateChanged
from stretto.retry import RetryPolicy, fixed
from tests.engine.ledger import Ledger

pytestmark = pytest.mark.anyio

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Job(Event):
    n: int = 0


class Reply(Event):
    n: int = 0


class SubReply(Reply):
    pass


class Answer(HumanResponseEvent):
    text: str
    to: str = "anybody"


class Asks(Workflow[str]):
    """Asks once and waits for the answer; counts how often its body ran."""

    bodies = 0

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        self.bodies += 1
        variable.set("mine")
        answer = await ctx.wait_for_event(Answer, waiter_event=InputRequiredEvent(question="tea?"))
        return StopEvent(result=f"{answer.text} {variable.get()}")


async def test_a_step_goes_on_where_it_waits_and_its_body_runs_once():
    workflow = Asks()
    async with workflow.run() as run:
        async for ev in run.stream_events():
            if isinstance(ev, InputRequiredEvent):
                assert ev.question == "tea?"
                await anyio.sleep(5)
                run.send_event(Answer(text="yes"))
        assert await run == "yes mine"
    assert workflow.bodies == 1
    assert run.leftovers == run.dead_letters == ()


async def test_an_answer_that_comes_before_the_wait_is_kept_for_it():
    class Late(Workflow[list[str]]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[list[str]]:
            await anyio.sleep(3)
            return StopEvent(result=[(await ctx.wait_for_event(Answer)).text for _ in range(2)])

    async with Late().run() as run:
        for text in ("first", "second", "third"):
            run.send_event(Answer(text=text))
        assert await run == ["first", "second"]
    assert run.leftovers == (Answer(text="third"),)


@pytest.mark.parametrize("how", ["sent before", "sent after", "returned"])
async def test_a_step_may_wait_for_what_another_step_sends(how: str):
    """Sent or returned, before the wait or after: it is found."""

    class Talks(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[int]:
            ctx.send_event(Job(n=1))
            await anyio.sleep(2 if how == "sent before" else 0)
            return StopEvent(result=(await ctx.wait_for_event(Reply)).n)

        @step
        async def work(self, ctx: Context, ev: Job) -> Reply | None:
            await anyio.sleep(1)
            if how == "returned":
                return Reply(n=ev.n)
            ctx.send_event(Reply(n=ev.n))
            return None

    run = Talks().run()
    assert await run == 1
    assert run.leftovers == run.dead_letters == ()


async def test_an_event_goes_to_the_one_that_has_waited_longest_and_to_nobody_else():
    class Queue(Workflow[list[tuple[int, str]]]):
        def __init__(self) -> None:
            self.got: list[tuple[int, str]] = []
            super().__init__()

        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(3)]

        @step
        async def wait(self, ctx: Context, ev: Job) -> StopEvent[list[tuple[int, str]]] | None:
            self.got.append((ev.n, (await ctx.wait_for_event(Answer)).text))
            return StopEvent(result=self.got) if len(self.got) == 3 else None

    async with Queue().run() as run:
        for text in "abc":
            await anyio.sleep(1)
            run.send_event(Answer(text=text))
        assert await run == [(0, "a"), (1, "b"), (2, "c")]
    assert run.leftovers == run.dead_letters == ()


async def test_a_second_answer_goes_to_nobody_and_is_a_leftover():
    class Once(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            answer = await ctx.wait_for_event(Answer)
            await anyio.sleep(1)
            return StopEvent(result=answer.text)

    async with Once().run() as run:
        await anyio.sleep(1)
        run.send_event(Answer(text="first"))
        run.send_event(Answer(text="second"))
        assert await run == "first"
    assert run.leftovers == (Answer(text="second"),)
    with pytest.raises(RunEndedError):
        run.send_event(Answer(text="third"))


async def test_an_event_that_somebody_waits_for_goes_to_no_step():
    class Both(Workflow[list[str]]):
        def __init__(self) -> None:
            self.got: list[str] = []
            super().__init__()

        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> None:
            self.got.append(f"wait {(await ctx.wait_for_event(Answer)).text}")

        @step
        async def take(self, ev: Answer) -> StopEvent[list[str]]:
            return StopEvent(result=[*self.got, f"step {ev.text}"])

    async with Both().run() as run:
        await anyio.sleep(1)
        run.send_event(Answer(text="one"))
        await anyio.sleep(1)
        run.send_event(Answer(text="two"))
        assert await run == ["wait one", "step two"]


async def test_requirements_and_a_predicate_choose_among_events():
    class Picks(Workflow[str]):
        @step
        async def pick(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            got = await ctx.wait_for_event(
                Answer, requirements={"to": "me"}, where=lambda ev: ev.text.startswith("y")
            )
            return StopEvent(result=got.text)

    async with Picks().run() as run:
        for answer in (Answer(text="yes"), Answer(text="no", to="me"), Answer(text="yep", to="me")):
            run.send_event(answer)
            await anyio.sleep(1)
        assert await run == "yep"
    assert run.leftovers == (Answer(text="yes"), Answer(text="no", to="me"))


async def test_types_are_exact():
    class Exact(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            ctx.send_event(SubReply(n=1))
            ctx.send_event(Reply(n=2))
            return StopEvent(result=(await ctx.wait_for_event(Reply)).n)

    run = Exact().run()
    assert await run == 2
    assert [letter.event for letter in run.dead_letters] == [SubReply(n=1)]


@pytest.mark.parametrize("before", [True, False])
async def test_what_a_predicate_raises_comes_out_where_it_waits_and_the_event_goes_to_another(before: bool):
    class Picky(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=0), Job(n=1)]

        @step
        async def wait(self, ctx: Context, ev: Job) -> StopEvent[str] | None:
            if before:
                await anyio.sleep(1)
            if ev.n:
                return StopEvent(result=(await ctx.wait_for_event(Answer)).text)
            with pytest.raises(ZeroDivisionError):
                await ctx.wait_for_event(Answer, where=lambda ev: 1 / 0)
            return None

    async with Picky().run() as run:
        if not before:
            await anyio.sleep(1)
        run.send_event(Answer(text="yes"))
        assert await run == "yes"


# -- workers ---------------------------------------------------------------------------------------------------------


async def test_a_step_that_waits_leaves_its_worker_to_the_next_and_comes_back_to_a_free_one():
    """With one worker all hundred wait at once, and no two ever work at once."""

    class Crowd(Workflow[int]):
        def __init__(self) -> None:
            self.at_work = self.most = 0
            super().__init__(timeout=None)

        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(100)]

        @step(num_workers=1)
        async def wait(self, ctx: Context, ev: Job) -> Reply:
            await self.work()
            await ctx.wait_for_event(Answer)
            await self.work()
            return Reply()

        @step
        async def count(self, ctx: Context, ev: Reply) -> StopEvent[int] | None:
            return StopEvent(result=self.most) if ctx.collect_events(ev, [Reply] * 100) else None

        async def work(self) -> None:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            await anyio.sleep(0.1)
            self.at_work -= 1

    async with Crowd().run() as run:
        await anyio.sleep(11)
        assert len(run.waiting_for) == 100
        for _ in range(100):
            run.send_event(Answer(text=""))
        assert await run == 1


async def test_a_task_that_a_step_has_started_may_wait_and_the_step_keeps_its_worker():
    class Helper(Workflow[list[str]]):
        @step(num_workers=1)
        async def begin(self, ctx: Context, ev: StartEvent | Job) -> StopEvent[list[str]] | Job:
            assert not isinstance(ev, Job), "its worker was taken"
            got: list[str] = []

            async def one() -> None:
                got.append((await ctx.wait_for_event(Answer)).text)

            async with anyio.create_task_group() as tg:
                tg.start_soon(one)
                tg.start_soon(one)
                await anyio.sleep(1)
                ctx.send_event(Job())
                await anyio.sleep(1)
            return StopEvent(result=got)

    async with Helper().run() as run:
        await anyio.sleep(3)
        run.send_event(Answer(text="a"))
        run.send_event(Answer(text="b"))
        assert sorted(await run) == ["a", "b"]


# -- ends of a wait ---------------------------------------------------------------------------------------------------


async def test_a_time_limit_ends_a_wait_and_its_event_is_for_another():
    class Hasty(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            began = anyio.current_time()
            with pytest.raises(WaitTimeoutError) as caught:
                await ctx.wait_for_event(Answer, timeout=2)
            assert isinstance(caught.value, TimeoutError)
            assert anyio.current_time() - began == pytest.approx(2)
            return StopEvent(result=(await ctx.wait_for_event(Answer, timeout=9)).text)

    async with Hasty().run() as run:
        await anyio.sleep(4)
        run.send_event(Answer(text="late"))
        assert await run == "late"


async def test_a_wait_that_timed_out_goes_on_when_a_worker_is_free():
    class Busy(Workflow[float]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=0), Job(n=1)]

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Job) -> StopEvent[float] | None:
            began = anyio.current_time()
            if ev.n:
                await anyio.sleep(5)
                return None
            with suppress(TimeoutError):
                await ctx.wait_for_event(Answer, timeout=2)
            return StopEvent(result=anyio.current_time() - began)

    assert await Busy().run() == pytest.approx(5)


async def test_a_wait_that_is_cancelled_gives_its_place_back_and_goes_on_at_once():
    class Moves(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            with anyio.move_on_after(1) as scope:
                await ctx.wait_for_event(Answer)
            assert scope.cancelled_caught
            await anyio.sleep(1)
            return StopEvent(result=(await ctx.wait_for_event(Answer)).text)

    async with Moves().run() as run:
        await anyio.sleep(1.5)
        assert run.waiting_for == ()
        run.send_event(Answer(text="kept"))
        assert await run == "kept"
    assert run.leftovers == ()


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_an_event_for_a_wait_that_is_cancelled_in_the_same_turn_goes_to_it_or_to_the_next(
    cancelled_first: bool,
):
    class Races(Workflow[list[str]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[list[str]]:
            got: list[str] = []
            scope = anyio.CancelScope()

            async def first() -> None:
                with scope:
                    got.append(f"first {(await ctx.wait_for_event(Reply)).n}")

            async def second() -> None:
                got.append(f"second {(await ctx.wait_for_event(Reply)).n}")

            async with anyio.create_task_group() as tg:
                tg.start_soon(first)
                await anyio.sleep(1)
                tg.start_soon(second)
                await anyio.sleep(1)
                if cancelled_first:
                    scope.cancel()
                ctx.send_event(Reply(n=7))
                scope.cancel()
                await anyio.sleep(1)
                ctx.send_event(Reply(n=8))
            return StopEvent(result=got)

    run = Races().run()
    assert await run in (["second 7"], ["first 7", "second 8"])
    assert len(run.leftovers) + len(run.dead_letters) + len(await run) == 2


async def test_a_stop_ends_what_waits_and_its_clean_up_runs_before_the_caller_goes_on():
    ledger = Ledger()

    class Stops(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(3)]

        @step
        async def wait(self, ctx: Context, ev: Job) -> StopEvent[str]:
            if ev.n == 2:
                await anyio.sleep(1)
                return StopEvent(result="over")
            async with ledger.signed(f"wait {ev.n}", cleanup=0.5):
                await ctx.wait_for_event(Answer)
            raise AssertionError("nobody answered")

    run = Stops().run()
    assert await run == "over"
    assert sorted(ledger.left) == ["wait 0", "wait 1"]
    assert run.waiting_for == ()


async def test_a_step_that_is_alone_and_waits_is_cancelled_with_its_run():
    ledger = Ledger()

    class Alone(Workflow[str]):
        @step
        async def wait(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            async with ledger.signed("wait"):
                await ctx.wait_for_event(Answer)
            return StopEvent(result="")

    began = anyio.current_time()
    async with Alone().run() as run:
        await anyio.sleep(1)
        await run.cancel()
        assert anyio.current_time() - began == pytest.approx(1), "not at its deadline"
    assert ledger.left == ["wait"]


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_a_step_that_waits_for_a_worker_in_a_shield_goes_on_when_the_run_is_over(how: str):
    """It stood in the queue of its step for ever, since no worker is given out any more."""
    got: list[str] = []

    class Shields(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=0), Job(n=1)]

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Job) -> StopEvent[str]:
            if ev.n:
                await anyio.sleep(2 if how == "stop" else 9)
                return StopEvent(result="over")
            with anyio.CancelScope(shield=True):
                got.append((await ctx.wait_for_event(Answer)).text)
            return StopEvent(result="too late")

    began = anyio.current_time()
    async with Shields().run() as run:
        await anyio.sleep(1)
        run.send_event(Answer(text="taken"))
        await anyio.sleep(1)
        if how == "cancel":
            await run.cancel()
    assert got == ["taken"]
    assert anyio.current_time() - began == pytest.approx(2)


async def test_who_was_cancelled_while_all_workers_were_taken_costs_the_next_its_turn():
    """A step that goes on without a worker is one too many, until one of the others has ended."""
    at_work: list[int] = []
    most: list[int] = []

    class Crowds(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(5)]

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: Job) -> Reply:
            if ev.n == 0:
                with anyio.move_on_after(0.5):
                    await ctx.wait_for_event(Answer)
            at_work.append(ev.n)
            most.append(len(at_work))
            await anyio.sleep(1)
            at_work.remove(ev.n)
            return Reply()

        @step
        async def count(self, ctx: Context, ev: Reply) -> StopEvent[None] | None:
            return StopEvent() if ctx.collect_events(ev, [Reply] * 5) else None

    await Crowds().run()
    assert most == [1, 2, 1, 1, 1]


async def test_a_wait_is_a_line_of_the_verbose_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "stretto")
    async with Asks(verbose=True).run() as run:
        await anyio.sleep(2)
        run.send_event(Answer(text="yes"))
    lines = [record.getMessage().split(maxsplit=1)[1] for record in caplog.records]
    assert lines[0] == "0.000s  ask #1  waits for Answer"
    assert lines[1].startswith("0.000s  ask #1  <- StartEvent  -> InputRequiredEvent, StopEvent")


async def test_what_a_step_waits_for_is_no_mistake_in_the_graph(caplog: pytest.LogCaptureFixture):
    class Talks(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent[int]:
            ctx.send_event(Job(n=1))
            return StopEvent(result=(await ctx.wait_for_event(Reply)).n)

        @step
        async def work(self, ev: Job) -> Reply:
            return Reply(n=ev.n)

    assert await Talks().run() == 1
    assert [record.getMessage() for record in caplog.records] == []


async def test_a_context_that_outlives_its_step_is_told_that_the_run_is_over():
    kept: list[Context] = []
    told: list[str] = []

    class Gives(Workflow[None]):
        @step
        async def give(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            kept.append(ctx)
            await anyio.sleep(2)
            return StopEvent()

    async def waits_from_elsewhere() -> None:
        await anyio.sleep(1)
        with pytest.raises(RunEndedError) as caught:
            await kept[0].wait_for_event(Answer)
        told.append(str(caught.value))

    async with anyio.create_task_group() as tg:
        tg.start_soon(waits_from_elsewhere)
        await Gives().run()
    assert told == ["the run of Gives is over, and nothing more comes for a wait"]
    with pytest.raises(RunEndedError):
        await kept[0].wait_for_event(Answer)


# -- what is seen -----------------------------------------------------------------------------------------------------


async def test_a_run_that_waits_is_not_stuck_and_its_deadline_names_what_it_waits_for():
    class Patient(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result=(await ctx.wait_for_event(Answer)).text)

    began = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError, match=r"waiting: Patient\.ask \(.*\) for Answer"):
        await Patient(timeout=30).run()
    assert anyio.current_time() - began == pytest.approx(30)


async def test_waiting_for_names_the_steps_that_wait_and_what_may_come_from_outside():
    class Waits(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            await ctx.wait_for_event(Reply, waiter_id="the reply", requirements={"n": 3})
            return StopEvent(result="")

        @step
        async def take(self, ev: Answer) -> None: ...

    run = Waits().run()
    assert run.waiting_for == ()
    async with run:
        await anyio.sleep(1)
        wait, take = run.waiting_for
        assert (wait.step, wait.kind, wait.waiter_id, wait.requirements) == (
            "ask",
            Reply,
            "the reply",
            {"n": 3},
        )
        assert (take.step, take.kind, take.waiter_id) == ("take", Answer, None)
        run.send_event(Reply(n=3))
    assert run.waiting_for == ()


async def test_a_run_is_idle_where_only_somebody_outside_can_move_it():
    class Stages(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            await ctx.sleep(1)
            await ctx.wait_for_event(Reply, waiter_event=Job(n=3))
            with suppress(TimeoutError):
                await ctx.wait_for_event(Answer, timeout=2)
            return StopEvent(result=(await ctx.wait_for_event(Answer)).text)

    run = Stages().run()
    assert not run.idle
    async with run:
        assert not run.idle, "a step is about to begin"
        await anyio.sleep(0.5)
        assert not run.idle, "it sleeps"
        await anyio.sleep(1)
        assert run.idle
        (wait,) = run.waiting_for
        assert (wait.suspended, wait.question, wait.outside) == (True, Job(n=3), True)
        run.send_event(Reply(n=1))
        await anyio.sleep(1)
        assert not run.idle, "the wait ends by itself"
        await anyio.sleep(2)
        assert run.idle
        run.send_event(Answer(text="yes"))
        assert not run.idle
        assert await run == "yes"
    assert not run.idle


async def test_a_run_with_a_nested_one_at_work_is_not_idle():
    class Slow(Workflow[int]):
        @step
        async def work(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            await ctx.sleep(2)
            return StopEvent(result=1)

    class Around(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            run = Slow().run().start()
            answer = await ctx.wait_for_event(Answer)
            return StopEvent(result=f"{answer.text} {await run}")

    async with Around().run() as run:
        await anyio.sleep(1)
        assert not run.idle
        await anyio.sleep(2)
        assert run.idle
        run.send_event(Answer(text="yes"))
        assert await run == "yes 1"


async def test_a_wait_is_one_state_of_its_step_for_who_watches():
    states: list[str] = []
    async with Asks().run() as run:
        async for ev in run.stream_events(expose_internal=True):
            if isinstance(ev, StepStateChanged):
                states.append(ev.state)
            if isinstance(ev, InputRequiredEvent):
                run.send_event(Answer(text="yes"))
    assert states == ["running", "ended"]


@pytest.mark.parametrize("count", [300])
async def test_each_of_many_waits_gets_the_event_that_it_requires(count: int):
    class Keyed(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(count)]

        @step
        async def wait(self, ctx: Context, ev: Job) -> Reply:
            got = await ctx.wait_for_event(SubReply, requirements={"n": ev.n})
            assert got.n == ev.n
            return Reply(n=got.n)

        @step
        async def count(self, ctx: Context, ev: Reply) -> StopEvent[list[int]] | None:
            batch = ctx.collect_events(ev, [Reply] * count)
            return None if batch is None else StopEvent(result=[each.n for each in batch])

    async with Keyed().run() as run:
        await anyio.sleep(1)
        for n in reversed(range(count)):
            run.send_event(SubReply(n=n))
        assert sorted(await run) == [*range(count)]


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda ctx: ctx.wait_for_event("Answer"), "takes a class of events"),
        (lambda ctx: ctx.wait_for_event(Answer(text="")), "takes a class of events"),
        (lambda ctx: ctx.wait_for_event(StopEvent), "which ends the run"),
        (lambda ctx: ctx.wait_for_event(Answer, waiter_event="tea?"), "waiter_event is an event"),
        (lambda ctx: ctx.wait_for_event(Answer, waiter_event=StopEvent()), "waiter_event is an event"),
        (lambda ctx: ctx.wait_for_event(Answer, requirements=["to"]), "requirements are fields"),
        (lambda ctx: ctx.wait_for_event(Answer, requirements={"two": 1}), "did you mean 'to'?"),
        (lambda ctx: ctx.wait_for_event(Answer, where=True), "where is a function"),
    ],
)
async def test_what_cannot_be_waited_for_is_refused_at_once(call: Callable[[Any], Any], says: str):
    class Tries(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            await call(ctx)
            return StopEvent()

    with pytest.raises(TypeError) as caught:
        await Tries().run()
    assert says in str(caught.value)


async def test_a_context_that_is_used_in_the_middle_of_another_step_parks_nobody():
    """It was a KeyError of the engine's."""

    class Next(Event):
        pass

    class Come(Event, external=True):
        pass

    class Lends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Next:
            lent.append(ctx)
            return Next()

        @step
        async def borrow(self, ev: Next) -> StopEvent[str]:
            with pytest.raises(TimeoutError):
                await lent[0].wait_for_event(Come, timeout=1)
            return StopEvent(result="waited")

    lent: list[Context] = []
    assert await Lends().run() == "waited"


class Stumbles(Workflow[list[str]]):
    """Asks twice and fails after both; the next attempt asks as often as it is told."""

    def __init__(self, *, again: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.again = again

    @step(retry_policy=RetryPolicy(attempts=2, wait=fixed(1)))
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[list[str]]:
        said: list[str] = []
        for number in range(2 if ctx.attempt.number == 1 else self.again):
            question = InputRequiredEvent(number=number)
            said.append((await ctx.wait_for_event(Answer, waiter_event=question)).text)
        if ctx.attempt.number == 1:
            raise ConnectionError
        return StopEvent(result=said)


@pytest.mark.parametrize("again", [0, 1, 2, 3])
async def test_who_has_answered_is_not_asked_again_when_the_step_is_tried_again(again: int):
    """A person was asked twice: the answer was gone with the attempt that had it, where a batch comes back."""
    asked: list[int] = []
    async with Stumbles(again=again, timeout=30).run() as run:
        async for event in run.stream_events():
            if isinstance(event, InputRequiredEvent):
                asked.append(event.number)
                run.send_event(Answer(text=f"{len(asked)}"))
        assert await run == ["1", "2", "3"][:again]
    assert asked == [0, 1, 2][: max(again, 2)]
    assert [event.text for event in run.leftovers if isinstance(event, Answer)] == ["1", "2"][again:]


async def test_requirements_are_taken_as_they_are_when_the_wait_begins():
    required = {"n": 1}

    class Wait(Workflow[int]):
        @step
        async def wait(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=(await ctx.wait_for_event(Reply, requirements=required)).n)

    async with Wait().run() as run:
        await anyio.sleep(1)
        required["n"] = 2
        run.send_event(Reply(n=2))
        run.send_event(Reply(n=1))
        assert await run == 1


class Holds(Workflow[str]):
    """Waits for what it holds back itself, before or after it has sent that."""

    def __init__(self, how: str, **options: Any) -> None:
        super().__init__(**options)
        self.how = how

    @step(emit="on_success")
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Job | None:
        said: list[int] = []

        async def wait() -> None:
            said.append(
                (await ctx.wait_for_event(Reply, requirements={"n": 1}, where=lambda each: 1 / each.n)).n
            )

        async with anyio.create_task_group() as tg:
            if self.how == "a task waits first":
                tg.start_soon(wait)
                await anyio.sleep(1)
            ctx.write_event_to_stream(Reply(n=1))
            ctx.send_event(Reply(n=2))
            if self.how == "a step answers":
                ctx.send_event(Job(n=1))
            else:
                ctx.send_event(Reply(n=1))
            if self.how != "a task waits first":
                await wait()
        return StopEvent(result=f"{said}")

    @step
    async def answer(self, ev: Job) -> Reply:
        return Reply(n=ev.n)


@pytest.mark.parametrize("how", ["the step waits", "a task waits first"])
async def test_who_waits_for_what_it_holds_back_itself_is_told(how: str):
    """It waited until the deadline of its run."""
    with pytest.raises(Exception, check=lambda _: True) as caught:
        await Holds(how, timeout=30).run()
    error = caught.value
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, WorkflowError)
    assert not isinstance(error, WorkflowTimeoutError)
    assert "Holds.ask (test_waiting.py:" in str(error)
    assert str(error).endswith(
        'waits for Reply(n=1), which it has sent itself and which is held back until it returns (emit="on_success"): '
        'it would wait for ever; leave out emit="on_success", or let another step send it'
    )


async def test_a_deadline_names_what_a_step_holds_back_whose_answer_it_waits_for():
    with pytest.raises(WorkflowTimeoutError) as caught:
        await Holds("a step answers", timeout=5).run()
    assert str(caught.value).endswith(
        " for Reply while it holds back Reply(n=2), Job(n=1) until it returns (emit='on_success')"
    )
