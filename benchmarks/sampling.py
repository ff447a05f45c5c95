"""Takes the samples: all contenders of a cell in one process, in turn, round by round."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Sequence

from benchmarks.cells.cell import Cell, Reading
from benchmarks.record import ContenderRecord, ReadingRecord, Spread


async def take_samples(cell: Cell, rounds: int) -> dict[str, list[float]]:
    """Samples each contender once a round.

    Who is first changes from round to round. One round before them warms up and is thrown away.
    """
    names = list(cell.contenders)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            figure = await cell.contenders[name]()
            if turn >= 0:
                samples[name].append(figure)
    return samples


def spread(figures: Sequence[float]) -> Spread:
    """Median and quartiles; of a single figure, that figure three times."""
    if len(figures) == 1:
        return {"median": figures[0], "q1": figures[0], "q3": figures[0]}
    q1, median, q3 = statistics.quantiles(figures, n=4, method="inclusive")
    return {"median": median, "q1": q1, "q3": q3}


def contender_record(figures: Sequence[float]) -> ContenderRecord:
    return {**spread(figures), "samples": [float(f"{figure:.5g}") for figure in figures]}


def reading_record(reading: Reading, samples: dict[str, list[float]]) -> ReadingRecord:
    """Reads one figure off the samples and holds it against its bound."""
    figures = samples[reading.of]
    if reading.to is not None:
        # A base of 0 (a clock too coarse for the work) has no ratio; such a round says nothing.
        figures = [figure / base for figure, base in zip(figures, samples[reading.to], strict=True) if base]
    found = spread(figures)
    bound = reading.bound
    return {
        **found,
        "label": reading.label,
        "of": reading.of,
        "to": reading.to,
        "limit": None if bound is None else bound.limit,
        "least": bound is not None and bound.least,
        "met": None if bound is None else bound.met(found["median"]),
    }
