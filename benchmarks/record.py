"""The shape of the JSON file. The table and the chart are drawn from it and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from benchmarks.cells.cell import Measure, Part
from benchmarks.contenders.native import Backend


class Spread(TypedDict):
    """Median and quartiles."""

    median: float
    q1: float
    q3: float


class ContenderRecord(Spread):
    """One contender of one cell; the samples are in the order of the rounds."""

    samples: list[float]


class ReadingRecord(Spread):
    """One figure of one cell, and whether it meets its target where it has one."""

    label: str
    of: str
    to: str | None
    limit: float | None
    least: bool
    met: bool | None


class CellRecord(TypedDict):
    """One cell on one backend; beside peers, the backend of all who do not say theirs in their name.

    Who cannot do the work is in `absent`, with the reason.
    """

    key: str
    part: Part
    backend: Backend
    work: str
    unit: str
    measure: Measure
    size: int
    wait: float
    rounds: int
    absent: NotRequired[dict[str, str]]
    contenders: dict[str, ContenderRecord]
    readings: list[ReadingRecord]


class About(TypedDict):
    """Where, when and with what the figures were taken; `since` is about those that were taken again later."""

    command: str
    rounds: int
    date: str
    seconds: float
    python: str
    system: str
    processor: str
    cores: int
    load: list[float]
    versions: dict[str, str]
    since: NotRequired[list[About]]


class Report(TypedDict):
    """The whole file."""

    about: About
    cells: list[CellRecord]


def updated(had: Report, now: Report) -> Report:
    """What was measured now in place of the same cells, and the rest as it was."""
    measured = {(cell["key"], cell["backend"]): cell for cell in now["cells"]}
    kept = [measured.pop((cell["key"], cell["backend"]), cell) for cell in had["cells"]]
    about: About = {**had["about"], "since": [*had["about"].get("since", []), now["about"]]}
    return {"about": about, "cells": [*kept, *measured.values()]}


def write(report: Report, path: Path) -> None:
    """Writes the report with one line for each list of samples, so that a diff of two runs can be read."""
    path.write_text(dumps(report), encoding="utf-8")


def read(path: Path) -> Report:
    """Reads a report that `write` wrote."""
    return cast(Report, json.loads(path.read_text(encoding="utf-8")))


def dumps(report: Report) -> str:
    lines = ["{", f' "about": {json.dumps(report["about"], indent=1)},'.replace("\n", "\n "), ' "cells": [']
    cells = [_cell(cell) for cell in report["cells"]]
    return "\n".join([*lines, ",\n".join(cells), " ]", "}"]) + "\n"


def _cell(cell: CellRecord) -> str:
    head = {name: value for name, value in cell.items() if name not in ("contenders", "readings")}
    contenders = [
        f"    {json.dumps(name)}: {json.dumps(record)}" for name, record in cell["contenders"].items()
    ]
    readings = [f"    {json.dumps(reading)}" for reading in cell["readings"]]
    return "\n".join(
        [
            f"  {json.dumps(head)[:-1]},",
            '   "contenders": {',
            ",\n".join(contenders),
            '   }, "readings": [',
            ",\n".join(readings),
            "   ]}",
        ]
    )
