"""The events that wait at one join in one fork: one row, in the order of arrival. That is all that `All` needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import final

import attrs

from ..events import Event
from ..joins import Order

__all__ = ["Arrival", "Gathering"]

_IN_ORDER = {"arrival": attrgetter("serial"), "source": attrgetter("number", "serial")}


@final
@attrs.frozen(eq=False, repr=False)
class Arrival:
    """An event at a join: as which of the run it came, from which branch of the fork, and when."""

    serial: int
    number: int
    event: Event
    at: float = 0.0


class Gathering:
    """The arrivals at one join in one fork that it was not called with yet.

    Attributes:
        asked: The event about which a predicate of the user's was asked last.
    """

    __slots__ = ("_order", "_row", "asked")

    def __init__(self, order: Order) -> None:
        self._order = order
        self._row: deque[Arrival] = deque()
        self.asked: Event | None = None

    def add(self, arrival: Arrival) -> None:
        """Keeps it."""
        self._row.append(arrival)

    def is_enough(self) -> bool:
        """Whether the step can be called with it although there is work left that may send more."""
        return False

    def take(self) -> list[Arrival]:
        """What the step is called with now, in its order."""
        return self._first(len(self._row))

    def take_rest(self) -> list[list[Arrival]]:
        """What it is called with, call by call, when nothing is left at work."""
        return [self.take()]

    def due(self) -> float | None:
        """When it is called although it is not enough; None for never."""
        return None

    def _first(self, count: int) -> list[Arrival]:
        row = self._row
        return self._ordered([row.popleft() for _ in range(min(count, len(row)))])

    def _ordered(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        return sorted(arrivals, key=_IN_ORDER[self._order])

    def awaited(self) -> str:
        """What is missing, for messages: ``a Reply and a Note``; empty if that is the end of the fork."""
        return ""

    def events(self) -> Iterator[Event]:
        """The events."""
        return (arrival.event for arrival in self)

    def in_rows(self) -> Iterator[Arrival]:
        """In the order in which they are taken, row by row: one that was longer in a fork inside may come later."""
        return iter(self._row)

    def __iter__(self) -> Iterator[Arrival]:
        return iter(sorted(self.in_rows(), key=_IN_ORDER["arrival"]))

    def __len__(self) -> int:
        return len(self._row)
