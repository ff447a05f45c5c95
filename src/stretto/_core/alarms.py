"""What waits for its time: taken out in the order of the times, and of equal ones in the order of putting in.

So what is due at one instant becomes ready in the same order on every loop, whichever timer it fires first. What is
taken out before its time is struck off, and its place in the heap stays until more than half of the places are such:
to look for it in there would make a race with many losers cost the square of their number.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar, final

__all__ = ["Alarms"]

T = TypeVar("T", bound=Hashable)


@final
class Alarms(Generic[T]):
    """Things with a time each: putting one in and taking one out is O(log n), striking one off amortised O(1)."""

    __slots__ = ("_count", "_heap", "_live")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._live: dict[T, int] = {}  # each with the number of its place
        self._count = 0

    def set(self, at: float, what: T) -> None:
        """Puts in what is due at this time."""
        self._count += 1
        self._live[what] = self._count
        heappush(self._heap, (at, self._count, what))

    def take_due(self, at: float) -> Iterator[T]:
        """Takes out what is due by this time."""
        while self._heap and self._heap[0][0] <= at:
            place = heappop(self._heap)
            if self._holds(place):
                del self._live[place[-1]]
                yield place[-1]

    def discard(self, what: T) -> bool:
        """Takes it out before its time; whether it was there."""
        if self._live.pop(what, None) is None:
            return False
        if len(self._heap) > 2 * len(self._live):
            self._heap = [place for place in self._heap if self._holds(place)]
            heapify(self._heap)
        return True

    def first(self) -> tuple[float, T] | None:
        """What will be taken out first, and its time."""
        while self._heap and not self._holds(self._heap[0]):
            heappop(self._heap)
        return (self._heap[0][0], self._heap[0][-1]) if self._heap else None

    def times(self) -> Iterator[tuple[float, T]]:
        """What is in it, each with its time, in the order in which it will be taken out."""
        return ((place[0], place[-1]) for place in sorted(self._heap) if self._holds(place))

    def _holds(self, place: tuple[float, int, T]) -> bool:
        """Whether it is not struck off."""
        return self._live.get(place[-1]) == place[1]

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, what: object) -> bool:
        return what in self._live

    def __iter__(self) -> Iterator[T]:
        return (what for _, what in self.times())
