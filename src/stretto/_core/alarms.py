"""What waits for its time: taken out in the order of the times, and of equal ones in the order of putting in.

So what is due at one instant becomes ready in the same order on every loop, whichever timer it fires first.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar, final

__all__ = ["Alarms"]

T = TypeVar("T")


@final
class Alarms(Generic[T]):
    """Things with a time each; putting one in and taking one out is O(log n)."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def set(self, at: float, what: T) -> None:
        """Puts in what is due at this time."""
        self._count += 1
        heappush(self._heap, (at, self._count, what))

    def take_due(self, at: float) -> Iterator[T]:
        """Takes out what is due by this time."""
        while self._heap and self._heap[0][0] <= at:
            yield heappop(self._heap)[-1]

    def discard(self, what: T) -> bool:
        """Takes it out before its time; whether it was there. O(n)."""
        kept = [each for each in self._heap if each[-1] is not what]
        found = len(kept) < len(self._heap)
        if found:
            heapify(kept)
            self._heap = kept
        return found

    def times(self) -> Iterator[tuple[float, T]]:
        """What is in it, each with its time, in the order in which it will be taken out."""
        return ((at, what) for at, _, what in sorted(self._heap))

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[T]:
        return (what for _, what in self.times())
