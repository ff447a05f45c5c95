"""Where in its row each cell stands: as straight below its neighbours as the room lets it.

For one row that is least squares under the order and the distances, which pooling solves exactly (isotonic regression:
Ayer and others, 1955); the rows are gone through downwards and upwards in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from .grid import Grid

__all__ = ["find_columns"]

Shifts: TypeAlias = Mapping[tuple[int, int], tuple[float, float]]
"""For an edge between two rows: how far from the middle of its upper and its lower cell it begins and ends."""

_GAP = 30.0
_GAP_BESIDE_EDGE = 18.0
_GAP_BETWEEN_EDGES = 16.0
_SWEEPS = 16
_LEAST_SWEEPS = 3
_EFFORT = 120_000  # cells looked at: a large picture is swept less often
_SNAP = 14.0  # a bend smaller than that looks like a fault


def find_columns(grid: Grid, shifts: Shifts) -> list[float]:
    """The middle of each cell; those of a row keep their order and their distances."""
    x = [0.0] * len(grid.widths)
    gaps = [_gaps(grid, row) for row in grid.rows]
    for row, gap in zip(grid.rows, gaps, strict=True):
        _settle(row, gap, [0.0] * len(row), [1.0] * len(row), x)
    sweeps = max(_LEAST_SWEEPS, min(_SWEEPS, _EFFORT // max(1, len(x))))
    for number in range(sweeps):
        both = number >= sweeps - 2
        downwards = number % 2 == 0
        numbers = range(len(grid.rows)) if downwards else range(len(grid.rows) - 1, -1, -1)
        for at in numbers:
            row = grid.rows[at]
            wishes = [
                _wish(grid, cell, x, shifts, up=downwards or both, down=not downwards or both) for cell in row
            ]
            _settle(row, gaps[at], [each[0] for each in wishes], [each[1] for each in wishes], x)
    _straighten(grid, gaps, x)
    left = min((x[cell] - grid.widths[cell] / 2 for cell in range(len(x))), default=0.0)
    return [each - left for each in x]


def _gaps(grid: Grid, row: Sequence[int]) -> list[float]:
    """For each cell of a row but the first: how far its middle is at least from that of the one before."""
    return [
        (grid.widths[one] + grid.widths[other]) / 2
        + (_GAP, _GAP_BESIDE_EDGE, _GAP_BETWEEN_EDGES)[grid.is_passage(one) + grid.is_passage(other)]
        for one, other in pairwise(row)
    ]


def _wish(
    grid: Grid, cell: int, x: Sequence[float], shifts: Shifts, *, up: bool, down: bool
) -> tuple[float, float]:
    """Where a cell would like to be, and how much."""
    where = weights = 0.0
    for each in grid.above[cell] if up else ():
        begin, end = shifts.get((each, cell), (0.0, 0.0))
        weight = _weight(grid, each, cell)
        where += (x[each] + begin - end) * weight
        weights += weight
    for each in grid.below[cell] if down else ():
        begin, end = shifts.get((cell, each), (0.0, 0.0))
        weight = _weight(grid, cell, each)
        where += (x[each] + end - begin) * weight
        weights += weight
    for node, _ in grid.beside.get(cell, ()):
        side = 1 if x[cell] >= x[node] else -1
        where += (x[node] + side * (grid.widths[node] / 2 + _GAP_BESIDE_EDGE)) * 0.5
        weights += 0.5
    return (where / weights, weights) if weights else (x[cell], 0.05)


def _weight(grid: Grid, upper: int, lower: int) -> float:
    """Long edges are to be straight before all others, then those that lead on alone."""
    passages = grid.is_passage(upper) + grid.is_passage(lower)
    alone = (len(grid.below[upper]) == 1) + (len(grid.above[lower]) == 1)
    return (1.0, 2.0, 8.0)[passages] if passages else (1.0, 1.5, 6.0)[alone]


def _settle(
    row: Sequence[int],
    gaps: Sequence[float],
    wishes: Sequence[float],
    weights: Sequence[float],
    x: list[float],
) -> None:
    """Puts the cells of a row as near to their wishes as they can be."""
    offset, offsets = 0.0, [0.0]
    for gap in gaps:
        offset += gap
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # the mean of their wishes, their weight, how many they are
    for number in range(len(row)):
        mean, weight, count = wishes[number] - offsets[number], weights[number], 1
        while pools and pools[-1][0] > mean:
            other, heavy, many = pools.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + many
        pools.append((mean, weight, count))
    number = 0
    for mean, _, count in pools:
        for _ in range(count):
            x[row[number]] = mean + offsets[number]
            number += 1


def _straighten(grid: Grid, gaps: Sequence[Sequence[float]], x: list[float]) -> None:
    """Takes the small bends out: of the places that one edge passes, and of a node below another."""
    place = [0] * len(x)
    for row in grid.rows:
        for at, cell in enumerate(row):
            place[cell] = at

    def free(cell: int) -> tuple[float, float]:
        """From where to where a cell may stand, the others of its row staying."""
        row, gap, at = grid.rows[grid.row_of[cell]], gaps[grid.row_of[cell]], place[cell]
        low = x[row[at - 1]] + gap[at - 1] if at else -math.inf
        return low, x[row[at + 1]] - gap[at] if at + 1 < len(row) else math.inf

    for chain in grid.chains:
        _straighten_chain(chain, free, x)
    for row in grid.rows:
        for cell in row:
            if len(grid.above[cell]) == 1 and not grid.is_passage(cell):
                low, high = free(cell)
                wish = x[grid.above[cell][0]]
                if low <= wish <= high and abs(wish - x[cell]) < _SNAP:
                    x[cell] = wish


def _straighten_chain(
    chain: Sequence[int], free: Callable[[int], tuple[float, float]], x: list[float]
) -> None:
    """Puts what can stand in one line into one line, piece by piece."""
    part: list[int] = []
    low, high = -math.inf, math.inf
    for cell in chain:
        least, most = free(cell)
        if max(low, least) > min(high, most):
            _move(part, low, high, x)
            part, low, high = [], -math.inf, math.inf
        low, high = max(low, least), min(high, most)
        part.append(cell)
    _move(part, low, high, x)


def _move(part: Sequence[int], low: float, high: float, x: list[float]) -> None:
    if part:
        mean = math.fsum(x[cell] for cell in part) / len(part)
        for cell in part:
            x[cell] = min(max(mean, low), high)
