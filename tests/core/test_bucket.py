"""The token bucket, against one that is refilled by hand; times and intervals are multiples of an eighth, so exact."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given, strategies as st

from stretto._core.bucket import Bucket

GAPS = st.lists(st.integers(0, 24).map(lambda eighths: eighths / 8), max_size=60)
INTERVALS = st.integers(1, 16).map(lambda eighths: eighths / 8)
BURSTS = st.integers(1, 5)


class Refilled:
    """Tokens that are counted, and refilled at each look."""

    def __init__(self, interval: float, burst: int) -> None:
        self.interval, self.burst, self.level, self.at = Fraction(interval), burst, Fraction(burst), 0.0

    def look(self, at: float) -> Fraction:
        self.level = min(Fraction(self.burst), self.level + Fraction(at - self.at) / self.interval)
        self.at = at
        return self.level


@given(INTERVALS, BURSTS, GAPS)
def test_there_is_a_token_whenever_one_that_is_refilled_has_one(
    interval: float, burst: int, gaps: list[float]
):
    bucket, model, at = Bucket(interval, burst), Refilled(interval, burst), 0.0
    for gap in gaps:
        at += gap
        level = model.look(at)
        assert (bucket.due <= at) == (level >= 1)
        assert (bucket.full_at <= at) == (level == burst)
        if level >= 1:
            bucket.take(at)
            model.level -= 1


@given(INTERVALS, BURSTS, GAPS)
def test_who_waits_until_it_is_due_never_gets_more_than_the_rate_in_any_window(
    interval: float, burst: int, gaps: list[float]
):
    bucket, came, begun = Bucket(interval, burst), 0.0, list[float]()
    for gap in gaps:
        came += gap
        at = max([came, bucket.due, *begun[-1:]])
        bucket.take(at)
        begun.append(at)
    for first, since in enumerate(begun):
        for last in range(first, len(begun)):
            assert (last - first + 1 - burst) * interval <= begun[last] - since


def test_a_new_bucket_is_full_and_always_was():
    bucket = Bucket(1.0, 2)
    assert bucket.due == bucket.full_at == -math.inf


@given(INTERVALS, BURSTS, GAPS)
def test_one_that_is_full_is_as_good_as_new(interval: float, burst: int, gaps: list[float]):
    bucket = Bucket(interval, burst)
    for at in gaps:
        bucket.take(max(at, bucket.due))
    at = max(100.0, bucket.full_at)
    new = Bucket(interval, burst)
    for _ in range(burst):
        assert bucket.due <= at
        bucket.take(at)
        new.take(at)
    assert bucket.due == new.due > at
