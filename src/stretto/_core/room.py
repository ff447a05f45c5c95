"""The room in the queues of a run that has a bound, and who waits for some: a data structure that knows no inputs.

Only what is *sent* needs room. What a step returns, and what is tried again, has a worker to leave and always finds
some, so a bounded run cannot lock itself up by returning events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import Context
from typing import final

from ..events import Event
from .delivery import Delivery

__all__ = ["Room", "Sender"]


@final
class Sender:
    """Somebody who waits for room for an event.

    Attributes:
        delivery: The step that sends it; None for somebody outside.
        wake: Called by the driver when the event was sent, or `error` says why not; never by the core.
        parks: Whether all of the step waits; a task that it has started is not all of it.
    """

    __slots__ = ("carry", "delivery", "error", "event", "parks", "step", "wake")

    def __init__(
        self,
        delivery: Delivery | None,
        event: Event,
        step: str | None,
        *,
        carry: Context,
        wake: Callable[[], object],
        parks: bool,
    ) -> None:
        self.delivery = delivery
        self.event = event
        self.step = step
        self.carry = carry
        self.wake = wake
        self.parks = parks
        self.error: Exception | None = None


@final
class Room:
    """How many events may wait for a worker in all the queues of a run together.

    Attributes:
        size: The bound; infinity if only steps have bounds of their own.
        queued: How many wait; more than `size` if steps have returned them.
        parked: How many steps wait for room with all they have.
    """

    __slots__ = ("_senders", "parked", "queued", "size")

    def __init__(self, size: float) -> None:
        self.size = size
        self.queued = 0
        self.parked = 0
        self._senders: dict[Sender, None] = {}

    def fits(self, count: int) -> bool:
        """Whether so many more may wait; none needs no room."""
        return not count or self.queued + count <= self.size

    def add(self, sender: Sender) -> None:
        """It waits from now on, behind all others."""
        self._senders[sender] = None
        self.parked += sender.parks

    def discard(self, sender: Sender) -> None:
        """It waits no more, if it did."""
        if sender in self._senders:
            del self._senders[sender]
            self.parked -= sender.parks

    def first(self) -> Sender | None:
        """Who has waited longest."""
        return next(iter(self._senders), None)

    def last_parked(self) -> Sender:
        """The step that began last to wait with all it has; there is one."""
        return next(each for each in reversed(self._senders) if each.parks)

    def __iter__(self) -> Iterator[Sender]:
        return iter(self._senders)

    def __bool__(self) -> bool:
        return bool(self._senders)
