"""What a wait in the middle of a step costs, another attempt at one, and a join, and that each is linear."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Scale, Spec, sampled
from benchmarks.cells.engine import DIRECT, OURS
from benchmarks.cells.growth import GROWTH
from benchmarks.contenders import floor, flows
from benchmarks.contenders.native import Backend
from stretto import Workflow

Floor = Callable[[int], Awaitable[object]]


def feature(  # noqa: PLR0917 - the first four are given by `partial`
    name: str, unit: str, workflow: Callable[[], Workflow[int]], bare: Floor, backend: Backend, scale: Scale
) -> AbstractContextManager[Cell]:
    """One of it in a run of many, beside one in a run of a tenth, and beside the same awaited by hand."""
    few, many = scale.size // 10, scale.size

    def ours(size: int) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            expect(await workflow().run(number=size), size)

        return work

    async def direct() -> None:
        expect(await bare(many), many)

    contenders = {
        OURS: sampled("cpu", ours(many), operations=many),
        f"{OURS}, {few:,}": sampled("cpu", ours(few), operations=few),
        DIRECT: sampled("cpu", direct, operations=many),
    }
    readings = (
        Reading(label=f"ratio to {DIRECT}", of=OURS, to=DIRECT),
        Reading(label=GROWTH, of=OURS, to=f"{OURS}, {few:,}", bound=Bound(limit=1.2)),
    )
    work = f"{name}, {many:,} in a run / {few:,}"
    return nullcontext(Cell(work=work, unit=unit, measure="cpu", contenders=contenders, readings=readings))


def spec(key: str, prepare: Callable[[Backend, Scale], AbstractContextManager[Cell]]) -> Spec:
    return Spec(key=key, part="engine", full=Scale(size=10_000), tiny=Scale(size=20), prepare=prepare)


FEATURES: tuple[Spec, ...] = (
    spec("wait", partial(feature, "wait in a step for an event", "wait", flows.Asks, floor.ask)),
    spec("join", partial(feature, "branch of a fork that a list joins", "branch", flows.Joins, floor.join)),
    spec("retry", partial(feature, "attempt that fails", "attempt", flows.Tries, floor.tries)),
)
