"""Who acts in a run that is explored: a delivery, with what its moves are named by."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from typing import Any, final

import anyio
import attrs

from .._core.state import Delivery
from ._delivered import Delivered

__all__ = ["Actor", "present"]


@final
@attrs.define(eq=False)
class Actor:
    """A step at work.

    Attributes:
        seen: What a test will see of it.
        run: The driver of its run.
        delivery: What the engine knows it by.
        path: Its name, which is the same in each schedule: that of its cause, and the how manieth for this step.
        made: How many deliveries it has caused, by step.
        moves: How many moves it has made.
        waiting: How many of its tasks wait at a gate.
        opaque: Whether all that it does may touch an object that others have too.
        unknown: Whether nothing is known of what it touches, nor of the names of its moves.
        scope: What its body runs in, where it may be cancelled alone.
    """

    seen: Delivered
    run: Any
    delivery: Delivery
    path: str
    made: Counter[str] = attrs.Factory(Counter[str])
    moves: int = 0
    waiting: int = 0
    opaque: bool = False
    unknown: bool = False
    scope: anyio.CancelScope | None = None

    @property
    def can_be_cut(self) -> bool:
        """Whether it may be cancelled alone, and was not."""
        return self.scope is not None and not self.scope.cancel_called

    def key(self, point: str) -> str:
        """The name of its next move."""
        self.moves += 1
        return f"{self.path}:{point}{self.moves}"

    def __str__(self) -> str:
        return str(self.seen)


# Whose code is on the stack; it is inherited by what a step sends, and so tells the cause of each delivery.
present: ContextVar[Actor | None] = ContextVar("stretto_testing_present", default=None)
