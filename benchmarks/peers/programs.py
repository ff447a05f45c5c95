"""What every contender is asked to do, and how much of it."""

from __future__ import annotations

import attrs

from benchmarks.cells.cell import Measure, Scale
from benchmarks.peers.worker import Kind

TINY = Scale(size=3, wait=0.001)


@attrs.frozen(kw_only=True)
class Program:
    """One piece of work: at full scale for the figures, at tiny scale for the tests."""

    key: str
    kind: Kind
    work: str
    unit: str
    measure: Measure
    full: Scale
    tiny: Scale = TINY
    repeats: int = 1
    """How often one sample does it, where once is too short to time."""

    def operations(self, scale: Scale) -> int:
        """Those that share the processor time of one repeat; wall time is told of the whole."""
        return scale.size if self.measure == "cpu" else 1


def fan(pieces: int, repeats: int = 1) -> Program:
    return Program(
        key=f"fan-{pieces}",
        kind="fan",
        work=f"fan-out and collect, {pieces:,} events",
        unit="event",
        measure="cpu",
        full=Scale(size=pieces),
        repeats=repeats,
    )


def asleep(naps: int) -> Program:
    return Program(
        key=f"asleep-{naps}",
        kind="asleep",
        work=f"{naps:,} sleeping steps of 50 ms at once",
        unit="batch",
        measure="wall",
        full=Scale(size=naps, wait=0.05),
    )


PROGRAMS: tuple[Program, ...] = (
    Program(
        key="run", kind="run", work="smallest run", unit="run", measure="cpu", full=Scale(size=100), repeats=2
    ),
    Program(
        key="hop-1000",
        kind="loop",
        work="loop of 1,000 hops",
        unit="hop",
        measure="cpu",
        full=Scale(size=1_000),
    ),
    fan(10, repeats=10),
    fan(1_000),
    asleep(3),
    asleep(100),
    Program(
        key="runs-100",
        kind="runs",
        work="100 runs of three steps at once, one asleep for 10 ms",
        unit="batch",
        measure="wall",
        full=Scale(size=100, wait=0.01),
    ),
)
