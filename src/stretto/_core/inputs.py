"""What happens to a run, as values. Time and identity reach the machine in these and in no other way.

The two that come with every hop, an event sent and a step returned, have a method of the machine each, which
`Machine.receive` calls too: making a value only to take it apart again would cost a tenth of a hop.
"""

from __future__ import annotations

import math
from contextvars import Context
from typing import TypeAlias, final

import attrs

from ..events import Event
from .delivery import Delivery
from .waiting import Waiter

__all__ = [
    "Admitted",
    "Begun",
    "CancelAsked",
    "Concluded",
    "DeadlinePassed",
    "Ending",
    "EventSent",
    "FeederClosed",
    "FeederOpened",
    "Input",
    "Interrupted",
    "StepCancelled",
    "StepRaised",
    "StepReturned",
    "WaitBegan",
    "WaitCancelled",
    "WaitTimedOut",
]


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class EventSent:
    """A step, or somebody outside, sends an event: to all steps that take it, or to the one named.

    The time matters to a StopEvent alone, which comes too late past the deadline.
    """

    event: Event
    carry: Context
    at: float
    step: str | None = None
    outside: bool = False


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepReturned:
    """The body of a step ended with a value."""

    delivery: Delivery
    value: object
    at: float


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepRaised:
    """The body of a step failed."""

    delivery: Delivery
    error: BaseException
    at: float


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepCancelled:
    """The body of a step ended because it was cancelled; or with a value that nobody waits for any more."""

    delivery: Delivery
    value: object = None


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class DeadlinePassed:
    """The deadline of the run is over."""

    at: float


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class CancelAsked:
    """Somebody cancels the run; past the deadline it comes too late.

    Attributes:
        by_caller: Whether it was the one who would get the result: there is none then, even if it was there already.
    """

    why: str
    at: float = -math.inf
    by_caller: bool = False


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Admitted:
    """A run that had to wait for its turn may start: its time counts from here."""

    at: float


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Begun:
    """The first event was sent."""


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Interrupted:
    """The run was broken off by something that is no step: Ctrl-C between two of them, or a bug of ours."""

    error: BaseException


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class FeederOpened:
    """Somebody who may still send events began: a nested run that nobody awaits yet."""


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class FeederClosed:
    """One who could send events has ended; with an error if it failed and nobody was told."""

    error: BaseException | None = None
    at: float = -math.inf


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class WaitBegan:
    """A step waits for an event in its middle.

    Attributes:
        parks: Whether all of the step waits, so that its worker is free meanwhile; a task that it has started is not
            all of it.
    """

    waiter: Waiter
    parks: bool


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class WaitTimedOut:
    """The time limit of a wait is over; the step goes on as soon as a worker is free for it."""

    waiter: Waiter


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class WaitCancelled:
    """The wait was cancelled: the step goes on at once, and what it was given is not its any more."""

    waiter: Waiter


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Ending:
    """The run is decided, and no worker is given out any more."""


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Concluded:
    """Everything of the run has ended, and nothing more will be sent or waited for."""


Input: TypeAlias = (
    EventSent
    | StepReturned
    | StepRaised
    | StepCancelled
    | DeadlinePassed
    | CancelAsked
    | Admitted
    | Begun
    | Interrupted
    | FeederOpened
    | FeederClosed
    | WaitBegan
    | WaitTimedOut
    | WaitCancelled
    | Ending
    | Concluded
)
