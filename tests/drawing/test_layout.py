"""`lay_out`: nothing covers anything else, every edge ends at its nodes, and the same graph is the same picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given, strategies as st

from stretto.drawing.layout import lay_out
from stretto.drawing.order import count_crossings
from stretto.drawing.ranks import find_rows
from stretto.drawing.shapes import Box, Layout, Line, Point, Rect, Surround

Graph = tuple[list[Box], list[Line], list[Surround]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Some boxes, any lines between them, and frames within frames."""
    frames: list[Surround] = []
    for number in range(draw(st.integers(0, 3))):
        within = draw(st.sampled_from([None, *(each.id for each in frames)]))
        frames.append(Surround(id=f"f{number}", width=draw(st.sampled_from([0.0, 300.0])), within=within))
    boxes = [
        Box(
            id=f"b{number}",
            width=draw(st.integers(10, 200)),
            height=draw(st.integers(10, 90)),
            frame=draw(st.sampled_from([None, *(each.id for each in frames)])),
        )
        for number in range(draw(st.integers(0, 12)))
    ]
    names = [each.id for each in boxes]
    pairs = (
        draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=24))
        if names
        else []
    )
    return boxes, [Line(id=f"{a}>{b}", source=a, target=b) for a, b in dict.fromkeys(pairs)], frames


def overlap(one: Rect, other: Rect) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def holds(outer: Rect, inner: Rect) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width + 0.2
        and inner.y + inner.height <= outer.y + outer.height + 0.2
    )


def parts(route: Sequence[Point]) -> Iterator[Rect]:
    """The rooms that the parts of a route take, a hair smaller than they are."""
    for (x1, y1), (x2, y2) in pairwise(route):
        yield Rect(
            x=min(x1, x2) - 0.01,
            y=min(y1, y2) + 0.2,
            width=abs(x1 - x2) + 0.02,
            height=abs(y1 - y2) - 0.4,
        )


def check(graph: Graph, laid: Layout) -> None:
    boxes, lines, frames = graph
    for one, other in combinations(laid.boxes.values(), 2):
        assert not overlap(one, other)
    around = {each.id: each.within for each in frames} | {each.id: each.frame for each in boxes}
    places = {**laid.boxes, **laid.frames}
    for name, frame in around.items():
        if frame is not None and any(each.id == name for each in boxes):
            assert holds(laid.frames[frame], places[name])
        for other in laid.frames:
            if other not in list(outwards(name, around)):
                inner = name in list(outwards(other, around))
                assert inner or name == other or not overlap(places[name], laid.frames[other])
    whole = Rect(x=0, y=0, width=laid.width, height=laid.height)
    for line in lines:
        route = laid.routes[line.id]
        begin, end = laid.boxes[line.source], laid.boxes[line.target]
        assert route[0][1] == pytest.approx(begin.y + begin.height, abs=0.2)
        assert begin.x < route[0][0] < begin.x + begin.width
        assert route[-1][1] == pytest.approx(end.y, abs=0.2)
        assert end.x < route[-1][0] < end.x + end.width
        assert all(0 <= x <= whole.width and 0 <= y <= whole.height for x, y in route)
        for part in parts(route):
            assert not any(overlap(part, box) for box in laid.boxes.values() if part.height > 0)
    assert all(holds(whole, place) for place in places.values())


def outwards(name: str, around: dict[str, str | None]) -> Iterator[str]:
    frame = around[name]
    while frame is not None:
        yield frame
        frame = around[frame]


@given(graphs())
def test_nothing_covers_anything_else_and_every_edge_ends_at_its_nodes_and_passes_none(graph: Graph):
    check(graph, lay_out(*graph))


@given(graphs())
def test_the_same_graph_gives_the_same_picture(graph: Graph):
    assert lay_out(*graph) == lay_out(*graph)


def of(*pairs: str) -> Graph:
    """A graph by its edges, as in ``a>b``."""
    names = dict.fromkeys(name for pair in pairs for name in pair.split(">"))
    lines = [Line(id=pair, source=pair.split(">")[0], target=pair.split(">")[1]) for pair in pairs]
    return [Box(id=name, width=80, height=30) for name in names], lines, []


def test_a_chain_is_a_straight_line_down():
    laid = lay_out(*of("a>b", "b>c", "c>d"))
    assert len({place.x for place in laid.boxes.values()}) == 1
    assert all(len(route) == 2 for route in laid.routes.values())


def test_an_edge_that_closes_a_loop_goes_up_beside_what_the_loop_goes_through():
    laid = lay_out(*of("a>b", "b>c", "c>a"))
    xs = [x for x, _ in laid.routes["c>a"]]
    right = max(place.x + place.width for place in laid.boxes.values())
    assert max(xs) > right
    assert laid.boxes["a"].y < laid.boxes["b"].y < laid.boxes["c"].y


def test_edges_that_go_back_to_one_node_share_a_lane():
    laid = lay_out(*of("a>b", "b>c", "c>a", "b>a"))
    assert {max(x for x, _ in laid.routes[name]) for name in ("c>a", "b>a")} == {
        max(x for x, _ in laid.routes["c>a"])
    }


@pytest.mark.parametrize(
    "pairs",
    [
        ("s>a", "s>b", "a>y", "b>x", "x>z", "y>z"),
        ("s>a", "s>b", "s>c", "a>3", "b>2", "c>1", "1>t", "2>t", "3>t"),
        ("s>a", "a>b", "b>s", "a>t"),
    ],
)
def test_what_can_be_drawn_without_a_crossing_is(pairs: tuple[str, ...]):
    routes = lay_out(*of(*pairs)).routes.values()
    assert not any(cross(one, other) for one, other in combinations(routes, 2))


def cross(one: Sequence[Point], other: Sequence[Point]) -> bool:
    """Whether two routes change sides between two heights that both pass."""
    heights = sorted({y for _, y in (*one, *other)})
    sides: set[bool] = set()
    for height in heights:
        ours, theirs = at(one, height), at(other, height)
        if ours and theirs and ours[0] != theirs[0]:
            sides.add(ours[0] < theirs[0])
    return len(sides) > 1 and len(at(one, heights[0])) < 2 and len(at(other, heights[0])) < 2


def at(route: Sequence[Point], height: float) -> list[float]:
    return [
        x1 + (x2 - x1) * (height - y1) / (y2 - y1)
        for (x1, y1), (x2, y2) in pairwise(route)
        if y1 != y2 and min(y1, y2) <= height <= max(y1, y2)
    ][:1]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20, unique=True))
def test_crossings_are_counted_as_by_looking_at_each_pair(edges: list[tuple[int, int]]):
    below: list[list[int]] = [[] for _ in range(7)]
    for upper, lower in edges:
        below[upper].append(lower)
    slow = sum((a < c and b > d) or (a > c and b < d) for (a, b), (c, d) in combinations(edges, 2))
    assert count_crossings(range(7), range(7), below) == slow


@pytest.mark.untraced
@pytest.mark.parametrize("shape", ["a chain", "a star", "loops", "a mesh", "a thicket"])
def test_five_hundred_nodes_take_less_than_two_seconds(shape: str):
    numbers = range(500)
    pairs = {
        "a chain": [(n, n + 1) for n in numbers[:-1]],
        "a star": [(0, n) for n in numbers[1:]] + [(n, 499) for n in numbers[1:-1]],
        "loops": [(n, n + 1) for n in numbers[:-1]] + [(n, n // 2) for n in numbers[1:]],
        "a thicket": [(n, (n * step + 7 * step) % 500) for n in numbers for step in (3, 11, 47, 141)],
        "a mesh": [(n, m) for n in numbers for m in (n + 1, n + 1 + n % 7) if m < 500],
    }[shape]
    boxes = [Box(id=f"{n}", width=100, height=38) for n in numbers]
    lines = [Line(id=f"{a}>{b}", source=f"{a}", target=f"{b}") for a, b in dict.fromkeys(pairs)]
    begun = time.process_time()
    laid = lay_out(boxes, lines)
    assert time.process_time() - begun < 2
    assert len(laid.boxes) == 500


EDGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20, unique=True)


@given(EDGES, st.booleans())
def test_every_edge_leads_down_or_is_among_those_that_lead_back_up(
    edges: list[tuple[int, int]], thicket: bool
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stretto.drawing.ranks._PASSED", -1 if thicket else 1_000)
        rows, back = find_rows(8, edges)
    assert min(rows) == 0
    for number, (source, target) in enumerate(edges):
        assert number in back or rows[source] < rows[target]
        if thicket:
            assert (number in back) == (rows[target] <= rows[source])


def test_in_a_thicket_a_node_is_as_far_down_as_the_shortest_way_to_it(monkeypatch: pytest.MonkeyPatch):
    edges = [(0, 1), (1, 2), (2, 3), (3, 1), (0, 3), (4, 4), (5, 6), (6, 5)]
    assert find_rows(7, edges) == ([0, 1, 2, 3, 0, 0, 1], {3, 5, 7})
    monkeypatch.setattr("stretto.drawing.ranks._PASSED", -1)
    assert find_rows(7, edges) == ([0, 1, 2, 1, 0, 0, 1], {2, 3, 5, 7})
