"""What a step that joins is given in place of one event."""

from __future__ import annotations

from typing import final

from ..events import Event

__all__ = ["Joined"]


@final
class Joined(Event):
    """The events that a join is called with, in the order in which its step takes them."""

    events: tuple[Event, ...]

    def __repr__(self) -> str:
        return repr([*self.events])
