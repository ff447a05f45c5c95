"""A picture of a workflow, and all the forms that it can be written in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import final

from . import mermaid, svg
from .graph import Graph
from .shapes import Layout

__all__ = ["Picture"]


@final
class Picture:
    """A picture of a workflow or an application.

    Every form shows the same graph. Who wants to show more, such as the state of a run, finds the nodes and edges in
    `graph` and hands their ids to `to_svg`::

        picture = draw_all_possible_flows(Poll)
        states = {node.id: "failed" for node in picture.graph.nodes if node.title == "ask"}
        picture.to_svg(classes=states)

    Attributes:
        graph: What is in it.
    """

    def __init__(
        self, graph: Graph, counts: Mapping[str, str] | None = None, classes: Mapping[str, str] | None = None
    ) -> None:
        self.graph = graph
        self._counts = dict(counts or {})
        self._classes = dict(classes or {})

    @cached_property
    def layout(self) -> Layout:
        """Where everything stands."""
        return svg.arrange(self.graph)

    def to_svg(
        self, *, classes: Mapping[str, str] | None = None, counts: Mapping[str, str] | None = None
    ) -> str:
        """As SVG: one element with its own style, light and dark, which fetches nothing and runs nothing.

        Args:
            classes: For the id of a node or an edge, the state that it is drawn in: ``"ran"``, ``"idle"``,
                ``"active"``, ``"failed"``, ``"stuck"``, or a word of yours, which becomes the CSS class ``st-word``.
            counts: For the id of a node or an edge, a short text beside it.

        Raises:
            ValueError: For a state that is no word of letters, digits and hyphens.
        """
        return svg.draw(
            self.graph, self.layout, self._classes | dict(classes or {}), self._counts | dict(counts or {})
        )

    def to_mermaid(self) -> str:
        """As Mermaid text, which GitHub and most documentation sites draw."""
        return mermaid.written(self.graph)
