"""What is in a picture, each thing with an id of its own."""

from __future__ import annotations

import re
from typing import final

import attrs

from ..events import Event
from .graph import Edge, Frame, Graph, How, Node, Role

__all__ = ["Sheet", "ascii_name"]


@final
class Sheet:
    """Collects what is in the picture, and gives each thing an id of its own."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._edges: dict[str, Edge] = {}
        self._frames: list[Frame] = []
        self._ids: dict[object, str] = {}
        self._taken: set[str] = set()

    def graph(self, title: str) -> Graph:
        """What was collected, under a title."""
        return Graph(
            title=title,
            nodes=tuple(self._nodes.values()),
            edges=tuple(self._edges.values()),
            frames=tuple(self._frames),
        )

    def name(self, thing: object, wish: str) -> str:
        """The id of a thing: what it would be called, numbered where something else is called so."""
        known = self._ids.get(thing)
        if known is None:
            known, number = wish, 1
            while known in self._taken:
                number += 1
                known = f"{wish}_{number}"
            self._ids[thing] = known
            self._taken.add(known)
        return known

    def add_frame(self, wish: str, title: str, within: str | None) -> str:
        """A new frame, which may stand in another; gives its id."""
        frame = Frame(id=self.name(object(), wish), title=title, within=within)
        self._frames.append(frame)
        return frame.id

    def add(self, node: Node) -> str:
        """The node is in the picture, once; gives its id."""
        return self._nodes.setdefault(node.id, node).id

    def add_edge(self, source: str, target: str, how: How = How.PLAIN, *, many: bool = False) -> None:
        """The edge is in the picture, once; it leads to many if one of those added does."""
        edge = Edge(source=source, target=target, how=how, many=many)
        known = self._edges.get(edge.id, edge)
        self._edges[edge.id] = known if known.many or not many else attrs.evolve(known, many=True)

    def crossing(self, kind: type[Event], to: tuple[str, ...]) -> str:
        """The pill of what goes from some members to others."""
        name = self.name(("crossing", kind, to), f"crossing_{ascii_name(kind.__name__)}")
        return self.add(Node(id=name, role=Role.EVENT, title=kind.__name__, kind=kind))


def ascii_name(name: str) -> str:
    """A name as an id may hold it."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)
