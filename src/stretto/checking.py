"""What is wrong, or may be, with a workflow or an application, before anything runs: what `stretto check` tells.

The graph is looked at as at the first run (`Blueprint`), and the wiring as on entry (`Application`); here each finding
is a value with its place, and there are some more that are no reason to warn of at a run.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence, Set as AbstractSet
from typing import Any, final

import attrs

from ._assigned import assigned_by
from ._core.wiring import Route
from ._doubts import doubts
from ._members import plans_below
from ._step_spec import StepSpec
from .application import Application
from .blueprint import Blueprint
from .errors import DefinitionError, shown
from .events import Event
from .nesting import check_nested, is_workflow_class
from .workflow import Workflow

__all__ = ["Problem", "check"]

_ENDS = {"no-start", "no-stop"}


@final
@attrs.frozen(kw_only=True)
class Problem:
    """One thing that `check` has found.

    Attributes:
        kind: What sort of thing it is: ``"no-start"``, ``"no-stop"``, ``"unreachable"``, ``"dead-end"``,
            ``"nobody-takes"``, ``"nobody-makes"``, ``"lone-join"``, ``"open-join"``, ``"open-batch"``,
            ``"two-ways"``, ``"two-ends"``, ``"several-starts"``, ``"shared-attribute"``, ``"nested"`` or ``"wiring"``.
        message: What it is, why, and what to write instead.
        workflow: The class that it is about, or the name of the member of an application.
        step: The step that it is about; None if it is about the whole.
        file: Where that step is written; None if it is about the whole.
        line: The line of it there.
        fatal: Whether no run can start, or none can end. What is not fatal may be meant so.
    """

    kind: str
    message: str
    workflow: str
    step: str | None = None
    file: str | None = None
    line: int | None = None
    fatal: bool = False


def check(target: type[Workflow[Any]] | Workflow[Any] | Application) -> tuple[Problem, ...]:
    """Looks at the graph of a workflow, or at the wiring of an application, and runs nothing.

    >>> from stretto.checking import check
    >>> from stretto import Event, StartEvent, StopEvent, Workflow, step
    >>> class Lost(Event): ...
    >>> class Shop(Workflow):
    ...     @step
    ...     async def sell(self, ev: StartEvent) -> Lost | StopEvent: ...
    >>> [(each.kind, each.step, each.fatal) for each in check(Shop)]
    [('nobody-takes', 'sell', False)]

    Args:
        target: A workflow class, or a workflow made of it: then the workflows that its steps are handed are looked at
            too. Or an application.

    Returns:
        What was found, in the order of the steps.

    Raises:
        TypeError: If it is none of these.
    """
    if isinstance(target, Application):
        return tuple(_of_application(target))
    if is_workflow_class(target) or isinstance(target, Workflow):
        return tuple(_of_workflow(target))
    raise TypeError(f"check takes a workflow class, a workflow or an Application, not {shown(target)}")


def _of_application(app: Application) -> Iterator[Problem]:
    try:
        routes = tuple(app.routes())
    except DefinitionError as error:
        for message in error.problems:
            yield Problem(kind="wiring", message=message, workflow="Application", fatal=True)
        yield from _beside_the_graph(app)
        return
    for name, member in app.members.items():
        yield from _of_member(name, member, routes, app.external)
    yield from _beside_the_graph(app)


def _beside_the_graph(app: Application) -> Iterator[Problem]:
    for name, member in app.members.items():
        yield from _shared(name, type(member), member.blueprint())
        yield from _nested(member, goes=frozenset())


def _of_member(
    name: str, member: Workflow[Any], routes: Sequence[Route], external: AbstractSet[type[Event]]
) -> Iterator[Problem]:
    """The graph of a member, with what the others send to it and take from it."""
    comes = {route.kind for route in routes if route.to == name}
    comes |= external | _sent_by_nested(member)
    goes = {route.kind for route in routes if route.source == name}
    yield from _of_graph(name, member.blueprint(), comes, goes)


def _of_graph(
    name: str, blueprint: Blueprint, comes: AbstractSet[type[Event]], goes: AbstractSet[type[Event]]
) -> Iterator[Problem]:
    for each in [*blueprint.findings_among(comes, goes), *doubts(blueprint, comes)]:
        yield _problem(each.kind, each.message, name, each.step, fatal=each.fatal)


def _sent_by_nested(workflow: Workflow[Any]) -> set[type[Event]]:
    """The types that come up from the workflows that the steps are handed."""
    return {kind for plan in plans_below(workflow) for step in plan.steps for kind in step.returns}


def _of_workflow(
    target: type[Workflow[Any]] | Workflow[Any], goes: AbstractSet[type[Event]] = frozenset()
) -> Iterator[Problem]:
    """A workflow, nested in another one if there are types that go there."""
    blueprint = target.blueprint()
    comes = _sent_by_nested(target) if isinstance(target, Workflow) else frozenset[type[Event]]()
    ends = [each for each in blueprint.findings if each.kind in _ENDS]
    for each in [*ends, *blueprint.findings_among(comes, goes), *doubts(blueprint, comes)]:
        yield _problem(each.kind, each.message, blueprint.name, each.step, fatal=each.fatal)
    if len(blueprint.starts) > 1 and blueprint.start is None:
        names = [kind.__name__ for kind in blueprint.starts]
        yield _problem(
            "several-starts",
            f"{blueprint.name} has several start events, {', '.join(names)}: run(**fields) cannot say which; pass one, "
            f"as in run({names[0]}(…))",
            blueprint.name,
        )
    cls = type(target) if isinstance(target, Workflow) else target
    yield from _shared(blueprint.name, cls, blueprint)
    if isinstance(target, Workflow):
        yield from _nested(target, goes=goes)


def _shared(name: str, cls: type, blueprint: Blueprint) -> Iterator[Problem]:
    """Attributes that steps assign although all runs of the workflow have them in common."""
    for spec in blueprint.specs:
        for each in assigned_by(cls, spec.call) if spec.self_name is not None else ():
            yield _problem(
                "shared-attribute",
                f"{spec.label} assigns self.{each.name} (line {each.line}), which all runs of one {blueprint.name} "
                f"share; keep what belongs to a run in ctx.store: await ctx.store.set({each.name!r}, …)",
                name,
                spec,
            )


def _nested(workflow: Workflow[Any], goes: AbstractSet[type[Event]]) -> Iterator[Problem]:
    """What is wrong with the workflows that the steps are handed, and within those."""
    blueprint = workflow.blueprint()
    try:
        check_nested(blueprint.name, blueprint.specs, workflow.nested_workflows)
    except DefinitionError as error:
        yield _problem("nested", str(error), blueprint.name, fatal=True)
    taken = goes | {kind for spec in blueprint.specs for kind in spec.accepts}
    for nested in workflow.nested_workflows.values():
        yield from _of_workflow(nested, taken)


def _problem(
    kind: str, message: str, workflow: str, spec: StepSpec | None = None, *, fatal: bool = False
) -> Problem:
    if spec is None:
        return Problem(kind=kind, message=message, workflow=workflow, fatal=fatal)
    code = inspect.unwrap(spec.call).__code__
    return Problem(
        kind=kind,
        message=message,
        workflow=workflow,
        step=spec.name,
        file=code.co_filename,
        line=code.co_firstlineno,
        fatal=fatal,
    )
