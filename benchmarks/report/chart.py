"""The chart: one self-contained SVG, light or dark as the reader's screen is."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.record import About, CellRecord, Report
from benchmarks.report import panels
from benchmarks.report.svg import Drawing

WIDTH, MARGIN, GAP = 960.0, 32.0, 46.0

# Class by class and without variables: not everything that shows an SVG knows those.
LIGHT = {
    "ground": "fill:#ffffff;stroke:#d1d9e0",
    "ink": "fill:#1f2328",
    "soft": "fill:#59636e",
    "grid": "stroke:#e4e8ec",
    "edge": "stroke:#818b98",
    "stem": "stroke:#c3ccd5",
    "ours": "fill:#1f6feb;stroke:#1f6feb",
    "mini": "fill:#9aa4af;stroke:#9aa4af",
    "direct": "fill:#ffffff;stroke:#818b98",
    "missed": "fill:#d1480f;stroke:#d1480f",
    "warn": "fill:#bc4010",
    "open": "fill:#ffffff",
}
DARK = {
    "ground": "fill:#0d1117;stroke:#3d444d",
    "ink": "fill:#e6edf3",
    "soft": "fill:#9198a1",
    "grid": "stroke:#21262d",
    "edge": "stroke:#6e7681",
    "stem": "stroke:#3d444d",
    "ours": "fill:#58a6ff;stroke:#58a6ff",
    "mini": "fill:#6e7681;stroke:#6e7681",
    "direct": "fill:#0d1117;stroke:#9198a1",
    "missed": "fill:#ff8e4f;stroke:#ff8e4f",
    "warn": "fill:#ff8e4f",
    "open": "fill:#0d1117",
}
SHAPE = """
text{font-family:system-ui,-apple-system,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif;font-size:12px}
.title{font-size:21px;font-weight:650}.head{font-size:15px;font-weight:600}.small{font-size:11px}
.figure{font-size:11px;font-variant-numeric:tabular-nums}.strong{font-weight:600}
.grid,.stem{stroke-width:1}.edge{stroke-width:1.25}.ours,.mini,.direct,.missed{stroke-width:1.5}
"""


def render(report: Report) -> str:
    """Draws the panels for which the report has cells, one below the other."""
    drawing = Drawing(WIDTH)
    y = header(drawing, "What concurrency gains, what the engine costs", provenance(report["about"]))
    for panel in (panels.speedups, panels.costs, panels.targets):
        bottom = panel(drawing, report["cells"], panels.Frame(MARGIN, WIDTH - MARGIN, y))
        y = y if bottom is None else bottom + GAP
    return drawing.document(
        height=y - GAP + MARGIN,
        title="stretto: what concurrency gains and what the engine costs",
        description=described(report["cells"]),
        style=style(),
    )


def header(drawing: Drawing, title: str, lines: Sequence[str]) -> float:
    """Title and provenance; gives where the first panel may begin."""
    y = MARGIN + 20
    drawing.text((MARGIN, y), title, "ink title")
    for number, line in enumerate(lines):
        drawing.text((MARGIN, y + 24 + 17 * number), line, "soft")
    return y + 44 + 17 * len(lines)


def provenance(about: About) -> list[str]:
    """Two lines: what was measured when, and on which machine."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    rounds = f"medians of {about['rounds']} rounds, {about['date']}"
    machine = f"{about['python']}, {about['processor']}, {about['cores']} cores"
    return [f"{versions}; {rounds}", machine]


def style() -> str:
    """Shapes, light colours, and dark ones for those whose screen is dark."""
    dark = "".join(f".{name}{{{look}}}" for name, look in DARK.items())
    light = "".join(f".{name}{{{look}}}" for name, look in LIGHT.items())
    return f"{SHAPE}{light}\n@media (prefers-color-scheme:dark){{{dark}}}\n"


def described(cells: list[CellRecord]) -> str:
    """The chart in words: every figure that has a target or is a speed-up."""
    parts: list[str] = []
    for cell in cells:
        for reading in cell["readings"]:
            if reading["label"] == "speed-up" or reading["limit"] is not None:
                verdict = {True: ", target met", False: ", target missed", None: ""}[reading["met"]]
                found = f"{reading['label']} {reading['median']:.3g}{verdict}"
                parts.append(f"{cell['work']} on {cell['backend']}: {found}")
    return "; ".join(parts) + "."
