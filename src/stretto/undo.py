"""What became of the undos of a run that has failed, see ``@step(undo=…)``.

``run.undone`` has a record for each completed step that was to be undone, in the order of undoing. If not all of them
were, an `UndoError` has the same records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, TypeAlias, final

import attrs

from .errors import WorkflowError, shown
from .events import Event

__all__ = ["Outcome", "UndoError", "UndoRecord"]

Outcome: TypeAlias = Literal["done", "failed", "cut off", "not reached"]


@final
@attrs.frozen(kw_only=True)
class UndoRecord:
    """One completed step of a run that has failed, and its undo.

    Attributes:
        step: The name of the step.
        label: The step as messages name it: ``Trip.book_flight (trip.py:20)``.
        undo: The name of its undo.
        event: What the step took; a tuple where it joins several.
        result: What it returned.
        outcome: ``"done"``; ``"failed"``: it raised; ``"cut off"``: it was cancelled, because the time limit of the
            undoing was over; ``"not reached"``: it was not begun, for the same reason.
        error: What it raised.
    """

    step: str
    label: str
    undo: str
    event: Event | tuple[Event, ...]
    result: Event | list[Event] | None
    outcome: Outcome
    error: BaseException | None = None

    def __str__(self) -> str:
        """A line for a message."""
        if self.outcome == "done":
            return f"{self.step} by {self.undo}"
        why = self.outcome if self.error is None else f"raised {shown(self.error)}"
        return f"{self.label} by {self.undo} ({why})"


@final
class UndoError(WorkflowError, ExceptionGroup[Exception]):
    """A run has failed, and not all that its steps have done was undone.

    It is a group: first of the error that the run has failed with, then of what undos have raised. ``except* Declined``
    finds the first; ``except Declined`` does not, because somebody has to put right what is named here. If all was
    undone, the error of the run comes out as it is.

    Attributes:
        undone: What became of each undo, as in ``run.undone``.
    """

    def __new__(
        cls, message: str, exceptions: Sequence[Exception], undone: Sequence[UndoRecord] = ()
    ) -> Self:
        """A group of the failure and what undos have raised."""
        made = super().__new__(cls, message, exceptions)
        made.undone = tuple(undone)
        return made

    def __init__(
        self, message: str, exceptions: Sequence[Exception], undone: Sequence[UndoRecord] = ()
    ) -> None:
        super().__init__(message, exceptions)
        self.undone: tuple[UndoRecord, ...] = tuple(undone)

    @property
    def failure(self) -> Exception:
        """What the run has failed with; of a part of the group its first error."""
        return self.exceptions[0]

    def derive(self, excs: Sequence[Any], /) -> Any:  # noqa: ANN401 - as its base has it
        """A part of the group, as ``except*`` makes it, is one too."""
        return UndoError(self.message, excs, self.undone)

    def __reduce__(self) -> tuple[type[UndoError], tuple[object, ...]]:
        return type(self), (self.message, list(self.exceptions), self.undone)
