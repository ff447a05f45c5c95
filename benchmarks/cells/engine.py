"""What the engine itself costs: runs, hops, fan-outs, streams, all without real I/O.

"direct" is the same work awaited by hand on the backend's own tasks, "mini-engine" is `contenders/mini.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import anyio

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Sampler, Scale, Spec, sampled
from benchmarks.contenders import floor, flows, steps
from benchmarks.contenders.mini import MiniRun, MiniStream
from benchmarks.contenders.native import Backend, native

MINI, DIRECT, OURS = "mini-engine", "direct", "stretto"


def against(base: str, bound: float | None = None) -> Reading:
    """What stretto costs as a multiple of what another contender costs."""
    limit = None if bound is None else Bound(limit=bound)
    return Reading(label=f"ratio to {base}", of=OURS, to=base, bound=limit)


def smallest_run(
    timeout: float | None, to_mini: float, backend: Backend, scale: Scale
) -> AbstractContextManager[Cell]:
    """One step that returns its StopEvent, many runs one after the other."""
    workflow = flows.Smallest(timeout=timeout)

    async def ours() -> None:
        for number in range(scale.size):
            expect(await workflow.run(number=number), number)

    async def mini() -> None:
        for number in range(scale.size):
            expect(await MiniRun(steps.SMALLEST).run(steps.Start(number=number), timeout), number)

    async def direct() -> None:
        for number in range(scale.size):
            expect(await floor.smallest(number), number)

    named = "with a timeout" if timeout is not None else "without a timeout"
    return three_contenders(
        f"smallest run, {named}",
        "run",
        scale.size,
        (ours, mini, direct),
        against(MINI, to_mini),
        against(DIRECT),
    )


def loop(to_direct: float | None, backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """One run whose step returns its own event again and again."""
    turns = scale.size

    async def ours() -> None:
        expect(await flows.Loop(timeout=None).run(number=turns), turns)

    async def mini() -> None:
        expect(await MiniRun(steps.LOOP).run(steps.Start(number=turns)), turns)

    async def direct() -> None:
        expect(await floor.loop(turns), turns)

    readings = (against(MINI), against(DIRECT, to_direct))
    return three_contenders(f"loop of {turns:,} hops", "hop", turns, (ours, mini, direct), *readings)


def fan(
    to_mini: float | None, to_direct: dict[Backend, float], repeats: int, backend: Backend, scale: Scale
) -> AbstractContextManager[Cell]:
    """One run that sends many events, handles them at once and collects them."""
    pieces, bare, job = scale.size, native(backend), steps.Fan(scale.size)

    async def ours() -> None:
        expect(await flows.Fan(pieces).run(number=pieces), doubled(pieces))

    async def mini() -> None:
        expect(await MiniRun(steps.fan(steps.Fan(pieces))).run(steps.Start(number=pieces)), doubled(pieces))

    async def direct() -> None:
        expect(await floor.fan(bare, pieces, job), doubled(pieces))

    readings = (against(MINI, to_mini), against(DIRECT, to_direct.get(backend)))
    work = f"fan-out and collect, {pieces:,} events"
    return three_contenders(work, "event", pieces, (ours, mini, direct), *readings, repeats=repeats)


def stream(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """One run whose step writes to the stream, and a reader."""
    ticks, bare = scale.size, native(backend)
    expected = (ticks, ticks * (ticks - 1) // 2)

    async def ours() -> None:
        seen = total = 0
        async with flows.Ticking(timeout=None).run(number=ticks) as run:
            async for event in run.stream_events():
                if isinstance(event, flows.Tick):
                    seen += 1
                    total += event.number
            expect(await run, ticks)
        expect((seen, total), expected)

    async def mini() -> None:
        sink = MiniStream()
        seen = total = 0

        async def write() -> None:
            await MiniRun(steps.STREAM, sink.write).run(steps.Start(number=ticks))
            sink.close()

        async with anyio.create_task_group() as group:
            group.start_soon(write)
            async for event in sink:
                if isinstance(event, steps.Tick):
                    seen += 1
                    total += event.number
        expect((seen, total), expected)

    async def direct() -> None:
        expect(await floor.stream(bare, ticks), ticks)

    readings = (against(MINI, 2.5), against(DIRECT))
    return three_contenders(f"stream of {ticks:,} events", "event", ticks, (ours, mini, direct), *readings)


def runs_at_once(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """Many runs of three steps, the middle one asleep, each run in a task of its own."""
    runs, bare = scale.size, native(backend)
    expected = [number + 2 for number in range(runs)]
    nap = partial(anyio.sleep, scale.wait)
    workflow = flows.Three(nap)

    def each(run: Callable[[int], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            results: list[object] = [None] * runs

            async def one(number: int) -> None:
                results[number] = await run(number)

            await bare.each(one, range(runs))
            expect(results, expected)

        return work

    async def ours(number: int) -> object:
        return await workflow.run(number=number)

    async def mini(number: int) -> object:
        return await MiniRun(steps.three(steps.Three(nap))).run(steps.Start(number=number))

    async def direct(number: int) -> object:
        return await floor.three(number, nap)

    works = (each(ours), each(mini), each(direct))
    return three_contenders(f"{runs:,} runs at once", "run", runs, works, against(MINI, 2.0), against(DIRECT))


def three_contenders(
    work: str,
    unit: str,
    operations: int,
    works: tuple[Callable[[], Awaitable[None]], ...],
    *readings: Reading,
    repeats: int = 1,
) -> AbstractContextManager[Cell]:
    """A cell of CPU time: stretto, the mini-engine and the floor, in this order."""
    contenders: dict[str, Sampler] = {
        name: sampled("cpu", contender, operations=operations, repeats=repeats)
        for name, contender in zip((OURS, MINI, DIRECT), works, strict=True)
    }
    return nullcontext(Cell(work=work, unit=unit, measure="cpu", contenders=contenders, readings=readings))


def doubled(pieces: int) -> int:
    """What a fan of `pieces` adds up to."""
    return pieces * (pieces - 1)


def engine(
    key: str, size: int, prepare: Callable[[Backend, Scale], AbstractContextManager[Cell]], wait: float = 0.0
) -> Spec:
    tiny = Scale(size=min(size, 5), wait=min(wait, 0.001))
    return Spec(key=key, part="engine", full=Scale(size=size, wait=wait), tiny=tiny, prepare=prepare)


ENGINE: tuple[Spec, ...] = (
    engine("run", 100, partial(smallest_run, None, 3.4)),
    engine("run-timeout", 100, partial(smallest_run, 30.0, 2.0)),
    engine("hop-1000", 1_000, partial(loop, 6.0)),
    engine("hop-10000", 10_000, partial(loop, None)),
    engine("fan-10", 10, partial(fan, 3.0, {}, 30)),
    engine("fan-1000", 1_000, partial(fan, None, {"asyncio": 1.4, "trio": 1.15}, 1)),
    engine("fan-10000", 10_000, partial(fan, None, {}, 1)),
    engine("stream-10000", 10_000, stream),
    engine("runs-1000", 1_000, runs_at_once, wait=0.01),
)
