"""Runs of one workflow object of which more come than may be at work, against a model, on both backends."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import attrs
from hypothesis import given, strategies as st

from stretto import QueueFullError, StartEvent, StopEvent, Workflow, WorkflowCancelledError, step
from tests import virtual


@attrs.frozen
class Coming:
    """One run: how long after the one before it comes, works, and cleans up; and whether its handler cancels it."""

    pause: int
    works: int
    cleans: int
    given_up: int | None  # how long after it came


COMING = st.builds(
    Coming,
    pause=st.integers(0, 4),
    works=st.integers(1, 6),
    cleans=st.integers(0, 3),
    given_up=st.none() | st.integers(1, 6),
)


class Model:
    """Second by second, with the runs a hair apart: who waits, who is at work, who cleans up."""

    def __init__(self, most: int, overflow: str) -> None:
        self.most, self.overflow = most, overflow
        self.places: dict[int, float] = {}  # who has one, and when that will be free
        self.live: list[int] = []
        self.waiting: list[int] = []
        self.told: dict[int, str] = {}
        self.began: dict[int, float] = {}

    def comes(self, n: int, at: float, coming: list[Coming]) -> None:
        if len(self.places) >= self.most and self.overflow == "fail":
            self.told[n] = "full"
            return
        self.live.append(n)
        if len(self.places) < self.most:
            self.begins(n, at, coming)
            return
        self.waiting.append(n)
        if self.overflow == "cancel_oldest" and len(self.live) > self.most:
            self.gives_up(self.live[0], at, coming)

    def begins(self, n: int, at: float, coming: list[Coming]) -> None:
        self.began[n] = at
        self.places[n] = at + coming[n].works + coming[n].cleans

    def gives_up(self, n: int, at: float, coming: list[Coming]) -> None:
        if n not in self.live:
            return
        self.live.remove(n)
        self.told[n] = "cancelled"
        if n in self.waiting:
            self.waiting.remove(n)
        else:  # the rest of its work is left out, or of the clean-up nothing
            worked = at - self.began[n]
            self.places[n] = at + coming[n].cleans if worked < coming[n].works else self.places[n]

    def passes(self, until: float, coming: list[Coming]) -> None:
        while self.places and min(self.places.values()) <= until:
            at, n = min((at, n) for n, at in self.places.items())
            del self.places[n]
            if n in self.live:
                self.live.remove(n)
                self.told[n] = "result"
            if self.waiting:
                self.begins(self.waiting.pop(0), at, coming)


def expected(most: int, overflow: str, coming: list[Coming]) -> tuple[dict[int, str], dict[int, float]]:
    """What becomes of each run, and when it begins."""
    model = Model(most, overflow)
    moments: list[tuple[float, int, bool]] = []
    for n, at in enumerate(times(coming)):
        moments.append((at, n, False))
        given_up = coming[n].given_up
        if given_up is not None:
            moments.append((at + given_up + HAIR, n, True))
    for at, n, gives_up in sorted(moments):
        model.passes(at, coming)
        if gives_up:
            model.gives_up(n, at, coming)
        else:
            model.comes(n, at, coming)
    model.passes(float("inf"), coming)
    return model.told, model.began


HAIR = 1 / 1024  # so that nothing of two runs ever meets


def times(coming: list[Coming]) -> list[float]:
    """When each comes: no two at the same fraction of a second."""
    found, now = [], 0
    for n, each in enumerate(coming):
        now += each.pause
        found.append(now + n / 64)
    return found


class Flow(Workflow[int]):
    def __init__(self, most: int, overflow: Any, coming: list[Coming]) -> None:
        super().__init__(timeout=None, num_concurrent_runs=most, run_overflow=overflow)
        self.coming = coming
        self.at_work = 0
        self.began: dict[int, float] = {}

    @step
    async def work(self, ev: StartEvent) -> StopEvent[int]:
        self.at_work += 1
        assert self.at_work <= (self._options.num_concurrent_runs or 0)
        self.began[ev.n] = anyio.current_time()
        try:
            await anyio.sleep(self.coming[ev.n].works)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(self.coming[ev.n].cleans)
            self.at_work -= 1
        return StopEvent(result=ev.n)


def observed(
    most: int, overflow: str, coming: list[Coming], backend: str
) -> tuple[dict[int, str], dict[int, float]]:
    async def main() -> tuple[dict[int, str], dict[int, float]]:
        flow = Flow(most, overflow, coming)
        told: dict[int, str] = {}
        start = anyio.current_time()

        async def one(n: int, at: float) -> None:
            await anyio.sleep(at)
            run = flow.run(n=n).start()
            try:
                given_up = coming[n].given_up
                if given_up is not None:
                    with anyio.move_on_after(given_up + HAIR):
                        await run  # who is cancelled here cancels the run
                result = await run
            except QueueFullError:
                told[n] = "full"
            except WorkflowCancelledError:
                told[n] = "cancelled"
            else:
                assert result == n
                told[n] = "result"

        async with anyio.create_task_group() as tg:
            for n, at in enumerate(times(coming)):
                tg.start_soon(one, n, at)
        assert not flow.at_work
        return told, {n: at - start for n, at in flow.began.items()}

    return virtual.run(main, backend=backend)


@given(
    st.integers(1, 3),
    st.sampled_from(["wait", "fail", "cancel_oldest"]),
    st.lists(COMING, min_size=1, max_size=8),
)
def test_who_begins_when_and_who_gives_way_is_as_the_model_says(
    most: int, overflow: Literal["wait", "fail", "cancel_oldest"], coming: list[Coming]
):
    told, began = expected(most, overflow, coming)
    for backend in virtual.BACKENDS:
        seen, when = observed(most, overflow, coming, backend)
        assert seen == told
        assert {n: round(at, 6) for n, at in when.items()} == {n: round(at, 6) for n, at in began.items()}
