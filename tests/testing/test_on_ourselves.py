"""The engine and the examples under thousands of schedules: nothing lost, nothing left, the same on both backends."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from examples.human_approval import SHELVES, Answer, Basket, Purchase, Question
from examples.inventory_monitor import COMMENTS, InventoryMonitor, Open, Stall
from examples.smallest import Guest, Welcome
from stretto import Handler
from stretto.testing import Faults, TestRun, explore
from tests.testing.corpus.test_corpus import CORPUS

MANY = 60
FAULTS = Faults(raises=OSError, hangs=True, cancel=True, timeout=True, most=2)


async def say_yes(run: Handler[Any]) -> None:
    async for ev in run.stream_events():
        if isinstance(ev, Question):
            await anyio.sleep(1)
            run.send_event(Answer(item=ev.item, yes=True))


EXAMPLES: dict[str, dict[str, Any]] = {
    "smallest": {"workflow": Welcome, "start": Guest(name="world")},
    "human approval": {"workflow": Purchase, "start": Basket(items=tuple(SHELVES)), "beside": say_yes},
    "inventory monitor": {
        "workflow": lambda: InventoryMonitor(COMMENTS),
        "start": Open(stall=Stall(sku="apples")),
    },
}
PROGRAMS = EXAMPLES | {f"not {bug.name}": {"workflow": bug.right} for bug in CORPUS}


def told(run: TestRun) -> tuple[object, ...]:
    """What is the same on both backends; objects are told by their words."""
    error = None if run.error is None else (type(run.error), str(run.error).partition(" (")[0])
    return run.token, run.explain(), repr(run.value), error, tuple(map(repr, run.stream)), run.elapsed


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("faults", [None, FAULTS], ids=["sound", "faulty"])
def test_nothing_is_lost_or_left_and_both_backends_agree(program: dict[str, Any], faults: Faults | None):
    ways = [
        list(
            explore(
                **program, durations="any", faults=faults, backend=backend, max_schedules=MANY, most_moves=300
            ).runs(backend)
        )
        for backend in ("asyncio", "trio")
    ]
    for mine, theirs in zip(*ways, strict=True):
        assert told(mine) == told(theirs)
        for run in (mine, theirs):
            assert run.lost_events == ()
            assert run.leaked_tasks == ()


@pytest.mark.parametrize(
    "name", ["smallest", "inventory monitor"]
)  # the other one reads a global dict: too many
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_example_comes_to_one_outcome_in_every_order(name: str, backend: str):
    explorer = explore(**EXAMPLES[name], durations="any", backend=backend, mode="exhaustive")
    assert len(explorer.outcomes()) == 1
    assert explorer.explored[backend].complete
