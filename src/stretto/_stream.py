"""The stream of a run: what steps write, for any number of readers.

The `Hub` keeps the last `stream_buffer` events, and for each reader those that it has not read, as many at most.
Writing never waits: a reader that is further behind loses its oldest events and is told how many, by a
`StreamGap`. A reader that has read everything waits in a memory object stream, and is handed its deque there
when something is written; what is at hand it takes from the deque, for a sixth of what the stream would cost.

A reader is a class iterator, never an async generator: leaving one of those in the middle with a task group open
breaks the loop (PEP 789).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, Union, final

import anyio

from .events import Event, StepStateChanged, StreamGap

if TYPE_CHECKING:
    import anyio.lowlevel
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from ._latest import LatestEvents

__all__ = ["EventStream", "Hub"]

Unread: TypeAlias = Union[deque[Event], "LatestEvents"]

_TURNS = 64  # after so many events at hand a reader lets the loop have a turn


@final
class Subscription:
    """The place of one reader.

    Attributes:
        events: What it has not read: filled by the hub, emptied by the reader.
        missed: How many events were pushed out since the reader last looked.
        lost: How many of them belong to the stream; the others are internal, and are not told to the next reader.
        waits: Whether it has read everything and waits.
    """

    __slots__ = ("_send", "events", "internal", "lost", "missed", "receive", "waits")

    def __init__(self, *, internal: bool, latest: str | None = None) -> None:
        self.internal = internal
        self.events: Unread = deque() if latest is None else _latest_events(latest)
        self.missed = self.lost = 0
        self.waits = False
        self._send: MemoryObjectSendStream[Unread]
        self.receive: MemoryObjectReceiveStream[Unread]
        self._send, self.receive = anyio.create_memory_object_stream[Unread](1)

    def wake(self) -> None:
        """The reader waits, and there is something to read."""
        self.waits = False
        self._send.send_nowait(self.events)

    def end(self) -> None:
        """Nothing follows."""
        self._send.close()

    @property
    def passed(self) -> int:
        """How many it will not read, since a later one of their key has come."""
        return 0 if isinstance(self.events, deque) else self.events.passed

    def close(self) -> None:
        """The reader is gone."""
        self._send.close()
        self.receive.close()


def _latest_events(field: str) -> LatestEvents:
    from ._latest import LatestEvents  # noqa: PLC0415 - for who asks for them

    return LatestEvents(field)


@final
class Hub:
    """What was written, and who reads.

    Attributes:
        written: How many events there were, the terminal one included.
        resume_at: Where a reader stopped that was left in the middle: the next one goes on there.
    """

    __slots__ = ("_readers", "_recent", "_size", "closed", "resume_at", "written")

    def __init__(self, size: int, *, already_missed: int = 0) -> None:
        self._size = size
        self._recent: deque[Event] = deque(maxlen=size)
        self._readers: list[Subscription] = []
        self.written = already_missed
        self.resume_at = 0
        self.closed = False

    def publish(self, event: Event) -> None:
        """Gives the event to all readers, now and to come; O(readers)."""
        self._recent.append(event)
        self.written += 1
        for reader in self._readers:
            if reader.waits or len(reader.events) >= self._size:
                self._give(reader, event)
            else:
                reader.events.append(event)

    def publish_internal(self, event: Event) -> None:
        """Gives the event to the present readers that asked for internal ones."""
        for reader in self._readers:
            if reader.internal:
                self._give(reader, event)

    def _give(self, reader: Subscription, event: Event) -> None:
        events = reader.events
        events.append(event)
        if len(events) > self._size:
            reader.lost += type(events.popleft()) is not StepStateChanged
            reader.missed += 1
        if reader.waits:
            reader.wake()

    def close(self, terminal: Event) -> None:
        """Writes the last event and ends every reader."""
        if self.closed:
            return
        self.publish(terminal)
        self.closed = True
        for reader in self._readers:
            reader.end()
        self._readers = []

    def subscribe(self, *, internal: bool, at: int | None = None, latest: str | None = None) -> Subscription:
        """A new reader, who sees everything from `at`, or where the last one was left, or from the start.

        If `latest` names a field, of each value of that only the latest event which was not read.
        """
        begin = self.resume_at if at is None else at
        self.resume_at = 0
        oldest = self.written - len(self._recent)
        first = max(oldest, begin)
        reader = Subscription(internal=internal, latest=latest)
        reader.missed = reader.lost = first - begin
        reader.events.extend(islice(self._recent, first - oldest, None))
        if self.closed:
            reader.end()
        else:
            self._readers.append(reader)
        return reader

    def leave(self, reader: Subscription, *, done: bool) -> int:
        """A reader goes; if it had not seen the end, its place, which is returned, is kept for the next."""
        unread = sum(type(event) is not StepStateChanged for event in reader.events)
        place = self.written - unread - reader.lost - reader.passed
        if not done:
            self.resume_at = place
        if reader in self._readers:
            self._readers.remove(reader)
        reader.close()
        return place

    @property
    def watched(self) -> bool:
        """Whether a present reader asked for internal events."""
        return any(reader.internal for reader in self._readers)


@final
class EventStream:
    """Iterates over the events of a run until its last, the terminal one; never raises the run's own error.

    A cancellation of the reader goes on to ``on_cancel`` first, which for a run that nobody else owns cancels
    it.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        internal: bool,
        on_cancel: Callable[[], Awaitable[None]],
        keep: object,
        latest: str | None = None,
    ) -> None:
        self._hub = hub
        self._latest = latest
        self._keep = keep  # the handler: a run whose handler is dropped is cancelled
        self._on_cancel = on_cancel
        self._internal = internal
        self._place: int | None = None
        self._done = self._yields = False
        self._open()

    def _open(self) -> None:
        self._reader = self._hub.subscribe(internal=self._internal, at=self._place, latest=self._latest)
        self._events = self._reader.events
        self._turns = _TURNS
        self._place = None

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        self._turns -= 1
        if self._turns and self._events and not self._reader.missed:
            return self._events.popleft()
        return await self._next()

    async def _next(self) -> Event:
        """The next event where there is more to do: a gap to be told, nothing to read, the loop's turn."""
        while self._turns <= 0 or not (self._events or self._reader.missed):
            self._turns = _TURNS
            await self._wait()
        if self._reader.missed:
            missed, self._reader.missed, self._reader.lost = self._reader.missed, 0, 0
            return StreamGap(missed=missed)
        return self._events.popleft()

    async def _wait(self) -> None:
        """Waits until there is something to read, or lets the loop have a turn where there is."""
        if self._done:
            raise StopAsyncIteration
        if self._place is not None:
            self._open()
            if self._events or self._reader.missed:  # who polls with a time limit gets on
                return
        reader = self._reader
        if reader.waits or self._yields:
            raise anyio.BusyResourceError("reading from")
        try:
            if self._events:
                self._yields = True
                await anyio.lowlevel.checkpoint()
            else:
                reader.waits = True
                await reader.receive.receive()
        except anyio.EndOfStream:
            self.close(done=True)
            raise StopAsyncIteration from None
        except (
            BaseException
        ):  # the reader was cancelled; it may go on here later, or leave its place to another
            self._place = self._hub.leave(reader, done=False)
            reader.events.clear()  # the one that goes on here later reads them
            reader.waits, reader.missed, reader.lost = False, 0, 0
            await self._on_cancel()  # noqa: ASYNC102 - it shields itself
            raise
        finally:
            self._yields = False

    @property
    def superseded(self) -> int:
        """With ``latest=``: how many events it has left out, since a later one of their key had come."""
        return 0 if isinstance(self._events, deque) else self._events.superseded

    def close(self, *, done: bool = False) -> None:
        """Stops reading; the run goes on, and the next reader begins here."""
        if not self._done:
            self._done = True
            if self._place is None:
                self._hub.leave(self._reader, done=done)
            self._events.clear()

    def __del__(self) -> None:
        if hasattr(self, "_turns"):
            self.close()
