"""The two functions that draw a picture: of all that a workflow may do, and of what one run of it did."""

from __future__ import annotations

import os

from ..errors import shown
from .executions import Execution
from .picture import Picture
from .reading import read
from .subjects import Drawable, Executed, Wired

__all__ = ["draw_all_possible_flows", "draw_most_recent_execution"]


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
            zoomed, searched and asked, ``.svg``, ``.mmd`` for Mermaid, ``.dot`` for Graphviz or
            ``.txt`` for plain text.

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


def draw_most_recent_execution(run: Executed, filename: str | os.PathLike[str] | None = None) -> Picture:
    """The picture of what a run has done, at any time while it runs or after: the same graph, with numbers.

    Each step has the number of events that it has begun to handle, each line the number of events that went along it;
    what never came up is pale. The numbers are kept for every run, so nothing has to be turned on before.

    >>> from stretto import StartEvent, StopEvent, Workflow, step
    >>> class Shout(Workflow):
    ...     @step
    ...     async def shout(self, ev: StartEvent) -> StopEvent:
    ...         return StopEvent()
    >>> async def main() -> None:
    ...     run = Shout().run()
    ...     await run
    ...     print(draw_most_recent_execution(run))
    >>> import anyio
    >>> anyio.run(main)
    <Picture of Shout: what a run did, 1 steps>

    What steps of nested workflows did, and of other members of an application, is in the counts of their own runs.

    Args:
        run: What ``workflow.run(...)`` gave.
        filename: A file to write it to, as for `draw_all_possible_flows`.

    Raises:
        TypeError: If it is no run.
        ValueError: If the end of `filename` says no form.
    """
    if not isinstance(run, Executed):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"draw_most_recent_execution takes a run, as in run = workflow.run(); await run, not {shown(run)}"
        )
    graph = read(run.workflow)
    told = Execution(graph, run.counts)
    picture = Picture(graph, told.caption, classes=told.states, counts=told.numbers)
    if filename is not None:
        picture.save(filename)
    return picture
