"""Undos of a run that is explored: what may go wrong in one, and how it is told."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, final

import anyio
import attrs

from .._undo_spec import UndoSpec
from ._cuttable import cuttable

__all__ = ["Undoer", "cuttable_undo", "undoing"]


@final
@attrs.define(eq=False)
class Undoer:
    """An undo at work.

    Attributes:
        name: Its name, for `Faults.steps`.
        step: What it undoes.
        path: Its name among those of the run, which is the same in each schedule.
        is_limited: Whether its time is over at some time.
        scope: What its body runs in, where it may be cancelled alone.
    """

    name: str
    step: str
    path: str
    is_limited: bool
    scope: anyio.CancelScope | None = None

    @property
    def can_be_cut(self) -> bool:
        """Whether it may be cancelled alone, and was not."""
        return self.scope is not None and not self.scope.cancel_called

    def __str__(self) -> str:
        return f"{self.name}, which undoes {self.step},"


undoing: ContextVar[Undoer | None] = ContextVar("stretto_testing_undoing", default=None)
"""Whose code is on the stack, if that is an undo."""


def cuttable_undo(spec: UndoSpec) -> UndoSpec:
    """The same, called in a scope of its own."""
    fields: dict[str, Any] = {**vars(spec), "call": cuttable(spec.call, undoing.get)}
    return UndoSpec(**fields)
