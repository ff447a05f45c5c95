"""Of which key a step has one already: what is at work, waits, or is to be tried again."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar, final

__all__ = ["Singletons"]

T = TypeVar("T", bound=Hashable)


@final
class Singletons(Generic[T]):
    """What there is of each key; usually one, and two while an earlier one that was cancelled is being cleaned up."""

    __slots__ = ("_by_key", "_keys")

    def __init__(self) -> None:
        self._by_key: dict[Hashable, dict[T, None]] = {}
        self._keys: dict[T, Hashable] = {}

    def others(self, key: Hashable) -> list[T]:
        """What there is of a key, oldest first."""
        return list(self._by_key.get(key, ()))

    def knows(self, key: Hashable) -> bool:
        """Whether there is something of a key."""
        return key in self._by_key

    def add(self, what: T, key: Hashable) -> None:
        """There is one more."""
        self._by_key.setdefault(key, {})[what] = None
        self._keys[what] = key

    def discard(self, what: T) -> None:
        """It is over."""
        if what in self._keys:
            key = self._keys.pop(what)
            del self._by_key[key][what]
            if not self._by_key[key]:
                del self._by_key[key]
