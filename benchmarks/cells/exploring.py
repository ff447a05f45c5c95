"""How many schedules of a small workflow a test tries in a second."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import anyio
import anyio.to_thread

from benchmarks.answer import expect
from benchmarks.cells.cell import Cell, Reading, Sampler, Scale, Spec, sampled
from benchmarks.cells.engine import OURS
from benchmarks.contenders.native import Backend
from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.testing import explore, virtual_run

ALONE = "the run alone"


class Piece(Event):
    number: int


class Done(Event):
    number: int


class Small(Workflow[int]):
    """Three pieces at once, which sleep, and are collected: 17 moves."""

    @step
    async def begin(self, ev: StartEvent) -> list[Piece]:
        return [Piece(number=number) for number in range(3)]

    @step
    async def work(self, ev: Piece) -> Done:
        await anyio.sleep(1)
        return Done(number=ev.number)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
        return StopEvent(result=3) if ctx.collect_events(ev, [Done] * 3) else None


def exploring(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """Schedules by chance, each in a loop of its own, and the same run as often without any."""
    explorer = explore(Small, durations="any", max_schedules=scale.size, backend=backend)

    def explored() -> None:
        expect([run.result for run in explorer.runs(backend)], [3] * scale.size)

    def alone() -> None:
        expect([virtual_run(Small().run, backend=backend) for _ in range(scale.size)], [3] * scale.size)

    def in_a_thread(work: Callable[[], None]) -> Sampler:
        """In a thread, since a loop runs here already."""

        async def sample() -> None:
            await anyio.to_thread.run_sync(work)

        return sampled("cpu", sample, operations=scale.size)

    return nullcontext(
        Cell(
            work=f"explore {scale.size} schedules of 17 moves",
            unit="schedule",
            measure="cpu",
            contenders={OURS: in_a_thread(explored), ALONE: in_a_thread(alone)},
            readings=(
                Reading(label="a schedule", of=OURS),
                Reading(label=f"ratio to {ALONE}", of=OURS, to=ALONE),
            ),
        )
    )


EXPLORING: tuple[Spec, ...] = (
    Spec(key="explore", part="engine", full=Scale(size=100), tiny=Scale(size=2), prepare=exploring),
)
