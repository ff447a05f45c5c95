"""Which class a step names for the state of its run, ``ctx: Context[Cart]``, and the one that all its steps mean."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast

from .errors import DefinitionError, shown

if typing.TYPE_CHECKING:
    from ._core.run_state import StateKind

__all__ = ["StateNamer", "agreed_state", "state_named"]

_ANY_NUMBER = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class StateNamer(Protocol):
    """A step, as far as the state of its run goes."""

    @property
    def label(self) -> str:
        """The step as messages name it."""
        ...

    @property
    def state(self) -> type | None:
        """The class that it names; None if any will do."""
        ...


def state_named(hint: object, error: Callable[[str], DefinitionError]) -> type | None:
    """The class in the brackets of a ``Context[…]``; None where there is none, or a mapping.

    Args:
        hint: The annotation of the parameter, which may be a union with None.
        error: Makes the error that names the step.

    Raises:
        DefinitionError: If no state can be made of what stands there.
    """
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        named = [state_named(member, error) for member in typing.get_args(hint)]
        return next((each for each in named if each is not None), None)
    inner = next(iter(typing.get_args(hint)), Any)
    kind = cast("object", typing.get_origin(inner) or inner)
    if inner is Any or isinstance(inner, TypeVar) or kind is dict or kind is Mapping:
        return None
    from ._core.shapes import field_names  # noqa: PLC0415 - loaded by who uses it, as below

    if not isinstance(kind, type) or field_names(kind) is None:
        told = kind.__name__ if isinstance(kind, type) else shown(inner)
        raise error(
            f"names {told} as the state of its run, which is no attrs class, dataclass or pydantic model; write "
            "Context[MyState] with one of these, or Context for a free mapping"
        )
    return kind


def agreed_state(workflow: str, steps: Iterable[StateNamer]) -> StateKind | None:
    """The state of a workflow's runs: the most derived of the classes that its steps name; None if they name none.

    Raises:
        DefinitionError: If there is none such, or it cannot be made without arguments.
    """
    named: dict[type, str] = {}
    for step in steps:
        if step.state is not None:
            named.setdefault(step.state, step.label)
    if not named:
        return None
    from ._core.run_state import StateKind  # noqa: PLC0415

    for kind, label in named.items():
        if all(issubclass(kind, other) for other in named):
            _check_defaults(kind, label)
            return StateKind(kind)
    told = ", ".join(f"{label} names {kind.__name__}" for kind, label in named.items())
    raise DefinitionError(
        f"the steps of {workflow} name different classes for the state of its runs: {told}; a run has one state: name "
        "one class in all of them, or classes that derive from one another"
    )


def _check_defaults(kind: type, label: str) -> None:
    parameters = inspect.signature(kind).parameters.values()
    bare = [each for each in parameters if each.default is each.empty and each.kind not in _ANY_NUMBER]
    if bare:
        names = ", ".join(repr(each.name) for each in bare)
        raise DefinitionError(
            f"{label} names {kind.__name__} as the state of its run, which begins as {kind.__name__}(), but {names} "
            f"{'has' if len(bare) == 1 else 'have'} no default; write {_with_default(bare[0])}"
        )


def _with_default(field: inspect.Parameter) -> str:
    annotation = (
        field.annotation if isinstance(field.annotation, str) else inspect.formatannotation(field.annotation)
    )
    name = field.name
    return f"{name}: {annotation} = …" if field.annotation is not field.empty else f"{name} = …"
