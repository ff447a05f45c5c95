"""Each policy of a join keeps its word in whatever order branches end, on both backends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import anyio
import pytest

from stretto import Event, StartEvent, StepFailedEvent, StopEvent, Workflow, step
from stretto.joins import ByKey, Quorum, Settle, Until, Window
from stretto.testing import TestRun, explore

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def many(cls: Any, backend: str) -> list[TestRun]:
    """Runs in many orders, and they differ; nothing is lost or left in any."""
    runs = list(explore(cls, backend=backend, durations="any", max_schedules=100).runs(backend))
    for run in runs:
        assert run.lost_events == run.leaked_tasks == ()
    assert len({str(run.result) for run in runs}) > 1
    return runs


class Job(Event):
    n: int


class Done(Event):
    n: int


class Part(Event):
    ns: list[int]


class Jobs(Workflow[Any]):
    """Four jobs; which have begun and have ended is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work: set[int] = set()
        self.calls = 0

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(n=n) for n in range(4)]

    @step
    async def work(self, ev: Job) -> Done:
        self.at_work.add(ev.n)
        try:
            await anyio.sleep(4 - ev.n)
        finally:
            self.at_work.remove(ev.n)
        return Done(n=ev.n)


def total(done: Sequence[Done]) -> bool:
    return sum(each.n for each in done) >= 3


def ends(workflow: Jobs, done: Sequence[Done]) -> StopEvent[Any]:
    workflow.calls += 1
    assert not workflow.at_work, "all have ended before the join begins"
    return StopEvent(result=[each.n for each in done])


@on_both
@pytest.mark.parametrize("losers", ["cancel", "drain"])
def test_a_quorum_is_the_shortest_that_is_enough_and_its_losers_have_ended(backend: str, losers: Any):
    class Enough(Jobs):
        @step
        async def end(self, done: Annotated[list[Done], Quorum(total, losers=losers)]) -> StopEvent[Any]:
            return ends(self, done)

    for run in many(Enough, backend):
        assert sum(run.result) >= 3 > sum(run.result[:-1])
        assert run.workflow.calls == 1


@on_both
@pytest.mark.parametrize("losers", ["cancel", "drain"])
def test_a_search_ends_with_the_first_that_will_do_and_its_losers_have_ended(backend: str, losers: Any):
    class Found(Jobs):
        @step
        async def end(
            self, done: Annotated[list[Done], Until(lambda each: each.n == 2, losers=losers)]
        ) -> StopEvent[Any]:
            return ends(self, done)

    for run in many(Found, backend):
        assert run.result.index(2) == len(run.result) - 1
        assert run.workflow.calls == 1


@on_both
def test_losers_that_are_kept_come_too_late_each_once(backend: str):
    class Kept(Jobs):
        @step
        async def early(self, done: Annotated[list[Done], Quorum(total, losers="keep")]) -> None:
            self.calls += 1
            self.early_of = [each.n for each in done]

        @step
        async def end(self, done: list[Done]) -> StopEvent[Any]:
            return StopEvent(result=[each.n for each in done])

    for run in many(Kept, backend):
        assert run.workflow.calls <= 1  # the run may have ended before it began
        if run.workflow.calls:
            early = run.workflow.early_of
            assert sum(early) >= 3 > sum(early[:-1])
            assert run.result[: len(early)] == early  # both have the order of arrival
        assert sorted(run.result) == [0, 1, 2, 3]


@on_both
def test_each_key_has_one_call_and_the_list_behind_it_one_for_all(backend: str):
    class Keyed(Jobs):
        @step
        async def add(self, done: Annotated[list[Done], ByKey(lambda each: each.n % 2)]) -> Part:
            return Part(ns=[each.n for each in done])

        @step
        async def end(self, parts: list[Part]) -> StopEvent[Any]:
            self.calls += 1
            return StopEvent(result=[each.ns for each in parts])

    for run in many(Keyed, backend):
        assert sorted(map(sorted, run.result)) == [[0, 2], [1, 3]]
        assert run.workflow.calls == 1


@on_both
def test_windows_have_everything_once_and_none_is_empty_or_too_full(backend: str):
    class Windowed(Jobs):
        def __init__(self) -> None:
            super().__init__()
            self.windows: list[list[int]] = []

        @step(num_workers=1)
        async def add(self, done: Annotated[list[Done], Window(3, seconds=1)]) -> Part:
            self.windows.append([each.n for each in done])
            return Part(ns=[each.n for each in done])

        @step
        async def end(self, parts: list[Part]) -> StopEvent[Any]:
            self.calls += 1
            return StopEvent(result=[each.ns for each in parts])

    for run in many(Windowed, backend):
        assert sorted(n for window in run.workflow.windows for n in window) == [0, 1, 2, 3]
        assert all(1 <= len(window) <= 3 for window in run.workflow.windows)
        assert sorted(run.result) == sorted(run.workflow.windows)
        assert run.workflow.calls == 1


@on_both
def test_every_branch_is_settled_once(backend: str):
    class Settled(Jobs):
        @step
        async def work(self, ev: Job) -> Done:
            await anyio.sleep(4 - ev.n)
            if ev.n % 2:
                raise OSError(ev.n)
            return Done(n=ev.n)

        @step
        async def end(self, done: Annotated[list[Done | StepFailedEvent], Settle()]) -> StopEvent[Any]:
            self.calls += 1
            return StopEvent(
                result=[each.n if isinstance(each, Done) else str(each.exception) for each in done]
            )

    for run in many(Settled, backend):
        assert sorted(map(str, run.result)) == ["0", "1", "2", "3"]
        assert {each for each in run.result if isinstance(each, str)} == {"1", "3"}
        assert run.workflow.calls == 1
