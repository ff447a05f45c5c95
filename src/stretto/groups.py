"""Groups of steps that belong to no class: a module writes them, and any workflow takes them in.

>>> from stretto import Event, StartEvent, StepGroup, StopEvent, Workflow, step
>>> class Priced(Event):
...     cents: int
>>> pricing = StepGroup("pricing")
>>> @step(workflow=pricing)
... async def price(ev: StartEvent) -> Priced:
...     return Priced(cents=80)
>>> class Shop(Workflow[int]):
...     @step
...     async def sell(self, ev: Priced) -> StopEvent[int]:
...         return StopEvent(result=ev.cents)
>>> pricing.attach(Shop)
StepGroup('pricing', price)
>>> Shop().run_sync()
80
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, final

from ._step_reader import read_step
from ._step_spec import mark_of
from .errors import DefinitionError, shown
from .nesting import is_workflow_class
from .steps import StepHolder

__all__ = ["StepGroup"]


@final
class StepGroup:
    """Steps that are added to workflow classes together.

    ``@step(workflow=group)`` puts a function into it. Its functions stay what they are, to be called in a test; to run
    the group alone, attach it to a workflow that has nothing else.

    Args:
        name: What messages call it.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"a StepGroup has a name, as in StepGroup('pricing'), not {shown(name)}")
        self.name = name
        self._steps: dict[str, Callable[..., Any]] = {}
        self._holders: list[StepHolder] = []

    def add_step(self, function: Callable[..., Any]) -> None:
        """Adds a function marked by `step`, also to the workflows that have the group already.

        Raises:
            DefinitionError: If its signature is wrong, or the group has a step of that name.
        """
        mark = mark_of(function)
        if mark is None:
            raise DefinitionError(
                f"{self.name}.add_step takes a function marked by @step, not {shown(function)}"
            )
        name = function.__name__
        spec = read_step(name, staticmethod(function), mark, self.name, {})
        if callable(spec.undo):  # a name is one of the workflow that takes in the group
            from ._undo_reader import read_undo  # noqa: PLC0415 - only for who undoes

            read_undo(spec, spec.undo, self.name)
        if name in self._steps:
            raise DefinitionError(f"{spec.label} is in the group already; give one of the two another name")
        for holder in self._holders:
            holder.add_step(function)
        self._steps[name] = function

    def attach(self, *workflows: StepHolder) -> Self:
        """Adds its steps to workflow classes, now and as they come.

        Args:
            *workflows: The classes.

        Returns:
            The group.

        Raises:
            DefinitionError: For what is no workflow class, or a class that has a step of that name.
        """
        for workflow in workflows:
            given: object = workflow
            if not is_workflow_class(given):
                raise DefinitionError(
                    f"{self.name}.attach takes workflow classes, as in {self.name}.attach(Shop), not {shown(workflow)}"
                )
            for function in self._steps.values():
                workflow.add_step(function)
            self._holders.append(workflow)
        return self

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(tuple(self._steps.values()))

    def __repr__(self) -> str:
        return f"StepGroup({', '.join([repr(self.name), *self._steps])})"
