"""What is kept: bytes of a live run, of a hop that is over, of an event that waits in the queue.

Weighed with tracemalloc, which sees Python's own allocations. The figures hardly vary, so a few rounds are
enough.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import anyio
from anyio.lowlevel import checkpoint

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Sampler, Scale, Spec
from benchmarks.cells.engine import DIRECT, MINI, OURS
from benchmarks.contenders import floor, flows, steps
from benchmarks.contenders.mini import MiniRun
from benchmarks.contenders.native import Backend, native

ROUNDS = 5


class Scales:
    """Weighs what is alive now, beyond what was alive at the start."""

    def __init__(self) -> None:
        self._empty = 0
        self.weight = 0

    def start(self) -> None:
        gc.collect()
        self._empty = tracemalloc.get_traced_memory()[0]

    def weigh(self) -> None:
        gc.collect()
        self.weight = tracemalloc.get_traced_memory()[0] - self._empty


@contextmanager
def weighing() -> Generator[Scales]:
    """Traces allocations while it is open; a block that fails stops the tracing too."""
    tracemalloc.start(1)
    try:
        scales = Scales()
        scales.start()
        yield scales
    finally:
        tracemalloc.stop()


class Gate:
    """Holds all who come until the last of them is here; then `at_full` is called and all go on."""

    def __init__(self, expected: int, at_full: Callable[[], None]) -> None:
        self._missing, self._at_full, self._open = expected, at_full, anyio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if self._missing:
            await self._open.wait()
        else:
            self._at_full()
            self._open.set()


def live_run(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """Many runs, all of them held in their second step; the task that awaits each is part of the weight."""
    runs, bare = scale.size, native(backend)

    def weighed(run: Callable[[int, Callable[[], Awaitable[None]]], Awaitable[object]]) -> Sampler:
        async def sample() -> float:
            results: list[object] = [None] * runs
            with weighing() as scales:
                gate = Gate(runs, scales.weigh)

                async def one(number: int) -> None:
                    results[number] = await run(number, gate.wait)

                await bare.each(one, range(runs))
            expect(results, [number + 2 for number in range(runs)])
            return scales.weight / runs

        return sample

    async def ours(number: int, wait: Callable[[], Awaitable[None]]) -> object:
        return await flows.Three(wait).run(number=number)

    async def mini(number: int, wait: Callable[[], Awaitable[None]]) -> object:
        return await MiniRun(steps.three(steps.Three(wait))).run(steps.Start(number=number))

    contenders = {OURS: weighed(ours), MINI: weighed(mini), DIRECT: weighed(floor.three)}
    reading = Reading(label="weight of a run", of=OURS, bound=Bound(limit=10 * 1024))
    return weights(f"live runs, {runs:,} at once", "run", contenders, reading)


def kept_per_hop(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """What a loop has grown by between an early and a late hop, shared among the hops in between."""
    hops = scale.size
    early = hops // 10

    async def ours() -> float:
        with weighing() as scales:

            def look(turn: int) -> None:
                if turn == early:
                    scales.start()
                elif turn == hops:
                    scales.weigh()

            expect(await flows.WatchedLoop(look).run(number=hops), hops)
        return scales.weight / (hops - early)

    # "0 bytes" needs a limit that a stray integer of a counter does not break, and that one byte a hop does.
    reading = Reading(label="weight of a hop", of=OURS, bound=Bound(limit=0.5))
    return weights("memory kept by a loop's hops", "hop", {OURS: ours}, reading)


def queued(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """Events sent at once to one slow step: the weight of each that waits, and none is lost."""
    pieces = scale.size

    async def ours() -> float:
        with weighing() as scales:
            expect(await flows.Backlog(scales.weigh).run(number=pieces), pieces)
        return scales.weight / pieces

    async def direct() -> float:
        await checkpoint()
        with weighing() as scales:
            events = [flows.Work(number=number) for number in range(pieces)]
            scales.weigh()
            expect(len(events), pieces)
        return scales.weight / pieces

    reading = Reading(label="weight of an event", of=OURS, bound=Bound(limit=1024))
    work = f"{pieces:,} events wait for one slow step"
    return weights(work, "event", {OURS: ours, DIRECT: direct}, reading)


def weights(
    work: str, unit: str, contenders: dict[str, Sampler], reading: Reading
) -> AbstractContextManager[Cell]:
    return nullcontext(
        Cell(work=work, unit=unit, measure="bytes", contenders=contenders, readings=(reading,), rounds=ROUNDS)
    )


MEMORY: tuple[Spec, ...] = tuple(
    Spec(key=key, part="engine", full=Scale(size=size), tiny=Scale(size=20), prepare=prepare)
    for key, size, prepare in (
        ("memory-run", 1_000, live_run),
        ("memory-hop", 10_000, kept_per_hop),
        ("memory-queued", 100_000, queued),
    )
)
