"""A step that fails, in the machine: another attempt, a recovery, or the end of the run; without any loop."""

from __future__ import annotations

import math
from collections.abc import Hashable
from contextvars import ContextVar, copy_context

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.alarms import Alarms
from stretto._core.effects import END_RUN, NOTHING, Effects, EndRun, Publish, Resume, Retry
from stretto._core.inputs import (
    Begun,
    CancelAsked,
    DeadlinePassed,
    EventSent,
    RetryDue,
    StepCancelled,
    StepRaised,
    StepReturned,
    WaitBegan,
)
from stretto._core.machine import Machine
from stretto._core.past import Held, Past
from stretto._core.plan import StepPlan
from stretto._core.recovering import Recovery, handler_for, spend
from stretto._core.retrying import failure_of, next_attempt, overdue
from stretto._core.state import DeadLetter, Delivery, Ended
from stretto._core.waiting import Waiter
from stretto.errors import (
    RoutingError,
    StepTimeoutError,
    UndeclaredEventError,
    WorkflowStalledError,
    WorkflowTimeoutError,
)
from stretto.events import Event, StepFailedEvent, StopEvent
from stretto.retry import Policy, RetryPolicy, fixed, no_wait
from tests.core.plans import A, B, C, ids, plan, step
from tests.core.restarts import restarted

CARRY = copy_context()
TRIES = RetryPolicy(attempts=3, wait=fixed(2))


def machine(*steps: StepPlan, deadline: float = math.inf, limit: int = 100) -> Machine:
    return Machine(plan(*steps), 0.0, deadline, limit)


def retried(
    *, limit: int = 4, retry: Policy = TRIES, timeout: float | None = None, holds: bool = False
) -> StepPlan:
    return step(limit=limit, returns=(B, StopEvent), retry=retry, timeout=timeout, holds=holds)


def handler(
    name: str = "rescue", *, index: int = 1, of: tuple[str, ...] | None = None, most: int = 1
) -> StepPlan:
    return step(
        name,
        index=index,
        accepts=(StepFailedEvent,),
        returns=(A, B, StopEvent),
        limit=1,
        recovers=Recovery(for_steps=of, max_recoveries=most),
    )


def begun(effects: Effects, at: float = 0.0) -> list[Delivery]:
    """The deliveries that start by these effects; they are at work from now on."""
    started = [effect for effect in effects if isinstance(effect, Delivery)]
    for delivery in started:
        delivery.started = at
    return started


def sent(to: Machine, *events: Event, at: float = 0.0) -> list[Delivery]:
    return [one for event in events for one in begun(to.event_sent(event, CARRY, at=at), at)]


def raises(
    of: Machine, delivery: Delivery, error: BaseException, at: float = 1.0, draw: float | None = 0.5
) -> Effects:
    return of.receive(StepRaised(delivery=delivery, error=error, at=at, draw=draw))


def due(of: Machine, at: float = 3.0) -> Effects:
    return of.receive(RetryDue(at=at))


def notes(of: BaseException | None) -> list[str]:
    return list(getattr(of, "__notes__", ()))


# -- another attempt -------------------------------------------------------------------------------------------


def test_a_step_that_failed_waits_without_a_worker_and_becomes_ready_when_it_is_due():
    run = machine(retried())
    (delivery,) = sent(run, A(n=1))
    (retry,) = raises(run, delivery, ValueError("no"))
    assert retry == Retry(at=3.0)
    assert (list(run.active), run.busy, run.ended) == ([], [0], None)
    assert list(due(run, at=2.999)) == []
    assert list(due(run)) == [delivery]
    assert (delivery.attempt, delivery.started, list(run.active), run.busy) == (2, None, [delivery], [1])


def test_the_worker_goes_to_the_first_that_waits_and_the_retry_to_the_tail():
    run = machine(retried(limit=1))
    (first,) = sent(run, A(n=1))
    sent(run, A(n=2), A(n=3))
    second, retry = raises(run, first, ValueError())
    assert isinstance(second, Delivery)
    assert (second.event, type(retry)) == (A(n=2), Retry)
    second.started = 1.0
    assert list(due(run)) == []
    (third,) = begun(run.step_returned(second, None, 4.0))
    assert third.event == A(n=3)
    assert run.step_returned(third, None, 5.0) == (first,) or [*run.active] == [first]


def test_a_retry_without_a_wait_is_ready_at_once_after_what_waited():
    run = machine(retried(limit=1, retry=RetryPolicy(wait=no_wait())))
    (first,) = sent(run, A(n=1))
    sent(run, A(n=2))
    (second,) = raises(run, first, ValueError())
    assert isinstance(second, Delivery)
    assert second.event == A(n=2)
    assert list(run.step_returned(second, None, 1.0)) == [first]
    assert first.attempt == 2


def test_the_last_error_comes_out_with_notes_that_say_how_often():
    run = machine(retried())
    (delivery,) = sent(run, A(n=1))
    for number in (1, 2):
        raises(run, delivery, ValueError(number), at=3.0 * number)
        begun(due(run, at=3.0 * number + 2), at=3.0 * number + 2)
    error = ValueError(3)
    assert raises(run, delivery, error, at=9.0) == list(END_RUN)
    assert run.error() is error
    assert run.errors == [error]
    assert notes(error) == [
        "not tried again after attempt 3, 9 s after the first one began: its retry policy gave up",
        "in Flow.work (flow.py:10), which handled A(n=1), attempt 3",
    ]


def test_a_wait_that_would_end_at_the_deadline_is_not_begun():
    run = machine(retried(), deadline=3.0)
    (delivery,) = sent(run, A())
    error = ValueError()
    assert raises(run, delivery, error) == list(END_RUN)
    assert run.ended is Ended.FAILED
    assert notes(error)[0] == (
        "not tried again after attempt 1, 1 s after the first one began: the next attempt, 2 s later, would begin at "
        "or after the deadline of the run"
    )
    run = machine(retried(), deadline=3.001)
    (delivery,) = sent(run, A())
    assert [type(each) for each in raises(run, delivery, ValueError())] == [Retry]


def test_a_retry_that_is_due_past_the_deadline_ends_the_run():
    run = machine(retried(), deadline=4.0)
    delivery, _ = sent(run, A(n=1), A(n=2))
    raises(run, delivery, ValueError())
    assert due(run, at=4.0) == END_RUN
    assert isinstance(run.verdict, WorkflowTimeoutError)
    assert run.verdict.queued == {"work": 1}
    assert run.verdict.active == {"work": (1, 4.0)}
    assert list(run.leftovers()) == [A(n=1)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), BaseException()])
def test_what_is_no_exception_is_never_tried_again(error: BaseException):
    run = machine(retried())
    (delivery,) = sent(run, A())
    raises(run, delivery, error)
    assert run.error() is error
    assert notes(error) == ["in Flow.work (flow.py:10), which handled A(n=0), attempt 1"]


def test_a_value_that_is_not_declared_is_a_mistake_and_not_tried_again():
    run = machine(retried())
    (delivery,) = sent(run, A())
    assert list(run.step_returned(delivery, C(), 0.0)) == [*END_RUN]
    assert (run.ended, delivery.attempt) == (Ended.FAILED, 1)
    assert isinstance(run.error(), UndeclaredEventError)
    assert not run.retrying


def test_nothing_is_tried_again_while_the_run_is_being_cancelled_from_outside():
    run = machine(retried(), handler())
    (delivery,) = sent(run, A())
    error = ValueError()
    raises(run, delivery, error, draw=None)
    assert run.error() is error


@pytest.mark.parametrize("how", ["cancelled", "stopped", "timed out"])
def test_nothing_is_tried_again_or_recovered_once_the_run_is_decided(how: str):
    run = machine(retried(), handler(), deadline=9.0)
    (delivery,) = sent(run, A())
    match how:
        case "cancelled":
            run.receive(CancelAsked(why="by its handler"))
        case "stopped":
            run.event_sent(StopEvent(), CARRY, at=0.0)
        case _:
            run.receive(DeadlinePassed(at=9.0))
    error = ValueError()
    raises(run, delivery, error)
    assert run.errors == [error]
    assert not run.retrying


def test_an_error_at_the_deadline_is_too_late_to_be_tried_again():
    run = machine(retried(), deadline=1.0)
    (delivery,) = sent(run, A())
    raises(run, delivery, ValueError())
    assert run.ended is Ended.TIMED_OUT


def test_a_step_without_a_policy_is_not_tried_again_in_a_plan_where_others_are():
    run = machine(step(timeout=5.0), retried())
    (delivery, _) = sent(run, A())
    error = ValueError()
    raises(run, delivery, error)
    assert run.error() is error
    assert notes(error) == ["in Flow.work (flow.py:10), which handled A(n=0), attempt 1"]


def test_a_predicate_that_raises_fails_the_run_with_its_error_and_a_note():
    class WrongError(Exception):
        pass

    def predicate(error: Exception) -> bool:
        raise WrongError

    run = machine(retried(retry=RetryPolicy(on=predicate)))
    (delivery,) = sent(run, A())
    original = ValueError("no")
    raises(run, delivery, original)
    error = run.error()
    assert type(error) is WrongError
    assert error.__context__ is original
    assert notes(error) == [
        "raised by the retry policy of Flow.work (flow.py:10), which was asked about ValueError('no')",
        "in Flow.work (flow.py:10), which handled A(n=0), attempt 1",
    ]


def test_a_run_with_a_waiting_retry_is_not_stuck_until_that_too_returned_nothing():
    run = machine(retried())
    one, other = sent(run, A(n=1), A(n=2))
    raises(run, one, ValueError())
    assert list(run.step_returned(other, None, 1.0)) == []
    assert run.receive(Begun()) == NOTHING
    assert run.ended is None
    begun(due(run), at=3.0)
    assert run.step_returned(one, None, 4.0) == list(END_RUN)
    assert isinstance(run.verdict, WorkflowStalledError)
    assert "returned nothing 2 times" in str(run.verdict)


def test_a_retry_that_is_due_after_the_end_is_a_leftover():
    run = machine(retried())
    (delivery,) = sent(run, A(n=1))
    raises(run, delivery, ValueError())
    run.receive(CancelAsked(why="by its handler"))
    assert due(run) == NOTHING
    assert list(run.leftovers()) == [A(n=1)]
    assert delivery.attempt == 1


colour: ContextVar[str] = ContextVar("colour")


def test_each_attempt_begins_with_the_senders_variables_and_what_the_last_one_set_goes_on():
    run = machine(retried(), step("b", index=1, accepts=(B,)))
    carry = copy_context()
    carry.run(colour.set, "red")
    (delivery,) = begun(run.event_sent(A(), carry, at=0.0))
    delivery.carry.run(colour.set, "green")
    raises(run, delivery, ValueError())
    begun(due(run), at=3.0)
    assert delivery.carry[colour] == "red"
    delivery.carry.run(colour.set, "blue")
    (following,) = begun(run.step_returned(delivery, B(), 4.0))
    assert following.carry[colour] == "blue"


def test_an_attempt_that_failed_before_its_body_began_counts_from_its_failure():
    run = machine(retried())
    (delivery,) = run.event_sent(A(), CARRY, at=0.0)
    assert isinstance(delivery, Delivery)
    assert list(raises(run, delivery, ValueError(), at=1.0)) == [Retry(at=3.0)]
    assert delivery.past is not None
    assert delivery.past.began == 1.0


def test_a_retry_waits_for_what_its_policy_says_of_the_attempt_the_time_and_the_draw():
    asked: list[tuple[int, float, Exception, float]] = []

    class Asked(Policy):
        def delay(self, *, attempt: int, elapsed: float, error: Exception, draw: float) -> float | None:
            asked.append((attempt, elapsed, error, draw))
            return 1.5

    run = machine(retried(retry=Asked()))
    (delivery,) = sent(run, A(), at=10.0)
    errors = [ValueError(1), ValueError(2)]
    (retry,) = raises(run, delivery, errors[0], at=10.5, draw=0.25)
    assert isinstance(retry, Retry)
    assert retry.at == 12.0
    begun(due(run, at=12.0), at=14.0)
    raises(run, delivery, errors[1], at=20.0, draw=0.75)
    assert asked == [(1, 0.5, errors[0], 0.25), (2, 10.0, errors[1], 0.75)]


# -- the time limit of an attempt ------------------------------------------------------------------------------


def test_an_attempt_is_overdue_from_its_limit_on_whatever_came_of_it():
    of = step(timeout=2.0, retry=TRIES)
    delivery = Delivery(of, A(), CARRY, 10.0, past=Past(CARRY))
    delivery.own_past().attempt = 2
    assert overdue(delivery, 11.999) is None
    late = overdue(delivery, 12.0)
    assert late is not None
    assert str(late) == "Flow.work (flow.py:10) passed its time limit of 2 s in attempt 2"
    assert (late.step, late.timeout, late.attempt) == ("work", 2.0, 2)
    assert overdue(Delivery(of, A(), CARRY), 99.0) is None
    assert overdue(Delivery(step(), A(), CARRY, 0.0), 99.0) is None


def test_what_an_attempt_raised_past_its_limit_is_the_cause_of_the_timeout():
    delivery = Delivery(step(timeout=2.0), A(), CARRY, 0.0)
    error, fatal, late = ValueError(), KeyboardInterrupt(), overdue(delivery, 3.0)
    assert late is not None
    assert failure_of(delivery, error, 1.0) is error
    failure = failure_of(delivery, error, 2.0)
    assert type(failure) is StepTimeoutError
    assert failure.__cause__ is error
    assert failure_of(delivery, late, 3.5) is late
    waited = overdue(delivery, 3.0, "; all of it went into waiting")
    assert waited is not None
    assert str(waited) == f"{late}; all of it went into waiting"
    assert failure_of(delivery, waited, 3.5) is waited
    nested = StepTimeoutError("of a run within", "other", 1.0, 1)
    assert failure_of(delivery, nested, 3.5).__cause__ is nested
    assert failure_of(delivery, fatal, 3.0) is fatal


@pytest.mark.parametrize(
    ("on", "tried"), [(TimeoutError, True), (StepTimeoutError, True), (OSError, True), (ValueError, False)]
)
def test_an_attempt_past_its_limit_is_tried_again_if_the_policy_covers_timeouts(on, tried: bool):
    run = machine(retried(retry=RetryPolicy(on=on, wait=fixed(1)), timeout=2.0))
    (delivery,) = sent(run, A())
    raises(run, delivery, ValueError("late"), at=2.0)
    assert bool(run.retrying) is tried


def test_a_step_with_a_limit_that_returns_nothing_in_time_is_counted_like_any_other():
    run = machine(step(timeout=2.0, returns=(B,)))
    (delivery,) = sent(run, A())
    assert run.step_returned(delivery, None, 1.0) == list(END_RUN)
    assert "returned nothing although it declares B" in str(run.verdict)


# -- what is held back -----------------------------------------------------------------------------------------


def test_what_was_held_back_is_sent_in_order_before_what_was_returned():
    run = machine(retried(holds=True), step("b", index=1, accepts=(B,)), step("c", index=2, accepts=(C,)))
    (delivery,) = sent(run, A())
    for event, carry, to in [(C(n=1), CARRY, None), (B(n=2), None, None), (B(n=3), CARRY, "b")]:
        assert run.hold(delivery, Held(event, carry, to), 0.0) == NOTHING
    effects = run.step_returned(delivery, B(n=4), 1.0)
    assert [effect.event for effect in effects if isinstance(effect, (Delivery, Publish))] == [
        C(n=1), B(n=2), B(n=3), B(n=4),
    ]  # fmt: skip
    assert [type(effect) for effect in effects] == [Delivery, Publish, Delivery, Delivery]


def test_the_freed_worker_comes_before_what_was_held_back():
    run = machine(retried(limit=1, holds=True), step("b", index=1, accepts=(B,)))
    (delivery,) = sent(run, A(n=1), A(n=2))
    run.hold(delivery, Held(B(n=3), CARRY, None), 0.0)
    effects = run.step_returned(delivery, None, 1.0)
    assert [effect.event for effect in effects if isinstance(effect, Delivery)] == [A(n=2), B(n=3)]


def test_what_was_held_back_is_sent_before_the_stop_that_was_returned():
    run = machine(retried(holds=True))
    (delivery,) = sent(run, A())
    run.hold(delivery, Held(B(), None, None), 0.0)
    assert list(run.step_returned(delivery, StopEvent("tea"), 1.0)) == [Publish(event=B()), *END_RUN]
    assert run.result == "tea"


def test_what_a_failed_attempt_held_back_is_as_if_it_had_never_been():
    run = machine(retried(holds=True), step("b", index=1, accepts=(B,)))
    (delivery,) = sent(run, A())
    run.hold(delivery, Held(B(n=1), CARRY, None), 0.0)
    assert [type(effect) for effect in raises(run, delivery, ValueError())] == [Retry]
    begun(due(run), at=3.0)
    run.hold(delivery, Held(B(n=2), CARRY, None), 3.0)
    (following,) = begun(run.step_returned(delivery, None, 4.0))
    assert following.event == B(n=2)
    assert list(run.leftovers()) == []
    assert not run.dead_letters


def test_a_held_stop_ends_the_run_when_the_step_returns_and_what_follows_is_dead():
    run = machine(retried(holds=True), step("b", index=1, accepts=(B,)))
    (delivery,) = sent(run, A())
    run.hold(delivery, Held(StopEvent("done"), CARRY, None), 0.0)
    run.hold(delivery, Held(B(n=1), CARRY, None), 0.0)
    assert run.ended is None
    run.step_returned(delivery, StopEvent("returned"), 1.0)
    assert (run.ended, run.result) == (Ended.STOPPED, "done")
    assert [letter.event for letter in run.dead_letters or ()] == [B(n=1), StopEvent("returned")]


def test_what_is_held_back_is_checked_when_it_is_sent():
    run = machine(retried(holds=True))
    (delivery,) = sent(run, A())
    with pytest.raises(TypeError, match="send_event takes an event, not 3"):
        run.hold(delivery, Held(3, CARRY, None), 0.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(RoutingError):
        run.hold(delivery, Held(A(), CARRY, "nobody"), 0.0)


@pytest.mark.parametrize("ending", ["cancelled", "returned late"])
def test_what_is_held_back_when_the_run_ends_first_is_a_dead_letter(ending: str):
    run = machine(retried(holds=True), step("b", index=1, accepts=(B,)))
    (delivery,) = sent(run, A())
    run.hold(delivery, Held(B(n=1), CARRY, None), 0.0)
    if ending == "cancelled":
        (letter,) = run.receive(StepCancelled(delivery=delivery))
    else:
        run.receive(CancelAsked(why="by its handler"))
        letter, end = run.receive(StepReturned(delivery=delivery, value=B(n=2), at=1.0))
        assert isinstance(end, EndRun)
        assert list(run.leftovers()) == [B(n=2)]
    assert letter == DeadLetter(B(n=1), "Flow.work (flow.py:10) held it back and was cancelled")


def test_what_is_sent_after_the_end_of_the_step_or_the_run_is_not_held_back():
    run = machine(retried(holds=True), step("b", index=1, accepts=(B,)))
    one, other = sent(run, A(), A())
    run.step_returned(one, None, 0.0)
    (following,) = run.hold(one, Held(B(), CARRY, None), 0.0)
    assert isinstance(following, Delivery)
    assert list(run.hold(one, Held(B(n=1), None, None), 0.0)) == [Publish(event=B(n=1))]
    run.receive(CancelAsked(why="by its handler"))
    run.hold(other, Held(B(n=2), CARRY, None), 0.0)
    assert [letter.event for letter in run.dead_letters or ()] == [B(n=2)]


def test_a_run_is_stuck_when_what_is_sent_after_the_end_of_the_step_ends_the_last_wait():
    """Nobody looked, and the run went on to its deadline."""
    run = machine(retried(holds=True))
    (delivery,) = sent(run, A())
    waiter = Waiter(delivery=delivery, kind=B, wake=lambda: None)
    run.receive(WaitBegan(waiter=waiter, parks=False))  # in a task that is none of the run's
    run.step_returned(delivery, None, 0.0)
    assert run.ended is None
    effects = run.hold(delivery, Held(B(), CARRY, None), 0.0)
    assert [type(effect) for effect in effects] == [Resume, EndRun]
    assert run.ended is Ended.STALLED


# -- collect ---------------------------------------------------------------------------------------------------


def collect(
    run: Machine, by: Delivery, expected: list[type[Event]], buffer_id: Hashable = None
) -> list[Event] | None:
    return run.collect(by, by.event, expected, buffer_id)


def test_an_attempt_that_failed_has_added_its_event_once_for_all():
    run = machine(retried())
    one, other = sent(run, A(n=1), A(n=2))
    assert collect(run, one, [A, A, A]) is None
    raises(run, one, ValueError())
    begun(due(run), at=3.0)
    assert collect(run, one, [A, A, A]) is None
    assert collect(run, other, [A, A]) == [A(n=1), A(n=2)]


def test_the_batch_of_an_attempt_that_failed_is_given_to_the_next_and_to_nobody_else():
    run = machine(retried())
    one, two, three = sent(run, A(n=1), A(n=2), A(n=3))
    assert collect(run, one, [A, A]) is None
    assert collect(run, two, [A, A]) == [A(n=1), A(n=2)]
    raises(run, two, ValueError())
    assert collect(run, three, [A, A]) is None
    begun(due(run), at=3.0)
    batch = collect(run, two, [A, A])
    assert batch is not None
    assert batch == [A(n=1), A(n=2)]
    batch.clear()  # what the step does to its list is its own business
    raises(run, two, ValueError(), at=4.0)
    begun(due(run, at=6.0), at=6.0)
    assert collect(run, two, [A, A]) == [A(n=1), A(n=2)]
    run.step_returned(two, None, 7.0)
    assert list(run.leftovers()) == [A(n=3)]


def test_batches_are_given_again_in_order_by_the_call_that_took_them():
    run = machine(retried())
    one, two, three = sent(run, A(n=1), A(n=2), A(n=3))
    assert collect(run, one, [A, A, A]) is None
    assert collect(run, two, [A, A, A]) is None
    assert collect(run, three, [A]) == [A(n=1)]
    assert collect(run, three, [A]) == [A(n=2)]
    assert collect(run, three, [A], "other") == [A(n=3)]
    raises(run, three, ValueError())
    begun(due(run), at=3.0)
    assert collect(run, three, [A], "other") == [A(n=3)]
    assert collect(run, three, [A]) == [A(n=1)]
    raises(run, three, ValueError(), at=4.0)
    begun(due(run, at=6.0), at=6.0)
    assert collect(run, three, [A]) == [A(n=1)]
    assert collect(run, three, [A]) == [A(n=2)]
    assert collect(run, three, [A]) == [A(n=3)]


@pytest.mark.parametrize("ending", ["gives up", "asks for another", "is cancelled", "waits", "is queued"])
def test_a_batch_that_no_attempt_takes_again_is_left_over(ending: str):
    run = machine(retried(limit=2))
    one, two = sent(run, A(n=1), A(n=2))
    collect(run, one, [A, A])
    collect(run, two, [A, A])
    if ending == "gives up":
        raises(run, two, KeyboardInterrupt())
    else:
        raises(run, two, ValueError())
        if ending != "waits":
            due(run)
        if ending == "asks for another":
            two.started = 3.0
            assert collect(run, two, [A]) is None
            run.step_returned(two, None, 4.0)
        elif ending == "is cancelled":
            two.started = 3.0
            run.receive(StepCancelled(delivery=two))
        run.receive(CancelAsked(why="by its handler"))
    kept = [one.event, two.event]
    if ending in {"waits", "is queued"}:
        kept.reverse()  # what it is tried again with comes first, and not once more with its batch
    assert ids(list(run.leftovers())) == ids(kept)


def test_an_object_that_was_sent_twice_is_left_over_twice_though_the_second_is_tried_again():
    run, event = machine(retried(limit=2)), A(n=1)
    one, two = sent(run, event, event)
    collect(run, one, [A, A])
    collect(run, two, [A, A])
    raises(run, two, ValueError())
    run.receive(CancelAsked(why="by its handler"))
    assert ids(list(run.leftovers())) == ids([event, event])


def test_an_event_in_two_buffers_of_a_step_that_is_tried_again_is_left_over_once():
    run = machine(retried())
    (one,) = sent(run, A(n=1))
    collect(run, one, [A])
    collect(run, one, [A], "other")
    raises(run, one, ValueError())
    run.receive(CancelAsked(why="by its handler"))
    assert ids(list(run.leftovers())) == ids([one.event])


def test_what_failed_attempts_leave_over_is_bounded_and_the_rest_is_dead():
    run = machine(retried(retry=RetryPolicy(attempts=1)), handler(most=99), limit=3)
    sent(run, A(n=9))  # it works on, so that the run is not stuck
    for number in range(2):
        one, two = sent(run, A(n=number), A(n=number))
        collect(run, one, [A, A])
        collect(run, two, [A, A])
        run.step_returned(one, None, 0.0)
        (rescue,) = begun(raises(run, two, ValueError(), at=0.0))
        run.step_returned(rescue, None, 0.0)
    assert list(run.leftovers()) == [A(n=0), A(n=0), A(n=1)]
    assert list(run.dead_letters or ()) == [
        DeadLetter(A(n=1), "3 events of failed attempts are kept already")
    ]


# -- recovery --------------------------------------------------------------------------------------------------


def test_a_step_that_is_given_up_goes_to_its_handler_in_place_of_failing_the_run():
    run = machine(retried(retry=RetryPolicy(attempts=2, wait=fixed(2))), handler())
    (delivery,) = sent(run, A(n=1))
    raises(run, delivery, ValueError(1))
    begun(due(run), at=3.0)
    error = ValueError(2)
    (rescue,) = begun(raises(run, delivery, error, at=7.0), at=7.0)
    failed = rescue.event
    assert isinstance(failed, StepFailedEvent)
    assert (failed.step, failed.event, failed.exception) == ("work", delivery.event, error)
    assert (failed.attempts, failed.elapsed) == (2, 7.0)
    assert notes(error)[-1] == "in Flow.work (flow.py:10), which handled A(n=1), attempt 2"
    run.step_returned(rescue, StopEvent("rescued"), 8.0)
    assert (run.ended, run.result, run.error(), run.errors) == (Ended.STOPPED, "rescued", None, None)


def test_a_handler_is_told_how_long_the_attempts_have_taken():
    run = machine(step(), handler())
    (delivery,) = begun(run.event_sent(A(), CARRY, at=3.0), at=3.0)
    (rescue,) = begun(raises(run, delivery, ValueError(), at=5.0))
    assert isinstance(rescue.event, StepFailedEvent)
    assert rescue.event.elapsed == 2.0


def test_a_freed_worker_comes_before_the_recovery():
    run = machine(retried(limit=1, retry=RetryPolicy(attempts=1)), handler())
    (first,) = sent(run, A(n=1))
    sent(run, A(n=2))
    second, rescue = begun(raises(run, first, ValueError()))
    assert (second.event, rescue.step.name) == (A(n=2), "rescue")


def test_a_step_without_a_policy_is_recovered_at_its_first_failure():
    run = machine(step(), handler())
    (delivery,) = sent(run, A())
    (rescue,) = begun(raises(run, delivery, ValueError()))
    assert rescue.step.name == "rescue"


def test_a_handler_works_on_one_failure_at_a_time():
    run = machine(step(), handler())
    one, other = sent(run, A(n=1), A(n=2))
    (rescue,) = begun(raises(run, one, ValueError()))
    assert list(raises(run, other, ValueError())) == []
    (again,) = begun(run.step_returned(rescue, None, 2.0))
    assert isinstance(again.event, StepFailedEvent)
    assert again.event.event is other.event


def test_what_is_no_exception_and_what_is_undeclared_is_not_recovered():
    run = machine(step(returns=(B,)), handler())
    (delivery,) = sent(run, A())
    raises(run, delivery, KeyboardInterrupt())
    assert isinstance(run.error(), KeyboardInterrupt)
    run = machine(step(returns=(B,)), handler())
    (delivery,) = sent(run, A())
    run.step_returned(delivery, C(), 0.0)
    assert isinstance(run.error(), UndeclaredEventError)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_alarms_go_off_in_the_order_of_their_times_and_of_being_set(moves: list[tuple[int, int]]):
    alarms, model = Alarms[int](), list[tuple[int, int]]()
    for number, (at, now) in enumerate(moves):
        alarms.set(at, number)
        model.append((at, number))
        taken = sorted(each for each in model if each[0] <= now)
        model = [each for each in model if each[0] > now]
        assert list(alarms.take_due(now)) == [number for _, number in taken]
        assert list(alarms) == [number for _, number in sorted(model)]
        assert len(alarms) == len(model)


def test_an_alarm_that_is_not_set_cannot_be_struck_off():
    alarms = Alarms[str]()
    assert alarms.discard("a") is False
    alarms.set(1.0, "a")
    alarms.set(1.0, "b")
    assert alarms.discard("a") is True
    assert alarms.discard("a") is False
    assert [*alarms.take_due(1.0)] == ["b"]


def test_the_budget_goes_with_what_a_recovery_caused_returned_sent_or_several_steps_on():
    for way in ("returned", "sent", "held", "step by step"):
        run = machine(
            step(returns=(B, A)), handler(), step("on", index=2, accepts=(B,), returns=(A,), holds=True)
        )
        (delivery,) = sent(run, A(n=1))
        (rescue,) = begun(raises(run, delivery, ValueError()))
        match way:
            case "returned":
                (again,) = begun(run.step_returned(rescue, A(n=2), 1.0))
            case "sent":
                (again,) = begun(run.receive(EventSent(event=A(n=2), carry=CARRY, at=1.0, cause=rescue)))
            case _:
                (between,) = begun(run.step_returned(rescue, B(), 1.0))
                if way == "held":
                    run.hold(between, Held(A(n=2), CARRY, None), 1.0)
                    (again,) = begun(run.step_returned(between, None, 1.0))
                else:
                    (again,) = begun(run.step_returned(between, A(n=2), 1.0))
        error = ValueError("again")
        raises(run, again, error)
        assert run.error() is error, way
        assert notes(error)[0] == (
            "not recovered: Flow.rescue (flow.py:20) did so 1 x on the way to this event already"
        )


def test_the_budget_is_of_the_lineage_and_another_event_has_its_own():
    run = machine(step(), handler())
    one, other = sent(run, A(n=1), A(n=2))
    (rescue,) = begun(raises(run, one, ValueError()))
    run.step_returned(rescue, None, 1.0)
    (rescue,) = begun(raises(run, other, ValueError()))
    (fresh,) = sent(run, A(n=3))
    run.step_returned(rescue, None, 1.0)
    (rescue,) = begun(raises(run, fresh, ValueError()))
    assert rescue.step.name == "rescue"


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_handler_recovers_a_lineage_as_often_as_it_says(most: int):
    run = machine(step(returns=(A,)), handler(most=most))
    (delivery,) = sent(run, A())
    for _ in range(most):
        (rescue,) = begun(raises(run, delivery, ValueError()))
        (delivery,) = begun(run.step_returned(rescue, A(), 1.0))
    assert run.ended is None
    raises(run, delivery, ValueError())
    assert run.ended is Ended.FAILED


def test_each_handler_has_a_budget_of_its_own():
    run = machine(
        step(),
        step("other", index=1, accepts=(B,)),
        handler("one", index=2, of=("work",)),
        handler("two", index=3),
    )
    (delivery,) = sent(run, A())
    (rescue,) = begun(raises(run, delivery, ValueError()))
    assert rescue.step.name == "one"
    (delivery,) = begun(run.step_returned(rescue, B(), 1.0))
    (rescue,) = begun(raises(run, delivery, ValueError()))
    assert rescue.step.name == "two"
    (delivery,) = begun(run.step_returned(rescue, A(), 1.0))
    raises(run, delivery, ValueError())
    assert run.ended is Ended.FAILED


def test_the_error_of_a_handler_fails_the_run_in_the_context_of_the_first():
    run = machine(step(), handler())
    (delivery,) = sent(run, A(n=1))
    original = ValueError("first")
    (rescue,) = begun(raises(run, delivery, original))
    error = KeyError("second")
    raises(run, rescue, error)
    assert run.error() is error
    assert error.__context__ is original
    assert notes(error)[-1] == "while it recovered step 'work' from ValueError('first')"


def test_a_handler_that_raises_the_error_it_was_given_adds_nothing_to_it():
    run = machine(step(), handler())
    (delivery,) = sent(run, A(n=1))
    original = ValueError("first")
    (rescue,) = begun(raises(run, delivery, original))
    raises(run, rescue, original)
    assert run.error() is original
    assert original.__context__ is None
    assert not any("while it recovered" in note for note in notes(original))


def test_a_handler_that_has_a_context_keeps_it():
    run = machine(step(), handler())
    (delivery,) = sent(run, A(n=1))
    (rescue,) = begun(raises(run, delivery, ValueError()))
    error, own = KeyError(), OSError()
    error.__context__ = own
    raises(run, rescue, error)
    assert error.__context__ is own


def test_a_failure_event_that_a_step_makes_itself_goes_to_no_handler():
    run = machine(step(), handler())
    (delivery,) = sent(run, A())
    made = StepFailedEvent(step="work", event=A(), exception=ValueError(), attempts=1, elapsed=0.0)
    assert sent(run, made) == []
    assert list(run.leftovers()) == [made]
    assert run.event_sent(A(), CARRY, "work", at=0.0, cause=delivery)


def test_a_handler_that_is_called_by_hand_fails_like_any_step():
    run = machine(step(), handler())
    made = StepFailedEvent(step="work", event=A(), exception=ValueError(), attempts=1, elapsed=0.0)
    (rescue,) = begun(run.event_sent(made, CARRY, "rescue", at=0.0))
    rescue.event = A()
    error = KeyError()
    raises(run, rescue, error)
    assert notes(error) == ["in Flow.rescue (flow.py:20), which handled A(n=0), attempt 1"]


names = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.tuples(names, st.none() | st.just(None) | st.sets(names, min_size=1)), max_size=4))
def test_the_handler_of_a_step_is_the_first_that_names_it_else_the_one_for_all(made):
    steps = [step("work")] + [
        handler(f"h{number}", index=number + 1, of=None if each is None else tuple(sorted(each)))
        for number, (_, each) in enumerate(made)
    ]
    for name in "abcd":
        target = step(name)
        naming = [s for s in steps if s.recovers is not None and name in (s.recovers.for_steps or ())]
        general = [s for s in steps if s.recovers is not None and s.recovers.for_steps is None]
        wanted = naming[0] if naming else general[-1] if general else None
        assert handler_for(target, steps) is wanted
    assert all(handler_for(each, steps) is None for each in steps if each.recovers is not None)


@given(st.dictionaries(st.integers(0, 3), st.integers(0, 5)), st.integers(0, 3), st.integers(1, 5))
def test_a_budget_is_spent_one_by_one_and_never_changed_in_place(spent: dict[int, int], of: int, limit: int):
    before = dict(spent)
    after = spend(spent, of, limit)
    assert spent == before
    used = before.get(of, 0)
    assert after == (None if used >= limit else {**before, of: used + 1})


def test_a_policy_is_not_asked_about_what_has_not_failed_yet():
    delivery = Delivery(step(retry=TRIES), A(), CARRY, 0.0)
    assert next_attempt(delivery, ValueError(), 1.0, 0.5, math.inf) is None


# -- the life of a run in which steps fail ---------------------------------------------------------------------


class FailingLife(RuleBasedStateMachine):
    """A model of lists: what waits for a worker, what has one, what waits for its time."""

    @initialize(limit=st.integers(1, 3), most=st.integers(1, 4), wait=st.sampled_from([0.0, 2.0]))
    def begin(self, limit: int, most: int, wait: float) -> None:
        policy = RetryPolicy(attempts=most, wait=fixed(wait) if wait else no_wait())
        self.run = machine(
            step(limit=limit, retry=policy, returns=(B,)),
            step("keep", index=1, accepts=(C,)),
            handler(index=2, most=99),
        )
        self.limit, self.most, self.wait, self.now = limit, most, wait, 0.0
        sent(self.run, C())  # it works to the end, so that the run is never stuck
        self.queued: list[Event] = []
        self.at_work: list[Event] = []
        self.waiting: list[tuple[Event, float]] = []
        self.attempts: dict[int, int] = {}
        self.rescued: list[Event] = []
        self.deliveries: dict[int, Delivery] = {}
        self.retries: list[float] = []
        self.alive: list[Event] = []
        self.number = 0

    def take(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Retry):
                self.retries.append(effect.at)
            elif isinstance(effect, Delivery):
                effect.started = self.now
                self.deliveries[id(effect.event)] = effect
                self.alive.append(effect.event)

    def admit(self) -> None:
        while self.queued and len(self.at_work) < self.limit:
            self.at_work.append(self.queued.pop(0))

    @rule()
    def an_event_is_sent(self) -> None:
        self.number += 1
        event = A(n=self.number)
        self.alive.append(event)
        self.attempts[id(event)] = 1
        self.queued.append(event)
        self.admit()
        self.take(self.run.event_sent(event, CARRY, at=self.now))

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def a_step_returns(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.at_work))
        self.at_work.remove(event)
        self.admit()
        self.take(self.run.step_returned(self.deliveries[id(event)], None, self.now))

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def a_step_fails(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.at_work))
        self.at_work.remove(event)
        self.admit()
        if self.attempts[id(event)] >= self.most:
            self.rescued.append(event)
        elif self.wait:
            self.waiting.append((event, self.now + self.wait))
        else:
            self.attempts[id(event)] += 1
            self.queued.append(event)
            self.admit()
        self.take(raises(self.run, self.deliveries[id(event)], ValueError(), at=self.now))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def the_time_of_a_retry_has_come(self, data: st.DataObject) -> None:
        assert sorted(self.retries) == sorted(at for _, at in self.waiting)
        self.now = max(self.now, data.draw(st.sampled_from(self.retries)))
        self.retries = [at for at in self.retries if at > self.now]
        for event, at in sorted(self.waiting, key=lambda each: each[1]):
            if at <= self.now:
                self.attempts[id(event)] += 1
                self.queued.append(event)
        self.waiting = [each for each in self.waiting if each[1] > self.now]
        self.admit()
        self.take(due(self.run, at=self.now))

    @rule(asleep=st.integers(0, 5))
    def the_process_is_replaced(self, asleep: int) -> None:
        """What was at work works on, and what waits for its time has as long to wait as before."""
        self.run, effects = restarted(self.run, self.now, asleep=asleep)
        self.waiting = [(event, max(at, self.now) + asleep) for event, at in self.waiting]
        self.now += asleep
        self.retries = []
        self.take(effects)

    @invariant()
    def every_event_is_where_the_model_has_it(self) -> None:
        of_step = [each.event for each in self.run.active if each.step.name == "work"]
        assert ids(of_step) == ids(self.at_work)
        assert self.run.busy[0] == len(self.at_work)
        assert ids([each.event for each in self.run.waiting[0] or ()]) == ids(self.queued)
        assert ids([each.event for each in self.run.retrying or ()]) == ids(
            [event for event, _ in self.waiting]
        )
        failed = [each.event for each in self.run.active if each.step.name == "rescue"]
        failed += [each.event for each in self.run.waiting[2] or ()]
        assert ids([each.event for each in failed if isinstance(each, StepFailedEvent)]) == ids(self.rescued)

    @invariant()
    def attempts_are_counted(self) -> None:
        for event in self.at_work:
            assert self.deliveries[id(event)].attempt == self.attempts[id(event)]

    def teardown(self) -> None:
        if not hasattr(self, "run"):
            return
        self.run.receive(CancelAsked(why="by its handler"))
        waits = [*self.queued, *(event for event, _ in self.waiting)]
        assert [each for each in ids(list(self.run.leftovers())) if each in ids(waits)] == ids(waits)


TestFailingLife = FailingLife.TestCase
TestFailingLife.settings = settings(max_examples=2 * settings().max_examples)
