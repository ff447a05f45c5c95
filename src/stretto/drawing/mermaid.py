"""The graph of a workflow as Mermaid text, which GitHub and most documentation sites draw."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import final

from .graph import Edge, Graph, How, Node, Role
from .reading import read
from .subjects import Drawable, Wired

__all__ = ["to_mermaid", "written"]

_FROM_NO_STEP = {Role.START, Role.OUTSIDE, Role.SENT}
_FOR_NO_STEP = {Role.STOP, Role.LOST, Role.ASKED, Role.ANSWER}
_BOXES = {
    Role.START: ("([", "])"),
    Role.STOP: ("([", "])"),
    Role.SENT: ("([", "])"),
    Role.LOST: ("([", "])"),
    Role.EVENT: ("([", "])"),
    Role.OUTSIDE: ("[/", "/]"),
    Role.ASKED: ("[/", "/]"),
    Role.ANSWER: ("[/", "/]"),
}


def to_mermaid(workflow: Drawable | Wired) -> str:
    """The steps of a workflow as boxes, and between them the events that they return and take.

    >>> from stretto import StartEvent, StopEvent, Workflow, step
    >>> class Shout(Workflow):
    ...     @step
    ...     async def shout(self, ev: StartEvent) -> StopEvent: ...
    >>> print(to_mermaid(Shout))
    flowchart TD
        shout["shout"]
        start_StartEvent(["StartEvent"]) --> shout
        shout --> stop_StopEvent(["StopEvent"])

    An event from or for outside is a slanted box with a dashed line. So is, in a rounded box, one that a step takes and
    none declares, or declares and none takes. ``x2`` is a number of workers other than four. A step that joins is a
    hexagon.

    Each member of an `Application` and each nested workflow has a frame, and what goes from one member to another is a
    thick line.

    Args:
        workflow: The class, or a workflow made of it, or an application.

    Returns:
        Mermaid text, the same for the same graph, whatever the names in it.
    """
    return written(read(workflow))


def written(graph: Graph) -> str:
    """A graph as Mermaid text."""
    return "\n".join(["flowchart TD", *_Writer(graph).lines()])


@final
class _Writer:
    """Writes a graph; an event inside is the label of a line here, and no box."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes = {node.id: node for node in graph.nodes}
        self._out: dict[str, list[Edge]] = {}
        for edge in graph.edges:
            self._out.setdefault(edge.source, []).append(edge)

    def lines(self) -> Iterator[str]:
        yield from (f"    {line}" for line in self._inside(None))
        yield from (f"    {line}" for line in self._between())

    def _inside(self, frame: str | None) -> Iterator[str]:
        for node in self._graph.nodes:
            if node.frame == frame and node.role is Role.STEP:
                text = _quoted(" ".join((node.title, *node.notes)))
                joins = node.step is not None and node.step.join is not None
                yield node.id + ("{{" + text + "}}" if joins else f"[{text}]")
        yield from dict.fromkeys(
            line for line, frames in self._all_ways() if all(each == frame for each in frames)
        )
        for inner in self._graph.frames:
            if inner.within == frame:
                yield f"subgraph {inner.id}[{_quoted(inner.title)}]"
                yield from (f"    {line}" for line in self._inside(inner.id))
                yield "end"

    def _between(self) -> Iterator[str]:
        """The lines from one frame to another."""
        yield from dict.fromkeys(line for line, frames in self._all_ways() if len(set(frames)) > 1)

    def _all_ways(self) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        """Each line with the frames that its ends are in."""
        for edge in self._graph.edges:
            source, target = self._nodes[edge.source], self._nodes[edge.target]
            if source.role is Role.STEP:
                yield from self._ways_on(edge, source, target)
            elif source.role in _FROM_NO_STEP or edge.how is How.WAITS:
                line = f"{_boxed(source)} {'-->' if edge.how is How.PLAIN else '-.->'} {target.id}"
                yield line, (source.frame, target.frame)

    def _ways_on(
        self, edge: Edge, source: Node, target: Node
    ) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        onward = [each for each in self._out.get(target.id, ()) if each.how is not How.WAITS]
        if target.role in _FOR_NO_STEP or edge.how is How.CALLS or not onward:
            arrow = "-->" if edge.how is How.PLAIN else "-.->"
            yield f"{source.id} {arrow} {_boxed(target)}", (source.frame, target.frame)
        if edge.how is How.CALLS:
            return
        arrow = "==>" if edge.how is How.CROSSING else "-->"
        for each in onward:
            taker = self._nodes[each.target]
            yield f"{source.id} {arrow}|{_label(target.title)}| {taker.id}", (source.frame, taker.frame)


def _boxed(node: Node) -> str:
    begin, end = _BOXES[node.role]
    return f"{node.id}{begin}{_quoted(node.title)}{end}"


def _label(name: str) -> str:
    return name if re.fullmatch(r"\w+", name, re.ASCII) else _quoted(name)


def _quoted(text: str) -> str:
    """A label that is read as text, whatever stands in it: not as Markdown, HTML or the end of the label."""
    return '"' + "".join(each if each.isalnum() or each in "_ " else f"#{ord(each)};" for each in text) + '"'
