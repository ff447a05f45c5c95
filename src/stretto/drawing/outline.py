"""A picture as plain text, for a terminal: what leads to what, one line for each event and the step that takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from .graph import Edge, Graph, How, Node, Role
from .lettering import clipped
from .ranks import find_back_edges

__all__ = ["write_outline"]

_ENDS = {
    Role.STOP: " (ends the run)",
    Role.ASKED: " (asked of the world outside)",
    Role.ANSWER: " (answers who asks from outside)",
    Role.OUTSIDE: " (from outside)",
    Role.SENT: " (no step returns it)",
    Role.LOST: " (no step takes it)",
}


def write_outline(graph: Graph) -> str:
    """A graph as lines of ASCII, from what begins it on; what stands further up already is not told again."""
    return "\n".join(_Outline(graph).lines())


@final
class _Outline:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes = {node.id: node for node in graph.nodes}
        self._frames = {frame.id: frame.title for frame in graph.frames}
        self._out: dict[str, list[Edge]] = {node.id: [] for node in graph.nodes}
        for edge in graph.edges:
            self._out[edge.source].append(edge)
        self._told: set[str] = set()

    def lines(self) -> Iterator[str]:
        yield _ascii(clipped(self._graph.title, 100))
        for root in self._roots():
            if root not in self._told:
                yield ""
                yield from self._below(root)

    def _roots(self) -> Iterator[str]:
        """What nothing leads to, starts before all else; and a node of each circle that nothing leads to."""
        numbers = {node.id: at for at, node in enumerate(self._graph.nodes)}
        pairs = [(numbers[edge.source], numbers[edge.target]) for edge in self._graph.edges]
        back = find_back_edges(len(numbers), pairs)
        entered = {target for at, (_, target) in enumerate(pairs) if at not in back}
        roots = [node for node in self._graph.nodes if numbers[node.id] not in entered]
        return (node.id for node in sorted(roots, key=lambda node: node.role is not Role.START))

    def _below(self, root: str) -> Iterator[str]:
        """The lines of all that a node leads to."""
        waiting: list[tuple[str, str, str, Edge | None]] = [("", "", root, None)]
        while waiting:
            first, rest, name, edge = waiting.pop()
            text, last = self._line(name, edge)
            yield _ascii(first + text)
            if last in self._told:
                continue
            self._told.add(last)
            ways = self._out[last]
            waiting += [
                (f"{rest}`-- ", f"{rest}    ", way.target, way)
                if way is ways[-1]
                else (f"{rest}|-- ", f"{rest}|   ", way.target, way)
                for way in reversed(ways)
            ]

    def _line(self, name: str, edge: Edge | None) -> tuple[str, str]:
        """A node, with the step that it leads to if that is the only one; and the one of the two that goes on."""
        node, text = self._nodes[name], self._named(name, edge)
        ways = self._out[name]
        if node.role is Role.STEP or len(ways) != 1:
            return text + (" (above)" if name in self._told else ""), name
        self._told.add(name)
        after = ways[0].target
        above = " (above)" if after in self._told else ""
        return f"{text} -> {self._named(after, ways[0])}{above}", after

    def _named(self, name: str, edge: Edge | None) -> str:
        node = self._nodes[name]
        title = clipped(node.title, 60)
        around = "" if node.frame is None else f"{clipped(self._frames[node.frame], 60)}: "
        told = f"[{around}{' '.join((title, *node.notes))}]" if node.role is Role.STEP else around + title
        if edge is not None and edge.how is How.CALLS:
            told = f"runs {told}"
        if edge is not None and edge.how is How.WAITS:
            told = f"{told}, which waits for it"
        if edge is not None and edge.many:
            told += " (several at once)"
        return told + _end(node)


def _end(node: Node) -> str:
    return _ENDS.get(node.role, "")


def _ascii(line: str) -> str:
    return line.encode("ascii", "backslashreplace").decode()
