"""Which handler a failed step is recovered by, and how often a chain of events may be.

A chain that recovers and fails again would go round for ever, so each handler has a budget. It belongs to the lineage
of an event: what was caused by the recovery inherits what was spent, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar, final

from .._fields import Fields
from ..errors import add_context, add_note, shown
from ..events import Event, StepFailedEvent

__all__ = ["Recovery", "handler_for", "note_recovered", "spend"]


@final
class Recovery(Fields):
    """What ``@catch_error`` says.

    Attributes:
        for_steps: The steps that it is for; None for all that no other handler names.
        max_recoveries: How often it may recover on the way from the start of the run to one event.
    """

    for_steps: tuple[str, ...] | None
    max_recoveries: int


class Recoverer(Protocol):
    """A step, as far as it may be a handler."""

    name: str
    recovers: Recovery | None


T = TypeVar("T", bound=Recoverer)


def handler_for(step: T, steps: Sequence[T]) -> T | None:
    """The handler of a step: the one that names it, else the one for all; a handler has none itself."""
    if step.recovers is not None:
        return None
    wildcard = None
    for other in steps:
        if other.recovers is None:
            continue
        if other.recovers.for_steps is None:
            wildcard = other
        elif step.name in other.recovers.for_steps:
            return other
    return wildcard


def spend(spent: Mapping[int, int], handler: int, limit: int) -> Mapping[int, int] | None:
    """What is spent after one more recovery by this handler; None if its budget is used up."""
    used = spent.get(handler, 0)
    return None if used >= limit else {**spent, handler: used + 1}


def note_recovered(error: BaseException, event: Event) -> None:
    """A handler has failed itself: its error comes out, and says what it was to recover from."""
    if not isinstance(event, StepFailedEvent) or error is event.exception:
        return
    add_context(error, event.exception)
    add_note(error, f"while it recovered step {event.step!r} from {shown(event.exception)}")
