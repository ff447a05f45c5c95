"""What a reader has not read: of one who keeps what came first, and of one for whom writers wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import final

import anyio

from .events import Event, StepStateChanged, StreamGap

__all__ = ["AwaitedEvents", "FirstEvents"]


@final
class _Hole:
    """Where events are missing, and how many; how many of them belong to the stream, and are not internal."""

    __slots__ = ("lost", "missed")

    def __init__(self) -> None:
        self.missed = self.lost = 0


@final
class FirstEvents:
    """A queue of events, with gaps between them, which do not count for its length.

    There is at most one gap for each event and one more, since a gap begins where the queue is full.
    """

    __slots__ = ("_count", "_entries")

    def __init__(self) -> None:
        self._entries: deque[Event | _Hole] = deque()
        self._count = 0

    def append(self, event: Event) -> None:
        """It comes in last."""
        self._entries.append(event)
        self._count += 1

    def extend(self, events: Iterable[Event]) -> None:
        """They come in one by one."""
        for event in events:
            self.append(event)

    def miss(self, event: Event) -> None:
        """It has no room, and is missing after what is there."""
        hole = self._entries[-1] if self._entries else None
        if not isinstance(hole, _Hole):
            hole = _Hole()
            self._entries.append(hole)
        hole.missed += 1
        hole.lost += type(event) is not StepStateChanged

    def popleft(self) -> Event:
        """Takes out the first; a `StreamGap` where some are missing."""
        entry = self._entries.popleft()
        if isinstance(entry, _Hole):
            return StreamGap(missed=entry.missed)
        self._count -= 1
        return entry

    def clear(self) -> None:
        """Nothing is left."""
        self._entries.clear()
        self._count = 0

    @property
    def lost(self) -> int:
        """How many events of the stream are missing in it."""
        return sum(entry.lost for entry in self._entries if isinstance(entry, _Hole))

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[Event]:
        return (entry for entry in self._entries if not isinstance(entry, _Hole))


@final
class AwaitedEvents(deque[Event]):
    """A queue for which writers wait: says when there is room.

    Args:
        took: Called when something was taken out.

    Attributes:
        task: Who has read last.
        away: Whether that task cannot read now.
    """

    def __init__(self, took: Callable[[], object]) -> None:
        super().__init__()
        self._took = took
        self.task = anyio.get_current_task().id
        self.away = False

    def drop_first(self) -> Event:
        """Takes it out unread."""
        return super().popleft()

    def popleft(self) -> Event:
        """Takes out the first, which is read."""
        event = super().popleft()
        self.task = anyio.get_current_task().id
        self.away = False
        self._took()
        return event
