"""What a cell is: contenders that do the same work, and the readings that compare them.

A contender is sampled again and again, in turn with the others; a sample is one figure (seconds, bytes, a
count). A reading is what a reader wants to know: the median of one contender, or the median of its ratio to
another, taken round by round so that a machine which changes its speed in between changes both.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Literal

import attrs

from benchmarks.contenders.native import BACKENDS, Backend

Part = Literal["io", "engine", "peers"]
Measure = Literal["cpu", "wall", "bytes", "count"]
Sampler = Callable[[], Awaitable[float]]


@attrs.frozen(kw_only=True)
class Bound:
    """A target: the most a figure may be, or with `least` the least."""

    limit: float
    least: bool = False

    def met(self, figure: float) -> bool:
        return figure >= self.limit if self.least else figure <= self.limit


@attrs.frozen(kw_only=True)
class Reading:
    """One figure read off a cell: contender `of`, relative to contender `to` when that is named."""

    label: str
    of: str
    to: str | None = None
    bound: Bound | None = None


@attrs.frozen(kw_only=True)
class Cell:
    """One piece of work, ready to be sampled."""

    work: str
    unit: str
    measure: Measure
    contenders: Mapping[str, Sampler]
    readings: tuple[Reading, ...]
    rounds: int | None = None
    """Rounds that are enough, for figures that hardly vary; None leaves it to the command line."""


@attrs.frozen(kw_only=True)
class Scale:
    """How much work a sample does, and how long a step waits where it waits."""

    size: int
    wait: float = 0.0


@attrs.frozen(kw_only=True)
class Spec:
    """A cell that can be prepared: at full scale for the figures, at tiny scale for the tests."""

    key: str
    part: Part
    full: Scale
    tiny: Scale
    prepare: Callable[[Backend, Scale], AbstractContextManager[Cell]]
    backends: tuple[Backend, ...] = BACKENDS


def sampled(
    measure: Measure, work: Callable[[], Awaitable[None]], *, operations: int = 1, repeats: int = 1
) -> Sampler:
    """Times `repeats` runs of `work` and shares the time among all operations in them."""
    clock = time.process_time if measure == "cpu" else time.perf_counter

    async def sample() -> float:
        start = clock()
        for _ in range(repeats):
            await work()
        return (clock() - start) / (operations * repeats)

    return sample
