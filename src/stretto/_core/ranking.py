"""The order in which what waits in one lane is taken: as it came, or the highest first and of equal ones as they came.

Two structures with the same methods. To put in, to take the first and to take one out of the middle is O(1) in the one
and O(log n) in the other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar, final

from .alarms import Alarms

__all__ = ["AsItCame", "HighestFirst", "Ranking"]

T = TypeVar("T", bound=Hashable)


class Ranking(Protocol[T]):
    """What waits, in an order of some kind."""

    def put(self, what: T, priority: float) -> None:
        """It comes in last of those that are as high."""

    def discard(self, what: T) -> None:
        """It waits no more."""

    @abstractmethod
    def first(self) -> tuple[float, T] | None:
        """What is taken next, with what the priority is worth: the lower comes first."""

    @abstractmethod
    def __len__(self) -> int:
        """How many wait."""


@final
class AsItCame(Generic[T]):
    """First in, first out."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: OrderedDict[T, None] = OrderedDict()

    def put(self, what: T, priority: float) -> None:  # noqa: ARG002 - all are as high
        """It comes in last."""
        self._waiting[what] = None

    def discard(self, what: T) -> None:
        """It waits no more."""
        del self._waiting[what]

    def first(self) -> tuple[float, T] | None:
        """What came first."""
        return next(((0.0, what) for what in self._waiting), None)

    def __len__(self) -> int:
        return len(self._waiting)


@final
class HighestFirst(Generic[T]):
    """The highest priority first; first in, first out within it."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: Alarms[T] = Alarms()

    def put(self, what: T, priority: float) -> None:
        """It comes in last of those that are as high."""
        self._waiting.set(-priority, what)

    def discard(self, what: T) -> None:
        """It waits no more."""
        self._waiting.discard(what)

    def first(self) -> tuple[float, T] | None:
        """The highest that came first."""
        return self._waiting.first()

    def __len__(self) -> int:
        return len(self._waiting)
