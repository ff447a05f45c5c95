"""Who waits for the readers of a stream, and which readers are to be waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, final

__all__ = ["Line", "Slow"]


class Slow(Protocol):
    """A reader that is to be waited for."""

    @property
    def has_room(self) -> bool:
        """Whether it may be given one more event."""
        ...

    def pause(self, task: int) -> None:
        """This task does not read for now."""

    def resume(self, task: int) -> None:
        """This task is about to read again."""


@final
class Line:
    """Those who wait to write to one stream until all of its slow readers have room, in the order of asking.

    Attributes:
        readers: Whom they wait for.
        writers: What wakes each of them.
    """

    __slots__ = ("readers", "writers")

    def __init__(self) -> None:
        self.readers: dict[Slow, None] = {}
        self.writers: dict[object, Callable[[], object]] = {}

    @property
    def has_room(self) -> bool:
        """Whether one more event may be written."""
        return all(reader.has_room for reader in self.readers)

    def enter(self, writer: object, wake: Callable[[], object]) -> None:
        """It waits from now on, behind all others; or, where it waits already, for another call."""
        self.writers[writer] = wake

    def is_turn_of(self, writer: object) -> bool:
        """Whether it has waited longest and there is room."""
        return next(iter(self.writers)) is writer and self.has_room

    def look(self) -> None:
        """There may be room: whoever has waited longest is woken, and looks for itself."""
        if self.writers and self.has_room:
            next(iter(self.writers.values()))()

    def leave(self, writer: object) -> None:
        """It waits no more: the next one may have its turn."""
        self.writers.pop(writer, None)
        self.look()

    def pause(self, task: int) -> None:
        """Nobody waits for what this task reads, until it reads again."""
        for reader in self.readers:
            reader.pause(task)
        self.look()

    def resume(self, task: int) -> None:
        """What this task reads is waited for again."""
        for reader in self.readers:
            reader.resume(task)

    def discard(self, reader: Slow) -> None:
        """It is no longer waited for."""
        if reader in self.readers:
            del self.readers[reader]
            self.look()
