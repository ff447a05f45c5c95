"""The Markdown tables: real I/O, what the engine costs, and how that stands beside the targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.cells.engine import DIRECT, MINI, OURS
from benchmarks.cells.io import AT_ONCE, AWAITS, GROUP, SEQUENCE
from benchmarks.contenders.native import BACKENDS
from benchmarks.record import About, CellRecord, ReadingRecord, Report
from benchmarks.report.numbers import figure, measured, quartiles, target

Row = Sequence[str]

IO_TEXT = """Steps that do real I/O, one after the other and all at once: wall time of the whole batch.
*By hand* is plain awaits in sequence and one anyio task group at once. Requests go over loopback sockets to a
server in another process that answers after the time named. Files (256 KiB, hashed) and SQLite queries run in
threads, come from the page cache and wait for nothing, so the number of cores bounds what they gain."""

ENGINE_TEXT = """Steps that do nothing, so that what is left is the engine. *Direct* is the same work awaited
by hand on the loop's own bare tasks, *mini-engine* the smallest engine of the same shape, which keeps no
promise. CPU time; wall time for steps that sleep and for the overrun of a timeout."""

TARGETS_TEXT = """Ratios are medians of per-round ratios with their quartiles."""


def render(report: Report) -> str:
    """All tables, with what they were measured on."""
    cells = report["cells"]
    parts = ["# Benchmarks", provenance(report["about"], "take turns within one process")]
    for title, text, table in (
        ("Real I/O: in sequence and at once", IO_TEXT, io_table(cells)),
        ("What the engine costs", ENGINE_TEXT, engine_table(cells)),
        ("Targets", TARGETS_TEXT, target_table(cells)),
    ):
        if table:
            parts += [f"## {title}", text, table]
    judged = [reading["met"] for cell in cells for reading in cell["readings"] if reading["met"] is not None]
    if judged:
        parts.append(f"{sum(judged)} of {len(judged)} met.")
    return "\n\n".join(parts) + "\n"


def provenance(about: About, turns: str) -> str:
    """How to get these figures again, and where they come from; `turns` says how the contenders alternate."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    before, after = about["load"][0], about["load"][-1]
    machine = f"{about['python']}, {about['system']}, {about['processor']}, {about['cores']} cores"
    return (
        f"Made by `{about['command']}` on {about['date']} in {about['seconds'] / 60:.0f} minutes: medians of"
        f" {about['rounds']} rounds in which the contenders {turns}, quartiles in brackets."
        f" {machine}, load {before:g} before and {after:g} after. {versions}."
        f"{''.join(map(again, about.get('since', [])))}"
    )


def again(about: About) -> str:
    """What was measured later than the rest."""
    return (
        f" Since then, in place of the same cells: `{about['command']}` on {about['date']}, {about['rounds']} rounds,"
        f" load {about['load'][0]:g} before and {about['load'][-1]:g} after."
    )


def io_table(cells: Iterable[CellRecord]) -> str:
    times = ("by hand, in sequence", "stretto, in sequence", "by hand, at once", "stretto, at once")
    head = ("work", "loop", *times, "speed-up by hand", "speed-up of stretto", "stretto / by hand, at once")
    return markdown(head, [io_row(cell) for cell in cells if cell["part"] == "io"])


def io_row(cell: CellRecord) -> Row:
    times = [
        figure(cell["contenders"][name]["median"], cell["measure"])
        for name in (AWAITS, SEQUENCE, GROUP, AT_ONCE)
    ]
    by_hand, ours = by_label(cell, "speed-up by hand"), by_label(cell, "speed-up")
    ratio = by_label(cell, f"ratio to {GROUP}")
    return [
        cell["work"],
        cell["backend"],
        *times,
        *(quartiles(reading) for reading in (by_hand, ours, ratio) if reading is not None),
    ]


def engine_table(cells: Iterable[CellRecord]) -> str:
    head = ("work", "per", "loop", OURS, MINI, DIRECT, f"{OURS} / {MINI}", f"{OURS} / {DIRECT}")
    shown = [cell for cell in cells if cell["part"] == "engine" and OURS in cell["contenders"]]
    return markdown(head, [engine_row(cell) for cell in shown if cell["measure"] != "count"])


def engine_row(cell: CellRecord) -> Row:
    contenders = cell["contenders"]
    ours = quartiles(contenders[OURS], cell["measure"])
    others = [
        figure(contenders[name]["median"], cell["measure"]) if name in contenders else ""
        for name in (MINI, DIRECT)
    ]
    ratios = [by_label(cell, f"ratio to {name}") for name in (MINI, DIRECT)]
    loop = cell["backend"]
    return [
        cell["work"],
        cell["unit"],
        loop,
        ours,
        *others,
        *("" if ratio is None else quartiles(ratio) for ratio in ratios),
    ]


def target_table(cells: Sequence[CellRecord]) -> str:
    """One row for each figure that has a target, the backends side by side."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cells:
        for reading in cell["readings"]:
            if reading["limit"] is not None:
                row = rows.setdefault((cell["work"], reading["label"]), {})
                row[cell["backend"]] = judged(cell, reading)
    head = ("work", "figure", *(f"{backend}: target, measured" for backend in BACKENDS))
    return markdown(
        head, [[*named, *(row.get(backend, "") for backend in BACKENDS)] for named, row in rows.items()]
    )


def judged(cell: CellRecord, reading: ReadingRecord) -> str:
    """The target, the figure and the verdict."""
    spread = quartiles(reading, cell["measure"] if reading["to"] is None else None)
    _, between, rest = spread.partition(" (")
    verdict = "met" if reading["met"] else "**missed**"
    found = measured(reading, cell["measure"])
    return f"{target(reading, cell['measure'])}: {found}{between}{rest}, {verdict}"


def by_label(cell: CellRecord, label: str) -> ReadingRecord | None:
    return next((reading for reading in cell["readings"] if reading["label"] == label), None)


def markdown(head: Row, rows: Sequence[Row]) -> str:
    """A Markdown table; without rows, nothing."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(escape(text) for text in line)} |" for line in lines)


def escape(text: str) -> str:
    """Text for a cell: what would end the cell, or be taken for markup, is spelled out."""
    for character, spelled in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(character, spelled)
    return text
