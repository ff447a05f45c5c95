"""What a run keeps."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from stretto._core.state import DeadLetter, Delivery, RunState
from stretto.events import Event
from tests.core.plans import A, Outer, plan, step


def test_deliveries_are_told_apart_even_if_all_they_hold_is_equal():
    of, event, carry = step(), A(), copy_context()
    one, other = Delivery(of, event, carry), Delivery(of, event, carry)
    assert one != other
    assert len({one: None, other: None}) == 2


def test_a_delivery_has_not_begun_and_is_the_first_attempt():
    one = Delivery(step(), A(), copy_context())
    assert (one.started, one.attempt, one.collected) == (None, 1, None)


def test_dead_letters_are_compared_by_value():
    assert DeadLetter(A(), "late") == DeadLetter(A(), "late") != DeadLetter(A(), "early")


@pytest.mark.parametrize(("kind", "feeders"), [(A, 0), (Outer, 1)])
def test_a_run_begins_with_nothing_and_with_a_feeder_if_it_may_wait_for_the_world_outside(
    kind: type[Event], feeders: int
):
    run = RunState(plan(step(accepts=(kind,)), step("b", index=1)), 1.0, 4.0, 7)
    assert (run.begun, run.deadline, run.collect_limit, run.feeders) == (1.0, 4.0, 7, feeders)
    assert (run.active, run.busy, run.waiting) == ({}, [0, 0], [None, None])
    later = (
        run.ended,
        run.result,
        run.verdict,
        run.errors,
        run.silent,
        run.dead_letters,
        run.mailbox,
        run.late,
    )
    assert later == (None,) * len(later)
