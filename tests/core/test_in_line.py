"""A step that has a worker and waits for its turn has not begun: it is told, kept and handed on as what is queued."""

from __future__ import annotations

from contextvars import copy_context

from stretto._core.delivery import Hold
from stretto._core.inputs import CancelAsked, DeadlinePassed, GoesOn, HeldUp, Interrupted, StepCancelled
from stretto._core.machine import Machine
from stretto._core.state import Delivery
from stretto._core.succession import in_flight, take_estate
from stretto.errors import WorkflowTimeoutError
from stretto.events import Event
from tests.core.plans import A, B, plan, step
from tests.core.test_losing import NOT_TAKEN, aborted, deliveries, letters, race


def waits(run: Machine, delivery: Delivery) -> Hold:
    hold = Hold(delivery, "a turn of Limit(1)", begun=False)
    run.receive(HeldUp(hold=hold))
    return hold


def begun() -> tuple[Machine, list[Event], list[Delivery]]:
    """Three events for two workers: one is at work, one waits for its turn, one in the queue."""
    run = Machine(plan(step("work", limit=2)), 0.0, 9.0, 100)
    run.unfinished = []
    events: list[Event] = [A() for _ in range(3)]
    at_work = deliveries([each for event in events for each in run.event_sent(event, copy_context(), at=0.0)])
    for each in at_work:
        each.started = 0.0
    return run, events, at_work


def same(found: list[object], events: list[Event]) -> bool:
    return [id(each) for each in found] == [id(each) for each in events]


def test_one_that_is_cancelled_before_its_turn_is_left_over():
    run, events, (first, second) = begun()
    hold = waits(run, second)
    assert run.counts().begun == {"work": 1}
    run.receive(CancelAsked(why="by a test", at=1.0))
    assert same([*run.leftovers()], events[1:]), "also while it has not been cancelled yet"
    run.receive(GoesOn(hold=hold))
    second.started = None  # as the driver does, for one that was cancelled
    for each in (first, second):
        run.receive(StepCancelled(delivery=each))
    assert same([*run.leftovers()], events[1:])
    assert same([*in_flight(run)], events[:1])
    assert run.counts().begun == {"work": 1}


def test_one_whose_turn_has_come_has_begun():
    run, events, (_, second) = begun()
    run.receive(GoesOn(hold=waits(run, second)))
    run.receive(Interrupted(error=ValueError()))
    assert same([*run.leftovers()], events[2:])
    run.receive(StepCancelled(delivery=second))
    assert same([*in_flight(run)], events[1:2])


def test_it_is_handed_on_once_with_what_is_queued():
    run, events, (first, second) = begun()
    run.join_others(opened=True)
    hold = waits(run, second)
    run.receive(Interrupted(error=ValueError()))
    estate = take_estate(run)
    assert same([*estate.events()], events[1:])
    run.receive(GoesOn(hold=hold))
    second.started = None
    for each in (first, second):
        run.receive(StepCancelled(delivery=each))
    assert not [*run.leftovers()]
    assert same([*in_flight(run)], events[:1])


def test_a_deadline_says_what_it_waits_for():
    run, _, (first, second) = begun()
    waits(run, second)
    run.receive(HeldUp(hold=Hold(first, "a turn to edit the state")))
    run.receive(DeadlinePassed(at=9.0))
    error = run.verdict
    assert isinstance(error, WorkflowTimeoutError)
    assert error.held_up == {"work": {"a turn of Limit(1)": 1, "a turn to edit the state": 1}}


def test_a_loser_that_waits_for_its_turn_is_told_as_never_taken_and_is_no_leftover():
    run, (winner, second, third) = race(3)
    waits(run, second)
    effects = run.step_returned(winner, B(n=1), 1.0)
    assert [letter.event for letter in letters(effects)] == [second.event]
    assert {letter.reason for letter in letters(effects)} == {NOT_TAKEN}
    assert aborted(effects) == [second, third]
    run.receive(CancelAsked(why="by a test", at=1.0))
    assert second.event not in [*run.leftovers()]
