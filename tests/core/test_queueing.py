"""The bound of a run's queue, against a model of lists."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.effects import Belated, DeadLetter, EndRun, Publish, Resume
from stretto._core.inputs import (
    Concluded,
    Input,
    SendBegan,
    SendCancelled,
    StepRaised,
    StepReturned,
    WaitBegan,
)
from stretto._core.machine import Machine
from stretto._core.room import Sender
from stretto._core.state import Delivery
from stretto._core.waiting import Waiter
from stretto.errors import QueueFullError, RunEndedError
from stretto.events import Event, StopEvent
from stretto.joins import All
from tests.core.plans import A, B, C, Outer, Question, plan, step

CARRY = copy_context()
KINDS = st.sampled_from([A, B, C])


def machine(size: int, *, limit: int = 1, fed: bool = True) -> Machine:
    """A takes A and C, b takes B and C; fed from outside, so that it is never stuck for want of events."""
    steps = [
        step("a", accepts=(A, C), limit=limit),
        step("b", index=1, accepts=(B, C), limit=limit),
        step("c", index=2, accepts=(Outer,)),
    ]
    run = Machine(plan(*(steps if fed else steps[:2])), 0.0, float("inf"), 100)
    run.bound(size)
    return run


def sender(event: Event, delivery: Delivery | None = None, to: str | None = None) -> Sender:
    return Sender(delivery, event, to, carry=CARRY, wake=lambda: None, parks=delivery is not None)


def told(run: Machine, given: Input) -> list[Any]:
    return list(run.receive(given))


def asks(
    run: Machine, event: Event, delivery: Delivery | None = None, to: str | None = None
) -> tuple[Sender, list[Any]]:
    who = sender(event, delivery, to)
    return who, told(run, SendBegan(sender=who))


def sends(run: Machine, event: Event) -> list[Any]:
    return list(run.event_sent(event, CARRY, at=0.0))


def test_up_to_the_size_wait_and_one_more_is_refused_with_nothing_done():
    run = machine(2)
    (one,) = sends(run, A(n=0))
    assert sends(run, A(n=1)) == sends(run, A(n=2)) == []
    with pytest.raises(
        QueueFullError, match=r"no room for A\(n=3\) in the queue of Flow \(2 queued, queue_size=2\)"
    ):
        sends(run, A(n=3))
    (following,) = told(run, StepReturned(delivery=one, value=None, at=0.0))
    assert following.event == A(n=1)
    assert sends(run, A(n=3)) == []


def test_what_goes_to_a_free_worker_needs_no_room():
    run = machine(1)
    sends(run, A())
    sends(run, A())
    (delivery,) = sends(run, B())
    assert delivery.step.name == "b"


def test_an_event_for_two_steps_needs_a_place_for_each_that_is_busy():
    run = machine(1)
    sends(run, A())
    assert [each.step.name for each in sends(run, C())] == ["b"]
    with pytest.raises(QueueFullError):
        sends(run, C())


def test_who_waits_is_let_in_first_come_first_served_and_a_large_one_is_not_passed():
    run = machine(2)
    (a,) = sends(run, A(n=0))
    (b,) = sends(run, B(n=0))
    for n in (1, 2):
        sends(run, A(n=n))
    large, effects = asks(run, C())
    small, more = asks(run, B(n=1))
    assert effects == more == []
    (freed,) = told(run, StepReturned(delivery=a, value=None, at=0.0))
    assert freed.event == A(n=1), "one place is free, and the first needs two"
    effects = told(run, StepReturned(delivery=b, value=None, at=0.0))
    assert [type(each) for each in effects] == [Delivery, Resume], "with b free it needs one"
    assert effects[0].event == C()
    assert effects[1].waiter is large
    assert small.error is None
    effects = told(run, StepReturned(delivery=freed, value=None, at=0.0))
    assert [type(each) for each in effects] == [Delivery, Resume]
    assert effects[1].waiter is small


def test_an_event_for_a_named_step_needs_room_there_alone():
    run = machine(1)
    sends(run, A(n=0))
    sends(run, A(n=1))
    (b,) = run.event_sent(C(n=2), CARRY, "b", at=0.0)
    assert isinstance(b, Delivery)
    assert b.step.name == "b"
    who, effects = asks(run, C(n=3), to="b")
    assert effects == []
    assert who.error is None
    assert told(run, StepReturned(delivery=b, value=None, at=0.0)) == [*[*run.active][1:], Resume(waiter=who)]
    assert [each.event for each in run.active] == [A(n=0), C(n=3)]
    assert list(run.leftovers()) == [A(n=0), C(n=3), A(n=1)]


def test_a_stop_needs_no_room():
    run = machine(1)
    for event in (A(), A()):
        sends(run, event)
    who, effects = asks(run, StopEvent("tea"))
    assert effects == [EndRun(), Resume(waiter=who)]
    assert run.result == "tea"


def test_who_waited_for_room_sends_into_the_fork_of_its_step():
    steps = [
        step("begin", accepts=(C,)),
        step("work", index=1, returns=(B,), limit=1),
        step("join", index=2, accepts=(B,), join=All()),
    ]
    run = Machine(plan(*steps), 0.0, float("inf"), 100)
    run.bound(1)
    (begin,) = sends(run, C())
    working: list[Any] = []
    for number in range(3):
        who, effects = asks(run, A(n=number), begin)
        working += [each for each in effects if isinstance(each, Delivery)]
    assert not effects, "it waits"
    for each in working:
        if each.step.name == "join":
            break
        effects = told(run, StepReturned(delivery=each, value=B(n=each.event.n), at=0.0))
        if Resume(waiter=who) in effects:
            effects += told(run, StepReturned(delivery=begin, value=None, at=0.0))
        working += [effect for effect in effects if isinstance(effect, Delivery)]
    assert [each.n for each in working[-1].event.events] == [0, 1, 2]


def test_without_a_bound_nobody_waits_for_room():
    with pytest.raises(AssertionError, match=r"^there is room for all$"):
        asks(machine_without_a_bound(), A())


def test_what_else_follows_is_told_before_the_one_who_is_refused():
    run = Machine(
        plan(
            step("a", accepts=(A,), limit=1), step("b", index=1, accepts=(B,), returns=(Question,), limit=1)
        ),
        0.0,
        float("inf"),
        100,
    )
    run.bound(1)
    (a,), (b,) = sends(run, A(n=0)), sends(run, B())
    sends(run, A(n=1))
    who, effects = asks(run, A(n=2), a)
    assert effects == []
    assert told(run, StepReturned(delivery=b, value=Question(), at=0.0)) == [
        Publish(event=Question()),
        Resume(waiter=who),
    ]


def test_what_could_never_fit_is_refused_at_once():
    run = machine(1)
    for event in (A(), B()):
        sends(run, event)
    who, effects = asks(run, C())
    assert effects == [Resume(waiter=who)]
    assert str(who.error) == (
        "C(n=0) would wait for a worker in 2 steps of Flow at once, and queue_size is 1; raise it, or give the steps "
        "more workers"
    )


def test_an_event_that_somebody_waits_for_needs_no_room():
    run = machine(1, limit=2)
    (one,) = sends(run, A())
    for event in (A(), A()):
        sends(run, event)
    waiter = Waiter(delivery=one, kind=A, wake=lambda: None)
    told(run, WaitBegan(waiter=waiter, parks=False))
    assert sends(run, A(n=7)) == [Resume(waiter=waiter)]
    with pytest.raises(QueueFullError):
        sends(run, A(n=8))


def test_one_who_is_cancelled_is_never_let_in():
    run = machine(1)
    (one,) = sends(run, A(n=0))
    sends(run, A(n=1))
    who, _ = asks(run, A(n=2))
    assert told(run, SendCancelled(sender=who)) == []
    (freed,) = told(run, StepReturned(delivery=one, value=None, at=0.0))
    assert freed.event == A(n=1)
    assert told(run, SendCancelled(sender=who)) == []
    assert told(machine_without_a_bound(), SendCancelled(sender=who)) == []


def test_one_who_is_cancelled_is_no_longer_one_of_those_who_wait_with_all_they_have():
    run = machine(1, limit=3)
    working = [sends(run, A(n=number))[0] for number in range(3)]
    sends(run, A(n=3))
    first, second = (asks(run, A(n=4), each)[0] for each in working[:2])
    assert run.room is not None
    assert run.room.parked == 2
    for who, left in ((first, 1), (first, 1), (second, 0)):
        told(run, SendCancelled(sender=who))
        assert run.room.parked == left


def test_a_sender_keeps_what_wakes_it():
    woken: list[bool] = []
    who = Sender(None, A(), None, carry=CARRY, wake=lambda: woken.append(True), parks=False)
    who.wake()
    assert woken == [True]


def machine_without_a_bound() -> Machine:
    return Machine(plan(step()), 0.0, float("inf"), 100)


@pytest.mark.parametrize("fed", [True, False])
def test_when_all_that_works_waits_for_room_the_last_is_told(fed: bool):
    run = machine(1, limit=2, fed=fed)
    (one,), (other,) = sends(run, A(n=0)), sends(run, A(n=1))
    sends(run, A(n=2))
    first, effects = asks(run, A(n=3), one)
    assert effects == []
    outside, effects = asks(run, A(n=4))
    assert effects == []
    last, effects = asks(run, A(n=5), other)
    assert effects == [Resume(waiter=last)]
    assert str(last.error) == (
        "Flow.a (flow.py:10) waits for room for A(n=5) in the queue of Flow (1 queued, queue_size=1), and all steps at "
        "work wait for room as well; raise it, give the steps more workers, or return events in place of sending them"
    )
    effects = told(run, StepRaised(delivery=other, error=last.error or ValueError(), at=0.0))
    assert effects == [EndRun()]
    assert first.error is outside.error is None
    effects = told(run, Concluded())
    assert [each.waiter for each in effects] == [first, outside]
    assert isinstance(first.error, RunEndedError)
    assert str(outside.error) == "A(n=4) waited for room in the queue of Flow, and the run is over"
    assert told(run, Concluded()) == []


def test_a_context_of_a_step_that_is_over_parks_nobody():
    run = machine(1)
    (one,) = sends(run, A(n=0))
    sends(run, A(n=1))
    told(run, StepReturned(delivery=one, value=None, at=0.0))
    sends(run, A(n=2))
    who, effects = asks(run, A(n=3), one)
    assert effects == []
    assert not who.parks


def test_those_outside_alone_are_never_told_that_nobody_can_make_room():
    run = machine(1)
    for event in (A(), A()):
        sends(run, event)
    who, effects = asks(run, A())
    assert effects == []
    assert who.error is None


def test_after_the_end_what_is_sent_is_a_dead_letter_and_nobody_is_let_in():
    run = machine(1)
    (one,) = sends(run, A())
    sends(run, A())
    asks(run, A())
    assert sends(run, StopEvent()) == [EndRun()]
    assert [type(each) for each in sends(run, A())] == [DeadLetter, EndRun]
    assert told(run, StepReturned(delivery=one, value=None, at=0.0)) == [EndRun()]


class Bounded(RuleBasedStateMachine):
    """Nothing is lost, nothing overtakes, and the bound is kept; beside lists of what was admitted and what began."""

    @initialize(size=st.integers(1, 4), limit=st.integers(1, 2))
    def begin(self, size: int, limit: int) -> None:
        self.size = size
        self.run = machine(size, limit=limit)
        self.number = 0
        self.working: list[Delivery] = []
        self.waiting: list[Sender] = []
        self.admitted: dict[str, list[int]] = {"a": [], "b": []}  # in the order in which room was found
        self.began: dict[str, list[int]] = {"a": [], "b": []}

    @rule(kind=KINDS, waits=st.booleans())
    def send(self, kind: Any, waits: bool) -> None:
        self.number += 1
        event = kind(n=self.number)
        try:
            effects = sends(self.run, event)
        except QueueFullError:
            if waits:
                self.waiting.append(sender(event))
                self.take(told(self.run, SendBegan(sender=self.waiting[-1])))
        else:
            self.admit(event)
            self.take(effects)

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 5))
    def cancel(self, which: int) -> None:
        who = self.waiting.pop(which % len(self.waiting))
        self.take(told(self.run, SendCancelled(sender=who)))

    @precondition(lambda self: self.working)
    @rule(which=st.integers(0, 5))
    def end(self, which: int) -> None:
        delivery = self.working.pop(which % len(self.working))
        self.take(self.run.step_returned(delivery, None, 0.0))

    def admit(self, event: Any) -> None:
        for name, kinds in (("a", (A, C)), ("b", (B, C))):
            if type(event) in kinds:
                self.admitted[name].append(event.n)

    def take(self, effects: Any) -> None:
        for effect in effects:
            if isinstance(effect, Resume):
                who = effect.waiter
                assert isinstance(who, Sender)
                if who.error is None:
                    assert who is self.waiting[0], "somebody was let in out of turn"
                    self.admit(who.event)
                self.waiting.remove(who)
            elif isinstance(effect, Delivery):
                self.working.append(effect)
                self.began[effect.step.name].append(getattr(effect.event, "n", 0))

    @invariant()
    def the_bound_is_kept_and_nothing_overtakes(self) -> None:
        room = self.run.room
        assert room is not None
        assert room.queued == sum(len(queue) for queue in self.run.waiting if queue)
        assert room.queued <= self.size
        assert list(room) == self.waiting
        for name, started in self.began.items():
            assert started == self.admitted[name][: len(started)], "one overtook another"

    def teardown(self) -> None:
        while getattr(self, "working", None):
            self.end(0)
        if hasattr(self, "run"):
            assert self.began == self.admitted, "an event was lost"
            assert not self.waiting, "somebody waits although there is room"


TestBounded = Bounded.TestCase


@pytest.mark.parametrize("outside", [True, False])
def test_what_comes_of_an_event_that_waited_for_room_is_said_of_who_sent_it(outside: bool):
    run = Machine(
        plan(step(accepts=(Question,), limit=1), step("b", index=1, accepts=(B,))), 0.0, float("inf"), 9
    )
    run.bound(1)
    (_, work), (by,) = sends(run, Question()), sends(run, B())
    sends(run, Question())
    waits, _ = asks(run, question := Question(n=3), None if outside else by)
    effects = told(run, StepReturned(delivery=work, value=None, at=0.0))
    assert effects[1:] == [
        Belated(effect=Publish(event=question), by=None if outside else "Flow.b (flow.py:20)"),
        Resume(waiter=waits),
    ]
