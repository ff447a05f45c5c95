"""What can be undone: the steps of a run that have completed, and what the runs nested in it have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import Context
from typing import TypeAlias, final

from ..events import Event
from .plan import StepPlan

__all__ = ["Completed", "Entry", "in_reverse"]


@final
class Completed:
    """A step that has completed and can be undone.

    Attributes:
        carry: The context variables that it ended with.
        event: What it took.
        inner: What runs that are nested in it have completed; undone before it.
        result: What it returned.
    """

    __slots__ = ("carry", "event", "inner", "result", "step")

    def __init__(
        self, step: StepPlan, event: Event, result: Event | list[Event] | None, carry: Context
    ) -> None:
        self.step = step
        self.event = event
        self.result = result
        self.carry = carry
        self.inner: list[Entry] = []


Entry: TypeAlias = "Completed | list[Entry]"
"""A completed step, or what a nested run has completed."""


def in_reverse(log: Sequence[Entry]) -> Iterator[Completed]:
    """The completed steps in the order in which they are undone."""
    for entry in reversed(log):
        if isinstance(entry, Completed):
            yield from in_reverse(entry.inner)
            yield entry
        else:
            yield from in_reverse(entry)
