"""What happens to a run, as values. Time and identity reach the machine in these and in no other way.

The two that come with every hop, an event sent and a step returned, have a method of the machine each, which
`Machine.receive` calls too: making a value only to take it apart again would cost a tenth of a hop.
"""

from __future__ import annotations

import math
from contextvars import Context
from typing import TYPE_CHECKING, TypeAlias, final

from .._fields import Fields
from ..events import Event
from .delivery import DeadLetter, Delivery, Hold
from .waiting import Waiter

if TYPE_CHECKING:
    from .permits import Lane
    from .room import Sender

__all__ = [
    "Admitted",
    "Begun",
    "CancelAsked",
    "Concluded",
    "Crossed",
    "DeadlinePassed",
    "Ending",
    "EventSent",
    "FeederClosed",
    "FeederOpened",
    "GoesOn",
    "HeldUp",
    "Input",
    "Interrupted",
    "RetryDue",
    "Roused",
    "SendBegan",
    "SendCancelled",
    "StepCancelled",
    "StepRaised",
    "StepReturned",
    "Strayed",
    "UndoEnded",
    "UndoingBegan",
    "WaitAnswered",
    "WaitBegan",
    "WaitCancelled",
    "WaitTimedOut",
]


@final
class EventSent(Fields):
    """A step, or somebody outside, sends an event: to all steps that take it, or to the one named.

    The time matters to a StopEvent alone, which comes too late past the deadline. `cause` is the step that sends it.
    """

    event: Event
    carry: Context
    at: float
    step: str | None = None
    outside: bool = False
    cause: Delivery | None = None


@final
class StepReturned(Fields):
    """The body of a step ended with a value."""

    delivery: Delivery
    value: object
    at: float


@final
class StepRaised(Fields):
    """The body of a step failed, or has passed its time limit, see `retrying.overdue`.

    Attributes:
        draw: A random number from 0 up to, but not, 1, for the wait before another attempt; None if there is to be
            none, and no recovery, because the run or its caller is being cancelled.
    """

    delivery: Delivery
    error: BaseException
    at: float
    draw: float | None = None


@final
class RetryDue(Fields):
    """The time has come that a `Retry` named, or has passed."""

    at: float


@final
class Roused(Fields):
    """Another run has changed something that a lane of this one waits for."""

    lane: Lane
    at: float


@final
class StepCancelled(Fields):
    """The body of a step ended because it was cancelled; or with a value that nobody waits for any more.

    Attributes:
        returned: Whether it has returned.
    """

    delivery: Delivery
    value: object = None
    returned: bool = False


@final
class Strayed(Fields):
    """An event was lost outside: a step that was over sent it from its thread, or a reader does without it."""

    letter: DeadLetter


@final
class DeadlinePassed(Fields):
    """The deadline of the run is over."""

    at: float


@final
class CancelAsked(Fields):
    """Somebody cancels the run; past the deadline it comes too late.

    Attributes:
        by_caller: Whether it was the one who would get the result: there is none then, even if it was there already.
    """

    why: str
    at: float = -math.inf
    by_caller: bool = False


@final
class Admitted(Fields):
    """A run that had to wait for its turn may start: its time counts from here."""

    at: float


@final
class Begun(Fields):
    """The first event was sent."""


@final
class Interrupted(Fields):
    """The run was broken off by something that is no step: Ctrl-C between two of them, or a bug of ours."""

    error: BaseException


@final
class FeederOpened(Fields):
    """Somebody who may still send events began: a nested run that nobody awaits yet."""


@final
class FeederClosed(Fields):
    """One who could send events has ended; with an error if it failed and nobody was told."""

    error: BaseException | None = None
    at: float = -math.inf


@final
class WaitBegan(Fields):
    """A step waits for an event in its middle.

    Attributes:
        parks: Whether all of the step waits, so that its worker is free meanwhile; a task that it has started is not
            all of it.
        at: When; it matters only where others are held back until the worker is free.
    """

    waiter: Waiter
    parks: bool
    at: float = -math.inf


@final
class WaitTimedOut(Fields):
    """The time limit of a wait is over; the step goes on as soon as a worker is free for it."""

    waiter: Waiter


@final
class WaitCancelled(Fields):
    """The wait was cancelled: the step goes on at once, and what it was given is not its any more."""

    waiter: Waiter


@final
class HeldUp(Fields):
    """A step at work waits for its turn of something; only what is told of it depends on this."""

    hold: Hold


@final
class GoesOn(Fields):
    """It waits no more."""

    hold: Hold


@final
class SendBegan(Fields):
    """Somebody waits for room for an event, in a run whose queue is full."""

    sender: Sender


@final
class SendCancelled(Fields):
    """Who waited for room was cancelled. If there was some meanwhile, the event has been sent."""

    sender: Sender


@final
class WaitAnswered(Fields):
    """A wait that no event ends by its type is over: with this event, or with the error that it has."""

    waiter: Waiter
    event: Event | None = None


@final
class Crossed(Fields):
    """What was to go to another run has gone, or nobody there takes it."""

    event: Event
    taken: bool


@final
class Ending(Fields):
    """The run is decided, and no worker is given out any more."""


@final
class UndoingBegan(Fields):
    """The run has failed and its steps have ended: what they have done is undone, in so many seconds at most."""

    at: float
    limit: float


@final
class UndoEnded(Fields):
    """The undo at work has returned, or raised.

    Attributes:
        cut: Whether it was cancelled instead, because its time was over.
    """

    at: float
    error: BaseException | None = None
    cut: bool = False


@final
class Concluded(Fields):
    """Everything of the run has ended, and nothing more will be sent or waited for."""


Input: TypeAlias = (
    EventSent
    | StepReturned
    | StepRaised
    | RetryDue
    | Roused
    | StepCancelled
    | Strayed
    | DeadlinePassed
    | CancelAsked
    | Admitted
    | Begun
    | Interrupted
    | FeederOpened
    | FeederClosed
    | HeldUp
    | GoesOn
    | WaitBegan
    | WaitTimedOut
    | WaitCancelled
    | SendBegan
    | SendCancelled
    | WaitAnswered
    | Crossed
    | Ending
    | UndoingBegan
    | UndoEnded
    | Concluded
)
