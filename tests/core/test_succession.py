"""What a run that has failed leaves to the one that takes its place: nothing twice, and nothing untold."""

from __future__ import annotations

import math
from collections import Counter
from contextvars import Context, copy_context

from hypothesis import given, strategies as st

from stretto._core.effects import Resume
from stretto._core.gathering import Each
from stretto._core.inputs import (
    CancelAsked,
    EventSent,
    RetryDue,
    SendBegan,
    StepCancelled,
    StepRaised,
    StepReturned,
    WaitAnswered,
    WaitBegan,
)
from stretto._core.machine import Machine
from stretto._core.mail import Mail
from stretto._core.plan import StepPlan
from stretto._core.policies import Policies
from stretto._core.recovering import Recovery
from stretto._core.room import Sender
from stretto._core.state import Delivery
from stretto._core.succession import Estate, in_flight, take_estate
from stretto._core.waiting import Waiter
from stretto.events import Event, StepFailedEvent
from stretto.joins import All
from stretto.retry import RetryPolicy, fixed
from tests.core.plans import A, B, C, Question, ids, plan, step

CARRY = copy_context()
ONE = step("one", limit=1, accepts=(A,))
TWO = step("two", index=1, limit=2, accepts=(B, A))


def machine(*steps: StepPlan) -> Machine:
    made = Machine(plan(*(steps or (ONE, TWO))), 0.0, math.inf, 100)
    made.join_others(opened=True)
    made.unfinished = []
    return made


def send(to: Machine, event: Event, *, outside: bool = True) -> list[Delivery]:
    effects = to.receive(EventSent(event=event, carry=CARRY.copy(), at=0.0, outside=outside))
    return [effect for effect in effects if isinstance(effect, Delivery)]


def begin(*deliveries: Delivery) -> None:
    for each in deliveries:
        each.started = 0.0


def fail(run: Machine, delivery: Delivery, draw: float | None = None) -> None:
    run.receive(StepRaised(delivery=delivery, error=ValueError(), at=1.0, draw=draw))


def end(run: Machine, *, at_work: bool = True) -> None:
    """Cancels whatever has begun."""
    run.receive(CancelAsked(why="by its caller", at=1.0))
    for each in [each for each in run.active if each.started is not None and at_work]:
        run.receive(StepCancelled(delivery=each))


def handed(old: Machine, new: Machine) -> list[tuple[str, int]]:
    """What goes to the new run, by step, in the order in which it will begin there."""
    ready = take_estate(old).hand_on(new, Context.copy, 0.0)
    assert ready == list(new.active)
    queued = [each for queue in new.waiting for each in queue or () if isinstance(each, Delivery)]
    return [(each.step.name, id(each.event)) for each in [*ready, *queued]]


def test_what_no_step_has_begun_with_goes_to_the_step_that_it_was_queued_for_in_order():
    run, events = machine(), [A(n=n) for n in range(4)]
    begin(*[each for event in events[:1] for each in send(run, event)])
    for event in events[1:]:
        send(run, event)
    first = next(each for each in run.active if each.step is ONE)
    fail(run, first)
    end(run)
    assert ids(list(in_flight(run))) == [id(events[0]), id(events[0])]  # the first of each step
    new = machine()
    assert handed(run, new) == [
        ("two", id(events[1])),
        ("one", id(events[1])),
        ("two", id(events[2])),
        ("one", id(events[2])),
        ("one", id(events[3])),
        ("two", id(events[3])),
    ]
    assert list(run.leftovers()) == []


def test_what_had_room_in_the_old_run_has_some_in_the_new_one():
    run, new = machine(), machine()
    for number in range(4):
        send(run, A(n=number))
    end(run)
    new.bound(1)
    assert len(handed(run, new)) == 8


def test_a_step_that_has_handled_an_event_is_not_given_it_again_because_another_one_had_not():
    run, event = machine(), A()
    one, two = send(run, event)
    begin(one)
    run.receive(StepReturned(delivery=one, value=None, at=1.0))
    (failing,) = send(run, A())[:1]
    begin(failing)
    fail(run, failing)
    names = handed(run, machine())
    assert (two.step.name, id(event)) in names
    assert (one.step.name, id(event)) not in names


def test_its_context_is_that_of_the_new_run_and_a_question_is_not_asked_again():
    entered: list[Context] = []

    def enter(carry: Context) -> Context:
        entered.append(carry)
        return carry.copy()

    answers = step(accepts=(Question,), limit=1)
    run, new = machine(answers), machine(answers)
    send(run, Question(n=1))
    (ready,) = take_estate(run).hand_on(new, enter, 0.0)
    assert isinstance(ready, Delivery)
    assert len(entered) == 1
    assert ready.carry is not entered[0]
    waits = sender(Question(n=2))
    before = waits.carry
    Estate([], [], [waits]).hand_on(bounded(answers), enter, 0.0)
    assert entered[1] is before
    assert isinstance(waits.carry, Context)
    assert waits.carry is not before


def test_for_what_is_kept_the_new_run_has_the_room_that_it_has_for_all():
    run, new = machine(), machine()
    send(run, C(n=1))
    new.collect_limit = 2
    take_estate(run).hand_on(new, Context.copy, 0.0)
    assert new.mailbox is not None
    assert [new.mailbox.put(Mail(C(), outside=True)) for _ in range(2)] == [True, False]


def bounded(*steps: StepPlan) -> Machine:
    made = machine(*steps)
    made.bound(1)
    return made


def test_what_a_policy_holds_back_is_handed_on_too():
    held = step("one", limit=1, accepts=(A,), policies=Policies(size=9))
    run, new = machine(held), machine(held)
    for each in (run, new):
        each.hold_back({}, lambda _: None)
    events = [A(n=n) for n in range(4)]
    begin(*(each for event in events for each in send(run, event)))
    end(run)
    estate = take_estate(run)
    assert ids(list(estate.events())) == ids(events[1:])
    assert list(run.leftovers()) == []
    estate.hand_on(new, Context.copy, 0.0)
    assert ids(list(new.leftovers())) == ids(events[1:])


def test_what_was_kept_for_a_wait_is_kept_again():
    run, new = machine(), machine()
    mail = [C(n=1), C(n=2)]
    for event in mail:
        send(run, event)
    estate = take_estate(run)
    assert ids(list(estate.events())) == ids(mail)
    assert list(run.leftovers()) == []
    assert estate.hand_on(new, Context.copy, 0.0) == []
    assert ids(list(new.leftovers())) == ids(mail)
    late = C(n=3)
    send(run, late)
    assert take_estate(run).hand_on(new, Context.copy, 0.0) == []
    assert ids(list(new.leftovers())) == ids([*mail, late])


def test_what_was_tried_once_or_is_being_recovered_is_a_leftover_and_is_not_handed_on():
    retried = step("retried", limit=1, retry=RetryPolicy(attempts=3, wait=fixed(1)), accepts=(A,))
    failing = step("failing", index=1, accepts=(B,))
    rescue = step(
        "rescue",
        index=2,
        limit=1,
        accepts=(StepFailedEvent,),
        recovers=Recovery(for_steps=("failing",), max_recoveries=9),
    )
    run = machine(retried, failing, rescue)
    tried, waits = A(n=1), A(n=2)
    (delivery,) = send(run, tried)
    begin(delivery)
    fail(run, delivery, draw=0.5)  # it waits for its time
    (second,) = send(run, waits)
    for event in (B(n=1), B(n=2)):
        (each,) = send(run, event)
        begin(each)
        fail(run, each, draw=0.5)
    end(run)
    estate = take_estate(run)
    assert ids(list(estate.events())) == [id(second.event)]
    left = list(run.leftovers())
    assert any(each is tried for each in left)
    assert sum(isinstance(each, StepFailedEvent) for each in left) == 2


def test_what_is_to_be_tried_again_and_waits_for_a_worker_is_a_leftover_too():
    retried = step("retried", limit=1, retry=RetryPolicy(attempts=3, wait=fixed(1)), accepts=(A,))
    run, tried, other = machine(retried), A(n=1), A(n=2)
    (first,) = send(run, tried)
    begin(first)
    send(run, other)
    run.receive(
        StepRaised(delivery=first, error=ValueError(), at=1.0, draw=0.5)
    )  # the other one has the worker now
    run.receive(RetryDue(at=2.0))
    begin(*run.active)
    fail(run, next(iter(run.active)))
    assert handed(run, machine(retried)) == []
    assert ids(list(run.leftovers())) == [id(tried)]
    assert ids(list(in_flight(run))) == [id(other)]


def test_what_was_joined_and_waits_for_a_worker_is_a_leftover_too():
    joins = step("joins", limit=1, accepts=(A, B), join=Each((A, B)))
    run = machine(joins)
    events = [A(n=1), B(n=1), A(n=2), B(n=2)]
    for event in events:
        send(run, event)
    (first,) = run.active
    begin(first)
    fail(run, first)
    assert handed(run, machine(joins)) == []
    assert ids(list(run.leftovers())) == ids(events[2:])
    assert ids(list(in_flight(run))) == ids(events[:2])


def test_a_step_that_was_cancelled_and_returned_all_the_same_was_not_in_flight():
    run = machine(ONE)
    (first,) = send(run, A())
    begin(first)
    run.receive(CancelAsked(why="by its caller", at=1.0))
    run.receive(StepCancelled(delivery=first, value=B(n=5)))
    assert list(in_flight(run)) == []
    assert list(run.leftovers()) == [B(n=5)]


def test_what_has_been_given_something_before_a_restart_of_the_program_is_a_leftover_too():
    run = machine(ONE)
    send(run, A())
    again = A(n=2)
    send(run, again)
    (queue,) = run.waiting
    assert queue is not None
    (delivery,) = queue
    assert isinstance(delivery, Delivery)
    delivery.own_past().again = [Mail(C(n=3), outside=False)]
    assert len(handed(run, machine(ONE))) == 1
    assert ids(list(run.leftovers()))[0] == id(again)


def sender(event: Event, delivery: Delivery | None = None) -> Sender:
    return Sender(delivery, event, None, carry=CARRY.copy(), wake=lambda: None, parks=False)


def test_who_waits_outside_for_room_waits_for_that_of_the_new_run_and_who_waits_inside_does_not():
    run, new = machine(ONE), machine(ONE)
    for each in (run, new):
        each.bound(1)
    begun, queued = A(n=0), A(n=1)
    begin(*send(run, begun))
    send(run, queued)
    waits = [sender(A(n=2)), sender(A(n=3)), sender(A(n=4), next(iter(run.active)))]
    for each in waits:
        run.receive(SendBegan(sender=each))
    fail(run, next(iter(run.active)))
    first, second, own = waits
    effects = take_estate(run).hand_on(new, Context.copy, 0.0)
    assert [type(effect) for effect in effects] == [
        Delivery,
        Resume,
    ]  # as there is room for one
    assert isinstance(effects[1], Resume)
    assert effects[1].waiter is first
    assert list(new.room or ()) == [second]
    assert list(run.room or ()) == [own]
    assert [first.error, second.error] == [None, None]


def test_what_a_step_was_given_in_its_middle_was_in_flight_with_its_event():
    run, own, given = machine(), A(n=1), C(n=2)
    (delivery, *_) = send(run, own)
    begin(delivery)
    waiter = Waiter(delivery=delivery, kind=C, wake=lambda: None)
    run.receive(WaitBegan(waiter=waiter, parks=True))
    send(run, given)
    assert waiter.event is given
    fail(run, delivery)
    assert ids(list(in_flight(run))) == ids([own, given])


def test_a_step_that_waits_for_a_worker_in_its_middle_is_not_queued_for_the_new_run():
    run = machine(step("one", limit=1, accepts=(A,)))
    (delivery,) = send(run, A(n=1))
    begin(delivery)
    waiter = Waiter(delivery=delivery, kind=C, wake=lambda: None)
    run.receive(WaitBegan(waiter=waiter, parks=True))
    (other,) = send(run, A(n=2))
    begin(other)
    third = A(n=3)
    send(run, third)
    run.receive(WaitAnswered(waiter=waiter, event=C()))  # and it waits for a worker, behind the third
    fail(run, other)
    assert handed(run, machine(step("one", limit=1, accepts=(A,)))) == [("one", id(third))]


def test_of_a_fork_nothing_is_handed_on_and_what_is_in_no_fork_is():
    forks = step("forks", accepts=(A,), returns=(B,), returns_list=True)
    works = step("works", index=1, limit=1, accepts=(B,), returns=(C,))
    joins = step("joins", index=2, limit=1, accepts=(C,), join=All())

    def made() -> Machine:
        return machine(forks, works, joins)

    run, loose, branches = made(), B(n=9), [B(n=1), B(n=2)]
    (delivery,) = send(run, A())
    begin(delivery)
    run.receive(StepReturned(delivery=delivery, value=branches, at=0.5))
    send(run, loose)
    first = next(iter(run.active))
    begin(first)
    fail(run, first)
    assert handed(run, made()) == [("works", id(loose))]
    assert ids(list(in_flight(run))) == [id(branches[0])]
    assert ids(list(run.leftovers())) == [id(branches[1])]


@given(
    events=st.lists(st.sampled_from([A, B, C]), max_size=12),
    begun=st.integers(0, 4),
    returned=st.integers(0, 3),
    rounds=st.integers(1, 3),
)
def test_each_delivery_is_handled_or_in_flight_or_left_over_or_handed_on_and_none_twice(
    events: list[type[A]], begun: int, returned: int, rounds: int
):
    run = machine()
    sent: Counter[tuple[str, int]] = Counter()
    alive = [kind(n=n) for n, kind in enumerate(events)]  # so that no identity comes up twice
    for event in alive:
        send(run, event)
        sent.update((each.name, event.n) for each in (ONE, TWO) if type(event) in each.accepts)
    told: Counter[tuple[str, int]] = Counter()
    for _ in range(rounds):
        at_work = list(run.active)[:begun]
        begin(*at_work)
        for each in at_work[:returned]:
            run.receive(StepReturned(delivery=each, value=None, at=1.0))
            told[each.step.name, each.event.n] += 1  # pyright: ignore[reportAttributeAccessIssue]
        for each in at_work[returned : returned + 1]:
            fail(run, each)
        end(run)
        told.update((each.step.name, each.event.n) for each in run.unfinished or ())  # pyright: ignore[reportAttributeAccessIssue]
        new = machine()
        take_estate(run).hand_on(new, Context.copy, 0.0)
        assert list(run.leftovers()) == []
        run = new
    queued = [each for queue in run.waiting for each in queue or () if isinstance(each, Delivery)]
    told.update((each.step.name, each.event.n) for each in [*run.active, *queued])  # pyright: ignore[reportAttributeAccessIssue]
    assert told == sent
    assert Counter(event.n for event in alive if type(event) is C) == Counter(
        event.n for event in run.leftovers() if type(event) is C
    )


def test_what_waited_in_a_run_that_drops_is_handed_on_by_age():
    first = machine(step("one", limit=1, accepts=(A,)), step("two", index=1, limit=1, accepts=(B,)))
    first.shed(9, newest=False)
    events: list[Event] = [A(), B(), B(), A(), B(), A()]
    begin(*(each for event in events for each in send(first, event)))
    first.receive(CancelAsked(why="by a test", at=1.0))
    estate = take_estate(first)
    assert ids([*estate.events()]) == ids(events[2:])
    heir = machine(step("one", limit=1, accepts=(A,)), step("two", index=1, limit=1, accepts=(B,)))
    heir.shed(1, newest=False)
    effects = estate.hand_on(heir, Context.copy, 1.0)
    assert ids([each.event for each in effects if isinstance(each, Delivery)]) == ids(events[2:4])
    assert ids([*heir.leftovers()]) == ids(events[2:4] + events[5:])
    assert [letter.event for letter in heir.dead_letters or ()] == events[4:5]
