"""One event of each type: a row for each, of which the earliest are taken as soon as there is one in every row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import final

import attrs

from ..errors import names
from ..events import Event
from .arrivals import Arrival, Gathering

__all__ = ["Each", "Pairs"]


@final
@attrs.frozen
class Each:
    """One event of each type is joined, of each the earliest, as soon as there is one of each.

    Attributes:
        kinds: The types, in the order in which the step takes them.
        subclasses: Whether events of their subclasses are taken too.
    """

    kinds: tuple[type[Event], ...]
    subclasses: bool = False

    def slot(self, event: Event) -> int:
        """Which of the types it is of: exactly that, or the first that it is a subclass of."""
        kinds = self.kinds
        if type(event) in kinds:
            return kinds.index(type(event))
        return next(at for at, kind in enumerate(kinds) if isinstance(event, kind))


@final
class Pairs(Gathering):
    """What is there of each type."""

    __slots__ = ("_each", "_empty", "_rows")

    def __init__(self, each: Each) -> None:
        super().__init__("arrival")
        self._each = each
        self._rows = [deque[Arrival]() for _ in each.kinds]
        self._empty = len(self._rows)

    def add(self, arrival: Arrival) -> None:
        """Keeps it in the row of its type."""
        row = self._rows[self._each.slot(arrival.event)]
        self._empty -= not row
        row.append(arrival)

    def is_enough(self) -> bool:
        """Whether there is one of each."""
        return not self._empty

    def take(self) -> list[Arrival]:
        """The earliest of each, in the order in which the step takes them."""
        taken = [row.popleft() for row in self._rows]
        self._empty = sum(not row for row in self._rows)
        return taken

    def awaited(self) -> str:
        """The types of which none is there."""
        rows = zip(self._each.kinds, self._rows, strict=True)
        missing = [kind for kind, row in rows if not row]
        return " and ".join(f"a {name}" for name in names(missing, self._each.kinds))

    def in_rows(self) -> Iterator[Arrival]:
        """Row by row."""
        return (arrival for row in self._rows for arrival in row)

    def __len__(self) -> int:
        return sum(map(len, self._rows))
