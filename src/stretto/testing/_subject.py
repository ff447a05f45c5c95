"""What is run again and again, and the checks of what it is made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, final

import attrs

from ..errors import DefinitionError, shown
from ..events import StartEvent
from ..handler import Handler
from ..workflow import Workflow
from ._faults import Faults
from ._schedule import fingerprint
from ._turns import Durations

__all__ = ["Beside", "Subject", "subject_of"]

Beside: TypeAlias = Callable[[Handler[Any]], Awaitable[object]]


@final
@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """What is run again and again.

    Attributes:
        make: Makes the workflow, a new one for each run.
        cls: Its class.
        starts: The start events to choose from.
        beside: What runs beside the run, in its block.
        fingerprint: Of the workflow.
        track: Whether its attributes are watched.
    """

    make: Callable[[], Workflow[Any]]
    cls: type[Workflow[Any]]
    starts: tuple[StartEvent | None, ...]
    beside: Beside | None
    durations: Durations
    faults: Faults | None
    most_moves: int
    fingerprint: str
    track: dict[type, type] | None = None


def subject_of(
    workflow: Callable[[], Workflow[Any]],
    *,
    start: StartEvent | Sequence[StartEvent] | None = None,
    beside: Beside | None = None,
    durations: Durations = "virtual",
    faults: Faults | None = None,
    most_moves: int = 1_000,
) -> Subject:
    """What is to be run, with checked options; see `explore`."""
    cls = _class_of(workflow)
    if durations not in {"virtual", "jitter", "any"}:
        raise DefinitionError(f"durations is 'virtual', 'jitter' or 'any', not {shown(durations)}")
    return Subject(
        make=workflow,
        cls=cls,
        starts=_starts(start),
        beside=beside,
        durations=durations,
        faults=faults,
        most_moves=most_moves,
        fingerprint=_fingerprint(cls, faults),
    )


def _class_of(workflow: object) -> type[Workflow[Any]]:
    made: Any = workflow() if callable(workflow) else None
    if not isinstance(made, Workflow):
        raise DefinitionError(
            f"explore takes a workflow class, or a function that makes a workflow, not {shown(workflow)}"
        )
    cls: type[Workflow[Any]] = type(made)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return cls


def _starts(start: object) -> tuple[StartEvent | None, ...]:
    if start is None or isinstance(start, StartEvent):
        return (start,)
    several: Any = start
    if isinstance(start, (list, tuple)) and several and all(isinstance(each, StartEvent) for each in several):
        return tuple(several)
    raise DefinitionError(f"start is a StartEvent, or a list of some, not {shown(several)}")


def _fingerprint(cls: type[Workflow[Any]], faults: Faults | None) -> str:
    steps = [
        (each.name, [kind.__name__ for kind in each.accepts], each.limit)
        for each in cls.blueprint().plan.steps
    ]
    return fingerprint(f"{cls.__name__} {steps} {faults.letters if faults is not None else ''}")
