"""Whether there is another attempt, and after how long: what a step is given, made of the other values."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import attrs

from .._options import count, seconds, teaches
from ..errors import DefinitionError, shown
from .conditions import Condition, retry_if
from .joining import alike
from .stops import Stop
from .waits import Wait, jittered

__all__ = ["Attempt", "Policy", "RetryPolicy"]


@final
@attrs.frozen(kw_only=True)
class Attempt:
    """What ``ctx.attempt`` gives: which try of its event a step is in.

    Attributes:
        number: 1 for the first attempt.
        elapsed: Seconds from the begin of the first attempt to the begin of this one; 0.0 in the first.
        error: What the attempt before raised; None in the first.
    """

    number: int = 1
    elapsed: float = 0.0
    error: Exception | None = None


class Policy:
    """What ``@step(retry_policy=…)`` takes: a `RetryPolicy`, or several joined by ``|`` and ``&``."""

    @abstractmethod
    def delay(self, *, attempt: int, elapsed: float, error: Exception, draw: float) -> float | None:
        """Seconds until the next attempt, or None to give up.

        Args:
            attempt: The number of the attempt that failed, from 1.
            elapsed: Seconds since the first attempt began.
            error: What it raised.
            draw: A random number from 0 up to, but not, 1.
        """

    def __or__(self, other: Policy) -> Policy:
        return _AnyPolicy(self, alike(Policy, other, "a policy", "|"))

    def __and__(self, other: Policy) -> Policy:
        return _AllPolicies(self, alike(Policy, other, "a policy", "&"))


def _attempts(value: int | None) -> int | None:
    return None if value is None else count(value, "attempts")


def _total(value: float | None) -> float | None:
    return seconds(value, "total", none="no limit")


def _wait(value: Wait) -> Wait:
    if not isinstance(value, Wait):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(
            f"wait is fixed(…), exponential(…), jittered(…) or no_wait(), not {shown(value)}"
        )
    return value


def _stop(value: Stop | None) -> Stop | None:
    if value is not None and not isinstance(value, Stop):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"stop is after_attempts(…) or after_seconds(…), not {shown(value)}")
    return value


@final
@teaches
@attrs.frozen(kw_only=True)
class RetryPolicy(Policy):
    """When a step that raised is tried again, and after how long: ``@step(retry_policy=RetryPolicy())``.

    >>> policy = RetryPolicy(on=ConnectionError, attempts=5)
    >>> policy.delay(attempt=1, elapsed=0.2, error=ConnectionError(), draw=0.5)
    0.05
    >>> policy.delay(attempt=5, elapsed=3.0, error=ConnectionError(), draw=0.5) is None
    True

    Args:
        attempts: How many attempts there are in all; None for no limit.
        total: Gives up if the next attempt would begin this many seconds after the first one began, or later;
            None for no limit.
        on: Which errors are worth it: an exception class, a tuple of them, a function of the exception, or a
            condition, see `retry_if`. Only an `Exception` ever is.
        wait: How long until the next attempt; by default a random part of 0.1 s, 0.2 s, and so on up to 5 s.
        stop: A further `Stop`; whichever of the three comes first.

    Raises:
        DefinitionError: For an option that makes no sense.
    """

    attempts: int | None = attrs.field(default=3, converter=_attempts)
    total: float | None = attrs.field(default=None, converter=_total)
    on: Condition = attrs.field(default=retry_if(Exception), converter=retry_if)
    wait: Wait = attrs.field(default=jittered(), converter=_wait)
    stop: Stop | None = attrs.field(default=None, converter=_stop)

    def delay(self, *, attempt: int, elapsed: float, error: Exception, draw: float) -> float | None:
        """As `Policy.delay`."""
        if (self.attempts is not None and attempt >= self.attempts) or not self.on.holds(error):
            return None
        wait = self.wait.seconds(attempt, draw)
        begins = elapsed + wait
        if self.total is not None and begins >= self.total:
            return None
        return None if self.stop is not None and self.stop.reached(attempt, begins) else wait


@final
@attrs.frozen
class _AnyPolicy(Policy):
    first: Policy
    second: Policy

    def delay(self, *, attempt: int, elapsed: float, error: Exception, draw: float) -> float | None:
        wait = self.first.delay(attempt=attempt, elapsed=elapsed, error=error, draw=draw)
        if wait is not None:
            return wait
        return self.second.delay(attempt=attempt, elapsed=elapsed, error=error, draw=draw)


@final
@attrs.frozen
class _AllPolicies(Policy):
    first: Policy
    second: Policy

    def delay(self, *, attempt: int, elapsed: float, error: Exception, draw: float) -> float | None:
        one = self.first.delay(attempt=attempt, elapsed=elapsed, error=error, draw=draw)
        if one is None:
            return None
        other = self.second.delay(attempt=attempt, elapsed=elapsed, error=error, draw=draw)
        return None if other is None else max(one, other)
