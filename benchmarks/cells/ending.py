"""How a run ends that was cut off: how late, and what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

import anyio

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Sampler, Scale, Spec
from benchmarks.cells.engine import DIRECT, MINI, OURS, against
from benchmarks.contenders import floor, flows, steps
from benchmarks.contenders.mini import MiniRun
from benchmarks.contenders.native import Backend, native
from stretto import WorkflowTimeoutError

FOREVER = 3_600.0


def overrun(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """Seconds between the deadline and the error, with many steps asleep."""
    bare = native(backend)
    job = steps.Sleepers(scale.size, FOREVER)

    async def direct() -> bool:
        async def naps() -> None:
            await floor.fan(bare, scale.size, job)

        return not await bare.in_time(scale.wait, naps)

    async def mini() -> bool:
        try:
            await MiniRun(steps.fan(job)).run(steps.Start(number=scale.size), scale.wait)
        except TimeoutError:
            return True
        return False

    def late(cut_off: Callable[[], Awaitable[bool]]) -> Sampler:
        async def sample() -> float:
            start = time.perf_counter()
            expect(await cut_off(), expected=True)
            return time.perf_counter() - start - scale.wait

        return sample

    async def ours() -> bool:
        return await own_timeout(scale)

    return nullcontext(
        Cell(
            work=f"overrun of a timeout, {scale.size:,} steps asleep",
            unit="run",
            measure="wall",
            contenders={OURS: late(ours), MINI: late(mini), DIRECT: late(direct)},
            readings=(against(MINI), against(DIRECT, 2.0)),
        )
    )


def left_behind(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """Tasks that are still there when the error, or the cancellation, comes out."""
    own, outer = "own timeout", "caller cancelled"

    def counted(cut_off: Callable[[Scale], Awaitable[bool]]) -> Sampler:
        async def sample() -> float:
            before = len(anyio.get_running_tasks())
            expect(await cut_off(scale), expected=True)
            return len(anyio.get_running_tasks()) - before

        return sample

    none = Bound(limit=0)
    return nullcontext(
        Cell(
            work=f"tasks left of {scale.size:,} asleep",
            unit="run",
            measure="count",
            contenders={own: counted(own_timeout), outer: counted(cancelled_by_caller)},
            readings=(
                Reading(label="after its own timeout", of=own, bound=none),
                Reading(label="after the caller's cancel", of=outer, bound=none),
            ),
            rounds=5,
        )
    )


async def own_timeout(scale: Scale) -> bool:
    try:
        await flows.Sleepers(scale.size, FOREVER, timeout=scale.wait).run(number=scale.size)
    except WorkflowTimeoutError:
        return True
    return False


async def cancelled_by_caller(scale: Scale) -> bool:
    with anyio.move_on_after(scale.wait) as scope:
        await flows.Sleepers(scale.size, FOREVER).run(number=scale.size)
    return scope.cancelled_caught


ENDING: tuple[Spec, ...] = tuple(
    Spec(
        key=key,
        part="engine",
        full=Scale(size=100, wait=0.1),
        tiny=Scale(size=5, wait=0.01),
        prepare=prepare,
    )
    for key, prepare in (("timeout-overrun", overrun), ("timeout-left", left_behind))
)
