"""Workflows as parameters of steps: which ones a step asks for, and whether it was given them.

A step names the class, ``order_station: OrderStation``, and whoever makes the workflow says which object it is. So a
module that nests a workflow need not know how that one is made, and a test hands it another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeGuard, final

from .errors import DefinitionError, near, shown

__all__ = ["Nested", "Nests", "check_nested", "is_workflow_class"]


@final
class Nested:
    """A workflow that a step is handed.

    Attributes:
        name: The parameter.
        kinds: The class that it is annotated with, or the members of a union.
        optional: Whether the parameter has a default.
    """

    def __init__(self, name: str, kinds: tuple[type, ...], *, optional: bool) -> None:
        self.name = name
        self.kinds = kinds
        self.optional = optional


class Nests(Protocol):
    """A workflow that hands others to its steps."""

    @property
    def nested_workflows(self) -> Mapping[str, object]:
        """The workflows by the parameters that ask for them."""
        ...


class Asks(Protocol):
    """A step, as far as the check needs it."""

    @property
    def label(self) -> str:
        """The step as messages name it."""
        ...

    @property
    def nested(self) -> tuple[Nested, ...]:
        """What it asks for."""
        ...


def is_workflow_class(kind: object) -> TypeGuard[type[Any]]:
    """Whether it is a workflow class; that stands floors above, and is known by what it can do."""
    return isinstance(kind, type) and hasattr(kind, "add_step") and hasattr(kind, "blueprint")


def check_nested(name: str, steps: Iterable[Asks], given: Mapping[str, object]) -> None:
    """Raises unless each step can be handed what it asks for, and each workflow given is asked for.

    Raises:
        DefinitionError: Naming the parameter, the step and its line.
    """
    wanted = [(step.label, each) for step in steps for each in step.nested]
    for label, nested in wanted:
        kind = " | ".join(each.__name__ for each in nested.kinds)
        if nested.name in given:
            _check_kind(label, nested, kind, given[nested.name])
        elif not nested.optional:
            raise DefinitionError(
                f"{label} asks for a workflow as {nested.name}: {kind}, and this {name} was given none; write "
                f"workflow.add_workflows({nested.name}={kind}(…)), or {name}({nested.name}={kind}(…))"
            )
    names = [nested.name for _, nested in wanted]
    for other, workflow in given.items():
        if other not in names:
            raise DefinitionError(
                f"{name} was given {other}={type(workflow).__name__}(…), and none of its steps has a parameter "
                f"{other!r} for a workflow{near(other, names)}"
            )


def _check_kind(label: str, nested: Nested, kind: str, workflow: object) -> None:
    if not isinstance(workflow, nested.kinds):
        raise DefinitionError(
            f"{label} asks for a workflow as {nested.name}: {kind}, and was given {shown(workflow)}; give it "
            f"{nested.name}={kind}(…)"
        )
