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

from .errors import StreamOverflowError
from .events import Event, StepStateChanged, StreamGap

if TYPE_CHECKING:
    import anyio.lowlevel
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from ._latest import LatestEvents
    from ._line import Line
    from ._unread import FirstEvents

__all__ = ["EventStream", "Hub", "Subscription"]

Unread: TypeAlias = Union[deque[Event], "LatestEvents", "FirstEvents"]

_TURNS = 64  # after so many events at hand a reader lets the loop have a turn


class Subscription:
    """The place of one reader; those of readers that have declared a policy are in `_overflow`.

    Attributes:
        events: What it has not read: filled by the hub, emptied by the reader.
        missed: How many events were pushed out since the reader last looked.
        lost: How many of them belong to the stream; the others are internal, and are not told to the next reader.
        waits: Whether it has read everything and waits.
        overrun: Where in the stream it was given up; None while it is not.
    """

    __slots__ = ("_send", "events", "internal", "lost", "missed", "receive", "waits")

    events: Unread
    overrun: int | None = None

    def __init__(self, *, internal: bool) -> None:
        self.internal = internal
        self.events = deque()
        self.missed = self.lost = 0
        self.waits = False
        self._send: MemoryObjectSendStream[Unread]
        self.receive: MemoryObjectReceiveStream[Unread]
        self._send, self.receive = anyio.create_memory_object_stream[Unread](1)

    def give(self, event: Event, size: int) -> None:
        """An event for a reader that waits, or has not read so many."""
        self.events.append(event)
        if len(self.events) > size:
            self.push_out()
        if self.waits:
            self.wake()

    def give_last(self, event: Event, size: int) -> None:
        """The terminal event."""
        self.give(event, size)

    def push_out(self) -> Event:
        """The oldest has no room, and is told in a gap."""
        return self.miss(self.events.popleft())

    def miss(self, event: Event) -> Event:
        """It is told in a gap before all that is there."""
        self.lost += type(event) is not StepStateChanged
        self.missed += 1
        return event

    def wake(self) -> None:
        """The reader waits, and there is something to read."""
        self.waits = False
        self._send.send_nowait(self.events)

    def end(self) -> None:
        """Nothing follows."""
        self._send.close()

    @property
    def behind(self) -> int:
        """How many events of the stream it has not read and was not told of."""
        return self.lost + sum(type(event) is not StepStateChanged for event in self.events)

    @property
    def superseded(self) -> int:
        """How many it was not given, since a later one of their key had come."""
        return 0

    def close(self) -> None:
        """The reader is gone."""
        self._send.close()
        self.receive.close()


@final
class Hub:
    """What was written, and who reads.

    Attributes:
        written: How many events there were, the terminal one included.
        resume_at: Where a reader stopped that was left in the middle: the next one goes on there.
        size: How many events it keeps, and how many a reader may be behind.
        line: Who waits for the readers that are to be waited for; None while there was no such reader.
    """

    __slots__ = ("_readers", "_recent", "closed", "line", "resume_at", "size", "written")

    def __init__(self, size: int, *, already_missed: int = 0) -> None:
        self.size = size
        self.line: Line | None = None
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
            if reader.waits or len(reader.events) >= self.size:
                reader.give(event, self.size)
            else:
                reader.events.append(event)

    def publish_internal(self, event: Event) -> None:
        """Gives the event to the present readers that asked for internal ones."""
        for reader in self._readers:
            if reader.internal:
                reader.give(event, self.size)

    def close(self, terminal: Event) -> None:
        """Writes the last event and ends every reader."""
        if self.closed:
            return
        self._recent.append(terminal)
        self.written += 1
        self.closed = True
        for reader in self._readers:
            reader.give_last(terminal, self.size)
            reader.end()
        self._readers = []

    def subscribe(self, reader: Subscription, at: int | None = None) -> None:
        """A new reader, who sees everything from `at`, or where the last one was left, or from the start."""
        begin = self.resume_at if at is None else at
        self.resume_at = 0
        oldest = self.written - len(self._recent)
        first = max(oldest, begin)
        reader.missed = reader.lost = first - begin
        reader.events.extend(islice(self._recent, first - oldest, None))
        if self.closed:
            reader.end()
        else:
            self._readers.append(reader)

    def leave(self, reader: Subscription, *, done: bool) -> int:
        """A reader goes; if it had not seen the end, its place, which is returned, is kept for the next."""
        place = (self.written if reader.overrun is None else reader.overrun) - reader.behind
        if not done:
            self.resume_at = place
        self.give_up(reader)
        reader.close()
        return place

    def give_up(self, reader: Subscription) -> None:
        """It is given nothing more."""
        if reader in self._readers:
            self._readers = [each for each in self._readers if each is not reader]  # not while one is written

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
        subscription: Callable[[], Subscription],
        *,
        on_cancel: Callable[[], Awaitable[None]],
        keep: object,
    ) -> None:
        self._hub = hub
        self._subscription = subscription
        self._keep = keep  # the handler: a run whose handler is dropped is cancelled
        self._on_cancel = on_cancel
        self._place: int | None = None
        self._done = self._yields = False
        self._open()

    def _open(self) -> None:
        self._reader = self._subscription()
        self._hub.subscribe(self._reader, self._place)
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
        if self._reader.overrun is not None and not (self._events or self._reader.missed):
            self.close()
            raise self._overrun(self._reader.overrun)
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

    def _overrun(self, place: int) -> StreamOverflowError:
        """What a reader is told that has read all that it was given before it was given up."""
        size = self._hub.size
        missed = max(1, self._hub.written - place)
        return StreamOverflowError(
            f"a reader with overflow='fail' was more than stream_buffer={size} events behind, and has missed {missed} "
            f"by now; read faster, raise stream_buffer, or let it do without some by "
            "overflow='drop_newest' or 'drop_oldest'; where the step may wait, write with await ctx.write(…) and "
            "read with overflow='wait'",
            missed,
        )

    @property
    def superseded(self) -> int:
        """With ``latest=``: how many events it has left out, since a later one of their key had come."""
        return self._reader.superseded

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
