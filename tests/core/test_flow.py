"""What is held back, in the rare cases: lines that several runs stand in, ends in the wrong moment, restarts."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

import pytest

from stretto._core.effects import Abort, EndRun, Resume, Retry
from stretto._core.inputs import (
    Admitted,
    CancelAsked,
    Concluded,
    RetryDue,
    Roused,
    SendBegan,
    StepCancelled,
    WaitBegan,
    WaitCancelled,
    WaitTimedOut,
)
from stretto._core.machine import Machine
from stretto._core.past import Held as Held_
from stretto._core.permits import Permits
from stretto._core.places import Place
from stretto._core.policies import Overflow, Policies, Quiet, Singleton
from stretto._core.room import Sender
from stretto._core.snapshots import restore
from stretto._core.state import Delivery, Ended
from stretto._core.waiting import Waiter
from stretto.errors import QueueFullError, SnapshotError
from stretto.events import Event
from stretto.joins import All, First
from stretto.retry import RetryPolicy, fixed
from tests.core.flowing import Held, Loop, seats, tokens
from tests.core.plans import A, B, C, Outer, delivery, plan, step
from tests.core.restarts import Again, Kept, written


def number(event: Any) -> int:
    return int(event.n)


def parity(event: Any) -> int:
    return int(event.n) % 2


def paced(loop: Loop, rate: Permits, **options: Any) -> Held:
    """A run whose one step has a rate, and a step beside it."""
    policies = Policies(permits=(None,), **options)
    return loop.run(step(policies=policies), step("b", index=1, accepts=(B,)), sources={0: [rate]})


def single(loop: Loop, how: Singleton, **options: Any) -> Held:
    return loop.run(
        step(policies=Policies(singleton=how), **options), step("b", index=1, accepts=(B,)), sources={}
    )


class Unequal:
    """A key that has the hash of all others and cannot be compared with them."""

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        raise ArithmeticError


# -- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policies", "says"),
    [
        (Policies(permits=(lambda _: Unequal(),), names=("a token of Slow",)), "the key for a token of Slow"),
        (Policies(permits=(lambda _: Unequal(),)), "key="),
        (Policies(key=lambda _: Unequal(), singleton=Singleton.REFUSE), "key="),
        (Policies(key=lambda _: Unequal(), quiet=Quiet(seconds=1)), "key="),
        (Policies(key=lambda _: Unequal(), overflow=Overflow.LATEST), "key="),
    ],
)
def test_a_key_that_cannot_be_compared_is_told_as_one_that_raises(policies: Policies, says: str):
    loop = Loop()
    run = loop.run(step(policies=policies, limit=1), sources={0: [tokens(1.0)] * len(policies.permits)})
    for n in range(3):
        run.send(A(n=n))
    error = run.machine.error()
    assert isinstance(error, ArithmeticError)
    assert error.__notes__[0].startswith(f"raised by {says} of Flow.work (flow.py:10), asked about A(n=")
    assert run.machine.ended is Ended.FAILED


def test_a_key_that_cannot_be_compared_when_it_is_quiet_is_told_then():
    loop = Loop()
    policies = Policies(permits=(lambda _: Unequal(),), key=number, quiet=Quiet(seconds=1))
    run = loop.run(step(policies=policies), sources={0: [tokens(1.0)]})
    run.send(A(n=0))
    run.send(A(n=1))
    assert run.machine.ended is None
    loop.advance(1)
    assert run.ns() == [(1, 0)]
    assert isinstance(run.machine.error(), ArithmeticError)
    assert [letter.event for letter in run.machine.dead_letters or ()] == [A(n=1)]
    assert [*run.machine.leftovers()] == []
    assert run.machine.flows is not None
    assert run.machine.flows.waiting == 0


# -- lines ---------------------------------------------------------------------------------------------------------


def test_who_comes_when_the_token_does_stands_behind_who_waits():
    loop, rate = Loop(), tokens(1.0)
    first, second = paced(loop, rate), paced(loop, rate)
    first.send(A(n=0))
    first.send(A(n=1))
    loop.now = 1.0  # the timer is late
    second.send(A(n=2))
    assert [event.n for event in second.waiting] == [2]
    loop.advance(0)
    loop.advance(1)
    assert first.ns() == [(0, 0), (1, 1)]
    assert second.ns() == [(2, 2)]


def test_a_run_that_is_over_leaves_the_line_at_once_although_it_still_cleans_up():
    loop, rate = Loop(), tokens(1.0)
    first, second = paced(loop, rate), paced(loop, rate)
    first.send(A(n=0))
    first.send(A(n=1))
    second.send(A(n=2))
    first.perform(first.machine.receive(CancelAsked(why="by a test")))
    loop.advance(1)
    assert second.ns() == [(1, 2)]
    first.perform(first.machine.receive(Concluded()))
    assert [*first.machine.leftovers()] == [A(n=1)]
    loop.advance(9)
    rate.let_go(rate.of("another", loop.now), loop.now)
    assert len(rate) == 0, "neither uses it any more"


def test_seats_are_given_back_by_a_step_that_was_cancelled_when_its_run_is_concluded():
    loop, limit = Loop(), seats(1)
    first, second = paced(loop, limit), paced(loop, limit)
    first.send(A(n=0))
    second.send(A(n=1))
    (at_work,) = first.at_work
    first.perform(first.machine.receive(CancelAsked(why="by a test")))
    first.perform(first.machine.receive(StepCancelled(delivery=at_work)))
    assert not second.begun
    first.perform(first.machine.receive(Concluded()))
    assert second.ns() == [(0, 1)]
    assert len(limit) == 1


def test_a_run_that_was_roused_when_it_waits_no_more_does_nothing():
    loop, limit = Loop(), seats(1)
    run = paced(loop, limit)
    run.send(A(n=0))
    run.send(A(n=1))
    assert run.machine.flows is not None
    lane = next(iter(limit.by_key.values())).first()
    assert lane is not None
    run.ends(run.at_work[0])
    assert run.ns() == [(0, 0), (0, 1)]
    run.perform(run.machine.receive(Roused(lane=lane, at=0.0)))
    assert len(run.begun) == 2


def test_without_policies_nothing_is_roused():
    loop, limit = Loop(), seats(1)
    run = paced(loop, limit)
    run.send(A())
    run.send(A())
    lane = next(iter(limit.by_key.values())).first()
    assert lane is not None
    other = Machine(plan(step()), 0.0, 10.0, 100)
    assert [*other.receive(Roused(lane=lane, at=0.0))] == []


def test_a_permit_is_kept_until_it_is_as_good_as_new():
    loop, rate = Loop(), tokens(1.0, 2)
    policies = Policies(permits=(number,))
    run = loop.run(step(policies=policies, limit=9), sources={0: [rate]})
    for n in (0, 0, 0, 1):
        run.send(A(n=n))
    assert run.ns() == [(0, 0), (0, 0), (0, 1)]
    loop.advance(1)
    run.send(A(n=2))
    assert run.ns()[3:] == [(1, 0), (1, 2)]
    assert set(rate.by_key) == {0, 2}
    loop.advance(1)
    run.send(A(n=0))
    assert run.ns()[5:] == [(2, 0)]


def test_a_permit_that_was_used_again_is_kept_until_it_is_as_good_as_new_after_that():
    rate = tokens(10.0, 2)
    for at in (0.0, 5.0):
        permit = rate.of("host", at)
        permit.take(at)
        rate.let_go(permit, at)
    rate.of("another", 12.0)
    assert rate.by_key.get("host") is permit
    rate.of("another", 20.0)
    assert set(rate.by_key) == {"another"}


def test_a_permit_that_is_as_good_as_new_when_it_is_let_go_is_dropped_once():
    rate = tokens(10.0, 2)
    permit = rate.of("host", 0.0)
    permit.take(0.0)
    rate.let_go(permit, 0.0)
    rate.let_go(rate.of("host", 5.0), 15.0)
    assert not rate.by_key
    rate.of("another", 16.0)
    assert set(rate.by_key) == {"another"}


def test_a_timer_that_was_asked_for_is_not_asked_for_again_and_an_earlier_one_is():
    loop, rate, fast = Loop(), tokens(4.0), tokens(1.0)
    policies = Policies(permits=(None,))
    run = loop.run(
        step(policies=policies),
        step("b", index=1, accepts=(B,), policies=policies),
        sources={0: [rate], 1: [fast]},
    )
    for event in (A(n=0), A(n=1), A(n=2), B(n=0), B(n=1)):
        run.send(event)
    assert [at for at, *_ in sorted(loop.timers)] == [1.0, 4.0]
    loop.advance(8)
    assert [at for at, _ in run.ns()] == [0, 0, 1, 4, 8]


def test_past_the_deadline_it_is_told_what_is_held_back_by_what():
    policies = Policies(permits=(parity,), names=("a token of Slow",), singleton=Singleton.CANCEL, key=number)
    machine = Machine(
        plan(
            step(policies=policies),
            step("b", index=1, accepts=(B,), policies=Policies(quiet=Quiet(seconds=9))),
            step("c", index=2, accepts=(C,), limit=1, policies=Policies()),
        ),
        0.0,
        2.0,
        100,
    )
    machine.hold_back({0: [tokens(5.0)]}, lambda _: None)
    for event in (A(n=0), A(n=1), A(n=2), A(n=3), A(n=1), B(), C(), C()):
        for effect in machine.event_sent(event, copy_context(), at=0.0):
            if isinstance(effect, Delivery):
                effect.started = 0.0
    machine.receive(RetryDue(at=2.0))
    assert str(machine.error()).partition("queued: ")[2] == (
        "3 for Flow.work (flow.py:10) (waiting for a token of Slow), 1 for Flow.b (flow.py:20) (waiting for quiet), "
        "1 for Flow.c (flow.py:30)"
    )


def test_past_the_deadline_nothing_begins():
    run = Machine(plan(step(policies=Policies(permits=(None,)))), 0.0, 2.0, 100)
    run.hold_back({0: [tokens(2.0)]}, lambda _: None)
    for _ in range(2):
        run.event_sent(A(), copy_context(), at=0.0)
    assert [type(each) for each in run.receive(RetryDue(at=2.0))] == [EndRun]
    assert run.ended is Ended.TIMED_OUT


def test_before_it_has_its_turn_a_run_begins_nothing_and_takes_nothing():
    loop, rate, limit = Loop(), tokens(1.0), seats(1)
    run = loop.run(step(policies=Policies(permits=(None, None))), sources={0: [limit, rate]})
    run.machine.await_turn()
    run.send(A(n=0))
    run.send(A(n=1))
    other = paced(loop, limit)
    other.send(A(n=7))
    loop.advance(3)
    assert run.begun == []
    assert other.ns() == [(0, 7)]
    other.ends(other.at_work[0])
    run.perform(run.machine.receive(Admitted(at=3.0)))
    assert run.ns() == [(3, 0)]


def test_a_run_without_policies_awaits_its_turn_as_ever():
    machine = Machine(plan(step()), 0.0, 10.0, 100)
    machine.await_turn()
    machine.receive(Admitted(at=3.0))
    assert machine.deadline == 13.0


# -- workers -------------------------------------------------------------------------------------------------------


def test_who_waits_in_its_middle_keeps_its_seat_and_goes_on_before_anything_begins():
    loop, limit = Loop(), seats(2)
    run = loop.run(step(limit=1, policies=Policies(permits=(None,))), sources={0: [limit]})
    for n in range(4):
        run.send(A(n=n))
    (first,) = run.at_work
    waiter = Waiter(delivery=first, kind=C, wake=lambda: None)
    run.perform(run.machine.receive(WaitBegan(waiter=waiter, parks=True, at=0.0)))
    assert [n for _, n in run.ns()] == [0, 1]
    second = run.at_work[0]
    run.perform(run.machine.receive(WaitTimedOut(waiter=waiter)))
    assert waiter in run.machine.in_queues()
    run.ends(second)
    assert run.effects == [Resume(waiter=waiter)]
    assert [n for _, n in run.ns()] == [0, 1]
    run.ends(first)
    assert [n for _, n in run.ns()] == [0, 1, 2]


def test_a_wait_that_is_cancelled_while_it_waits_for_a_worker_goes_on_without():
    loop = Loop()
    run = loop.run(step(limit=1, policies=Policies(permits=(None,))), sources={0: [tokens(1.0, 4)]})
    run.send(A(n=0))
    run.send(A(n=1))
    first = run.at_work[0]
    waiter = Waiter(delivery=first, kind=C, wake=lambda: None)
    run.perform(run.machine.receive(WaitBegan(waiter=waiter, parks=True, at=0.0)))
    run.perform(run.machine.receive(WaitTimedOut(waiter=waiter)))
    run.perform(run.machine.receive(WaitCancelled(waiter=waiter)))
    assert [each.event for each in run.at_work] == [A(n=1), A(n=0)]
    assert [*run.machine.in_queues()] == []


def test_a_called_lane_without_a_worker_lets_the_next_one_go():
    loop, rate = Loop(), tokens(1.0)
    busy, free = paced(loop, rate), paced(loop, rate)
    for n in range(6):
        busy.send(A(n=n))
    free.send(A(n=9))
    loop.advance(3)
    assert [n for _, n in busy.ns()] == [0, 1, 2]
    assert [n for _, n in free.ns()] == [9]
    loop.advance(3)
    assert [at for at, _ in busy.ns()] == [0, 1, 3, 4], "its four workers are busy"
    busy.ends(busy.at_work[0])
    assert [at for at, _ in busy.ns()][4:] == [6], "the token of the fifth second is there"


def test_what_a_step_held_back_and_sends_too_late_is_held_back_all_the_same():
    loop, rate = Loop(), tokens(1.0)
    run = loop.run(
        step(policies=Policies(permits=(None,))),
        step("b", index=1, accepts=(B,), holds=True),
        sources={0: [rate]},
    )
    run.send(B())
    (late,) = run.at_work
    run.ends(late)
    for n in range(2):
        run.perform(run.machine.hold(late, Held_(A(n=n), copy_context(), None), loop.now))
    loop.advance(1)
    assert [(at, n) for at, n in run.ns() if n or at] == [(1, 1)]


def test_who_waits_for_room_that_time_will_make_is_not_refused():
    machine = Machine(
        plan(step(policies=Policies(permits=(None,), size=1)), step("b", index=1, accepts=(B,))),
        0.0,
        99.0,
        100,
    )
    machine.bound(float("inf"))
    machine.hold_back({0: [tokens(1.0)]}, lambda _: None)
    carry = copy_context()
    (sends,) = machine.event_sent(B(), carry, at=0.0)
    assert isinstance(sends, Delivery)
    (first, *_) = machine.event_sent(A(n=0), carry, at=0.0, cause=sends)
    machine.event_sent(A(n=1), carry, at=0.0, cause=sends)
    assert isinstance(first, Delivery)
    who = Sender(sends, A(n=2), None, carry=carry, wake=lambda: None, parks=True)
    assert [*machine.receive(SendBegan(sender=who))] == []
    assert [*machine.step_returned(first, None, 0.5)] == []
    assert who.error is None
    effects = [*machine.receive(RetryDue(at=1.0))]
    assert Resume(waiter=who) in effects


def test_who_pauses_before_another_attempt_has_no_seat_and_waits_for_one_again():
    loop, limit = Loop(), seats(1)
    run = loop.run(
        step(policies=Policies(permits=(None,)), retry=RetryPolicy(attempts=2, wait=fixed(5))),
        sources={0: [limit]},
    )
    run.send(A(n=0))
    run.send(A(n=1))
    run.fails(run.at_work[0], ValueError())
    assert run.ns() == [(0, 0), (0, 1)]
    loop.advance(6)
    assert len(run.begun) == 2
    run.ends(run.at_work[0])
    assert run.ns()[2:] == [(6, 0)]
    run.ends(run.at_work[0])
    assert len(limit) == 0


# -- what is dropped -----------------------------------------------------------------------------------------------


def test_the_oldest_of_all_lanes_is_dropped():
    loop = Loop()
    policies = Policies(permits=(number,), size=2, overflow=Overflow.DROP_OLDEST)
    run = loop.run(step(policies=policies), sources={0: [tokens(9.0)]})
    for n in (0, 0, 1, 1, 0, 1):
        run.send(A(n=n))
    assert [n for _, n in run.ns()] == [0, 1]
    assert [event.n for event in run.waiting] == [0, 1]
    assert [n for n, _ in run.reasons()] == [0, 1]
    assert run.machine.counts().taken[A, "work"] == 4
    assert run.machine.counts().begun["work"] == 2


def test_a_drop_that_takes_the_first_of_a_line_calls_the_next_one():
    loop, rate = Loop(), tokens(1.0)
    policies = Policies(permits=(None, number), size=1, overflow=Overflow.DROP_OLDEST)
    first = loop.run(step(policies=policies), sources={0: [rate, tokens(1.0)]})
    second = paced(loop, rate)
    first.send(A(n=0))
    first.send(A(n=1))
    second.send(A(n=7))
    first.send(A(n=2))
    assert [n for n, _ in first.reasons()] == [1]
    loop.advance(2)
    assert second.ns() == [(1, 7)]
    assert first.ns() == [(0, 0), (2, 2)]


def test_a_run_of_which_the_last_was_dropped_is_stuck():
    policies = Policies(priority=lambda event: 1 // number(event))
    loop = Loop()
    run = loop.run(step(policies=policies), step("b", index=1, accepts=(B,)), sources={}, fed=False)
    run.send(B())
    run.send(A(n=0), cause=run.at_work[0])
    assert run.machine.ended is Ended.FAILED
    assert isinstance(run.machine.error(), ZeroDivisionError)
    assert run.reasons()[0][1].endswith("could not tell its key, or its priority")


def test_the_latest_takes_the_place_of_one_that_could_begin_at_this_very_moment():
    loop = Loop()
    policies = Policies(permits=(None,), overflow=Overflow.LATEST, key=parity, size=1)
    run = loop.run(step(policies=policies), sources={0: [tokens(1.0)]})
    run.send(A(n=0))
    run.send(A(n=2))
    loop.now = 1.0
    run.send(A(n=4))
    assert [n for _, n in run.ns()] == [0, 4]
    run.send(A(n=1))
    run.send(A(n=6))
    assert [event.n for event in run.waiting] == [6]
    assert [(n, reason.startswith("superseded")) for n, reason in run.reasons()] == [(2, True), (1, False)]


def test_the_room_of_a_run_counts_what_is_held_back():
    loop = Loop()
    policies = Policies(permits=(None,), size=3, overflow=Overflow.DROP_NEWEST)
    machine = Machine(
        plan(step(policies=policies), step("b", index=1, accepts=(B,), limit=1)), 0.0, 99.0, 100
    )
    machine.bound(2)
    machine.hold_back({0: [tokens(1.0)]}, lambda _: None)
    carry = copy_context()
    for n in range(3):
        machine.event_sent(A(n=n), carry, at=0.0)
    assert machine.room is not None
    assert machine.room.queued == 2
    with pytest.raises(QueueFullError, match=r"2 queued, queue_size=2"):
        machine.event_sent(A(n=3), carry, at=0.0)
    machine.receive(RetryDue(at=1.0))
    assert machine.room.queued == 1
    who = Sender(None, A(n=4), None, carry=carry, wake=lambda: None, parks=False)
    assert [*machine.receive(SendBegan(sender=who))] == [Resume(waiter=who)]
    assert machine.room.queued == 2
    assert loop.now == 0


def test_a_sender_that_waits_is_let_in_and_what_it_starts_begins():
    machine = Machine(
        plan(step(limit=1, policies=Policies(size=1)), step("b", index=1, accepts=(B,))), 0.0, 99.0, 100
    )
    machine.bound(float("inf"))
    machine.hold_back({}, lambda _: None)
    carry = copy_context()
    (first,) = machine.event_sent(A(n=0), carry, at=0.0)
    machine.event_sent(A(n=1), carry, at=0.0)
    assert len(machine.event_sent(B(), carry, at=0.0)) == 1
    with pytest.raises(QueueFullError, match=r"in the queue of Flow\.work \(flow\.py:10\) \(queue_size=1\)"):
        machine.event_sent(A(n=2), carry, at=0.0)
    who = Sender(None, A(n=2), None, carry=carry, wake=lambda: None, parks=False)
    assert [*machine.receive(SendBegan(sender=who))] == []
    assert isinstance(first, Delivery)
    effects = [*machine.step_returned(first, None, 1.0)]
    assert [type(each) for each in effects] == [Delivery, Resume]


# -- one at a time -------------------------------------------------------------------------------------------------


def test_a_singleton_that_was_to_be_tried_again_is_dropped():
    loop = Loop()
    run = single(loop, Singleton.CANCEL, retry=RetryPolicy(attempts=2, wait=fixed(5)))
    run.send(A(n=0))
    run.fails(run.at_work[0], ValueError())
    run.send(A(n=1))
    assert run.reasons()[0][0] == 0
    assert [each.event for each in run.at_work] == [A(n=1)]
    loop.advance(10)
    assert len(run.begun) == 2


def test_one_that_is_tried_again_keeps_its_place_and_later_ones_are_refused():
    loop = Loop()
    run = single(loop, Singleton.REFUSE, retry=RetryPolicy(attempts=2, wait=fixed(5)))
    run.send(A(n=0))
    run.fails(run.at_work[0], ValueError())
    run.send(A(n=1))
    loop.advance(5)
    assert run.ns() == [(0, 0), (5, 0)]
    run.ends(run.at_work[0])
    run.send(A(n=2))
    assert [n for _, n in run.ns()] == [0, 0, 2]
    assert [n for n, _ in run.reasons()] == [1]


def test_a_singleton_is_dropped_before_its_third_attempt_and_was_begun_once():
    loop = Loop()
    run = single(loop, Singleton.CANCEL, retry=RetryPolicy(attempts=3, wait=fixed(5)))
    run.send(A(n=0))
    run.fails(run.at_work[0], ValueError())
    loop.advance(5)
    run.fails(run.at_work[0], ValueError())
    run.send(A(n=1))
    assert run.machine.counts().begun["work"] == 2


def test_one_that_is_ready_and_has_not_begun_is_superseded_and_never_was_begun():
    machine = Machine(plan(step(policies=Policies(singleton=Singleton.CANCEL))), 0.0, 99.0, 100)
    machine.hold_back({}, lambda _: None)
    (first,) = machine.event_sent(A(n=0), copy_context(), at=0.0)
    _, abort = machine.event_sent(A(n=1), copy_context(), at=0.0)
    assert abort == Abort(delivery=first)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # type: ignore[arg-type]
    assert machine.counts().begun["work"] == 0
    assert isinstance(first, Delivery)
    first.started = 0.0
    assert [each.event for each in machine.step_returned(first, None, 0.0) if isinstance(each, Delivery)] == [
        A(n=1)
    ]


def test_the_superseded_is_cancelled_once_and_what_it_returns_is_a_dead_letter():
    loop = Loop()
    run = single(loop, Singleton.CANCEL, returns=(B,))
    for n in range(3):
        run.send(A(n=n))
    (old,) = run.at_work
    assert run.effects == [Abort(delivery=old)]
    assert run.machine.is_lost(old)
    run.send(B(n=7), cause=old)
    run.ends(old, B(n=8))
    assert not run.machine.is_lost(old)
    assert [n for n, _ in run.reasons()] == [0, 1, 7, 8]
    assert [n for _, n in run.ns()] == [0, 2]


def test_a_superseded_one_that_fails_all_the_same_fails_the_run():
    loop = Loop()
    run = single(loop, Singleton.CANCEL)
    run.send(A(n=0))
    run.send(A(n=1))
    run.fails(run.at_work[0], ValueError("in its clean-up"))
    assert run.machine.ended is Ended.FAILED
    assert [*run.machine.leftovers()] == [A(n=1)]


def test_a_race_takes_what_is_held_back_out_of_its_queue():
    loop = Loop()
    policies = Policies(permits=(None,), quiet=None)
    run = loop.run(
        step(accepts=(A,), returns=(B,), policies=policies),
        step("join", index=1, accepts=(B,), join=First(1)),
        step("begin", index=2, accepts=(C,), returns=(A,), returns_list=True),
        sources={0: [tokens(9.0)]},
    )
    run.send(C())
    run.ends(run.at_work[0], [A(n=0), A(n=1), A(n=2)])
    first = next(each for each in run.at_work if each.step.name == "work")
    run.ends(first, B(n=5))
    assert run.waiting == []
    assert [n for n, _ in run.reasons()] == [1, 2]
    assert [each.step.name for _, each in run.begun][-1] == "join"


def test_a_race_takes_what_waits_for_quiet_or_for_another_attempt_too():
    loop = Loop()
    run = loop.run(
        step(accepts=(A,), returns=(B,), policies=Policies(quiet=Quiet(seconds=5), key=number)),
        step("join", index=1, accepts=(B,), join=First(1)),
        step("begin", index=2, accepts=(C,), returns=(A, B), returns_list=True),
        step("flaky", index=3, accepts=(A,), retry=RetryPolicy(wait=fixed(9)), policies=Policies(permits=())),
        sources={},
    )
    run.send(C())
    run.ends(run.at_work[0], [A(n=0), A(n=1)])
    flaky = run.at_work[0]
    run.fails(flaky, ValueError())
    assert len(run.waiting) == 2
    loop.advance(5)
    first = next(each for each in run.at_work if each.step.name == "work")
    run.ends(first, B(n=5))
    assert run.machine.retrying is not None
    assert len(run.machine.retrying) == 0


def test_a_race_that_is_won_elsewhere_takes_what_waits_for_quiet():
    loop = Loop()
    run = loop.run(
        step(accepts=(A,), returns=(B,), policies=Policies(quiet=Quiet(seconds=5), key=number)),
        step("join", index=1, accepts=(B,), join=First(1)),
        step("begin", index=2, accepts=(C,), returns=(A, B), returns_list=True),
        sources={},
    )
    run.send(C())
    run.ends(run.at_work[0], [A(n=0), A(n=1), B(n=9)])
    assert run.waiting == []
    assert [n for n, _ in run.reasons()] == [0, 1]
    loop.advance(9)
    assert [each.step.name for _, each in run.begun] == ["begin", "join"]


def test_a_race_that_is_won_elsewhere_cancels_what_waits_in_its_middle():
    loop = Loop()
    run = loop.run(
        step(accepts=(A,), returns=(B,), policies=Policies(quiet=Quiet(seconds=1))),
        step("join", index=1, accepts=(B,), join=First(1)),
        step("begin", index=2, accepts=(C,), returns=(A, Outer), returns_list=True),
        step("other", index=3, accepts=(Outer,), returns=(B,)),
        sources={},
        fed=False,
    )
    run.send(C())
    run.ends(run.at_work[0], [A(n=0), Outer()])
    loop.advance(1)
    other, waits = sorted(run.at_work, key=lambda each: each.step.name)
    waiter = Waiter(delivery=waits, kind=C, wake=lambda: None)
    run.perform(run.machine.receive(WaitBegan(waiter=waiter, parks=True, at=1.0)))
    run.ends(other, B(n=9))
    assert run.effects == [Abort(delivery=waits)]


def test_a_branch_that_is_dropped_closes_its_fork():
    loop = Loop()
    run = loop.run(
        step(accepts=(A,), returns=(B,), limit=1, policies=Policies(size=1, overflow=Overflow.DROP_NEWEST)),
        step("join", index=1, accepts=(B,), join=All()),
        step("begin", index=2, accepts=(C,), returns=(A,), returns_list=True),
        sources={},
    )
    run.send(C())
    run.ends(run.at_work[0], [A(n=n) for n in range(4)])
    for _ in range(2):
        run.ends(run.at_work[0], B())
    assert [each.step.name for _, each in run.begun] == ["begin", "work", "work", "join"]


@pytest.mark.parametrize("priority", ["high", None, float("nan")])
def test_a_priority_is_a_number(priority: Any):
    loop = Loop()
    run = loop.run(step(policies=Policies(priority=lambda _: priority)), sources={})
    run.send(A())
    assert isinstance(run.machine.error(), TypeError)


# -- quiet ---------------------------------------------------------------------------------------------------------


def test_what_waits_for_quiet_can_be_withdrawn_and_ends_with_its_run():
    loop = Loop()
    run = loop.run(step(policies=Policies(quiet=Quiet(seconds=1, at_most=2), key=parity)), sources={})
    for n in range(4):
        run.send(A(n=n))
    assert run.machine.flows is not None
    assert run.machine.flows.waiting == 2
    assert run.machine.counts().begun["work"] == 0
    run.perform(run.machine.receive(CancelAsked(why="by a test")))
    assert [*run.machine.leftovers()] == [A(n=2), A(n=3)]


# -- restarts ------------------------------------------------------------------------------------------------------


def again(run: Held, at: float, sources: dict[int, list[Permits]]) -> tuple[Machine, list[Any]]:
    """The run goes on in another process, whose clock stands elsewhere."""
    kept = Kept()
    data = written(run.machine, run.loop.now, kept)
    other = Machine(run.machine.plan, at, at, 100)
    other.hold_back(sources, lambda _: None)
    return other, restore(other, Place(data), at, Again(kept), copy_context())


def test_tokens_order_and_quiet_come_through_a_restart():
    loop = Loop()
    rate = Policies(permits=(parity,), priority=number)
    run = loop.run(
        step(policies=rate, limit=1),
        step("b", index=1, accepts=(B,), policies=Policies(quiet=Quiet(seconds=4, at_most=6), key=parity)),
        sources={0: [tokens(2.0)]},
    )
    for n in (0, 4, 2, 6):
        run.send(A(n=n))
    run.ends(run.at_work[0])
    run.send(B(n=1))
    loop.advance(1)
    run.send(B(n=3))
    other, effects = again(run, 100.0, {0: [fresh := tokens(2.0)]})
    assert [each.at for each in effects if isinstance(each, Retry)] == [101.0]
    assert fresh.by_key[0].free_at(100.0) == 101.0
    assert [event.event for event in other.in_queues() if isinstance(event, Delivery)] == [
        A(n=4), A(n=2), A(n=6), B(n=3)
    ]  # fmt: skip
    (first,) = [each for each in other.receive(RetryDue(at=101.0)) if isinstance(each, Delivery)]
    assert first.event == A(n=6)
    other.step_returned(first, None, 101.0)
    began = [
        each.event
        for each in other.event_sent(B(n=5), copy_context(), at=103.0)
        if isinstance(each, Delivery)
    ]
    assert began == [A(n=4)]
    assert [each for each in other.receive(RetryDue(at=104.0)) if isinstance(each, Delivery)] == []
    began = [each.event for each in other.receive(RetryDue(at=105.0)) if isinstance(each, Delivery)]
    assert B(n=5) in began, "six seconds after the first that has not been handled"


def test_a_singleton_comes_through_a_restart_and_what_was_superseded_does_not():
    loop = Loop()
    run = single(loop, Singleton.CANCEL, retry=RetryPolicy(attempts=2, wait=fixed(5)))
    run.send(A(n=0))
    run.send(A(n=1))
    other, effects = again(run, 100.0, {})
    assert [each.event for each in effects if isinstance(each, Delivery)] == [A(n=1)]
    run.ends(run.at_work[0])
    run.fails(run.at_work[0], ValueError())
    other, effects = again(run, 100.0, {})
    other.event_sent(A(n=2), copy_context(), at=100.0)
    assert other.dead_letters is not None
    assert [letter.event for letter in other.dead_letters][-1] == A(n=1)
    assert [each.event for each in other.active] == [A(n=2)]


def test_a_class_without_the_policies_of_a_snapshot_goes_on_all_the_same():
    loop = Loop()
    run = loop.run(
        step(policies=Policies(permits=(None, None), quiet=Quiet(seconds=5))),
        sources={0: [tokens(2.0), tokens(3.0)]},
    )
    run.send(A(n=0))
    loop.advance(5)
    run.send(A(n=1))
    kept = Kept()
    data = written(run.machine, loop.now, kept)
    assert len(data["rates"]) == 2
    plain = Machine(plan(step(), step("outside", index=1, accepts=(B,))), 0.0, 0.0, 100)
    effects = restore(plain, Place(data), 7.0, Again(kept), copy_context())
    assert [each.event for each in effects if isinstance(each, Delivery)] == [A(n=0), A(n=1)]
    fewer = Machine(plan(step(policies=Policies(permits=(None,)))), 0.0, 0.0, 100)
    fewer.hold_back({0: [seats(1)]}, lambda _: None)
    effects = restore(fewer, Place(data), 7.0, Again(kept), copy_context())
    assert [each.event for each in effects if isinstance(each, Delivery)] == [A(n=0)]
    assert [each.event for each in fewer.in_queues() if isinstance(each, Delivery)] == [A(n=1)]


def test_a_key_of_a_bucket_in_a_snapshot_can_be_hashed():
    loop = Loop()
    run = loop.run(step(policies=Policies(permits=(number,))), sources={0: [tokens(2.0)]})
    run.send(A(n=0))
    kept = Kept()
    data = written(run.machine, 0.0, kept)
    kept.things[data["rates"][0][2]] = []
    other = Machine(run.machine.plan, 0.0, 0.0, 100)
    other.hold_back({0: [tokens(2.0)]}, lambda _: None)
    with pytest.raises(SnapshotError, match=r"rates\[0\]\[2\]: this should be something that can be hashed"):
        restore(other, Place(data), 0.0, Again(kept), copy_context())


def test_a_key_that_fails_after_a_restart_fails_the_run():
    loop = Loop()
    fails = False

    def key(event: Event) -> int:
        if fails:
            raise ValueError("it fails now")
        return number(event)

    run = loop.run(
        step(
            policies=Policies(permits=(key,), quiet=Quiet(seconds=1), key=key),
            retry=RetryPolicy(wait=fixed(3)),
        ),
        sources={0: [tokens(2.0)]},
    )
    run.send(A(n=0))
    loop.advance(1)
    run.fails(run.at_work[0], ValueError())
    run.send(A(n=1))
    fails = True
    other, effects = again(run, 50.0, {0: [tokens(2.0)]})
    assert other.ended is Ended.FAILED
    assert EndRun() in effects
    assert str(other.error()) == "it fails now"


def test_what_is_sent_when_its_attempt_is_over_waits_for_quiet_from_that_moment_on():
    """It was put at the time of the input before, and began too soon."""
    loop = Loop()
    run = loop.run(step(accepts=(A,), policies=Policies(quiet=Quiet(seconds=1.0))), sources={})
    loop.advance(5)
    run.perform(run.machine.hold(delivery(step("gone")), Held_(A(n=1), copy_context(), None), loop.now))
    loop.advance(0.75)
    assert not run.begun
    loop.advance(0.5)
    assert run.ns() == [(6.0, 1)]
