"""How cost grows with size: the same work of two sizes, in turn in one process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Scale, Spec, sampled
from benchmarks.contenders import flows
from benchmarks.contenders.native import Backend

GROWTH = "growth"


def hops(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """A loop ten times as long takes ten times as long; the target leaves a tenth for noise."""
    few, many = scale.size // 10, scale.size

    def loop(turns: int) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            expect(await flows.Loop(timeout=None).run(number=turns), turns)

        return work

    work = f"loop, time of {many:,} hops / {few:,} hops"
    return compared(work, "loop", (few, many), loop, whole=True, limit=11.0)


def fans(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """An event of a fan costs the same in a fan ten times as wide."""
    few, many = scale.size // 10, scale.size
    work = f"fan-out, an event of {many:,} / of {few:,}"
    return compared(work, "event", (few, many), fan(rebuild=False), whole=False, limit=1.2)


def rebuilt(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """The same when `[Done] * k` is built anew in each call, so that it cannot be known by identity."""
    few, many = scale.size // 10, scale.size
    work = f"fan-out, list built anew, an event of {many:,} / of {few:,}"
    return compared(work, "event", (few, many), fan(rebuild=True), whole=False, limit=1.2)


def fan(*, rebuild: bool) -> Callable[[int], Callable[[], Awaitable[None]]]:
    def of(pieces: int) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            workflow = flows.Fan(pieces, rebuild=rebuild)
            expect(await workflow.run(number=pieces), pieces * (pieces - 1))

        return work

    return of


def compared(
    work: str,
    unit: str,
    sizes: tuple[int, int],
    contender: Callable[[int], Callable[[], Awaitable[None]]],
    *,
    whole: bool,
    limit: float,
) -> AbstractContextManager[Cell]:
    """A cell of two sizes; the smaller is repeated, so that both samples take equally long."""
    few, many = sizes
    small, large = f"stretto, {few:,}", f"stretto, {many:,}"
    contenders = {
        small: sampled("cpu", contender(few), operations=1 if whole else few, repeats=many // few),
        large: sampled("cpu", contender(many), operations=1 if whole else many),
    }
    reading = Reading(label=GROWTH, of=large, to=small, bound=Bound(limit=limit))
    return nullcontext(Cell(work=work, unit=unit, measure="cpu", contenders=contenders, readings=(reading,)))


def growing(key: str, size: int, prepare: Callable[[Backend, Scale], AbstractContextManager[Cell]]) -> Spec:
    return Spec(key=key, part="engine", full=Scale(size=size), tiny=Scale(size=20), prepare=prepare)


GROWING: tuple[Spec, ...] = (
    growing("growth-hop", 10_000, hops),
    growing("growth-fan", 10_000, fans),
    growing("growth-fan-rebuilt", 1_000, rebuilt),
)
