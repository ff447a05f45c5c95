"""How long until the next attempt.

Full jitter, the default, is that of the article "Exponential Backoff And Jitter" in the AWS Architecture Blog.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import attrs

from .._options import duration
from ..errors import DefinitionError, shown
from .joining import alike

__all__ = ["Wait", "exponential", "fixed", "jittered", "no_wait"]


class Wait:
    """How long until the next attempt; `fixed`, `exponential`, `jittered` and `no_wait` make one."""

    @abstractmethod
    def seconds(self, attempt: int, draw: float) -> float:
        """Seconds to wait after this attempt; `draw` is a random number from 0 up to, but not, 1."""

    def __add__(self, other: Wait) -> Wait:
        return _Sum(self, alike(Wait, other, "a wait", "+"))


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
