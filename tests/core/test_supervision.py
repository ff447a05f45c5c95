"""Whether a member that fails is restarted, and when: against a model that looks at every restart anew."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from stretto._core.supervision import Again, GivesUp, Restarts
from stretto.retry import exponential, fixed, jittered, no_wait
from stretto.retry.waits import Wait

QUARTERS = st.integers(0, 40).map(lambda whole: whole / 4)  # sums of them are exact


def restarts(limit: int = 3, period: float = 10.0, backoff: Wait | None = None) -> Restarts:
    return Restarts(limit=limit, period=period, backoff=backoff or fixed(1))


def test_it_is_restarted_so_often_in_a_period_and_then_no_more():
    record = restarts(limit=2)
    assert record.failed(0.0, 0.5, math.inf) == Again(1.0, 1)
    assert record.failed(9.0, 0.5, math.inf) == Again(10.0, 2)
    assert record.failed(9.5, 0.5, math.inf) == GivesUp("it was restarted 2 x in 10 s, and that is its limit")
    assert record.failed(10.0, 0.5, math.inf) == Again(
        11.0, 2
    )  # the first is ten seconds old, and counts no more


def test_a_failure_that_was_not_followed_by_a_restart_does_not_count():
    record = restarts(limit=1)
    record.failed(0.0, 0.5, math.inf)
    assert isinstance(record.failed(9.0, 0.5, math.inf), GivesUp)
    assert record.failed(10.0, 0.5, math.inf) == Again(11.0, 1)


def test_the_backoff_grows_with_the_restarts_in_the_period_and_begins_anew_when_these_are_over():
    record = restarts(limit=9, backoff=exponential(1, factor=2, maximum=60))
    waits = [record.failed(at, 0.5, math.inf) for at in (0.0, 1.0, 2.0, 50.0)]
    assert waits == [Again(1.0, 1), Again(3.0, 2), Again(6.0, 3), Again(51.0, 1)]


def test_the_jitter_comes_with_the_failure():
    record = restarts(backoff=jittered(4, maximum=4))
    assert record.failed(1.0, 0.25, math.inf) == Again(2.0, 1)


@pytest.mark.parametrize(("deadline", "again"), [(6.0, False), (6.5, True), (5.5, False)])
def test_a_restart_at_or_after_the_deadline_is_none_and_does_not_count(deadline: float, again: bool):
    record = restarts(limit=1)
    decided = record.failed(5.0, 0.5, deadline)
    assert isinstance(decided, Again) is again
    if not again:
        assert decided == GivesUp(
            "its restart, 1 s later, would be at or after the deadline of its conversation"
        )
        assert record.failed(5.0, 0.5, math.inf) == Again(6.0, 1)


@given(
    steps=st.lists(st.tuples(QUARTERS, QUARTERS, QUARTERS), max_size=30),
    limit=st.integers(1, 4),
    period=QUARTERS.filter(bool),
    saved=st.sets(st.integers(0, 30)),
)
def test_it_decides_as_one_who_looks_at_every_restart_and_so_does_one_that_was_saved(
    steps: list[tuple[float, float, float]], limit: int, period: float, saved: set[int]
):
    backoff = exponential(1, factor=3, maximum=10)
    record = restarts(limit, period, backoff)
    now, times = 0.0, list[float]()
    for number, (gap, _, left) in enumerate(steps):
        now += gap
        if number in saved:
            other = restarts(limit, period, backoff)
            shifted = list(record.ages(now))
            other.take_up(reversed(shifted), now)
            record = other
        recent = [each for each in times if now - each < period]
        wait = backoff.seconds(len(recent) + 1, 0.5)
        got = record.failed(now, 0.5, now + left)
        if len(recent) >= limit or wait >= left:
            assert isinstance(got, GivesUp)
        else:
            assert got == Again(now + wait, len(recent) + 1)
            times.append(now)


def test_what_counts_no_more_is_not_saved():
    record = restarts(backoff=no_wait())
    for at in (0.0, 4.0, 8.0):
        record.failed(at, 0.5, math.inf)
    assert list(record.ages(11.0)) == [7.0, 3.0]
    assert list(record.ages(14.0)) == [6.0], "one of ten seconds ago is as good as forgotten"


def test_restarts_of_a_snapshot_grow_old_in_their_order_however_they_are_given():
    record = restarts(limit=2)
    record.take_up([1.0, 9.0], 20.0)
    assert isinstance(record.failed(20.5, 0.5, math.inf), GivesUp)
    assert record.failed(21.0, 0.5, math.inf) == Again(22.0, 2)
