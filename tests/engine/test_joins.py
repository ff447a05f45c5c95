"""A list parameter joins: called once for each fork, whatever its branches do, when nothing of it is left at work."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Annotated, Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowStalledError,
    WorkflowTimeoutError,
    catch_error,
    step,
)
from stretto.errors import shown
from stretto.events import StepFailedEvent
from stretto.joins import All, First
from stretto.retry import fixed
from tests.engine.ledger import Ledger

pytestmark = pytest.mark.anyio

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Ask(Event):
    n: int = 0
    wait: float = 1.0


class Told(Event):
    n: int = 0


class Sum(Event):
    ns: list[int]


class Poll(Workflow[list[int]]):
    """Asks as many as it is told, each for so long; who is asked for less than 0 s says nothing."""

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(n=n, wait=wait) for n, wait in enumerate(ev.waits)]

    @step
    async def ask(self, ev: Ask) -> Told | None:
        await anyio.sleep(abs(ev.wait))
        return Told(n=ev.n) if ev.wait >= 0 else None

    @step
    async def decide(self, told: list[Told]) -> StopEvent[list[int]]:
        return StopEvent(result=[each.n for each in told])


# -- all of a fork ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waits", "result"),
    [
        ([], []),
        ([1], [0]),
        ([3, 2, 1], [2, 1, 0]),
        ([-1], []),
        ([-1, -2, -3], []),
        ([2, -3, 1], [2, 0]),
        ([0.0] * 100, list(range(100))),
    ],
)
async def test_a_join_is_called_once_with_all_that_arrived_in_the_order_of_arrival(
    waits: list[float], result: list[int]
):
    run = Poll().run(waits=waits)
    got = await run
    assert (sorted(got) if len(waits) == 100 else got) == result  # at one instant the loop chooses
    assert run.leftovers == run.dead_letters == ()


async def test_a_join_is_called_when_the_last_branch_has_ended_and_not_before():
    start = anyio.current_time()
    await Poll().run(waits=[1, -5, 2])
    assert anyio.current_time() - start == pytest.approx(5)


async def test_the_order_of_the_source_is_that_of_the_list_whichever_ends_first():
    class Sorted(Poll):
        @step
        async def decide(self, told: Annotated[list[Told], All(order="source")]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in told])

    assert await Sorted().run(waits=[3, 1, -1, 2]) == [0, 1, 3]


@pytest.mark.parametrize("how", ["sent", "sent and returned", "several steps"])
async def test_several_events_sent_by_one_step_or_taken_by_several_are_a_fork(how: str):
    class Sends(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
            if how == "several steps":
                return Ask(n=1)
            ctx.send_event(Ask(n=1))
            await anyio.sleep(5)  # what has been sent has arrived long before
            if how == "sent":
                ctx.send_event(Ask(n=2))
                return None
            return Ask(n=2)

        @step
        async def ask(self, ev: Ask) -> Told:
            return Told(n=ev.n)

        @step
        async def decide(self, told: list[Told]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in told])

    if how == "several steps":

        class Twice(Sends):
            @step
            async def ask_again(self, ev: Ask) -> Told:
                await anyio.sleep(1)
                return Told(n=-ev.n)

        assert await Twice().run() == [1, -1]
    else:
        assert await Sends().run() == [1, 2]


async def test_a_step_that_sends_one_event_is_no_fork():
    """Whether it returns it or sends it."""

    class Through(Poll):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Told | None:
            ctx.send_event(Told(n=ev.n))
            await anyio.sleep(ev.wait)

    assert await Through().run(waits=[1, 2]) == [0, 1]


async def test_what_goes_somewhere_else_does_not_make_a_fork():
    """A step that sends a note and returns what is joined is a branch of the fork before it."""

    class Note(Event):
        pass

    class Notes(Poll):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Told | Note:
            ctx.send_event(Note())
            return Told(n=ev.n)

        @step
        async def keep(self, ev: Note) -> None:
            await anyio.sleep(1)

    assert sorted(await Notes().run(waits=[1, 2])) == [0, 1]


async def test_an_event_that_no_fork_has_led_to_is_a_list_of_one():
    class Direct(Workflow[list[str]]):
        @step
        async def take(self, given: list[StartEvent]) -> StopEvent[list[str]]:
            return StopEvent(result=[each.text for each in given])

    class From(Event, external=True):
        n: int

    class Outside(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> None:
            pass

        @step
        async def take(self, given: list[From]) -> StopEvent[int] | None:
            assert len(given) == 1
            return StopEvent(result=given[0].n) if given[0].n == 2 else None

    assert await Direct().run(text="one") == ["one"]
    async with Outside().run() as run:
        run.send_event(From(n=1))
        run.send_event(From(n=2))
        assert await run == 2


async def test_the_start_event_is_a_fork_if_several_steps_take_it():
    class Sources(Workflow[list[int]]):
        @step
        async def one(self, ev: StartEvent) -> Told:
            await anyio.sleep(2)
            return Told(n=1)

        @step
        async def two(self, ev: StartEvent) -> Told:
            await anyio.sleep(1)
            return Told(n=2)

        @step
        async def decide(self, told: list[Told]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in told])

    assert await Sources().run() == [2, 1]


# -- forks in forks, and round again ---------------------------------------------------------------------------------


class Page(Event):
    size: int = 0


class Nested(Workflow[list[list[int]]]):
    """Pages fork into questions; a page without questions, and none at all, are joined too."""

    @step
    async def begin(self, ev: StartEvent) -> list[Page]:
        return [Page(size=size) for size in ev.sizes]

    @step
    async def split(self, ev: Page) -> list[Ask]:
        return [Ask(n=n, wait=1 + n) for n in range(ev.size)]

    @step
    async def ask(self, ev: Ask) -> Told:
        await anyio.sleep(ev.wait)
        return Told(n=ev.n)

    @step
    async def add(self, told: list[Told]) -> Sum:
        return Sum(ns=[each.n for each in told])

    @step
    async def total(self, sums: Annotated[list[Sum], All(order="source")]) -> StopEvent[list[list[int]]]:
        return StopEvent(result=[each.ns for each in sums])


@pytest.mark.parametrize("sizes", [[], [0], [1], [2, 0, 3], [0, 0]])
async def test_forks_in_forks_are_joined_each_by_itself(sizes: list[int]):
    assert await Nested().run(sizes=sizes) == [list(range(size)) for size in sizes]


async def test_two_forks_of_one_step_at_once_are_kept_apart():
    """Each page has a fork of its own, though their questions are at work at the same time."""
    start = anyio.current_time()
    assert await Nested().run(sizes=[2, 2]) == [[0, 1], [0, 1]]
    assert anyio.current_time() - start == pytest.approx(2)


async def test_a_loop_that_goes_through_the_fork_again_is_joined_each_time():
    class Round(Event):
        left: int

    class Rounds(Workflow[list[int]]):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: list[int] = []

        @step
        async def begin(self, ev: StartEvent) -> Round:
            return Round(left=ev.rounds)

        @step
        async def split(self, ev: Round) -> list[Ask]:
            return [Ask(n=ev.left)] * ev.left

        @step
        async def ask(self, ev: Ask) -> Told:
            return Told(n=ev.n)

        @step
        async def decide(self, told: list[Told]) -> Round | StopEvent[list[int]]:
            self.sizes.append(len(told))
            return Round(left=len(told) - 1) if told else StopEvent(result=self.sizes)

    assert await Rounds().run(rounds=3) == [3, 2, 1, 0]


async def test_a_task_is_divided_and_joined_by_the_same_two_steps():
    class Part(Event):
        low: int
        high: int

    class Done(Event):
        total: int
        of: int

    class Divide(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> Part:
            return Part(low=0, high=ev.count)

        @step(num_workers=100)
        async def split(self, ev: Part) -> list[Part] | Done:
            if ev.high - ev.low == 1:
                return Done(total=ev.low, of=1)
            middle = (ev.low + ev.high) // 2
            return [Part(low=ev.low, high=middle), Part(low=middle, high=ev.high)]

        @step
        async def merge(self, done: list[Done]) -> Done | StopEvent[int]:
            of = sum(each.of for each in done)
            total = sum(each.total for each in done)
            return StopEvent(result=total) if of == 64 else Done(total=total, of=of)

    assert await Divide().run(count=64) == sum(range(64))


async def test_a_deep_chain_of_lists_is_closed_without_recursion():
    class Deep(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(n=3000)]

        @step
        async def go(self, ev: Ask) -> list[Ask] | Told:
            return [Ask(n=ev.n - 1)] if ev.n else Told()

        @step
        async def take(self, told: list[Told]) -> StopEvent[int] | None:
            self.calls = getattr(self, "calls", 0) + 1

    workflow = Deep()
    with pytest.raises(WorkflowStalledError):
        await workflow.run()
    assert workflow.calls == 1  # the forks around were served by it


# -- failures, retries, waits ----------------------------------------------------------------------------------------


async def test_a_branch_that_is_retried_is_live_between_its_attempts():
    class Retried(Poll):
        @step(retry_policy=RetryPolicy(attempts=3))
        async def ask(self, ctx: Context, ev: Ask) -> Told:
            if ev.n == 1 and ctx.attempt.number < 3:
                raise OSError
            return Told(n=ev.n)

    assert await Retried().run(waits=[0, 0, 0]) == [0, 2, 1]


async def test_a_branch_that_is_recovered_goes_on_in_the_handler():
    class Recovered(Poll):
        @step
        async def ask(self, ev: Ask) -> Told:
            if ev.n < 2:
                raise OSError(ev.n)
            return Told(n=ev.n)

        @catch_error(max_recoveries=9)
        async def recover(self, ev: StepFailedEvent) -> Told | None:
            await anyio.sleep(1)
            return Told(n=-1) if str(ev.exception) == "1" else None

    assert await Recovered().run(waits=[0, 0, 0]) == [2, -1]


async def test_a_branch_that_fails_fails_the_run():
    class Fails(Poll):
        @step
        async def ask(self, ev: Ask) -> Told:
            await anyio.sleep(ev.n)
            if ev.n == 1:
                raise OSError("no answer")
            return Told(n=ev.n)

    run = Fails().run(waits=[0, 0, 0])
    with pytest.raises(OSError, match="no answer"):
        await run
    assert run.leftovers == (Told(n=0),)


async def test_a_retried_join_is_given_the_same_list_though_it_changed_it():
    class Again(Poll):
        @step(retry_policy=RetryPolicy(attempts=3))
        async def decide(self, ctx: Context, told: list[Told]) -> StopEvent[list[int]]:
            seen = [each.n for each in told]
            told.clear()
            if ctx.attempt.number < 3:
                raise OSError
            return StopEvent(result=seen)

    assert await Again().run(waits=[2, 1]) == [1, 0]


async def test_a_branch_that_waits_in_its_middle_is_live():
    class Go(Event):
        n: int

    class Waits(Poll):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Told:
            go = await ctx.wait_for_event(Go, requirements={"n": ev.n})
            return Told(n=go.n)

    async with Waits().run(waits=[0, 0]) as run:
        await anyio.sleep(3)
        run.send_event(Go(n=1))
        await anyio.sleep(3)
        assert not run.done
        run.send_event(Go(n=0))
        assert await run == [1, 0]


async def test_a_join_sees_the_variables_as_they_were_where_its_fork_began():
    class Carried(Poll):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            variable.set("of the fork")
            return [Ask(n=0), Ask(n=1)]

        @step
        async def ask(self, ev: Ask) -> Told:
            variable.set("of a branch")
            return Told(n=ev.n)

        @step
        async def decide(self, told: list[Told]) -> StopEvent[Any]:
            return StopEvent(result=variable.get())

    assert await Carried().run() == "of the fork"


# -- deadlines and ends ----------------------------------------------------------------------------------------------


async def test_the_deadline_keeps_what_has_arrived_and_does_not_call_the_join():
    run = Poll(timeout=2.5).run(waits=[1, 2, 3])
    with pytest.raises(WorkflowTimeoutError) as caught:
        await run
    assert "has 2 x Told and waits for the end of the fork" in str(caught.value)
    assert run.leftovers == (Told(n=0), Told(n=1))


async def test_a_stop_in_a_branch_ends_the_run_and_keeps_what_has_arrived():
    class Stops(Poll):
        @step
        async def ask(self, ev: Ask) -> Told | StopEvent[Any]:
            await anyio.sleep(ev.wait)
            return Told(n=ev.n) if ev.wait == 1 else StopEvent(result="enough")

    run = Stops().run(waits=[1, 2, 3])
    assert await run == "enough"
    assert run.leftovers == (Told(n=0),)


async def test_a_cancelled_run_keeps_what_has_arrived():
    async with Poll().run(waits=[1, 9]) as run:
        await anyio.sleep(2)
        await run.cancel()
    assert run.leftovers == (Told(n=0),)


async def test_a_join_that_waits_for_a_worker_is_a_leftover_of_its_events():
    class Busy(Nested):
        @step(num_workers=1)
        async def add(self, told: list[Told]) -> Sum:
            await anyio.sleep_forever()
            raise AssertionError

    run = Busy(timeout=5).run(sizes=[1, 2])
    with pytest.raises(WorkflowTimeoutError):
        await run
    assert run.leftovers == (Told(n=0), Told(n=1))


async def test_runs_of_one_workflow_are_joined_apart():
    workflow, results = Poll(), dict[int, list[int]]()

    async def one(size: int) -> None:
        results[size] = await workflow.run(waits=[size - n for n in range(size)])

    async with anyio.create_task_group() as tg:
        for size in range(5):
            tg.start_soon(one, size)
    assert results == {size: list(reversed(range(size))) for size in range(5)}


async def test_a_collecting_step_works_beside_a_join():
    class Both(Poll):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Told | None:
            asked = ctx.collect_events(ev, [Ask] * 2)
            return None if asked is None else Told(n=sum(each.n for each in asked))

    run = Both().run(waits=[0] * 5)
    assert await run == [1, 5]
    assert run.leftovers == (Ask(n=4, wait=0),)


async def test_a_join_in_a_thread_is_given_the_list():
    class InThread(Poll):
        @step
        def decide(self, told: list[Told]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in told])

    assert await InThread().run(waits=[0, 0]) == [0, 1]


# -- the first of a fork ---------------------------------------------------------------------------------------------


class Race(Workflow[list[int]]):
    """Signs whoever begins and whoever has cleaned up."""

    def __init__(self, cleanup: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.ledger = Ledger()
        self.cleanup = cleanup

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(n=n, wait=wait) for n, wait in enumerate(ev.waits)]

    @step
    async def ask(self, ev: Ask) -> Told | None:
        async with self.ledger.signed(str(ev.n), cleanup=self.cleanup):
            await anyio.sleep(abs(ev.wait))
        return Told(n=ev.n) if ev.wait >= 0 else None

    @step
    async def decide(self, told: Annotated[list[Told], First()]) -> StopEvent[list[int]]:
        self.ledger.enter("decide")
        await anyio.sleep(1)
        return StopEvent(result=[each.n for each in told])


async def test_the_first_wins_and_the_losers_have_cleaned_up_before_the_join_begins():
    race = Race(cleanup=2)
    start = anyio.current_time()
    run = race.run(waits=[9, 1, 9])
    assert await run == [1]
    assert anyio.current_time() - start == pytest.approx(1 + 2 + 2 + 1)
    assert race.ledger.log[-1] == "+decide"
    assert sorted(race.ledger.left) == ["0", "1", "2"]
    assert run.leftovers == run.dead_letters == ()


@pytest.mark.parametrize(("waits", "result"), [([], []), ([1], [0]), ([-1, -2], []), ([-1, 2], [1])])
async def test_a_race_with_fewer_winners_ends_with_the_last(waits: list[float], result: list[int]):
    assert await Race().run(waits=waits) == result


@pytest.mark.parametrize(("order", "result"), [("arrival", [2, 0]), ("source", [0, 2])])
async def test_the_first_two_in_either_order(order: Any, result: list[int]):
    class Two(Race):
        @step
        async def decide(self, told: Annotated[list[Told], First(2, order=order)]) -> StopEvent[list[int]]:
            return StopEvent(result=[each.n for each in told])

    assert await Two().run(waits=[2, 3, 1, 9]) == result


async def test_who_had_not_begun_never_does_and_is_told(caplog: pytest.LogCaptureFixture):
    race = Race()
    run = race.run(waits=[1, 2, 2, 2, 2, 2])
    assert await run == [0]
    assert sorted(race.ledger.entered) == ["0", "1", "2", "3", "decide"]
    assert sorted(shown(letter.event) for letter in run.dead_letters) == [
        "Ask(n=4, wait=2)",
        "Ask(n=5, wait=2)",
    ]
    assert "dead letter Ask(n=4, wait=2): the join of its fork had enough before Race.ask (" in caplog.text


async def test_what_a_loser_returns_or_sends_all_the_same_is_told():
    class Stubborn(Race):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Told:
            try:
                await anyio.sleep(ev.wait)
            except anyio.get_cancelled_exc_class():
                ctx.send_event(Ask(n=10))
            return Told(n=ev.n)

    run = Stubborn().run(waits=[1, 2])
    assert await run == [0]
    assert [letter.event for letter in run.dead_letters] == [Ask(n=10), Told(n=1)]


async def test_a_loser_whose_clean_up_fails_fails_the_run():
    class Broken(Race):
        @step(retry_policy=RetryPolicy(attempts=5))
        async def ask(self, ev: Ask) -> Told:
            try:
                await anyio.sleep(ev.wait)
            finally:
                if ev.n == 1:
                    raise OSError("broken")
            return Told(n=ev.n)

    with pytest.raises(OSError, match="broken"):
        await Broken().run(waits=[1, 2])


async def test_everything_below_the_fork_is_lost_forks_waits_and_retries_too():
    class Deep(Race):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> list[Page] | Told:
            async with self.ledger.signed(str(ev.n)):
                if ev.n == 1:
                    await ctx.wait_for_event(Sum)
                await anyio.sleep(ev.wait)
            return Told(n=0) if ev.n == 0 else [Page(size=1), Page(size=2), Page(size=3)]

        @step(num_workers=2, retry_policy=RetryPolicy(attempts=9))
        async def read(self, ev: Page) -> Told:
            async with self.ledger.signed(f"page {ev.size}"):
                await anyio.sleep(0 if ev.size == 1 else 9)
                raise OSError

    race = Deep()
    run = race.run(waits=[3, 1, 2.999])
    assert await run == [0]
    assert [*race.ledger.inside] == ["decide"]
    assert sorted(race.ledger.entered)[:3] == ["0", "1", "2"]
    assert {"page 1", "page 2"} <= {*race.ledger.entered}
    assert race.ledger.entered.count("page 1") == 1  # it waited for its next attempt


async def test_what_a_racer_sends_counts_when_its_step_has_ended():
    """It may send one more until then, and would be a fork of its own."""

    class Sends(Race):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Told | None:
            ctx.send_event(Told(n=ev.n))
            await anyio.sleep(ev.wait)

    start = anyio.current_time()
    assert await Sends().run(waits=[3, 2]) == [1]
    assert anyio.current_time() - start == pytest.approx(2 + 1)


async def test_who_has_sent_the_racers_goes_on():
    class Starter(Race):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | Page:
            for n in range(3):
                ctx.send_event(Ask(n=n, wait=1 + n))
            await anyio.sleep(1.5)
            ctx.send_event(Told(n=9))
            ctx.send_event(Ask(n=8))
            return Page()

        @step
        async def see(self, ev: Page) -> None:
            self.ledger.enter("page")

    race = Starter()
    run = race.run()
    assert await run == [0]
    assert "page" in race.ledger.entered
    assert [letter.event for letter in run.dead_letters] == [Told(n=9), Ask(n=8)]


async def test_the_deadline_holds_while_losers_clean_up():
    race = Race(cleanup=5, timeout=3)
    with pytest.raises(WorkflowTimeoutError):
        await race.run(waits=[1, 2])
    assert not race.ledger.inside
    assert "decide" not in race.ledger.entered


async def test_a_cancellation_of_the_caller_reaches_a_race():
    race = Race(cleanup=1)
    with anyio.move_on_after(2):
        await race.run(waits=[1.5, 5, 5])
        raise AssertionError
    assert not race.ledger.inside
    assert "decide" not in race.ledger.entered


async def test_a_loser_in_a_thread_is_waited_for():
    """And what it returns is told."""
    begun, end = anyio.Event(), threading.Event()

    class InThread(Race):
        @step
        def read(self, ev: Page) -> Told:
            anyio.from_thread.run_sync(begun.set)
            assert end.wait(10)
            return Told(n=7)

        @step
        async def ask(self, ev: Ask) -> Told:
            try:
                await begun.wait()
                await anyio.sleep(ev.wait)
            except anyio.get_cancelled_exc_class():
                end.set()
                raise
            return Told(n=ev.n)

        @step
        async def begin(self, ev: StartEvent) -> list[Ask | Page]:
            return [Ask(n=0, wait=0), Ask(n=1, wait=1000), Page()]

    run = InThread().run()
    assert await run == [0]
    assert [letter.event for letter in run.dead_letters] == [Told(n=7)]


async def test_what_a_loser_held_back_or_had_collected_before_it_failed_is_told():
    class Holds(Race):
        @step(emit="on_success")
        async def ask(self, ctx: Context, ev: Ask) -> Told:
            ctx.send_event(Page(size=ev.n))
            await anyio.sleep(ev.wait)
            return Told(n=ev.n)

        @step(retry_policy=RetryPolicy(attempts=9, wait=fixed(20)))
        async def read(self, ctx: Context, ev: Page) -> None:
            if ctx.collect_events(ev, [Page] * 2):
                raise OSError

        @step
        async def begin(self, ev: StartEvent) -> list[Ask | Page]:
            return [Ask(n=1, wait=1), Ask(n=2, wait=2), Page(size=8), Page(size=9)]

    run = Holds().run()
    assert await run == [1]
    told = [(letter.event, letter.reason.split(")")[-1]) for letter in run.dead_letters]
    assert (Page(size=2), " held it back and was cancelled") in told
    assert (Page(size=8), " took it") in told
    assert (Page(size=9), " took it") in told


async def test_who_has_not_begun_leaves_room_in_a_bounded_queue():
    class Bounded(Race):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | Page:
            for n in range(6):
                await ctx.send(Ask(n=n, wait=1 + n))
            await anyio.sleep(2)
            for size in range(6):
                ctx.send_event(Page(size=size))  # there is room again
            await anyio.sleep(1)
            return Page()

        @step
        async def read(self, ev: Page) -> None:
            await anyio.sleep(0.1)

    race = Bounded(queue_size=2)
    run = race.run()
    assert await run == [0]
    assert Ask(n=5, wait=6) in [letter.event for letter in run.dead_letters]


async def test_what_arrives_at_a_join_needs_no_room():
    class Bounded(Poll):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Told | None:
            ctx.send_event(Told(n=ev.n))

    assert sorted(await Bounded(queue_size=1).run(waits=[0] * 20)) == [*range(20)]


async def test_what_arrives_at_a_join_needs_no_room_though_its_workers_are_taken():
    class Bounded(Nested):
        @step
        async def split(self, ev: Page) -> list[Ask]:
            return [Ask(n=n, wait=ev.size) for n in range(2)]

        @step(num_workers=9)
        async def ask(self, ctx: Context, ev: Ask) -> Told | None:
            await anyio.sleep(ev.wait)
            ctx.send_event(Told(n=ev.n))

        @step(num_workers=1)
        async def add(self, told: list[Told]) -> Sum:
            await anyio.sleep(9)
            return Sum(ns=[each.n for each in told])

    result = await Bounded(queue_size=1).run(sizes=[1, 2, 3])
    assert [sorted(ns) for ns in result] == [[0, 1]] * 3


async def test_a_loser_that_stops_the_run_all_the_same_does_not():
    class Stops(Race):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Told | StopEvent[Any]:
            if ev.n == 0:
                await anyio.sleep(1)
                return Told(n=0)
            try:
                await anyio.sleep(9)
            except anyio.get_cancelled_exc_class():
                if ev.n == 1:
                    ctx.send_event(StopEvent(result="sent"))
            return StopEvent(result="returned")

    run = Stops().run(waits=[1, 1, 1])
    assert await run == [0]
    stops = sorted(shown(letter.event) for letter in run.dead_letters)
    assert stops == ["StopEvent(result='returned')"] * 2 + ["StopEvent(result='sent')"]


# -- one of each -----------------------------------------------------------------------------------------------------


class Left(Event):
    n: int = 0


class Right(Event):
    n: int = 0


class Pairs(Workflow[list[tuple[int, int]]]):
    """Each question is answered from two sides, the right one sooner for a greater number."""

    @step
    async def begin(self, ev: StartEvent) -> list[Page]:
        return [Page(size=n) for n in range(ev.count)]

    @step
    async def split(self, ctx: Context, ev: Page) -> Left | Ask:
        ctx.send_event(Ask(n=ev.size, wait=9 - ev.size))
        return Left(n=ev.size)

    @step
    async def ask(self, ev: Ask) -> Right:
        await anyio.sleep(ev.wait)
        return Right(n=ev.n)

    @step
    async def pair(self, right: Right, ctx: Context, left: Left) -> Sum:
        return Sum(ns=[left.n, right.n])

    @step
    async def total(self, sums: list[Sum]) -> StopEvent[list[list[int]]]:
        return StopEvent(result=[each.ns for each in sums])


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_one_of_each_type_is_joined_within_its_fork(count: int):
    run = Pairs().run(count=count)
    assert await run == [[n, n] for n in reversed(range(count))]
    assert run.leftovers == run.dead_letters == ()


async def test_what_is_left_over_of_a_pair_goes_to_the_fork_around():
    class Halves(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(n=1), Ask(n=2)]

        @step
        async def ask(self, ev: Ask) -> list[Left | Right]:
            return [Left(n=ev.n), Left(n=-ev.n)] if ev.n == 1 else [Right(n=ev.n)]

        @step
        async def pair(self, left: Left, right: Right) -> StopEvent[int] | None:
            return StopEvent(result=left.n + right.n)

    run = Halves().run()
    assert await run == 3
    assert run.leftovers == (Left(n=-1),)


async def test_a_pair_of_which_one_never_comes_is_a_stalled_run_that_says_so():
    class Alone(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Left | Right | None:
            ctx.send_event(Left())

        @step
        async def pair(self, left: Left, right: Right) -> StopEvent[int]:
            return StopEvent(result=1)

    run = Alone().run()
    with pytest.raises(WorkflowStalledError, match=r"pair .* has 1 x Left and still waits for a Right"):
        await run
    assert run.leftovers == (Left(),)


async def test_subclasses_fill_a_pair_where_the_step_takes_them():
    class Lefter(Left):
        pass

    class Sub(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Lefter | Right | None:
            ctx.send_event(Right())
            ctx.send_event(Lefter())

        @step(accept_event_subclasses=True)
        async def pair(self, left: Left, right: Right) -> StopEvent[str]:
            return StopEvent(result=type(left).__name__)

    assert await Sub().run() == "Lefter"


async def test_a_loser_that_waits_for_its_next_attempt_is_gone_at_once_and_its_event_is_told():
    """The run went on until the timer of that attempt, and its event was nowhere."""

    class Query(Event):
        fails: bool

    class Reply(Event):
        pass

    class Race(Workflow[str]):
        @step
        async def fork(self, ev: StartEvent) -> list[Query]:
            return [Query(fails=True), Query(fails=False)]

        @step(retry_policy=RetryPolicy(wait=fixed(5)))
        async def ask(self, ev: Query) -> Reply:
            if ev.fails:
                raise OSError
            await anyio.sleep(1)
            return Reply()

        @step
        async def take(self, said: Annotated[list[Reply], First()]) -> StopEvent[str]:
            return StopEvent(result="won")

    began = anyio.current_time()
    run = Race().run()
    assert await run == "won"
    assert anyio.current_time() - began == pytest.approx(1)
    assert [letter.event for letter in run.dead_letters] == [Query(fails=True)]
    assert run.leftovers == ()


class Divides(Workflow[list[str]]):
    """Sends one event, or a list of another, and joins each of them apart."""

    def __init__(self, made: Ask | list[Told], **options: Any) -> None:
        super().__init__(**options)
        self.made = made
        self.called: list[str] = []

    @step
    async def begin(self, ev: StartEvent) -> Ask | list[Told]:
        return self.made

    @step
    async def asks(self, asks: list[Ask]) -> StopEvent[list[str]]:
        self.called.append(f"{len(asks)} asks")
        return StopEvent(result=self.called)

    @step
    async def tells(self, tells: list[Told]) -> StopEvent[list[str]]:
        self.called.append(f"{len(tells)} tells")
        await anyio.sleep(1)
        return StopEvent(result=self.called)


@pytest.mark.parametrize(
    ("made", "called"),
    [([], ["0 tells"]), ([Told(n=1)], ["1 tells"]), (Ask(n=1), ["1 asks"])],
)
async def test_an_empty_list_calls_no_join_of_what_is_returned_without_a_list(
    made: Ask | list[Told], called: list[str]
):
    assert await Divides(made).run() == called


@pytest.mark.parametrize("thread_first", [True, False])
async def test_a_loser_in_a_thread_never_begins_if_the_race_is_decided_by_what_was_ready_with_it(
    *, thread_first: bool
):
    """On trio the thread had begun, and the race waited for its end; on asyncio it never did."""
    begun: list[int] = []

    class AtOnce(Race):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask | Page]:
            return [Page(), Ask()] if thread_first else [Ask(), Page()]

        @step
        def read(self, ev: Page) -> Told:
            begun.append(1)
            return Told(n=7)

        @step
        async def ask(self, ev: Ask) -> Told:
            return Told(n=ev.n)

    for _ in range(20):  # trio takes up in any order who is ready
        assert await AtOnce().run() == [0]
    assert begun == []


class Child(Workflow[None]):
    """Sleeps for long, and takes its time to clean up."""

    @step
    async def sleep(self, ev: StartEvent) -> StopEvent[None]:
        async with ev.ledger.signed("child", cleanup=ev.cleanup):
            await anyio.sleep(1000)
        return StopEvent(result=None)


@pytest.mark.parametrize("how", ["the step", "a task of the step", "an open block", "the winner"])
async def test_a_nested_run_that_a_loser_has_made_has_ended_before_the_join_begins(how: str):
    """One that nobody awaited was still at work when the join began, and until the run ended."""

    class Nests(Race):
        @step
        async def ask(self, ev: Ask) -> Told | None:
            async def nest() -> None:
                Child(timeout=None).run(ledger=self.ledger, cleanup=2)

            if ev.n == (0 if how == "the winner" else 1):
                async with anyio.create_task_group() as tg:
                    if how == "a task of the step":
                        tg.start_soon(nest)
                    elif how == "an open block":
                        async with Child(timeout=None).run(ledger=self.ledger, cleanup=2):
                            await anyio.sleep(ev.wait)
                    else:
                        await nest()
                    await anyio.sleep(0.5)
            await anyio.sleep(ev.wait)
            return Told(n=ev.n)

    race = Nests(timeout=None)
    assert await race.run(waits=[1, 1000]) == [0]
    its_own = how == "the winner"  # it is the run's when its step has ended
    assert race.ledger.log == (
        ["+child", "+decide", "-child"] if its_own else ["+child", "-child", "+decide"]
    )


async def test_a_cancellation_that_comes_while_the_nested_run_of_a_loser_ends_waits_for_it():
    class Nests(Race):
        @step
        async def ask(self, ev: Ask) -> Told | None:
            if ev.n:
                Child(timeout=None).run(ledger=self.ledger, cleanup=5)
            await anyio.sleep(ev.wait)
            return Told(n=ev.n)

    race = Nests(timeout=None)
    began = anyio.current_time()
    with anyio.move_on_after(2) as scope:
        await race.run(waits=[1, 1000])
    assert scope.cancelled_caught
    assert race.ledger.log == ["+child", "-child"]
    assert anyio.current_time() - began == pytest.approx(1 + 5)
