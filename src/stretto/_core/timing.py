"""Alarms of which only the next is asked for from outside, lest a thousand short windows leave a thousand timers."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar, final

from .alarms import Alarms

__all__ = ["Timing"]

T = TypeVar("T", bound=Hashable)


@final
class Timing(Generic[T]):
    """What is due when, and the times at which somebody outside will say that they have come."""

    __slots__ = ("_alarms", "_asked")

    def __init__(self) -> None:
        self._alarms: Alarms[T] = Alarms()
        self._asked: list[float] = []  # a heap; more than one only if what came later is due earlier

    def watch(self, what: T, due: float | None) -> None:
        """It is due then and at no other time; None for never."""
        self._alarms.discard(what)
        if due is not None:
            self._alarms.set(due, what)

    def to_ask(self) -> float | None:
        """A time to be told of, if there is a new one that is needed."""
        first = self._alarms.first()
        if first is None or (self._asked and self._asked[0] <= first[0]):
            return None
        heappush(self._asked, first[0])
        return first[0]

    def rung(self, at: float) -> Iterator[T]:
        """What is due, now that it is so late."""
        while self._asked and self._asked[0] <= at:
            heappop(self._asked)
        return self._alarms.take_due(at)

    def __bool__(self) -> bool:
        return bool(self._alarms)
