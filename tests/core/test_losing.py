"""What the machine does with the steps that have lost a race, by moves of its own: `First` in a fork of deliveries."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

import pytest

from stretto._core.effects import Abort, DeadLetter
from stretto._core.inputs import StepRaised, WaitBegan, WaitCancelled
from stretto._core.machine import Machine
from stretto._core.past import Held
from stretto._core.state import Delivery
from stretto._core.waiting import Waiter
from stretto.events import Event
from stretto.joins import First
from stretto.retry import RetryPolicy, fixed
from tests.core.plans import A, B, C, plan, step

CARRY = copy_context()
NOT_TAKEN = "the join of its fork had enough before Flow.ask (flow.py:20) took it"
CANCELLED = "Flow.ask (flow.py:20) was cancelled, because the join of its fork had enough"


def race(
    count: int, *, limit: int = 4, size: int | None = None, **options: Any
) -> tuple[Machine, list[Delivery]]:
    """A fork of so many, each of which asks; the first answer is taken."""
    run = Machine(
        plan(
            step("begin", accepts=(C,), returns=(A,), returns_list=True),
            step("ask", index=1, accepts=(A,), returns=(B,), returns_list=True, limit=limit, **options),
            step("take", index=2, accepts=(B,), join=First()),
        ),
        0.0,
        float("inf"),
        100,
    )
    if size is not None:
        run.bound(size)
    (begin,) = run.event_sent(C(), CARRY, at=0.0)
    assert isinstance(begin, Delivery)
    begin.started = 0.0
    asking = deliveries(run.step_returned(begin, [A(n=number) for number in range(count)], 0.0))
    for each in asking:
        each.started = 0.0
    return run, asking


def deliveries(effects: Any) -> list[Delivery]:
    return [effect for effect in effects if isinstance(effect, Delivery)]


def aborted(effects: Any) -> list[Delivery]:
    """Who is cancelled; never the winner, who has ended."""
    return [each.delivery for each in effects if isinstance(each, Abort)]


def letters(effects: Any) -> list[DeadLetter]:
    return [effect for effect in effects if isinstance(effect, DeadLetter)]


@pytest.mark.parametrize(
    ("value", "late"),
    [(None, []), (B(n=2), [B(n=2)]), ([B(n=2), B(n=3)], [B(n=2), B(n=3)]), ([], [])],
)
def test_what_a_loser_returns_is_a_dead_letter_and_then_the_join_is_called(value: object, late: list[Event]):
    run, (winner, loser) = race(2)
    assert aborted(run.step_returned(winner, B(n=1), 0.0)) == [loser]
    assert run.is_lost(loser)
    assert not run.is_lost(None)
    effects = run.step_returned(loser, value, 0.0)
    assert letters(effects) == [DeadLetter(event, CANCELLED) for event in late]
    (taken,) = deliveries(effects)
    assert taken.step.name == "take"
    assert [letter.event for letter in run.dead_letters or ()] == late
    assert loser not in run.active
    assert run.busy == [0, 0, 1]


def test_what_a_loser_sends_is_a_dead_letter():
    run, (winner, loser) = race(2)
    run.step_returned(winner, B(n=1), 0.0)
    effects = run.event_sent(B(n=2), CARRY, at=0.0, cause=loser)
    assert list(effects) == [DeadLetter(B(n=2), CANCELLED)]


def test_what_a_loser_holds_back_is_a_dead_letter_before_what_it_returns():
    run, (winner, loser) = race(2, holds=True)
    assert run.hold(loser, Held(B(n=7), CARRY, None), 0.0) == ()
    run.step_returned(winner, B(n=1), 0.0)
    effects = run.step_returned(loser, B(n=2), 0.0)
    assert letters(effects) == [
        DeadLetter(B(n=7), "Flow.ask (flow.py:20) held it back and was cancelled"),
        DeadLetter(B(n=2), CANCELLED),
    ]
    assert [each.step.name for each in deliveries(effects)] == ["take"]


def test_a_loser_that_waits_for_a_worker_never_begins_and_leaves_its_place():
    run, (winner,) = race(3, limit=1)
    effects = list(run.step_returned(winner, B(n=0), 0.0))
    (freed,) = deliveries(effects)  # the worker had gone to it before the answer was looked at
    assert aborted(effects) == [freed]
    assert letters(effects) == [DeadLetter(A(n=1), NOT_TAKEN), DeadLetter(A(n=2), NOT_TAKEN)]
    assert [letter.just_sent for letter in letters(effects)] == [False, False]
    assert run.is_lost(freed)
    (taken,) = deliveries(run.step_returned(freed, None, 0.0))
    assert taken.step.name == "take"
    assert not run.waiting[1]
    assert run.busy == [0, 0, 1]


def test_a_loser_that_waits_for_its_next_attempt_is_told_once_though_it_is_in_a_batch_that_it_was_given():
    run, (winner, loser) = race(2, retry=RetryPolicy(wait=fixed(9)))
    assert run.collect(loser, loser.event, [A], None) == [A(n=1)]
    run.receive(StepRaised(delivery=loser, error=ValueError(), at=0.0, draw=0.5))
    assert [letter.event for letter in letters(run.step_returned(winner, B(n=0), 1.0))] == [A(n=1)]


def test_a_loser_that_never_begins_leaves_room_in_the_queue():
    run, (winner,) = race(4, limit=1, size=9)
    assert run.room is not None
    assert run.room.queued == 3
    run.step_returned(winner, B(n=0), 0.0)
    assert run.room.queued == 0


def test_a_loser_that_waits_to_be_tried_again_never_is_and_its_batch_is_a_dead_letter_too():
    run, (winner, loser) = race(2, retry=RetryPolicy(attempts=2, wait=fixed(2)))
    run.collect(loser, loser.event, [A], None)
    run.receive(StepRaised(delivery=loser, error=ValueError(), at=0.0, draw=0.5))
    effects = run.step_returned(winner, B(n=1), 1.0)
    assert aborted(effects) == []
    assert letters(effects) == [DeadLetter(A(n=1), NOT_TAKEN)]
    assert [each.step.name for each in deliveries(effects)] == ["take"]
    assert not run.retrying
    assert list(run.leftovers()) == [B(n=1)], "what the join is called with"


def test_what_comes_to_a_join_that_has_enough_is_a_dead_letter():
    run, (winner, _) = race(2)
    effects = run.step_returned(winner, [B(n=1), B(n=2)], 0.0)
    assert letters(effects) == [DeadLetter(B(n=2), "Flow.take (flow.py:30) had enough before it came")]
    assert [letter.just_sent for letter in letters(effects)] == [False]


def test_what_a_step_sends_into_a_race_that_it_has_decided_itself_is_a_dead_letter():
    run, (sender,) = race(1)
    for number in (1, 2):
        run.event_sent(B(n=number), CARRY, at=0.0, cause=sender)
    effects = run.event_sent(A(n=3), CARRY, at=0.0, cause=sender)
    assert list(effects) == [DeadLetter(A(n=3), NOT_TAKEN)]
    assert [letter.just_sent for letter in letters(effects)] == [True]


def test_a_loser_that_has_ended_gives_its_worker_to_who_waits_for_it():
    run, (winner, loser) = race(2, limit=2)
    effects = run.step_returned(winner, B(n=0), 0.0)
    run.event_sent(A(n=7), CARRY, at=0.0)
    run.event_sent(A(n=8), CARRY, at=0.0)
    assert aborted(effects) == [loser]
    effects = run.step_returned(loser, None, 0.0)
    assert [(each.step.name, isinstance(each.event, A)) for each in deliveries(effects)] == [
        ("ask", True),
        ("take", False),
    ]


def test_a_loser_that_waits_in_its_middle_is_cancelled_there():
    run, (winner, loser) = race(2)
    waiter = Waiter(delivery=loser, kind=A, wake=lambda: None)
    run.receive(WaitBegan(waiter=waiter, parks=True))
    assert loser not in run.active
    assert aborted(run.step_returned(winner, B(n=1), 0.0)) == [loser]
    assert list(run.receive(WaitCancelled(waiter=waiter))) == []
    (taken,) = deliveries(run.step_returned(loser, None, 0.0))
    assert taken.step.name == "take"


def test_a_loser_that_fails_in_its_clean_up_is_not_tried_again():
    run, (winner, loser) = race(2, retry=RetryPolicy(attempts=2, wait=fixed(2)))
    run.step_returned(winner, B(n=1), 0.0)
    error = ValueError()
    run.receive(StepRaised(delivery=loser, error=error, at=1.0, draw=0.5))
    assert not run.retrying
    assert run.error() is error


def test_dead_letters_are_equal_by_event_and_reason() -> None:
    letter = DeadLetter(A(n=1), "late", just_sent=False)
    assert letter == letter.of("shop") == DeadLetter(A(n=1), "late")
    assert letter.of("shop").member == "shop"
    assert not letter.of("shop").just_sent
    assert {letter, letter.of("shop")} == {letter}
    assert letter not in {DeadLetter(A(n=2), "late"), DeadLetter(A(n=1), "early"), (A(n=1), "late")}
    assert letter != (A(n=1), "late")
    assert repr(letter) == "DeadLetter(event=A(n=1), reason='late')"
