"""Who gets an event that somebody waits for, and what the mailbox keeps: against models, without a machine."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given, strategies as st

from stretto._core.delivery import DeadLetter, Delivery
from stretto._core.effects import EndRun, Resume
from stretto._core.inputs import CancelAsked, Concluded, Ending, WaitBegan, WaitCancelled, WaitTimedOut
from stretto._core.machine import Machine
from stretto._core.past import Held
from stretto._core.plan import StepPlan
from stretto._core.reporting import came_instead
from stretto._core.waiting import Mail, Mailbox, Waiter, Waiters
from stretto.errors import RunEndedError, WorkflowError
from stretto.events import Event, StopEvent
from tests.core.plans import A, B, Finish, SubA, delivery, ids, plan, step

KINDS = [A, B, SubA]
CARRY = copy_context()


def waiter(
    kind: type[Event] = A,
    requirements: dict[str, object] | None = None,
    where: Callable[[Any], object] | None = None,
) -> Waiter:
    return Waiter(
        delivery=delivery(step()), kind=kind, requirements=requirements, where=where, wake=lambda: None
    )


events = st.builds(lambda kind, n: kind(n=n), st.sampled_from(KINDS), st.integers(0, 3))
waits = st.builds(
    lambda kind, n: waiter(kind, None if n is None else {"n": n}),
    st.sampled_from(KINDS),
    st.none() | st.integers(0, 3),
)


def fits(one: Waiter, event: Event) -> bool:
    """The model: exact type, and each required field equal."""
    required = one.requirements or {}
    return type(event) is one.kind and all(getattr(event, name) == value for name, value in required.items())


@given(st.lists(waits, max_size=8), st.lists(events, max_size=12))
def test_each_event_goes_to_the_first_whom_it_fits_and_to_nobody_else(
    waiting: list[Waiter], sent: list[Event]
):
    waiters, model = Waiters(), list(waiting)
    for one in waiting:
        waiters.add(one)
    for event in sent:
        wanted = next((one for one in model if fits(one, event)), None)
        got = waiters.offer(Mail(event, outside=False))
        assert got == ([] if wanted is None else [wanted])
        if wanted is not None:
            assert wanted.event is event
            model.remove(wanted)
        assert sorted(map(id, waiters)) == sorted(map(id, model))
        assert bool(waiters) == bool(model)


@given(st.lists(events, max_size=12), st.lists(waits, max_size=8), st.integers(0, 12))
def test_a_wait_takes_the_earliest_that_fits_and_what_is_put_back_is_the_first_again(
    sent: list[Event], waiting: list[Waiter], limit: int
):
    box = Mailbox(limit)
    mails = [Mail(event, outside=bool(number % 2)) for number, event in enumerate(sent)]
    model = mails[:limit]
    assert [box.put(mail) for mail in mails] == [at < limit for at in range(len(mails))]
    for number, one in enumerate(waiting):
        wanted = next((mail for mail in model if fits(one, mail.event)), None)
        assert box.claim(one) is wanted
        if wanted is not None and number % 2:
            box.put_back(wanted)
            assert box.claim(waiter(one.kind)) is wanted
        if wanted is not None:
            model.remove(wanted)
        assert len(box) == len(model)
        assert {type(mail.event) for mail in box} == {kind for kind in KINDS if kind in box}
    inside = [mail.event for mail in model if not mail.outside]
    assert sorted(ids([mail.event for mail in box.take_inside()])) == sorted(ids(inside))
    assert all(mail.outside for mail in box)
    assert len(box) == len([*box])


@pytest.mark.parametrize(
    ("requirements", "where"),
    [
        ({"m": 1}, None),
        ({"n": 1}, None),
        (None, lambda ev: ev.n == 1),
        (None, lambda ev: None),
        ({"n": 0}, lambda ev: 0),
    ],
)
def test_what_does_not_fit_is_not_taken(
    requirements: dict[str, object] | None, where: Callable[[Any], object] | None
):
    one = waiter(A, requirements, where)
    assert not one.fits(A(n=0))
    assert one.error is None


@pytest.mark.parametrize("where", [lambda ev: ev.n == 0, lambda ev: "yes", None])
def test_what_fits_is_taken(where: Callable[[Any], object] | None):
    assert waiter(A, {"n": 0}, where).fits(A(n=0))


class OddError(Exception):
    pass


class Odd:
    def __eq__(self, other: object) -> bool:
        raise OddError

    def __hash__(self) -> int:
        return 0


def fails(_: object) -> bool:
    raise OddError


@pytest.mark.parametrize(("requirements", "where"), [(None, fails), ({"n": Odd()}, None)])
def test_a_test_that_fails_is_its_own_waiters_error_and_the_next_is_asked(
    requirements: dict[str, object] | None, where: Callable[[Any], object] | None
):
    waiters, one, other = Waiters(), waiter(A, requirements, where), waiter(A)
    waiters.add(one)
    waiters.add(other)
    event = A()
    assert waiters.offer(Mail(event, outside=False)) == [one, other]
    assert isinstance(one.error, OddError)
    assert (one.event, other.event) == (None, event)
    assert not waiters


def test_a_test_that_fails_on_what_is_kept_leaves_it_there():
    box = Mailbox(9)
    box.put(Mail(A(), outside=False))
    one = waiter(A, None, fails)
    assert box.claim(one) is None
    assert isinstance(one.error, OddError)
    assert len(box) == 1


def test_who_asks_for_what_came_from_outside_is_not_given_what_a_step_sent():
    box = Mailbox(9)
    inside, outside = Mail(A(n=1), outside=False), Mail(A(n=2), outside=True)
    box.put(inside)
    assert box.claim(waiter(), from_outside=True) is None
    box.put(outside)
    assert box.claim(waiter(), from_outside=True) is outside
    assert [*box] == [inside]


def test_of_a_type_that_never_came_nothing_is_kept():
    box = Mailbox(9)
    box.put(Mail(A(), outside=False))
    box.pass_by(waiter(B, {"n": 1}))
    assert [*box.of_kind(B)] == []


def test_one_who_does_not_wait_cannot_be_taken_out():
    waiters, one = Waiters(), waiter()
    assert not waiters.discard(one)
    waiters.add(one)
    assert not waiters.discard(waiter())
    assert waiters.discard(one)
    assert not waiters.discard(one)


ODD: dict[str, object] = {"n": Odd()}


@pytest.mark.parametrize(
    ("requirements", "lacks"),
    [
        ({"n": 1}, "n=1, not 0"),
        ({"n": 0, "colour": "red"}, "colour='red', not None"),
        pytest.param(ODD, f"n={ODD['n']!r}, not 0", id="odd"),
        ({"n": 0}, "one of which its where= is true"),
        (None, "one of which its where= is true"),
    ],
)
def test_what_an_event_lacks_is_told_by_the_first_field_that_differs(
    requirements: dict[str, object] | None, lacks: str
):
    assert waiter(A, requirements, where=lambda _: False).wish.lacking(A()) == lacks


def waits_in_vain(*sent: Event, **options: Any) -> tuple[Machine, Waiter]:
    """A run whose step waits while its own step, or somebody outside, sends what does not fit."""
    run = Machine(plan(step(accepts=(B,))), 0.0, 9.0, 100)
    (one,) = run.event_sent(B(), CARRY, at=0.0)
    assert isinstance(one, Delivery)
    one.started = 0.0
    waits = Waiter(delivery=one, kind=A, wake=lambda: None, **options)
    run.receive(WaitBegan(waiter=waits, parks=False))
    for event in sent:
        run.event_sent(event, CARRY, at=0.0)
    return run, waits


NO_STEP = "no step of Flow takes exactly A"


@pytest.mark.parametrize("end", [WaitCancelled, WaitTimedOut])
def test_an_event_that_did_not_fit_a_wait_says_so_in_the_end(end: type[WaitCancelled | WaitTimedOut]):
    run, waits = waits_in_vain(A(n=2), requirements={"n": 1})
    run.receive(end(waiter=waits))
    run.event_sent(A(n=3), CARRY, at=0.0)
    assert [letter.reason for letter in run.receive(Concluded()) if isinstance(letter, DeadLetter)] == [
        f"{NO_STEP}, and Flow.work (flow.py:10) waited for n=1, not 2",
        f"{NO_STEP}, and nobody waited for it",
    ]


def test_an_event_that_somebody_else_takes_in_the_end_is_told_of_nobody():
    """A wait without conditions takes whatever comes; what it did not get came too late for it."""
    run, waits = waits_in_vain(SubA())
    run.receive(WaitTimedOut(waiter=waits))
    run.event_sent(A(), CARRY, at=0.0)
    run.receive(WaitCancelled(waiter=waits))
    letters = [each for each in run.receive(Concluded()) if isinstance(each, DeadLetter)]
    assert [each.reason.endswith(", and nobody waited for it") for each in letters] == [True, True]


def test_who_waited_in_vain_is_told_what_came_and_what_it_lacked():
    run, waits = waits_in_vain(A(n=2), A(n=3), requirements={"n": 1})
    assert came_instead(run, waits) == "", "it may still get them"
    run.receive(WaitTimedOut(waiter=waits))
    run.event_sent(A(n=4), CARRY, at=0.0)  # after it
    assert came_instead(run, waits) == (
        ": A(n=2) came, but it waited for n=1, not 2; A(n=3) came, but it waited for n=1, not 3"
    )
    assert came_instead(*waits_in_vain(requirements={"n": 1})) == ""


def test_who_still_waits_when_all_has_ended_is_told_so():
    run = Machine(plan(step()), 0.0, 9.0, 100)
    (one,) = run.event_sent(A(), delivery(step()).carry, at=0.0)
    waits = Waiter(delivery=one, kind=B, wake=lambda: None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run.receive(WaitBegan(waiter=waits, parks=False))
    (resumed,) = run.receive(Concluded())
    assert resumed.waiter is waits  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(waits.error, RunEndedError)
    assert str(waits.error) == "the run of Flow is over, and nothing more comes for a wait"


def test_what_was_kept_and_given_is_kept_again_if_its_wait_is_cancelled():
    run = Machine(plan(step()), 0.0, 9.0, 100)
    (one,) = run.event_sent(A(), CARRY, at=0.0)
    event = B()
    run.event_sent(event, CARRY, at=0.0)
    waits = Waiter(delivery=delivery(step()), kind=B, wake=lambda: None)
    assert isinstance(one, Delivery)
    waits.delivery = one
    one.started = 0.0
    assert [type(effect) for effect in run.receive(WaitBegan(waiter=waits, parks=True))] == [Resume]
    assert waits.event is event
    run.receive(WaitCancelled(waiter=waits))
    assert waits.event is None
    assert ids([*run.leftovers()]) == [id(event)]


def test_who_is_cancelled_while_it_waits_for_a_worker_leaves_the_queue_and_its_event_behind():
    run = Machine(plan(step(limit=1)), 0.0, 9.0, 100)
    (one,) = run.event_sent(A(n=1), CARRY, at=0.0)
    assert isinstance(one, Delivery)
    one.started = 0.0
    waits = Waiter(delivery=one, kind=B, wake=lambda: None)
    run.receive(WaitBegan(waiter=waits, parks=True))
    (two,) = run.event_sent(A(n=2), CARRY, at=0.0)  # takes the worker
    assert isinstance(two, Delivery)
    event = B()
    assert [*run.event_sent(event, CARRY, at=0.0)] == []  # it is given, and stands in the queue
    run.receive(WaitCancelled(waiter=waits))
    assert one in run.active
    assert not run.waiting[0]
    assert [*run.step_returned(two, None, 0.0)] == []
    assert [*run.leftovers()] == [event]


def test_who_waits_for_a_worker_when_the_run_is_over_goes_on_without_one():
    run = Machine(plan(step(limit=1)), 0.0, 9.0, 100)
    (one,) = run.event_sent(A(n=1), CARRY, at=0.0)
    waits = Waiter(delivery=delivery(step()), kind=B, wake=lambda: None)
    waits.delivery = one  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    run.receive(WaitBegan(waiter=waits, parks=True))
    run.event_sent(A(n=2), CARRY, at=0.0)  # takes the worker
    run.event_sent(A(n=3), CARRY, at=0.0)  # stands in the queue
    assert [*run.event_sent(B(), CARRY, at=0.0)] == []
    run.receive(CancelAsked(why="by its handler"))
    (resumed,) = run.receive(Ending())
    assert isinstance(resumed, Resume)
    assert resumed.waiter is waits
    assert one in run.active
    assert [*run.receive(Ending())] == []


@pytest.mark.parametrize("stop", [StopEvent(), Finish()], ids=["plain", "of a class"])
def test_who_waits_for_the_worker_of_a_step_that_stops_the_run_goes_on(stop: StopEvent[object]):
    """Its worker goes to it as to any other, so nobody would tell it to go on later."""
    run = Machine(plan(step(limit=1, returns=(StopEvent,))), 0.0, 9.0, 100)
    (one,) = run.event_sent(A(n=1), CARRY, at=0.0)
    assert isinstance(one, Delivery)
    waits = Waiter(delivery=one, kind=B, wake=lambda: None)
    run.receive(WaitBegan(waiter=waits, parks=True))
    (two,) = run.event_sent(A(n=2), CARRY, at=0.0)  # takes the worker
    assert isinstance(two, Delivery)
    run.event_sent(B(), CARRY, at=0.0)
    assert waits.parked is True
    assert list(run.step_returned(two, stop, 0.0)) == [Resume(waiter=waits), EndRun()]
    assert waits.parked is False
    assert [*run.receive(Ending())] == []


def waiting(run: Machine, kind: type[Event], *, of: Event, parks: bool = False) -> Waiter:
    """A step that takes this event and waits for one of that kind."""
    (one,) = (each for each in run.event_sent(of, CARRY, "work", at=0.0) if isinstance(each, Delivery))
    one.started = 0.0
    waits = Waiter(delivery=one, kind=kind, wake=lambda: None)
    run.receive(WaitBegan(waiter=waits, parks=parks))
    return waits


def test_each_of_two_who_wait_is_given_one_and_the_next_goes_to_the_step_again():
    run = Machine(plan(step()), 0.0, 9.0, 100)
    first, second = waiting(run, A, of=A(n=1)), waiting(run, A, of=A(n=2))
    assert list(run.event_sent(A(n=3), CARRY, at=0.0)) == [Resume(waiter=first)]
    assert list(run.event_sent(A(n=4), CARRY, at=0.0)) == [Resume(waiter=second)]
    assert not run.detour, "nobody waits, so it goes the short way again"
    assert [type(each) for each in run.event_sent(A(n=5), CARRY, at=0.0)] == [Delivery]


def test_what_a_cancelled_wait_was_given_goes_to_the_next_who_waits():
    run = Machine(plan(step()), 0.0, 9.0, 100)
    first, second = waiting(run, B, of=A(n=1)), waiting(run, B, of=A(n=2))
    run.event_sent(B(n=3), CARRY, at=0.0)
    assert list(run.receive(WaitCancelled(waiter=first))) == [Resume(waiter=second)]
    assert second.event == B(n=3)


def test_who_is_cancelled_while_it_still_waits_leaves_the_queue_as_it_is():
    run = Machine(plan(step(limit=1)), 0.0, 9.0, 100)
    waits = waiting(run, B, of=A(n=1), parks=True)
    for number in (2, 3):
        run.event_sent(A(n=number), CARRY, "work", at=0.0)
    assert list(run.receive(WaitCancelled(waiter=waits))) == []
    assert [each.event for each in run.waiting[0] or ()] == [A(n=3)]
    assert [each.event for each in run.active] == [A(n=2), A(n=1)]


def test_a_wait_that_times_out_when_the_run_is_over_goes_on_without_a_worker():
    run = Machine(plan(step(limit=1)), 0.0, 9.0, 100)
    (one,) = run.event_sent(A(n=1), CARRY, at=0.0)
    assert isinstance(one, Delivery)
    waits = Waiter(delivery=one, kind=B, wake=lambda: None)
    run.receive(WaitBegan(waiter=waits, parks=True))
    run.event_sent(A(n=2), CARRY, at=0.0)  # takes the worker
    run.receive(CancelAsked(why="by its handler"))
    assert run.receive(WaitTimedOut(waiter=waits)) == [Resume(waiter=waits), EndRun()]
    assert one in run.active
    assert run.receive(WaitTimedOut(waiter=waits)) == ()
    assert [type(each) for each in run.event_sent(A(n=3), CARRY, at=0.0)] == [DeadLetter, EndRun]


def test_a_wait_that_has_timed_out_and_waits_for_a_worker_leaves_nothing_over():
    work = step(limit=1)
    run = Machine(plan(work), 0.0, 99.0, 5)
    (first,) = run.event_sent(A(), CARRY, at=0.0)
    second = A()
    run.event_sent(second, CARRY, at=0.0)
    assert isinstance(first, Delivery)
    first.started = 0.0
    waits = Waiter(delivery=first, kind=B, wake=lambda: None)
    (freed,) = run.receive(WaitBegan(waiter=waits, parks=True))
    assert isinstance(freed, Delivery)
    freed.started = 0.0
    assert run.receive(WaitTimedOut(waiter=waits)) == []
    assert [*run.leftovers()] == []


def holding(*steps: StepPlan) -> tuple[Machine, Delivery]:
    """A step at work whose sends are held back."""
    run = Machine(plan(step(accepts=(A,), holds=True), *steps), 0.0, float("inf"), 100)
    (work,) = run.event_sent(A(), CARRY, at=0.0)
    assert isinstance(work, Delivery)
    work.started = 0.0
    return run, work


def waits_in(run: Machine, work: Delivery, where: Callable[[Any], object] | None = None) -> Waiter:
    one = Waiter(delivery=work, kind=B, where=where, wake=lambda: None)
    run.receive(WaitBegan(waiter=one, parks=False))
    return one


@pytest.mark.parametrize("first", ["waits", "holds"])
@pytest.mark.parametrize("where", [None, fails])
def test_who_waits_for_what_it_holds_back_fails_at_once(first: str, where: Callable[[Any], object] | None):
    run, work = holding()
    held = Held(B(n=1), CARRY, None)
    if first == "holds":
        assert run.hold(work, held, 0.0) == ()
        one = waits_in(run, work, where)
    else:
        one = waits_in(run, work, where)
        assert list(run.hold(work, held, 0.0)) == [Resume(waiter=one)]
    assert type(one.error) is (WorkflowError if where is None else OddError)
    assert not run.waiters
    assert work.past is not None
    assert work.past.held == [held]


@pytest.mark.parametrize("first", ["waits", "holds"])
def test_what_it_holds_back_for_others_ends_no_wait(first: str):
    """For the stream, for a step by name, another type, another step's wait, what the wait does not fit."""
    run, work = holding()
    other = Waiter(delivery=delivery(step()), kind=B, wake=lambda: None)
    holds = [
        Held(B(), None, None),
        Held(A(), CARRY, "work"),
        Held(SubA(), CARRY, None),
        Held(B(), CARRY, None),
    ]
    if first == "waits":
        run.receive(WaitBegan(waiter=other, parks=False))
        one = waits_in(run, work, lambda ev: ev.n)
    for held in holds:
        assert run.hold(work, held, 0.0) == ()
    if first == "holds":
        one = waits_in(run, work, lambda ev: ev.n)
    assert one.error is None
    assert one in list(run.waiters or ())


@pytest.mark.parametrize("first", ["waits", "holds"])
@pytest.mark.parametrize("taken_by", ["a step", "another run"])
def test_what_goes_to_somebody_else_may_be_waited_for_while_another_is_held_back(first: str, taken_by: str):
    run, work = holding(*([step("b", index=1, accepts=(B,))] if taken_by == "a step" else []))
    if taken_by == "another run":
        run.ask_others_first(frozenset({B}))
    if first == "waits":
        one = waits_in(run, work)
    run.hold(work, Held(B(), CARRY, None), 0.0)
    if first == "holds":
        one = waits_in(run, work)
    assert one.error is None
    assert one in list(run.waiters or ())


def test_an_answer_beyond_what_is_kept_of_a_step_is_given_to_the_next_if_its_wait_is_cancelled():
    run = Machine(plan(step(accepts=(A,))), 0.0, float("inf"), 1)
    (work,) = run.event_sent(A(), CARRY, at=0.0)
    assert isinstance(work, Delivery)
    work.started = 0.0
    for number in range(3):
        one = waits_in(run, work)
        run.event_sent(B(n=number), CARRY, at=0.0)
        assert one.event == B(n=number)
    assert work.past is not None
    assert [mail.event for mail in work.past.given or ()] == [B(n=0), B(n=1)]
    run.receive(WaitCancelled(waiter=one))
    assert waits_in(run, work).event == B(n=2)
