"""What a run counts: each event once where it is sent and once for each step that is given it, and no walk for it."""

from __future__ import annotations

import math
from contextvars import copy_context

from stretto._core.counting import Counting
from stretto._core.machine import Machine
from stretto._core.state import Delivery
from stretto.events import Event, InputRequiredEvent, StartEvent, StopEvent
from stretto.joins import All
from tests.core.plans import A, B, Finish, Question, plan, step


def machine() -> Machine:
    """Two steps, the second with one worker."""
    begin = step("begin", accepts=(StartEvent,), returns=(A, StopEvent))
    work = step("work", index=1, limit=1, accepts=(A,), returns=(StopEvent,))
    return Machine(plan(begin, work), 0.0, math.inf, 100)


def sent(run: Machine, event: Event, cause: Delivery | None = None) -> Delivery:
    (delivery,) = run.event_sent(event, copy_context(), at=0.0, cause=cause)
    assert type(delivery) is Delivery
    delivery.started = 0.0
    return delivery


def test_a_run_that_nothing_was_sent_to_has_counted_nothing():
    counts = machine().counts()
    assert counts.begun == {"begin": 0, "work": 0}
    assert counts.sent == counts.taken == {}


def test_what_waits_for_a_worker_and_what_is_ready_is_taken_and_not_begun():
    run = machine()
    first = sent(run, StartEvent())
    run.event_sent(A(), copy_context(), at=0.0, cause=first)
    run.event_sent(A(), copy_context(), at=0.0, cause=first)
    counts = run.counts()
    assert counts.begun == {"begin": 1, "work": 0}
    assert counts.sent == {(None, StartEvent): 1, ("begin", A): 2}
    assert counts.taken == {(StartEvent, "begin"): 1, (A, "work"): 2}


def test_an_attempt_that_waits_for_a_worker_again_has_begun_before():
    run = machine()
    work = sent(run, A())
    run.event_sent(A(), copy_context(), at=0.0)
    queue = run.waiting[1]
    assert queue
    waiting = next(iter(queue))
    assert type(waiting) is Delivery
    waiting.own_past().attempt = 2
    assert run.counts().begun["work"] == 2
    work.own_past().attempt = 2
    work.started = None
    assert run.counts().begun["work"] == 2


def test_a_stop_of_a_declared_class_and_one_of_a_class_that_derives_from_it_are_counted():
    for stop in (StopEvent(), Finish()):
        run = machine()
        run.step_returned(sent(run, StartEvent()), stop, 1.0)
        assert run.counts().sent["begin", type(stop)] == 1


def test_an_event_that_its_step_does_not_declare_is_counted_by_its_name():
    run = machine()
    work = sent(run, A())
    run.event_sent(StartEvent(), copy_context(), at=0.0, cause=work)
    run.event_sent(StartEvent(), copy_context(), at=0.0, cause=work)
    run.event_sent(B(), copy_context(), at=0.0, cause=work)
    counts = run.counts()
    assert (counts.sent["work", StartEvent], counts.sent["work", B]) == (2, 1)
    assert counts.taken[StartEvent, "begin"] == 2


def test_each_hop_counts_for_its_step_its_event_and_whom_it_goes_to():
    loop = step("loop", returns=(A,))
    run = Machine(plan(loop), 0.0, math.inf, 100)
    delivery = sent(run, A())
    for _ in range(3):
        (delivery,) = run.step_returned(delivery, A(), 0.0)
        assert type(delivery) is Delivery
        delivery.started = 0.0
    assert run.counts().sent == {(None, A): 1, ("loop", A): 3}
    assert run.counts().taken == {(A, "loop"): 4}
    run.event_sent(A(), copy_context(), at=0.0, cause=delivery)
    assert run.counts().sent["loop", A] == 4


def test_past_a_thousand_names_events_are_counted_as_events():
    run = machine()
    work = sent(run, A())
    for number in range(1_003):
        run.event_sent(type(f"Made{number}", (Event,), {})(), copy_context(), at=0.0, cause=work)
    counts = run.counts()
    assert counts.sent["work", Event] == 3
    assert sum(counts.sent.values()) == 1_004


def test_what_a_step_is_given_in_its_middle_begins_nothing_however_often():
    run = machine()
    work = sent(run, A())
    for _ in range(3):
        run._count_answered(work.step, B())
    counts = run.counts()
    assert (counts.taken[B, "work"], counts.begun["work"]) == (3, 1)


def test_a_question_is_counted_as_sent_and_what_only_tells_something_is_not():
    run = machine()
    work = sent(run, A())
    run.count_asked(work.step, InputRequiredEvent())
    run.count_asked(work.step, B())
    assert run.counts().sent == {(None, A): 1, ("work", InputRequiredEvent): 1}


def test_what_was_sent_in_two_ways_is_added_up():
    asks = step("asks", accepts=(StartEvent,), returns=(Question, StopEvent))
    run = Machine(plan(asks), 0.0, math.inf, 100)
    work = sent(run, StartEvent())
    run.count_asked(work.step, Question())
    run.event_sent(Question(), copy_context(), at=0.0, cause=work)
    assert run.counts().sent["asks", Question] == 2


def test_of_a_step_that_joins_the_calls_have_begun_and_not_what_it_was_given():
    begin = step("begin", accepts=(StartEvent,), returns=(A,), returns_list=True)
    run = Machine(plan(begin, step("join", index=1, join=All())), 0.0, math.inf, 100)
    for _ in range(3):
        (call,) = run.step_returned(sent(run, StartEvent()), [A(n=1), A(n=2)], 0.0)
        assert type(call) is Delivery
        call.started = 0.0
    counts = run.counts()
    assert (counts.taken[A, "join"], counts.begun["join"]) == (6, 3)


def test_every_machine_counts():
    assert issubclass(Machine, Counting)
