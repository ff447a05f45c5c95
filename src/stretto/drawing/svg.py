"""A picture as SVG: one file with its own style, light and dark, that fetches nothing and runs nothing.

Each node is a ``<g>`` with its id in ``data-node``, each edge one with ``data-edge``; their CSS classes begin with
``st-``. Whatever stands in a name is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import fsum
from typing import final
from xml.sax.saxutils import escape

from ..errors import shown
from .graph import Edge, Frame, Graph, How, Node, Role
from .layout import lay_out
from .lettering import clipped, visible, width_of
from .shapes import Box, Layout, Line, Point, Rect, Surround

__all__ = ["STYLE", "arrange", "draw"]

_FONT = 14.0
_SMALL = 11.5
_PADDING = 16.0
_STEP_HEIGHT = 38.0
_NOTE_HEIGHT = 16.0
_PILL_HEIGHT = 28.0
_ICON = 17.0  # the room for a sign before a name
_ARROW = 5.0
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_SIGNED = {Role.START, Role.STOP, Role.OUTSIDE, Role.ASKED, Role.ANSWER, Role.SENT, Role.LOST}

STYLE = """
.stretto{--bg:#fff;--ink:#1c2733;--soft:#66758a;--line:#8593a5;--step:#e8f0fd;--step-edge:#5b8def;--pill:#fff6d9;
--pill-edge:#d9b44a;--end:#e6f5ea;--end-edge:#57a773;--out:#f6ecfb;--out-edge:#a677c4;--frame:#f7f9fb;
--frame-edge:#cfd8e3;--warn:#d9822b;--bad:#fbe3e4;--bad-edge:#d64550;--busy:#fff0d6;--busy-edge:#e08a00;
font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
background:var(--bg);color:var(--ink)}
.stretto text{fill:var(--ink);font-size:14px;text-anchor:middle}
.stretto .st-note{fill:var(--soft);font-size:11.5px}
.stretto .st-frame rect{fill:var(--frame);stroke:var(--frame-edge)}
.stretto .st-frame-title{fill:var(--soft);font-size:12.5px;font-weight:600;text-anchor:start;stroke:var(--frame);
stroke-width:5px;paint-order:stroke}
.stretto .st-shape{fill:var(--pill);stroke:var(--pill-edge);stroke-width:1.25}
.stretto .st-step .st-shape{fill:var(--step);stroke:var(--step-edge);stroke-width:1.5}
.stretto .st-step .st-title{font-weight:600}
.stretto .st-start .st-shape,.stretto .st-stop .st-shape{fill:var(--end);stroke:var(--end-edge)}
.stretto .st-outside .st-shape,.stretto .st-asked .st-shape{fill:var(--out);stroke:var(--out-edge)}
.stretto .st-sent .st-shape,.stretto .st-lost .st-shape{stroke:var(--warn);stroke-dasharray:4 3}
.stretto .st-sign{fill:none;stroke:var(--soft);stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}
.stretto .st-way{fill:none;stroke:var(--line);stroke-width:1.5}
.stretto .st-head{fill:var(--line)}
.stretto .st-outside-way .st-way,.stretto .st-waits-way .st-way,.stretto .st-calls-way .st-way{stroke-dasharray:5 4}
.stretto .st-crossing-way .st-way{stroke-width:2.5}
.stretto .st-count rect{fill:var(--bg);stroke:var(--frame-edge)}
.stretto .st-count text{font-size:11.5px;fill:var(--ink)}
.stretto .st-idle{opacity:.38}
.stretto .st-ran>.st-way{stroke:var(--step-edge)}.stretto .st-ran>.st-head{fill:var(--step-edge)}
.stretto .st-failed .st-shape{fill:var(--bad);stroke:var(--bad-edge);stroke-width:2.5}
.stretto .st-active .st-shape,.stretto .st-stuck .st-shape{fill:var(--busy);stroke:var(--busy-edge);stroke-width:2.5}
@media(prefers-color-scheme:dark){.stretto{--bg:#12181f;--ink:#e4eaf1;--soft:#93a1b3;--line:#6f7f92;--step:#1a2c4a;
--step-edge:#5b8def;--pill:#37301a;--pill-edge:#b8963c;--end:#183325;--end-edge:#4f9a6b;--out:#2f2139;
--out-edge:#a677c4;--frame:#171f28;--frame-edge:#2e3a48;--warn:#e09a4f;--bad:#45181d;--bad-edge:#e5636d;
--busy:#40300f;--busy-edge:#e9a23b}}
@media print{.stretto{--bg:#fff;--ink:#000;--soft:#444;--line:#555;--step:#fff;--pill:#fff;--end:#fff;--out:#fff;
--frame:#fff;--frame-edge:#999}}
""".replace("\n", "")

# The signs before a name, on a ground of 12 by 12: what begins, what ends, what comes in, what goes out to somebody.
_SIGNS = {
    Role.START: "M3 2L10 6L3 10Z",
    Role.STOP: "M3 3H9V9H3Z",
    Role.OUTSIDE: "M1 6H7M5 3.5L7.5 6L5 8.5M8 1.5H11V10.5H8",
    Role.ASKED: "M4 7V2.5A1 1 0 0 1 6 2.5V6V1.8A1 1 0 0 1 8 1.8V6V3A1 1 0 0 1 10 3V8A3.5 3.5 0 0 1 4 9.5L1.8 6.8A1 1 0 0 1 3.3 5.6L4 6.4",  # noqa: E501
    Role.ANSWER: "M4 6H10.5M8 3.5L10.5 6L8 8.5M5 1.5H1V10.5H5",
    Role.SENT: "M6 1.5V7M6 9.8V10.2",
    Role.LOST: "M6 1.5V7M6 9.8V10.2",
}


def arrange(graph: Graph) -> Layout:
    """Where everything in the picture of a graph stands."""
    return lay_out(
        [_box(node) for node in graph.nodes],
        [Line(id=edge.id, source=edge.source, target=edge.target) for edge in graph.edges],
        [
            Surround(
                id=frame.id,
                width=width_of(clipped(frame.title, 48), 12.5) + 40,
                within=frame.within,
            )
            for frame in graph.frames
        ],
    )


def draw(
    graph: Graph,
    layout: Layout,
    classes: Mapping[str, str] | None = None,
    counts: Mapping[str, str] | None = None,
) -> str:
    """The picture of a graph.

    Args:
        graph: What is in it.
        layout: Where that stands.
        classes: One more CSS class for nodes and edges, by their ids. ``ran``, ``idle``, ``active``, ``failed`` and
            ``stuck`` have a style.
        counts: A short text beside nodes and edges, by their ids.

    Raises:
        ValueError: For a class that is no word.
    """
    return "".join(_Drawing(graph, layout, classes or {}, counts or {}).parts())


@final
class _Drawing:
    def __init__(
        self, graph: Graph, layout: Layout, classes: Mapping[str, str], counts: Mapping[str, str]
    ) -> None:
        for word in classes.values():
            if not _WORD.fullmatch(word):
                raise ValueError(
                    f"{shown(word)} is no CSS class; write a word of letters, digits and hyphens"
                )
        self._graph = graph
        self._layout = layout
        self._classes = classes
        self._counts = counts
        self._nodes = {node.id: node for node in graph.nodes}

    def parts(self) -> Iterator[str]:
        width, height = self._layout.width, self._layout.height
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="stretto" role="img" width="{width:g}" '
            f'height="{height:g}" viewBox="0 0 {width:g} {height:g}">'
        )
        yield f"<title>{_text(self._graph.title)}</title><desc>{_text(self._told())}</desc><style>{STYLE}</style>"
        yield '<g class="st-all">'
        for frame in self._graph.frames:
            yield from self._frame(frame)
        for edge in self._graph.edges:
            yield from self._edge(edge)
        for frame in self._graph.frames:
            yield self._frame_title(frame)
        for node in self._graph.nodes:
            yield from self._node(node)
        for edge in self._graph.edges:
            if edge.id in self._counts:
                yield from self._count(*_middle(self._layout.routes[edge.id]), self._counts[edge.id])
        yield "</g></svg>"

    def _told(self) -> str:
        steps = [clipped(node.title) for node in self._graph.nodes if node.role is Role.STEP]
        shown = ", ".join(steps[:12]) + (", …" if len(steps) > 12 else "")  # noqa: PLR2004 - a description is short
        return f"{len(steps)} steps: {shown}" if steps else "no steps"

    def _class(self, first: str, name: str) -> str:
        return f'class="{first} st-{self._classes[name]}"' if name in self._classes else f'class="{first}"'

    def _frame(self, frame: Frame) -> Iterator[str]:
        rect = self._layout.frames[frame.id]
        yield f'<g class="st-frame" data-frame="{frame.id}">{_rect(rect, 10)}</g>'

    def _frame_title(self, frame: Frame) -> str:
        """Above the ways that go into the frame, which would cross it out."""
        rect = self._layout.frames[frame.id]
        title = _text(clipped(frame.title, 48))
        return f'<text class="st-frame-title" x="{rect.x + 16:g}" y="{rect.y + 22:g}">{title}</text>'

    def _edge(self, edge: Edge) -> Iterator[str]:
        points = self._layout.routes[edge.id]
        kind = f"st-edge st-{edge.how.value}-way" + (" st-many" if edge.many else "")
        yield f'<g {self._class(kind, edge.id)} data-edge="{edge.id.replace(">", "&gt;")}">'
        yield f"<title>{_text(self._told_of(edge))}</title>"
        yield f'<path class="st-way" d="{_path(points)}"/>{_head(points[-1])}'
        if edge.many:
            yield _fan(points[0])
        yield "</g>"

    def _told_of(self, edge: Edge) -> str:
        source, target = clipped(self._nodes[edge.source].title), clipped(self._nodes[edge.target].title)
        match edge.how:
            case How.CALLS:
                return f"{source} runs {target}"
            case How.WAITS:
                return f"{target} waits for {source}"
            case _:
                several = ", several at once" if edge.many else ""
                return f"{source} to {target}{several}"

    def _node(self, node: Node) -> Iterator[str]:
        rect = self._layout.boxes[node.id]
        role = Role.ASKED if node.role is Role.ANSWER else node.role  # which look alike, but for their signs
        kind = f"st-node st-{role.value}"
        yield f'<g {self._class(kind, node.id)} data-node="{node.id}">'
        yield f"<title>{_text(_named(node))}</title>"
        yield _shape(node, rect)
        lines = _lines(node)
        x = rect.x + rect.width / 2
        y = rect.y + rect.height / 2 + 5 - _NOTE_HEIGHT / 2 * (len(lines) - 1)
        if node.role in _SIGNED:
            x += _ICON / 2
            sign = f"translate({rect.x + 10:g} {rect.y + rect.height / 2 - 6:g})"
            yield f'<path class="st-sign" transform="{sign}" d="{_SIGNS[node.role]}"/>'
        yield f'<text class="st-title" x="{x:g}" y="{y:g}">{_text(lines[0])}</text>'
        for number, line in enumerate(lines[1:], 1):
            yield f'<text class="st-note" x="{x:g}" y="{y + _NOTE_HEIGHT * number:g}">{_text(line)}</text>'
        if node.id in self._counts:
            yield from self._count(rect.x + rect.width, rect.y, self._counts[node.id])
        yield "</g>"

    def _count(self, x: float, y: float, text: str) -> Iterator[str]:
        shown = clipped(text, 12)
        wide = max(18.0, width_of(shown, _SMALL) + 10)
        place = Rect(x=x - wide / 2, y=y - 9, width=wide, height=18)
        yield f'<g class="st-count">{_rect(place, 9)}<text x="{x:g}" y="{y + 4:g}">{_text(shown)}</text></g>'


# -- boxes -----------------------------------------------------------------------------------------------------


def _box(node: Node) -> Box:
    lines = _lines(node)
    width = max(width_of(lines[0], _FONT), *(width_of(line, _SMALL) for line in lines)) + 2 * _PADDING
    if node.role is Role.STEP:
        height = _STEP_HEIGHT + _NOTE_HEIGHT * (len(lines) - 1)
        joins = 14.0 if node.step is not None and node.step.join is not None else 0.0
        return Box(id=node.id, width=max(90.0, width + joins), height=height, frame=node.frame)
    signs = _ICON if node.role in _SIGNED else 0.0
    return Box(id=node.id, width=width + signs, height=_PILL_HEIGHT, frame=node.frame)


def _lines(node: Node) -> list[str]:
    """What stands in a node: its title, and beneath it what else is told of a step."""
    lines = [clipped(node.title)]
    if node.notes:
        lines.append(" · ".join(f"×{note[1:]}" if note[1:].isdigit() else note for note in node.notes))
    if node.step is not None:
        if node.step.needs:
            lines.append(clipped("uses " + ", ".join(node.step.needs)))
        if node.step.awaits:
            lines.append("waits in its middle")
    return lines


def _named(node: Node) -> str:
    return " ".join((clipped(node.title, 120), *node.notes))


def _shape(node: Node, rect: Rect) -> str:
    if node.role is not Role.STEP:
        return _rect(rect, rect.height / 2, "st-shape")
    if node.step is None or node.step.join is None:
        return _rect(rect, 7, "st-shape")
    left, right, middle = rect.x, rect.x + rect.width, rect.y + rect.height / 2
    top, bottom = rect.y, rect.y + rect.height
    return (
        f'<path class="st-shape" d="M{left + 9:g} {top:g}H{right - 9:g}L{right:g} {middle:g}L{right - 9:g} '
        f'{bottom:g}H{left + 9:g}L{left:g} {middle:g}Z"/>'
    )


def _rect(rect: Rect, radius: float, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    size = f'width="{rect.width:g}" height="{rect.height:g}"'
    return f'<rect{named} x="{rect.x:g}" y="{rect.y:g}" {size} rx="{radius:g}"/>'


# -- ways ------------------------------------------------------------------------------------------------------


def _path(points: Sequence[Point]) -> str:
    """A smooth way through the points: straight where they are above each other, and vertical at each of them."""
    x, y = points[0]
    parts = [f"M{x:g} {y:g}"]
    down = 1.0
    for x2, y2 in points[1:]:
        if x2 == x:
            parts.append(f"V{y2:g}")
        elif y2 == y:  # it turns
            bend = y + down * min(26.0, 10 + abs(x2 - x) / 3)
            parts.append(f"C{x:g} {bend:g} {x2:g} {bend:g} {x2:g} {y2:g}")
            down = -down
        else:
            middle = (y + y2) / 2
            parts.append(f"C{x:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2:g}")
        x, y = x2, y2
    return "".join(parts)


def _head(end: Point) -> str:
    x, y = end
    return f'<path class="st-head" d="M{x:g} {y:g}l{-_ARROW:g} {-_ARROW * 1.7:g}h{2 * _ARROW:g}z"/>'


def _fan(begin: Point) -> str:
    """Where several may be sent at once, the way begins with three strokes."""
    x, y = begin
    return f'<path class="st-way" d="M{x - 6:g} {y:g}L{x:g} {y + 9:g}L{x + 6:g} {y:g}"/>'


def _middle(points: Sequence[Point]) -> Point:
    """A point half way along."""
    lengths = [abs(x2 - x1) + abs(y2 - y1) for (x1, y1), (x2, y2) in pairwise(points)]
    left = fsum(lengths) / 2
    for (x1, y1), (x2, y2), length in zip(points, points[1:], lengths, strict=False):
        if left <= length and length:
            return x1 + (x2 - x1) * left / length, y1 + (y2 - y1) * left / length
        left -= length
    return points[-1]


# -- text ------------------------------------------------------------------------------------------------------


def _text(text: str) -> str:
    return escape(visible(text))
