"""Joins that have enough at a moment: so many, one that will do, or what is enough by a rule of the user's.

What arrived while it was not known yet whether the fork is one for the join is asked about later, one after the other,
as if it came then; so a backlog gives what it would have given without.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, final

from .._answers import ask
from ..events import Event
from ..joins import First, Quorum, Until
from .arrivals import Arrival, Gathering

__all__ = ["Counted", "Satisfied", "Sought"]


@final
class Counted(Gathering):
    """Enough is a number."""

    __slots__ = ("_n",)

    def __init__(self, first: First) -> None:
        super().__init__(first.order)
        self._n = first.n

    def is_enough(self) -> bool:
        """Whether there are so many."""
        return len(self._row) >= self._n

    def take(self) -> list[Arrival]:
        """The first, or fewer."""
        return self._first(self._n)


class _Judged(Gathering):
    """Enough is what a predicate says: each arrival is asked about once.

    Attributes:
        judged: How many of the row were asked about.
    """

    __slots__ = ("_found", "judged")

    def __init__(self, policy: Quorum | Until) -> None:
        super().__init__(policy.order)
        self.judged = 0
        self._found: int | None = None

    @abstractmethod
    def suffices(self, event: Event) -> bool:
        """Whether it is enough with this one."""

    def is_enough(self) -> bool:
        """Whether what has come is enough.

        Raises:
            BaseException: What the predicate raised; it is not asked about that event again.
        """
        while self._found is None and self.judged < len(self._row):
            event = self.asked = self._row[self.judged].event
            self.judged += 1
            if self.suffices(event):
                self._found = self.judged
        return self._found is not None

    def take(self) -> list[Arrival]:
        """What was enough; all if nothing was."""
        return self._first(len(self._row) if self._found is None else self._found)


@final
class Sought(_Judged):
    """Enough is an event that will do."""

    __slots__ = ("_when",)

    def __init__(self, until: Until) -> None:
        super().__init__(until)
        self._when = until.when

    def suffices(self, event: Event) -> bool:
        """Whether this one will do."""
        return bool(ask(self._when, event))


@final
class Satisfied(_Judged):
    """Enough is what a rule over all so far says."""

    __slots__ = ("_so_far", "_view", "_when")

    def __init__(self, quorum: Quorum) -> None:
        super().__init__(quorum)
        self._when = quorum.when
        self._so_far: list[Event] = []
        self._view = _View(self._so_far)

    def suffices(self, event: Event) -> bool:
        """Whether all so far are enough with this one."""
        self._so_far.append(event)
        return bool(ask(self._when, self._view))


@final
class _View(Sequence[Event]):
    """What has come so far, to read: a copy for each question would make the cost of a fork the square of its size."""

    def __init__(self, events: list[Event]) -> None:
        self._events: Any = events

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - an event, or a list for a slice
        return self._events[at]

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return repr(self._events)
