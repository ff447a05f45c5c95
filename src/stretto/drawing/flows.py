"""The two functions that draw a picture: of all that a workflow may do, and of what a run did."""

from __future__ import annotations

from .picture import Picture
from .reading import read
from .subjects import Drawable, Wired

__all__ = ["draw_all_possible_flows"]


def draw_all_possible_flows(workflow: Drawable | Wired) -> Picture:
    """The picture of all that a workflow or an application may do, made from its annotations without running it.

    >>> from stretto import StartEvent, StopEvent, Workflow, step
    >>> class Shout(Workflow):
    ...     @step
    ...     async def shout(self, ev: StartEvent) -> StopEvent: ...
    >>> draw_all_possible_flows(Shout).to_svg()[:4]
    '<svg'

    Args:
        workflow: The class, or a workflow made of it, or an application.

    Returns:
        The picture, which can be written in several forms.

    Raises:
        TypeError: If it is something else.
        DefinitionError: If the wiring of an application is wrong.
    """
    return Picture(read(workflow))
