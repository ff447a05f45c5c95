"""What waits in all queues of a run together, where a bound of the run has some of it dropped: no inputs, no effects.

It goes by age alone: which of two steps' events is worth less is nothing that a run can say. Some of what waits cannot
be spared, and is neither dropped nor counted: the call of a join, which is what many events have come to; a failure on
its way to who recovers it; and what the run begins with.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import TypeVar, final

from ..events import StartEvent
from .delivery import Delivery

__all__ = ["Row", "Shedding"]

T = TypeVar("T")


@final
class Row(OrderedDict[T, None]):
    """A queue out of whose middle something is taken at no cost: what a deque does, of what can be hashed."""

    def append(self, item: T) -> None:
        """It is the last."""
        self[item] = None

    def popleft(self) -> T:
        """Takes out the first."""
        return self.popitem(last=False)[0]

    def remove(self, item: T) -> None:
        """Takes it out, wherever it is."""
        del self[item]


@final
class Shedding:
    """The bound of a run that drops what is too much.

    Attributes:
        size: How many may wait that can be spared.
        newest: Whether what comes is dropped; else what has waited longest.
        dropped: What never begins, and why, until it was told.
    """

    __slots__ = ("_spare", "_waiting", "dropped", "newest", "size")

    def __init__(self, size: int, *, newest: bool) -> None:
        self.size = size
        self.newest = newest
        self.dropped: deque[tuple[Delivery, str]] = deque()
        self._waiting: OrderedDict[Delivery, None] = OrderedDict()
        self._spare: OrderedDict[Delivery, None] = OrderedDict()  # of what waits

    def add(self, delivery: Delivery) -> None:
        """It waits for a worker, and came last."""
        self._waiting[delivery] = None
        if _can_be_spared(delivery):
            self._spare[delivery] = None

    def discard(self, delivery: Delivery) -> None:
        """It waits no more."""
        self._waiting.pop(delivery, None)
        self._spare.pop(delivery, None)

    def excess(self, newcomer: Delivery) -> Delivery | None:
        """What is to be dropped now that one more has come; None if nothing is.

        What is tried again has been let in before, and is not the newest.
        """
        if len(self._spare) <= self.size:
            return None
        if not self.newest:
            return next(iter(self._spare))
        return newcomer if newcomer in self._spare and newcomer.attempt == 1 else None

    def by_age(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """These, in the order in which they came; first what does not wait."""
        ages = {delivery: age for age, delivery in enumerate(self._waiting)}
        return sorted(deliveries, key=lambda each: ages.get(each, -1))

    def why(self, run: str, victim: Delivery) -> str:
        """Why this one is dropped of that run, for its dead letter."""
        full = f"the queue of {run} was full (queue_size={self.size})"
        how = "when it came" if self.newest else ", and it had waited longest,"
        return f"{full}{' ' if self.newest else ''}{how} for {victim.step.label}"


def _can_be_spared(delivery: Delivery) -> bool:
    step = delivery.step
    return step.join is None and step.recovers is None and not isinstance(delivery.event, StartEvent)
