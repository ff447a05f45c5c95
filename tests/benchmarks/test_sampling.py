"""How samples become figures."""

from __future__ import annotations

import pytest
from anyio.lowlevel import checkpoint

from benchmarks.cells.cell import Bound, Cell, Reading, Sampler
from benchmarks.sampling import contender_record, reading_record, spread, take_samples


@pytest.mark.anyio
async def test_contenders_take_turns_and_the_first_changes() -> None:
    order: list[str] = []

    def sampler(name: str) -> Sampler:
        async def sample() -> float:
            await checkpoint()
            order.append(name)
            return float(len(order))

        return sample

    contenders = {name: sampler(name) for name in "abc"}
    cell = Cell(work="w", unit="u", measure="cpu", contenders=contenders, readings=())
    samples = await take_samples(cell, 3)

    assert "".join(order[3:]) == "abcbcacab"
    assert samples == {"a": [4, 9, 11], "b": [5, 7, 12], "c": [6, 8, 10]}


def test_spread_is_median_and_quartiles() -> None:
    assert spread([4, 1, 3, 2, 5]) == {"median": 3, "q1": 2, "q3": 4}
    assert spread([7.5]) == {"median": 7.5, "q1": 7.5, "q3": 7.5}


def test_ratio_is_taken_round_by_round() -> None:
    """A machine that halves its speed after the first round changes both, and so no ratio."""
    record = reading_record(Reading(label="l", of="a", to="b"), {"a": [2, 4, 4], "b": [1, 2, 2]})

    assert (record["q1"], record["median"], record["q3"]) == (2, 2, 2)


def test_round_whose_base_is_too_short_to_time_is_passed_over() -> None:
    record = reading_record(Reading(label="l", of="a", to="b"), {"a": [2, 4], "b": [0, 2]})

    assert record["median"] == 2


@pytest.mark.parametrize(
    ("bound", "figure", "met"),
    [
        (Bound(limit=2), 2.0, True),
        (Bound(limit=2), 2.001, False),
        (Bound(limit=2, least=True), 2.0, True),
        (Bound(limit=2, least=True), 1.999, False),
        (Bound(limit=0), 0.0, True),
        (Bound(limit=0), 1.0, False),
    ],
)
def test_verdict_is_computed_from_figure_and_bound(bound: Bound, figure: float, met: bool) -> None:
    record = reading_record(Reading(label="l", of="a", bound=bound), {"a": [figure]})

    assert (record["limit"], record["least"], record["met"]) == (bound.limit, bound.least, met)


def test_figure_without_bound_has_no_verdict() -> None:
    assert reading_record(Reading(label="l", of="a"), {"a": [1]})["met"] is None


def test_samples_are_kept_short() -> None:
    assert contender_record([0.123456789])["samples"] == [0.12346]
