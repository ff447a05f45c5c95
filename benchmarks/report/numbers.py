"""How figures are written: few digits, and the unit that keeps them short."""

from __future__ import annotations

from benchmarks.cells.cell import Measure
from benchmarks.record import ReadingRecord, Spread

SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
BYTES = ((1024.0**2, "MiB"), (1024.0, "KiB"), (1.0, "B"))


def figure(value: float, measure: Measure) -> str:
    """One figure with its unit."""
    if measure == "count":
        return f"{value:g}"
    return _scaled(value, BYTES if measure == "bytes" else SECONDS)


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    for size, unit in units:
        if abs(value) >= size:
            return f"{digits(value / size)} {unit}"
    size, unit = units[-1]
    return f"{digits(value / size)} {unit}"


def plain(value: float, measure: Measure) -> str:
    """A round figure with its unit: 50 ms, 10 KiB, 0.5 B."""
    amount, _, unit = figure(value, measure).partition(" ")
    if "." in amount:
        amount = amount.rstrip("0").rstrip(".")
    return f"{amount} {unit}".rstrip()


def digits(value: float) -> str:
    """Three digits that count; more before the point where there are more."""
    if value == 0:
        return "0"
    if abs(value) < 0.005:
        return "<0.01"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def quartiles(spread: Spread, measure: Measure | None = None) -> str:
    """`median (q1 to q3)`; of a measure with its unit, without one as a plain ratio."""
    median, low, high = (
        digits(value) if measure is None else figure(value, measure)
        for value in (spread["median"], spread["q1"], spread["q3"])
    )
    return median if low == median == high else f"{median} ({low} to {high})"


def measured(reading: ReadingRecord, measure: Measure) -> str:
    """The median, with its unit unless it is a ratio.

    A target that is missed by less than the last digit gets more digits, so that nobody reads it as met.
    """
    median, limit = reading["median"], reading["limit"]
    if reading["to"] is None:
        return figure(median, measure)
    text = digits(median)
    by_a_hair = reading["met"] is False and limit is not None and text == digits(limit)
    return f"{median:.5g}" if by_a_hair else text


def target(reading: ReadingRecord, measure: Measure) -> str:
    """`≤ limit` or `≥ limit`."""
    limit = reading["limit"]
    if limit is None:
        return ""
    sign = "≥" if reading["least"] else "≤"
    return f"{sign} {f'{limit:g}' if reading['to'] is not None else plain(limit, measure)}"
