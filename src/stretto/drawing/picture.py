"""A picture of a workflow, and all the forms that it can be written in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import final

from . import dot, mermaid, outline, page, svg
from .graph import Graph
from .shapes import Layout

__all__ = ["Picture"]


@final
class Picture:
    """A picture of a workflow or an application.

    A notebook shows it by itself. Every form shows the same graph. Who wants to show more, such as the state of a run,
    finds the nodes and edges in `graph` and hands their ids to `to_svg`::

        picture = draw_all_possible_flows(Poll)
        states = {node.id: "failed" for node in picture.graph.nodes if node.title == "ask"}
        picture.to_svg(classes=states)

    Attributes:
        graph: What is in it.
    """

    def __init__(
        self,
        graph: Graph,
        caption: str,
        *,
        classes: Mapping[str, str] | None = None,
        counts: Mapping[str, str] | None = None,
    ) -> None:
        self.graph = graph
        self._caption = caption
        self._classes = dict(classes or {})
        self._counts = dict(counts or {})

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
            self.graph, self.layout, {**self._classes, **(classes or {})}, {**self._counts, **(counts or {})}
        )

    def to_html(self) -> str:
        """As a page: one file that may be zoomed, searched and asked, and that asks no host for anything."""
        return page.write_page(self.graph, self.to_svg(), self._caption)

    def to_mermaid(self) -> str:
        """As Mermaid text, which GitHub and most documentation sites draw."""
        return mermaid.written(self.graph)

    def to_dot(self) -> str:
        """As DOT, the language of Graphviz."""
        return dot.write_dot(self.graph)

    def to_ascii(self) -> str:
        """As plain text for a terminal: what leads to what, from the start events on."""
        return outline.write_outline(self.graph)

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Writes the picture to a file, in the form that the end of its name says.

        Args:
            filename: Where to; it ends in ``.html``, ``.svg``, ``.mmd``, ``.dot`` or ``.txt``.

        Raises:
            ValueError: If it ends otherwise.
        """
        forms = {
            ".html": self.to_html,
            ".svg": self.to_svg,
            ".mmd": self.to_mermaid,
            ".dot": self.to_dot,
            ".txt": self.to_ascii,
        }
        path = Path(filename)
        form = forms.get(path.suffix.lower())
        if form is None:
            raise ValueError(
                f"the end of {str(filename)!r} says no form that a picture has; let it end in {', '.join(forms)}"
            )
        path.write_text(form(), "utf-8")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.to_svg()

    def __repr__(self) -> str:
        steps = sum(node.step is not None for node in self.graph.nodes)
        return f"<Picture of {self.graph.title}: {self._caption}, {steps} steps>"
