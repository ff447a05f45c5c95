"""The log of what can be undone: what gets into it, in which order it comes out, and what becomes of it."""

from __future__ import annotations

import math
from contextvars import Context, copy_context
from typing import Any

import pytest
from hypothesis import given, strategies as st

from stretto._core.completed import Completed, Entry, in_reverse
from stretto._core.effects import Undo
from stretto._core.gathering import Each
from stretto._core.inputs import (
    CancelAsked,
    EventSent,
    StepCancelled,
    StepRaised,
    StepReturned,
    UndoEnded,
    UndoingBegan,
)
from stretto._core.joined import Joined
from stretto._core.machine import Machine
from stretto._core.undo_parts import refuse_while_undone
from stretto._core.undoing import Undos
from stretto.errors import SnapshotError, WorkflowTimeoutError
from stretto.events import Event, StopEvent
from stretto.undo import UndoError
from tests.core.plans import A, B, C, plan, step
from tests.core.restarts import Kept, read, restarted, written

CARRY = copy_context()

FIRST = step("first", accepts=(A,), returns=(B,), undo="undo_first")
SECOND = step("second", index=1, accepts=(B,), returns=(C, StopEvent), undo="undo_second")
THIRD = step("third", index=2, accepts=(C,), returns=(StopEvent,))


def begun(*steps: Any) -> Any:
    run = Machine(plan(*(steps or (FIRST, SECOND, THIRD))), 0.0, math.inf, 100)
    run.feeders = 1
    return run


def sent(run: Any, event: Event) -> Any:
    (delivery,) = run.receive(EventSent(event=event, carry=CARRY, at=0.0))
    return delivery


def returned(run: Any, delivery: Any, value: object, at: float = 1.0) -> Any:
    return run.receive(StepReturned(delivery=delivery, value=value, at=at))


def completed(run: Any) -> None:
    """The first two steps have completed, and the third is at work."""
    delivery = sent(run, A())
    for event in (B(), C()):
        (delivery,) = returned(run, delivery, event)
    run.third = delivery


def failed(run: Any) -> None:
    completed(run)
    run.receive(StepRaised(delivery=run.third, error=KeyError("third"), at=2.0))


def due(effects: Any) -> str:
    (effect,) = effects
    assert isinstance(effect, Undo)
    return effect.entry.step.name


def test_a_step_with_an_undo_is_not_plain_and_a_plan_knows_whether_it_has_one():
    assert plan(FIRST, SECOND, THIRD).undoes
    assert (FIRST.plain, THIRD.plain) == (False, True)
    assert not plan(step()).undoes


def test_what_has_completed_is_undone_last_first_and_each_once():
    run = begun()
    failed(run)
    assert due(run.receive(UndoingBegan(at=2.0, limit=30.0))) == "second"
    assert run.undos.going_on
    assert run.undos.log == []
    assert due(run.receive(UndoEnded(at=3.0))) == "first"
    assert run.receive(UndoEnded(at=4.0)) == ()
    assert not run.undos.going_on
    assert run.receive(UndoingBegan(at=5.0, limit=30.0)) == ()
    assert [(each.step, each.outcome, each.undo, each.result) for each in run.undos.records] == [
        ("second", "done", "undo_second", C()),
        ("first", "done", "undo_first", B()),
    ]
    error = run.error()
    assert isinstance(error, KeyError)
    assert error.__notes__[-1] == "undone, last first: second by undo_second, first by undo_first"
    assert run.error() is error


def test_the_log_has_what_was_taken_and_returned():
    run = begun()
    completed(run)
    first, second = run.undos.log
    assert (first.event, first.result) == (A(), B())
    assert (second.event, second.result) == (B(), C())
    assert isinstance(first.carry, Context)
    assert first.carry is not CARRY


def test_an_attempt_that_failed_or_was_cancelled_is_not_in_the_log():
    run = begun()
    run.receive(StepRaised(delivery=sent(run, A()), error=KeyError(), at=1.0))
    assert run.undos is None
    assert isinstance(run.error(), KeyError)
    run = begun()
    delivery = sent(run, A())
    run.receive(CancelAsked(why="for fun"))
    run.receive(StepCancelled(delivery=delivery))
    assert run.undos is None


def test_what_was_cut_short_before_it_returned_is_not_in_the_log():
    run = begun()
    delivery = sent(run, A())
    delivery.past.cut = True
    returned(run, delivery, None)
    assert run.undos is None


def test_a_wrong_return_is_not_in_the_log():
    run = begun()
    returned(run, sent(run, A()), C())
    assert run.undos is None


@pytest.mark.parametrize("value", [B(), None])
def test_what_returns_too_late_is_in_the_log(value: object):
    run = begun()
    delivery = sent(run, A())
    run.receive(CancelAsked(why="for fun"))
    returned(run, delivery, value)
    (entry,) = run.undos.log
    assert entry.result is value
    assert [*run.leftovers()] == [value] * (value is not None)


@pytest.mark.parametrize("value", [B(), None])
def test_what_returns_although_its_caller_was_cancelled_is_in_the_log(value: object):
    run = begun()
    run.receive(StepCancelled(delivery=sent(run, A()), value=value, returned=True))
    (entry,) = run.undos.log
    assert entry.result is value


def test_what_returned_without_an_undo_although_cancelled_is_not():
    run = begun()
    completed(run)
    before = len(run.undos.log)
    run.receive(StepCancelled(delivery=run.third, value=StopEvent(), returned=True))
    assert len(run.undos.log) == before


def test_a_stop_that_stands_is_no_failure():
    run = begun()
    delivery = sent(run, A())
    (delivery,) = returned(run, delivery, B())
    returned(run, delivery, StopEvent(result=1))
    assert len(run.undos.log) == 2
    assert run.error() is None
    assert run.result == 1


def test_an_undo_that_raises_is_told_in_a_group_with_the_failure():
    run = begun()
    failed(run)
    run.receive(UndoingBegan(at=2.0, limit=30.0))
    refused = OSError("closed")
    assert due(run.receive(UndoEnded(at=3.0, error=refused))) == "first"
    assert isinstance(run.error(), KeyError), "it is not known yet"
    run.receive(UndoEnded(at=3.0))
    error = run.error()
    assert isinstance(error, UndoError)
    assert error.exceptions == (run.errors[0], refused)
    assert error.message == (
        "Flow failed with KeyError('third'), and not all that it did was undone; not undone: Flow.second (flow.py:20) "
        "by undo_second (raised OSError('closed'))"
    )
    assert error.undone == tuple(run.undos.records)
    assert run.error() is error
    run.receive(StepRaised(delivery=sent_late(run), error=SystemExit(), at=9.0))
    assert isinstance(run.error(), SystemExit)


def sent_late(run: Any) -> Any:
    """A delivery of nobody's, for one more failure."""
    delivery = begun().plan.steps[0]
    made = sent(begun(), A())
    run.active[made] = None
    assert delivery.name == "first"
    return made


def test_past_the_limit_none_is_begun():
    run = begun()
    failed(run)
    run.receive(UndoingBegan(at=2.0, limit=3.0))
    assert run.undos.deadline == 5.0
    assert run.receive(UndoEnded(at=5.0)) == ()
    assert [each.outcome for each in run.undos.records] == ["done", "not reached"]
    failure, late = run.error().exceptions
    assert isinstance(failure, KeyError)
    assert isinstance(late, WorkflowTimeoutError)
    assert late.timeout == 3.0
    assert str(late) == (
        "undoing Flow passed its time limit of 3 s, which is on top of that of the run, with 1 left; raise it with "
        "Flow(undo_timeout=…), or give the undo that hangs a time limit of its own"
    )


def test_what_was_cut_off_is_not_undone():
    run = begun()
    failed(run)
    run.receive(UndoingBegan(at=2.0, limit=3.0))
    assert run.receive(UndoEnded(at=5.0, cut=True)) == ()
    assert [each.outcome for each in run.undos.records] == ["cut off", "not reached"]
    assert run.undos.incomplete
    second, first = map(str, run.undos.records)
    assert run.undos.told() == f"not undone: {second}, {first}"
    assert "with 2 left" in str(run.error().exceptions[-1])


def test_ctrl_c_in_an_undo_is_the_end_of_it():
    run = begun()
    failed(run)
    run.receive(UndoingBegan(at=2.0, limit=3.0))
    stop = KeyboardInterrupt()
    assert run.receive(UndoEnded(at=3.0, error=stop)) == ()
    assert [each.outcome for each in run.undos.records] == ["failed", "not reached"]
    assert run.error() is stop
    assert any(note.startswith("not undone: Flow.second") for note in stop.__notes__)


def test_before_it_begins_it_has_no_deadline():
    undos = Undos()
    assert (undos.deadline, undos.limit) == (None, 0.0)


def test_many_are_told_by_the_first_ten():
    run = begun()
    run.errors = [KeyError()]
    undos = run.keep_undos()
    delivery = sent(run, A())
    for _ in range(12):
        undos.completed(delivery, B())
    effects = run.receive(UndoingBegan(at=2.0, limit=3.0))
    for number in range(12):
        effects = run.receive(UndoEnded(at=2.0, error=OSError() if number else None))
    assert effects == ()
    assert undos.told().endswith("(raised OSError()), and 1 more")
    undos.records[:] = [undos.records[0]] * 12
    run.error()
    assert run.errors[0].__notes__[-1].endswith("first by undo_first, and 2 more")


@pytest.mark.parametrize("error", [None, OSError()], ids=["undone", "not undone"])
def test_ten_are_told_without_more(error: Exception | None):
    run = begun()
    run.errors = [KeyError()]
    delivery = sent(run, A())
    for _ in range(10):
        run.keep_undos().completed(delivery, B())
    run.receive(UndoingBegan(at=2.0, limit=3.0))
    for _ in range(10):
        run.receive(UndoEnded(at=2.0, error=error))
    told = run.error().__notes__[-1] if error is None else str(run.error())
    assert told.count("first") >= 10
    assert "more" not in told


def test_a_run_that_has_not_failed_comes_to_nothing_by_what_was_undone():
    run = begun()
    failed(run)
    run.receive(UndoingBegan(at=2.0, limit=30.0))
    run.receive(UndoEnded(at=40.0))
    assert run.undos.incomplete
    assert run.undos.verdict(None, "Flow") is None


def test_another_failure_has_another_group():
    run = begun()
    failed(run)
    run.receive(UndoingBegan(at=2.0, limit=30.0))
    run.receive(UndoEnded(at=40.0))
    first, second = KeyError(), OSError()
    group = run.undos.verdict(first, "Flow")
    assert run.undos.verdict(first, "Flow") is group
    assert run.undos.verdict(second, "Flow").exceptions[0] is second


def test_an_undo_that_ends_was_at_work():
    with pytest.raises(AssertionError, match=r"^no undo was at work$"):
        begun().receive(UndoEnded(at=1.0))


def test_in_a_joined_event_each_is_told():
    joins = step("joins", accepts=(A, B), returns=(C,), join=Each((A, B), subclasses=False), undo="part")
    undos = Undos()
    undos.log.append(Completed(joins, Joined(events=(A(), B())), C(), CARRY))
    undos.begin(0.0, 1.0)
    undos.ended(0.5, None, cut=False)
    assert undos.records[0].event == (A(), B())
    assert str(undos.records[0]) == "joins by part"


# -- nested runs -----------------------------------------------------------------------------------------------------


def entry(number: int) -> Completed:
    return Completed(FIRST, A(n=number), None, CARRY)


def order(log: list[Entry]) -> list[int]:
    return [each.event.n for each in in_reverse(log)]  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_nested_run_has_its_place_where_it_ended():
    undos = Undos()
    undos.log.append(entry(1))
    undos.take_in([entry(2), entry(3)], None)
    undos.log.append(entry(4))
    assert order(undos.log) == [4, 3, 2, 1]


def test_what_a_step_has_nested_is_undone_just_before_it():
    run = begun()
    undos = run.keep_undos()
    maker, other = sent(run, A(n=10)), sent(run, A(n=20))
    undos.take_in([entry(1)], maker)
    undos.completed(other, B())
    undos.take_in([entry(2), entry(3)], maker)
    undos.completed(maker, B())
    assert order(undos.log) == [3, 2, 1, 10, 20]


def test_what_a_step_that_fails_has_nested_keeps_its_place():
    run = begun()
    undos = run.keep_undos()
    maker, other = sent(run, A(n=10)), sent(run, A(n=20))
    undos.take_in([entry(1)], maker)
    undos.completed(other, B())
    assert order(undos.log) == [20, 1]


def test_several_runs_may_share_a_log():
    log: list[Entry] = [entry(1)]
    run = begun()
    assert run.keep_undos(log) is run.keep_undos()
    completed(run)
    assert log[0].event == A(n=1)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
    assert len(log) == 3


@given(st.recursive(st.integers(0, 9), lambda inner: st.lists(inner, max_size=4), max_leaves=12))
def test_the_order_is_that_of_completion_backwards_however_deep_it_is_nested(shape: Any):
    def built(part: Any) -> Entry:
        return entry(part) if isinstance(part, int) else [built(each) for each in part]

    def flat(part: Any) -> list[int]:
        return [part] if isinstance(part, int) else [number for each in part for number in flat(each)]

    assert order([built(shape)]) == flat(shape)[::-1]


# -- snapshots -------------------------------------------------------------------------------------------------------


def test_what_can_be_undone_is_in_a_snapshot():
    lists = step("lists", accepts=(A,), returns=(B,), returns_list=True, undo="unlist")
    joins = step("joins", index=1, accepts=(B, C), join=Each((B, C), subclasses=False), undo="part")
    run = begun(lists, joins)
    log = run.keep_undos().log
    log += [
        Completed(lists, A(), B(), CARRY),
        Completed(lists, A(), [B(n=1), B(n=2)], CARRY),
        Completed(lists, A(), None, CARRY),
        Completed(joins, Joined(events=(B(), C())), None, CARRY),
        [],
    ]
    again, _ = restarted(run, 1.0)
    assert [(each.step.name, each.event, each.result) for each in again.undos.log[:3]] == [
        ("lists", A(), B()),
        ("lists", A(), [B(n=1), B(n=2)]),
        ("lists", A(), None),
    ]
    assert again.undos.log[3].event.events == (B(), C())
    assert all(isinstance(each.carry, Context) for each in again.undos.log)
    assert "undos" not in written(begun(), 1.0, Kept())
    empty = begun()
    empty.keep_undos()
    assert "undos" not in written(empty, 1.0, Kept())


def test_while_it_is_undone_there_is_no_snapshot():
    run = begun()
    failed(run)
    refuse_while_undone(run.undos, "Flow")
    run.receive(UndoingBegan(at=2.0, limit=30.0))
    with pytest.raises(SnapshotError) as caught:
        refuse_while_undone(run.undos, "Flow")
    assert str(caught.value) == (
        "the run of Flow is being undone, and nothing would go on from there; after a crash go on from the last "
        "snapshot before, which knows what is to be undone"
    )


def test_what_a_nested_run_has_done_is_refused_with_its_place():
    for at, inner in ((0, [[entry(2)]]), (1, [entry(1), [entry(2)]])):
        run = begun()
        run.keep_undos().log += inner
        with pytest.raises(SnapshotError) as caught:
            written(run, 1.0, Kept())
        assert caught.value.path == f"undos[{at}]"
        assert str(caught.value) == (
            f"undos[{at}]: a run that a step of Flow has awaited or requested has completed steps that can be undone, "
            "and after a restart nobody could say how that run is made; take snapshots before, or let steps of Flow "
            "itself do what is to be undone"
        )
    run = begun()
    within = entry(1)
    within.inner.append([entry(2)])
    run.keep_undos().log.append(within)
    with pytest.raises(SnapshotError):
        written(run, 1.0, Kept())


def test_a_step_whose_undo_is_gone_is_told():
    run = begun()
    completed(run)
    kept = Kept()
    data = written(run, 1.0, kept)
    without = plan(step("first", accepts=(A,), returns=(B,)), SECOND, THIRD)
    with pytest.raises(SnapshotError) as caught:
        read(data, kept, without, 1.0, 100)
    assert caught.value.path == "undos[0].step"
    assert str(caught.value).endswith(
        "Flow.first (flow.py:10) has completed before the snapshot, and has no undo here; give it one, @step(undo=…), "
        "that undoes what it did then"
    )
