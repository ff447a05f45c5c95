"""Measures, and writes JSON, a Markdown table and an SVG chart.

python -m benchmarks                  everything, 25 rounds: the figures to quote
python -m benchmarks --quick          everything, 5 rounds: a look
python -m benchmarks --part engine --backend trio --only hop
python -m benchmarks --draw           table and chart anew, from the JSON file that is there
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

from benchmarks import machine, record
from benchmarks.cells.catalog import CATALOG
from benchmarks.contenders.native import BACKENDS, Backend
from benchmarks.record import CellRecord, Report
from benchmarks.report import chart, numbers, table

ROUNDS, QUICK_ROUNDS = 25, 5
RESULTS = Path(__file__).parent / "results"
PATIENCE = 1_800.0
"""Seconds after which a cell is given up: far more than the slowest needs."""


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    keys = chosen(options.part, options.only)
    backends: tuple[Backend, ...] = (options.backend,) if options.backend else BACKENDS
    if options.list:
        print("\n".join(keys))
        return 0
    whole = len(keys) == len(CATALOG) and backends == BACKENDS and not options.quick
    out: Path = options.out or (RESULTS if whole or options.update else RESULTS / "partial")
    if options.draw:
        draw(record.read(out / "benchmarks.json"), out)
        return 0
    if options.update and not (out / "benchmarks.json").exists():
        parser().error(f"--update: there is no benchmarks.json in {out}; measure without it first")
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    report, failed = measure(keys, backends, rounds, shlex.join(["python", "-m", "benchmarks", *arguments]))
    out.mkdir(parents=True, exist_ok=True)
    if options.update:
        report = record.updated(record.read(out / "benchmarks.json"), report)
    record.write(report, out / "benchmarks.json")
    draw(report, out)
    for name in failed:
        print(f"failed, and missing from the results: {name}", file=sys.stderr)
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--part", choices=["io", "engine"], help="real I/O, or what the engine costs")
    found.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="cells whose key contains WORD"
    )
    found.add_argument("--backend", choices=BACKENDS, help="one backend (default: both)")
    found.add_argument("--rounds", type=int, help=f"rounds for each cell (default: {ROUNDS})")
    found.add_argument(
        "--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds: for a look, not for quoting"
    )
    found.add_argument("--out", type=Path, help="folder to write to (default: results, or results/partial)")
    found.add_argument(
        "--draw", action="store_true", help="measure nothing, draw from the JSON file in that folder"
    )
    found.add_argument(
        "--update",
        action="store_true",
        help="put the cells into the results that are there, in place of the same",
    )
    found.add_argument("--list", action="store_true", help="print the keys of the cells")
    return found


def chosen(part: str | None, words: list[str]) -> list[str]:
    """Keys of the cells asked for; no words means all."""
    return [
        key
        for key, spec in CATALOG.items()
        if part in (None, spec.part) and (not words or any(word in key for word in words))
    ]


def measure(
    keys: list[str], backends: tuple[Backend, ...], rounds: int, command: str
) -> tuple[Report, list[str]]:
    """Measures cell by cell and says how it goes; gives the report and the names of what failed."""
    session = machine.Session(command, rounds)
    cells: list[CellRecord] = []
    failed: list[str] = []
    todo: list[tuple[str, Backend]] = [
        (key, backend) for key in keys for backend in backends if backend in CATALOG[key].backends
    ]
    for number, (key, backend) in enumerate(todo, start=1):
        began = time.monotonic()
        cell = in_fresh_process(key, backend, rounds)
        took = time.monotonic() - began
        if cell is None:
            failed.append(f"{key} on {backend}")
            continue
        cells.append(cell)
        print(f"[{number}/{len(todo)}] {progress(cell)}  [{took:.0f} s]", flush=True)
    return {"about": session.about(), "cells": cells}, failed


def in_fresh_process(key: str, backend: Backend, rounds: int) -> CellRecord | None:
    """The record of one cell, or None when it failed; why is on stderr."""
    command = [sys.executable, "-m", "benchmarks.worker", key, backend, str(rounds)]
    try:
        process = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return None
    return cast(CellRecord, json.loads(process.stdout))


def progress(cell: CellRecord) -> str:
    """One line: what was measured, the figures that compare, and the targets missed."""
    parts = [f"{cell['work']}, {cell['backend']}:"]
    for reading in cell["readings"]:
        measure = None if reading["to"] is not None else cell["measure"]
        text = f"{reading['label']} {numbers.quartiles(reading, measure)}"
        if reading["met"] is not None:
            text += f" [{numbers.target(reading, cell['measure'])}: {'met' if reading['met'] else 'MISSED'}]"
        parts.append(text + ";")
    return " ".join(parts).rstrip(";")


def draw(report: Report, out: Path) -> None:
    """Writes the table and the chart beside the JSON file."""
    (out / "benchmarks.md").write_text(table.render(report), encoding="utf-8")
    (out / "benchmarks.svg").write_text(chart.render(report), encoding="utf-8")
    print(f"written: benchmarks.json, benchmarks.md and benchmarks.svg in {out}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
