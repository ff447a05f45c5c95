"""A run that drops what is too much keeps its word in whatever order steps end, on both backends."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from stretto import Event, StartEvent, StopEvent, Workflow, step
from stretto.testing import explore

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Job(Event):
    n: int


class Note(Event):
    n: int


class Done(Event):
    n: int


class Sheds(Workflow[list[int]]):
    """Four jobs and four notes for two steps with one worker each; a join waits for what is not dropped."""

    @step
    async def begin(self, ev: StartEvent) -> list[Job | Note]:
        return [each for n in range(4) for each in (Job(n=n), Note(n=n + 10))]

    @step(num_workers=1)
    async def work(self, ev: Job) -> Done:
        await anyio.sleep(1)
        return Done(n=ev.n)

    @step(num_workers=1)
    async def note(self, ev: Note) -> Done:
        await anyio.sleep(1)
        return Done(n=ev.n)

    @step
    async def end(self, done: list[Done]) -> StopEvent[list[int]]:
        return StopEvent(result=sorted(each.n for each in done))


@pytest.mark.parametrize(
    ("overflow", "kept"), [("drop_oldest", [2, 3, 12, 13]), ("drop_newest", [1, 2, 11, 12])]
)
def test_in_every_order_the_same_is_dropped_and_the_join_is_called_with_the_rest(
    overflow: Any, kept: list[int], backend: str
):
    runs = list(
        explore(
            lambda: Sheds(queue_size=4, overflow=overflow),
            backend=backend,
            durations="any",
            max_schedules=100,
        ).runs(backend)
    )
    assert len(runs) > 10
    for run in runs:
        assert run.result == sorted([0, 10, *kept])
        assert len(run.dead_letters) == 2
        assert run.leftovers == run.leaked_tasks == ()
