"""In which order the cells of each row stand, so that few edges cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum

from .grid import Grid

__all__ = ["count_crossings", "put_in_order"]

_SWEEPS = 24
_EFFORT = 120_000  # cells looked at: a large picture is swept less often
_SWAPS_UP_TO = 1_500  # cells; above that neighbours are not tried the other way round
_ROUNDS = 4


def put_in_order(grid: Grid) -> None:
    """Sorts each row of a grid by where its neighbours stand, downwards and upwards in turn, and keeps the best."""
    _begin(grid)
    best, least = [list(row) for row in grid.rows], _cost(grid)
    sweeps = max(2, min(_SWEEPS, _EFFORT // max(1, len(grid.widths))))
    for number in range(sweeps):
        if not least:
            break
        _sweep(grid, downwards=number % 2 == 0)
        if len(grid.widths) <= _SWAPS_UP_TO:
            _swap_neighbours(grid)
        cost = _cost(grid)
        if cost < least:
            best, least = [list(row) for row in grid.rows], cost
    grid.rows = best


def count_crossings(upper: Sequence[int], lower: Sequence[int], below: Sequence[Sequence[int]]) -> int:
    """How many pairs of edges between two rows cross: the inversions of their ends, counted in a tree."""
    place = {cell: number for number, cell in enumerate(lower)}
    tree = [0] * (len(lower) + 1)
    crossings = seen = 0
    for cell in upper:
        ends = sorted(place[each] for each in below[cell])
        for end in ends:
            at, not_right = end + 1, 0
            while at:
                not_right += tree[at]
                at &= at - 1
            crossings += seen - not_right
        for end in ends:
            at = end + 1
            while at < len(tree):
                tree[at] += 1
                at += at & -at
            seen += 1
    return crossings


def _begin(grid: Grid) -> None:
    """A first order: as a walk down from the upper rows meets the cells."""
    met: dict[int, None] = {}
    ends: dict[int, list[int]] = {}
    for lane_end, anchors in grid.beside.items():
        for node, _ in anchors:
            ends.setdefault(node, []).append(lane_end)
    for row in grid.rows:
        for root in row:
            way = [root]
            while way:
                cell = way.pop()
                if cell not in met:
                    met[cell] = None
                    way += reversed([*grid.below[cell], *ends.get(cell, ())])
    number = {cell: at for at, cell in enumerate(met)}
    for row in grid.rows:
        row.sort(key=number.__getitem__)


def _sweep(grid: Grid, *, downwards: bool) -> None:
    """Each cell goes to the mean place of its neighbours in the row before; the end of a lane goes with its node."""
    neighbours = grid.above if downwards else grid.below
    place = {cell: float(at) for row in grid.rows for at, cell in enumerate(row)}
    for row in grid.rows if downwards else reversed(grid.rows):
        wish: dict[int, float] = {}
        for cell in row:
            near = neighbours[cell]
            if near:
                wish[cell] = fsum(place[each] for each in near) / len(near)
            elif cell not in grid.beside:
                wish[cell] = place[cell]
        for cell in row:
            if cell not in wish:
                wish[cell] = max(wish.get(node, place[node]) + far for node, far in grid.anchors(cell))
        row.sort(key=wish.__getitem__)
        for at, cell in enumerate(row):
            place[cell] = float(at)


def _cost(grid: Grid) -> int:
    return sum(count_crossings(*each, grid.below) for each in pairwise(grid.rows)) + _passed_by_turns(grid)


def _passed_by_turns(grid: Grid) -> int:
    """How many cells stand between the ends of lanes and their nodes: their edges are crossed where a lane turns."""
    place = {cell: at for row in grid.rows for at, cell in enumerate(row)}
    return sum(abs(place[end] - place[node]) - 1 for end in grid.beside for node, _ in grid.anchors(end))


def _swap_neighbours(grid: Grid) -> None:
    """Swaps two that stand side by side where that is better, until it is nowhere."""
    partners: dict[int, list[int]] = {}
    for end in grid.beside:
        for node, _ in grid.anchors(end):
            partners.setdefault(end, []).append(node)
            partners.setdefault(node, []).append(end)
    for _ in range(_ROUNDS):
        swaps = [_swap_in(grid, number, partners) for number in range(len(grid.rows))]
        if not any(swaps):
            return


def _swap_in(grid: Grid, number: int, partners: Mapping[int, Sequence[int]]) -> bool:
    row = grid.rows[number]
    around = [grid.rows[each] for each in (number - 1, number + 1) if 0 <= each < len(grid.rows)]
    place = {cell: at for each in (*around, row) for at, cell in enumerate(each)}
    swapped = False
    for at in range(len(row) - 1):
        left, right = row[at], row[at + 1]
        gain = _between(grid, left, right, place) - _between(grid, right, left, place)
        gain += _nearer(left, right, place, partners) - _nearer(right, left, place, partners)
        if gain > 0:
            row[at], row[at + 1] = right, left
            place[left], place[right] = at + 1, at
            swapped = True
    return swapped


def _between(grid: Grid, left: int, right: int, place: Mapping[int, int]) -> int:
    """How many edges of two neighbours cross if they stand in this order."""
    return sum(
        place[one] > place[other]
        for near in (grid.above, grid.below)
        for one in near[left]
        for other in near[right]
    )


def _nearer(
    cell: int, neighbour: int, place: Mapping[int, int], partners: Mapping[int, Sequence[int]]
) -> int:
    """How much less far a cell is from the ends of its lanes if it stood on the other side of its right neighbour."""
    others = [each for each in partners.get(cell, ()) if each != neighbour]
    return sum(1 if place[each] > place[cell] else -1 for each in others)
