"""The cells of a picture in rows: its nodes, and for an edge that passes a row a place to do so.

A *lane* is how an edge that closes a loop goes back up: a column of such places beside all that the loop goes through,
from the row of its source to the row of its target. Edges that go back to one node share a lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

from .ranks import Pair

__all__ = ["Grid"]

_PASSAGE = 2.0  # how wide a place is that an edge passes by


@final
class Grid:
    """Cells in rows. The first ones are the nodes, in their order.

    Attributes:
        widths: How wide each cell is.
        rows: The cells of each row, from left to right.
        row_of: The row of each cell.
        above: For each cell, those of the row above that an edge joins it to; `below` likewise.
        chains: For each edge, the places that it passes, from its source to its target; in a lane that is upwards.
        beside: For a place in a lane where edges turn into it or out of it, their nodes, and how far from them it likes
            to be.
    """

    def __init__(
        self,
        widths: Sequence[float],
        edges: Sequence[Pair],
        ranks: Sequence[int],
        back: set[int],
        apart: frozenset[int] = frozenset(),
    ) -> None:
        """Makes the cells.

        Args:
            widths: How wide each node is.
            edges: Which node leads to which.
            ranks: The row of each node.
            back: The numbers of the edges that go back up, or to their own node.
            apart: The nodes to which edges go back in lanes of their own.
        """
        self.nodes = len(widths)
        self.widths = list(widths)
        self.row_of = list(ranks)
        self.rows: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
        self.above: list[list[int]] = [[] for _ in widths]
        self.below: list[list[int]] = [[] for _ in widths]
        self.beside: dict[int, list[tuple[int, float]]] = {}
        for node, rank in enumerate(ranks):
            self.rows[rank].append(node)
        self.chains: list[list[int]] = [[] for _ in edges]
        for number, (source, target) in enumerate(edges):
            if number not in back:
                self.chains[number] = self._chain(source, target)
        lanes: dict[tuple[int, int], list[int]] = {}
        for number in sorted(back, key=lambda each: (-ranks[edges[each][0]], each)):  # the longest first
            source, target = edges[number]
            key = target, number if target in apart else -1
            if key not in lanes:
                lanes[key] = self._lane(source, target)
            self.chains[number] = self._turn_into(lanes[key], source)

    def anchors(self, end: int) -> list[tuple[int, float]]:
        """The nodes from or to which edges turn there."""
        return self.beside[end]

    def is_passage(self, cell: int) -> bool:
        """Whether it is a place that an edge passes, and no node."""
        return cell >= self.nodes

    def _chain(self, source: int, target: int) -> list[int]:
        chain = [self._passage(row) for row in range(self.row_of[source] + 1, self.row_of[target])]
        self._join([source, *chain, target])
        return chain

    def _lane(self, source: int, target: int) -> list[int]:
        high, low = self.row_of[target], self.row_of[source]
        lane = [self._passage(row) for row in range(high, low + 1)]
        self._join(lane)
        self.beside[lane[0]] = [
            (target, 0.5 + 0.001 * (low - high))
        ]  # the longer of two goes round the shorter
        return lane

    def _turn_into(self, lane: list[int], source: int) -> list[int]:
        """The way up from a node: in the lane from its own row on."""
        part = lane[: self.row_of[source] - self.row_of[lane[0]] + 1]
        self.beside.setdefault(part[-1], []).append((source, 0.5 + 0.001 * len(part)))
        return part[::-1]

    def _passage(self, row: int) -> int:
        cell = len(self.widths)
        self.widths.append(_PASSAGE)
        self.row_of.append(row)
        self.above.append([])
        self.below.append([])
        self.rows[row].append(cell)
        return cell

    def _join(self, column: Sequence[int]) -> None:
        for high, low in pairwise(column):
            self.below[high].append(low)
            self.above[low].append(high)
