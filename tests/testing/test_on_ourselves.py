"""The engine and the examples under thousands of schedules: nothing lost, nothing left, the same on both backends."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stretto import WorkflowCancelledError
from stretto.testing import Deadlock, TestRun, explore
from tests.testing.corpus.measure import CORPUS
from tests.testing.programs import EXAMPLES, FAULTS, SMALL

MANY = 140
TWINS = {f"not {bug.name}": {"workflow": bug.right, "faults": FAULTS} for bug in CORPUS}
PROGRAMS = EXAMPLES | TWINS


def told(run: TestRun) -> tuple[object, ...]:
    """What is the same on both backends; objects are told by their words, and cancellations have their own in each."""
    error = None if run.error is None else (type(run.error), words(run.error))
    stream = [same(re.sub(r"\(exception=.*", "", repr(event))) for event in run.stream]
    if type(run.workflow).__name__ == "Race":
        stream.sort()  # several of its steps write as they are cancelled, in the loop's order
    return run.token, same(run.explain()), same(repr(run.value)), error, stream, run.elapsed


def words(error: BaseException) -> str:
    if isinstance(error, WorkflowCancelledError):
        return ""  # who cancels differs where the caller does: the block, or whom it awaits
    if isinstance(error, Deadlock):
        return ""  # it names the lines of the loop in which tasks wait
    return same(str(error).partition(" (")[0])


def same(text: str) -> str:
    """Without the name that a loop has for its cancellation, and what may be cut off behind it."""
    return re.sub(r"raised Cancelled.*", "raised a cancellation", text)


pytestmark = pytest.mark.schedules


def test_at_least_ten_thousand_schedules_are_tried_on_each_backend():
    assert MANY * 2 * len(PROGRAMS) >= 10_000


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("faulty", [False, True], ids=["sound", "faulty"])
def test_nothing_is_lost_or_left_and_both_backends_agree(program: dict[str, Any], faulty: bool):
    options = {**program, "faults": program["faults"] if faulty else None, "durations": "any"}
    mine, theirs = (
        explore(**options, backend=backend, max_schedules=MANY, most_moves=300).runs(backend)
        for backend in ("asyncio", "trio")
    )
    for run, other in zip(mine, theirs, strict=True):
        assert told(run) == told(other)
        for each in (run, other):
            assert each.lost_events == ()
            assert each.leaked_tasks == ()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_example_comes_to_what_it_may_in_every_order(name: str, backend: str):
    options, outcomes = SMALL[name]
    explorer = explore(**{**EXAMPLES[name], **options, "faults": None}, backend=backend, mode="exhaustive")
    found = explorer.outcomes()
    assert len(found) == outcomes
    assert all(each.example.error is None for each in found)
    assert explorer.explored[backend].complete
