"""Turns: at most so many at once, the rest in order. A data structure that knows no inputs and no effects.

Two things are limited by it, bodies of steps (`Limit`) and runs of a workflow (``num_concurrent_runs``). Whoever comes
joins; who leaves, whether it had a turn or gave up waiting for one, says by that whose turn it is now. Joining and
leaving are O(1), also from the middle of the line.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar, final

__all__ = ["Turns"]

K = TypeVar("K")


@final
class Turns(Generic[K]):
    """Who has a turn, and who waits for one.

    Attributes:
        most: How many may have a turn at once.
    """

    __slots__ = ("_having", "_waiting", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._having: set[K] = set()
        # Not a dict: to find the first of one that shrinks at its head costs O(n).
        self._waiting: OrderedDict[K, None] = OrderedDict()

    def join(self, who: K) -> bool:
        """Comes in last; whether it has a turn at once."""
        if len(self._having) < self.most:  # then nobody waits
            self._having.add(who)
            return True
        self._waiting[who] = None
        return False

    def has(self, who: K) -> bool:
        """Whether it is its turn."""
        return who in self._having

    def leave(self, who: K) -> K | None:
        """Goes, having had its turn or not; gives who has a turn by that. Who has left may leave again."""
        if who not in self._having:
            self._waiting.pop(who, None)
            return None
        self._having.remove(who)
        if not self._waiting:
            return None
        following, _ = self._waiting.popitem(last=False)
        self._having.add(following)
        return following
