"""Whether there is room for what is sent, in a run whose queue has a bound, and who waits for some.

The pair is that of anyio's memory object streams: one who sends without waiting is refused, one who waits is let in,
in the order of asking, as soon as there is room. A step keeps its worker while it waits for room; where all that could
make some wait for it themselves, the last of them is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import QueueFullError, RunEndedError, shown
from ..events import Event
from .effects import NOTHING, Belated, DeadLetter, Effect, Effects, Kept, Outward, Publish, Resume
from .plan import StepPlan
from .sending import Sending

if TYPE_CHECKING:
    from .room import Room, Sender

__all__ = ["Queueing"]


class Queueing(Sending):
    """Keeps the bound of a run, if it has one."""

    def check_room(self, event: Event) -> None:
        """Looks whether there is room for an event; nothing happens.

        Raises:
            QueueFullError: If there is none.
        """
        if self.room is not None:
            self._claim_room(self.room, event, None)

    def _claim_room(self, room: Room, event: Event, step: str | None) -> None:
        """Raises unless there is room for an event that is about to be sent."""
        if self.ended is not None:
            return
        if (full := self._full(event, step)) is not None:
            no_room = f"there is no room for {shown(event)} in the queue of {full}"
            raise QueueFullError(
                f"{no_room}; wait for some with await ctx.send(…), or await run.send(…)", no_room
            )
        needed = self._needed(event, step)
        if room.fits(needed):
            return
        no_room = (
            f"there is no room for {shown(event)} in the queue of {self.plan.name} ({room.queued} queued, "
            f"queue_size={room.size})"
        )
        raise QueueFullError(
            f"{no_room}; wait for some with await ctx.send(…), or await run.send(…)", no_room
        )

    def _needed(self, event: Event, step: str | None) -> int:
        """How many deliveries of it would have to wait for a worker."""
        if step is None and self.waiters is not None and self.waiters.wanted(type(event)):
            return 0  # somebody waits for it
        return sum(
            taker.join is None and (taker.policies is not None or self.busy[taker.index] >= taker.limit)
            for taker in self._takers(event, step)
        )

    def _takers(self, event: Event, step: str | None) -> Sequence[StepPlan]:
        return self.plan.routes.find(type(event)) if step is None else (self._named(event, step),)

    def _full(self, event: Event, step: str | None) -> str | None:
        """The step that has a bound of its own and no room, as messages tell it; None if all have some."""
        if self.flows is None or (
            step is None and self.waiters is not None and self.waiters.wanted(type(event))
        ):
            return None
        for taker in self._takers(event, step):
            if taker.policies is not None and self.flows.by_step[taker.index].is_full:
                return f"{taker.label} (queue_size={taker.policies.size})"
        return None

    def _fits(self, room: Room, sender: Sender) -> bool:
        return (
            room.fits(self._needed(sender.event, sender.step))
            and self._full(sender.event, sender.step) is None
        )

    def _send_began(self, sender: Sender) -> Effects:
        room = self.room
        assert room is not None, "there is room for all"
        needed = self._needed(sender.event, sender.step)
        if needed > room.size:
            sender.error = QueueFullError(
                f"{shown(sender.event)} would wait for a worker in {needed} steps of {self.plan.name} at once, and "
                f"queue_size is {room.size}; raise it, or give the steps more workers"
            )
            return (Resume(waiter=sender),)
        sender.parks = (
            sender.parks and sender.delivery in self.active
        )  # and not in the middle of another step
        room.add(sender)
        return NOTHING

    def _send_cancelled(self, sender: Sender) -> Effects:
        if self.room is not None:
            self.room.discard(sender)
        return NOTHING

    def _relieved(self, room: Room, effects: Effects) -> Effects:
        """The effects, and what follows for those who wait for room."""
        if self.ended is not None:
            return effects
        more: list[Effect] = [*effects]
        while (sender := room.first()) is not None and self._fits(room, sender):
            room.discard(sender)
            cause = sender.delivery
            sent = self._sent(
                sender.event, sender.carry, sender.step, at=self.begun, outside=cause is None, cause=cause
            )
            if self.flows is not None:
                sent = self._flowed(self.flows, sent)
            more += (_belated(effect, sender) for effect in sent)
            more.append(Resume(waiter=sender))
        if (
            room.parked
            and len(self.active) == room.parked
            and not self.retrying
            and not (self.flows is not None and self.flows.is_fed)
            and self.feeders == self.plan.fed
        ):
            more += self._refused(room)
        return more

    def _refused(self, room: Room) -> Effects:
        """All that is at work waits for room, so there will be none."""
        sender = room.last_parked()
        assert sender.delivery is not None  # only a step parks
        room.discard(sender)
        sender.error = QueueFullError(
            f"{sender.delivery.step.label} waits for room for {shown(sender.event)} in the queue of {self.plan.name} "
            f"({room.queued} queued, queue_size={room.size}), and all steps at work wait for room as well; raise it, "
            "give the steps more workers, or return events in place of sending them"
        )
        return (Resume(waiter=sender),)

    def _give_up_senders(self) -> Effects:
        """The run is over, and nobody makes room any more."""
        effects: list[Effect] = []
        for sender in tuple(self.room or ()):
            sender.error = RunEndedError(
                f"{shown(sender.event)} waited for room in the queue of {self.plan.name}, and the run is over"
            )
            self._send_cancelled(sender)
            effects.append(Resume(waiter=sender))
        return effects


def _belated(effect: Effect, sender: Sender) -> Effect:
    """Says whose it is, where that matters."""
    if not isinstance(effect, (Publish, DeadLetter, Kept, Outward)):
        return effect
    return Belated(effect=effect, by=None if sender.delivery is None else sender.delivery.step.label)
