"""The machine of a run that others send to: what it lets out, when it says that it is quiet, how it is closed."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from stretto._core.effects import Closed, DeadLetter, Delivery, EndRun, Kept, Outward, Quiet, Resume
from stretto._core.inputs import (
    CancelAsked,
    Crossed,
    DeadlinePassed,
    EventSent,
    SendBegan,
    WaitAnswered,
    WaitBegan,
    WaitCancelled,
)
from stretto._core.machine import Machine
from stretto._core.plan import StepPlan
from stretto._core.policies import Policies
from stretto._core.room import Sender
from stretto._core.state import Ended
from stretto._core.waiting import Waiter
from stretto.errors import QueueFullError, RoutingError, UndeclaredEventError, WorkflowTimeoutError
from stretto.events import Event, StartEvent, StopEvent
from stretto.joins import All
from tests.core.counting import calls_during
from tests.core.plans import A, B, C, Question, plan, step

CARRY = copy_context()


def machine(*steps: StepPlan, opened: bool = False, closes: bool = False, joined: bool = True) -> Machine:
    made = Machine(plan(*(steps or (step(accepts=(StartEvent, A), returns=(B, StopEvent)),))), 0.0, 10.0, 100)
    if joined:
        made.join_others(opened=opened, closes=closes)
    return made


def send(to: Machine, event: Event, *, outside: bool = False) -> list[object]:
    return list(to.receive(EventSent(event=event, carry=CARRY, at=0.0, outside=outside)))


def begin(to: Machine, event: Event | None = None) -> Delivery:
    (delivery,) = send(to, event or A(), outside=True)
    assert isinstance(delivery, Delivery)
    delivery.started = 0.0
    return delivery


def kinds(effects: object) -> list[type]:
    return [type(effect) for effect in effects]  # pyright: ignore[reportGeneralTypeIssues]


def test_what_no_step_takes_goes_outward_and_the_machine_says_quiet_when_that_is_answered():
    run = machine()
    delivery = begin(run)
    outward, quiet = run.step_returned(delivery, B(n=1), 1.0)
    assert isinstance(outward, Outward)
    assert (outward.event, outward.carry) == (B(n=1), CARRY)
    assert isinstance(quiet, Quiet)
    assert kinds(run.receive(Crossed(event=outward.event, taken=True))) == [Quiet]
    assert list(run.leftovers()) == []
    assert run.feeders == 1  # whoever called it


def test_what_nobody_takes_there_either_is_kept():
    run = machine()
    begin(run)
    (outward,) = send(run, C())
    assert isinstance(outward, Outward)
    assert outward.claims is True, "who sends can be refused"
    assert kinds(run.receive(Crossed(event=outward.event, taken=False))) == [Kept]
    assert list(run.leftovers()) == [C()]
    assert [mail.outside for mail in run.mailbox or ()] == [False]


def test_what_comes_from_outside_stays_and_so_does_a_question_and_what_is_waited_for():
    run = machine(step(accepts=(StartEvent,)))
    delivery = begin(run, StartEvent())
    assert kinds(send(run, C(), outside=True)) == [Kept]
    assert Outward not in kinds(send(run, Question()))
    waiter = Waiter(delivery=delivery, kind=B, wake=lambda: None)
    run.receive(WaitBegan(waiter=waiter, parks=False))
    assert kinds(send(run, B())) == [Resume]
    assert kinds(send(run, B())) == [Outward]


def test_what_several_steps_of_its_own_take_stays():
    run = machine(step(accepts=(StartEvent, A)), step("other", index=1))
    begin(run, StartEvent())
    assert kinds(send(run, A())) == [Delivery, Delivery]


def test_a_run_that_is_alone_lets_nothing_out():
    run = machine(joined=False)
    begin(run)
    assert kinds(send(run, C())) == [Kept]


def test_a_run_that_holds_back_tells_who_sends_what_to_whom_as_any_other():
    run = machine(step(policies=Policies(size=9)), step("named", index=1), opened=True)
    run.hold_back({}, lambda lane: None)
    (delivery,) = run.event_sent(A(), CARRY, "named", at=0.0)
    assert isinstance(delivery, Delivery)
    assert delivery.step.name == "named"
    (outward,) = run.event_sent(B(), CARRY, at=0.0)
    assert isinstance(outward, Outward)
    assert outward.claims is True
    assert kinds(run.event_sent(C(), CARRY, at=0.0, outside=True)) == [Kept]
    assert [mail.outside for mail in run.mailbox or ()] == [True]


def test_types_that_others_are_asked_about_first_go_outward_though_a_step_takes_them():
    run = machine()
    delivery = begin(run)
    run.ask_others_first(frozenset({A}))
    assert kinds(send(run, A())) == [Outward]
    assert kinds(send(run, A(), outside=True)) == [Delivery]
    waiter = Waiter(delivery=delivery, kind=B, wake=lambda: None)
    run.receive(WaitBegan(waiter=waiter, parks=False))
    run.receive(WaitCancelled(waiter=waiter))
    assert kinds(send(run, A())) == [Outward]  # a wait that ends does not make it forget that
    run.ask_others_first(frozenset())
    assert kinds(send(run, A())) == [Delivery]


def test_a_nested_run_is_stuck_by_itself_and_not_before_it_knows_whether_its_event_was_taken():
    run = machine(step(accepts=(StartEvent,), returns=(B,)), joined=False)
    run.outlet = True
    (outward,) = run.step_returned(begin(run, StartEvent()), B(), 1.0)
    assert isinstance(outward, Outward)
    assert run.ended is None
    run.receive(Crossed(event=outward.event, taken=False))
    assert run.ended is Ended.STALLED
    assert "B(n=0) was not taken" in str(run.error())


@pytest.mark.parametrize("opened", [True, False])
def test_a_run_among_others_is_never_stuck_by_itself(opened: bool):
    run = machine(opened=opened)
    assert kinds(run.step_returned(begin(run), None, 1.0)) == [Quiet]
    assert run.ended is None


def test_a_stop_event_ends_a_run_that_was_called_and_one_that_is_to_be_cut():
    for run in (machine(), machine(opened=True)):
        assert kinds(run.step_returned(begin(run), StopEvent(result=1), 1.0)) == [EndRun]
        assert run.ended is Ended.STOPPED


def test_a_stop_event_closes_a_run_that_an_event_has_opened_and_what_it_took_in_goes_on():
    run = machine(step(accepts=(A,), returns=(B, StopEvent), limit=1), opened=True, closes=True)
    first = begin(run)
    send(run, A(n=2), outside=True)
    effects = run.step_returned(first, StopEvent(result=1), 1.0)
    assert kinds(effects) == [Delivery, Closed]
    assert run.ended is None
    assert run.closed
    (second, *_) = effects
    assert isinstance(second, Delivery)
    assert list(run.step_returned(second, StopEvent(result=2), 1.0)) == [
        DeadLetter(StopEvent(result=2), "the run of Flow was closed by an earlier one"),
        Quiet(),
    ]


def test_a_step_that_waits_leaves_a_quiet_run_and_one_that_is_not_fed_says_so():
    run = machine()
    delivery = begin(run)
    waiter = Waiter(delivery=delivery, kind=B, wake=lambda: None, feeds=False)
    assert kinds(run.receive(WaitBegan(waiter=waiter, parks=True))) == [Quiet]
    assert run.feeders == 1
    assert run.why_stuck() == ["Flow.work (flow.py:10) waits for B"]
    assert kinds(run.receive(WaitAnswered(waiter=waiter, event=B(n=7)))) == [Resume]
    assert waiter.event == B(n=7)
    assert run.receive(WaitAnswered(waiter=waiter, event=B(n=8))) == ()
    assert run.feeders == 1


def test_a_wait_that_has_failed_goes_on_without_an_event():
    run = machine()
    waiter = Waiter(delivery=begin(run), kind=B, wake=lambda: None, feeds=False)
    run.receive(WaitBegan(waiter=waiter, parks=True))
    waiter.error = ValueError()
    assert kinds(run.receive(WaitAnswered(waiter=waiter))) == [Resume]
    assert waiter.mail is None


def test_an_answer_to_a_wait_that_is_cancelled_is_kept_as_one_from_inside():
    run = machine()
    waiter = Waiter(delivery=begin(run), kind=B, wake=lambda: None, feeds=False)
    run.receive(WaitBegan(waiter=waiter, parks=False))
    run.receive(WaitAnswered(waiter=waiter, event=B()))
    assert waiter.mail is not None
    assert waiter.mail.outside is False
    run.receive(WaitCancelled(waiter=waiter))
    assert list(run.leftovers()) == [B()]


@pytest.mark.parametrize("opened", [True, False])
def test_who_has_called_a_run_feeds_it_and_nobody_does_one_that_an_event_has_opened(opened: bool):
    run = machine(opened=opened)
    assert run.opened is opened
    assert run.feeders == (0 if opened else 1)


def test_who_waits_is_given_its_event_whoever_is_asked_first():
    run = machine()
    waiter = Waiter(delivery=begin(run), kind=A, wake=lambda: None)
    run.receive(WaitBegan(waiter=waiter, parks=False))
    run.ask_others_first(frozenset())
    assert kinds(send(run, A())) == [Resume]


def test_what_comes_back_after_the_end_is_not_kept():
    run = machine()
    begin(run)
    send(run, C())
    run.receive(CancelAsked(why="by a test"))
    assert kinds(run.receive(Crossed(event=C(), taken=False))) == [EndRun]
    assert len(list(run.leftovers())) == 0


def test_a_run_that_is_late_says_what_it_waited_for():
    run = machine()
    run.step_returned(begin(run), None, 1.0)
    run.receive(DeadlinePassed(at=10.0))
    error = run.error()
    assert isinstance(error, WorkflowTimeoutError)
    assert str(error) == (
        "Flow timed out after 10 s; no step was active; it waited for what others send; time went into Flow.work "
        "(flow.py:10) 1 s"
    )
    assert str(run.overdue(11.0)) == str(error)


def test_what_was_half_collected_is_told_of_a_run_among_others_too():
    run = machine()
    delivery = begin(run)
    assert run.collect(delivery, delivery.event, [A, A], None) is None
    half = "collect_events in Flow.work (flow.py:10) still waits for 1 x A (has 1 of 2)"
    assert half in run.why_stuck()
    assert (
        str(run.overdue(11.0))
        == f"Flow timed out after 10 s; active: Flow.work (flow.py:10) x1 for 11 s; {half}"
    )


# -- the short way out -----------------------------------------------------------------------------------------


def leaving(*, limit: int = 4) -> Machine:
    """A run that has let out a B before, so that the next one takes the short way."""
    run = machine(step(accepts=(StartEvent, A), returns=(B, StopEvent), limit=limit), opened=True)
    run.step_returned(begin(run), B(n=1), 1.0)
    return run


def test_what_has_left_before_leaves_by_the_short_way_sent_or_returned():
    run = leaving()
    delivery = begin(run)
    carry = copy_context()
    (outward,) = run.event_sent(B(n=2), carry, at=1.0)
    assert isinstance(outward, Outward)
    assert (outward.event, outward.carry, outward.claims) == (B(n=2), carry, True)
    outward, quiet = run.step_returned(delivery, B(n=3), 1.0)
    assert isinstance(outward, Outward)
    what_is_returned_needs_room = False
    assert (outward.event, outward.carry, outward.claims) == (B(n=3), CARRY, what_is_returned_needs_room)
    assert isinstance(quiet, Quiet)
    assert (list(run.active), run.feeders) == ([], 0)


def test_the_short_way_is_counted_as_the_long_one_is():
    run = leaving()
    delivery = begin(run)
    run.event_sent(B(n=2), CARRY, at=1.0, cause=delivery)
    run.step_returned(delivery, B(n=3), 1.0)
    assert run.counts().sent["work", B] == 3
    assert (None, B) not in run.counts().sent


@pytest.mark.parametrize("returned", [False, True], ids=["sent", "returned"])
def test_the_short_way_is_shorter(returned: bool):
    def calls(*, short: bool) -> int:
        run = leaving()
        if not short:
            run.leaving = None
        work = begin(run)
        if returned:
            return calls_during(lambda: run.step_returned(work, B(), 1.0))
        return calls_during(lambda: run.event_sent(B(), CARRY, at=1.0, cause=work))

    assert calls(short=True) < calls(short=False)


def test_by_the_short_way_too_the_worker_goes_to_the_first_that_waits():
    run = leaving(limit=1)
    first = begin(run)
    send(run, A(n=2), outside=True)
    freed, outward = run.step_returned(first, B(), 1.0)
    assert isinstance(freed, Delivery)
    assert freed.event == A(n=2)
    assert isinstance(outward, Outward)


def test_what_has_left_before_stays_where_somebody_waits_for_it():
    run = leaving()
    delivery = begin(run)
    waiter = Waiter(delivery=delivery, kind=B, wake=lambda: None)
    run.receive(WaitBegan(waiter=waiter, parks=False))
    assert kinds(send(run, B())) == [Resume]


def test_what_has_left_before_and_is_sent_from_outside_or_to_a_step_does_not_leave():
    run = leaving()
    assert kinds(send(run, B(), outside=True)) == [Kept]
    with pytest.raises(RoutingError, match="does not take B"):
        run.event_sent(B(), CARRY, "work", at=1.0)


def test_what_has_left_before_and_comes_too_late_is_reported_as_ever():
    run = leaving()
    delivery = begin(run)
    assert kinds(run.step_returned(delivery, B(), 10.0)) == [EndRun]
    assert run.ended is Ended.TIMED_OUT
    assert kinds(send(run, B())) == [DeadLetter, EndRun]


def test_what_has_left_before_and_is_returned_by_a_step_that_does_not_name_it_is_an_error():
    plain, other = step(accepts=(A,), returns=(B,)), step("other", index=1, accepts=(C,), returns=(A,))
    run = machine(plain, other, opened=True)
    run.step_returned(begin(run), B(), 1.0)
    run.step_returned(begin(run, C()), B(), 1.0)
    assert isinstance(run.error(), UndeclaredEventError)


def test_a_run_with_joins_has_no_short_way_out_because_a_branch_ends_by_it():
    run = machine(
        step(accepts=(A,), returns=(B, C), returns_list=True),
        step("join", index=1, accepts=(C,), returns=(StopEvent,), join=All()),
        opened=True,
    )
    for _ in range(2):
        assert Outward in kinds(run.step_returned(begin(run), [B()], 1.0))
    assert run.leaving is None


def test_what_another_run_waited_to_send_stays_although_such_events_are_for_others_to_say():
    """It went out again, as if a step of the receiver had sent it."""
    run = machine(step(limit=1, accepts=(A,)))
    run.bound(1)
    run.ask_others_first(frozenset({A}))
    first = begin(run)
    send(run, A(n=2), outside=True)
    waits = Sender(None, A(n=3), None, carry=CARRY, wake=lambda: None, parks=False)
    assert list(run.receive(SendBegan(sender=waits))) == []
    with pytest.raises(QueueFullError, match="there is no room"):
        run.check_room(A())
    delivery, resume, *_ = run.step_returned(first, None, 1.0)
    assert isinstance(delivery, Delivery)
    assert isinstance(resume, Resume)
    (queue,) = run.waiting
    assert [each.event for each in queue or () if isinstance(each, Delivery)] == [A(n=3)]


def test_a_run_without_a_bound_has_room():
    machine().check_room(A())
