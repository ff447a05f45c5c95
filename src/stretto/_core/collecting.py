"""The buffers of `Context.collect_events`: a data structure that knows no inputs and no effects.

A buffer belongs to one run, one step and one id. Its rule: a batch is due when the arrivals not yet consumed
contain the expected multiset; the batch takes, for each expected slot in order, the earliest arrival of
exactly that type, and the rest stays for the next round. Arrivals are kept by type, with a count of the types
that still fall short, so an arrival costs O(1) however many are expected; only a batch, which is that long
itself, is walked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeGuard, final

from ..errors import CollectError, names, shown, shown_beside
from ..events import Event
from .delivery import Delivery

__all__ = ["Buffer", "Buffers"]

# Lists up to this length are compared each time, so that one changed in place is noticed; a longer one is
# recognised by identity, because comparing it would make an arrival cost O(k).
_COMPARED = 64


@final
class Buffer:
    """The arrivals of one buffer that no batch has taken yet.

    Attributes:
        expected: The list that was given last; `kinds` is what it held then.
        held: How many arrivals are kept.
        short: How many of the expected types have too few arrivals.
    """

    __slots__ = ("arrived", "expected", "held", "kinds", "need", "short")

    expected: Sequence[type[Event]]
    kinds: Sequence[type[Event]]
    need: dict[type, int]
    short: int

    def __init__(self, expected: Sequence[type[Event]], arrived: Sequence[Event] = ()) -> None:
        self.arrived: dict[type, deque[Event]] = {}
        for event in arrived:  # before a restart
            self.arrived.setdefault(type(event), deque()).append(event)
        self.held = len(arrived)
        self.expect(expected)

    def expect(self, expected: Sequence[type[Event]]) -> None:
        """Sets what makes a batch; what has arrived stays, and may satisfy it."""
        self.expected, self.kinds, self.need = expected, expected[:], {}
        for kind in expected:
            self.need[kind] = self.need.get(kind, 0) + 1
        self._count_short()

    def add(self, event: Event) -> None:
        """Keeps an arrival of an expected type."""
        kind = type(event)
        queue = self.arrived.get(kind)
        if queue is None:
            queue = self.arrived[kind] = deque()
        queue.append(event)
        self.held += 1
        if len(queue) == self.need[kind]:
            self.short -= 1

    def take(self) -> list[Event]:
        """The batch, in the order expected; only when nothing is `short`."""
        arrived = self.arrived
        batch = [arrived[kind].popleft() for kind in self.kinds]
        self.held -= len(batch)
        self._count_short()
        return batch

    def missing(self) -> Iterator[tuple[type, int, int]]:
        """For each type that falls short: the type, how many there are and how many are needed."""
        for kind, count in self.need.items():
            has = len(self.arrived.get(kind, ()))
            if has < count:
                yield kind, has, count

    def _count_short(self) -> None:
        self.short = sum(1 for _ in self.missing())


@final
class Buffers:
    """All buffers of one run, by step and id."""

    __slots__ = ("by_key", "limit")

    def __init__(self, limit: int) -> None:
        self.by_key: dict[tuple[int, Hashable], Buffer] = {}
        self.limit = limit

    def collect(
        self, delivery: Delivery, event: Event, expected: Sequence[type[Event]], buffer_id: Hashable
    ) -> list[Event] | None:
        """Adds the event once for this delivery, and takes a batch if one is due.

        Raises:
            CollectError: If the event's type is not expected, `expected` holds something else than event
                classes, or the buffer is full; nothing is stored then.
        """
        if not expected and isinstance(expected, (list, tuple)):
            return []
        key = (delivery.step.index, buffer_id)
        buffer = self.by_key.get(key)
        if buffer is None or not (
            expected is buffer.expected and len(expected) == len(buffer.kinds) > _COMPARED
        ):
            buffer = _expecting(delivery, buffer, expected)
        if type(event) not in buffer.need:
            given = shown_beside(event, buffer.need)
            raise CollectError(
                f"collect_events in {delivery.step.label} was given {given} and expects only "
                f"{', '.join(names(buffer.need, (type(event),)))}; it was not stored; name its type "
                "in the list, or collect it in a step of its own"
            )
        if delivery.collected is None:
            delivery.collected = {}
        mark, past = (key, id(event)), delivery.past
        again = None if past is None else past.take_again(mark, expected)
        if again is not None:
            return again
        if mark not in delivery.collected:
            if buffer.held >= self.limit:
                raise self._full(delivery, buffer)
            buffer.add(event)
            self.by_key[key] = buffer
            delivery.collected[mark] = event
        if buffer.short:
            return None
        batch = buffer.take()
        if not buffer.held:
            del self.by_key[key]
        return delivery.own_past().take(mark, batch)

    def leftovers(self) -> Iterator[Event]:
        """Arrivals that no batch has taken."""
        for buffer in self.by_key.values():
            for queue in buffer.arrived.values():
                yield from queue

    @staticmethod
    def _full(delivery: Delivery, buffer: Buffer) -> CollectError:
        return CollectError(
            f"collect_events in {delivery.step.label} holds {buffer.held} events, the collect_limit of this "
            f"workflow, and was given one more, which was not stored; it still waits for "
            f"{told(buffer) or 'nothing'}; if it must hold more, write Workflow(collect_limit=…)"
        )


def is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    """Whether it is a list or a tuple; any other sequence may change under us, or be a string."""
    return isinstance(value, (list, tuple))


def told(buffer: Buffer) -> str:
    """What a buffer misses, as messages say it."""
    return ", ".join(
        f"{count - has} x {kind.__name__} (has {has} of {count})" for kind, has, count in buffer.missing()
    )


def _expecting(delivery: Delivery, buffer: Buffer | None, expected: Sequence[type[Event]]) -> Buffer:
    """The buffer, or a new one, with this list; one that is not equal to the last is checked."""
    if buffer is not None and expected == buffer.kinds:
        buffer.expected = expected
        return buffer
    _check_expected(delivery, expected)
    if buffer is None:
        return Buffer(expected)
    buffer.expect(expected)
    return buffer


def _check_expected(delivery: Delivery, expected: object) -> None:
    if is_sequence(expected) and all(isinstance(kind, type) and issubclass(kind, Event) for kind in expected):
        return
    raise CollectError(
        f"collect_events in {delivery.step.label} expects a list of event classes, as in "
        f"collect_events(ev, [Opinion] * 3), not {shown(expected)}"
    )
