"""What the undo of a step is, once its signature has been read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, final

from ._fields import Fields

if TYPE_CHECKING:
    from .context import Context
    from .resources import Need

__all__ = ["UndoSpec"]


@final
class UndoSpec(Fields):
    """The undo of a step.

    Attributes:
        name: What a record calls it.
        label: As messages name it, with file and line.
        threaded: Whether it runs in a thread.
        event_names: For each parameter that takes what the step took: what the step calls it.
        result_name: The parameter that takes what the step returned.
        needs: The resources that it is handed, by parameter.
    """

    name: str
    label: str
    call: Callable[..., Any]
    threaded: bool
    self_name: str | None
    context_name: str | None
    event_names: dict[str, str]
    result_name: str | None
    needs: dict[str, Need]

    def arguments(
        self, workflow: object, context: Context | None, taken: Mapping[str, object], result: object
    ) -> dict[str, Any]:
        """The arguments of a call, by name.

        Args:
            workflow: The self of a method.
            context: The context, if it asks for one.
            taken: What the step took, by its parameters for events.
            result: What the step returned.
        """
        arguments = {name: taken[own] for name, own in self.event_names.items()}
        others = {self.self_name: workflow, self.context_name: context, self.result_name: result}
        return arguments | {name: value for name, value in others.items() if name is not None}
