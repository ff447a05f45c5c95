"""What has arrived at one join in one fork, and when that is enough.

The events of a list are kept in one row, in the order of arrival; those of a join of one of each type in a row for
each type. So an arrival costs O(1), and so does the question whether it is enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from operator import attrgetter
from typing import TypeAlias, final

import attrs

from ..events import Event
from ..joins import All, First

__all__ = ["Arrival", "Each", "Gathering", "Join"]

_IN_ORDER = {"arrival": attrgetter("serial"), "source": attrgetter("number", "serial")}


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


Join: TypeAlias = All | First | Each


@final
@attrs.frozen(eq=False, repr=False)
class Arrival:
    """An event at a join: as which of the run it came, and from which branch of the fork."""

    serial: int
    number: int
    event: Event


@final
class Gathering:
    """The arrivals at one join in one fork that it was not called with yet."""

    __slots__ = ("_empty", "_rows", "join")

    def __init__(self, join: Join) -> None:
        self.join = join
        self._rows = [deque[Arrival]() for _ in (join.kinds if isinstance(join, Each) else (Event,))]
        self._empty = len(self._rows)

    def add(self, arrival: Arrival) -> None:
        """Keeps it."""
        row = self._rows[self.join.slot(arrival.event) if isinstance(self.join, Each) else 0]
        self._empty -= not row
        row.append(arrival)

    @property
    def is_enough(self) -> bool:
        """Whether the step can be called with it although there is work left that may send more."""
        if isinstance(self.join, First):
            return len(self._rows[0]) >= self.join.n
        return isinstance(self.join, Each) and not self._empty

    def take(self) -> list[Arrival]:
        """What the step is called with, in its order."""
        if isinstance(self.join, Each):
            taken = [row.popleft() for row in self._rows]
            self._empty = sum(not row for row in self._rows)
            return taken
        count = self.join.n if isinstance(self.join, First) else len(self._rows[0])
        first = [self._rows[0].popleft() for _ in range(min(count, len(self._rows[0])))]
        return sorted(first, key=_IN_ORDER[self.join.order])

    def missing(self) -> Iterator[type[Event]]:
        """The types of which none is there, where one of each is joined."""
        if isinstance(self.join, Each):
            yield from (self.join.kinds[at] for at, row in enumerate(self._rows) if not row)

    def events(self) -> Iterator[Event]:
        """The events."""
        return (arrival.event for arrival in self)

    def in_rows(self) -> Iterator[Arrival]:
        """Row by row, in the order in which they are taken: one that was longer in a fork inside may come later."""
        return (arrival for row in self._rows for arrival in row)

    def __iter__(self) -> Iterator[Arrival]:
        return iter(sorted(self.in_rows(), key=_IN_ORDER["arrival"]))

    def __len__(self) -> int:
        return sum(map(len, self._rows))
