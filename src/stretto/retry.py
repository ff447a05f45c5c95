"""When a step that failed is tried again: values that decide without a clock and without a die of their own.

A `RetryPolicy` is made of values of three kinds, and each joins only with its own kind:

- a *condition* says which errors are worth another attempt: `retry_if`; ``|`` and ``&`` join two;
- a *stop* says when it is enough: `after_attempts`, `after_seconds`; ``|`` and ``&`` join two;
- a *wait* says how long until the next attempt: `fixed`, `exponential`, `jittered`, `no_wait`; ``+`` adds two.

Whole policies join too: ``a | b`` asks `b` where `a` gives up, so each error may have a policy of its own, and
``a & b`` tries again where both would, after the longer of their waits.

The vocabulary of condition, stop and wait is tenacity's; the default, few attempts and full jitter, is that of
stamina and of the article "Exponential Backoff And Jitter" in the AWS Architecture Blog.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, TypeAlias, TypeVar, final

import attrs

from ._options import count, duration, seconds
from .errors import DefinitionError, shown

__all__ = [
    "Attempt",
    "Condition",
    "Policy",
    "RetryPolicy",
    "Stop",
    "Wait",
    "after_attempts",
    "after_seconds",
    "exponential",
    "fixed",
    "jittered",
    "no_wait",
    "retry_if",
]

T = TypeVar("T")


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


# -- conditions ------------------------------------------------------------------------------------------------


class Condition:
    """Which errors are worth another attempt; `retry_if` makes one."""

    @abstractmethod
    def holds(self, error: Exception) -> bool:
        """Whether this error is one of them."""

    def __or__(self, other: Condition) -> Condition:
        return _AnyCondition(self, _alike(Condition, other, "a condition", "|"))

    def __and__(self, other: Condition) -> Condition:
        return _AllConditions(self, _alike(Condition, other, "a condition", "&"))


@final
@attrs.frozen
class _OfKind(Condition):
    kinds: tuple[type[Exception], ...]

    def holds(self, error: Exception) -> bool:
        return isinstance(error, self.kinds)


@final
@attrs.frozen
class _If(Condition):
    predicate: Callable[[Any], object]

    def holds(self, error: Exception) -> bool:
        return bool(self.predicate(error))


@final
@attrs.frozen
class _AnyCondition(Condition):
    first: Condition
    second: Condition

    def holds(self, error: Exception) -> bool:
        return self.first.holds(error) or self.second.holds(error)


@final
@attrs.frozen
class _AllConditions(Condition):
    first: Condition
    second: Condition

    def holds(self, error: Exception) -> bool:
        return self.first.holds(error) and self.second.holds(error)


Errors: TypeAlias = (
    type[Exception] | tuple[type[Exception], ...] | Callable[[Any], object] | Condition
)  # a predicate may ask for any exception class, so what it takes is not said


def retry_if(on: Errors) -> Condition:
    """The condition that an error is of a class, of one of several, or one that a predicate is true of.

    >>> from stretto.retry import retry_if
    >>> transient = retry_if(OSError) & retry_if(lambda error: error.errno != 2)
    >>> transient.holds(OSError(2, "no such file"))
    False

    Args:
        on: An exception class, a tuple of them, or a function of the exception. An error that the function raises
            fails the run.

    Raises:
        DefinitionError: For anything else, and for classes that are no `Exception`: Ctrl-C is never tried again.
    """
    if isinstance(on, Condition):
        return on
    given: object = on
    kinds = _kinds(on)
    if kinds:
        return _OfKind(kinds)
    if isinstance(on, (type, tuple)) or not callable(on):
        raise DefinitionError(
            f"on is an Exception class, a tuple of them, or a function of the exception, not {shown(given)}; "
            "write on=(ConnectionError, TimeoutError)"
        )
    if iscoroutinefunction(on):
        raise DefinitionError(
            f"on={on.__name__} is an async function, and the decision to try again cannot wait; write def"
        )
    return _If(on)


def _kinds(on: object) -> tuple[type[Exception], ...]:
    """The exception classes that it is; none if it is something else, be it in part."""
    kinds: tuple[object, ...] = on if isinstance(on, tuple) else (on,)  # pyright: ignore[reportUnknownVariableType]
    exceptions = tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))
    return exceptions if len(exceptions) == len(kinds) else ()


# -- stops -----------------------------------------------------------------------------------------------------


class Stop:
    """When it is enough; `after_attempts` and `after_seconds` make one."""

    @abstractmethod
    def reached(self, attempt: int, elapsed: float) -> bool:
        """Whether to give up after this attempt, if the next would begin `elapsed` seconds after the first."""

    def __or__(self, other: Stop) -> Stop:
        return _AnyStop(self, _alike(Stop, other, "a stop", "|"))

    def __and__(self, other: Stop) -> Stop:
        return _AllStops(self, _alike(Stop, other, "a stop", "&"))


@final
@attrs.frozen
class _AfterAttempts(Stop):
    count: int

    def reached(self, attempt: int, elapsed: float) -> bool:  # noqa: ARG002 - one of the two is enough for it
        return attempt >= self.count


@final
@attrs.frozen
class _AfterSeconds(Stop):
    seconds: float

    def reached(self, attempt: int, elapsed: float) -> bool:  # noqa: ARG002
        return elapsed >= self.seconds


@final
@attrs.frozen
class _AnyStop(Stop):
    first: Stop
    second: Stop

    def reached(self, attempt: int, elapsed: float) -> bool:
        return self.first.reached(attempt, elapsed) or self.second.reached(attempt, elapsed)


@final
@attrs.frozen
class _AllStops(Stop):
    first: Stop
    second: Stop

    def reached(self, attempt: int, elapsed: float) -> bool:
        return self.first.reached(attempt, elapsed) and self.second.reached(attempt, elapsed)


def after_attempts(number: int) -> Stop:
    """Gives up after this many attempts, the first one counted.

    Raises:
        DefinitionError: If it is no whole number of at least 1.
    """
    return _AfterAttempts(count(number, "after_attempts"))


def after_seconds(time: float) -> Stop:
    """Gives up if the next attempt would begin this many seconds after the first one began, or later.

    Raises:
        DefinitionError: If it is no time above 0.
    """
    return _AfterSeconds(duration(time, "after_seconds"))


# -- waits -----------------------------------------------------------------------------------------------------


class Wait:
    """How long until the next attempt; `fixed`, `exponential`, `jittered` and `no_wait` make one."""

    @abstractmethod
    def seconds(self, attempt: int, draw: float) -> float:
        """Seconds to wait after this attempt; `draw` is a random number from 0 up to, but not, 1."""

    def __add__(self, other: Wait) -> Wait:
        return _Sum(self, _alike(Wait, other, "a wait", "+"))


@final
@attrs.frozen
class _Fixed(Wait):
    time: float

    def seconds(self, attempt: int, draw: float) -> float:  # noqa: ARG002 - it is always the same
        return self.time


@final
@attrs.frozen
class _Exponential(Wait):
    initial: float
    factor: float
    maximum: float

    def seconds(self, attempt: int, draw: float) -> float:  # noqa: ARG002 - no jitter
        try:
            return min(self.maximum, self.initial * self.factor ** (attempt - 1))
        except OverflowError:
            return self.maximum


@final
@attrs.frozen
class _Jittered(Wait):
    most: Wait

    def seconds(self, attempt: int, draw: float) -> float:
        return draw * self.most.seconds(attempt, draw)


@final
@attrs.frozen
class _Sum(Wait):
    first: Wait
    second: Wait

    def seconds(self, attempt: int, draw: float) -> float:
        return self.first.seconds(attempt, draw) + self.second.seconds(attempt, draw)


def no_wait() -> Wait:
    """Tries again at once, after what is ready already."""
    return _Fixed(0.0)


def fixed(time: float) -> Wait:
    """Waits as many seconds each time.

    Raises:
        DefinitionError: If it is no time above 0; `no_wait` is the wait of 0 seconds.
    """
    return _Fixed(duration(time, "fixed", hint="; no_wait() waits not at all"))


def exponential(initial: float = 0.1, factor: float = 2.0, maximum: float = 5.0) -> Wait:
    """Waits `initial` seconds after the first attempt and `factor` times as long after each further one.

    Args:
        initial: Seconds.
        factor: At least 1.
        maximum: Seconds that no wait exceeds.

    Raises:
        DefinitionError: For a value that makes no sense.
    """
    if duration(factor, "factor") < 1:
        raise DefinitionError(f"factor is at least 1, or the waits would shrink, not {shown(factor)}")
    first, most = duration(initial, "initial"), duration(maximum, "maximum")
    if first > most:
        raise DefinitionError(f"initial is {shown(initial)}, more than maximum={shown(maximum)}; swap them")
    return _Exponential(first, float(factor), most)


def jittered(initial: float = 0.1, factor: float = 2.0, maximum: float = 5.0) -> Wait:
    """Waits a random part, from nothing to all, of what `exponential` would: clients that fail together part.

    ``fixed(1) + jittered(…)`` waits at least a second. One wait has one draw, however many parts of it are jittered.

    Args:
        initial: Seconds.
        factor: At least 1.
        maximum: Seconds that no wait exceeds.

    Raises:
        DefinitionError: For a value that makes no sense.
    """
    return _Jittered(exponential(initial, factor, maximum))


# -- policies --------------------------------------------------------------------------------------------------


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
        return _AnyPolicy(self, _alike(Policy, other, "a policy", "|"))

    def __and__(self, other: Policy) -> Policy:
        return _AllPolicies(self, _alike(Policy, other, "a policy", "&"))


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


def _alike(kind: type, value: T, name: str, sign: str) -> T:
    if not isinstance(value, kind):
        raise DefinitionError(f"{name} is joined by {sign} with {name}, not with {shown(value)}")
    return value
