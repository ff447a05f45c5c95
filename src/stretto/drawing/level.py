"""Lays out what is in one frame, the frames in it as boxes, and leads edges out of it and into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import final

from .columns import find_columns
from .grid import Grid
from .order import put_in_order
from .ranks import find_rows
from .shapes import Point, Rect

__all__ = ["Item", "Laid", "Level"]

_ROW_GAP = 40.0
_LOWEST = 24.0  # beside a tall frame a box does not stand in the middle, but near what leads to it
_TURN_ROOM = 14.0  # above the first row and below the last, if a lane turns there
_TURN_FROM = 14.0  # how far from the middle of a box the first lane begins or ends


@final
class Laid:
    """What is within one frame, or the whole picture; places are from its upper left corner.

    Attributes:
        entries: Where each line that comes in from above does so; `exits` likewise.
    """

    def __init__(self) -> None:
        self.width = self.height = 0.0
        self.places: dict[str, Rect] = {}
        self.routes: dict[str, list[Point]] = {}
        self.entries: dict[str, float] = {}
        self.exits: dict[str, float] = {}


@final
class Item:
    """A box or a whole frame in the frame around it, or a port."""

    def __init__(self, name: str, width: float, height: float, inner: Laid | None = None) -> None:
        self.name = name
        self.width = width
        self.height = height
        self.inner = inner


@final
class Level:
    """Lays out the items of one frame."""

    def __init__(
        self,
        items: list[Item],
        lines: Sequence[tuple[str, str, str]],
        entering: Sequence[tuple[str, str]],
        leaving: Sequence[tuple[str, str]],
    ) -> None:
        self._items = items
        number = {item.name: at for at, item in enumerate(items)}
        self._edges = [(number[source], number[target]) for _, source, target in lines]
        self._ids = [name for name, _, _ in lines]
        rows, back = find_rows(len(items), self._edges)
        ranks = [rank + 1 for rank in rows]
        last = max(ranks, default=0) + 1
        self._ports: dict[int, tuple[str, bool]] = {}  # by item: the line, and whether it comes in
        self._lead([(name, number[target]) for name, target in entering], ranks, 0, inwards=True)
        self._lead([(name, number[source]) for name, source in leaving], ranks, last, inwards=False)
        self._back = back
        if not entering:
            ranks = [rank - 1 for rank in ranks]
        frames = frozenset(at for at, item in enumerate(items) if item.inner is not None)
        self._grid = Grid([item.width for item in items], self._edges, ranks, back, frames)
        put_in_order(self._grid)
        self._x = find_columns(self._grid, dict(self._shifts()))
        self._rows = list(self._find_rows())

    def _lead(self, ends: Sequence[tuple[str, int]], ranks: list[int], row: int, *, inwards: bool) -> None:
        for line, item in ends:
            port = len(self._items)
            self._ports[port] = (line, inwards)
            self._items.append(Item(f"port of {line}", 2.0, 0.0))
            ranks.append(row)
            self._edges.append((port, item) if inwards else (item, port))
            self._ids.append(line)

    def _shifts(self) -> Iterator[tuple[tuple[int, int], tuple[float, float]]]:
        for name, (source, target), chain, at in zip(
            self._ids, self._edges, self._grid.chains, range(len(self._edges)), strict=True
        ):
            if at not in self._back:
                column = [source, *chain, target]
                begin, end = self._begin(name, source), self._end(name, target)
                if len(column) == 2:  # noqa: PLR2004 - nothing is between the two
                    yield (source, target), (begin, end)
                else:
                    yield (column[0], column[1]), (begin, 0.0)
                    yield (column[-2], column[-1]), (0.0, end)

    def _begin(self, line: str, item: int) -> float:
        """How far from the middle of an item a line begins."""
        inner = self._items[item].inner
        return 0.0 if inner is None else inner.exits[line] - inner.width / 2

    def _end(self, line: str, item: int) -> float:
        inner = self._items[item].inner
        return 0.0 if inner is None else inner.entries[line] - inner.width / 2

    def _find_rows(self) -> Iterator[tuple[float, float]]:
        """The upper and the lower border of each row."""
        y = self._turn_room(0)
        for at, row in enumerate(self._grid.rows):
            height = max(
                (self._items[cell].height for cell in row if not self._grid.is_passage(cell)), default=0.0
            )
            yield y, y + height
            y += height + _ROW_GAP + self._room_below(at)

    def _turn_room(self, row: int) -> float:
        turns = any(self._grid.row_of[end] == row for end in self._grid.beside)
        return _TURN_ROOM if turns else 0.0

    def _room_below(self, row: int) -> float:
        """More room between two rows where edges go far to the side there, for they are easier to follow then."""
        far = max(
            (
                abs(self._x[cell] - self._x[each])
                for cell in self._grid.rows[row]
                for each in self._grid.below[cell]
            ),
            default=0.0,
        )
        return min(60.0, far / 10)

    # -- the picture -----------------------------------------------------------------------------------------

    def laid(self, side: float, top: float, bottom: float, least: float) -> Laid:
        """What is in the frame, with room around it."""
        laid = Laid()
        right = max(
            (self._x[cell] + self._grid.widths[cell] / 2 for cell in range(len(self._x))), default=0.0
        )
        laid.width = max(right + 2 * side, least)
        dx = (laid.width - right) / 2
        below = self._rows[-1][1] + self._turn_room(len(self._rows) - 1) if self._rows else 0.0
        laid.height = below + top + bottom
        for at, item in enumerate(self._items):
            if at not in self._ports:
                self._place(at, item, laid, dx, top)
        for at in range(len(self._edges)):
            self._route(at, laid, dx, top)
        for port, (line, inwards) in self._ports.items():
            route = laid.routes[line]
            if inwards:
                laid.entries[line] = self._x[port] + dx
                route.insert(0, (self._x[port] + dx, 0.0))
            else:
                laid.exits[line] = self._x[port] + dx
                route.append((self._x[port] + dx, laid.height))
        return laid

    def _place(self, at: int, item: Item, laid: Laid, dx: float, dy: float) -> None:
        place = self._rect(at)
        laid.places[item.name] = place.moved(dx, dy)
        if item.inner is not None:
            for name, rect in item.inner.places.items():
                laid.places[name] = rect.moved(place.x + dx, place.y + dy)
            for line in item.inner.routes:
                laid.routes[line] = self._inner_route(at, line, dx, dy)

    def _rect(self, at: int) -> Rect:
        item = self._items[at]
        top, bottom = self._rows[self._grid.row_of[at]]
        y = top + min((bottom - top - item.height) / 2, _LOWEST)
        return Rect(x=self._x[at] - item.width / 2, y=y, width=item.width, height=item.height)

    def _route(self, at: int, laid: Laid, dx: float, dy: float) -> None:
        """The way of an edge, joined to its ways in the frames that it leaves or enters."""
        line, (source, target) = self._ids[at], self._edges[at]
        points = self._lane(at) if at in self._back else self._down(at)
        laid.routes[line] = [
            *self._inner_route(source, line, dx, dy),
            *((x + dx, y + dy) for x, y in points),
            *self._inner_route(target, line, dx, dy),
        ]

    def _inner_route(self, at: int, line: str, dx: float, dy: float) -> list[Point]:
        place, inner = self._rect(at), self._items[at].inner
        if inner is None:
            return []
        return [(x + place.x + dx, y + place.y + dy) for x, y in inner.routes[line]]

    def _down(self, at: int) -> Iterator[Point]:
        line, (source, target) = self._ids[at], self._edges[at]
        box, below = self._rect(source), self._rect(target)
        begin = self._x[source] + self._begin(line, source)
        end = self._x[target] + self._end(line, target)
        yield begin, box.y + box.height
        yield begin, self._rows[self._grid.row_of[source]][1]
        for cell in self._grid.chains[at]:
            top, bottom = self._rows[self._grid.row_of[cell]]
            yield self._x[cell], top
            yield self._x[cell], bottom
        yield end, self._rows[self._grid.row_of[target]][0]
        yield end, below.y

    def _lane(self, at: int) -> Iterator[Point]:
        line, (source, target) = self._ids[at], self._edges[at]
        box, above = self._rect(source), self._rect(target)
        lane = self._grid.chains[at]
        begin = self._turn(source, self._x[lane[0]], self._begin(line, source))
        low = self._rows[self._grid.row_of[source]][1]
        high = self._rows[self._grid.row_of[target]][0]
        end = self._turn(target, self._x[lane[-1]], self._end(line, target))
        yield begin, box.y + box.height
        yield begin, low
        for cell in lane:
            top, bottom = self._rows[self._grid.row_of[cell]]
            yield self._x[cell], bottom
            yield self._x[cell], top
        yield end, high
        yield end, above.y

    def _turn(self, item: int, lane: float, port: float) -> float:
        """Where at an item a lane begins or ends: to the side of what goes straight on."""
        if self._items[item].inner is not None:
            return self._x[item] + port
        width = self._items[item].width
        far = min(_TURN_FROM, width / 4)
        return self._x[item] + (far if lane >= self._x[item] else -far)
