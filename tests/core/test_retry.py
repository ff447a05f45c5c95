"""Retry policies: what the values decide, against the few lines that say it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from stretto import DefinitionError
from stretto.retry import (
    Condition,
    Policy,
    RetryPolicy,
    Stop,
    Wait,
    after_attempts,
    after_seconds,
    exponential,
    fixed,
    jittered,
    no_wait,
    retry_if,
)

ERRORS = [ValueError("v"), KeyError("k"), LookupError("l"), OSError(2, "gone")]

attempts = st.integers(1, 50)
draws = st.floats(0, 1, exclude_max=True)
times = st.floats(0, 100)
errors = st.sampled_from(ERRORS)
kinds = st.sampled_from([ValueError, LookupError, OSError, Exception])


def delay(
    policy: Policy,
    attempt: int = 1,
    elapsed: float = 0.0,
    error: Exception = ERRORS[0],
    draw: float = 0.5,
) -> float | None:
    return policy.delay(attempt=attempt, elapsed=elapsed, error=error, draw=draw)


# -- waits -----------------------------------------------------------------------------------------------------


@given(attempts, draws)
def test_a_fixed_wait_is_always_the_same_and_no_wait_is_none(attempt: int, draw: float):
    assert fixed(3).seconds(attempt, draw) == 3
    assert no_wait().seconds(attempt, draw) == 0


@given(st.floats(0.01, 10), st.floats(1, 10), st.floats(10, 1e6), st.integers(1, 5000), draws)
def test_an_exponential_wait_grows_by_its_factor_up_to_its_maximum(
    initial: float, factor: float, maximum: float, attempt: int, draw: float
):
    wait = exponential(initial, factor, maximum)
    assert wait.seconds(1, draw) == initial
    now, then = wait.seconds(attempt, draw), wait.seconds(attempt + 1, draw)
    assert then == pytest.approx(min(maximum, now * factor))
    assert now <= then <= maximum


def test_an_exponential_wait_that_no_float_holds_is_its_maximum():
    assert exponential(1, 10, 60).seconds(10_000, 0.0) == 60


@given(attempts, draws)
def test_a_jittered_wait_is_the_drawn_part_of_the_exponential_one(attempt: int, draw: float):
    most = exponential(0.2, 3, 7).seconds(attempt, draw)
    assert jittered(0.2, 3, 7).seconds(attempt, draw) == draw * most
    assert jittered(0.2, 3, 7).seconds(attempt, 0.0) == 0


@given(attempts, draws)
def test_waits_are_added_with_one_draw(attempt: int, draw: float):
    both = fixed(1) + jittered() + jittered(1, 2, 9)
    parts = [each.seconds(attempt, draw) for each in (fixed(1), jittered(), jittered(1, 2, 9))]
    assert (
        both.seconds(attempt, draw) == parts[0] + parts[1] + parts[2]
    )  # sum() rounds otherwise since Python 3.12


# -- conditions and stops --------------------------------------------------------------------------------------


@given(errors, kinds, kinds)
def test_conditions_join_like_the_words_or_and_and(
    error: Exception, one: type[Exception], other: type[Exception]
):
    is_one, is_other = isinstance(error, one), isinstance(error, other)
    assert (retry_if(one) | retry_if(other)).holds(error) == (is_one or is_other)
    assert (retry_if(one) & retry_if(other)).holds(error) == (is_one and is_other)
    assert retry_if((one, other)).holds(error) == (is_one or is_other)


def test_a_predicate_decides_by_the_exception_and_a_condition_is_one_already():
    gone = retry_if(lambda error: isinstance(error, OSError) and error.errno == 2)
    assert [gone.holds(error) for error in ERRORS] == [False, False, False, True]
    assert retry_if(gone) is gone


@given(attempts, times, attempts, st.floats(0.1, 100))
def test_stops_join_like_the_words_or_and_and(attempt: int, elapsed: float, most: int, limit: float):
    one, other = after_attempts(most), after_seconds(limit)
    assert one.reached(attempt, elapsed) == (attempt >= most)
    assert other.reached(attempt, elapsed) == (elapsed >= limit)
    assert (one | other).reached(attempt, elapsed) == (attempt >= most or elapsed >= limit)
    assert (one & other).reached(attempt, elapsed) == (attempt >= most and elapsed >= limit)


# -- policies --------------------------------------------------------------------------------------------------


@given(attempts, draws)
def test_the_default_is_three_attempts_of_any_error_and_jitter_from_a_tenth_to_five_seconds(
    attempt: int, draw: float
):
    wanted = draw * min(5.0, 0.1 * 2.0 ** (attempt - 1)) if attempt < 3 else None
    assert delay(RetryPolicy(), attempt, draw=draw) == wanted


@given(attempts, times, errors, st.none() | st.integers(1, 9), st.none() | st.floats(0.1, 60))
def test_a_policy_gives_up_for_the_first_reason_that_holds(
    attempt: int, elapsed: float, error: Exception, most: int | None, total: float | None
):
    policy = RetryPolicy(attempts=most, total=total, on=LookupError, wait=fixed(2), stop=after_seconds(50))
    gives_up = (
        not isinstance(error, LookupError)
        or (most is not None and attempt >= most)
        or (total is not None and elapsed + 2 >= total)
        or elapsed + 2 >= 50
    )
    assert delay(policy, attempt, elapsed, error) == (None if gives_up else 2)


@given(attempts, errors)
def test_joined_policies_ask_the_second_where_the_first_gives_up_or_both(attempt: int, error: Exception):
    one = RetryPolicy(attempts=2, on=LookupError, wait=fixed(1))
    other = RetryPolicy(attempts=5, on=(KeyError, OSError), wait=fixed(4))
    first, second = delay(one, attempt, error=error), delay(other, attempt, error=error)
    assert delay(one | other, attempt, error=error) == (second if first is None else first)
    assert delay(one & other, attempt, error=error) == (
        None if first is None or second is None else max(first, second)
    )


def test_a_policy_that_has_given_up_by_its_count_does_not_ask_its_predicate():
    asked: list[Exception] = []
    policy = RetryPolicy(attempts=2, on=lambda error: asked.append(error) or True)
    assert delay(policy, 2) is None
    assert asked == []
    assert delay(policy, 1) is not None
    assert asked == [ERRORS[0]]


def test_policies_are_values():
    assert RetryPolicy(on=ValueError, wait=fixed(1) + no_wait()) == RetryPolicy(
        on=retry_if(ValueError), wait=fixed(1.0) + no_wait()
    )
    assert len({RetryPolicy(), RetryPolicy(), RetryPolicy(attempts=4)}) == 2
    with pytest.raises(AttributeError):
        RetryPolicy().attempts = 4  # pyright: ignore[reportAttributeAccessIssue]


# -- what is refused -------------------------------------------------------------------------------------------


async def an_async_predicate(error: Exception) -> bool:
    return True


ON = (
    "on is an Exception class, a tuple of them, or a function of the exception, not {}; "
    "write on=(ConnectionError, TimeoutError)"
)
MIXED: Any = (ValueError, int)
REFUSED = [
    (lambda: RetryPolicy(attempts=0), "attempts is a whole number of at least 1, not 0"),
    (lambda: RetryPolicy(attempts=-1), "attempts is a whole number of at least 1, not -1"),
    (lambda: RetryPolicy(attempts=True), "attempts is a whole number of at least 1, not True"),
    (lambda: RetryPolicy(attempts=2.0), "attempts is a whole number of at least 1, not 2.0"),  # pyright: ignore[reportArgumentType]
    (lambda: RetryPolicy(total=0), "total is a time in seconds above 0, or None for no limit, not 0"),
    (
        lambda: RetryPolicy(total=math.nan),
        "total is a time in seconds above 0, or None for no limit, not nan",
    ),
    (lambda: RetryPolicy(on=()), ON.format("()")),
    (lambda: RetryPolicy(on=KeyboardInterrupt), ON.format("<class 'KeyboardInterrupt'>")),
    (lambda: RetryPolicy(on=MIXED), ON.format("(<class 'ValueError'>, <class 'int'>)")),
    (lambda: RetryPolicy(on="ValueError"), ON.format("'ValueError'")),  # pyright: ignore[reportArgumentType]
    (
        lambda: RetryPolicy(on=an_async_predicate),
        (
            "on=an_async_predicate (test_retry.py:171) is an async function, and the decision to try again cannot "
            "wait; write def"
        ),
    ),
    (
        lambda: RetryPolicy(wait=1),  # pyright: ignore[reportArgumentType]
        "wait is fixed(…), exponential(…), jittered(…) or no_wait(), not 1",
    ),
    (
        lambda: RetryPolicy(stop=3),  # pyright: ignore[reportArgumentType]
        "stop is after_attempts(…) or after_seconds(…), not 3",
    ),
    (lambda: fixed(0), "fixed is a number above 0, not 0; no_wait() waits not at all"),
    (lambda: fixed(math.inf), "fixed is a number above 0, not inf; no_wait() waits not at all"),
    (lambda: exponential(initial=math.nan), "initial is a number above 0, not nan"),
    (lambda: exponential(initial=True), "initial is a number above 0, not True"),
    (lambda: exponential(maximum="5"), "maximum is a number above 0, not '5'"),  # pyright: ignore[reportArgumentType]
    (lambda: exponential(factor=0.5), "factor is at least 1, or the waits would shrink, not 0.5"),
    (lambda: jittered(initial=9), "initial is 9, more than maximum=5.0; swap them"),
    (lambda: after_attempts(0), "after_attempts is a whole number of at least 1, not 0"),
    (lambda: after_seconds(-1), "after_seconds is a number above 0, not -1"),
    (
        lambda: retry_if(ValueError) | after_attempts(2),  # pyright: ignore[reportOperatorIssue]
        "a condition is joined by | with a condition, not with _AfterAttempts(count=2)",
    ),
    (
        lambda: retry_if(ValueError) & 1,  # pyright: ignore[reportOperatorIssue]
        "a condition is joined by & with a condition, not with 1",
    ),
    (
        lambda: after_attempts(2) | fixed(1),  # pyright: ignore[reportOperatorIssue]
        "a stop is joined by | with a stop, not with _Fixed(time=1.0)",
    ),
    (
        lambda: after_attempts(2) & None,  # pyright: ignore[reportOperatorIssue]
        "a stop is joined by & with a stop, not with None",
    ),
    (
        lambda: fixed(1) + 1,  # pyright: ignore[reportOperatorIssue]
        "a wait is joined by + with a wait, not with 1",
    ),
    (
        lambda: RetryPolicy() | ValueError,
        "a policy is joined by | with a policy, not with <class 'ValueError'>",
    ),
    (
        lambda: RetryPolicy() & 3,  # pyright: ignore[reportOperatorIssue]
        "a policy is joined by & with a policy, not with 3",
    ),
]


@pytest.mark.parametrize(("made", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_makes_no_sense_is_told_with_what_would(made, says: str):
    with pytest.raises(DefinitionError) as caught:
        made()
    assert str(caught.value) == says


def test_what_is_made_is_of_its_kind():
    assert isinstance(retry_if(ValueError) | retry_if(KeyError), Condition)
    assert isinstance(after_attempts(1) & after_seconds(1), Stop)
    assert isinstance(fixed(1) + no_wait(), Wait)
    assert isinstance(RetryPolicy() | RetryPolicy(), Policy)
