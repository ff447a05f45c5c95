"""Runs that give way to later ones do so in whatever order steps end, on both backends."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from stretto import Event, StartEvent, StopEvent, Workflow, WorkflowError, step
from stretto.testing import explore

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Ask(Event):
    n: int


class Told(Event):
    n: int
    how: str


class Child(Workflow[str]):
    """One at a time."""

    def __init__(self, overflow: Any) -> None:
        super().__init__(num_concurrent_runs=1, run_overflow=overflow)
        self.at_work = 0

    @step
    async def work(self, ev: StartEvent) -> StopEvent[str]:
        self.at_work += 1
        assert self.at_work == 1
        try:
            await anyio.sleep(1)
        finally:
            self.at_work -= 1
        return StopEvent(result="result")


class Parent(Workflow[list[str]]):
    """Three steps that each run the child, at once."""

    def __init__(self, overflow: Any) -> None:
        super().__init__()
        self.child = Child(overflow)

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(n=n) for n in range(3)]

    @step
    async def ask(self, ev: Ask) -> Told:
        await anyio.sleep(1 + ev.n)
        try:
            return Told(n=ev.n, how=await self.child.run())
        except WorkflowError as error:
            return Told(n=ev.n, how=type(error).__name__)

    @step
    async def end(self, told: list[Told]) -> StopEvent[list[str]]:
        return StopEvent(result=sorted(each.how for each in told))


@pytest.mark.parametrize(
    ("overflow", "lost"),
    [("fail", "QueueFullError"), ("cancel_oldest", "WorkflowCancelledError"), ("wait", "")],
)
def test_in_every_order_each_is_told_and_the_last_has_its_result(overflow: str, lost: str, backend: str):
    runs = list(
        explore(lambda: Parent(overflow), backend=backend, durations="any", max_schedules=100).runs(backend)
    )
    outcomes: set[tuple[str, ...]] = set()
    for run in runs:
        assert run.leaked_tasks == ()
        assert run.error is None
        told: Any = run.result
        outcomes.add(tuple(told))
        assert "result" in told
        assert set(told) <= {"result", lost}
    assert len(outcomes) > 1 if lost else outcomes == {("result", "result", "result")}
