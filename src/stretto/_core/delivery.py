"""An event on its way: to a step that takes it, or to nobody."""

from __future__ import annotations

from contextvars import Context
from typing import final

import attrs

from ..events import Event
from .past import Past
from .plan import StepPlan

__all__ = ["DeadLetter", "Delivery"]


@final
@attrs.define(eq=False, repr=False, weakref_slot=False)
class Delivery:
    """One event on its way through one step.

    Attributes:
        carry: The context variables that the step sees: those of the sender when it sent.
        started: When the body began, in seconds of the loop's clock; None while it waits for its turn.
        collected: What this delivery has put into which buffer, so that it never does so twice; by the identity of
            the event, which is kept here lest another one gets it.
        past: What earlier attempts and recoveries left; None for a plain step.
    """

    step: StepPlan
    event: Event
    carry: Context
    started: float | None = None
    collected: dict[tuple[object, int], Event] | None = None
    past: Past | None = None

    @property
    def attempt(self) -> int:
        """The number of the present attempt, from 1. Kept in `past`: a plain step has one only, and no slot for it."""
        return 1 if self.past is None else self.past.attempt


@final
@attrs.frozen
class DeadLetter:
    """An event that nobody took, and why."""

    event: object
    reason: str
