"""A workflow as a member of an application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._board import Seat
from ._core.plan import Plan
from .errors import names, shown, shown_beside
from .events import Event, StartEvent
from .workflow import Workflow

__all__ = ["first_of", "plans_below", "seat_of", "steps_as_data"]


def first_of(workflow: Workflow[Any], seat: Seat, start: object, fields: dict[str, Any]) -> Event:
    """The event that a call begins with."""
    blueprint = seat.blueprint
    if start is None or isinstance(start, StartEvent):
        return workflow.first_event(start, fields)
    accepts = dict.fromkeys(kind for spec in blueprint.specs for kind in spec.accepts)
    takes = ", ".join(names(accepts, (type(start),)))
    if not isinstance(start, Event) or not blueprint.plan.routes.find(type(start)):
        raise TypeError(
            f"no step of {seat.name} ({blueprint.name}) takes {shown_beside(start, accepts)}; it takes: {takes}"
        )
    if fields:
        raise TypeError(
            f"run() takes an event or its fields, not both: {shown(start)} and {', '.join(fields)}"
        )
    return start


def seat_of(name: str, workflow: Workflow[Any]) -> Seat:
    """What the board of the application knows of a member."""
    blueprint, options = workflow.prepared()
    return Seat(name=name, workflow=workflow, blueprint=blueprint, options=options)


def plans_below(workflow: Workflow[Any]) -> Iterator[Plan]:
    """The plans of the workflows that its steps are handed, and of theirs."""
    for nested in workflow.nested_workflows.values():
        yield nested.blueprint().plan
        yield from plans_below(nested)


def steps_as_data(workflow: Workflow[Any]) -> Iterator[dict[str, Any]]:
    """Its steps, as data that JSON can hold."""
    for spec in workflow.blueprint().specs:
        yield {
            "name": spec.name,
            "label": spec.label,
            "accepts": [kind.__name__ for kind in spec.accepts],
            "returns": [kind.__name__ for kind in spec.returns],
            "num_workers": spec.num_workers,
        }
