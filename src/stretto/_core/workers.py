"""Who works and who waits for a worker: the queues of the steps of one run."""

from __future__ import annotations

from collections import deque

from .counting import Counting
from .delivery import Delivery, Hold
from .effects import NOTHING, Effects, Resume
from .waiting import Waiter

__all__ = ["Workers"]


class Workers(Counting):
    """Each step has so many workers; what comes on top waits in the order in which it came.

    Some of it is written out once more in the two methods of `Machine` that every hop goes through.
    """

    def _admit(self, delivery: Delivery) -> bool:
        """Whether a worker is free for it now; if not, it waits in the queue of its step."""
        index = delivery.step.index
        if self.busy[index] < delivery.step.limit:
            self.busy[index] += 1
            self.active[delivery] = None
            return True
        self._queue(delivery)
        return False

    def take_up(self, delivery: Delivery) -> bool:
        """One of a snapshot; whether a worker is free for it now."""
        self._count_taken(delivery.step, delivery.event)
        return self._admit(delivery)

    def _queue(self, delivery: Delivery | Waiter) -> None:
        index = delivery.step.index
        queue = self.waiting[index]
        if queue is None:
            queue = self.waiting[index] = deque()
        queue.append(delivery)
        if self.room is not None and type(delivery) is Delivery:
            self.room.queued += 1

    def _release(self, delivery: Delivery) -> Delivery | Resume | None:
        """The delivery leaves its worker, who goes to the first that waits for the step."""
        del self.active[delivery]
        index = delivery.step.index
        if (queue := self.waiting[index]) and self.busy[index] <= delivery.step.limit:
            return self._next_in(queue)
        self.busy[index] -= 1
        return None

    def _next_in(self, queue: deque[Delivery | Waiter]) -> Delivery | Resume:
        freed = queue.popleft()
        if type(freed) is Delivery:
            if self.room is not None:
                self.room.queued -= 1
            self.active[freed] = None
            return freed
        return self._resumed(freed)

    def _resume(self, waiter: Waiter) -> Effects:
        """A wait is over: the step goes on when a worker is free for it, if it had left its own and the run goes on."""
        if not waiter.parked:
            return (Resume(waiter=waiter),)
        if self.ended is not None:
            return (self._resumed(waiter),)
        index = waiter.step.index
        if self.busy[index] < waiter.step.limit:
            self.busy[index] += 1
            return (self._resumed(waiter),)
        self._queue(waiter)
        return NOTHING

    def _held_up(self, hold: Hold) -> Effects:
        """A step keeps its worker while it waits for a turn of something."""
        if self.holds is None:
            self.holds = {}
        self.holds[hold] = None
        return NOTHING

    def _goes_on(self, hold: Hold) -> Effects:
        if self.holds is not None:
            self.holds.pop(hold, None)
        return NOTHING

    def _withdraw_queued(self, delivery: Delivery) -> bool:
        """Whether it waited for a worker; now it does not."""
        queue = self.waiting[delivery.step.index]
        if not queue or delivery not in queue:
            return False
        queue.remove(delivery)
        if self.room is not None:
            self.room.queued -= 1
        return True

    def _waiters_in_queues(self) -> list[Waiter]:
        """Takes out of the queues whoever has waited in the middle of a step and now waits for a worker."""
        found: list[Waiter] = []
        for queue in self.waiting:
            for waiter in [each for each in queue or () if type(each) is Waiter]:
                queue.remove(waiter)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
                found.append(waiter)
        return found

    def _resumed(self, waiter: Waiter) -> Resume:
        self.active[waiter.delivery] = None
        waiter.parked = False
        return Resume(waiter=waiter)

    def _resume_unserved(self, waiter: Waiter, *, queued: bool) -> None:
        """A step goes on whether a worker is free or not; if not, one fewer of those that wait does later."""
        index = waiter.step.index
        queue = self.waiting[index]
        if queued and queue is not None:
            queue.remove(waiter)
        self.busy[index] += 1
        self._resumed(waiter)
