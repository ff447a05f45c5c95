"""How a run in trouble is told, each text in full."""

from __future__ import annotations

from collections import deque
from contextvars import copy_context

import pytest

from stretto._core.alarms import Alarms
from stretto._core.collecting import Buffers
from stretto._core.delivery import BY_A_READER, Hold
from stretto._core.effects import Effects
from stretto._core.gathering import Each
from stretto._core.inputs import DeadlinePassed, GoesOn, HeldUp, SendBegan
from stretto._core.machine import Machine
from stretto._core.past import Held
from stretto._core.plan import StepPlan
from stretto._core.reporting import Waiting, awaited, is_idle, stalled, timed_out, why_stalled
from stretto._core.room import Sender
from stretto._core.state import DEAD_LETTERS_KEPT, DeadLetter, Delivery, Ended, RunState
from stretto._core.waiting import Mail, Mailbox, Waiter, Waiters
from stretto.errors import WorkflowStalledError, WorkflowTimeoutError
from stretto.events import HumanResponseEvent, StopEvent
from stretto.joins import All
from stretto.retry import RetryPolicy, fixed
from tests.core.plans import A, B, C, Numbered, Outer, Question, SubA, delivery, plan, step

CARRY = copy_context()
STUCK = "Flow is stuck, nothing is left to run: "
WAY_OUT = (
    "Return a StopEvent to end the run; if an event is to come from outside by run.send_event, declare its class so: "
    "class Go(Event, external=True)"
)


def state(*steps: StepPlan, begun: float = 1.0, deadline: float = 4.0) -> RunState:
    return RunState(plan(*steps), begun, deadline, 100)


def works(of: RunState, index: int, started: float | None) -> Delivery:
    """A delivery that is at work, or ready if `started` is None."""
    one = delivery(of.plan.steps[index], started=started)
    of.active[one] = None
    return one


# -- a timeout -------------------------------------------------------------------------------------------------


def test_a_timeout_names_the_limit_and_that_nothing_was_active():
    error = timed_out(state(step()), None, 4.0)
    assert isinstance(error, WorkflowTimeoutError)
    assert str(error) == "Flow timed out after 3 s; no step was active"
    assert (error.timeout, error.active, error.queued) == (3.0, {}, {})


def test_a_timeout_tells_the_age_of_a_step_that_has_just_begun():
    run = state(step("a"))
    works(run, 0, 3.9375)
    error = timed_out(run, None, 4.0)
    assert str(error) == "Flow timed out after 3 s; active: Flow.a (flow.py:10) x1 for 0.0625 s"
    assert error.active == {"a": (1, 0.0625)}


@pytest.mark.parametrize(
    ("begun", "deadline", "told"),
    [(0.0, 0.0001, "0.0001"), (10.0, 1_234_577.5, "1.23457e+06"), (1.5, 3.0, "1.5")],
)
def test_a_timeout_tells_the_limit_to_six_figures(begun: float, deadline: float, told: str):
    error = timed_out(state(step(), begun=begun, deadline=deadline), None, deadline)
    assert str(error) == f"Flow timed out after {told} s; no step was active"
    assert error.timeout == deadline - begun


@pytest.mark.parametrize("begun", [0.0, 12.3, 1e7])
def test_the_limit_is_told_as_it_was_given_however_long_the_clock_has_run(begun: float):
    """After some months of uptime the sum of the two is rounded where it shows."""
    assert timed_out(state(step(), begun=begun, deadline=begun + 0.1), None, begun + 0.1).timeout == 0.1


def test_a_timeout_names_each_active_step_with_how_many_and_the_longest_age():
    run = state(step("a"), step("b", index=1))
    works(run, 0, 3.0)
    works(run, 1, 3.5)
    works(run, 0, 1.25)
    works(run, 0, 2.0)
    error = timed_out(run, None, 4.5)
    assert str(error) == (
        "Flow timed out after 3 s; active: Flow.a (flow.py:10) x3 for 3.25 s, Flow.b (flow.py:20) x1 for 1 s"
    )
    assert error.active == {"a": (3, 3.25), "b": (1, 1.0)}
    assert error.queued == {}


def test_a_timeout_names_what_is_ready_or_queued():
    run = state(step("a"), step("b", index=1))
    works(run, 1, None)
    works(run, 1, None)
    works(run, 0, 1.0)
    queues: list[deque[Delivery | Waiter]] = [deque(), deque()]
    run.waiting = [*queues]
    for index, count in ((0, 3), (1, 1)):
        for _ in range(count):
            queues[index].append(delivery(run.plan.steps[index], started=None))
    error = timed_out(run, None, 4.0)
    assert str(error) == (
        "Flow timed out after 3 s; active: Flow.a (flow.py:10) x1 for 3 s; "
        "queued: 3 for Flow.b (flow.py:20), 3 for Flow.a (flow.py:10)"
    )
    assert error.queued == {"b": 3, "a": 3}


def test_a_timeout_names_what_was_half_collected():
    run, buffers = state(step("a"), step("b", index=1)), Buffers(100)
    for index, name in ((0, None), (1, "votes")):
        one = delivery(run.plan.steps[index])
        buffers.collect(one, one.event, [A, A, B], name)
    assert str(timed_out(run, buffers, 4.0)) == (
        "Flow timed out after 3 s; no step was active; "
        "collect_events in Flow.a (flow.py:10) still waits for 1 x A (has 1 of 2), 1 x B (has 0 of 1); "
        "collect_events in Flow.b (flow.py:20) (buffer 'votes') still waits for 1 x A (has 1 of 2), 1 x B (has 0 of 1)"
    )


def test_a_buffer_that_misses_nothing_is_not_told():
    run, buffers = state(step("a")), Buffers(100)
    for expected in (
        [A, A, A, A, A],
        [A, A, A, A, A],
        [A],
    ):  # a shorter list leaves one that would be a batch
        one = delivery(run.plan.steps[0])
        buffers.collect(one, one.event, expected, None)
    assert str(timed_out(run, buffers, 4.0)) == "Flow timed out after 3 s; no step was active"


def test_a_timeout_of_a_run_that_waits_names_what_it_waits_for():
    run = state(
        step("a"),
        step("b", index=1, accepts=(Outer, HumanResponseEvent)),
        step("c", index=2, accepts=(Outer,)),
    )
    assert str(timed_out(run, None, 4.0)) == (
        "Flow timed out after 3 s; no step was active; it waited for events from outside: Outer, HumanResponseEvent"
    )
    works(run, 0, 1.0)
    assert (
        str(timed_out(run, None, 4.0)) == "Flow timed out after 3 s; active: Flow.a (flow.py:10) x1 for 3 s"
    )


def test_a_timeout_of_a_run_that_waits_for_a_nested_run_says_so():
    run = state(step("a"))
    run.feeders = 1
    assert str(timed_out(run, None, 4.0)) == (
        "Flow timed out after 3 s; no step was active; it waited for events from outside: a nested run"
    )


# -- a run that is stuck ---------------------------------------------------------------------------------------


def test_a_stuck_run_says_that_no_step_returned_an_event():
    error = stalled(state(step(returns=(A,))), None)
    assert isinstance(error, WorkflowStalledError)
    assert str(error) == f"{STUCK}no step returned an event. {WAY_OUT}"


def test_a_stuck_run_names_the_steps_that_returned_nothing_although_they_declare_something():
    run = state(
        step("a", returns=(A, B)),
        step("b", index=1),
        step("c", index=2, returns=(StopEvent,)),
        step("d", index=3, returns=(A,)),
    )
    run.silent = [1, 5, 2, 0]
    assert str(stalled(run, None)) == (
        f"{STUCK}Flow.a (flow.py:10) returned nothing although it declares A | B; "
        f"Flow.c (flow.py:30) returned nothing 2 times although it declares StopEvent. {WAY_OUT}"
    )


def test_a_stuck_run_names_what_was_half_collected_first():
    run, buffers = state(step("a", returns=(StopEvent,))), Buffers(100)
    one = delivery(run.plan.steps[0])
    buffers.collect(one, one.event, [A] * 3, None)
    run.silent = [1]
    assert str(stalled(run, buffers)) == (
        f"{STUCK}collect_events in Flow.a (flow.py:10) still waits for 2 x A (has 1 of 3); "
        f"Flow.a (flow.py:10) returned nothing although it declares StopEvent. {WAY_OUT}"
    )


@pytest.mark.parametrize(
    ("count", "more"),
    [
        (1, ""),
        (5, ""),
        (6, "; 1 more events were not taken"),
        (DEAD_LETTERS_KEPT - 1, "; 994 more events were not taken"),
        (DEAD_LETTERS_KEPT, "; at least 995 more events were not taken"),
    ],
)
def test_a_stuck_run_names_five_events_that_nobody_took_and_counts_the_others(count: int, more: str):
    run = state(step())
    run.dead_letters = deque(DeadLetter(B(n=number), "no step takes it") for number in range(count))
    told = "; ".join(f"B(n={number}) was not taken: no step takes it" for number in range(min(count, 5)))
    assert str(stalled(run, None)) == f"{STUCK}{told}{more}. {WAY_OUT}"


def test_a_stuck_run_does_not_name_what_a_reader_of_its_stream_did_without():
    run = state(step())
    dropped = (DeadLetter(B(n=number), f"{BY_A_READER} was slow") for number in range(DEAD_LETTERS_KEPT - 1))
    run.dead_letters = deque([*dropped, DeadLetter(A(), "no step takes it")])
    told = f"{A()!r} was not taken: no step takes it"
    assert str(stalled(run, None)) == f"{STUCK}{told}. {WAY_OUT}"


def test_what_a_run_waits_for_is_its_waits_and_then_what_may_come_from_outside():
    run = state(step("a"), step("b", index=1, accepts=(A, Outer)))
    assert [*awaited(run)] == [Waiting("b", Outer)]
    run.waiters = Waiters()
    for kind, name in ((A, "one"), (B, None)):
        run.waiters.add(
            Waiter(
                delivery=delivery(run.plan.steps[0]),
                kind=kind,
                waiter_id=name,
                requirements={"n": 1},
                wake=int,
            )
        )
    waits = [
        Waiting("a", A, "one", {"n": 1}, suspended=True),
        Waiting("a", B, None, {"n": 1}, suspended=True),
    ]
    assert [*awaited(run)] == [*waits, Waiting("b", Outer)]
    assert str(timed_out(run, None, 4.0)) == (
        "Flow timed out after 3 s; no step was active; waiting: Flow.a (flow.py:10) for A, Flow.a (flow.py:10) for B"
    )


def test_what_a_wait_writes_and_whether_it_is_for_somebody_outside_is_told():
    run = state(step("a"))
    run.waiters = Waiters()
    asks = Question()
    run.waiters.add(
        Waiter(delivery=delivery(run.plan.steps[0]), kind=A, wake=int, question=asks, feeds=False)
    )
    (wait,) = awaited(run)
    assert (wait.question, wait.outside) == (asks, False)


@pytest.mark.parametrize(
    ("hosted", "opened", "feeders"), [(False, False, 0), (True, False, 1), (True, True, 0)]
)
def test_a_run_is_idle_where_nothing_can_happen_but_by_an_event_from_outside(
    hosted: bool, opened: bool, feeders: int
):
    run = state(step("a"))
    run.hosted, run.opened, run.feeders = hosted, opened, feeders
    assert is_idle(run)
    one = works(run, 0, 1.0)
    assert not is_idle(run), "a step is at work"
    run.active.clear()
    run.retrying = {one: 2.0}  # type: ignore[assignment, dict-item]  # pyright: ignore[reportAttributeAccessIssue]
    assert not is_idle(run), "a step is to be tried again"
    run.retrying = None
    run.feeders += 1
    assert not is_idle(run), "a nested run may send"
    waiter = Waiter(delivery=one, kind=A, wake=int)
    run.waiters = Waiters()
    run.waiters.add(waiter)
    assert is_idle(run), "it is the wait that may be fed"
    waiter.timed = True
    assert not is_idle(run), "the wait ends by itself"
    waiter.timed = False
    run.ended = Ended.STOPPED
    assert not is_idle(run)


def test_a_run_that_takes_events_from_outside_is_idle_too():
    run = state(step("a", accepts=(Outer,)))
    assert run.feeders == 1
    assert is_idle(run)


def test_a_timeout_names_what_no_step_took():
    run = state(step("a"))
    run.mailbox = Mailbox(100)
    for _ in range(6):
        run.mailbox.put(Mail(B(), outside=True))
    assert str(timed_out(run, None, 4.0)) == (
        "Flow timed out after 3 s; no step was active; "
        + "B(n=0) was not taken: no step of Flow takes exactly B; " * 5
        + "1 more events were not taken"
    )


def test_a_timeout_names_what_did_not_fit_who_waits_for_its_type():
    run = state(step("a"))
    run.mailbox, run.waiters = Mailbox(100), Waiters()
    run.mailbox.put(Mail(B(), outside=True))
    for wanted in range(1, 3):
        one = Waiter(
            delivery=delivery(run.plan.steps[0]), kind=B, requirements={"n": wanted}, wake=lambda: None
        )
        run.waiters.add(one)
    assert str(timed_out(run, None, 4.0)).endswith(
        "B(n=0) was not taken: no step of Flow takes exactly B, and Flow.a (flow.py:10) waited for n=1, not 0, and "
        "Flow.a (flow.py:10) waited for n=2, not 0"
    )


def test_a_question_that_nobody_answers_is_told():
    run = state(step("a"))
    run.asked = Question(n=1)
    assert str(stalled(run, None)) == (
        f"{STUCK}Question(n=1) went to the stream, and no step takes an answer: add one with ev: "
        f"HumanResponseEvent. {WAY_OUT}"
    )


def test_a_timeout_says_what_steps_wait_for_that_are_at_work():
    run = Machine(plan(step("a"), step("b", index=1, accepts=(B,))), 0.0, 9.0, 100)
    run.bound(1)
    at_work = [each for _ in range(4) for each in run.event_sent(A(), CARRY, at=0.0)]
    at_work += run.event_sent(B(), CARRY, at=0.0)
    run.event_sent(A(), CARRY, at=0.0)
    for each in at_work:
        assert isinstance(each, Delivery)
        each.started = 0.0
    first, second, third, _, other = [each for each in at_work if isinstance(each, Delivery)]
    holds = [Hold(first, "a turn of Limit(1)"), Hold(second, "a turn of Limit(1)"), Hold(other, "a turn")]
    for hold in holds:
        run.receive(HeldUp(hold=hold))
    for by in (third, None):
        run.receive(SendBegan(sender=Sender(by, A(), None, carry=CARRY, wake=list, parks=False)))
    run.receive(GoesOn(hold=holds[1]))
    run.receive(DeadlinePassed(at=9.0))
    error = run.verdict
    assert isinstance(error, WorkflowTimeoutError)
    assert str(error) == (
        "Flow timed out after 9 s; active: Flow.a (flow.py:10) x4 for 9 s (1 waiting for a turn of Limit(1), 1 waiting "
        "for room in the queue), Flow.b (flow.py:20) x1 for 9 s (waiting for a turn); queued: 1 for Flow.a (flow.py:10)"
    )
    assert error.active == {"a": (4, 9.0), "b": (1, 9.0)}
    assert error.held_up == {"a": {"a turn of Limit(1)": 1, "room in the queue": 1}, "b": {"a turn": 1}}


def test_who_goes_on_though_nobody_was_held_up_changes_nothing():
    run = Machine(plan(step("a")), 0.0, 9.0, 100)
    assert run.receive(GoesOn(hold=Hold(delivery(step("a")), "a turn"))) == ()


@pytest.mark.parametrize("count", [1, 5, 7])
def test_who_waits_and_holds_back_what_it_has_sent_is_told_with_that(count: int):
    run = state(step("a"))
    one = works(run, 0, 1.0)
    one.own_past().held = [
        Held(B(), None, None),
        *[Held(A(n=number), CARRY, None) for number in range(count)],
    ]
    run.waiters = Waiters()
    run.waiters.add(Waiter(delivery=one, kind=B, wake=lambda: None))
    told = f"{', '.join(f'A(n={number})' for number in range(min(count, 5)))}{' and 2 more' if count == 7 else ''}"
    waits = f"for B while it holds back {told} until it returns (emit='on_success')"
    assert str(timed_out(run, None, 4.0)).endswith(f"; waiting: Flow.a (flow.py:10) {waits}")
    assert why_stalled(run, None) == [f"Flow.a (flow.py:10) waits {waits}"]


# -- forks -----------------------------------------------------------------------------------------------------


def forking(count: int) -> Machine:
    """So many forks of two branches, of which one has arrived; the other is at work."""
    run = Machine(
        plan(
            step("begin", accepts=(C,), returns=(A,), returns_list=True, limit=99),
            step("work", index=1, returns=(B,), limit=99),
            step("join", index=2, accepts=(B,), join=All()),
            step(
                "triple", index=3, accepts=(SubA, Numbered, Question), join=Each((SubA, Numbered, Question))
            ),
        ),
        0.0,
        9.0,
        100,
    )
    for _ in range(count):
        (begin,) = deliveries(run.event_sent(C(), CARRY, at=0.0))
        _, one = deliveries(run.step_returned(begin, [A(), A()], 0.0))
        run.step_returned(one, B(), 0.0)
    return run


def deliveries(effects: Effects) -> list[Delivery]:
    return [effect for effect in effects if isinstance(effect, Delivery)]


def test_what_has_arrived_at_a_join_is_told_and_what_it_waits_for():
    run = forking(1)
    for event in (SubA(), SubA()):
        run.event_sent(event, CARRY, at=0.0)
    assert run.why_stuck() == [
        "Flow.join (flow.py:30) has 1 x B and waits for the end of the fork",
        "Flow.triple (flow.py:40) has 2 x SubA and still waits for a Numbered and a Question",
    ]
    run.event_sent(Numbered(), CARRY, at=0.0)
    assert run.why_stuck()[1] == (
        "Flow.triple (flow.py:40) has 2 x SubA, 1 x Numbered and still waits for a Question"
    )
    assert run.why_stuck()[1] in str(run.overdue(9.0))


@pytest.mark.parametrize(("count", "more"), [(5, []), (7, ["2 more forks have not been joined"])])
def test_of_many_forks_the_first_five_are_told(count: int, more: list[str]):
    one = "Flow.join (flow.py:30) has 1 x B and waits for the end of the fork"
    assert forking(count).why_stuck() == [one] * 5 + more


def test_a_step_that_may_return_a_list_returned_nothing_or_an_empty_one():
    run = state(step(returns=(B,), returns_list=True))
    run.silent = [2]
    assert "Flow.work (flow.py:10) returned nothing, or an empty list, 2 times although it declares B" in str(
        stalled(run, None)
    )


def test_all_that_wait_to_be_tried_again_are_counted():
    run = Machine(plan(step(retry=RetryPolicy(attempts=2, wait=fixed(99)))), 0.0, 9.0, 100)
    run.retrying = Alarms()
    for at in (3.0, 4.0):
        run.retrying.set(at, delivery(run.plan.steps[0]))
    assert run.overdue(9.0).queued == {"work": 2}
