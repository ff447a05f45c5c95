"""What a run that was cut short leaves to the one that takes its place, and what nobody will use.

An event that no step has begun with can be handled as if nothing had happened, and is handed on. One that a step has
begun with is *in flight*: nobody knows how far the step came, so it is told and never handed on. The rest (what was
half collected or joined, what a retry would have tried again) is the state of the old run, and one of its leftovers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import Context
from typing import final

import attrs

from ..events import Event
from .delivery import Delivery
from .effects import Effect, Publish
from .inputs import SendBegan, SendCancelled
from .joined import Joined
from .machine import Machine
from .mail import Mail
from .room import Sender
from .waiting import Mailbox

__all__ = ["Estate", "in_flight", "take_estate"]


@final
@attrs.frozen
class Estate:
    """What no step has begun with.

    Attributes:
        queued: What is on its way to a step.
        mail: What is kept for a wait.
        senders: Who waits for room outside.
    """

    queued: list[Delivery]
    mail: list[Mail]
    senders: list[Sender]

    def events(self) -> Iterator[Event]:
        """All of it that has been sent."""
        yield from (delivery.event for delivery in self.queued)
        yield from (mail.event for mail in self.mail)

    def hand_on(self, heir: Machine, enter: Callable[[Context], Context], at: float) -> list[Effect]:
        """Gives it to a run of the same class; gives what is to be done there.

        Args:
            heir: The other run.
            enter: Makes the context variables of an event those that it has in the other run.
            at: The time.
        """
        effects: list[Effect] = []
        for each in self.queued:
            carry, name = enter(each.carry), each.step.name
            sent = heir.event_sent(each.event, carry, name, at=at, claims=False)
            effects += (effect for effect in sent if not isinstance(effect, Publish))  # which it was
        if self.mail and heir.mailbox is None:
            heir.mailbox = Mailbox(heir.collect_limit)
        for mail in self.mail:
            assert heir.mailbox is not None
            heir.mailbox.append(mail)
        for sender in self.senders:
            sender.carry = enter(sender.carry)
            effects += heir.receive(SendBegan(sender=sender))
        return effects


def take_estate(run: Machine) -> Estate:
    """Takes out of a run that is over what no step has begun with: the ready first, then the queue of each step."""
    ready = [each for each in run.active if not run.has_begun(each) and _is_whole(run, each)]
    for delivery in ready:
        del run.active[delivery]
    queued = [each for each in run.in_queues() if isinstance(each, Delivery) and _is_whole(run, each)]
    if run.shedding is not None:
        queued = run.shedding.by_age(queued)
    for delivery in queued:
        run.withdraw_queued(delivery)
    mail = list(run.mailbox or ())
    run.mailbox = None
    senders = [each for each in run.room or () if each.delivery is None]
    for sender in senders:
        run.receive(SendCancelled(sender=sender))
    return Estate([*ready, *queued], mail, senders)


def in_flight(run: Machine) -> Iterator[Event]:
    """The events of the steps that were cut short, and what these were given in their middle."""
    for delivery in run.unfinished or ():
        own = (delivery.event,) if run.forks is None else run.forks.each_of(delivery.event)
        if delivery.past is not None:
            delivery.past.undo()
        yield from delivery.untaken(own)


def _is_whole(run: Machine, delivery: Delivery) -> bool:
    """Whether nothing has been done with its event yet, and nothing in the old run hangs on it."""
    if delivery.attempt > 1 or delivery.step.recovers is not None or isinstance(delivery.event, Joined):
        return False
    past = delivery.past
    if past is not None and (past.kept or past.again):
        return False
    if run.forks is None:
        return True
    spot = run.forks.spots.get(delivery)
    return spot is None or spot.fork is None
