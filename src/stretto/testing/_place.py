"""Where somebody waits for its turn, and what is told of it."""

from __future__ import annotations

from typing import final

import anyio
import attrs

from ._actor import Actor
from ._faults import Fault, Faults
from ._schedule import Move

__all__ = ["Place", "Taken", "move_of"]


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
    """Somebody who waits at a gate."""

    who: Actor | None
    point: str
    key: str
    words: str
    number: int
    go: anyio.Event
    round: int = 0
    fault: Fault | None = None

    @property
    def is_too_late(self) -> bool:
        """Whether a step returns to a run that is over: there is nothing to choose any more."""
        return self.point == "end" and self.who is not None and self.who.run.machine.ended is not None


def move_of(place: Place, fault: Fault | None, faults: Faults) -> Move:
    """What can happen there, with a fault or without."""
    if fault is None:
        return Move(place.key, place.words)
    who = place.who
    match fault.kind:
        case "raise":
            error = "" if faults.raises is None else faults.raises.__name__
            when = "in place of beginning" if place.point == "start" else "in place of returning"
            words = f"{who} raises {error} {when}"
        case "hang":
            words = f"{who} hangs"
        case "cancel":
            words = "the run is cancelled"
        case _:
            words = "the time limit of the run passes"
    key = fault.kind if fault.kind in {"cancel", "timeout"} else f"{place.key}!{fault.kind}"
    return Move(key, words, fault=True)
