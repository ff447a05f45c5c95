"""What a reader has not read who wants of each key only the latest event: as many as there are keys, and no more.

To whom comes late, a price or a progress of a moment ago is of no use. It is the reader who says so, since another one
may want them all. Kotlin's flows call that to conflate.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import final

from .events import Event, Streamed

__all__ = ["LatestEvents"]


@final
class LatestEvents:
    """A queue in which an event takes the place of an earlier one of its class that has the same value in a field.

    An event that has no such field, or a value that cannot be hashed, takes no other's place.

    Args:
        field: Its name.
        left_out: Called with each event that is left out while somebody reads.

    Attributes:
        superseded: How many were left out so.
        passed: How many of these since it was last empty: a reader that is left begins again before them.
    """

    __slots__ = ("_events", "_field", "_left_out", "passed", "superseded")

    def __init__(self, field: str, left_out: Callable[[Event], object]) -> None:
        self._field = field
        self._left_out = left_out
        self._events: OrderedDict[Hashable, Event] = OrderedDict()
        self.superseded = self.passed = 0

    def append(self, event: Event) -> None:
        """It comes in last; an earlier one of its key is left out."""
        earlier = self._put(event)
        if earlier is not None:
            self._left_out(earlier)

    def extend(self, events: Iterable[Event]) -> None:
        """They were there before somebody reads; only the latest ones come in."""
        for event in events:
            self._put(event)

    def _put(self, event: Event) -> Event | None:
        key = self._key(event)
        earlier = self._events.pop(key, None)
        if earlier is not None:
            self.superseded += 1
            self.passed += 1
        self._events[key] = event
        return earlier

    def popleft(self) -> Event:
        """Takes out the first."""
        _, event = self._events.popitem(last=False)
        if not self._events:
            self.passed = 0
        return event

    def clear(self) -> None:
        """Nothing is left."""
        self._events.clear()
        self.passed = 0

    def _key(self, event: Event) -> Hashable:
        told = event.event if isinstance(event, Streamed) else event
        value = getattr(told, self._field, self)
        try:
            key = object() if value is self else (type(told), hash(value), value)
            self._events.get(key)
        except Exception:  # noqa: BLE001 - it cannot be hashed or compared, and is like no other
            return object()
        return key

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events.values())
