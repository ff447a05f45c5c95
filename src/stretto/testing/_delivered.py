"""One event on its way through one step, as a test sees it afterwards."""

from __future__ import annotations

from typing import final

import attrs

from ..errors import shown
from ..events import Event

__all__ = ["Coverage", "Delivered"]


@final
@attrs.define(eq=False, repr=False, kw_only=True)
class Delivered:
    """A delivery: the step that took it, what it took, what came of that, and what it came from.

    Attributes:
        step: The name of the step.
        number: Which of the deliveries to this step it is, counted from 1 in the order in which they began.
        event: What the step was given.
        cause: The delivery whose step sent the event; None if it came from outside.
        began: When its body began, in virtual seconds since the run began.
        ended: When the step ended; None if it was cancelled.
        value: What the step returned.
        error: What it raised.
        workflow: The name of the workflow.
        joined: The deliveries, beside the cause, whose events it has collected or waited for.
    """

    step: str
    number: int
    event: Event
    cause: Delivered | None
    began: float
    workflow: str
    ended: float | None = None
    value: object = None
    error: BaseException | None = None
    joined: list[Delivered] = attrs.Factory(list["Delivered"])

    def __str__(self) -> str:
        return f"{self.step}#{self.number}"

    def __repr__(self) -> str:
        return f"<{self} of {shown(self.event)}>"

    def comes_of(self, other: Delivered) -> bool:
        """Whether something that the other one sent, or something sent because of it, was taken in here."""
        todo: list[Delivered] = [self]
        seen = {id(self)}
        while todo:
            one = todo.pop()
            for before in (one.cause, *one.joined):
                if before is other:
                    return True
                if before is not None and id(before) not in seen:
                    seen.add(id(before))
                    todo.append(before)
        return False


@final
@attrs.frozen
class Coverage:
    """What has happened at least once.

    Attributes:
        steps: The steps that ran, by name.
        edges: Who sent to whom: pairs of steps, and None for outside.
    """

    steps: frozenset[str] = frozenset()
    edges: frozenset[tuple[str | None, str]] = frozenset()

    def __or__(self, other: Coverage) -> Coverage:
        return Coverage(self.steps | other.steps, self.edges | other.edges)
