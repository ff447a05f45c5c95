"""Real I/O in sequence and at once: sockets, files, SQLite; by stretto and by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import anyio

from benchmarks.answer import expect
from benchmarks.cells import ground
from benchmarks.cells.cell import Cell, Reading, Scale, Spec, sampled
from benchmarks.cells.ground import Ground
from benchmarks.contenders import flows
from benchmarks.contenders.native import Backend

AWAITS, SEQUENCE = "plain awaits", "stretto, in sequence"
GROUP, AT_ONCE = "task group by hand", "stretto, at once"

READINGS = (
    Reading(label="speed-up", of=SEQUENCE, to=AT_ONCE),
    Reading(label="speed-up by hand", of=AWAITS, to=GROUP),
    Reading(label=f"ratio to {AWAITS}", of=SEQUENCE, to=AWAITS),
    Reading(label=f"ratio to {GROUP}", of=AT_ONCE, to=GROUP),
)


@contextmanager
def calls(
    named: str, lay: Callable[[Scale], AbstractContextManager[Ground]], backend: Backend, scale: Scale
) -> Generator[Cell]:
    """A cell of `scale.size` calls, on ground that is laid when it opens and cleared when it closes."""
    with lay(scale) as laid:
        count, call, total = scale.size, laid.call, laid.total(scale.size)

        async def awaits() -> None:
            result = 0
            for number in range(count):
                result += await call(number)
            expect(result, total)

        async def group() -> None:
            answers = [0] * count

            async def one(number: int) -> None:
                answers[number] = await call(number)

            async with anyio.create_task_group() as tasks:
                for number in range(count):
                    tasks.start_soon(one, number)
            expect(sum(answers), total)

        async def in_sequence() -> None:
            expect(await flows.InSequence(call).run(number=count), total)

        async def at_once() -> None:
            expect(await flows.AtOnce(count, call).run(number=count), total)

        works = {AWAITS: awaits, SEQUENCE: in_sequence, GROUP: group, AT_ONCE: at_once}
        latency = f" of {scale.wait * 1000:g} ms" if scale.wait else ""
        yield Cell(
            work=f"{count:,} {named}{latency}",
            unit="batch",
            measure="wall",
            contenders={name: sampled("wall", work) for name, work in works.items()},
            readings=READINGS,
        )


def over_sockets(scale: Scale) -> AbstractContextManager[Ground]:
    return ground.sockets(scale.wait)


def from_files(scale: Scale) -> AbstractContextManager[Ground]:
    return ground.files()


def from_database(scale: Scale) -> AbstractContextManager[Ground]:
    return ground.database()


def real(
    key: str, named: str, lay: Callable[[Scale], AbstractContextManager[Ground]], size: int, wait: float = 0.0
) -> Spec:
    tiny = Scale(size=3, wait=min(wait, 0.001))
    return Spec(
        key=f"{key}-{size}",
        part="io",
        full=Scale(size=size, wait=wait),
        tiny=tiny,
        prepare=partial(calls, named, lay),
    )


# The latency shrinks as the number grows, else a thousand in sequence would take the better part of an hour.
LATENCIES = {3: 0.05, 10: 0.05, 100: 0.01, 1_000: 0.002}

IO: tuple[Spec, ...] = (
    *(real("sockets", "requests", over_sockets, size, wait) for size, wait in LATENCIES.items()),
    *(real("files", "file reads", from_files, size) for size in LATENCIES),
    *(real("sqlite", "SQLite queries", from_database, size) for size in LATENCIES),
)
