"""The seconds that attempts took, as the machine counts them, and that it costs a deadline none of its strictness."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

import pytest

from stretto._core.inputs import StepRaised
from stretto._core.machine import Machine
from stretto._core.reporting import used
from stretto._core.state import Delivery, Ended
from stretto.retry import RetryPolicy, no_wait
from tests.core.counting import calls_during
from tests.core.plans import A, B, C, plan, step

CARRY = copy_context()


def hopping(deadline: float = 100.0, **options: Any) -> Any:
    return Machine(
        plan(
            step("one", accepts=(A,), returns=(B,), **options),
            step("two", index=1, accepts=(B,), returns=(A,)),
            step("off", index=2, accepts=(C,)),
        ),
        0.0,
        deadline,
        100,
    )


def started(effects: Any, at: float) -> Any:
    (delivery,) = (effect for effect in effects if isinstance(effect, Delivery))
    delivery.started = at
    return delivery


def test_each_attempt_of_a_millisecond_is_counted_whatever_came_before():
    run = hopping()
    at = 0.0
    last = started(run.event_sent(A(), CARRY, at=at), at)
    for number in range(1, 200):
        took = 0.0004 if number % 3 else 0.002
        at += took
        last = started(run.step_returned(last, B() if last.step.name == "one" else A(), at), at)
    expected = {"one": 0.0, "two": 0.0}
    for number in range(1, 200):
        if not number % 3:
            expected["one" if number % 2 else "two"] += 0.002
    assert used(run) == pytest.approx(expected)


def test_what_ends_at_the_alarm_is_looked_at():
    run = hopping()
    one = started(run.event_sent(A(), CARRY, at=0.0), 0.0)
    run.step_returned(one, B(), run.alarm)
    assert used(run) == {"one": pytest.approx(0.001)}


def test_the_largest_is_the_first_and_what_is_at_work_counts_at_a_time():
    run = hopping()
    one = started(run.event_sent(A(), CARRY, at=0.0), 0.0)
    two = started(run.step_returned(one, B(), 1.0), 1.0)
    assert used(run) == {"one": 1.0}
    assert list(used(run, 4.0).items()) == [("two", 3.0), ("one", 1.0)]
    run.step_returned(two, A(), 4.0)
    assert list(used(run)) == ["two", "one"]
    assert used(hopping()) == used(hopping(), 1.0) == {}


def test_an_attempt_that_failed_counts():
    run = hopping(retry=RetryPolicy(attempts=2, wait=no_wait()))
    one = started(run.event_sent(A(), CARRY, at=0.0), 0.0)
    started(run.receive(StepRaised(delivery=one, error=ValueError(), at=2.0, draw=0.5)), 2.0)
    assert used(run) == {"one": 2.0}
    assert used(run, 5.0) == {"one": 5.0}


def test_who_comes_past_the_deadline_is_told_once():
    run = hopping(deadline=5.0)
    one = started(run.event_sent(A(), CARRY, at=0.0), 0.0)
    two = started(run.step_returned(one, B(), 1.0), 1.0)
    run.step_returned(two, A(), 6.0)
    assert run.ended is Ended.TIMED_OUT
    assert run.verdict.used == {"two": 5.0, "one": 1.0}


@pytest.mark.parametrize("after", [0.0, 0.0004])
def test_a_deadline_that_is_moved_is_as_strict_as_any(after: float):
    """The next look would be a millisecond after the last one."""
    run = hopping()
    one = started(run.event_sent(A(), CARRY, at=0.0), 0.0)
    two = started(run.step_returned(one, B(), 1.0), 1.0)
    run.limit(1.0 + after)
    run.step_returned(two, A(), 1.0 + after)
    assert run.ended is Ended.TIMED_OUT


def test_a_run_of_less_than_a_millisecond_is_late_when_it_is():
    run = hopping(deadline=0.0005)
    one = started(run.event_sent(A(), CARRY, at=0.0), 0.0)
    run.step_returned(one, B(), 0.0005)
    assert run.ended is Ended.TIMED_OUT


def test_many_short_attempts_make_no_more_calls_than_without_a_deadline():
    def hops(deadline: float) -> int:
        run = hopping(deadline)

        def program() -> None:
            last = started(run.event_sent(A(), CARRY, at=0.0), 0.0)
            for number in range(500):
                last = started(
                    run.step_returned(last, B() if last.step.name == "one" else A(), number * 1e-6), 0.0
                )

        return calls_during(program)

    assert hops(100.0) <= hops(float("inf")) + 5
