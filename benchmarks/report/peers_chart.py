"""The chart beside other engines: a plot for each program, a row for each engine, stretto as the line to the left."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from benchmarks.cells.engine import OURS
from benchmarks.record import About, CellRecord, Report
from benchmarks.report.chart import GAP, MARGIN, WIDTH, header, style
from benchmarks.report.numbers import digits, figure, plain
from benchmarks.report.panels import MARK, Frame
from benchmarks.report.peers_table import engines, title
from benchmarks.report.svg import Drawing, LogScale, around
from benchmarks.report.table import by_label

COLUMNS = 2
NAMES, FIGURES, ROW = 146.0, 112.0, 20.0
READ = (
    "Processor time, or wall time of what sleeps; × is the multiple of stretto on asyncio; logarithmic scales"
)
OWN = ("stretto", "anyio", "attrs", "trio")


def render(report: Report) -> str:
    """Draws the plots in two columns, row by row."""
    drawing = Drawing(WIDTH)
    about, cells = report["about"], report["cells"]
    y = header(drawing, "The same programs on other engines", provenance(about))
    width = (WIDTH - 2 * MARGIN - GAP) / COLUMNS
    for number in range(0, len(cells), COLUMNS):
        bottoms = [
            plot(drawing, cell, Frame(left, left + width, y))
            for left, cell in zip(
                (MARGIN, MARGIN + width + GAP), cells[number : number + COLUMNS], strict=False
            )
        ]
        y = max(bottoms) + GAP
    return drawing.document(
        height=y - GAP + MARGIN,
        title="stretto beside other engines: the same small programs",
        description=described(cells),
        style=style(),
    )


def provenance(about: About) -> list[str]:
    """What was measured, beside what, on which machine, and how to read it."""
    versions = about["versions"]
    own = ", ".join(f"{name} {versions[name]}" for name in OWN if name in versions)
    peers = ", ".join(f"{name} {version}" for name, version in versions.items() if name not in OWN)
    machine = f"{about['python']}, {about['processor']}, {about['cores']} cores"
    rounds = f"medians of {about['rounds']} rounds, {about['date']}"
    return [f"{own}; {rounds}", *([peers] if peers else []), machine, READ]


def plot(drawing: Drawing, cell: CellRecord, frame: Frame) -> float:
    """One program: from stretto's line to each engine's dot, by a logarithmic scale; gives its lowest line."""
    drawing.text((frame.left, frame.top), title(cell), "ink strong")
    low, high = around([one["median"] for one in cell["contenders"].values()])
    scale = LogScale(low, high, frame.left + NAMES, frame.right - FIGURES)
    names = engines([cell])
    top = frame.top + 8
    bottom = top + ROW * len(names)
    for tick in scale.ticks():
        drawing.line((scale.at(tick), top), (scale.at(tick), bottom), "grid")
        drawing.text(
            (scale.at(tick), bottom + 14), plain(tick, cell["measure"]), "soft figure small", "middle"
        )
    ours = scale.at(cell["contenders"][OURS]["median"])
    drawing.line((ours, top), (ours, bottom), "edge")
    for number, name in enumerate(names):
        row(drawing, cell, name, attrs.evolve(frame, top=top + (number + 0.5) * ROW), scale)
    return bottom + 16


def row(drawing: Drawing, cell: CellRecord, name: str, frame: Frame, scale: LogScale) -> None:
    """One engine: its name, its dot, its figure and that as a multiple of stretto's."""
    ours, y = name.startswith(OURS), frame.top
    drawing.text((frame.left, y + 4), name, "ink" if ours else "soft")
    found = cell["contenders"].get(name)
    if found is None:
        drawing.text((frame.right - 50, y + 4), "cannot", "soft figure", "end")
        return
    median = figure(found["median"], cell["measure"])
    x = scale.at(found["median"])
    drawing.line((scale.at(cell["contenders"][OURS]["median"]), y), (x, y), "stem")
    tip = f"{title(cell)}, {name}: {median}"
    if ours and name != OURS:
        drawing.diamond((x, y), MARK, "ours open", tip)
    else:
        drawing.dot((x, y), MARK, "ours" if ours else "mini", tip)
    drawing.text((frame.right - 50, y + 4), median, "ink figure strong" if ours else "ink figure", "end")
    times = by_label(cell, f"{name} / {OURS}")
    if times is not None:
        drawing.text((frame.right, y + 4), f"{digits(times['median'])} ×", "soft figure", "end")


def described(cells: Sequence[CellRecord]) -> str:
    """The chart in words: every multiple that it shows."""
    parts = [
        f"{cell['work']}, {reading['label']} {digits(reading['median'])}"
        for cell in cells
        for reading in cell["readings"]
    ]
    return "; ".join(parts) + "."
