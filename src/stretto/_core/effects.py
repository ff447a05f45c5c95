"""What the machine wants done. Performing an effect never awaits.

A `Delivery` in this place means: start this step with this event. It is the one object that stands for a step
at work, from the moment it is ready to the moment it has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, final

import attrs

from ..events import Event
from .state import DeadLetter, Delivery

__all__ = ["END_RUN", "NOTHING", "DeadLetter", "Delivery", "Effect", "Effects", "EndRun", "Publish"]


@final
@attrs.frozen
class Publish:
    """Put this event on the stream of the run."""

    event: Event


@final
@attrs.frozen
class EndRun:
    """The run is decided: cancel what still works, start nothing more."""


Effect: TypeAlias = Delivery | Publish | DeadLetter | EndRun
Effects: TypeAlias = Sequence[Effect]

NOTHING: Effects = ()
END_RUN: Effects = (EndRun(),)
