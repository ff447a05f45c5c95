"""Which steps an event type goes to, found once and then looked up.

Several steps may take one event; they do so in the order of definition. A type that was not declared anywhere
is looked for once and remembered, so the cost of an event never depends on how many steps there are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar, final
from weakref import WeakKeyDictionary

__all__ = ["Routes"]


class Taker(Protocol):
    """What routing asks of a step."""

    @abstractmethod
    def takes(self, kind: type) -> bool:
        """Whether an event of exactly this type goes there."""


T = TypeVar("T", bound=Taker)


@final
class Routes(Generic[T]):
    """A table from event type to the steps that take it."""

    __slots__ = ("_found", "_takers")

    def __init__(self, takers: Sequence[T]) -> None:
        self._takers = takers
        self._found: WeakKeyDictionary[type, tuple[T, ...]] = (
            WeakKeyDictionary()
        )  # a class may be made in a step

    def find(self, kind: type) -> tuple[T, ...]:
        """The steps that take this very type, in order of definition; O(1) but for the first time."""
        found = self._found.get(kind)
        if found is None:
            found = self._found[kind] = tuple(taker for taker in self._takers if taker.takes(kind))
        return found
