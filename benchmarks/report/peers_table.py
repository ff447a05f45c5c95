"""The tables beside other engines: one row for each engine, one column for each program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.cells.engine import OURS
from benchmarks.record import About, CellRecord, Report
from benchmarks.report.numbers import digits, figure, quartiles
from benchmarks.report.table import by_label, markdown, provenance

QUOTED = ("run", "hop-1000", "fan-10", "fan-1000")
"""The columns of the table that the README quotes."""

QUIET = 1.5
"""The load up to which nobody else was at work: who measures keeps one core busy."""

TEXT = f"""The same small programs, each in the engine's own words, in an environment of its own and with its
results checked. Processor time of one run, hop or event; wall time of the whole batch for steps that sleep and for
runs at once. *×* is the median of the ratios to {OURS} on asyncio, round by round. No program has a time limit.
The peers run on asyncio alone."""


def render(report: Report) -> str:
    """All tables, and why some cells are empty."""
    cells = report["cells"]
    parts = ["# Beside other engines", told(report["about"]), TEXT]
    if cells:
        parts += [whole(report), f"## Times {OURS}, with quartiles", ratios(report)]
    if reasons := missing(cells):
        parts += ["## Empty cells", reasons]
    return "\n\n".join(parts) + "\n"


def told(about: About) -> str:
    """Where the figures come from, and whether the machine had other work meanwhile."""
    text = provenance(about, "take turns, each in a process of its own")
    busiest = max(about["load"])
    if busiest > QUIET:
        text += f" The load rose to {busiest:g}, so the machine had other work: read the ratios."
    return text


def quoted(report: Report) -> str:
    """The small table for the README."""
    return table(report, [cell for cell in report["cells"] if cell["key"] in QUOTED])


def whole(report: Report) -> str:
    return table(report, report["cells"])


def table(report: Report, cells: Sequence[CellRecord]) -> str:
    """Medians, and what they are as a multiple of stretto's."""
    head = ["", *(title(cell) for cell in cells)]
    return markdown(
        head, [[versioned(report, name), *(entry(cell, name) for cell in cells)] for name in engines(cells)]
    )


def ratios(report: Report) -> str:
    """The multiples alone, with their quartiles."""
    cells = report["cells"]
    head = ["", *(title(cell) for cell in cells)]
    others = [name for name in engines(cells) if name != OURS]
    return markdown(head, [[name, *(ratio(cell, name) for cell in cells)] for name in others])


def title(cell: CellRecord) -> str:
    """The work, and what is counted where that is less than the whole."""
    return cell["work"] if cell["measure"] == "wall" else f"{cell['work']}, per {cell['unit']}"


def engines(cells: Iterable[CellRecord]) -> list[str]:
    """All who take part, in the order in which they were asked."""
    return list(
        dict.fromkeys(name for cell in cells for name in (*cell["contenders"], *cell.get("absent", {})))
    )


def versioned(report: Report, name: str) -> str:
    """A peer with its version; stretto's is told with the rest."""
    version = None if name == OURS else report["about"]["versions"].get(name)
    return name if version is None else f"{name} {version}"


def entry(cell: CellRecord, name: str) -> str:
    if name not in cell["contenders"]:
        return ""
    median = figure(cell["contenders"][name]["median"], cell["measure"])
    found = by_label(cell, f"{name} / {OURS}")
    return median if found is None else f"{median}, {digits(found['median'])} ×"


def ratio(cell: CellRecord, name: str) -> str:
    found = by_label(cell, f"{name} / {OURS}")
    return "" if found is None else quartiles(found)


def missing(cells: Iterable[CellRecord]) -> str:
    """A line for each reason."""
    lines: dict[str, list[str]] = {}
    for cell in cells:
        for name, reason in cell.get("absent", {}).items():
            lines.setdefault(f"{name}: {reason}", []).append(cell["work"])
    return "\n".join(f"- {reason} ({'; '.join(works)})" for reason, works in lines.items())
