"""Forks of deliveries: what the machine adds to `joining`, which is tested by itself in `test_joining`."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from stretto._core.effects import Abort, DeadLetter
from stretto._core.inputs import CancelAsked, StepRaised
from stretto._core.joined import Joined
from stretto._core.machine import Machine
from stretto._core.plan import StepPlan
from stretto._core.recovering import Recovery
from stretto._core.state import Delivery, Ended
from stretto.events import StepFailedEvent
from stretto.joins import All, First, Settle
from stretto.retry import RetryPolicy, no_wait
from tests.core.plans import A, B, C, Outer, SubA, plan, step
from tests.core.restarts import restarted

CARRY = copy_context()
colour: ContextVar[str] = ContextVar("colour")


def machine(*steps: StepPlan) -> Machine:
    return Machine(plan(*steps), 0.0, float("inf"), 100)


def forking(*more: StepPlan) -> Machine:
    """A list of A, each of which leads to a B; all B are joined."""
    return machine(
        step("begin", accepts=(C,), returns=(A,), returns_list=True),
        step("work", index=1, returns=(B,)),
        step("join", index=2, accepts=(B,), join=All()),
        *more,
    )


def begun(effects: Any) -> list[Any]:
    """The deliveries that start by these effects; they are at work from now on."""
    started = [effect for effect in effects if isinstance(effect, Delivery)]
    for delivery in started:
        delivery.started = 0.0
    return started


def raised(by: Machine, delivery: Delivery) -> Any:
    return by.receive(StepRaised(delivery=delivery, error=ValueError("no"), at=0.0, draw=0.5))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_of_any_length_calls_its_join_once(count: int):
    run = forking()
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    starts = begun(run.step_returned(begin, [A(n=number) for number in range(count)], 0.0))
    for number in range(count):
        assert starts[number].step.name == "work"
        starts += begun(run.step_returned(starts[number], B(n=number), 0.0))
    (join,) = starts[count:]
    assert [event.n for event in join.event.events] == [*range(count)]


def test_what_a_step_sends_is_joined_when_it_has_ended():
    run = forking()
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    for number in (1, 2):
        assert begun(run.event_sent(B(n=number), CARRY, at=0.0, cause=begin)) == []
    (join,) = begun(run.step_returned(begin, None, 0.0))
    assert join.event.events == (B(n=1), B(n=2))


def test_what_arrives_in_a_fork_that_is_none_for_its_join_goes_on_to_the_fork_around():
    run = machine(
        step("begin", accepts=(C,), returns=(A, Outer)),
        step("work", index=1, accepts=(Outer,), returns=(B,)),
        step("join", index=2, accepts=(A,), join=All()),
        step("other", index=3, accepts=(B,), join=All()),
    )
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    for number in (1, 2):
        run.event_sent(A(n=number), CARRY, at=0.0, cause=begin)
    (work,) = begun(run.event_sent(Outer(n=3), CARRY, at=0.0, cause=begin))
    assert begun(run.step_returned(begin, None, 0.0)) == []
    called = begun(run.step_returned(work, B(n=4), 0.0))
    assert {each.step.name: each.event.events for each in called} == {
        "join": (A(n=1), A(n=2)),
        "other": (B(n=4),),
    }


def test_what_was_joined_shows_as_a_list():
    assert repr(Joined(events=(A(n=1), B(n=2)))) == "[A(n=1), B(n=2)]"


def test_an_event_goes_to_the_steps_that_take_it_behind_a_join_too():
    run = machine(step("join", accepts=(B,), join=All()), step("work", index=1, accepts=(B,)))
    starts = begun(run.event_sent(B(n=1), CARRY, at=0.0))
    assert {each.step.name for each in starts} == {"join", "work"}


def test_each_step_that_would_take_an_event_too_late_is_named():
    run = machine(
        step("begin", accepts=(C,)),
        step("work", index=1, returns=(B,)),
        step("other", index=2, returns=(B,)),
        step("take", index=3, accepts=(B,), join=First()),
    )
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    for number in (1, 2):
        run.event_sent(B(n=number), CARRY, at=0.0, cause=begin)
    assert run.event_sent(A(n=3), CARRY, at=0.0, cause=begin) == [
        DeadLetter(A(n=3), f"the join of its fork had enough before Flow.{name} took it")
        for name in ("work (flow.py:20)", "other (flow.py:30)")
    ]


def test_a_branch_that_has_failed_is_tried_again_in_its_place_with_the_variables_of_its_sender():
    run = machine(
        step("begin", accepts=(C,), returns=(A,), returns_list=True),
        step("work", index=1, returns=(B,), retry=RetryPolicy(attempts=2, wait=no_wait())),
        step("join", index=2, accepts=(B,), join=All()),
    )
    (begin,) = begun(run.event_sent(C(), copy_context(), at=0.0))
    begin.carry.run(colour.set, "red")
    one, other = begun(run.step_returned(begin, [A(n=1), A(n=2)], 0.0))
    other.carry.run(colour.set, "green")
    (again,) = begun(raised(run, other))
    assert again.carry[colour] == "red"
    run.step_returned(one, B(n=1), 0.0)
    (join,) = begun(run.step_returned(again, B(n=2), 0.0))
    assert join.event.events == (B(n=1), B(n=2))


def test_a_plain_step_of_a_branch_keeps_no_past():
    run = forking()
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    assert begin.past is None


def test_what_a_join_was_to_be_called_with_is_left_over_event_by_event():
    run = machine(step("join", accepts=(B,), join=All(), limit=1))
    begun(run.event_sent(B(n=1), CARRY, at=0.0))
    assert begun(run.event_sent(B(n=2), CARRY, at=0.0)) == []
    run.receive(CancelAsked(why="by its handler"))
    assert list(run.leftovers()) == [B(n=2)]


# -- what a join inherits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["a list", "one event for two steps", "sent"])
def test_each_join_sees_the_variables_of_where_its_fork_was_sent_in_a_copy_of_its_own(how: str):
    """Whatever its branches set."""
    listed = how == "a list"
    run = machine(
        step("begin", accepts=(C,), returns=(A,), returns_list=listed),
        step("work", index=1, returns=(B,)),
        step("join", index=2, accepts=(B,), join=All()),
        step("also", index=3, accepts=(B,), join=All()),
        *(() if listed else (step("other", index=4, returns=(B,)),)),
    )
    (begin,) = begun(run.event_sent(C(), copy_context(), at=0.0))
    begin.carry.run(colour.set, "red")
    if how == "sent":
        carry = begin.carry.copy()
        branches = begun(run.event_sent(A(), carry, at=0.0, cause=begin))
        carry.run(colour.set, "grey")
        begun(run.step_returned(begin, None, 0.0))
    else:
        branches = begun(run.step_returned(begin, [A(), A()] if listed else A(), 0.0))
    assert len(branches) == 2
    assert branches[1].carry[colour] == "red"
    joins = []
    for branch in branches:
        branch.carry.run(colour.set, "green")
        joins += begun(run.step_returned(branch, B(), 0.0))
    assert [join.step.name for join in joins] == ["join", "also"]
    joins[0].carry.run(colour.set, "blue")
    assert [join.carry[colour] for join in joins] == ["blue", "red"]


@pytest.mark.parametrize("who", ["work", "join"])
@pytest.mark.parametrize("restart", [False, True])
def test_what_was_spent_on_recoveries_goes_on_in_the_branches_and_the_join(who: str, restart: bool):
    rescue = step(
        "rescue",
        index=3,
        accepts=(StepFailedEvent,),
        returns=(A,),
        returns_list=True,
        recovers=Recovery(for_steps=None, max_recoveries=1),
    )
    run = forking(rescue)
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    (recovery,) = begun(raised(run, begin))
    branches = begun(run.step_returned(recovery, [A(n=1), A(n=2)], 0.0))
    if restart:
        run, effects = restarted(run, 0.0)
        branches = begun(effects)
    if who == "join":
        begun(run.step_returned(branches[0], B(), 0.0))
        branches = begun(run.step_returned(branches[1], B(), 0.0))
    assert branches[-1].step.name == who
    raised(run, branches[-1])
    assert run.ended is Ended.FAILED
    error = run.error()
    assert error is not None
    assert (
        "not recovered: Flow.rescue (flow.py:40) did so 1 x on the way to this event already"
        in error.__notes__
    )


def test_who_recovers_a_branch_stands_in_its_place():
    rescue = step(
        "rescue",
        index=3,
        accepts=(StepFailedEvent,),
        returns=(B,),
        recovers=Recovery(for_steps=None, max_recoveries=1),
    )
    run = forking(rescue)
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    one, other = begun(run.step_returned(begin, [A(n=1), A(n=2)], 0.0))
    (recovery,) = begun(raised(run, one))
    assert begun(run.step_returned(other, B(n=2), 0.0)) == []
    (join,) = begun(run.step_returned(recovery, B(n=1), 0.0))
    assert [event.n for event in join.event.events] == [2, 1]


# -- a branch that fails in a fork inside ------------------------------------------------------------------------------


def settling() -> Machine:
    """A list of A, each of which is a list of B; these are joined, and what comes of them is settled."""
    return machine(
        step("begin", accepts=(Outer,), returns=(A,), returns_list=True),
        step("branch", index=1, returns=(B,), returns_list=True),
        step("work", index=2, accepts=(B,), returns=(SubA,), limit=2),
        step("add", index=3, accepts=(SubA,), returns=(C,), join=All()),
        step("settle", index=4, accepts=(C,), join=Settle()),
    )


def parts(run: Machine, count: int) -> list[Any]:
    (begin,) = begun(run.event_sent(Outer(), CARRY, at=0.0))
    (branch,) = begun(run.step_returned(begin, [A()], 0.0))
    return begun(run.step_returned(branch, [B(n=number) for number in range(count)], 0.0))


def reasons(effects: Any) -> list[tuple[Any, str]]:
    return [(effect.event, effect.reason) for effect in effects if isinstance(effect, DeadLetter)]


def test_what_is_left_of_a_branch_is_cancelled_or_never_begins_and_is_told():
    run = settling()
    first, second = parts(run, 4)
    (third,) = begun(run.step_returned(first, SubA(n=0), 0.0))
    effects = raised(run, second)
    assert [each.delivery for each in effects if isinstance(each, Abort)] == [third]
    told = reasons(effects)
    assert told[0] == (
        SubA(n=0),
        "a step of its branch has failed before Flow.add (flow.py:40) was called",
    )
    assert (
        B(n=3),
        "its branch has failed in Flow.work (flow.py:30) before Flow.work (flow.py:30) took it",
    ) in told
    effects = run.step_returned(third, SubA(n=2), 0.0)
    assert reasons(effects) == [
        (
            SubA(n=2),
            "Flow.work (flow.py:30) was cancelled, because its branch has failed in Flow.work (flow.py:30)",
        )
    ]
    (settle,) = begun(effects)
    (failure,) = settle.event.events
    assert isinstance(failure, StepFailedEvent)
    assert failure.event == B(n=1)
    assert run.ended is None


def test_what_a_step_of_a_branch_that_has_failed_raises_is_noted_there():
    run = settling()
    first, second = parts(run, 2)
    assert begun(raised(run, first)) == []
    (settle,) = begun(raised(run, second))
    (failure,) = settle.event.events
    assert failure.event == B(n=0)
    assert failure.exception.__notes__[-1] == (
        "while its branch was being ended, Flow.work (flow.py:30) failed too: ValueError('no')"
    )
    assert run.ended is None


def test_ctrl_c_in_a_branch_that_has_failed_ends_the_run():
    run = settling()
    first, second = parts(run, 2)
    raised(run, first)
    run.receive(StepRaised(delivery=second, error=KeyboardInterrupt(), at=0.0, draw=0.5))
    assert run.ended is Ended.FAILED


def test_the_worker_of_what_has_failed_is_free_for_the_next_branch():
    run = machine(
        step("begin", accepts=(C,), returns=(A,), returns_list=True),
        step("work", index=1, returns=(B,), limit=1),
        step("settle", index=2, accepts=(B,), join=Settle()),
    )
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    (first,) = begun(run.step_returned(begin, [A(n=0), A(n=1)], 0.0))
    (second,) = begun(raised(run, first))
    assert second.event == A(n=1)
    (settle,) = begun(run.step_returned(second, B(), 0.0))
    assert [type(event) for event in settle.event.events] == [StepFailedEvent, B]
