"""Joins that close by a rule, in a machine: windows and their alarms, predicates that fail, failures to be settled."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from stretto._core.arrivals import Arrival
from stretto._core.effects import EndRun, Retry
from stretto._core.gathering import Join, gather
from stretto._core.inputs import RetryDue, StepRaised
from stretto._core.machine import Machine
from stretto._core.plan import StepPlan
from stretto._core.state import Delivery, Ended
from stretto._core.timing import Timing
from stretto.errors import SnapshotError, WorkflowStalledError
from stretto.events import Event, StepFailedEvent
from stretto.joins import ByKey, First, Quorum, Settle, Until, Window
from stretto.retry import RetryPolicy, no_wait
from tests.core.plans import A, B, C, Outer, plan, step
from tests.core.restarts import Kept, read, restarted, written

CARRY = copy_context()
colour: ContextVar[str] = ContextVar("colour")


def machine(join: Join, *more: StepPlan, **options: Any) -> Machine:
    """A list of A, each of which leads to a B; all B are joined."""
    steps = (
        step("begin", accepts=(C,), returns=(A,), returns_list=True),
        step("work", index=1, returns=(B,), limit=99, **options),
        step("join", index=2, accepts=(B,), join=join, limit=99),
    )
    return Machine(plan(*steps, *more), 0.0, 100.0, 100)


def begun(effects: Any) -> list[Any]:
    started = [effect for effect in effects if isinstance(effect, Delivery)]
    for delivery in started:
        delivery.started = 0.0
    return started


def working(run: Machine, count: int) -> list[Any]:
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    return begun(run.step_returned(begin, [A(n=number) for number in range(count)], 0.0))


def returned(run: Machine, delivery: Any, at: float = 0.0) -> tuple[list[list[int]], list[float]]:
    """What the join is called with, and when the machine wants to be told the time."""
    return told(run.step_returned(delivery, B(n=delivery.event.n), at))


def told(effects: Any) -> tuple[list[list[int]], list[float]]:
    calls = [[event.n for event in each.event.events] for each in begun(effects)]
    return calls, [effect.at for effect in effects if isinstance(effect, Retry)]


def failed(
    run: Machine, delivery: Any, error: BaseException, at: float = 0.0, draw: float | None = 0.5
) -> Any:
    return run.receive(StepRaised(delivery=delivery, error=error, at=at, draw=draw))


# -- windows ---------------------------------------------------------------------------------------------------------


def test_a_window_asks_for_one_alarm_and_is_called_when_it_rings():
    run = machine(Window(seconds=5))
    one, two, three, _ = working(run, 4)
    assert returned(run, one, 1.0) == ([], [6.0])
    assert returned(run, two, 2.0) == ([], [])
    assert told(run.receive(RetryDue(at=6.0))) == ([[0, 1]], [])
    assert returned(run, three, 7.0) == ([], [12.0])


def test_what_comes_at_the_very_end_of_a_window_is_in_the_next_whatever_the_timer_does():
    run = machine(Window(seconds=5))
    one, two, *_ = working(run, 3)
    returned(run, one, 1.0)
    assert returned(run, two, 6.0) == ([[0]], [])
    assert told(run.receive(RetryDue(at=6.0))) == ([], [11.0])
    assert told(run.receive(RetryDue(at=11.0))) == ([[1]], [])


def test_an_alarm_that_was_asked_for_serves_the_next_window_too():
    run = machine(Window(1, seconds=5))
    asked = []
    for each in working(run, 50)[:-1]:
        calls, alarms = returned(run, each, 1.0 + each.event.n / 10)
        assert calls == [[each.event.n]]
        asked += alarms
    assert asked == []  # each was full at once


def test_windows_that_end_early_leave_one_alarm():
    run = machine(Window(2, seconds=50))
    asked: list[float] = []
    for each in working(run, 40)[:-1]:
        asked += returned(run, each, each.event.n / 10)[1]
    assert asked == [50.0]


def test_a_run_whose_window_is_open_is_not_stuck_and_one_whose_deadline_comes_first_calls_nothing():
    run = machine(Window(seconds=200))
    (one,) = working(run, 1)
    calls, _ = returned(run, one, 0.0)
    assert calls == [[0]]  # the fork has ended, and with it the window
    run = Machine(plan(step("take", accepts=(Outer,), join=Window(seconds=200))), 0.0, 100.0, 100)
    run.event_sent(Outer(n=1), CARRY, at=0.0, outside=True)
    assert run.ended is None
    assert run.is_timed
    run.receive(RetryDue(at=100.0))
    assert run.ended is Ended.TIMED_OUT
    assert list(run.leftovers()) == [Outer(n=1)]


def test_the_last_window_outside_of_all_forks_is_called_before_a_run_is_stuck():
    run = Machine(
        plan(
            step("begin", accepts=(C,), returns=(A,)),
            step("take", index=1, join=Window(3)),
        ),
        0.0,
        100.0,
        100,
    )
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    (take,) = begun(run.step_returned(begin, A(n=1), 0.0))
    assert take.event.events == (A(n=1),)
    run.step_returned(take, None, 0.0)
    assert isinstance(run.error(), WorkflowStalledError)


def test_a_window_outside_of_all_forks_inherits_from_where_its_last_event_was_sent():
    run = Machine(plan(step("take", accepts=(Outer,), join=Window(9, seconds=5))), 0.0, 100.0, 100)
    for number, name in enumerate(("red", "green")):
        carry = copy_context()
        carry.run(colour.set, name)
        run.event_sent(Outer(n=number), carry, at=float(number), outside=True)
    (take,) = begun(run.receive(RetryDue(at=5.0)))
    assert take.event.events == (Outer(n=0), Outer(n=1))
    assert take.carry[colour] == "green"


def test_a_window_goes_on_after_a_restart_with_the_time_that_was_left():
    run = Machine(plan(step("take", accepts=(Outer,), join=Window(9, seconds=5))), 0.0, 100.0, 100)
    run.event_sent(Outer(n=1), CARRY, at=1.0, outside=True)
    other, effects = restarted(run, 3.0, asleep=20.0)
    assert told(effects) == ([], [26.0])
    assert told(other.receive(RetryDue(at=26.0))) == ([[1]], [])


def test_what_was_sent_in_a_fork_has_windows_of_its_own_until_that_is_known_to_be_none():
    run = Machine(
        plan(
            step("begin", accepts=(C,), returns=(A, B)),
            step("work", index=1, returns=(B,)),
            step("join", index=2, accepts=(B,), join=Window(9, seconds=5)),
        ),
        0.0,
        100.0,
        100,
    )
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    assert told(run.event_sent(B(n=1), CARRY, at=1.0, cause=begin)) == ([], [6.0])
    assert told(run.receive(RetryDue(at=6.0))) == ([[1]], [])  # known or not, its time is over
    assert told(run.event_sent(B(n=2), CARRY, at=7.0, cause=begin)) == ([], [12.0])
    run.step_returned(begin, None, 8.0)


def test_a_window_that_passes_to_the_fork_around_keeps_its_time():
    run = Machine(
        plan(step("begin", accepts=(C,)), step("take", index=1, join=Window(seconds=5))), 0.0, 100.0, 100
    )
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    assert told(run.event_sent(A(n=1), CARRY, at=1.0, cause=begin)) == ([], [6.0])
    assert told(run.step_returned(begin, None, 4.0)) == ([], [])
    assert told(run.receive(RetryDue(at=6.0))) == ([[1]], [])


def test_windows_that_a_late_timer_ends_at_once_end_in_the_order_of_their_times():
    run = Machine(
        plan(
            step("long", accepts=(Outer,), join=Window(seconds=7)),
            step("short", index=1, accepts=(Outer,), join=Window(seconds=5)),
            step("same", index=2, accepts=(Outer,), join=Window(seconds=5)),
        ),
        0.0,
        100.0,
        100,
    )
    run.event_sent(Outer(n=1), CARRY, "same", at=0.0, outside=True)
    run.event_sent(Outer(n=2), CARRY, "short", at=0.0, outside=True)
    run.event_sent(Outer(n=3), CARRY, "long", at=0.0, outside=True)
    assert [each.step.name for each in begun(run.receive(RetryDue(at=9.0)))] == ["same", "short", "long"]


def test_alarms_of_which_a_later_one_is_due_earlier_are_both_asked_for():
    timing = Timing[str]()
    timing.watch("long", 10.0)
    assert timing.to_ask() == 10.0
    timing.watch("short", 5.0)
    assert timing.to_ask() == 5.0
    assert list(timing.rung(5.0)) == ["short"]
    assert timing.to_ask() is None
    timing.watch("short", 7.0)
    timing.watch("short", None)
    assert timing.to_ask() is None
    assert list(timing.rung(10.0)) == ["long"]
    assert not timing


# -- predicates ------------------------------------------------------------------------------------------------------


def fails(_: object) -> bool:
    raise LookupError("no such thing")


@pytest.mark.parametrize("join", [Until(fails), Quorum(fails), ByKey(fails)])
def test_a_predicate_that_fails_ends_the_run_with_its_error(join: Join):
    run = machine(join)
    works = working(run, 2)
    for each in works:
        effects = run.step_returned(each, B(n=each.event.n), 0.0)
        if run.ended is not None:
            break
    assert any(isinstance(effect, EndRun) for effect in effects)
    error = run.error()
    assert isinstance(error, LookupError)
    assert "by which Flow.join (flow.py:30) joins, when it was asked about B(n=0)" in error.__notes__[0]
    assert B(n=0) in list(run.leftovers())


def test_a_predicate_is_asked_once_about_each_event_and_what_came_before_it_was_a_fork_later():
    asked: list[int] = []

    def is_two(event: Any) -> bool:
        asked.append(event.n)
        return bool(event.n == 2)

    run = machine(Until(is_two))
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    run.event_sent(B(n=0), CARRY, at=0.0, cause=begin)
    assert asked == []  # it may be the only one
    run.event_sent(B(n=1), CARRY, at=0.0, cause=begin)
    run.event_sent(B(n=2), CARRY, at=0.0, cause=begin)
    assert asked == [0, 1, 2]
    run.event_sent(B(n=3), CARRY, at=0.0, cause=begin)
    assert asked == [0, 1, 2]


def test_a_quorum_sees_all_so_far_and_can_only_read_it():
    seen: list[Any] = []

    def never(came: Sequence[Event]) -> bool:
        seen.append((len(came), came[0], came[-1], came[:1], repr(came), list(came)))
        return False

    gathering = gather(Quorum(never))
    for number in range(2):
        gathering.add(Arrival(number, 0, A(n=number)))
        assert not gathering.is_enough()
        assert not gathering.is_enough()
    one, two = A(n=0), A(n=1)
    assert seen == [
        (1, one, one, [one], f"[{one!r}]", [one]),
        (2, one, two, [one], f"[{one!r}, {two!r}]", [one, two]),
    ]


def test_a_key_that_cannot_be_hashed_takes_nothing():
    def key(event: Any) -> Any:
        return [event]

    gathering = gather(ByKey(key))
    gathering.add(Arrival(0, 0, A(n=1)))
    with pytest.raises(TypeError):
        gathering.take_rest()
    assert len(gathering) == 1
    assert gathering.asked == A(n=1)


@pytest.mark.parametrize("join", [Window(3), Window(seconds=1)])
def test_what_a_window_waits_for_is_said(join: Join):
    gathering = gather(join)
    gathering.add(Arrival(0, 0, A()))
    assert gathering.awaited() == ("2 more" if join == Window(3) else "")


def test_a_list_is_given_whole_at_the_end():
    gathering = gather(Settle())
    for number in range(2):
        gathering.add(Arrival(number, 0, A(n=number)))
    assert [[each.serial for each in batch] for batch in gathering.take_rest()] == [[0, 1]]


@pytest.mark.parametrize("losers", ["keep", "drain"])
@pytest.mark.parametrize("restart", [False, True])
def test_what_comes_for_a_join_that_had_enough_is_late_after_a_restart_too(losers: Any, restart: bool):
    run: Any = machine(First(losers=losers))
    one, two, three = working(run, 3)
    calls, _ = returned(run, one)
    assert calls == ([[0]] if losers == "keep" else [])
    if restart:
        run, effects = restarted(run, 0.0)
        two, three = [each for each in begun(effects) if each.step.name == "work"]
    assert returned(run, two)[0] == []
    calls, _ = returned(run, three)
    assert calls == ([] if losers == "keep" else [[0]])
    assert [letter.event for letter in run.dead_letters] == [B(n=1), B(n=2)]


# -- failures that are settled ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
def test_a_failure_is_given_to_the_join_and_frees_the_worker(restart: bool):
    run: Any = machine(Settle(order="source"))
    one, two = working(run, 2)
    error = ValueError("no")
    assert begun(failed(run, one, error, 2.0)) == []
    assert run.busy == [0, 1, 0]
    assert error.__notes__ == ["in Flow.work (flow.py:20), which handled A(n=0), attempt 1"]
    if restart:
        run, effects = restarted(run, 0.0)
        (two,) = begun(effects)
    (join,) = begun(run.step_returned(two, B(n=1), 3.0))
    failure, other = join.event.events
    assert other == B(n=1)
    assert isinstance(failure, StepFailedEvent)
    assert (failure.step, failure.event, failure.exception) == ("work", A(n=0), error)
    assert (failure.attempts, failure.elapsed) == (1, 2.0)
    assert run.ended is None


def test_who_waits_for_a_worker_is_given_that_of_a_step_whose_failure_is_settled():
    steps = (
        step("begin", accepts=(C,), returns=(A,), returns_list=True),
        step("work", index=1, returns=(B,), limit=1),
        step("join", index=2, accepts=(B,), join=Settle()),
    )
    run = Machine(plan(*steps), 0.0, 100.0, 100)
    (one,) = working(run, 2)
    (two,) = begun(failed(run, one, ValueError()))
    assert two.event == A(n=1)


def test_a_failure_is_settled_after_its_last_attempt():
    run = machine(Settle(), retry=RetryPolicy(attempts=2, wait=no_wait()))
    (one,) = working(run, 1)
    (again,) = begun(failed(run, one, ValueError()))
    (join,) = begun(failed(run, again, ValueError()))
    assert join.event.events[0].attempts == 2


@pytest.mark.parametrize(
    ("error", "draw"), [(KeyboardInterrupt(), 0.5), (ValueError(), None)], ids=["no Exception", "cancelled"]
)
def test_what_is_no_failure_of_the_step_is_not_settled(error: BaseException, draw: float | None):
    run = machine(Settle())
    one, _ = working(run, 2)
    failed(run, one, error, draw=draw)
    assert run.error() is error


def test_a_failure_outside_of_all_forks_fails_the_run():
    run = machine(Settle())
    (one,) = begun(run.event_sent(A(n=1), CARRY, at=0.0))
    error = ValueError()
    failed(run, one, error)
    assert run.error() is error


def test_a_failure_in_what_turns_out_to_be_no_fork_fails_the_run_then():
    run = machine(Settle())
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    (one,) = begun(run.event_sent(A(n=1), CARRY, at=0.0, cause=begin))
    error = ValueError()
    failed(run, one, error)
    assert run.ended is None
    run.step_returned(begin, None, 0.0)
    assert run.error() is error


def test_a_failure_without_a_join_fails_the_run():
    run = machine(First(losers="keep"), retry=RetryPolicy(attempts=1))
    one, _ = working(run, 2)
    error = ValueError()
    failed(run, one, error)
    assert run.error() is error


# -- data that somebody else wrote -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arrived", [[1, 2], [1, 2, 3, 4, 5]])
def test_an_arrival_of_another_length_is_refused(arrived: list[int]):
    run = Machine(plan(step("take", accepts=(Outer,), join=Window(9, seconds=5))), 0.0, 100.0, 100)
    run.event_sent(Outer(n=1), CARRY, at=1.0, outside=True)
    kept = Kept()
    data = written(run, 2.0, kept)
    data["forks"]["loose"]["take"] = [arrived]
    with pytest.raises(SnapshotError, match=r"forks.loose.take\[0\]: this should be a list of 3 to 4"):
        read(data, kept, run.plan, 2.0, 100)


def test_a_failure_in_the_list_of_a_join_that_settles_none_is_refused():
    run = machine(Settle())
    one, _ = working(run, 2)
    failed(run, one, ValueError())
    kept = Kept()
    data = written(run, 0.0, kept)
    with pytest.raises(SnapshotError, match="does not take StepFailedEvent"):
        read(data, kept, machine(Window(2)).plan, 0.0, 100)


def test_there_is_no_other_kind_of_join():
    with pytest.raises(AssertionError, match="'tea'"):
        gather("tea")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
