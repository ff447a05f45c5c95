"""Where somebody waits for its turn, what may happen there, and what is told of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

import anyio
import attrs

from ._actor import Actor
from ._schedule import Move
from ._undoers import Undoer

__all__ = ["Chance", "Place", "Taken"]


@final
@attrs.frozen
class Taken:
    """A move that was made: what it was, when, and what the normal order would have had instead, if that is another."""

    words: str
    at: float
    instead: str | None = None


@final
@attrs.define(eq=False)
class Place:
    """Somebody who waits at a gate.

    Attributes:
        undoer: Who waits, if that is an undo.
        before: What it does before it goes on, if that is a fault; it may not come back from it.
    """

    who: Actor | None
    point: str
    move: Move
    number: int
    go: anyio.Event
    round: int = 0
    undoer: Undoer | None = None
    before: Callable[[], Awaitable[object]] | None = None

    @property
    def is_too_late(self) -> bool:
        """Whether a step returns to a run that is over: there is nothing to choose any more."""
        return self.point == "end" and self.who is not None and self.who.run.machine.ended is not None

    def begin(self) -> None:
        """It goes on."""
        self.go.set()


@final
@attrs.frozen(eq=False)
class Chance:
    """A fault that could happen now.

    Attributes:
        fault: Its name in `Faults`.
        who: The step that it happens to, if it is one.
        begin: Makes it happen.
    """

    fault: str
    move: Move
    who: Actor | None
    begin: Callable[[], object]
