"""Who goes on of those that share so many places, where the last that come go on. No inputs, no effects.

Only who goes on is in it, in the order in which they came: who has been told to give way, or ends by itself, is not,
though its place may not be free yet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Generic, TypeVar, final

__all__ = ["Crowd"]

K = TypeVar("K")


@final
class Crowd(Generic[K]):
    """Those that go on.

    Attributes:
        most: How many may.
    """

    __slots__ = ("_going_on", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._going_on: OrderedDict[K, None] = OrderedDict()

    def join(self, who: K) -> None:
        """Goes on, and has come last."""
        self._going_on[who] = None

    def leave(self, who: K) -> None:
        """Goes on no more; who has left may leave again."""
        self._going_on.pop(who, None)

    @property
    def is_too_large(self) -> bool:
        """Whether one of them has to give way."""
        return len(self._going_on) > self.most

    def oldest(self, spared: Collection[K]) -> K | None:
        """Who came first, but none of these."""
        return next((who for who in self._going_on if who not in spared), None)

    def __contains__(self, who: object) -> bool:
        return who in self._going_on

    def __len__(self) -> int:
        return len(self._going_on)
