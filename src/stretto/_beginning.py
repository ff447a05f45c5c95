"""What a run begins with: its start event, or a snapshot; and whether that fits its workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from .blueprint import Blueprint
from .context import SavedContext
from .errors import DefinitionError, names, shown, shown_beside
from .events import StartEvent

if TYPE_CHECKING:
    from .snapshots import SavedRun

__all__ = ["checked_start", "no_single_start", "saved_in"]


def saved_in(ctx: object, blueprint: Blueprint, start: object, fields: Mapping[str, object]) -> SavedRun:
    """The snapshot that a run goes on from.

    Raises:
        DefinitionError: If `ctx` was not read from one, or from one of another workflow.
        TypeError: If the run has begun already, and is given what to begin with.
    """
    if not isinstance(ctx, SavedContext):
        raise DefinitionError(
            f"run(ctx={shown(ctx)}): a Context belongs to one run and cannot be given to another; send events to "
            "a run by its handler, run.send_event(…), and to another workflow in an Application; to go on with a "
            "run write run(ctx=Context.from_dict(workflow, data)) with the data of its ctx.to_dict()"
        )
    saved = ctx.saved
    if saved.workflow != blueprint.name:
        raise DefinitionError(
            f"run(ctx=…): it was read from a snapshot of {saved.workflow}, and this is {blueprint.name}; run that"
        )
    if not saved.finished and (start is not None or fields):
        given = shown(start) if start is not None else ", ".join(fields)
        raise TypeError(
            f"run(ctx=…) goes on with a run of {blueprint.name} that has begun, and takes no start event or "
            f"fields: {given}; leave them out, or start a run without ctx"
        )
    return saved


def checked_start(
    blueprint: Blueprint, event: object, fields: Mapping[str, object], *, routed: bool
) -> StartEvent:
    """The start event that a run was given.

    Raises:
        TypeError: If it is none, if there are fields beside it, or if `routed` and no step takes it.
    """
    if fields:
        raise TypeError(
            f"run() takes a start event or its fields, not both: {shown(event)} and {', '.join(fields)}"
        )
    starts = " or ".join(names(blueprint.starts, (type(event),))) or "StartEvent"
    given = shown_beside(event, blueprint.starts)
    if not isinstance(event, StartEvent):
        raise TypeError(
            f"{blueprint.name}.run() begins with {starts}, not {given}; give it, or its fields by name"
        )
    if routed and not blueprint.plan.routes.find(type(event)):
        raise TypeError(f"no step of {blueprint.name} takes {given}; it begins with {starts}")
    return event


def no_single_start(blueprint: Blueprint) -> NoReturn:
    """Refuses a run that does not say which of several start events it begins with.

    Raises:
        DefinitionError: Always.
    """
    starts = names(blueprint.starts)
    raise DefinitionError(
        f"{blueprint.name} has several start events, {', '.join(starts)}: pass one, as in "
        f"run({blueprint.starts[0].__name__}(…))"
    )
