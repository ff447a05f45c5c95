"""What the machine wants done. Performing an effect never awaits.

A `Delivery` in this place means: start this step with this event. It is the one object that stands for a step
at work, from the moment it is ready to the moment it has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, final

import attrs

from ..events import Event
from .delivery import DeadLetter, Delivery
from .waiting import Waiter

__all__ = [
    "END_RUN",
    "NOTHING",
    "DeadLetter",
    "Delivery",
    "Effect",
    "Effects",
    "EndRun",
    "Kept",
    "Publish",
    "Resume",
    "Retry",
]


@final
@attrs.frozen
class Publish:
    """Put this event on the stream of the run."""

    event: Event


@final
@attrs.frozen
class Kept:
    """Say that no step takes this event; it is kept in case that somebody waits for it later."""

    event: Event
    reason: str


@final
@attrs.frozen(eq=False)
class Resume:
    """Let the step go on that waits in its middle."""

    waiter: Waiter


@final
@attrs.frozen
class Retry:
    """Give the machine a `RetryDue` at this time, unless the run ends before."""

    at: float


@final
@attrs.frozen
class EndRun:
    """The run is decided: cancel what still works, start nothing more."""


Effect: TypeAlias = Delivery | Publish | DeadLetter | Kept | Resume | Retry | EndRun
Effects: TypeAlias = Sequence[Effect]

NOTHING: Effects = ()
END_RUN: Effects = (EndRun(),)
