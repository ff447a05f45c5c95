"""What a run did, brought to the nodes and edges of its graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import final

from .._core.counts import Counts
from ..events import Event
from .graph import Edge, Graph, Node, Role

__all__ = ["Execution"]


@final
class Execution:
    """The numbers of a run by the ids of its graph.

    Attributes:
        numbers: For each step, how many events it began to handle; for each edge, how many went along it.
        states: ``ran`` for what came up, ``idle`` for what did not; what nested workflows did is not known here.
        unnamed: How many events were sent or taken in a way that no annotation names.
    """

    def __init__(self, graph: Graph, counts: Counts) -> None:
        self.unnamed = 0
        self._nodes = {node.id: node for node in graph.nodes}
        self._steps = {
            node.title: node.id for node in graph.nodes if node.role is Role.STEP and node.frame is None
        }
        self._edges = [edge for edge in graph.edges if {edge.source, edge.target} & set(self._steps.values())]
        gone = dict.fromkeys((edge.id for edge in self._edges), 0)
        for (sender, kind), count in counts.sent.items():
            if sender is not None:
                self._add(gone, self._out_of(sender), kind, count)
        for (kind, taker), count in counts.taken.items():
            self._add(gone, self._into(taker), kind, count)
        begun = {self._steps[name]: count for name, count in counts.begun.items() if name in self._steps}
        self.numbers = {name: f"{count}" for name, count in [*begun.items(), *gone.items()] if count}
        self.states = dict(self._states(gone, begun))

    @property
    def caption(self) -> str:
        """What the picture shows, in a few words."""
        if not self.unnamed:
            return "what a run did"
        return f"what a run did; {self.unnamed} events went ways that no annotation names"

    def _out_of(self, step: str) -> Iterator[tuple[Edge, Node]]:
        name = self._steps.get(step)
        return ((edge, self._nodes[edge.target]) for edge in self._edges if edge.source == name)

    def _into(self, step: str) -> Iterator[tuple[Edge, Node]]:
        name = self._steps.get(step)
        return ((edge, self._nodes[edge.source]) for edge in self._edges if edge.target == name)

    def _add(
        self, gone: dict[str, int], ways: Iterable[tuple[Edge, Node]], kind: type[Event], count: int
    ) -> None:
        """Counts the edge of exactly that class, or of its nearest base."""
        by_kind = {node.kind: edge.id for edge, node in ways if node.kind is not None}
        found = next((by_kind[base] for base in kind.__mro__ if base in by_kind), None)
        if found is None:
            self.unnamed += count
        else:
            gone[found] += count

    def _states(self, gone: dict[str, int], begun: dict[str, int]) -> Iterator[tuple[str, str]]:
        touched = {end for edge in self._edges if gone[edge.id] for end in (edge.source, edge.target)}
        for node in self._nodes.values():
            if node.frame is None:
                came_up = begun.get(node.id, 0) > 0 if node.role is Role.STEP else node.id in touched
                yield node.id, "ran" if came_up else "idle"
        for name, count in gone.items():
            yield name, "ran" if count else "idle"
