"""The steps of a class: those that it defines itself, and those that it inherits."""

from __future__ import annotations

from typing import Any, cast

from ._step_reader import read_step
from ._step_spec import StepSpec, mark_of
from .errors import DefinitionError

__all__ = ["check_name", "read_class", "steps_of"]


def read_class(cls: type, names: dict[str, Any], root: type) -> dict[str, StepSpec]:
    """The steps that the class itself defines."""
    steps: dict[str, StepSpec] = {}
    for name, value in list(vars(cls).items()):
        mark = mark_of(value)
        if mark is not None and mark.bound:
            check_name(cls, name, root)
            steps[name] = read_step(name, value, mark, cls.__name__, names)
    return steps


def check_name(cls: type, name: str, root: type) -> None:
    """Refuses a step that would hide what `root`, the class of all workflows, has.

    Raises:
        DefinitionError: If it does.
    """
    if name in dir(root):
        raise DefinitionError(
            f"{cls.__name__}.{name} hides what every workflow has under that name; give the step another one"
        )


def steps_of(cls: type) -> dict[str, StepSpec]:
    """All steps in order of definition, base class first; an overridden one keeps its place.

    Raises:
        DefinitionError: If a subclass overrides a step with something that is none.
    """
    steps: dict[str, StepSpec] = {}
    for base in reversed(cls.__mro__):
        own = _read_of(cls, base)
        for name in [name for name in steps if name in vars(base) and name not in own]:
            if vars(base)[name] is not None:
                raise DefinitionError(
                    f"{base.__name__}.{name} overrides the step {steps[name].label} and is no step itself; write @step "
                    f"above it, or {name} = None to leave the step out"
                )
            del steps[name]
        steps.update(own)
    return steps


def _read_of(cls: type, base: type) -> dict[str, StepSpec]:
    for owner in cls.__mro__:
        read = vars(owner).get("_read_steps", {})
        if base in read:
            return cast("dict[str, StepSpec]", read[base])
    return {}
