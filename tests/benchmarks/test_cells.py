"""Each cell runs once, small, on each backend. The contenders check their results; no figure is judged."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import ROUNDS
from benchmarks.answer import WrongResultError, expect
from benchmarks.cells.catalog import CATALOG
from benchmarks.contenders.native import Backend
from benchmarks.worker import measure

EVERY_CELL = [(key, backend) for key, spec in CATALOG.items() for backend in spec.backends]


@pytest.mark.parametrize(("key", "backend"), EVERY_CELL)
def test_cell_gives_right_results_at_tiny_scale(key: str, backend: Backend) -> None:
    record = measure(key, backend, rounds=1, scale=CATALOG[key].tiny)

    assert record["rounds"] == 1
    assert record["contenders"]
    assert all(len(contender["samples"]) == 1 for contender in record["contenders"].values())
    assert record["readings"]


def test_wrong_result_is_refused() -> None:
    with pytest.raises(WrongResultError, match="expected 2, got 3"):
        expect(3, 2)


def test_asked_for_sizes_are_there() -> None:
    kinds = ("sockets", "files", "sqlite")

    assert {f"{kind}-{size}" for kind in kinds for size in (3, 10, 100, 1000)} <= set(CATALOG)


def test_figures_to_quote_take_at_least_25_rounds() -> None:
    assert ROUNDS >= 25
