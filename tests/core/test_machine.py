"""The machine in single moves: what the model of `test_machine_model.py` leaves out, and every text in full."""

from __future__ import annotations

import math
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from stretto._core.effects import END_RUN, EndRun, Kept, Publish
from stretto._core.inputs import (
    Admitted,
    Begun,
    CancelAsked,
    Concluded,
    DeadlinePassed,
    EventSent,
    FeederClosed,
    FeederOpened,
    Interrupted,
    StepCancelled,
    StepRaised,
    StepReturned,
    Strayed,
)
from stretto._core.machine import Machine
from stretto._core.past import Past
from stretto._core.plan import StepPlan
from stretto._core.state import DEAD_LETTERS_KEPT, DeadLetter, Delivery, Ended
from stretto.errors import (
    RoutingError,
    UndeclaredEventError,
    WorkflowCancelledError,
    WorkflowStalledError,
    WorkflowTimeoutError,
)
from stretto.events import (
    Event,
    StopEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowTimedOutEvent,
)
from tests.core.counting import calls_during
from tests.core.plans import A, B, C, Finish, Outer, Question, SubA, ids, plan, step

CARRY = copy_context()


def machine(*steps: StepPlan, deadline: float = math.inf, limit: int = 100) -> Machine:
    return Machine(plan(*steps), 0.0, deadline, limit)


def sent(to: Machine, event: Event, step: str | None = None, *, outside: bool = False) -> list[Delivery]:
    """The deliveries that start by it; they are at work from now on."""
    effects = to.event_sent(event, CARRY, step, at=0.0, outside=outside)
    started = [effect for effect in effects if isinstance(effect, Delivery)]
    for delivery in started:
        delivery.started = 0.0
    return started


def at_work(of: Machine, event: Event | None = None) -> Delivery:
    (delivery,) = sent(of, A() if event is None else event)
    return delivery


def raised(by: Machine, delivery: Delivery, error: BaseException, at: float = 0.0) -> None:
    assert [*by.receive(StepRaised(delivery=delivery, error=error, at=at))] == [*END_RUN]


def the_error(of: Machine) -> BaseException:
    error = of.error()
    assert error is not None
    return error


def notes(of: BaseException | None) -> list[str]:
    return list(getattr(of, "__notes__", ()))


# -- sending ---------------------------------------------------------------------------------------------------


def test_each_step_that_takes_an_event_gets_it_in_the_order_of_definition():
    run = machine(step("a"), step("b", index=1, accepts=(B, A)), step("c", index=2, accepts=(B,)))
    assert [delivery.step.name for delivery in sent(run, A())] == ["a", "b"]
    assert [delivery.step.name for delivery in sent(run, B())] == ["b", "c"]


def test_an_event_sent_to_a_named_step_goes_there_alone():
    run = machine(step("a"), step("b", index=1))
    assert [delivery.step.name for delivery in sent(run, A(), "b")] == ["b"]


def test_an_event_for_one_step_that_is_named_goes_through_its_queue_like_any_other():
    run = machine(step("a", limit=1))
    first, second, third = A(n=1), A(n=2), A(n=3)
    (delivery,) = sent(run, first, "a")
    assert sent(run, second) == sent(run, third, "a") == []
    (following,) = run.step_returned(delivery, None, 0.0)
    assert isinstance(following, Delivery)
    assert following.event is second
    assert list(run.leftovers()) == [second, third]


def test_a_step_that_does_not_exist_is_told_with_the_near_name_and_all_names():
    run = machine(step("ask"), step("decide", index=1, accepts=(B,)))
    with pytest.raises(RoutingError) as caught:
        run.event_sent(A(), CARRY, "aks", at=0.0)
    assert str(caught.value) == "Flow has no step 'aks'; its steps: ask, decide; did you mean 'ask'?"
    with pytest.raises(RoutingError) as caught:
        run.event_sent(A(), CARRY, "xyz", at=0.0)
    assert str(caught.value) == "Flow has no step 'xyz'; its steps: ask, decide"


def test_what_is_no_name_of_a_step_is_told():
    with pytest.raises(RoutingError) as caught:
        machine(step()).event_sent(A(), CARRY, 5, at=0.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == "step= is the name of a step, as in step='decide', not 5"


def test_a_step_that_does_not_take_the_event_is_told_with_what_it_takes():
    run = machine(step("a", accepts=(A, B)))
    with pytest.raises(RoutingError) as caught:
        run.event_sent(C(), CARRY, "a", at=0.0)
    assert str(caught.value) == (
        "Flow.a (flow.py:10) does not take C, it takes: A, B; leave out step= to send it to the steps that take it"
    )


@pytest.mark.parametrize("name", ["nobody", "a"])
@pytest.mark.parametrize("over", [False, True])
def test_a_wrong_step_name_changes_nothing(name: str, over: bool):
    run = machine(step("a", accepts=(B,)))
    if over:
        run.receive(CancelAsked(why="by its handler"))
    with pytest.raises(RoutingError):
        run.event_sent(A(), CARRY, name, at=0.0)
    assert not run.active
    assert not run.dead_letters
    assert list(run.leftovers()) == []


@pytest.mark.parametrize("over", [False, True])
def test_what_is_no_event_cannot_be_sent(over: bool):
    run = machine(step())
    if over:
        run.receive(CancelAsked(why="by its handler"))
    with pytest.raises(TypeError) as caught:
        run.event_sent("tea", CARRY, at=0.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (
        str(caught.value) == "send_event takes an event, not 'tea'; write class Name(Event) with its fields"
    )
    assert not run.dead_letters


def test_a_question_goes_to_the_stream_and_to_the_steps_that_take_it():
    run = machine(step(accepts=(Question,)), step("a", index=1))
    question = Question()
    published, delivery = run.event_sent(question, CARRY, at=0.0)
    assert isinstance(published, Publish)
    assert published.event is question
    assert isinstance(delivery, Delivery)
    assert delivery.event is question


def test_a_question_that_no_step_takes_is_no_dead_letter():
    run = machine(step())
    question = Question()
    assert run.event_sent(question, CARRY, at=0.0) == [Publish(event=question)]
    assert run.event_sent(question, CARRY, at=0.0, outside=True) == [Publish(event=question)]
    assert not run.dead_letters
    assert list(run.leftovers()) == []


# -- the context variables of a chain --------------------------------------------------------------------------

colour: ContextVar[str] = ContextVar("colour")


def test_the_first_step_sees_the_senders_variables_and_each_further_one_a_copy_of_them():
    run = machine(step("a"), step("b", index=1), step("c", index=2))
    carry = copy_context()
    carry.run(colour.set, "red")
    carries = [
        delivery.carry for delivery in run.event_sent(A(), carry, at=0.0) if isinstance(delivery, Delivery)
    ]
    assert carries[0] is carry
    carry.run(colour.set, "blue")
    assert [each[colour] for each in carries] == ["blue", "red", "red"]
    carries[1].run(colour.set, "green")
    assert carries[2][colour] == "red"


def test_a_returned_event_goes_on_in_the_context_of_its_step_and_each_further_one_in_a_copy():
    run = machine(
        step(returns=(B,), returns_list=True),
        step("b", index=1, accepts=(B,)),
        step("c", index=2, accepts=(B,)),
    )
    delivery = at_work(run)
    delivery.carry = copy_context()
    delivery.carry.run(colour.set, "red")
    carries = [
        each.carry for each in run.step_returned(delivery, [B(), B()], 0.0) if isinstance(each, Delivery)
    ]
    assert carries[0] is delivery.carry
    delivery.carry.run(colour.set, "blue")
    assert [each[colour] for each in carries] == ["blue", "red", "red", "red"]
    for number, each in enumerate(carries):
        each.run(colour.set, str(number))
    assert [each[colour] for each in carries] == ["0", "1", "2", "3"], "no two chains share one"


def test_a_chain_goes_on_in_one_context():
    run = machine(step(returns=(B,)), step("b", index=1, accepts=(B,)))
    delivery = at_work(run)
    delivery.carry = copy_context()
    (following,) = run.step_returned(delivery, B(), 0.0)
    assert isinstance(following, Delivery)
    assert following.carry is delivery.carry


# -- what nobody takes -----------------------------------------------------------------------------------------


def test_what_no_step_takes_is_kept_and_told_once_and_is_a_dead_letter_in_the_end():
    run = machine(step())
    events = [B(), B()]
    assert list(run.event_sent(events[0], CARRY, at=0.0)) == [
        Kept(event=events[0], reason="no step of Flow takes exactly B")
    ]
    assert list(run.event_sent(events[1], CARRY, at=0.0)) == []
    assert (run.dead_letters, ids([*run.leftovers()])) == (None, ids(events))
    letters = [
        DeadLetter(event, "no step of Flow takes exactly B, and nobody waited for it") for event in events
    ]
    assert run.receive(Concluded()) == letters
    assert (list(run.dead_letters or ()), [*run.leftovers()]) == (letters, [])


def test_what_a_step_seems_to_wait_for_is_kept_without_a_word():
    run = machine(step(awaits=frozenset({"B"})))
    assert [*run.event_sent(B(), CARRY, at=0.0)] == []
    assert len([*run.event_sent(C(), CARRY, at=0.0)]) == 1


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (EventSent(event=StopEvent(), carry=CARRY, at=0.0), "the run was over, it had a result"),
        (Interrupted(error=ValueError()), "the run was over, a step had failed"),
        (DeadlinePassed(at=9.0), "the run was over, its deadline had passed"),
        (Begun(), "the run was over, it was stuck"),
        (CancelAsked(why="by its handler"), "the run was over, it was cancelled"),
    ],
)
@pytest.mark.parametrize("event", [A(), B(), Question(), StopEvent()])
def test_what_is_sent_when_the_run_is_over_is_a_dead_letter_that_says_why(
    end: Begun, reason: str, event: Event
):
    run = machine(step())
    assert run.receive(end) == END_RUN
    assert run.event_sent(event, CARRY, at=0.0) == [DeadLetter(event, reason), EndRun()]
    assert run.event_sent(event, CARRY, at=0.0, outside=True) == [DeadLetter(event, reason), EndRun()]


@pytest.mark.parametrize("over", [False, True])
def test_what_comes_from_a_thread_whose_step_was_over_is_a_dead_letter_and_nothing_else(over: bool):
    run = machine(step())
    delivery = at_work(run)
    if over:
        run.receive(CancelAsked(why="by a test"))
    before = run.ended, dict(run.active), list(run.leftovers())
    letter = DeadLetter(A(), "its thread was not over")
    assert run.receive(Strayed(letter=letter)) == (letter,)
    assert list(run.dead_letters or ()) == [letter]
    assert (run.ended, dict(run.active), list(run.leftovers())) == before
    assert delivery in run.active


def test_what_a_reader_does_without_is_a_dead_letter_that_is_meant():
    run = machine(step())
    at_work(run)
    letter = DeadLetter(A(), "a reader was behind", just_sent=False, meant=True)
    told = [each for each in run.receive(Strayed(letter=letter)) if isinstance(each, DeadLetter)]
    assert [(each.just_sent, each.meant) for each in told] == [(False, True)]
    assert list(run.dead_letters or ()) == [letter]


def test_the_last_thousand_dead_letters_are_kept():
    run = machine(step(), limit=1)
    run.event_sent(B(n=-1), CARRY, at=0.0)
    for number in range(DEAD_LETTERS_KEPT + 3):
        run.event_sent(B(n=number), CARRY, at=0.0)
    kept = [letter.event for letter in run.dead_letters or ()]
    assert len(kept) == DEAD_LETTERS_KEPT == 1_000
    assert kept[0] == B(n=3)
    assert kept[-1] == B(n=1_002)


def test_what_comes_from_outside_and_no_step_takes_is_kept_up_to_the_limit():
    run = machine(step(), limit=2)
    events = [B(n=number) for number in range(3)]
    told = Kept(event=events[0], reason="no step of Flow takes exactly B")
    assert [run.event_sent(event, CARRY, at=0.0, outside=True) for event in events[:2]] == [[told], []]
    reason = "no step of Flow takes exactly B, and 2 such events are kept already"
    for outside in (True, False):
        assert run.event_sent(events[2], CARRY, at=0.0, outside=outside) == [DeadLetter(events[2], reason)]
    assert list(run.leftovers()) == events[:2]
    assert run.receive(Concluded()) == []
    assert list(run.leftovers()) == events[:2]


def test_what_is_kept_is_told_with_what_may_have_been_meant():
    run = machine(step())
    (told,) = run.event_sent(SubA(), CARRY, at=0.0)
    assert isinstance(told, Kept)
    assert told.reason == (
        "no step of Flow takes exactly SubA; Flow.work (flow.py:10) would with @step(accept_event_subclasses=True)"
    )


def test_a_stop_with_a_coroutine_in_it_is_refused_and_nothing_has_happened():
    async def opinion() -> None: ...

    run = machine(step())
    with pytest.raises(TypeError) as caught:
        run.event_sent(StopEvent(result=opinion()), CARRY, at=0.0)
    assert str(caught.value) == (
        "send_event was given a StopEvent whose field 'result' holds the coroutine opinion(), which nobody awaited; "
        "write result=await opinion(…)"
    )
    assert run.ended is None


def test_what_comes_from_outside_and_a_step_takes_is_delivered():
    run = machine(step())
    (delivery,) = sent(run, A(), outside=True)
    assert delivery.step.name == "work"


# -- workers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("takers", [1, 2])
def test_no_more_than_the_limit_of_a_step_start_and_the_rest_follows_in_order(limit: int, takers: int):
    run = machine(*[step(f"s{index}", index=index, limit=limit) for index in range(takers)])
    events = [A(n=number) for number in range(5)]
    working = [each for event in events for each in sent(run, event) if each.step.index == 0]
    assert [each.event for each in working] == events[:limit]
    for at, event in enumerate(events[limit:]):
        (freed,) = run.step_returned(working[at], None, 0.0)
        assert isinstance(freed, Delivery)
        assert freed.event is event
        working.append(freed)
    for each in working[-limit:]:
        effects = run.step_returned(each, None, 0.0)
    assert (effects == END_RUN) == (takers == 1), "the run goes on while another step works"


def test_the_worker_that_becomes_free_goes_to_who_waits_before_the_returned_event_is_sent():
    run = machine(step(limit=1, returns=(A,)))
    first = at_work(run)
    waiting, returned = A(n=1), A(n=2)
    assert sent(run, waiting) == []
    (freed,) = run.step_returned(first, returned, 0.0)
    assert isinstance(freed, Delivery)
    assert freed.event is waiting
    (last,) = run.step_returned(freed, None, 0.0)
    assert isinstance(last, Delivery)
    assert last.event is returned


def test_freed_and_following_start_in_this_order():
    run = machine(
        step("a", limit=1, returns=(B, C)),
        step("b", index=1, accepts=(B, C)),
        step("c", index=2, accepts=(C,)),
    )
    for returned, names in [(B(), ["a", "b"]), (C(), ["a", "b", "c"])]:
        first = next(iter(run.active), None) or at_work(run)
        sent(run, A())
        effects = run.step_returned(first, returned, 0.0)
        assert [each.step.name for each in effects if isinstance(each, Delivery)] == names
        for each in [*run.active][1:]:
            run.step_returned(each, None, 0.0)


def test_a_returned_event_waits_if_all_workers_of_its_step_are_taken():
    run = machine(step("a", returns=(B,)), step("b", index=1, limit=1, accepts=(B,)))
    (other,) = sent(run, B())
    delivery, event = at_work(run), B()
    assert run.step_returned(delivery, event, 0.0) == ()
    (following,) = run.step_returned(other, None, 0.0)
    assert isinstance(following, Delivery)
    assert following.event is event


def test_workers_that_take_returned_events_are_counted_with_those_at_work_already():
    run = machine(step("a", limit=9, returns=(B,)), step("b", index=1, limit=3, accepts=(B,)))
    working = [at_work(run) for _ in range(5)]
    started = [run.step_returned(each, B(n=number), 0.0) for number, each in enumerate(working)]
    assert [len(effects) for effects in started] == [1, 1, 1, 0, 0]


# -- ends of steps ---------------------------------------------------------------------------------------------


def test_a_list_is_sent_event_by_event():
    run = machine(step(returns=(A, B), returns_list=True), step("b", index=1, accepts=(B,)))
    effects = run.step_returned(at_work(run), [B(n=1), A(n=2), B(n=3)], 0.0)
    assert [each.event for each in effects if isinstance(each, Delivery)] == [B(n=1), A(n=2), B(n=3)]
    assert run.ended is None


def test_what_stands_behind_a_stop_in_a_list_is_a_dead_letter():
    run = machine(step(returns=(A, StopEvent), returns_list=True))
    before, behind = A(n=1), A(n=2)
    effects = run.step_returned(at_work(run), [before, StopEvent("tea"), behind], 0.0)
    assert [type(effect) for effect in effects] == [Delivery, EndRun, DeadLetter, EndRun, EndRun]
    assert run.result == "tea"
    assert list(run.leftovers()) == [before]


def test_an_empty_list_is_no_event():
    run = machine(step(returns=(A,), returns_list=True))
    first, second = at_work(run), at_work(run)
    assert run.step_returned(first, [], 0.0) == []
    assert run.step_returned(second, [], 0.0) == [EndRun()]
    assert run.ended is Ended.STALLED


def test_a_declared_base_stands_for_its_subclasses():
    run = machine(step("a", returns=(A,)), step("b", index=1, accepts=(SubA,)))
    event = SubA()
    (delivery,) = run.step_returned(at_work(run), event, 0.0)
    assert isinstance(delivery, Delivery)
    assert delivery.step.name == "b"


@pytest.mark.parametrize("value", [A(), StopEvent(), 5, [B()]])
def test_what_a_step_may_not_return_fails_the_run(value: object):
    run = machine(step(returns=(B,)))
    assert run.step_returned(at_work(run), value, 0.0) == END_RUN
    assert run.ended is Ended.FAILED
    assert isinstance(run.error(), UndeclaredEventError)
    assert not run.active
    assert list(run.leftovers()) == []


def test_the_events_beside_one_that_a_step_may_not_return_are_left_over():
    run = machine(step(returns=(A,), returns_list=True))
    values = [A(n=1), A(n=2), B()]
    assert run.step_returned(at_work(run), values, 0.0) == END_RUN
    assert ids([*run.leftovers()]) == ids(values)


@pytest.mark.parametrize(
    ("value", "kept"),
    [(None, []), (A(), [A()]), (StopEvent(2), [StopEvent(2)]), ([A(), B()], [A(), B()]), ([], []), (5, [5])],
)
def test_what_is_returned_after_the_end_is_left_over(value: object, kept: list[object]):
    run = machine(step(returns=(A, StopEvent)))
    first, second, third = (at_work(run) for _ in range(3))
    assert run.step_returned(first, StopEvent(1), 0.0) == END_RUN
    assert run.step_returned(second, value, 0.0) == END_RUN
    assert list(run.leftovers()) == kept
    assert run.step_returned(third, [B(), B()], 0.0) == END_RUN
    assert list(run.leftovers()) == [*kept, B(), B()]
    assert run.result == 1
    assert not run.active


def test_a_failure_says_in_which_step_with_which_event_and_attempt():
    run = machine(step())
    delivery = at_work(run, A(n=7))
    delivery.past = Past(CARRY)
    delivery.past.attempt = 3
    error = ValueError("no tea")
    raised(run, delivery, error)
    assert run.ended is Ended.FAILED
    assert run.error() is error
    assert notes(error) == ["in Flow.work (flow.py:10), which handled A(n=7), attempt 3"]
    assert not run.active


def test_a_step_that_was_cancelled_leaves_the_rest_to_the_end_that_follows():
    run = machine(step(limit=1))
    delivery = at_work(run)
    sent(run, A(n=1))
    assert run.receive(StepCancelled(delivery=delivery)) == ()
    assert run.ended is None
    assert not run.active
    assert list(run.leftovers()) == [A(n=1)]


@pytest.mark.parametrize(("value", "kept"), [(None, []), (B(), [B()]), ([B(), A()], [B(), A()]), (5, [5])])
def test_what_a_cancelled_step_returns_nonetheless_is_left_over(value: object, kept: list[object]):
    run = machine(step())
    assert run.receive(StepCancelled(delivery=at_work(run), value=value)) == ()
    assert list(run.leftovers()) == kept


# -- ends of the run -------------------------------------------------------------------------------------------


def test_the_result_of_a_stop_is_its_result_and_of_a_subclass_the_event():
    for stop, result in [(StopEvent("tea"), "tea"), (StopEvent(), None)]:
        run = machine(step(returns=(StopEvent,)))
        assert run.step_returned(at_work(run), stop, 0.0) == END_RUN
        assert run.ended is Ended.STOPPED
        assert run.result == result
        assert run.error() is None
        assert run.terminal_event() is stop
    run = machine(step(returns=(Finish,)))
    finish = Finish(n=4)
    run.step_returned(at_work(run), finish, 0.0)
    assert run.result is finish
    assert run.terminal_event() is finish


def test_a_stop_that_is_sent_ends_the_run():
    run = machine(step())
    delivery = at_work(run)
    assert run.event_sent(StopEvent("tea"), CARRY, at=0.0) == END_RUN
    assert run.result == "tea"
    assert list(run.active) == [delivery], "what works goes on until it has ended"


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize(
    ("at", "ended"), [(8.999, Ended.STOPPED), (9.0, Ended.TIMED_OUT), (9.5, Ended.TIMED_OUT)]
)
def test_a_stop_that_is_sent_at_the_deadline_comes_too_late(at: float, ended: Ended, outside: bool):
    run = machine(step("a", accepts=(A, B)), step("b", index=1), deadline=9.0)
    sent(run, B())
    stop = StopEvent("tea")
    effects = run.event_sent(stop, CARRY, at=at, outside=outside)
    assert run.ended is ended
    if ended is Ended.TIMED_OUT:
        assert effects == [DeadLetter(stop, "the run was over, its deadline had passed"), EndRun()]
        error = run.error()
        assert isinstance(error, WorkflowTimeoutError)
        assert error.active == {"a": (1, at)}


@pytest.mark.parametrize("event", [A(), B(), Question(), C()])
def test_the_time_matters_to_a_stop_alone(event: Event):
    """An event for two steps ended a run that was past its deadline, one for a single step did not."""
    run = machine(step("a", accepts=(A, B)), step("b", index=1), deadline=9.0)
    assert run.event_sent(event, CARRY, at=9.5) != END_RUN
    assert run.ended is None


def test_the_worker_of_a_step_that_stopped_the_run_starts_nothing_more():
    for stop in (StopEvent(1), Finish(n=1)):
        run = machine(step(limit=1, returns=(StopEvent,)))
        delivery = at_work(run)
        sent(run, A(n=1))
        assert [*run.step_returned(delivery, stop, 0.0)] == [*END_RUN]
        assert list(run.leftovers()) == [A(n=1)]


def test_the_first_end_is_the_end():
    run = machine(step(), deadline=9.0)
    run.receive(DeadlinePassed(at=9.5))
    first = run.error()
    for end in (CancelAsked(why="by its handler"), DeadlinePassed(at=10.0), Begun()):
        run.receive(end)
        assert run.ended is Ended.TIMED_OUT
        assert run.error() is first


def test_a_cancelled_run_says_who_cancelled_it():
    run = machine(step())
    assert run.receive(CancelAsked(why="by its handler")) == END_RUN
    error = run.error()
    assert isinstance(error, WorkflowCancelledError)
    assert str(error) == "Flow was cancelled by its handler"


@pytest.mark.parametrize(("at", "ended"), [(8.999, Ended.CANCELLED), (9.0, Ended.TIMED_OUT)])
def test_a_run_that_is_cancelled_at_its_deadline_has_timed_out(at: float, ended: Ended):
    run = machine(step(), deadline=9.0)
    at_work(run)
    assert run.receive(CancelAsked(why="by its handler", at=at)) == END_RUN
    assert run.ended is ended
    if ended is Ended.TIMED_OUT:
        assert str(run.error()).startswith(
            "Flow timed out after 9 s; active: Flow.work (flow.py:10) x1 for 9 s"
        )


def test_the_cancellation_of_the_caller_outranks_a_result_which_is_left_over_then():
    run = machine(step())
    stop = StopEvent("tea")
    run.event_sent(stop, CARRY, at=0.0)
    assert run.receive(CancelAsked(why="by its handler")) == END_RUN
    assert (run.ended, run.result) == (Ended.STOPPED, "tea")
    assert run.receive(CancelAsked(why="with its caller", by_caller=True)) == END_RUN
    assert (run.ended, run.result) == (Ended.CANCELLED, None)
    assert ids([*run.leftovers()]) == [id(stop)]
    assert str(run.error()) == "Flow was cancelled with its caller"


def test_the_cancellation_of_the_caller_comes_after_a_failure():
    run = failed(ValueError())
    run.receive(CancelAsked(why="with its caller", by_caller=True))
    assert run.ended is Ended.FAILED


@pytest.mark.parametrize("value", [None, A(), StopEvent(), [A()], 5])
@pytest.mark.parametrize(("at", "late"), [(8.999, False), (9.0, True), (9.5, True)])
def test_at_the_deadline_it_is_too_late_to_return_anything(value: object, at: float, late: bool):
    run = machine(step(returns=(A, StopEvent)), deadline=9.0)
    run.step_returned(at_work(run), value, at)
    assert (run.ended is Ended.TIMED_OUT) == late


@pytest.mark.parametrize(("at", "ended"), [(8.9, Ended.STOPPED), (9.0, Ended.TIMED_OUT)])
def test_the_time_of_a_run_that_waited_for_its_turn_counts_from_when_it_went_on(at: float, ended: Ended):
    run = machine(step("a", returns=(StopEvent,)), deadline=6.0)
    run.begun = 1.0
    delivery = at_work(run)
    assert run.receive(Admitted(at=4.0)) == ()
    run.receive(StepReturned(delivery=delivery, value=StopEvent(), at=at))
    assert run.ended is ended
    assert (run.begun, run.deadline) == (4.0, 9.0)


@pytest.mark.parametrize(("at", "ended"), [(8.999, Ended.FAILED), (9.0, Ended.TIMED_OUT)])
def test_a_failure_past_the_deadline_is_the_cause_of_the_timeout(at: float, ended: Ended):
    run = machine(step(), deadline=9.0)
    error = ValueError("no tea")
    raised(run, at_work(run), error, at=at)
    assert run.ended is ended
    late = run.error()
    assert late is error or (isinstance(late, WorkflowTimeoutError) and late.__cause__ is error)
    assert (late is error) == (ended is Ended.FAILED)


def test_the_timeout_names_the_step_that_returns_too_late():
    run = machine(step("a", returns=(A,)), deadline=9.0)
    run.step_returned(at_work(run), None, 10.0)
    error = run.error()
    assert isinstance(error, WorkflowTimeoutError)
    assert error.active == {"a": (1, 10.0)}


def test_a_run_is_stuck_when_nothing_is_active_and_nobody_may_send():
    run = machine(step(returns=(A,)))
    run.receive(FeederOpened())
    delivery = at_work(run)
    assert run.receive(Begun()) == ()
    assert run.step_returned(delivery, None, 0.0) == ()
    assert run.receive(Begun()) == ()
    assert run.receive(FeederOpened()) == ()
    assert run.receive(FeederClosed()) == ()
    assert run.ended is None
    assert run.receive(FeederClosed()) == END_RUN
    assert run.ended is Ended.STALLED
    assert isinstance(run.error(), WorkflowStalledError)
    assert run.receive(FeederOpened()) == ()
    assert run.receive(FeederClosed()) == END_RUN


def test_a_run_that_takes_events_from_outside_is_never_stuck():
    run = machine(step(), step("outer", index=1, accepts=(Outer,)))
    assert run.step_returned(at_work(run), None, 0.0) == ()
    assert run.ended is None


def test_a_nested_run_that_failed_and_that_nobody_awaited_fails_the_run():
    run = machine(step())
    at_work(run)
    run.receive(FeederOpened())
    error = ValueError("no tea")
    for _ in range(2):  # the same error by another way has its note already
        assert run.receive(FeederClosed(error=error)) == END_RUN
    assert run.ended is Ended.FAILED
    assert run.error() is error
    assert notes(error) == ["in a run nested in Flow that nobody awaited"]


def test_a_stuck_run_tells_how_often_each_step_returned_nothing_and_what_was_half_collected():
    run = machine(step("a", returns=(B,)), step("b", index=1, accepts=(B,), returns=(StopEvent,)))
    first, *rest = [*[at_work(run) for _ in range(3)], at_work(run, B())]
    assert run.collect(first, first.event, [A, A], None) is None
    for each in (first, *rest):
        run.step_returned(each, None, 0.0)
    assert str(run.error()).startswith(
        "Flow is stuck, nothing is left to run: collect_events in Flow.a (flow.py:10) still waits for "
        "1 x A (has 1 of 2); Flow.a (flow.py:10) returned nothing 3 times although it declares B; "
        "Flow.b (flow.py:20) returned nothing although it declares StopEvent. "
    )


def test_a_timeout_tells_what_was_half_collected():
    run = machine(step("a"), deadline=9.0)
    one = at_work(run)
    assert run.collect(one, one.event, [A, A], None) is None
    run.receive(DeadlinePassed(at=9.0))
    assert str(run.error()) == (
        "Flow timed out after 9 s; active: Flow.a (flow.py:10) x1 for 9 s; "
        "collect_events in Flow.a (flow.py:10) still waits for 1 x A (has 1 of 2)"
    )


@pytest.mark.parametrize("error", [None, ValueError("no tea")])
@pytest.mark.parametrize(("at", "late"), [(8.999, False), (9.0, True), (9.5, True)])
def test_a_nested_run_that_ends_past_the_deadline_finds_the_run_timed_out(
    at: float, late: bool, error: Exception | None
):
    """The deadline had passed, but nobody was told to end the run."""
    run = machine(step(), deadline=9.0)
    at_work(run)
    run.receive(FeederOpened())
    effects = run.receive(FeederClosed(error=error, at=at))
    assert (run.ended is Ended.TIMED_OUT) == late
    assert effects == (END_RUN if late or error else ())
    assert run.errors == ([error] if error else None)


def test_an_input_that_is_none_is_our_bug():
    with pytest.raises(AssertionError, match="'tea'"):
        machine(step()).receive("tea")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -- which error comes out -------------------------------------------------------------------------------------


def failed(*errors: BaseException, before: object = None) -> Machine:
    run = machine(step(), deadline=9.0)
    deliveries = [at_work(run) for _ in errors]
    if before is not None:
        run.receive(before)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for delivery, error in zip(deliveries, errors, strict=True):
        raised(run, delivery, error)
    return run


def test_the_first_failure_comes_out_and_the_others_are_noted_on_it():
    first, second, third = ValueError("one"), KeyError("two"), ValueError("three")
    run = failed(first, second, third)
    for _ in range(2):  # asked twice it says it once
        assert run.error() is first
    assert notes(first)[1:] == [
        "while the run was being ended, another step failed: KeyError('two')",
        "while the run was being ended, another step failed: ValueError('three')",
    ]
    assert run.errors == [first, second, third]
    assert len(notes(second)) == 1


@pytest.mark.parametrize(("count", "more"), [(11, []), (13, ["and 2 more, see run.failures"])])
def test_ten_failures_are_noted_on_the_first_and_the_rest_is_counted(count: int, more: list[str]):
    first, *others = [ValueError(number) for number in range(count)]
    run = machine(step(limit=99))
    deliveries = [at_work(run) for _ in range(count)]
    for delivery, error in zip(deliveries, [first, *others], strict=True):
        raised(run, delivery, error)
    assert run.error() is first
    assert notes(first)[1:] == [
        *(f"while the run was being ended, another step failed: ValueError({at})" for at in range(1, 11)),
        *more,
    ]


def test_one_error_that_two_steps_raised_is_not_noted_on_itself_nor_twice_alike():
    error = ValueError("one")
    run = failed(error, error)
    assert run.error() is error
    assert len(notes(error)) == 1


@pytest.mark.parametrize(
    "before",
    [
        None,
        DeadlinePassed(at=9.0),
        CancelAsked(why="by its handler"),
        EventSent(event=StopEvent(), carry=CARRY, at=0.0),
    ],
)
def test_ctrl_c_outranks_everything(before: object):
    first, broken = ValueError("one"), KeyboardInterrupt()
    run = failed(first, broken, SystemExit(), before=before)
    assert run.error() is broken
    assert broken.__cause__ is None
    assert notes(broken)[1:] == [
        "while the run was being ended, another step failed: ValueError('one')",
        "while the run was being ended, another step failed: SystemExit()",
    ]


def test_a_timeout_outranks_the_failures_of_the_clean_up():
    first, second = ValueError("one"), ValueError("two")
    run = failed(first, second, before=DeadlinePassed(at=9.0))
    error = run.error()
    assert error is run.verdict
    assert isinstance(error, WorkflowTimeoutError)
    assert error.__cause__ is first
    assert notes(error) == [
        "while the run was being ended, another step failed: ValueError('one')",
        "while the run was being ended, another step failed: ValueError('two')",
    ]


@pytest.mark.parametrize(
    "before", [CancelAsked(why="by its handler"), EventSent(event=StopEvent(), carry=CARRY, at=0.0)]
)
def test_a_failing_clean_up_comes_out_of_a_run_that_was_cancelled_or_had_a_result(before: object):
    error = ValueError("one")
    run = failed(error, before=before)
    assert run.error() is error
    assert error.__cause__ is None


# -- the last event of the stream ------------------------------------------------------------------------------


def test_the_stream_ends_by_an_event_that_says_why_there_is_no_result():
    run = machine(step(), deadline=9.0)
    run.receive(DeadlinePassed(at=9.0))
    assert run.terminal_event() == WorkflowTimedOutEvent(exception=the_error(run))
    run = machine(step())
    run.receive(Begun())
    assert run.terminal_event() == WorkflowFailedEvent(exception=the_error(run))
    run = machine(step())
    run.receive(CancelAsked(why="by its handler"))
    assert run.terminal_event() == WorkflowCancelledEvent()
    run = failed(ValueError())
    assert run.terminal_event() == WorkflowFailedEvent(exception=the_error(run))


@pytest.mark.parametrize(
    "before",
    [
        DeadlinePassed(at=9.0),
        CancelAsked(why="by its handler"),
        EventSent(event=StopEvent(), carry=CARRY, at=0.0),
    ],
)
def test_a_run_that_is_broken_off_ends_its_stream_as_failed(before: object):
    error = KeyboardInterrupt()
    assert failed(error, before=before).terminal_event() == WorkflowFailedEvent(exception=error)


@pytest.mark.parametrize(
    "error",
    [WorkflowCancelledError("Other was cancelled by its handler"), WorkflowTimeoutError("Other timed out")],
)
def test_a_step_that_raises_the_error_of_another_run_has_failed(error: Exception):
    """A step awaited a nested run that was cancelled; the stream ended as if its own run had been."""
    assert failed(error).terminal_event() == WorkflowFailedEvent(exception=error)


def test_a_run_that_is_not_over_has_no_last_event():
    with pytest.raises(AssertionError, match=r"^asked before the run was over$"):
        machine(step()).terminal_event()


# -- what is left ----------------------------------------------------------------------------------------------


def test_leftovers_are_told_in_order_ready_queued_collected_kept_and_late():
    run = machine(step("a", limit=1), step("b", index=1, limit=2, accepts=(B,), returns=(StopEvent,)))
    assert list(run.leftovers()) == []
    at_work(run, A(n=0))
    queued, second = A(n=1), A(n=2)
    sent(run, queued)
    sent(run, second)
    one, two = sent(run, B(n=1))[0], sent(run, B(n=2))[0]
    assert run.collect(one, one.event, [B, B], None) is None
    kept = C(n=1)
    run.event_sent(kept, CARRY, at=0.0, outside=True)
    run.event_sent(B(n=3), CARRY, at=0.0)
    run.step_returned(one, StopEvent(), 0.0)
    run.step_returned(two, C(n=2), 0.0)
    assert list(run.leftovers()) == [B(n=3), queued, second, B(n=1), kept, C(n=2)]


def test_the_buffers_of_a_run_hold_up_to_its_limit():
    run = machine(step(), limit=1)
    first, second = at_work(run), at_work(run)
    assert run.collect(first, first.event, [A] * 3, None) is None
    with pytest.raises(ValueError, match="collect_limit"):
        run.collect(second, second.event, [A] * 3, None)
    assert run.collect(second, second.event, [A] * 3, "other") is None


# -- the two direct methods ------------------------------------------------------------------------------------


def test_received_inputs_are_passed_on_whole():
    run = machine(step("a"), step("b", index=1, returns=(StopEvent,)))
    (delivery,) = run.receive(EventSent(event=A(), carry=CARRY, at=0.0, step="b"))
    assert isinstance(delivery, Delivery)
    assert delivery.step.name == "b"
    assert delivery.carry is CARRY
    assert run.receive(EventSent(event=B(), carry=CARRY, at=0.0, outside=True)) == [
        Kept(event=B(), reason="no step of Flow takes exactly B")
    ]
    assert run.receive(StepReturned(delivery=delivery, value=StopEvent("tea"), at=1.0)) == END_RUN
    assert run.result == "tea"


def test_an_event_for_one_step_is_decided_in_place():
    """Every hop goes through here; what is sent to several steps may take its time."""
    run = machine(step("a", accepts=(A, B)), step("b", index=1))
    one = calls_during(lambda: run.event_sent(B(), CARRY, at=0.0))
    two = calls_during(lambda: run.event_sent(A(), CARRY, at=0.0))
    assert 2 * one < two


def test_the_way_that_a_step_has_declared_is_counted_in_place():
    run = machine(step("a", returns=(B,)), step("b", index=1, accepts=(B,)), step("c", index=2, accepts=(C,)))
    work = at_work(run)
    declared = calls_during(lambda: run.event_sent(B(), CARRY, at=0.0, cause=work))
    other = calls_during(lambda: run.event_sent(C(), CARRY, at=0.0, cause=work))
    assert declared < other


def test_a_returned_event_for_one_step_is_decided_in_place():
    run = machine(step("a", accepts=(A, B), returns=(A, B)), step("b", index=1))
    first, second = sent(run, B()), sent(run, B())
    one = calls_during(lambda: run.step_returned(first[0], B(), 0.0))
    two = calls_during(lambda: run.step_returned(second[0], A(), 0.0))
    assert 2 * one < two


def test_a_stop_of_a_plain_step_is_decided_in_place():
    def calls(stop: StopEvent[Any], **options: Any) -> int:
        run = machine(step("a", returns=(StopEvent,), **options))
        work = at_work(run)
        return calls_during(lambda: run.step_returned(work, stop, 0.0))

    assert calls(StopEvent()) < min(calls(Finish()), calls(StopEvent(), timeout=9.0))


def test_an_effect_shows_its_fields():
    assert repr(Publish(event=A())) == "Publish(event=A(n=0))"
    assert Publish(event=A()) != Kept(event=A(), reason="")
