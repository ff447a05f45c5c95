"""The two functions that draw a picture: of all that a workflow may do, and of what a run did."""

from __future__ import annotations

import os

from .picture import Picture
from .reading import read
from .subjects import Drawable, Wired

__all__ = ["draw_all_possible_flows"]


def draw_all_possible_flows(
    workflow: Drawable | Wired, filename: str | os.PathLike[str] | None = None
) -> Picture:
    """The picture of all that a workflow or an application may do, made from its annotations without running it.

    >>> from stretto import StartEvent, StopEvent, Workflow, step
    >>> class Shout(Workflow):
    ...     @step
    ...     async def shout(self, ev: StartEvent) -> StopEvent: ...
    >>> draw_all_possible_flows(Shout).to_svg()[:4]
    '<svg'

    Args:
        workflow: The class, or a workflow made of it, or an application.
        filename: A file to write it to, in the form that the end of its name says: ``.html`` for a page that may be
            zoomed, searched and asked, ``.svg``, ``.mmd`` for Mermaid or ``.dot`` for Graphviz.

    Returns:
        The picture, which can be written in several forms.

    Raises:
        TypeError: If it is something else.
        DefinitionError: If the wiring of an application is wrong.
        ValueError: If the end of `filename` says no form.
    """
    picture = Picture(read(workflow), "all possible flows")
    if filename is not None:
        picture.save(filename)
    return picture
