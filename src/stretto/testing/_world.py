"""What keeps virtual time for one event loop, whichever it is."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, final

import anyio

__all__ = ["PATIENCE", "PULSE", "World"]

PATIENCE = 5.0
"""Real seconds to wait for a socket before a program whose tasks all wait is called stuck."""


@final
class _Pulse:
    """How often any loop in virtual time has turned."""

    turns = 0


PULSE = _Pulse()


class World(Protocol):
    """The time of one loop.

    Attributes:
        threads: How many of anyio's worker threads are at work.
        frozen: Whether time stands still even while a thread is at work.
        guard: The scope of the program, cancelled when it is stuck for good.
        stuck: What each task was waiting at then.
    """

    threads: int
    frozen: bool
    guard: anyio.CancelScope | None
    stuck: str | None

    def count(self, change: int) -> None:
        """A thread began (1) or ended (-1)."""

    def idle(self) -> Awaitable[None]:
        """Returns when nobody can do anything but wait, and no thread is at work; time has not jumped then."""
        ...

    def jump(self, seconds: float) -> None:
        """Time passes at once; what was due meanwhile happens next."""
