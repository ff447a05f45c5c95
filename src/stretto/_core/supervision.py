"""Whether a member that has failed is restarted, and when: a data structure that knows neither members nor runs.

The intensity is that of OTP's supervisors, so many restarts in a sliding period; the waits are those of retries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import final

import attrs

from ..retry.waits import Wait

__all__ = ["Again", "GivesUp", "Restarts"]


@final
@attrs.frozen
class Again:
    """It is restarted.

    Attributes:
        due: When, in seconds of the loop's clock.
        number: How many restarts there are in the period then, this one counted.
    """

    due: float
    number: int


@final
@attrs.frozen
class GivesUp:
    """It is not restarted.

    Attributes:
        why: What messages say.
    """

    why: str


@final
class Restarts:
    """The restarts of one member in one conversation; a failure costs O(1), amortised."""

    __slots__ = ("_backoff", "_limit", "_period", "_times")

    def __init__(self, *, limit: int, period: float, backoff: Wait) -> None:
        self._limit = limit
        self._period = period
        self._backoff = backoff
        self._times: deque[float] = deque()  # of the failures that were followed by a restart, oldest first

    def failed(self, at: float, draw: float, deadline: float) -> Again | GivesUp:
        """What follows from a failure.

        Args:
            at: When it failed.
            draw: A random number from 0 up to, but not, 1.
            deadline: When its conversation has to be over.
        """
        times = self._times
        while times and at - times[0] >= self._period:
            times.popleft()
        if len(times) >= self._limit:
            return GivesUp(f"it was restarted {self._limit} x in {self._period:.6g} s, and that is its limit")
        number = len(times) + 1
        wait = self._backoff.seconds(number, draw)
        if at + wait >= deadline:
            return GivesUp(
                f"its restart, {wait:.3g} s later, would be at or after the deadline of its conversation"
            )
        times.append(at)
        return Again(at + wait, number)

    # -- for snapshots ---------------------------------------------------------------------------------------

    def ages(self, at: float) -> Iterator[float]:
        """For how many seconds each restart counts already, oldest first; what counts no more is left out."""
        return (max(0.0, at - each) for each in self._times if at - each < self._period)

    def take_up(self, ages: Iterable[float], at: float) -> None:
        """Those of a snapshot."""
        self._times.extend(sorted(at - age for age in ages))
