"""Steps that wait a known time: what the engine adds to I/O that costs nothing itself, by the wall clock."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import anyio

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Scale, Spec, sampled
from benchmarks.cells.engine import DIRECT, MINI, OURS, against
from benchmarks.contenders import floor, flows, steps
from benchmarks.contenders.mini import MiniRun
from benchmarks.contenders.native import Backend, native

SEQUENCE = "stretto, in sequence"


def few(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """Three sources asked one after the other, and at once: the speed-up a user sees."""
    bound = Bound(limit=scale.size - 0.05, least=True)
    speed = Reading(label="speed-up", of=SEQUENCE, to=OURS, bound=bound)
    return asleep(backend, scale, (speed, against(MINI), against(DIRECT)), sequence=True)


def many(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """A hundred at once, beside a bare task for each."""
    return asleep(backend, scale, (against(MINI), against(DIRECT, 1.15)), sequence=False)


def asleep(
    backend: Backend, scale: Scale, readings: tuple[Reading, ...], *, sequence: bool
) -> AbstractContextManager[Cell]:
    naps, seconds, bare = scale.size, scale.wait, native(backend)
    total = naps * (naps - 1)
    job = steps.Sleepers(naps, seconds)

    async def call(number: int) -> int:
        await anyio.sleep(seconds)
        return number * 2

    async def in_sequence() -> None:
        expect(await flows.InSequence(call).run(number=naps), total)

    async def at_once() -> None:
        expect(await flows.Sleepers(naps, seconds).run(number=naps), total)

    async def mini() -> None:
        expect(await MiniRun(steps.fan(steps.Sleepers(naps, seconds))).run(steps.Start(number=naps)), total)

    async def direct() -> None:
        expect(await floor.fan(bare, naps, job), total)

    works = {OURS: at_once, MINI: mini, DIRECT: direct}
    if sequence:
        works[SEQUENCE] = in_sequence
    contenders = {name: sampled("wall", work) for name, work in works.items()}
    work = f"{naps:,} sleeping steps of {seconds * 1000:g} ms at once"
    return nullcontext(
        Cell(work=work, unit="batch", measure="wall", contenders=contenders, readings=readings)
    )


ASLEEP: tuple[Spec, ...] = (
    Spec(
        key="asleep-3",
        part="engine",
        full=Scale(size=3, wait=0.05),
        tiny=Scale(size=3, wait=0.001),
        prepare=few,
    ),
    Spec(
        key="asleep-100",
        part="engine",
        full=Scale(size=100, wait=0.05),
        tiny=Scale(size=5, wait=0.001),
        prepare=many,
    ),
)
