"""The chart's three panels. Each draws itself below a given line and gives its own lowest line.

A panel for which the report has no cells draws nothing and gives None.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from benchmarks.cells.engine import DIRECT, MINI, OURS
from benchmarks.contenders.native import BACKENDS, Backend
from benchmarks.record import CellRecord, ReadingRecord
from benchmarks.report.numbers import digits, figure, measured, plain, target
from benchmarks.report.svg import Drawing, LogScale, around

KINDS = {"sockets": "requests over sockets", "files": "file reads", "sqlite": "SQLite queries"}
COSTS = ("run", "run-timeout", "hop-1000", "fan-10", "fan-1000", "fan-10000", "stream-10000", "runs-1000")
LOOKS = {DIRECT: "direct", MINI: "mini", OURS: "ours"}
PLOT, BAR, ROW, MARK = 112.0, 20.0, 25.0, 4.5
FULL = 1.5
"""Where the axis of the targets ends, in multiples of what is allowed; what is beyond is put at the edge."""


@attrs.frozen
class Frame:
    """Where a panel may draw: from `top` down, between `left` and `right`."""

    left: float
    right: float
    top: float

    @property
    def width(self) -> float:
        return self.right - self.left


def speedups(drawing: Drawing, cells: Sequence[CellRecord], frame: Frame) -> float | None:
    """How much faster steps are at once than in sequence: a plot for each kind of I/O and each backend."""
    mine = [cell for cell in cells if cell["part"] == "io"]
    if not mine:
        return None
    drawing.text((frame.left, frame.top), "Real I/O: times faster at once than in sequence", "ink head")
    legend(drawing, frame, (("mini", "by hand, anyio task group"), ("ours", "stretto")))
    low, high = around([1.0, *(reading["median"] for cell in mine for reading in speeds(cell))])
    top = frame.top + 22
    for backend in BACKENDS:
        of_backend = [cell for cell in mine if cell["backend"] == backend]
        if of_backend:
            scale = LogScale(low, high, top + 14 + PLOT, top + 32)
            gains(drawing, of_backend, attrs.evolve(frame, top=top), scale)
            top += 74 + PLOT
    return top - 22


def gains(drawing: Drawing, cells: Sequence[CellRecord], frame: Frame, scale: LogScale) -> None:
    """The plots of one backend, side by side on one scale."""
    gutter, gap = 34.0, 26.0
    width = (frame.width - gutter - 2 * gap) / len(KINDS)
    for tick in scale.ticks():
        drawing.text((frame.left + gutter - 8, scale.at(tick) + 4), f"{tick:g}", "soft figure", "end")
    for column, (kind, name) in enumerate(KINDS.items()):
        left = frame.left + gutter + column * (width + gap)
        drawing.text((left, frame.top + 10), f"{name}, {cells[0]['backend']}", "ink strong")
        for tick in scale.ticks():
            y = scale.at(tick)
            drawing.line((left, y), (left + width, y), "edge" if tick == 1 else "grid")
        plotted = [cell for cell in cells if cell["key"].startswith(kind)]
        for number, cell in enumerate(plotted):
            gain(drawing, cell, left + (number + 0.5) * width / len(plotted), scale)


def gain(drawing: Drawing, cell: CellRecord, middle: float, scale: LogScale) -> None:
    """Two bars that grow from 1, up when faster and down when slower."""
    one = scale.at(1)
    for left, look, reading in zip(
        (middle - BAR - 1, middle + 1), ("mini", "ours"), speeds(cell), strict=True
    ):
        end = scale.at(reading["median"])
        tip = f"{cell['work']}, {cell['backend']}, {reading['label']}: {digits(reading['median'])}"
        drawing.bar((left, min(one, end), BAR, max(abs(end - one), 0.75)), look, tip)
        label_at = end - 4 if end <= one else end + 11
        text = f"{reading['median']:.0f}" if reading["median"] >= 10 else f"{reading['median']:.1f}"
        weight = "ink figure strong" if look == "ours" else "soft figure"
        drawing.text((left + BAR / 2, label_at), text, weight, "middle")
    drawing.text((middle, scale.start + 22), f"{cell['size']:,}", "ink figure", "middle")
    if cell["wait"]:
        drawing.text((middle, scale.start + 35), f"of {cell['wait'] * 1000:g} ms", "soft small", "middle")


def speeds(cell: CellRecord) -> list[ReadingRecord]:
    """By hand first, then stretto."""
    wanted = ("speed-up by hand", "speed-up")
    return [reading for label in wanted for reading in cell["readings"] if reading["label"] == label]


def costs(drawing: Drawing, cells: Sequence[CellRecord], frame: Frame) -> float | None:
    """CPU time of one operation: by hand, mini-engine, stretto; a row for each piece of work."""
    found = {(cell["key"], cell["backend"]): cell for cell in cells if cell["key"] in COSTS}
    rows = [[found.get((key, backend)) for backend in BACKENDS] for key in COSTS]
    rows = [row for row in rows if any(row)]
    if not rows:
        return None
    drawing.text((frame.left, frame.top), "The engine alone: CPU time of one operation", "ink head")
    legend(drawing, frame, (("direct", "by hand, bare tasks"), ("mini", "mini-engine"), ("ours", "stretto")))
    low, high = around([one["median"] for cell in found.values() for one in cell["contenders"].values()])
    top, names, gap = frame.top + 28, 268.0, 40.0
    bottom = top + 14 + ROW * len(rows)
    width = (frame.width - names - gap) / len(BACKENDS)
    for column, backend in enumerate(BACKENDS):
        left = frame.left + names + column * (width + gap)
        scale = LogScale(low, high, left, left + width - 54)
        drawing.text((left, top), backend, "ink strong")
        for tick in scale.ticks():
            drawing.line((scale.at(tick), top + 8), (scale.at(tick), bottom), "grid")
            drawing.text((scale.at(tick), bottom + 14), plain(tick, "wall"), "soft figure", "middle")
        for number, row in enumerate(rows):
            cell = row[column]
            if cell is not None:
                cost(drawing, cell, top + 14 + (number + 0.5) * ROW, scale)
    for number, row in enumerate(rows):
        cell = next(cell for cell in row if cell is not None)
        place = (frame.left, top + 18 + (number + 0.5) * ROW)
        drawing.text(place, f"{cell['work']}, per {cell['unit']}", "ink")
    return bottom + 16


def cost(drawing: Drawing, cell: CellRecord, y: float, scale: LogScale) -> None:
    """One row of one backend: dots on a stem, stretto's with its figure."""
    found = {name: cell["contenders"][name]["median"] for name in LOOKS if name in cell["contenders"]}
    at = {name: scale.at(value) for name, value in found.items()}
    drawing.line((min(at.values()), y), (max(at.values()), y), "stem")
    for name, x in at.items():
        tip = f"{cell['work']}, {cell['backend']}, {name}: {figure(found[name], cell['measure'])}"
        drawing.dot((x, y), MARK, LOOKS[name], tip)
    place = (max(at.values()) + 9, y + 4)
    drawing.text(place, figure(found[OURS], cell["measure"]), "ink figure strong")


def targets(drawing: Drawing, cells: Sequence[CellRecord], frame: Frame) -> float | None:
    """Every figure that has a target, as a share of what is allowed: left of the line is met."""
    rows: dict[tuple[str, str], dict[Backend, tuple[CellRecord, ReadingRecord]]] = {}
    for cell in cells:
        for reading in cell["readings"]:
            if reading["limit"] is not None:
                rows.setdefault((cell["work"], reading["label"]), {})[cell["backend"]] = (cell, reading)
    if not rows:
        return None
    drawing.text((frame.left, frame.top), "Targets: measured as a share of what is allowed", "ink head")
    legend(drawing, frame, (("ours", "asyncio"), ("ours open", "trio"), ("missed", "missed")))
    axis = (frame.left + 418, frame.right - 142)
    columns = dict(zip(BACKENDS, (frame.right - 70, frame.right), strict=True))
    top = frame.top + 28
    bottom = top + 14 + ROW * len(rows)
    for share, text in ((0.0, "0"), (0.5, "half"), (1.0, "allowed")):
        x = along(axis, share)
        drawing.line((x, top + 8), (x, bottom), "edge" if share == 1 else "grid")
        drawing.text((x, top + 2), text, "soft figure", "middle")
    for backend, x in columns.items():
        drawing.text((x, top + 2), backend, "soft figure", "end")
    for number, ((work, label), row) in enumerate(rows.items()):
        y = top + 14 + (number + 0.5) * ROW
        limits = {target(reading, cell["measure"]): None for cell, reading in row.values()}
        drawing.text((frame.left, y + 4), work, "ink")
        drawing.text((axis[0] - 16, y + 4), f"{label} {' / '.join(limits)}", "soft small", "end")
        drawing.line((axis[0], y), (axis[1], y), "grid")
        for backend, (cell, reading) in row.items():
            verdict(drawing, cell, reading, (along(axis, share_of(reading)), y))
            look = "ink figure strong" if reading["met"] else "warn figure strong"
            drawing.text((columns[backend], y + 4), measured(reading, cell["measure"]), look, "end")
    return bottom


def verdict(drawing: Drawing, cell: CellRecord, reading: ReadingRecord, place: tuple[float, float]) -> None:
    """One mark: a dot for asyncio, an open diamond for trio, so that two at one place are both seen."""
    tip = f"{cell['work']}, {cell['backend']}, {reading['label']}: {measured(reading, cell['measure'])}"
    look = "ours" if reading["met"] else "missed"
    if cell["backend"] == "trio":
        drawing.diamond(place, MARK, f"{look} open", tip)
    else:
        drawing.dot(place, MARK, look, tip)


def share_of(reading: ReadingRecord) -> float:
    """How much of what is allowed was used; at 1 the target is just met."""
    limit, median = reading["limit"] or 0.0, reading["median"]
    if reading["least"]:
        limit, median = median, limit
    if not limit:
        return FULL if median > 0 else 0.0
    return max(median / limit, 0.0)


def along(axis: tuple[float, float], share: float) -> float:
    """The place of a share on the axis of the targets."""
    return axis[0] + min(share, FULL) / FULL * (axis[1] - axis[0])


def legend(drawing: Drawing, frame: Frame, entries: Sequence[tuple[str, str]]) -> None:
    """Marks and their names, set against the right edge."""
    right, y = frame.right, frame.top
    for look, name in reversed(entries):
        drawing.text((right, y), name, "soft", "end")
        right -= 6.6 * len(name) + 14
        mark = drawing.diamond if look.endswith("open") else drawing.dot
        mark((right, y - 4), MARK, look, name)
        right -= 20
