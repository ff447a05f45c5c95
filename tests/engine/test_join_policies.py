"""Lists that close by a rule: by a quorum, with the event that will do, by key, by windows, with the failures too."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
from stretto.events import StepFailedEvent
from stretto.joins import All, ByKey, First, Quorum, Settle, Until, Window
from stretto.retry import fixed

pytestmark = pytest.mark.anyio


class Ask(Event):
    n: int = 0
    wait: float = 1.0


class Vote(Event):
    n: int = 0
    good: bool = True

    @property
    def unhashable(self) -> Any:
        return []


class Sum(Event):
    ns: list[int]


class Poll(Workflow[list[int]]):
    """Each answers after its wait; a negative one says no, and one of no wait says nothing."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ended: list[int] = []

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(n=n, wait=wait) for n, wait in enumerate(ev.waits)]

    @step(num_workers=99)
    async def ask(self, ev: Ask) -> Vote | None:
        try:
            await anyio.sleep(abs(ev.wait))
        finally:
            self.ended.append(ev.n)
        return Vote(n=ev.n, good=ev.wait > 0) if ev.wait else None


def numbers(votes: Sequence[Vote]) -> StopEvent[list[int]]:
    return StopEvent(result=[each.n for each in votes])


def two_good(votes: Sequence[Vote]) -> bool:
    return sum(each.good for each in votes) >= 2


def is_bad(vote: Vote) -> bool:
    return not vote.good


def fails(came: object) -> bool:
    raise LookupError("no such thing")


# -- races -----------------------------------------------------------------------------------------------------------


class Majority(Poll):
    @step
    async def decide(self, votes: Annotated[list[Vote], Quorum(two_good)]) -> StopEvent[list[int]]:
        return numbers(votes)


class Sought(Poll):
    @step
    async def decide(self, votes: Annotated[list[Vote], Until(is_bad)]) -> StopEvent[list[int]]:
        return numbers(votes)


@pytest.mark.parametrize(
    ("waits", "result", "seconds"),
    [
        ([], [], 0),  # nobody was asked
        ([0], [], 0),  # nobody answered
        ([1], [0], 1),  # too few: what there is
        ([-1, -2], [0, 1], 2),
        ([3, -1, 2, 9], [1, 2, 0], 3),
        ([1, 2], [0, 1], 2),
    ],
)
async def test_a_quorum_closes_when_what_has_come_is_enough(
    waits: list[float], result: list[int], seconds: float
):
    poll = Majority()
    start = anyio.current_time()
    run = poll.run(waits=waits)
    assert await run == result
    assert anyio.current_time() - start == pytest.approx(seconds)
    assert sorted(poll.ended) == list(range(len(waits)))  # who has lost has ended
    assert run.dead_letters == run.leftovers == ()


@pytest.mark.parametrize(
    ("waits", "result", "seconds"),
    [
        ([], [], 0),
        ([0, 0], [], 0),
        ([1, 2], [0, 1], 2),  # none will do: what there is
        ([3, 1, -2, 9], [1, 2], 2),
        ([-1], [0], 1),
    ],
)
async def test_a_search_closes_with_the_first_that_will_do(
    waits: list[float], result: list[int], seconds: float
):
    poll = Sought()
    start = anyio.current_time()
    assert await poll.run(waits=waits) == result
    assert anyio.current_time() - start == pytest.approx(seconds)
    assert sorted(poll.ended) == list(range(len(waits)))


async def test_the_order_of_the_source_is_that_of_what_is_given():
    class Sorted(Poll):
        @step
        async def decide(
            self, votes: Annotated[list[Vote], Until(is_bad, order="source")]
        ) -> StopEvent[list[int]]:
            return numbers(votes)

    assert await Sorted().run(waits=[3, 1, -2, 9]) == [1, 2]
    assert await Sorted().run(waits=[-3, 2, 1, 9]) == [0, 1, 2]


class Kept(Poll):
    @step
    async def decide(
        self, ctx: Context, votes: Annotated[list[Vote], First(2, losers="keep")]
    ) -> StopEvent[list[int]]:
        self.at = anyio.current_time()
        await ctx.sleep(10)
        return numbers(votes)


class Drained(Poll):
    @step
    async def decide(
        self, votes: Annotated[list[Vote], Quorum(two_good, losers="drain")]
    ) -> StopEvent[list[int]]:
        self.at = anyio.current_time()
        return numbers(votes)


async def test_losers_that_are_kept_go_on_beside_the_join_and_come_too_late():
    poll, start = Kept(), anyio.current_time()
    run = poll.run(waits=[5, 1, 2, 30])
    assert await run == [1, 2]
    assert poll.at - start == pytest.approx(2)
    assert anyio.current_time() - start == pytest.approx(12)  # the stop cancels who is still at work
    assert [letter.event for letter in run.dead_letters] == [Vote(n=0)]
    assert "had enough before it came" in run.dead_letters[0].reason


async def test_losers_that_are_drained_end_by_themselves_before_the_join():
    poll, start = Drained(), anyio.current_time()
    run = poll.run(waits=[5, 1, 2, -30])
    assert await run == [1, 2]
    assert poll.at - start == pytest.approx(30)
    assert [letter.event for letter in run.dead_letters] == [Vote(n=0), Vote(n=3, good=False)]


async def test_other_joins_of_the_fork_are_called_as_ever_where_losers_go_on():
    class Both(Poll):
        @step
        async def early(self, votes: Annotated[list[Vote], First(losers="keep")]) -> None:
            self.early_at = anyio.current_time()

        @step
        async def decide(self, votes: list[Vote]) -> StopEvent[list[int]]:
            return numbers(votes)

    poll, start = Both(), anyio.current_time()
    assert await poll.run(waits=[3, 1, 2]) == [1, 2, 0]
    assert poll.early_at - start == pytest.approx(1)


@pytest.mark.parametrize(
    "policy", [Quorum(fails), Until(fails), ByKey(fails), ByKey(lambda ev: ev.unhashable)]
)
async def test_a_predicate_that_fails_fails_the_run_and_says_whose_it_is(policy: Any):
    class Broken(Poll):
        @step
        async def decide(self, votes: Annotated[list[Vote], policy]) -> StopEvent[list[int]]:
            return numbers(votes)

    poll = Broken()
    run = poll.run(waits=[1, 2])
    with pytest.raises((LookupError, TypeError)) as raised:
        await run
    (note,) = raised.value.__notes__
    assert note.startswith(f"raised by {type(policy).__name__}(")
    assert "(test_join_policies.py:" in note
    assert "by which test_" in note or "by which Broken.decide (test_join_policies.py:" in note
    assert "asked about Vote(n=0" in note
    assert Vote(n=0) in run.leftovers
    assert sorted(poll.ended) == [0, 1]


async def test_past_the_deadline_no_join_is_called_and_what_came_is_left_over():
    for workflow in (Majority, Sought, Drained):
        run = workflow(timeout=5).run(waits=[1, 9])
        with pytest.raises(
            WorkflowTimeoutError, match=r"decide .* has 1 x Vote and waits for the end of the fork"
        ):
            await run
        assert run.leftovers == (Vote(n=0),)


# -- parts -----------------------------------------------------------------------------------------------------------


class Keyed(Poll):
    """A sum for each of odd and even, and all sums in a list."""

    @step
    async def add(self, votes: Annotated[list[Vote], ByKey(lambda vote: vote.n % 2, order="source")]) -> Sum:
        return Sum(ns=[each.n for each in votes])

    @step
    async def total(self, sums: list[Sum]) -> StopEvent[list[int]]:
        return StopEvent(result=[n for each in sums for n in [*each.ns, -1]])


@pytest.mark.parametrize(
    ("waits", "result"),
    [
        ([], []),
        ([0, 0], []),
        ([1], [0, -1]),
        ([3, 1, 2, 4], [1, 3, -1, 0, 2, -1]),
    ],
)
async def test_each_key_has_a_call_and_a_list_behind_is_called_once(waits: list[float], result: list[int]):
    assert await Keyed().run(waits=waits) == result


async def test_the_name_of_a_field_is_a_key():
    class ByField(Poll):
        @step
        async def add(self, votes: Annotated[list[Vote], ByKey("good")]) -> Sum:
            return Sum(ns=[each.n for each in votes])

        @step
        async def total(self, sums: list[Sum]) -> StopEvent[list[list[int]]]:
            return StopEvent(result=[each.ns for each in sums])

    assert await ByField().run(waits=[1, -2, 3]) == [[0, 2], [1]]


@pytest.mark.parametrize("how", ["to the join", "to a step before it"])
async def test_forks_that_are_sent_are_grouped_and_joined_again_too(how: str):
    class Sends(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Vote | Ask | None:
            for n in range(4):
                ctx.send_event(Vote(n=n) if how == "to the join" else Ask(n=n))

        @step
        async def ask(self, ev: Ask) -> Vote:
            return Vote(n=ev.n)

        @step
        async def add(self, votes: Annotated[list[Vote], ByKey(lambda vote: vote.n % 2)]) -> Sum:
            return Sum(ns=[each.n for each in votes])

        @step
        async def total(self, sums: list[Sum]) -> StopEvent[list[list[int]]]:
            return StopEvent(result=[each.ns for each in sums])

    assert await Sends().run() == [[0, 2], [1, 3]]


class Windowed(Poll):
    @step
    async def add(self, votes: Annotated[list[Vote], Window(3, seconds=10)]) -> Sum:
        return Sum(ns=[each.n for each in votes])

    @step
    async def total(self, sums: list[Sum]) -> StopEvent[list[list[int]]]:
        return StopEvent(result=[each.ns for each in sums])


@pytest.mark.parametrize(
    ("waits", "result"),
    [
        ([], []),
        ([0], []),
        ([1, 2], [[0, 1]]),
        ([1, 2, 3], [[0, 1, 2]]),
        ([1, 2, 3, 4], [[0, 1, 2], [3]]),
        ([1, 10.5, 11, 20.5, 21], [[0, 1], [2, 3], [4]]),  # at its end an event is in the next
        ([1, 30, 31, 41.5], [[0], [1, 2], [3]]),
    ],
)
async def test_windows_end_by_their_number_or_their_time_and_the_rest_with_the_fork(
    waits: list[float], result: list[list[int]]
):
    assert await Windowed().run(waits=waits) == result


@pytest.mark.parametrize("limit", [45.0, None])
async def test_a_window_of_time_is_called_when_its_time_is_over_and_not_later(limit: float | None):
    class Timed(Windowed):
        @step
        async def add(self, votes: Annotated[list[Vote], Window(seconds=2)]) -> Sum:
            self.calls = [*getattr(self, "calls", ()), (anyio.current_time() - start, len(votes))]
            return Sum(ns=[each.n for each in votes])

    timed, start = Timed(timeout=limit), anyio.current_time()
    await timed.run(waits=[1, 2, 4, 20])
    assert timed.calls == [(pytest.approx(3), 2), (pytest.approx(6), 1), (pytest.approx(20), 1)]


async def test_a_window_begins_when_its_first_event_is_sent():
    class Sends(Workflow[Any]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Vote | None:
            await ctx.sleep(5)
            ctx.send_event(Vote(n=1))
            ctx.send_event(Vote(n=2))
            await ctx.sleep(40)

        @step
        async def add(self, votes: Annotated[list[Vote], Window(seconds=10)]) -> StopEvent[float]:
            return StopEvent(result=anyio.current_time())

    start = anyio.current_time()
    assert await Sends().run() - start == pytest.approx(15)


class Reading(Event, external=True):
    n: int


class Meter(Workflow[list[list[int]]]):
    """Windows over what comes from outside."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.batches: list[list[int]] = []

    @step
    async def begin(self, ev: StartEvent) -> None: ...

    @step
    async def take(
        self, readings: Annotated[list[Reading], Window(3, seconds=60)]
    ) -> StopEvent[list[list[int]]] | None:
        self.batches.append([each.n for each in readings])
        return StopEvent(result=self.batches) if readings[-1].n < 0 else None


async def test_outside_of_all_forks_the_windows_are_those_of_the_run():
    async with Meter(timeout=None).run() as run:
        for n in range(4):
            run.send_event(Reading(n=n))
        await anyio.sleep(59)
        run.send_event(Reading(n=4))
        await anyio.sleep(2)  # the second is over
        run.send_event(Reading(n=5))
        run.send_event(Reading(n=-1))
        await anyio.sleep(59)
        assert not run.done
        await anyio.sleep(2)
        assert await run == [[0, 1, 2], [3, 4], [5, -1]]


@pytest.mark.parametrize(("policy", "seconds"), [(Window(3), 2), (Window(3, seconds=5), 7)])
async def test_the_last_window_of_a_run_is_given_when_nothing_else_is_left_to_do(policy: Any, seconds: float):
    joined: Any = Annotated[list[Vote], policy]

    class Lone(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> Vote:
            await anyio.sleep(2)
            return Vote(n=7)

        @step
        async def take(self, votes: joined) -> StopEvent[list[int]]:  # pyright: ignore[reportInvalidTypeForm]
            return numbers(votes)

    for timeout in (45.0, None):
        start = anyio.current_time()
        assert await Lone(timeout=timeout).run() == [7]
        assert anyio.current_time() - start == pytest.approx(seconds)


@pytest.mark.parametrize(("policy", "seconds"), [(Window(3), 0), (Window(3, seconds=5), 5), (Window(1), 0)])
async def test_the_start_event_is_in_a_window_of_the_run_too(policy: Any, seconds: float):
    joined: Any = Annotated[list[StartEvent], policy]

    class Direct(Workflow[Any]):
        @step
        async def take(self, given: joined) -> StopEvent[Any]:  # pyright: ignore[reportInvalidTypeForm]
            return StopEvent(result=[each.text for each in given])

    start = anyio.current_time()
    assert await Direct().run(text="one") == ["one"]
    assert anyio.current_time() - start == pytest.approx(seconds)


async def test_what_is_in_a_window_when_the_run_ends_is_left_over():
    class Ends(Meter):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[Any]:
            await ctx.sleep(5)
            return StopEvent(result="over")

    async with Ends().run() as run:
        run.send_event(Reading(n=1))
        assert await run == "over"
    assert run.leftovers == (Reading(n=1),)


async def test_a_thousand_windows_ask_for_one_timer_at_a_time():
    """Each would leave a task asleep for its minute."""

    class Many(Meter):
        @step
        async def take(
            self, readings: Annotated[list[Reading], Window(2, seconds=60)]
        ) -> StopEvent[Any] | None: ...

    async with Many(timeout=None).run() as run:
        for n in range(1000):
            run.send_event(Reading(n=n))
            await anyio.lowlevel.checkpoint()
        driver: Any = run.ctx._run
        assert driver._timers <= 1
        await run.cancel()


async def test_nothing_of_a_window_outlasts_its_run():
    start = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError, match=r"take .* has 1 x Reading and still waits for 2 more"):
        async with Meter(timeout=3).run() as run:
            run.send_event(Reading(n=1))
            await run
    assert anyio.current_time() - start == pytest.approx(3)
    assert run.leftovers == (Reading(n=1),)


async def test_a_run_without_parts_that_nothing_follows_is_stuck_and_says_so():
    class NoParts(Poll):
        @step
        async def take(self, votes: Annotated[list[Vote], Window(3)]) -> StopEvent[list[int]]:
            return numbers(votes)

    with pytest.raises(WorkflowStalledError, match=r"begin .* returned nothing, or an empty list"):
        await NoParts().run(waits=[])


# -- failures that are settled ---------------------------------------------------------------------------------------


class Settled(Workflow[list[object]]):
    """Each answers after its wait, or fails if that is negative."""

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(n=n, wait=wait) for n, wait in enumerate(ev.waits)]

    @step(num_workers=99)
    async def ask(self, ev: Ask) -> Vote | None:
        await anyio.sleep(abs(ev.wait))
        if ev.wait < 0:
            raise OSError(ev.n)
        return Vote(n=ev.n) if ev.wait else None

    @step
    async def decide(
        self, votes: Annotated[list[Vote | StepFailedEvent], Settle(order="source")]
    ) -> StopEvent[list[object]]:
        return StopEvent(result=[told(each) for each in votes])


def told(each: Vote | StepFailedEvent) -> object:
    if isinstance(each, Vote):
        return each.n
    assert isinstance(each.event, Ask)
    return each.step, each.event.n, str(each.exception), each.attempts, each.elapsed


@pytest.mark.parametrize(
    ("waits", "result"),
    [
        ([], []),
        ([0], []),
        ([1, 2], [0, 1]),
        ([-1], [("ask", 0, "0", 1, pytest.approx(1))]),
        ([2, -1, 0, 1], [0, ("ask", 1, "1", 1, pytest.approx(1)), 3]),
    ],
)
async def test_a_settled_list_has_the_failures_in_their_places(waits: list[float], result: list[object]):
    run = Settled().run(waits=waits)
    assert await run == result
    assert run.leftovers == run.dead_letters == run.failures == ()


async def test_the_order_of_arrival_is_that_of_the_failures_too():
    class Arrival(Settled):
        @step
        async def decide(
            self, votes: Annotated[list[Vote | StepFailedEvent], Settle()]
        ) -> StopEvent[list[object]]:
            return StopEvent(result=[told(each) for each in votes])

    assert await Arrival().run(waits=[3, -1, 2]) == [("ask", 1, "1", 1, pytest.approx(1)), 2, 0]


async def test_what_is_settled_was_tried_again_before_and_recovered_if_there_is_who_does():
    class Tried(Settled):
        @step(retry_policy=RetryPolicy(attempts=3, wait=fixed(1)))
        async def ask(self, ev: Ask) -> Vote | None:
            raise OSError(ev.n)

    assert await Tried().run(waits=[1]) == [("ask", 0, "0", 3, pytest.approx(2))]
    assert await Recovered().run(waits=[-1, -2, 3]) == [0, "recover: no help", 2]


class Recovered(Settled):
    @catch_error(max_recoveries=9)
    async def recover(self, ev: StepFailedEvent) -> Vote | None:
        assert isinstance(ev.event, Ask)
        if ev.event.n == 1:
            raise ValueError("no help")
        return Vote(n=ev.event.n)

    @step
    async def decide(
        self, votes: Annotated[list[Vote | StepFailedEvent], Settle(order="source")]
    ) -> StopEvent[list[object]]:
        return StopEvent(
            result=[each.n if isinstance(each, Vote) else f"{each.step}: {each.exception}" for each in votes]
        )


async def test_a_failure_before_the_fork_or_behind_the_join_fails_the_run():
    class Before(Settled):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            raise OSError("before")

    class Behind(Settled):
        @step
        async def decide(
            self, votes: Annotated[list[Vote | StepFailedEvent], Settle()]
        ) -> StopEvent[list[object]]:
            raise OSError("behind")

    for workflow, why in ((Before, "before"), (Behind, "behind")):
        with pytest.raises(OSError, match=why):
            await workflow().run(waits=[1])


async def test_a_failure_where_no_fork_was_fails_the_run_as_soon_as_that_is_known():
    """The step has sent one event, and might send a second one."""

    class Unknown(Settled):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
            ctx.send_event(Ask(n=0, wait=-1))
            await ctx.sleep(5)
            if ev.waits:
                ctx.send_event(Ask(n=1, wait=1))

    start = anyio.current_time()
    with pytest.raises(OSError, match="0"):
        await Unknown().run(waits=[])
    assert anyio.current_time() - start == pytest.approx(5)
    assert await Unknown().run(waits=[1]) == [("ask", 0, "0", 1, pytest.approx(1)), 1]


class Part(Event):
    n: int
    wait: float


class Inside(Settled):
    """Each is done in parts; one fails after so many seconds if that is negative."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        self.asks = ev.asks
        return [Ask(n=n, wait=0) for n in range(len(ev.asks))]

    @step
    async def ask(self, ev: Ask) -> list[Part] | Vote:
        return [Part(n=ev.n, wait=wait) for wait in self.asks[ev.n]]

    @step(num_workers=99)
    async def work(self, ev: Part) -> Sum:
        try:
            await anyio.sleep(abs(ev.wait))
        except BaseException:
            self.log.append(f"{ev.n} cut")
            raise
        if ev.wait < 0:
            raise OSError(f"part of {ev.n}")
        return Sum(ns=[ev.n])

    @step
    async def add(self, sums: list[Sum]) -> Vote:
        self.log.append(f"add {len(sums)}")
        return Vote(n=sum(each.ns[0] for each in sums))

    @step
    async def decide(
        self, votes: Annotated[list[Vote | StepFailedEvent], Settle(order="source")]
    ) -> StopEvent[list[object]]:
        return StopEvent(result=[each.n if isinstance(each, Vote) else str(each.exception) for each in votes])


@pytest.mark.parametrize(
    ("asks", "result", "log"),
    [
        ([[1, 2]], [0], ["add 2"]),
        ([[-1]], ["part of 0"], []),
        ([[-1, 3]], ["part of 0"], ["0 cut"]),
        ([[1, 1], [1, -2, 3, 4], [3]], [0, "part of 1", 2], ["add 2", "1 cut", "1 cut", "add 1"]),
        ([[-1, 2], [-1, 2]], ["part of 0", "part of 1"], ["0 cut", "1 cut"]),
    ],
)
async def test_a_failure_in_a_fork_inside_is_what_the_branch_around_comes_to(
    asks: list[list[float]], result: list[object], log: list[str]
):
    """It failed the run, although the list settles failures."""
    workflow = Inside()
    run = workflow.run(asks=asks)
    assert await run == result
    assert sorted(workflow.log) == sorted(log)
    assert run.failures == ()
    lost = [letter.reason for letter in run.dead_letters]
    assert all("branch has failed" in each for each in lost)


async def test_a_list_inside_a_branch_that_has_failed_is_not_called_with_nothing():
    """Not either where a step might have sent to it from outside of that fork: it takes a Context."""

    class Sends(Inside):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> list[Part] | Vote:
            return [Part(n=ev.n, wait=wait) for wait in self.asks[ev.n]]

        @step
        async def decide(
            self, votes: Annotated[list[Vote | StepFailedEvent], Settle(order="source")]
        ) -> StopEvent[list[object]]:
            await anyio.sleep(1)
            return await Inside.decide(self, votes)

    workflow = Sends()
    assert await workflow.run(asks=[[-1, 2], [-1]]) == ["part of 0", "part of 1"]
    assert workflow.log == ["0 cut"]
    assert await workflow.run(asks=[[1], [-1]]) == [0, "part of 1"]
    assert workflow.log == ["0 cut", "add 1"]


async def test_what_had_come_in_a_branch_that_has_failed_is_told_with_the_reason():
    run = Inside().run(asks=[[1, -2, 3]])
    assert await run == ["part of 0"]
    (letter,) = run.dead_letters
    assert letter.event == Sum(ns=[0])
    assert re.fullmatch(
        r"a step of its branch has failed before Inside\.add \(test_join_policies\.py:\d+\) was called",
        letter.reason,
    )


async def test_parts_that_fail_at_one_instant_are_one_failure_of_their_branch():
    run = Inside().run(asks=[[-1, -1, -1], [2]])
    failed, other = await run
    assert (failed, other) == ("part of 0", 1)
    assert run.failures == ()


async def test_a_part_that_fails_as_its_branch_is_ended_is_noted_on_what_that_failed_with():
    class Messy(Inside):
        @step(num_workers=99)
        async def work(self, ev: Part) -> Sum:
            try:
                await anyio.sleep(abs(ev.wait))
            except BaseException:  # noqa: BLE001 - what is tested
                raise ValueError("clean-up") from None
            raise OSError("first")

        @step
        async def decide(
            self, votes: Annotated[list[Vote | StepFailedEvent], Settle(order="source")]
        ) -> StopEvent[list[object]]:
            (failed,) = votes
            assert isinstance(failed, StepFailedEvent)
            return StopEvent(result=[str(note) for note in failed.exception.__notes__])

    told = r"while its branch was being ended, Messy\.work \(.*\) failed too: ValueError\('clean-up'\)"
    notes = map(str, await Messy().run(asks=[[-1, 2]]))
    assert any(re.fullmatch(told, note) for note in notes)


async def test_a_fork_of_a_fork_inside_is_settled_by_the_nearest_list_that_settles():
    class Deep(Event):
        n: int
        fails: bool = False

    class Deeper(Inside):
        @step(num_workers=99)
        async def work(self, ev: Part) -> list[Deep]:
            return [Deep(n=ev.n, fails=ev.wait < 0), Deep(n=ev.n)]

        @step(num_workers=99)
        async def dig(self, ev: Deep) -> Dug:
            await anyio.sleep(1)
            if ev.fails:
                raise OSError("deep")
            return Dug(n=ev.n)

        @step
        async def heap(self, dug: list[Dug]) -> Sum:
            return Sum(ns=[len(dug)])

    class Nearer(Deeper):
        @step
        async def heap(self, dug: Annotated[list[Dug | StepFailedEvent], Settle()]) -> Sum:
            return Sum(ns=[sum(isinstance(each, Dug) for each in dug)])

    assert await Deeper().run(asks=[[1, -1], [1]]) == ["deep", 2]
    assert await Nearer().run(asks=[[1, -1], [1]]) == [3, 2]


class Dug(Event):
    n: int


async def test_a_step_beside_that_fails_is_what_its_branch_comes_to_whether_its_sender_is_at_work_or_not():
    class Beside(Event):
        pass

    class Besides(Settled):
        @step
        async def ask(self, ctx: Context, ev: Ask) -> Vote | Beside | None:
            ctx.send_event(Beside())
            await ctx.sleep(ev.wait)
            return Vote(n=ev.n)

        @step
        async def aside(self, ev: Beside) -> None:
            await anyio.sleep(1)
            raise OSError("beside")

        @step
        async def decide(
            self, votes: Annotated[list[Vote | StepFailedEvent], Settle(order="source")]
        ) -> StopEvent[list[object]]:
            return StopEvent(result=[each.n if isinstance(each, Vote) else each.step for each in votes])

    run = Besides().run(waits=[0, 9])
    assert await run == [0, "aside", "aside"]
    assert [letter.event for letter in run.dead_letters] == []


async def test_a_branch_that_does_not_lead_to_the_list_fails_the_run_also_from_inside():
    class Elsewhere(Event):
        pass

    class Mixed(Inside):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask | Elsewhere]:
            self.asks = ev.asks
            return [Ask(n=0, wait=0), Elsewhere()]

        @step
        async def elsewhere(self, ev: Elsewhere) -> list[Dug]:
            return [Dug(n=1), Dug(n=2)]

        @step
        async def dig(self, ev: Dug) -> None:
            raise OSError("elsewhere")

    with pytest.raises(OSError, match="elsewhere"):
        await Mixed().run(asks=[[1]])


async def test_a_join_inside_that_is_a_race_is_not_called_when_its_branch_has_failed_meanwhile():
    class Race(Inside):
        @step
        async def add(self, sums: Annotated[list[Sum], First(2)]) -> Vote:
            self.log.append("add")
            return Vote(n=len(sums))

    workflow = Race()
    assert await workflow.run(asks=[[1, -2, 3], [1, 2, 3]]) == ["part of 0", 2]
    assert workflow.log.count("add") == 1


async def test_a_join_inside_that_fails_is_settled_by_the_one_around():
    class Inside(Settled):
        @step
        async def ask(self, ev: Ask) -> list[Sum]:
            return [Sum(ns=[ev.n])] * ev.n

        @step
        async def add(self, sums: list[Sum]) -> Vote:
            if len(sums) == 1:
                raise OSError("one is not enough")
            return Vote(n=len(sums))

        @step
        async def decide(
            self, votes: Annotated[list[Vote | StepFailedEvent], Settle(order="source")]
        ) -> StopEvent[list[object]]:
            return StopEvent(result=[each.n if isinstance(each, Vote) else each.step for each in votes])

    assert await Inside().run(waits=[1, 1, 1]) == [0, "add", 2]


# -- forks in forks, and round again -----------------------------------------------------------------------------------


class Page(Event):
    waits: list[float]


POLICIES: list[tuple[Any, list[list[int]]]] = [
    (All(), [[1, 0], [0]]),
    (Settle(), [[1, 0], [0]]),
    (First(), [[1], [0]]),
    (First(losers="keep"), [[1], [0]]),
    (First(losers="drain"), [[1], [0]]),
    (Until(lambda vote: vote.n == 1), [[1], [0]]),
    (Quorum(lambda votes: len(votes) == 2), [[1, 0], [0]]),
    (ByKey("good"), [[1, 0], [0]]),
    (Window(5), [[1, 0], [0]]),
    (Window(seconds=50), [[1, 0], [0]]),
]


def joining(policy: Any, **options: Any) -> Workflow[Any]:
    """One level with this policy; the calls are noted, and the last ends the run."""
    joined: Any = Annotated[list[Vote], policy]
    if isinstance(policy, Settle):
        joined = Annotated[list[Vote | StepFailedEvent], policy]

    class Joins(Poll):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.calls: list[list[int]] = []

        @step
        async def begin(self, ev: StartEvent) -> list[Ask | Vote]:
            return ev.sends

        @step
        async def add(self, votes: joined) -> Sum:  # pyright: ignore[reportInvalidTypeForm]
            self.calls.append([each.n for each in votes])
            return Sum(ns=self.calls[-1])

        @step
        async def end(self, sums: list[Sum]) -> StopEvent[list[list[int]]]:
            return StopEvent(result=self.calls)

    return Joins(**options)


EACH = [
    All(),
    Settle(),
    First(2),
    First(2, losers="keep"),
    First(2, losers="drain"),
    Until(lambda vote: False),
    Quorum(lambda votes: len(votes) == 2),
    Quorum(lambda votes: len(votes) == 2, losers="keep"),
    ByKey("n"),
    Window(2),
    Window(seconds=5),
]


@pytest.mark.parametrize("policy", EACH)
async def test_an_event_that_is_sent_twice_counts_twice_with_each_policy(policy: Any):
    vote = Vote(n=7)
    assert await joining(policy).run(sends=[vote, vote]) == [[7, 7]]


@pytest.mark.parametrize("policy", EACH)
async def test_past_the_deadline_no_policy_calls_and_all_is_left_over(policy: Any):
    workflow: Any = joining(policy, timeout=4)
    run = workflow.run(sends=[Vote(n=1), Ask(n=2, wait=60)])
    with pytest.raises(WorkflowTimeoutError, match=r"add .* has 1 x Vote and (still )?waits for"):
        await run
    assert run.leftovers == (Vote(n=1),)
    assert workflow.calls == []


@pytest.mark.parametrize("policy", EACH)
async def test_a_branch_that_fails_fails_the_run_unless_it_is_settled(policy: Any):
    class Fails(Event):
        pass

    joined: Any = Annotated[list[Vote], policy]
    if isinstance(policy, Settle):
        joined = Annotated[list[Vote | StepFailedEvent], policy]

    class Joins(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Fails | Vote]:
            return [Vote(n=1), Fails()]

        @step
        async def fail(self, ev: Fails) -> Vote:
            raise OSError("no vote")

        @step
        async def add(self, votes: joined) -> StopEvent[int]:  # pyright: ignore[reportInvalidTypeForm]
            return StopEvent(result=len(votes))

    run = Joins().run()
    if isinstance(policy, Settle):
        assert await run == 2
    else:
        with pytest.raises(OSError, match="no vote"):
            await run
        assert run.leftovers == (Vote(n=1),)


PARTS = (ByKey, Window)


@pytest.mark.parametrize(("policy", "result"), [each for each in POLICIES if not isinstance(each[0], PARTS)])
async def test_each_policy_joins_forks_in_forks_each_by_itself(policy: Any, result: list[list[int]]):
    joined: Any = Annotated[list[Vote], policy]
    if isinstance(policy, Settle):
        joined = Annotated[list[Vote | StepFailedEvent], policy]

    class Nested(Poll):
        @step
        async def pages(self, ev: StartEvent) -> list[Page]:
            return [Page(waits=waits) for waits in ev.pages]

        @step
        async def begin(self, ev: Page) -> list[Ask]:
            return [Ask(n=n, wait=wait) for n, wait in enumerate(ev.waits)]

        @step
        async def add(self, votes: joined) -> Sum:  # pyright: ignore[reportInvalidTypeForm]
            return Sum(ns=[each.n for each in votes])

        @step
        async def total(self, sums: Annotated[list[Sum], All(order="source")]) -> StopEvent[list[list[int]]]:
            return StopEvent(result=[each.ns for each in sums])

    run = Nested().run(pages=[[2, 1], [3]])
    assert await run == result


@pytest.mark.parametrize(("policy", "result"), [each for each in POLICIES if isinstance(each[0], PARTS)])
async def test_parts_in_forks_in_forks_stay_in_their_fork_until_a_list_closes_it(
    policy: Any, result: list[list[int]]
):
    class Subtotal(Event):
        ns: list[list[int]]

    class Nested(Poll):
        @step
        async def pages(self, ev: StartEvent) -> list[Page]:
            return [Page(waits=waits) for waits in ev.pages]

        @step
        async def begin(self, ev: Page) -> list[Ask]:
            return [Ask(n=n, wait=wait) for n, wait in enumerate(ev.waits)]

        @step
        async def add(self, votes: Annotated[list[Vote], policy]) -> Sum:
            return Sum(ns=[each.n for each in votes])

        @step
        async def page(self, sums: list[Sum]) -> Subtotal:
            return Subtotal(ns=[each.ns for each in sums])

        @step
        async def total(self, subtotals: Annotated[list[Subtotal], All(order="source")]) -> StopEvent[Any]:
            return StopEvent(result=[each.ns for each in subtotals])

    assert await Nested().run(pages=[[2, 1], [], [3]]) == [[result[0]], [], [result[1]]]


@pytest.mark.parametrize(("policy", "result"), POLICIES)
async def test_each_policy_joins_each_round_of_a_loop(policy: Any, result: list[list[int]]):
    joined: Any = Annotated[list[Vote], policy]
    if isinstance(policy, Settle):
        joined = Annotated[list[Vote | StepFailedEvent], policy]

    class Rounds(Poll):
        @step
        async def pages(self, ev: StartEvent) -> Page:
            return Page(waits=[1.0] * 3)

        @step
        async def begin(self, ev: Page) -> list[Ask]:
            return [Ask(n=n, wait=wait) for n, wait in enumerate(ev.waits)]

        @step
        async def add(self, votes: joined) -> Page | StopEvent[int]:  # pyright: ignore[reportInvalidTypeForm]
            self.rounds = getattr(self, "rounds", 0) + 1
            return Page(waits=[1.0] * 3) if self.rounds < 3 else StopEvent(result=self.rounds)

    assert await Rounds().run() == 3
    assert len(result) == 2
