"""The inventory of one scope: which resource is being made, which there is, and which is torn down next.

A data structure that knows no inputs and no effects. A resource is made once however many ask for it at once; all who
wait read what came of it off the same entry. One that failed, or whose making was dropped, is forgotten, so whoever
asks next makes it anew. What there is goes in reverse order of being ready, so a resource that was made with another
goes before that other.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import Generic, TypeVar, final

__all__ = ["Entry", "Inventory", "Stage"]

K = TypeVar("K", bound=Hashable)


@final
class Stage(enum.Enum):
    """How far a resource is."""

    MAKING = "it is being made"
    READY = "it is there"
    FAILED = "it could not be made"
    DROPPED = "nobody waited for it any more"
    GONE = "it was torn down"


@final
class Entry(Generic[K]):
    """One resource, from the moment it is asked for.

    Attributes:
        value: What was made; the error, if that failed.
        waiting: How many wait for it to be made.
    """

    __slots__ = ("key", "stage", "value", "waiting")

    def __init__(self, key: K) -> None:
        self.key = key
        self.stage = Stage.MAKING
        self.value: object = None
        self.waiting = 0


@final
class Inventory(Generic[K]):
    """All resources of one scope, by key."""

    __slots__ = ("_by_key", "_ready")

    def __init__(self) -> None:
        self._by_key: dict[K, Entry[K]] = {}
        self._ready: dict[Entry[K], None] = {}  # in the order in which they were

    def ask(self, key: K) -> tuple[Entry[K], bool]:
        """The entry, and whether the asker is to see to it that it is made; counts who waits."""
        entry = self._by_key.get(key)
        new = entry is None
        if entry is None:
            entry = self._by_key[key] = Entry(key)
        if entry.stage is Stage.MAKING:
            entry.waiting += 1
        return entry, new

    @staticmethod
    def give_up(entry: Entry[K]) -> bool:
        """One who waited goes; whether nobody waits any more for something that is still being made."""
        entry.waiting -= 1
        return entry.stage is Stage.MAKING and not entry.waiting

    def ready(self, entry: Entry[K], value: object) -> None:
        """It was made."""
        entry.stage, entry.value = Stage.READY, value
        self._ready[entry] = None

    def failed(self, entry: Entry[K], error: BaseException) -> None:
        """It could not be made; who waits is told, and who asks next makes it anew."""
        entry.value = error
        self._forget(entry, Stage.FAILED)

    def dropped(self, entry: Entry[K]) -> None:
        """Its making was broken off; who waits asks again."""
        self._forget(entry, Stage.DROPPED)

    def gone(self, entry: Entry[K]) -> None:
        """It was torn down."""
        del self._ready[entry]
        entry.value = None
        self._forget(entry, Stage.GONE)

    def last(self) -> Entry[K] | None:
        """The one that is torn down next, if there is any."""
        return next(reversed(self._ready), None)

    def _forget(self, entry: Entry[K], stage: Stage) -> None:
        entry.stage = stage
        del self._by_key[entry.key]
