"""What an edit of a run's state costs, and that it does not grow with what it leaves alone."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Scale, Spec, sampled
from benchmarks.cells.growth import GROWTH
from benchmarks.contenders import flows
from benchmarks.contenders.native import Backend

FEW, EDITS = 10, 200
DEEP = "deep copy"


def edits(
    kind: str, workflow: type[flows.Edits], backend: Backend, scale: Scale
) -> AbstractContextManager[Cell]:
    """Edits of a number and a short list, beside few and beside many small dicts that they do not touch."""
    small, large = (f"stretto, {size:,} beside" for size in (FEW, scale.size))
    contenders = {
        name: sampled("cpu", edited(workflow, size), operations=EDITS)
        for name, size in ((small, FEW), (large, scale.size))
    }
    beside = flows.parts(scale.size)

    async def deep() -> None:  # noqa: ASYNC124 - a sampler takes only such
        expect(copy.deepcopy(beside), beside)

    return nullcontext(
        Cell(
            work=f"state edit, {kind}, beside {scale.size:,} parts / {FEW:,}",
            unit="edit",
            measure="cpu",
            contenders={**contenders, DEEP: sampled("cpu", deep)},
            readings=(
                Reading(label=GROWTH, of=large, to=small, bound=Bound(limit=1.2)),
                Reading(label=f"ratio to a {DEEP}", of=large, to=DEEP),
            ),
        )
    )


def edited(workflow: type[flows.Edits], size: int) -> Callable[[], Awaitable[None]]:
    beside = flows.parts(size)

    async def work() -> None:
        expect(await workflow(beside).run(number=EDITS), EDITS)

    return work


def state(key: str, prepare: Callable[[Backend, Scale], AbstractContextManager[Cell]]) -> Spec:
    return Spec(key=key, part="engine", full=Scale(size=10_000), tiny=Scale(size=20), prepare=prepare)


STATE: tuple[Spec, ...] = (
    state("state-edit-mapping", partial(edits, "free mapping", flows.MappingEdits)),
    state("state-edit-attrs", partial(edits, "attrs class", flows.AttrsEdits)),
    state("state-edit-dataclass", partial(edits, "dataclass", flows.DataclassEdits)),
)
