"""Planted bugs are found, told in the fewest choices, repeated on both backends; twins pass whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from stretto.testing import TestRun, explore
from stretto.testing._search import by_deviations, deviations
from tests.testing.corpus.measure import CORPUS, row
from tests.testing.corpus.planted import Planted

BACKENDS = ("asyncio", "trio")
PAGE = Path(__file__).parents[3] / "docs" / "testing-your-workflows.md"
each = pytest.mark.parametrize("bug", CORPUS, ids=lambda bug: bug.name.replace(" ", "-"))


def found(bug: Planted, backend: str) -> tuple[BaseException, str]:
    """The failure of a test of the bug, and the token that it tells."""
    explorer = explore(bug.wrong, backend=backend, **bug.options)
    with pytest.raises(Exception) as caught:
        explorer.check(bug.check)
    (note,) = caught.value.__notes__[-1:]
    return caught.value, note.partition("--stretto-replay=")[2].split()[0]


@each
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_found_and_told_in_as_few_choices_as_there_are(bug: Planted, backend: str):
    error, _ = found(bug, backend)
    how = f"{bug.off} choice{'s' * (bug.off > 1)} off the normal order"
    if not bug.off:
        how = "with who has waited longest first, however long it sleeps"
    assert f"on {backend}, {how}" in error.__notes__[-1]


@each
def test_no_schedule_with_fewer_choices_fails(bug: Planted):
    explorer = explore(bug.wrong, backend="asyncio", **bug.options)
    for chooser, run in by_deviations(lambda it: explorer._run(it, "asyncio"), bug.off):
        assert run is not None
        if explorer_fails(bug, run):
            assert len(deviations(chooser.decisions)) == bug.off
            return
    raise AssertionError("not found by its number of choices")


@each
def test_its_token_repeats_it_on_both_backends(bug: Planted):
    error, token = found(bug, "asyncio")
    assert token == found(bug, "trio")[1]
    for backend in BACKENDS:
        again = explore(bug.wrong, replay=token, backend=backend, **bug.options)
        with pytest.raises(type(error)) as caught:
            again.check(bug.check)
        assert f"in the schedule {token}, on {backend}" in caught.value.__notes__[-1]


@each
@pytest.mark.parametrize("backend", BACKENDS)
def test_its_twin_passes_in_every_schedule(bug: Planted, backend: str):
    explorer = explore(bug.right, mode="exhaustive", backend=backend, max_schedules=3_000, **bug.options)
    explorer.check(bug.check)
    assert explorer.explored[backend].complete


@each
@pytest.mark.schedules
def test_the_page_says_how_many_runs_it_takes_to_find_and_to_tell_it(bug: Planted):
    assert any(line.startswith(row(bug)) for line in PAGE.read_text(encoding="utf-8").splitlines()), row(bug)


def test_there_are_at_least_twelve():
    assert len(CORPUS) >= 12


def explorer_fails(bug: Planted, run: TestRun) -> bool:
    try:
        bug.check(run)
    except Exception:  # noqa: BLE001 - whatever it is
        return True
    return False
