"""What is wrong with a graph more often than it is meant: told by `stretto check`, and never at a run.

A join that is never complete, a batch of what its step does not take, a type with two ways to go: each is told only
where no run can do otherwise.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator, Set as AbstractSet
from typing import Any

from ._core.gathering import Each
from ._step_spec import StepSpec
from .blueprint import Blueprint, Finding, spread
from .errors import name_of, names
from .events import Event, StopEvent, is_external

__all__ = ["doubts"]

_METHOD = "collect_events"


def doubts(blueprint: Blueprint, comes: AbstractSet[type[Event]] = frozenset()) -> Iterator[Finding]:
    """The findings, in the order of the steps.

    Args:
        blueprint: Of the workflow.
        comes: The types that other members of an application send to it.
    """
    reached = blueprint.reached(comes)
    for spec in blueprint.specs:
        yield from _incomplete(blueprint, spec, reached, comes)
        yield from _never_collected(spec)
    yield from _two_ways(blueprint)
    yield from _two_ends(blueprint)


def _incomplete(
    blueprint: Blueprint, spec: StepSpec, reached: AbstractSet[StepSpec], comes: AbstractSet[type[Event]]
) -> Iterator[Finding]:
    """A join of one of each type that never has one of each."""
    if not isinstance(spec.join, Each) or spec not in reached:
        return
    for kind in spec.join.kinds:
        makers = [each for each in blueprint.makers(kind) if each in reached]
        if not makers and not blueprint.arrives(kind, comes) and any(blueprint.makers(kind)):
            who = ", ".join(each.label for each in blueprint.makers(kind))
            yield Finding(
                "open-join",
                f"{spec.label} joins one of each of {_names(spec.join.kinds)}, and no "
                f"{name_of(kind, spec.join.kinds)} ever comes: it is returned by {who}, which cannot be reached",
                spec,
            )
    if not _may_be_several(blueprint, spec, comes):
        yield Finding(
            "open-join",
            f"{spec.label} joins one of each of {_names(spec.join.kinds)}, and nothing that leads to it forks, so that "
            "only one of them ever comes; let a step return a list of them, or two steps take one event",
            spec,
        )


def _may_be_several(blueprint: Blueprint, join: StepSpec, comes: AbstractSet[type[Event]]) -> bool:
    """Whether several events may be on their way to a join."""
    before: dict[StepSpec, list[StepSpec]] = {}
    for spec in blueprint.specs:
        for after in blueprint.leads_to(spec):
            before.setdefault(after, []).append(spec)
    to = spread({join}, lambda spec: before.get(spec, ()))
    kinds = {kind for spec in blueprint.specs for kind in (*spec.accepts, *spec.returns)}
    return (
        any(spec.lists or spec.context_name is not None for spec in to - {join})
        or any(is_external(kind) or kind in comes for spec in to for kind in spec.accepts)
        or any(len({*blueprint.takers(kind)} & to) > 1 for kind in kinds)
    )


def _never_collected(spec: StepSpec) -> Iterator[Finding]:
    """A type in a batch that the step is never given."""
    for kind, line in _collected(spec.call):
        if not any(kind is each for each in spec.accepts) and not spec.accept_event_subclasses:
            takes = " | ".join(names((*spec.accepts, kind)))
            yield Finding(
                "open-batch",
                f"{spec.label} collects {name_of(kind, spec.accepts)} (line {line}), which it does not take, so that "
                f"no batch is ever whole; write ev: {takes}, or leave it out of the list",
                spec,
            )


def _two_ways(blueprint: Blueprint) -> Iterator[Finding]:
    """A type that one step takes by its name, and another one as a subclass."""
    for kind in dict.fromkeys(kind for spec in blueprint.specs for kind in spec.accepts):
        exact = [spec for spec in blueprint.specs if kind in spec.accepts]
        for spec in blueprint.specs:
            if spec.accept_event_subclasses and spec not in exact and issubclass(kind, spec.accepts):
                yield Finding(
                    "two-ways",
                    f"{kind.__name__} goes to {', '.join(each.label for each in exact)} and to {spec.label} too, which "
                    "takes subclasses; if one of them is meant, let that one take what the other does not",
                    spec,
                )


def _two_ends(blueprint: Blueprint) -> Iterator[Finding]:
    """A type that two steps take of which each ends the run, so that the quicker one decides."""
    for kind in dict.fromkeys(kind for spec in blueprint.specs for kind in spec.accepts):
        ending = [spec for spec in blueprint.specs if kind in spec.accepts and _only_ends(spec)]
        if len(ending) > 1:
            yield Finding(
                "two-ends",
                f"{kind.__name__} is taken by {' and '.join(each.label for each in ending)}, each of which ends the "
                "run: the quicker one decides, and cancels the other; let one of them take another event, or join them",
                ending[1],
            )


def _only_ends(spec: StepSpec) -> bool:
    return (
        bool(spec.returns)
        and spec.join is None
        and spec.recovers is None
        and not spec.optional
        and all(issubclass(kind, StopEvent) for kind in spec.returns)
    )


@functools.cache
def _collected(function: Callable[..., Any]) -> tuple[tuple[type[Event], int], ...]:
    """The event classes that a step names in the lists that it collects, each with its line; read off its source."""
    function = inspect.unwrap(function)
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        known = inspect.getclosurevars(function)
    except (OSError, SyntaxError, TypeError, ValueError):  # no source
        return ()
    names = {**known.builtins, **known.globals, **known.nonlocals}
    found: dict[type[Event], int] = {}
    for expected in _expected(tree):
        for node in ast.walk(expected):
            if isinstance(node, ast.Name):
                kind: object = names.get(node.id)
                if isinstance(kind, type) and issubclass(kind, Event):
                    found.setdefault(kind, first + node.lineno - 1)
    return tuple(found.items())


def _expected(tree: ast.AST) -> Iterator[ast.expr]:
    """What stands for the list in each call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == _METHOD:
            yield from node.args[1:2]
            yield from (each.value for each in node.keywords if each.arg == "expected")


def _names(kinds: tuple[type, ...]) -> str:
    return " and ".join(names(kinds))
