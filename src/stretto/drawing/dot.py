"""A picture as DOT, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from .graph import Edge, Graph, How, Node, Role
from .lettering import visible

__all__ = ["write_dot"]

_STYLES = {
    Role.STEP: 'shape=box style="rounded,filled" fillcolor="#e8f0fd" color="#5b8def"',
    Role.EVENT: 'shape=box style="rounded,filled" fillcolor="#fff6d9" color="#d9b44a"',
    Role.START: 'shape=oval style=filled fillcolor="#e6f5ea" color="#57a773"',
    Role.STOP: 'shape=oval style=filled fillcolor="#e6f5ea" color="#57a773"',
    Role.OUTSIDE: 'shape=parallelogram style=filled fillcolor="#f6ecfb" color="#a677c4"',
    Role.ASKED: 'shape=parallelogram style=filled fillcolor="#f6ecfb" color="#a677c4"',
    Role.ANSWER: 'shape=parallelogram style=filled fillcolor="#f6ecfb" color="#a677c4"',
    Role.SENT: 'shape=box style="rounded,dashed" color="#d9822b"',
    Role.LOST: 'shape=box style="rounded,dashed" color="#d9822b"',
}
_JOIN = 'shape=hexagon style=filled fillcolor="#e8f0fd" color="#5b8def"'
_WAYS = {
    How.PLAIN: "",
    How.OUTSIDE: " [style=dashed]",
    How.WAITS: " [style=dashed]",
    How.CALLS: " [style=dashed]",
    How.CROSSING: " [penwidth=2.5]",
}


def write_dot(graph: Graph) -> str:
    """A graph as DOT, each frame as a cluster."""
    return "\n".join(_Writer(graph).lines())


@final
class _Writer:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def lines(self) -> Iterator[str]:
        yield f"digraph {_quoted(self._graph.title)} {{"
        yield '    node [fontname="sans-serif"];'
        yield from (f"    {line}" for line in self._inside(None))
        yield from (f"    {_way(edge)}" for edge in self._graph.edges)
        yield "}"

    def _inside(self, frame: str | None) -> Iterator[str]:
        yield from (_box(node) for node in self._graph.nodes if node.frame == frame)
        for inner in self._graph.frames:
            if inner.within == frame:
                yield f'subgraph "cluster_{inner.id}" {{'
                yield f"    label={_quoted(inner.title)};"
                yield from (f"    {line}" for line in self._inside(inner.id))
                yield "}"


def _box(node: Node) -> str:
    joins = node.step is not None and node.step.join is not None
    label = " ".join((node.title, *node.notes))
    return f'"{node.id}" [label={_quoted(label)} {_JOIN if joins else _STYLES[node.role]}];'


def _way(edge: Edge) -> str:
    return f'"{edge.source}" -> "{edge.target}"{_WAYS[edge.how]};'


def _quoted(text: str) -> str:
    """A string in which Graphviz finds neither its own escapes nor those of HTML."""
    inside = visible(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{inside}"'
