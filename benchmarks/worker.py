"""Measures one cell on one backend and prints its record.

    python -m benchmarks.worker KEY BACKEND ROUNDS

Started by `python -m benchmarks`, in a fresh process for each cell: none inherits the heap of another.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings

import anyio

from benchmarks.cells.catalog import CATALOG
from benchmarks.cells.cell import Scale
from benchmarks.contenders.native import Backend
from benchmarks.record import CellRecord
from benchmarks.sampling import contender_record, reading_record, take_samples


def measure(key: str, backend: Backend, rounds: int, scale: Scale | None = None) -> CellRecord:
    """Prepares the cell, samples it and gives its record; without a scale, the full one."""
    spec = CATALOG[key]
    scale = scale or spec.full
    with spec.prepare(backend, scale) as cell:
        enough = rounds if cell.rounds is None else min(rounds, cell.rounds)
        samples = anyio.run(take_samples, cell, enough, backend=backend)
        return {
            "key": key,
            "part": spec.part,
            "backend": backend,
            "work": cell.work,
            "unit": cell.unit,
            "measure": cell.measure,
            "size": scale.size,
            "wait": scale.wait,
            "rounds": enough,
            "contenders": {name: contender_record(figures) for name, figures in samples.items()},
            "readings": [reading_record(reading, samples) for reading in cell.readings],
        }


def main(arguments: list[str]) -> None:
    key, named, rounds = arguments
    backend: Backend = "trio" if named == "trio" else "asyncio"
    # What a workflow logs or warns about belongs on stderr; stdout holds the record alone.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    warnings.simplefilter("error")
    print(json.dumps(measure(key, backend, int(rounds))))


if __name__ == "__main__":
    main(sys.argv[1:])
