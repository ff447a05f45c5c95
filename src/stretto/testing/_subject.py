"""What is run again and again, and the checks of what it is made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, final

import attrs

from ..application import Application
from ..errors import DefinitionError, shown
from ..events import Event, StartEvent
from ..handler import Handler
from ..workflow import Workflow
from ._faults import Faults
from ._schedule import fingerprint
from ._starts import Start, Starts
from ._turns import Durations

__all__ = ["Beside", "Subject", "subject_of"]

Beside: TypeAlias = Callable[[Handler[Any]], Awaitable[object]]


@final
@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """What is run again and again.

    Attributes:
        make: Makes the workflow, or the application, a new one for each run.
        classes: The class of the workflow, or those of the members.
        name: What is run, as messages call it.
        said: How a program says it.
        member: The member of an application that is called.
        starts: The start events to choose from.
        beside: What runs beside the run, in its block.
        fingerprint: Of the workflow.
        track: Whether its attributes are watched.
    """

    make: Callable[[], Workflow[Any] | Application]
    classes: tuple[type[Workflow[Any]], ...]
    name: str
    said: str
    member: str | None
    starts: Starts
    beside: Beside | None
    durations: Durations
    faults: Faults | None
    most_moves: int
    fingerprint: str
    track: dict[type, type] | None = None


def subject_of(
    workflow: Callable[[], Workflow[Any] | Application],
    *,
    member: str | None = None,
    start: Start | None = None,
    beside: Beside | None = None,
    durations: Durations = "virtual",
    faults: Faults | None = None,
    most_moves: int = 1_000,
) -> Subject:
    """What is to be run, with checked options; see `explore`."""
    made: object = workflow() if callable(workflow) else None
    classes = _classes(made, workflow)
    if durations not in {"virtual", "jitter", "any"}:
        raise DefinitionError(f"durations is 'virtual', 'jitter' or 'any', not {shown(durations)}")
    _check_member(made, member)
    if faults is not None and faults.crash and isinstance(made, Application):
        raise DefinitionError(
            "Faults(crash=True) goes on from the snapshot of one run, and an application has that of a whole "
            "conversation; explore the workflows that are to be resumed by themselves"
        )
    name = type(made).__name__
    said = getattr(workflow, "__name__", name)
    return Subject(
        make=workflow,
        classes=tuple(classes.values()),
        name=name,
        said=name if said == "<lambda>" else said,
        member=member,
        starts=Starts(start, Event if isinstance(made, Application) else StartEvent),
        beside=beside,
        durations=durations,
        faults=faults,
        most_moves=most_moves,
        fingerprint=_fingerprint(name, classes, faults),
    )


def _classes(made: object, given: object) -> dict[str, type[Workflow[Any]]]:
    """The workflow classes by member; a workflow that is none has no name there."""
    if isinstance(made, Application):
        return {name: type(member) for name, member in made.members.items()}
    if not isinstance(made, Workflow):
        raise DefinitionError(
            "explore takes a workflow class, or a function that makes a workflow or an application, not "
            f"{shown(given)}"
        )
    cls: type[Workflow[Any]] = type(made)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return {"": cls}


def _check_member(made: object, member: str | None) -> None:
    if isinstance(made, Application):
        if member not in made.members:
            names = ", ".join(map(repr, made.members))
            raise DefinitionError(
                f"explore calls one member of an application, and member={member!r} is none; it has: {names}"
            )
    elif member is not None:
        raise DefinitionError(f"member={member!r} is for an application; {type(made).__name__} is a workflow")


def _fingerprint(name: str, classes: dict[str, type[Workflow[Any]]], faults: Faults | None) -> str:
    steps = [
        (member + each.name, [kind.__name__ for kind in each.accepts], each.limit)
        for member, cls in classes.items()
        for each in cls.blueprint().plan.steps
    ]
    return fingerprint(f"{name} {steps} {faults.letters if faults is not None else ''}")
