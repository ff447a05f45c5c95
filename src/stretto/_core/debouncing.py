"""What waits until nothing more of its key comes: of each key one at most, the last."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar, final

from .policies import Quiet

__all__ = ["Debounced"]

T = TypeVar("T", bound=Hashable)


@final
class Debounced(Generic[T]):
    """What one step waits with, by key."""

    __slots__ = ("_by_key", "_keys", "_quiet")

    def __init__(self, quiet: Quiet) -> None:
        self._quiet = quiet
        self._by_key: dict[Hashable, tuple[T, float]] = {}
        self._keys: dict[T, Hashable] = {}

    def knows(self, key: Hashable) -> bool:
        """Whether something of a key waits."""
        return key in self._by_key

    def put(self, what: T, key: Hashable, at: float) -> tuple[T | None, float]:
        """Something comes; gives what it takes the place of, and when it will be due if nothing more comes."""
        earlier, since = self._by_key.get(key, (None, at))
        if earlier is not None:
            del self._keys[earlier]
        self.put_back(what, key, since)
        due = at + self._quiet.seconds
        if self._quiet.at_most is not None:
            due = min(due, since + self._quiet.at_most)
        return earlier, max(at, due)

    def put_back(self, what: T, key: Hashable, since: float) -> None:
        """Something that came after others of its key, the first of which came then."""
        self._by_key[key] = what, since
        self._keys[what] = key

    def since(self, what: T) -> float:
        """When the first of those came whose last it is."""
        return self._by_key[self._keys[what]][1]

    def discard(self, what: T) -> bool:
        """It is due, or nobody wants it any more; whether it was there."""
        if what not in self._keys:
            return False
        del self._by_key[self._keys.pop(what)]
        return True
