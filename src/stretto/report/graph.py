"""The graph of a workflow coloured by what ran, with how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import final

from ..drawing import draw_all_possible_flows
from ..drawing.graph import Node
from .account import Account
from .works import Work

__all__ = ["coloured"]


def coloured(account: Account) -> str:
    """The graph as SVG; plain if nothing is known of what ran."""
    picture = draw_all_possible_flows(account.workflow)
    if account.missed is None:
        return picture.to_svg()
    nodes = {
        node.id: node for node in picture.graph.nodes if node.frame is None
    }  # and none of a nested workflow
    flows = _Flows(account.works)
    counts = {each.id: flows.through(each) for each in nodes.values()}
    states = {each: "ran" if count else "idle" for each, count in counts.items()}
    for edge in picture.graph.edges:
        if edge.source in nodes and edge.target in nodes:
            went = flows.between(nodes[edge.source], nodes[edge.target])
            states[edge.id] = "ran" if went else "idle"
    for node in nodes.values():
        if node.step is not None and counts[node.id]:
            states[node.id] = _state([work for work in account.works if work.step == node.step.name], account)
    told = {each: f"×{count}" for each, count in counts.items() if count and nodes[each].step is not None}
    return picture.to_svg(classes=states, counts=told)


@final
class _Flows:
    """How often each step ran, and how many events of which class went into it and out of it."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._runs = Counter(work.step for work in works)
        self._sent = Counter((work.step, sent.name) for work in works for sent in work.sent)
        self._took = Counter((work.step, name) for work in works for name in _taken(work))
        self._seen = {name for _, name in (*self._sent, *self._took)}

    def through(self, node: Node) -> int:
        """How often a step ran, or whether there was an event of that class."""
        if node.step is not None:
            return self._runs[node.step.name]
        return int(node.kind is not None and node.kind.__name__ in self._seen)

    def between(self, source: Node, target: Node) -> int:
        """How many events went from a step to an event class, or from that to a step."""
        if source.step is not None and target.kind is not None:
            return self._sent[source.step.name, target.kind.__name__]
        if target.step is not None and source.kind is not None:
            return self._took[target.step.name, source.kind.__name__]
        return 0


def _taken(work: Work) -> list[str]:
    return [work.name, *(wait.name for wait in work.waits if wait.event)]


def _state(works: list[Work], account: Account) -> str:
    """How a step stands: what failed is seen before what is at work."""
    last = {work.event: work for work in works}  # of each event the last attempt
    if any(work.how == "failed" for work in last.values()):
        return "failed"
    at_work = any(work.how in {"at work", "cancelled"} for work in works)
    if at_work and account.state in {"running", "timed out"}:
        return "active"
    return "ran"
