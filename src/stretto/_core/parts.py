"""Joins that are called in parts: with what has one key, with every so many, with what came within a time."""

from __future__ import annotations

from collections.abc import Hashable
from operator import attrgetter
from typing import final

from .._answers import answering
from ..joins import ByKey, Window
from .arrivals import Arrival, Gathering

__all__ = ["Groups", "Windows"]


@final
class Groups(Gathering):
    """What is there is told apart when nothing is left at work: until then one row is enough."""

    __slots__ = ("_key",)

    def __init__(self, by: ByKey) -> None:
        super().__init__(by.order)
        self._key = answering(attrgetter(by.key) if isinstance(by.key, str) else by.key)

    def take_rest(self) -> list[list[Arrival]]:
        """The groups, in the order of the first arrivals.

        Raises:
            BaseException: What the function raised that gives the key, or a key that cannot be hashed; nothing is taken
                then.
        """
        groups: dict[Hashable, list[Arrival]] = {}
        for arrival in self._row:
            self.asked = arrival.event
            groups.setdefault(self._key(arrival.event), []).append(arrival)
        self._row.clear()
        return [self._ordered(group) for group in groups.values()]


@final
class Windows(Gathering):
    """The arrivals of the window that is open, and of those behind it if more have come at once."""

    __slots__ = ("_n", "_seconds")

    def __init__(self, window: Window) -> None:
        super().__init__(window.order)
        self._n = window.n
        self._seconds = window.seconds

    def is_enough(self) -> bool:
        """Whether the window is full."""
        return self._n is not None and len(self._row) >= self._n

    def due(self) -> float | None:
        """When the time of the window is over."""
        if self._seconds is None or not self._row:
            return None
        return self._row[0].at + self._seconds

    def take(self) -> list[Arrival]:
        """What is in the window."""
        return self._first(len(self._row) if self._n is None else self._n)

    def take_rest(self) -> list[list[Arrival]]:
        """The last windows: one, but where more has come at once than one holds."""
        rest: list[list[Arrival]] = []
        while self._row:
            rest.append(self.take())
        return rest

    def awaited(self) -> str:
        """How many more would fill it."""
        return "" if self._n is None else f"{self._n - len(self._row)} more"
