"""An event that no step takes, on its way to who waits for it."""

from __future__ import annotations

from typing import final

from ..events import Event

__all__ = ["Mail"]


@final
class Mail:
    """An event that no step takes, and whether it came from outside the run."""

    __slots__ = ("event", "outside")

    def __init__(self, event: Event, outside: bool) -> None:  # noqa: FBT001 - two of two
        self.event = event
        self.outside = outside
