"""What the machine wants done. Performing an effect never awaits.

A `Delivery` in this place means: start this step with this event. It is the one object that stands for a step
at work, from the moment it is ready to the moment it has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context
from typing import TYPE_CHECKING, TypeAlias, final

from .._fields import Value
from ..events import Event
from .delivery import DeadLetter, Delivery
from .waiting import Waiter

if TYPE_CHECKING:
    from .completed import Completed
    from .permits import Lane
    from .room import Sender

__all__ = [
    "CLOSED",
    "END_RUN",
    "NOTHING",
    "QUIET",
    "Abort",
    "Belated",
    "Closed",
    "DeadLetter",
    "Delivery",
    "Effect",
    "Effects",
    "EndRun",
    "Kept",
    "Outward",
    "Publish",
    "Quiet",
    "Resume",
    "Retry",
    "Rouse",
    "Undo",
]


@final
class Publish(Value):
    """Put this event on the stream of the run."""

    event: Event


@final
class Kept(Value):
    """Say that no step takes this event; it is kept in case that somebody waits for it later."""

    event: Event
    reason: str


@final
class Resume(Value):
    """Let the step go on that waits in its middle, or whoever waits for room."""

    waiter: Waiter | Sender


@final
class Retry(Value):
    """Give the machine a `RetryDue` at this time, unless the run ends before."""

    at: float


@final
class Rouse(Value):
    """Tell another run that its lane is to be looked at: what both wait for has changed hands, or is free."""

    lane: Lane


@final
class Abort(Value):
    """Cancel this step, and no other; if it has not begun, it never does. Its end is told as that of any step."""

    delivery: Delivery


@final
class EndRun(Value):
    """The run is decided: cancel what still works, start nothing more."""


@final
class Outward(Value):
    """Take the event to another run, if one takes it; `claims` says whether it is refused where there is no room.

    The answer is a `Crossed`; of a run that is judged together with others only where nobody takes it.
    """

    event: Event
    carry: Context
    claims: bool

    # One for each event that crosses: the base would make a dict first.
    def __init__(self, *, event: Event, carry: Context, claims: bool) -> None:
        self.event = event
        self.carry = carry
        self.claims = claims


@final
class Undo(Value):
    """Call the undo of a step that has completed, and give the machine an `UndoEnded`."""

    entry: Completed


@final
class Quiet(Value):
    """Nothing of the run is at work; whether that is the end is for those around it to say."""


@final
class Closed(Value):
    """The run has said its last word: what it took in is finished, and it takes in no more."""


@final
class Belated(Value):
    """What comes of an event that has waited for room: it is about the step that sent it, not the one that made room.

    Attributes:
        by: That step, as messages name it; None for somebody outside.
    """

    effect: Publish | DeadLetter | Kept | Outward
    by: str | None


Effect: TypeAlias = (
    Delivery
    | Publish
    | DeadLetter
    | Kept
    | Resume
    | Retry
    | Rouse
    | Abort
    | EndRun
    | Outward
    | Belated
    | Undo
    | Quiet
    | Closed
)
Effects: TypeAlias = Sequence[Effect]

NOTHING: Effects = ()
END_RUN: Effects = (EndRun(),)
QUIET: Effects = (Quiet(),)
CLOSED: Effects = (Closed(),)
