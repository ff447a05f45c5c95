"""When it is enough."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import attrs

from .._options import count, duration
from .joining import alike

__all__ = ["Stop", "after_attempts", "after_seconds"]


class Stop:
    """When it is enough; `after_attempts` and `after_seconds` make one."""

    @abstractmethod
    def reached(self, attempt: int, elapsed: float) -> bool:
        """Whether to give up after this attempt, if the next would begin `elapsed` seconds after the first."""

    def __or__(self, other: Stop) -> Stop:
        return _AnyStop(self, alike(Stop, other, "a stop", "|"))

    def __and__(self, other: Stop) -> Stop:
        return _AllStops(self, alike(Stop, other, "a stop", "&"))


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
