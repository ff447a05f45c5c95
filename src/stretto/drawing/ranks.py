"""Into which row of a picture each node goes: below all that lead to it, but for the edges that close a loop.

A loop has no first row of its own, so an edge of each is found that leads back up, and left out when rows are given.
This and the two steps that follow, `order` and `columns`, are the method of Sugiyama, Tagawa and Toda (1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["Pair", "find_rows"]

Pair: TypeAlias = tuple[int, int]
"""The numbers of the nodes that an edge leads from and to."""

_PASSES = 4
_PASSED = 20_000  # places that edges pass; a picture of more is drawn in as few rows as can be


def find_rows(count: int, edges: Sequence[Pair]) -> tuple[list[int], set[int]]:
    """The row of each node, from 0, and the numbers of the edges that lead back up, or to their own node.

    Where very many rows would be passed by very many edges, as in a thicket of loops, a node stands as near to the top
    as the shortest way from there lets it, and what leads up from there is longer to follow and quick to find.
    """
    back = find_back_edges(count, edges)
    ranks = find_ranks(count, [edge for at, edge in enumerate(edges) if at not in back])
    if _passed(ranks, edges, back) > _PASSED:
        ranks = _depths(count, edges)
        back = {at for at, (source, target) in enumerate(edges) if ranks[target] <= ranks[source]}
    return ranks, back


def _passed(ranks: Sequence[int], edges: Sequence[Pair], back: set[int]) -> int:
    """How many rows edges pass in all; those that go back up to one node do so together."""
    lanes: dict[int, int] = {}
    down = 0
    for at, (source, target) in enumerate(edges):
        if at in back:
            lanes[target] = max(lanes.get(target, 0), ranks[source] - ranks[target] + 1)
        else:
            down += ranks[target] - ranks[source] - 1
    return down + sum(lanes.values())


def _depths(count: int, edges: Sequence[Pair]) -> list[int]:
    """How far each node is from where nothing leads to; from the first of a circle, if all is in circles."""
    out: list[list[int]] = [[] for _ in range(count)]
    entered = [False] * count
    for source, target in edges:
        out[source].append(target)
        entered[target] = entered[target] or source != target
    depth = [-1] * count
    sources = [node for node in range(count) if not entered[node]]
    for begin in [sources, *([node] for node in range(count))]:
        row: list[int] = [node for node in begin if depth[node] < 0]
        for node in row:
            depth[node] = 0
        while row:
            after = [each for node in row for each in out[node] if depth[each] < 0]
            for node in row:
                for each in out[node]:
                    if depth[each] < 0:
                        depth[each] = depth[node] + 1
            row = list(dict.fromkeys(after))
    return depth


def find_back_edges(count: int, edges: Sequence[Pair]) -> set[int]:
    """The numbers of edges without which there is no circle.

    They are those that a walk finds to lead back to where it came from. It begins where nothing leads to, and goes the
    edges in their order; so in a workflow they are the returns of its loops.
    """
    out: list[list[int]] = [[] for _ in range(count)]
    entered = [False] * count
    for number, (source, target) in enumerate(edges):
        out[source].append(number)
        entered[target] = entered[target] or source != target
    back: set[int] = set()
    left = [0] * count  # 0: not seen, 1: on the way, 2: left behind
    for root in sorted(range(count), key=lambda node: entered[node]):
        if left[root]:
            continue
        left[root] = 1
        way = [(root, iter(out[root]))]
        while way:
            node, following = way[-1]
            number = next(following, -1)
            if number < 0:
                left[node] = 2
                way.pop()
                continue
            target = edges[number][1]
            if left[target] == 1:
                back.add(number)
            elif not left[target]:
                left[target] = 1
                way.append((target, iter(out[target])))
    return back


def find_ranks(count: int, edges: Sequence[Pair]) -> list[int]:
    """The row of each node, from 0; `edges` must have no circle.

    A node stands as high as it can, unless more of its edges get shorter when it stands lower.
    """
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    order = _sorted(before, after)
    ranks = [0] * count
    for node in order:
        ranks[node] = max((ranks[each] + 1 for each in before[node]), default=0)
    for _ in range(_PASSES):
        for node in reversed(order):
            if after[node] and len(after[node]) > len(before[node]):
                ranks[node] = min(ranks[each] for each in after[node]) - 1
        for node in order:
            if before[node] and len(before[node]) > len(after[node]):
                ranks[node] = max(ranks[each] for each in before[node]) + 1
    top = min(ranks, default=0)
    return [rank - top for rank in ranks]


def _sorted(before: list[list[int]], after: list[list[int]]) -> list[int]:
    """The nodes, each after all that lead to it."""
    missing = [len(each) for each in before]
    order = [node for node, count in enumerate(missing) if not count]
    for node in order:  # it grows meanwhile
        for each in after[node]:
            missing[each] -= 1
            if not missing[each]:
                order.append(each)
    return order
