"""Where everything in a picture stands: boxes in rows, frames around them, and the ways of the edges.

Pure: sizes in, places out, and the same for the same graph. A frame is laid out by itself and then stands as one box in
what is around it; an edge that leaves it does so by a *port* at its lower border, and enters another by one at the
upper. An edge leads from the lower border of its source down to the upper border of its target. One that closes a loop
goes down, turns, goes up beside all that the loop goes through, and turns again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from .level import Item, Laid, Level
from .shapes import Box, Layout, Line, Point, Rect, Surround

__all__ = ["lay_out"]

_MARGIN = 16.0
_FRAME_SIDE = 18.0
_FRAME_TOP = 36.0  # its title stands there
_FRAME_BOTTOM = 16.0


def lay_out(boxes: Sequence[Box], lines: Sequence[Line], frames: Sequence[Surround] = ()) -> Layout:
    """Places the boxes, and the frames around them, and finds the ways of the lines."""
    plan = _Plan(boxes, lines, frames)
    laid = plan.lay_out(None)
    routes = {line.id: _joined(laid.routes[line.id]) for line in lines}
    return Layout(
        width=_rounded(laid.width),
        height=_rounded(laid.height),
        boxes={each.id: _exact(laid.places[each.id]) for each in boxes},
        frames={each.id: _exact(laid.places[each.id]) for each in frames},
        routes=routes,
    )


@final
class _Plan:
    """The boxes and the lines by the frame in which they are laid out."""

    def __init__(self, boxes: Sequence[Box], lines: Sequence[Line], frames: Sequence[Surround]) -> None:
        self._within = {each.id: each.frame for each in boxes} | {each.id: each.within for each in frames}
        self._least = {each.id: each.width for each in frames}
        self._boxes = {each.id: each for each in boxes}
        self._inside: dict[
            str | None, dict[str, None]
        ] = {}  # in the order of the boxes, those in frames included
        self._lines: dict[str | None, list[tuple[str, str, str]]] = {}
        self._entering: dict[str | None, list[tuple[str, str]]] = {}
        self._leaving: dict[str | None, list[tuple[str, str]]] = {}
        for name in self._within:
            for inner, around in zip([name, *self._around(name)], self._around(name), strict=False):
                self._inside.setdefault(around, {})[str(inner)] = None
        for line in lines:
            self._sort_in(line)

    def _sort_in(self, line: Line) -> None:
        """A line is laid out in the innermost frame that has both its ends, and led through those further in."""
        down, up = self._around(line.source), self._around(line.target)
        common = next(each for each in down if each in up)
        source = target = ""
        for frame, inner in zip(down, [line.source, *down], strict=False):
            source = str(inner)
            if frame == common:
                break
            self._leaving.setdefault(frame, []).append((line.id, source))
        for frame, inner in zip(up, [line.target, *up], strict=False):
            target = str(inner)
            if frame == common:
                break
            self._entering.setdefault(frame, []).append((line.id, target))
        self._lines.setdefault(common, []).append((line.id, source, target))

    def _around(self, name: str) -> list[str | None]:
        """The frames around something, from the innermost; None at last."""
        frames: list[str | None] = [self._within[name]]
        while frames[-1] is not None:
            frames.append(self._within[frames[-1]])
        return frames

    def lay_out(self, frame: str | None) -> Laid:
        items: list[Item] = []
        for name in self._inside.get(frame, ()):
            box = self._boxes.get(name)
            laid = Laid() if box is not None else self.lay_out(name)
            items.append(
                Item(name, laid.width, laid.height, laid)
                if box is None
                else Item(name, box.width, box.height)
            )
        level = Level(
            items,
            self._lines.get(frame, ()),
            self._entering.get(frame, ()),
            self._leaving.get(frame, ()),
        )
        if frame is None:
            return level.laid(_MARGIN, _MARGIN, _MARGIN, 0.0)
        return level.laid(_FRAME_SIDE, _FRAME_TOP, _FRAME_BOTTOM, self._least[frame])


def _joined(points: Sequence[Point]) -> tuple[Point, ...]:
    """Without the points that change nothing."""
    kept: list[Point] = []
    for x, y in points:
        if kept and kept[-1] == (x, y):
            continue
        if len(kept) > 1 and kept[-1][0] == kept[-2][0] == x:
            (_, before), (_, last) = kept[-2:]
            if before < last < y or before > last > y:
                kept.pop()
        kept.append((x, y))
    return tuple((_rounded(x), _rounded(y)) for x, y in kept)


def _exact(rect: Rect) -> Rect:
    return Rect(
        x=_rounded(rect.x), y=_rounded(rect.y), width=_rounded(rect.width), height=_rounded(rect.height)
    )


def _rounded(value: float) -> float:
    return round(value, 1) + 0.0  # no -0.0
