"""The snapshot of a machine: what each structure writes, and how a run goes on from it; without any loop.

That it goes on as if it had never stopped is a rule of the machine's life, in `test_machine_model` and `test_retrying`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from stretto._core.effects import Effects, EndRun, Resume, Retry
from stretto._core.gathering import Each
from stretto._core.inputs import (
    CancelAsked,
    EventSent,
    RetryDue,
    StepRaised,
    StepReturned,
    WaitBegan,
    WaitCancelled,
)
from stretto._core.machine import Machine
from stretto._core.places import Place
from stretto._core.recovering import Recovery
from stretto._core.state import DEAD_LETTERS_KEPT, Delivery, Ended
from stretto._core.waiting import Waiter
from stretto.errors import CollectError, SnapshotError
from stretto.events import Event, StepFailedEvent, StopEvent
from stretto.joins import All, First
from stretto.retry import RetryPolicy, fixed
from tests.core.plans import A, B, C, Numbered, Outer, Question, ids, plan, step
from tests.core.restarts import Kept, read, restarted, written

CARRY = copy_context()


def machine(*steps: Any, deadline: float = math.inf, limit: int = 100) -> Any:
    return Machine(plan(*steps), 0.0, deadline, limit)


def sent(to: Machine, *events: Event, outside: bool = False) -> list[Any]:
    effects = [
        effect
        for event in events
        for effect in to.receive(EventSent(event=event, carry=CARRY, at=0.0, outside=outside))
    ]
    return started(effects)


def started(effects: Effects) -> list[Any]:
    begun = [effect for effect in effects if isinstance(effect, Delivery)]
    for delivery in begun:
        delivery.started = 0.0
    return begun


def waits(
    of: Machine, delivery: Delivery, kind: type[Event] = Outer, *, parks: bool = True, **more: Any
) -> tuple[Any, Effects]:
    waiter = Waiter(delivery=delivery, kind=kind, wake=lambda: None, **more)
    return waiter, of.receive(WaitBegan(waiter=waiter, parks=parks))


def raised(of: Machine, delivery: Delivery, at: float = 1.0) -> Effects:
    return of.receive(StepRaised(delivery=delivery, error=ValueError("no"), at=at, draw=0.5))


def events(deliveries: Any) -> list[int]:
    return [each.event.n for each in deliveries]


# -- where everything is ---------------------------------------------------------------------------------------


def test_time_goes_on_from_where_it_was_by_whatever_clock():
    run = machine(step(), deadline=10.0)
    sent(run, A())
    again, _ = restarted(run, 4.0, asleep=1000.0)
    assert (again.begun, again.deadline) == (1000.0, 1010.0)
    assert again.deadline - 1004.0 == 6.0


def test_a_deadline_that_has_passed_has_just_passed():
    run = machine(step(), deadline=10.0)
    sent(run, A())
    again, _ = restarted(run, 12.0)
    assert again.deadline == 12.0


def test_a_run_without_a_deadline_has_none_afterwards():
    run = machine(step())
    sent(run, A())
    assert restarted(run, 5.0)[0].deadline == math.inf


def test_what_is_active_is_ready_and_what_waits_for_a_worker_waits_in_order():
    run = machine(step(limit=2), step("other", index=1, accepts=(B,), limit=1))
    sent(run, *(A(n=n) for n in range(4)), B(n=8), B(n=9))
    again, effects = restarted(run, 0.0)
    assert events(effects) == [0, 1, 8]
    assert [events(queue or ()) for queue in again.waiting] == [[2, 3], [9]]
    assert again.busy == [2, 1]


def test_one_event_that_several_steps_handle_is_one_event_afterwards():
    run = machine(step(), step("other", index=1))
    sent(run, A())
    _, (one, other) = restarted(run, 0.0)
    assert isinstance(one, Delivery)
    assert isinstance(other, Delivery)
    assert one.event is other.event
    assert one.carry is not other.carry


def test_a_limit_that_is_lower_in_the_new_program_holds():
    run = machine(step(limit=4))
    sent(run, *(A(n=n) for n in range(3)))
    kept = Kept()
    again, effects = read(written(run, 0.0, kept), kept, plan(step(limit=1)), 0.0, 100)
    assert events(effects) == [0]
    assert events(again.waiting[0] or ()) == [1, 2]


def test_who_gave_up_a_wait_and_found_its_place_taken_waits_for_a_worker_afterwards():
    run = machine(step(limit=1))
    (first,) = sent(run, A(n=1))
    waiter, _ = waits(run, first)
    sent(run, A(n=2), A(n=3))
    run.receive(WaitCancelled(waiter=waiter))
    assert run.busy == [2]
    again, effects = restarted(run, 0.0)
    assert events(effects) == [2]
    assert events(again.waiting[0] or ()) == [1, 3]


def test_a_run_in_which_nothing_is_left_is_told_so_at_once():
    kept = Kept()
    run, effects = read({"age": 0, "left": None}, kept, plan(step()), 0.0, 100)
    assert isinstance(effects[-1], EndRun)
    assert run.ended is Ended.STALLED


def test_what_was_told_of_a_stuck_run_is_told_after_a_restart():
    texts = []
    for restart in (False, True):
        run = machine(step(returns=(B,)), step("keep", index=1, accepts=(C,)))
        (kept,) = sent(run, C())
        sent(run, Question(n=3))
        (work,) = sent(run, A())
        run.collect(work, work.event, [A, A, B], "name")
        run.receive(StepReturned(delivery=work, value=None, at=0.0))
        sent(run, B(n=5))
        if restart:
            run, effects = restarted(run, 0.0)
            (kept,) = started(effects)
        run.receive(StepReturned(delivery=kept, value=None, at=0.0))
        texts.append(str(run.verdict))
    assert texts[0] == texts[1]
    assert "still waits for 1 x A (has 1 of 2), 1 x B (has 0 of 1)" in texts[0]
    assert "Question(n=3) went to the stream" in texts[0]
    assert "Flow.work (flow.py:10) returned nothing" in texts[0]
    assert "B(n=5) was not taken" in texts[0]


def test_dead_letters_and_what_was_given_up_are_still_there():
    run = machine(step(returns=(B,), retry=RetryPolicy(attempts=2, wait=fixed(2))), limit=1)
    _, other = sent(run, A(n=1), A(n=2))
    run.collect(other, other.event, [A], None)
    raised(run, other)
    (again,) = started(run.receive(RetryDue(at=3.0)))
    run.receive(StepReturned(delivery=again, value=None, at=3.0))  # and never asks for its batch
    sent(run, B(n=3), B(n=4))  # no more than one is kept
    after, effects = restarted(run, 4.0)
    started(effects)
    assert [letter.event.n for letter in after.dead_letters or ()] == [4]
    assert [letter.reason for letter in after.dead_letters or ()] == [
        letter.reason for letter in run.dead_letters or ()
    ]
    assert ids(list(after.leftovers())) == ids(list(run.leftovers()))


def test_what_came_from_outside_is_not_taken_for_what_a_step_sent():
    run = machine(step())
    sent(run, A())
    sent(run, B(n=1), outside=True)
    sent(run, B(n=2))
    again, _ = restarted(run, 0.0)
    assert [(mail.event.n, mail.outside) for mail in again.mailbox or ()] == [(1, True), (2, False)]


def test_what_was_half_collected_counts_for_the_limit():
    run = machine(step(limit=9), limit=2)
    for work in sent(run, A(n=0), A(n=1)):
        assert run.collect(work, work.event, [A] * 3, None) is None
    sent(run, A(n=2))
    run, effects = restarted(run, 0.0)
    *_, last = started(effects)
    with pytest.raises(CollectError, match="holds 2 events, the collect_limit"):
        run.collect(last, last.event, [A] * 3, None)


def test_what_there_is_nothing_to_say_of_is_left_out():
    run = Machine(plan(step(retry=RetryPolicy())), 2.0, math.inf, 100)
    sent(run, A())
    assert written(run, 2.5, Kept()) == {"age": 0.5, "left": None, "active": [{"step": "work", "event": 0}]}
    assert written(run, 1.0, Kept())["age"] == 0.0, "a clock may go back"


def test_what_is_kept_for_a_wait_has_the_same_limit_after_a_restart():
    run = machine(step(), limit=2)
    sent(run, A(), B(n=1), B(n=2))
    run, _ = restarted(run, 0.0)
    sent(run, B(n=3))
    assert [letter.event for letter in run.dead_letters] == [B(n=3)]
    again, _ = restarted(run, 0.0)
    assert again.dead_letters.maxlen == DEAD_LETTERS_KEPT


def test_how_often_a_step_returned_nothing_is_known_of_each():
    run = machine(step(), step("other", index=1, accepts=(B,)))
    work, _ = sent(run, A(), B())
    run.receive(StepReturned(delivery=work, value=None, at=0.0))
    assert restarted(run, 0.0)[0].silent == [1, 0]


# -- what has failed -------------------------------------------------------------------------------------------


def test_a_retry_keeps_its_attempt_its_age_its_error_and_the_time_that_is_left():
    run = machine(step(returns=(B,), retry=RetryPolicy(attempts=9, wait=fixed(3))))
    (work,) = sent(run, A())
    raised(run, work, at=1.0)
    run.receive(RetryDue(at=4.0))
    work.started = 4.0
    raised(run, work, at=4.0)
    again, effects = restarted(run, 5.0, asleep=100.0)
    assert effects == [Retry(at=107.0)]
    (delivery,) = started(again.receive(RetryDue(at=107.0)))
    assert delivery.past is not None
    assert (delivery.attempt, delivery.past.began) == (3, 100.0)
    assert str(delivery.past.error) == "no"


@pytest.mark.parametrize(("at", "age"), [(4.0, 0.5), (3.0, 0.0)])
def test_the_age_of_a_retry_counts_from_the_beginning_of_its_first_attempt(at: float, age: float):
    run = machine(step(returns=(B,), retry=RetryPolicy(attempts=9, wait=fixed(3))))
    (work,) = sent(run, A())
    work.started = 3.5
    raised(run, work, at=3.75)
    (retry,) = written(run, at, Kept())["retrying"]
    assert retry["age"] == age


def test_a_retry_whose_time_has_come_meanwhile_is_due_at_once():
    run = machine(step(returns=(B,), retry=RetryPolicy(attempts=9, wait=fixed(3))))
    (work,) = sent(run, A())
    raised(run, work)
    _, effects = restarted(run, 50.0)
    assert effects == [Retry(at=50.0)]


def test_the_budget_of_a_handler_goes_on():
    rescue = step(
        "rescue",
        index=1,
        accepts=(StepFailedEvent,),
        returns=(A,),
        recovers=Recovery(for_steps=None, max_recoveries=1),
    )
    run = machine(step(returns=(B,)), rescue)
    (work,) = sent(run, A())
    (handler,) = started(raised(run, work))
    run, effects = restarted(run, 0.0)
    (handler,) = started(effects)
    (again,) = started(run.receive(StepReturned(delivery=handler, value=A(), at=1.0)))
    raised(run, again)
    assert run.ended is Ended.FAILED
    (failure,) = run.errors
    assert "not recovered: Flow.rescue (flow.py:20) did so 1 x on the way to this event already" in (
        failure.__notes__
    )


# -- what a step was given in its middle -----------------------------------------------------------------------


@pytest.mark.parametrize("buffer_id", [None, "mine"])
@pytest.mark.parametrize("restarts", [1, 2])
def test_a_step_that_runs_again_is_given_its_batch_again(buffer_id: str | None, restarts: int):
    run = machine(step())
    _, last = sent(run, A(n=1), A(n=2))
    first = next(iter(run.active))
    assert run.collect(first, first.event, [A, A], buffer_id) is None
    batch = run.collect(last, last.event, [A, A], buffer_id)
    for _ in range(restarts):
        run, effects = restarted(run, 0.0)
        first, last = started(effects)
    assert run.collect(first, first.event, [A, A], buffer_id) is None
    assert ids(run.collect(last, last.event, [A, A], buffer_id) or ()) == ids(batch or ())
    assert list(run.leftovers()) == []
    assert ids((restarted(run, 0.0)[1][1].past.kept).popitem()[1][0]) == ids(batch or ())


@pytest.mark.parametrize("ending", ["returns", "raises", "is cancelled"])
def test_a_batch_that_a_step_does_not_ask_for_again_is_left_over(ending: str):
    run = machine(step(), step("keep", index=1, accepts=(B,)))
    sent(run, B())
    (work,) = sent(run, A(n=1))
    batch = run.collect(work, work.event, [A], None)
    run, effects = restarted(run, 0.0)
    *_, work = started(effects)
    if ending == "returns":
        run.receive(StepReturned(delivery=work, value=None, at=0.0))
    elif ending == "raises":
        run.receive(StepRaised(delivery=work, error=ValueError(), at=0.0))
    else:
        run.receive(CancelAsked(why="by its handler"))
    assert ids(list(run.leftovers())) == ids(batch or ())


def test_a_batch_of_a_plain_step_that_fails_is_no_leftover():
    run = machine(step())
    (work,) = sent(run, A())
    run.collect(work, work.event, [A], None)
    run.receive(StepRaised(delivery=work, error=ValueError(), at=0.0, draw=0.5))
    assert list(run.leftovers()) == []


def test_who_waited_in_the_middle_runs_again_first_then_who_was_at_work():
    run = machine(step(limit=1))
    (first,) = sent(run, A(n=1), A(n=2), A(n=3))
    _, freed = waits(run, first)
    assert events(freed) == [2]
    again, effects = restarted(run, 0.0)
    assert events(effects) == [1]
    assert events(again.waiting[0] or ()) == [2, 3]
    _, freed = waits(again, started(effects)[0])
    assert events(freed) == [2]


def test_a_step_that_lets_a_task_wait_is_at_work_once():
    run = machine(step())
    (work,) = sent(run, A(n=1))
    waits(run, work, parks=False)
    waits(run, work, parks=False)
    assert events(restarted(run, 0.0)[1]) == [1]


@pytest.mark.parametrize("state", ["goes on", "waits for a worker"])
def test_what_a_wait_was_given_is_given_to_it_again_and_to_nobody_else(state: str):
    run = machine(step(limit=1))
    (first,) = sent(run, A(n=1), A(n=2))
    waits(run, first)
    if state == "goes on":
        (second,) = [each for each in run.active]  # noqa: C416
        run.receive(StepReturned(delivery=second, value=None, at=0.0))
    answer = Outer(n=7)
    sent(run, answer)
    run, effects = restarted(run, 0.0)
    first = started(effects)[0]
    assert first.event.n == 1
    waiter, effects = waits(run, first)
    assert effects == (Resume(waiter=waiter),)
    assert waiter.event is answer
    assert run.mailbox is None
    other, _ = waits(run, first)
    assert other.event is None


def test_what_the_mailbox_gave_to_a_wait_is_given_again():
    run = machine(step())
    (work,) = sent(run, A())
    sent(run, B(n=1), B(n=2), B(n=3))
    for _ in range(2):
        waits(run, work, B)
    run, effects = restarted(run, 0.0)
    (work,) = started(effects)
    assert [waits(run, work, B)[0].event.n for _ in range(3)] == [1, 2, 3]
    run, effects = restarted(run, 0.0)
    (work,) = started(effects)
    assert [waits(run, work, B)[0].event.n for _ in range(3)] == [1, 2, 3]


def test_a_wait_that_fits_something_else_leaves_what_was_given_to_the_one_that_fits():
    run = machine(step())
    (work,) = sent(run, A())
    sent(run, B(n=1), Outer(n=2))
    waits(run, work, B)
    waits(run, work)
    run, effects = restarted(run, 0.0)
    (work,) = started(effects)
    waiter, _ = waits(run, work, requirements={"n": 2})
    assert waiter.event == Outer(n=2)

    def broken(_: Event) -> bool:
        raise LookupError

    waiter, effects = waits(run, work, B, where=broken)
    assert effects == (Resume(waiter=waiter),)
    assert isinstance(waiter.error, LookupError)
    waiter, _ = waits(run, work, B)
    assert waiter.event == B(n=1)


def test_what_a_cancelled_wait_gave_back_is_not_its_own_after_a_restart():
    run = machine(step())
    (work,) = sent(run, A())
    waiter, _ = waits(run, work)
    sent(run, Outer(n=1))
    run.receive(WaitCancelled(waiter=waiter))
    run.receive(WaitCancelled(waiter=waiter))
    run, effects = restarted(run, 0.0)
    assert [mail.event.n for mail in run.mailbox or ()] == [1]
    (work,) = started(effects)
    assert work.past is None


def test_what_no_wait_asks_for_again_is_left_over():
    run = machine(step(), step("keep", index=1, accepts=(B,)))
    sent(run, B())
    (work,) = sent(run, A())
    waits(run, work)
    answer = Outer()
    sent(run, answer)
    run, effects = restarted(run, 0.0)
    assert ids([each for each in run.leftovers() if isinstance(each, Outer)]) == ids([answer])
    *_, keep = started(effects)
    run.receive(StepReturned(delivery=keep, value=None, at=0.0))
    assert ids([each for each in run.leftovers() if isinstance(each, Outer)]) == ids([answer])


def test_what_a_failed_attempt_was_given_is_given_to_the_next_also_after_a_restart():
    run = machine(step(returns=(B,), retry=RetryPolicy(attempts=2, wait=fixed(1))))
    (work,) = sent(run, A())
    waits(run, work)
    sent(run, Outer(n=7))
    raised(run, work)
    run, _ = restarted(run, 1.0)
    (work,) = started(run.receive(RetryDue(at=2.0)))
    assert waits(run, work)[0].event == Outer(n=7)
    assert waits(run, work)[0].event is None


def test_a_step_that_was_given_more_than_can_be_kept_is_told_of():
    run = machine(step(), limit=3)
    (work,) = sent(run, A())
    for _ in range(3):
        sent(run, B())
        waits(run, work, B)
    restarted(run, 0.0)
    for _ in range(5):
        sent(run, B())
        waits(run, work, B)
    assert work.past is not None
    assert len(work.past.given or ()) == 4
    with pytest.raises(SnapshotError) as caught:
        restarted(run, 0.0)
    assert caught.value.path == "active[0]"
    assert str(caught.value) == (
        "active[0]: Flow.work (flow.py:10) was given more than 3 events in its middle, the collect_limit of this "
        "workflow, and they are not kept for it to run again; let a step of its own take them"
    )


# -- what is wrong ---------------------------------------------------------------------------------------------


UNHASHABLE = 99  # the number of a list


def whole() -> tuple[dict[str, Any], Kept]:
    """A snapshot with something in each part."""
    run = machine(
        step(returns=(B,), retry=RetryPolicy(attempts=2, wait=fixed(2))),
        step("join", index=1, accepts=(C,), limit=1),
        deadline=60.0,
        limit=3,
    )
    failed, second = sent(run, A(n=1), A(n=2))
    first, *_ = sent(run, C(n=1), C(n=2), C(n=3))
    run.collect(second, second.event, [A], "mine")
    run.collect(first, first.event, [C, C], None)
    waits(run, first)
    sent(run, B(), B(), B(), B(), Question())
    waits(run, second, B)
    raised(run, failed)
    kept = Kept()
    return written(run, 1.0, kept), kept


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data.pop("age"), "the snapshot: 'age' is missing"),
        (lambda data: data.update(age="old"), "age: this should be a time in seconds, and is 'old'"),
        (lambda data: data.update(left=-1), "left: this should be a time in seconds, and is -1"),
        (lambda data: data.update(left=True), "left: this should be a time in seconds, and is True"),
        (lambda data: data.update(left=math.inf), "left: this should be a time in seconds, and is inf"),
        (lambda data: data.update(active=3), "active: this should be a list, and is 3"),
        (lambda data: data.update(active=[3]), "active[0]: this should be an object, and is 3"),
        (lambda data: data["waits"][0].pop("step"), "waits[0]: 'step' is missing"),
        (
            lambda data: data["waits"][0].update(step="jion"),
            "waits[0].step: Flow has no step 'jion'; its steps: work, join; did you mean 'join'?",
        ),
        (
            lambda data: data["waits"][0].update(step="work"),
            "waits[0].event: Flow.work (flow.py:10) does not take C",
        ),
        (lambda data: data["waits"][0].update(step=[]), "waits[0].step: this should be a text, and is []"),
        (
            lambda data: data["active"][0].update(attempt=0),
            "active[0].attempt: this should be a whole number from 1 to 2147483648, and is 0",
        ),
        (
            lambda data: data["active"][0].update(attempt=True),
            "active[0].attempt: this should be a whole number from 1 to 2147483648, and is True",
        ),
        (
            lambda data: data["active"][0].update(attempt="1"),
            "active[0].attempt: this should be a whole number from 1 to 2147483648, and is '1'",
        ),
        (
            lambda data: data["active"][0].update(given=[[0]]),
            "active[0].given[0]: this should be a list of 2, and is [0]",
        ),
        (
            lambda data: data["active"][0]["given"][0].__setitem__(1, 3),
            "active[0].given[0][1]: this should be true or false, and is 3",
        ),
        (lambda data: data["active"][0].update(spent=[]), "active[0].spent: this should be an object, and is []"),
        (
            lambda data: data["active"][0].update(spent={"gone": 1}),
            "active[0].spent.gone: Flow has no step 'gone'; its steps: work, join",
        ),
        (
            lambda data: data["retrying"][0].update(error=data["retrying"][0]["event"]),
            "retrying[0].error: this should be an error, and is ",
        ),
        (lambda data: data["retrying"][0].pop("left"), "retrying[0]: 'left' is missing"),
        (
            lambda data: data["retrying"].append(
                {"step": "join", "event": data["waits"][0]["event"], "left": 0}
            ),
            "retrying[1]: 'age' is missing",
        ),
        (
            lambda data: data["buffers"][0]["expected"][0].__setitem__(1, 10**8),
            "buffers[0].expected[0][1]: this should be a whole number from 1 to 10000000, and is 100000000",
        ),
        (
            lambda data: data["buffers"][0].update(id=UNHASHABLE),
            "buffers[0].id: this should be something that can be hashed, and is 99",
        ),
        (
            lambda data: data["buffers"][0].update(expected=[["3 A", 10**7 - 1], ["3 A", 2]]),
            "buffers[0].expected[1][1]: this should be a whole number from 1 to 1, and is 2",
        ),
        (
            lambda data: data["buffers"][0].update(expected=[["3 A", 10**7], ["3 A", 2]]),
            "buffers[0].expected[1][1]: this should be a whole number from 1 to 1, and is 2",
        ),
        (
            lambda data: data["active"][0].update(spent={"work": -1}),
            "active[0].spent.work: this should be a whole number from 0 to 2147483648, and is -1",
        ),
        (
            lambda data: data.update(silent={"work": -1}),
            "silent.work: this should be a whole number from 0 to 2147483648, and is -1",
        ),
        (lambda data: data.update(asked=[]), "asked: this should be a list of 1, and is []"),
        (lambda data: data.update(silent={"a b": 1}), "silent['a b']: Flow has no step 'a b'; its steps: work, join"),
        (lambda data: data.update(dead_letters=[[0, 1]]), "dead_letters[0][1]: this should be a text, and is 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_path(change: Callable[[dict[str, Any]], object], says: str):
    data, kept = whole()
    kept.things += [[] for _ in range(UNHASHABLE)]
    change(data)
    run = machine(
        step(returns=(B,), retry=RetryPolicy(attempts=2, wait=fixed(2))),
        step("join", index=1, accepts=(C,), limit=1),
    )
    with pytest.raises(SnapshotError) as caught:
        read(data, kept, run.plan, 0.0, 3)
    assert str(caught.value).startswith(says)
    assert says.startswith(caught.value.path or "the snapshot")


def test_the_whole_that_the_errors_are_made_of_is_read():
    data, kept = whole()
    assert {*data} >= {"waits", "active", "queued", "retrying", "buffers", "mailbox", "dead_letters", "asked"}
    plan_ = plan(
        step(returns=(B,), retry=RetryPolicy(attempts=2, wait=fixed(2))),
        step("join", index=1, accepts=(C,), limit=1),
    )
    run, _ = read(data, kept, plan_, 0.0, 3)
    again = Kept()
    assert {*written(run, 0.0, again)} >= {*data} - {"waits"}


def test_the_longest_time_is_one_that_can_be_added_to_a_clock():
    assert Place(2.0**53).seconds() == 2.0**53
    with pytest.raises(SnapshotError):
        Place(2.0**54).seconds()


@pytest.mark.parametrize("data", [None, [], 3, "text", {1: 2}])
def test_what_is_no_object_is_told(data: object):
    with pytest.raises(SnapshotError, match=r"^the snapshot: this should be an object, and is "):
        read(data, Kept(), plan(step()), 0.0, 100)
    with pytest.raises(SnapshotError, match="should be an object"):
        Place(data).get("any")
    with pytest.raises(SnapshotError, match="should be an object"):
        Place(data).entries()


def test_a_run_that_is_over_has_nothing_that_goes_on():
    run = machine(step(returns=(StopEvent,)))
    sent(run, Numbered(), StopEvent())
    with pytest.raises(AssertionError, match=r"^nothing goes on$"):
        written(run, 0.0, Kept())


# -- forks and joins -------------------------------------------------------------------------------------------


def forking(limit: int = 100) -> Any:
    """A list of A, each of which leads to a list of B, and a pair of C and Outer beside it."""
    return Machine(
        plan(
            step("begin", accepts=(Numbered,), returns=(A,), returns_list=True),
            step("work", index=1, returns=(B,)),
            step("join", index=2, accepts=(B,), returns=(StopEvent,), join=All()),
            step("pair", index=3, accepts=(C, Outer), returns=(StopEvent,), join=Each((C, Outer))),
        ),
        0.0,
        math.inf,
        limit,
    )


def in_a_fork() -> tuple[Any, list[Any]]:
    """Two branches at work, one that has arrived, and half a pair."""
    run = forking()
    (begin,) = sent(run, Numbered())
    branches = started(run.receive(StepReturned(delivery=begin, value=[A(n=1), A(n=2), A(n=3)], at=0.0)))
    run.receive(StepReturned(delivery=branches[1], value=B(n=2), at=0.0))
    sent(run, C(n=9), outside=True)
    return run, [branches[0], branches[2]]


def test_a_fork_is_joined_when_its_last_branch_has_ended_after_a_restart():
    run, _ = in_a_fork()
    run, effects = restarted(run, 0.0)
    one, three = started(effects)
    assert started(run.receive(StepReturned(delivery=three, value=B(n=3), at=0.0))) == []
    (join,) = started(run.receive(StepReturned(delivery=one, value=None, at=0.0)))
    assert [each.n for each in join.event.events] == [2, 3]
    assert [each.n for each in run.leftovers()] == [9]
    run, effects = restarted(run, 0.0)
    (join,) = started(effects)
    assert [each.n for each in join.event.events] == [2, 3]
    assert sent(run, Outer(n=8), outside=True)[0].event.events == (C(n=9), Outer(n=8))


def test_what_came_from_outside_of_all_forks_is_there_after_a_restart():
    run = Machine(
        plan(
            step("one", returns=(B,)),
            step("two", index=1, returns=(B,)),
            step("join", index=2, accepts=(B,), join=All()),
        ),
        0.0,
        math.inf,
        100,
    )
    sent(run, B(n=1), A())
    run, effects = restarted(run, 0.0)
    join, one, two = started(effects)
    assert [each.n for each in join.event.events] == [1]
    assert started(run.receive(StepReturned(delivery=one, value=B(n=2), at=0.0))) == []
    (join,) = started(run.receive(StepReturned(delivery=two, value=B(n=3), at=0.0)))
    assert [each.n for each in join.event.events] == [2, 3]


def test_a_race_that_was_decided_is_over_after_a_restart():
    """Who has lost it does not run again, so nobody waits for it."""
    run = Machine(
        plan(
            step("begin", accepts=(Numbered,), returns=(A,), returns_list=True),
            step("work", index=1, returns=(B,)),
            step("take", index=2, accepts=(B,), join=First()),
        ),
        0.0,
        math.inf,
        100,
    )
    (begin,) = sent(run, Numbered())
    winner, _ = started(run.receive(StepReturned(delivery=begin, value=[A(n=1), A(n=2)], at=0.0)))
    assert started(run.receive(StepReturned(delivery=winner, value=B(n=1), at=0.0))) == []
    run, effects = restarted(run, 0.0)
    (take,) = started(effects)
    assert [each.n for each in take.event.events] == [1]
    assert run.ended is None


def test_a_race_that_a_step_at_work_has_decided_by_itself_is_decided_after_a_restart():
    """It could not be written: its fork was closed, and the step was still said to stand in it."""
    run = Machine(plan(step(), step("take", index=1, accepts=(B,), join=First())), 0.0, math.inf, 100)
    (work,) = sent(run, A())
    for number in (1, 2):
        run.receive(EventSent(event=B(n=number), carry=CARRY, at=0.0, cause=work))
    run, effects = restarted(run, 0.0)
    work, take = started(effects)
    assert [each.n for each in take.event.events] == [1]
    effects = run.receive(EventSent(event=B(n=3), carry=CARRY, at=0.0, cause=work))
    assert [effect.event.n for effect in effects] == [3]
    assert [letter.event.n for letter in run.dead_letters] == [2, 3]
    assert run.receive(StepReturned(delivery=work, value=None, at=0.0)) == []


def test_of_two_that_wait_for_a_pair_the_same_is_taken_after_a_restart():
    """The one that had come to the pair first was taken, and after a restart the one that had been sent first."""
    run = forking()
    (held,) = sent(run, Numbered())
    run.receive(EventSent(event=C(n=1), carry=CARRY, at=0.0, cause=held))  # in the fork of a step at work
    sent(run, C(n=2))
    run.receive(StepReturned(delivery=held, value=None, at=0.0))
    for again in (run, restarted(run, 0.0)[0]):
        (pair,) = sent(again, Outer(n=3))
        assert pair.event.events == (C(n=2), Outer(n=3))


def whole_fork() -> tuple[dict[str, Any], Kept]:
    run, _ = in_a_fork()
    kept = Kept()
    return written(run, 0.0, kept), kept


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda forks: forks.update(open=3), "forks.open: this should be a list, and is 3"),
        (
            lambda forks: forks["open"][0].update(sent=-1),
            "forks.open[0].sent: this should be a whole number from 0 to 2147483648, and is -1",
        ),
        (
            lambda forks: forks["open"][0].update(may={"join": -1}),
            "forks.open[0].may.join: this should be a whole number from 0 to 2147483648, and is -1",
        ),
        (
            lambda forks: forks["open"][0]["arrived"]["join"][0].__setitem__(0, -1),
            "forks.open[0].arrived.join[0][0]: this should be a whole number from 0 to 2147483648, and is -1",
        ),
        (lambda forks: forks.pop("loose"), "forks: 'loose' is missing"),
        (
            lambda forks: forks["open"][0].update(around=0),
            "forks.open[0].around: this fork is within itself",
        ),
        (
            lambda forks: forks["open"][0].update(won="work"),
            "forks.open[0].won: Flow.work (flow.py:20) joins nothing",
        ),
        (
            lambda forks: forks["open"][0].update(may={"work": 1}),
            "forks.open[0].may.work: Flow.work (flow.py:20) joins nothing",
        ),
        (
            lambda forks: forks["open"][0]["arrived"].update(pair=[[1, 0, 0]]),
            "forks.open[0].arrived.pair[0][2]: Flow.pair (flow.py:40) does not take ",
        ),
        (
            lambda forks: forks["branches"][0].__setitem__(0, 7),
            "forks.branches[0][0]: this should be a whole number from 0 to 1, and is 7",
        ),
        (
            lambda forks: forks["branches"][0].__setitem__(1, 7),
            "forks.branches[0][1]: this should be a whole number from 0 to 0, and is 7",
        ),
        (
            lambda forks: forks.update(open=[]),
            "forks.branches[0][1]: this should be the number of a fork, of which there are none, and is 0",
        ),
    ],
)
def test_what_is_wrong_in_a_fork_is_told_with_its_path(change: Callable[[dict[str, Any]], object], says: str):
    data, kept = whole_fork()
    change(data["forks"])
    with pytest.raises(SnapshotError) as caught:
        read(data, kept, forking().plan, 0.0, 100)
    assert str(caught.value).startswith(says)


def test_forks_that_are_within_each_other_are_told():
    run, (one, _) = in_a_fork()
    run.receive(EventSent(event=B(n=1), carry=CARRY, at=0.0, cause=one))
    kept = Kept()
    data = written(run, 0.0, kept)
    outer, inner = data["forks"]["open"]
    assert (outer["around"], inner["around"]) == (None, 0)
    outer["around"] = 1
    with pytest.raises(SnapshotError) as caught:
        read(data, kept, forking().plan, 0.0, 100)
    assert str(caught.value).endswith(".around: this fork is within itself")


def test_a_run_of_a_workflow_that_had_no_joins_goes_on_outside_of_all_forks_and_can_be_written_again():
    data, kept = whole_fork()
    del data["forks"]
    run, effects = read(data, kept, forking().plan, 0.0, 100)
    started(effects)
    run, effects = restarted(run, 0.0)
    one, _ = started(effects)
    (join,) = started(run.receive(StepReturned(delivery=one, value=B(n=1), at=0.0)))
    assert [each.n for each in join.event.events] == [1]


def test_a_join_that_was_called_in_a_list_within_a_list_is_not_called_again_after_a_restart():
    run = Machine(
        plan(
            step("begin", accepts=(Numbered,), returns=(A,), returns_list=True),
            step("work", index=1, returns=(B,), returns_list=True),
            step("join", index=2, accepts=(B,), join=All()),
        ),
        0.0,
        math.inf,
        100,
    )
    (begin,) = sent(run, Numbered())
    (work,) = started(run.receive(StepReturned(delivery=begin, value=[A()], at=0.0)))
    started(run.receive(StepReturned(delivery=work, value=[B(n=1)], at=0.0)))
    run, effects = restarted(run, 0.0)
    (join,) = started(effects)
    assert started(run.receive(StepReturned(delivery=join, value=None, at=0.0))) == []


def test_a_branch_without_a_delivery_is_told():
    data, kept = whole_fork()
    del data["active"]
    with pytest.raises(SnapshotError) as caught:
        read(data, kept, forking().plan, 0.0, 100)
    assert str(caught.value) == (
        "forks.branches[0][0]: this should be the number of a delivery, of which there are none, and is 0"
    )


def test_an_empty_row_is_as_good_as_none():
    data, kept = whole_fork()
    data["forks"]["loose"] = {"pair": []}
    run, _ = read(data, kept, forking().plan, 0.0, 100)
    assert dict(run.forks.loose) == {}


def test_a_join_is_given_what_it_takes():
    run, (one, three) = in_a_fork()
    run.receive(StepReturned(delivery=one, value=None, at=0.0))
    run.receive(StepReturned(delivery=three, value=None, at=0.0))
    kept = Kept()
    data = written(run, 0.0, kept)
    kept.things[data["active"][0]["joined"][0]] = A()
    with pytest.raises(SnapshotError) as caught:
        read(data, kept, run.plan, 0.0, 100)
    assert str(caught.value) == "active[0].joined[0]: Flow.join (flow.py:30) does not take A"


NUMBER: ContextVar[int | None] = ContextVar("number", default=None)


def on_behalf_of(number: int) -> Any:
    carry = copy_context()
    carry.run(NUMBER.set, number)
    return carry


def set_number(place: Place, carry: Context) -> None:
    carry.run(NUMBER.set, place.whole(0, 9))


def test_each_delivery_knows_after_a_restart_on_whose_behalf_it_is_handled():
    one = machine(step(limit=1))
    for carry in (on_behalf_of(1), on_behalf_of(2), copy_context()):
        one.receive(EventSent(event=A(), carry=carry, at=0.0, outside=True))
    kept = Kept()
    data = written(one, 0.0, kept, lambda carry: carry.get(NUMBER))
    assert [each.get("behalf") for each in (*data["active"], *data["queued"])] == [1, 2, None]

    other, effects = read(data, kept, one.plan, 0.0, 100, behalf=set_number)
    queued = [*started(effects), *(other.waiting[0] or ())]
    assert [each.carry.get(NUMBER) for each in queued] == [1, 2, None]
    alone, effects = read(data, kept, one.plan, 0.0, 100)  # who is alone works for nobody
    assert [each.carry.get(NUMBER) for each in (*started(effects), *alone.waiting[0])] == [None] * 3


def test_what_is_joined_after_a_restart_is_joined_on_behalf_of_whom_the_fork_was():
    run = forking()
    (begin,) = started(run.receive(EventSent(event=Numbered(), carry=on_behalf_of(3), at=0.0)))
    run.receive(StepReturned(delivery=begin, value=[A(n=1)], at=0.0))
    kept = Kept()
    data = written(run, 0.0, kept, lambda carry: carry.get(NUMBER))
    other, effects = read(data, kept, run.plan, 0.0, 100, behalf=set_number)
    (branch,) = started(effects)
    (join,) = started(other.receive(StepReturned(delivery=branch, value=B(n=1), at=0.0)))
    assert join.carry.get(NUMBER) == 3
