"""Cancelled at every turn of the loop: what waits for a turn is accounted for once, and no place is kept for nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    Handler,
    Limit,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    step,
)
from tests.sweep import HOWS, Ending, sweep

pytestmark = pytest.mark.parametrize(
    ("backend", "how"), [each for each in HOWS if each[1] != "interrupt"]
)  # Ctrl-C is the error of the step that it hits, which is told by its note


class Job(Event):
    n: int


class Done(Event):
    n: int


class Limited(Workflow[int]):
    """Three jobs with a worker each, of which one at a time has its turn, and a fourth that waits for a worker."""

    def __init__(self) -> None:
        super().__init__()
        self.began: list[int] = []
        self.fanned_out = False

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        await anyio.sleep(0.25)
        self.fanned_out = True
        return [Job(n=n) for n in range(4)]

    async def work_on(self, ev: Job) -> Done:
        self.began.append(ev.n)
        await anyio.sleep(0.25)
        return Done(n=ev.n)

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
        return StopEvent(result=4) if ctx.collect_events(ev, [Done] * 4) else None


@pytest.mark.parametrize("key", [None, lambda _: 0], ids=["no key", "a key"])
def test_each_event_was_begun_with_or_is_left_over(key: Any, backend: str, how: Any):
    runs: list[Handler[int]] = []

    def program() -> Awaitable[object]:
        limit = Limit(1, key=key)

        class Works(Limited):
            @step(num_workers=3, limiter=limit)
            async def work(self, ev: Job) -> Done:
                return await self.work_on(ev)

        async def main() -> object:
            runs.append(Works().run())
            return await runs[-1]

        return main()

    def check(ending: Ending) -> None:
        run = runs[-1]
        told = Counter(run.workflow.began) + Counter(
            each.n for each in run.leftovers if isinstance(each, Job)
        )
        assert told == Counter(range(4) if run.workflow.fanned_out else ())
        assert not run.dead_letters
        assert ending.cancelled or ending.result == 4

    assert sweep(program, backend=backend, how=how, check=check) > 10


class Search(Workflow[int]):
    def __init__(self, overflow: Any) -> None:
        super().__init__(num_concurrent_runs=1, run_overflow=overflow)
        self.now = 0

    @step
    async def look(self, ev: StartEvent) -> StopEvent[int]:
        self.now += 1
        assert self.now == 1
        try:
            await anyio.sleep(0.25)
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.25)
            finally:  # a native cancellation goes through shields
                self.now -= 1
        return StopEvent(result=ev.n)


@pytest.mark.parametrize("overflow", ["wait", "fail", "cancel_oldest"])
def test_runs_of_which_one_is_too_many_leave_their_place_free(overflow: Any, backend: str, how: Any):
    flows: list[Search] = []

    async def main() -> object:
        flow = Search(overflow)
        flows.append(flow)
        line: Any = flow._stretto_runs
        try:
            first = flow.run(n=0).start()
            await anyio.sleep(0.125)
            try:
                result = await flow.run(n=1)
            except Exception as error:  # noqa: BLE001 - told as the result
                result = type(error).__name__
            try:
                return await first, result
            except WorkflowCancelledError:
                return "cancelled", result
        finally:
            with anyio.CancelScope(shield=True):
                await first.cancel()
            assert flow.now == 0
            assert line.line().join("somebody"), "the place is free"
            line.line().leave("somebody")
            assert not line.line().crowd

    def check(ending: Ending) -> None:
        expected = {"wait": (0, 1), "fail": (0, "QueueFullError"), "cancel_oldest": ("cancelled", 1)}[
            overflow
        ]
        assert ending.cancelled or ending.result == expected, ending.error

    assert sweep(main, backend=backend, how=how, check=check) > 5
