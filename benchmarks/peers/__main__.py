"""Measures stretto beside its peers, and writes JSON, a Markdown table and an SVG chart.

make bench-peers                           makes the peers' environments and measures everything
python -m benchmarks.peers                 measures everything, 15 rounds: the figures to quote
python -m benchmarks.peers --quick         everything, 3 rounds: a look
python -m benchmarks.peers --only hop --contender burr
python -m benchmarks.peers --draw          table and chart anew, from the JSON file that is there
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio

from benchmarks import machine, record
from benchmarks.__main__ import RESULTS, progress
from benchmarks.cells.cell import Cell, Reading, Sampler, Scale
from benchmarks.cells.engine import OURS
from benchmarks.peers.catalog import ENTRIES, Entry
from benchmarks.peers.process import Worker, WorkerError, started
from benchmarks.peers.programs import PROGRAMS, Program
from benchmarks.peers.worker import Request
from benchmarks.record import CellRecord, Report
from benchmarks.report import peers_chart, peers_table
from benchmarks.sampling import contender_record, reading_record, take_samples

ROUNDS, QUICK_ROUNDS = 15, 3


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    programs = [program for program in PROGRAMS if named(program.key, options.only)]
    entries = [entry for entry in ENTRIES if entry.name == OURS or named(entry.name, options.contender)]
    whole = len(programs) == len(PROGRAMS) and len(entries) == len(ENTRIES) and not options.quick
    out: Path = options.out or (RESULTS if whole else RESULTS / "partial")
    if options.draw:
        draw(record.read(out / "peers.json"), out)
        return 0
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    session = machine.Session(shlex.join(["python", "-m", "benchmarks.peers", *arguments]), rounds)
    try:
        report, failed = anyio.run(partial(measure, session, programs, entries, rounds, tiny=options.tiny))
    except WorkerError as error:
        print(f"nothing was measured: {error}", file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    record.write(report, out / "peers.json")
    draw(report, out)
    for name in failed:
        print(f"failed, and missing from the results: {name}", file=sys.stderr)
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="programs whose key contains WORD"
    )
    found.add_argument(
        "--contender",
        action="append",
        default=[],
        metavar="WORD",
        help=f"contenders whose name contains WORD, and {OURS} (default: all)",
    )
    found.add_argument("--rounds", type=int, help=f"rounds for each program (default: {ROUNDS})")
    found.add_argument(
        "--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds: for a look, not for quoting"
    )
    found.add_argument("--tiny", action="store_true", help="as little work as the tests do")
    found.add_argument("--out", type=Path, help="folder to write to (default: results, or results/partial)")
    found.add_argument(
        "--draw", action="store_true", help="measure nothing, draw from the JSON file in that folder"
    )
    return found


def named(name: str, words: Sequence[str]) -> bool:
    """Whether one of the words is in the name; no words means all."""
    return not words or any(word in name for word in words)


async def measure(
    session: machine.Session,
    programs: Sequence[Program],
    entries: Sequence[Entry],
    rounds: int,
    *,
    tiny: bool = False,
) -> tuple[Report, list[str]]:
    """Measures program by program, with all contenders alive in between; gives what failed, too."""
    cells: list[CellRecord] = []
    failed: list[str] = []
    with ExitStack() as stack:
        workers = [stack.enter_context(started(entry)) for entry in entries]
        for number, program in enumerate(programs, start=1):
            scale = program.tiny if tiny else program.full
            try:
                cells.append(await one_cell(program, scale, workers, rounds))
            except WorkerError as error:
                failed.append(f"{program.work} ({error})")
                continue
            session.look()
            print(f"[{number}/{len(programs)}] {progress(cells[-1])}", flush=True)
    return {"about": session.about(versions(workers)), "cells": cells}, failed


async def one_cell(program: Program, scale: Scale, workers: Sequence[Worker], rounds: int) -> CellRecord:
    """Samples the contenders in turn, those that can do it, and compares each with stretto on asyncio."""
    absent = {
        worker.entry.name: worker.hello["cannot"][program.kind]
        for worker in workers
        if program.kind in worker.hello["cannot"]
    }
    contenders = {
        worker.entry.name: sampler(worker, program, scale)
        for worker in workers
        if worker.entry.name not in absent
    }
    readings = tuple(
        Reading(label=f"{name} / {OURS}", of=name, to=OURS) for name in contenders if name != OURS
    )
    cell = Cell(
        work=program.work,
        unit=program.unit,
        measure=program.measure,
        contenders=contenders,
        readings=readings,
    )
    samples = await take_samples(cell, rounds)
    return {
        "key": program.key,
        "part": "peers",
        "backend": "asyncio",
        "work": cell.work,
        "unit": cell.unit,
        "measure": cell.measure,
        "size": scale.size,
        "wait": scale.wait,
        "rounds": rounds,
        "absent": absent,
        "contenders": {name: contender_record(figures) for name, figures in samples.items()},
        "readings": [reading_record(reading, samples) for reading in readings],
    }


def sampler(worker: Worker, program: Program, scale: Scale) -> Sampler:
    """Asks a worker for seconds per operation."""
    request: Request = {
        "kind": program.kind,
        "size": scale.size,
        "wait": scale.wait,
        "repeats": program.repeats,
    }

    async def sample() -> float:
        answer = await anyio.to_thread.run_sync(worker.ask, request)
        seconds = answer["cpu"] if program.measure == "cpu" else answer["wall"]
        return seconds / (program.repeats * program.operations(scale))

    return sample


def versions(workers: Sequence[Worker]) -> dict[str, str]:
    """The versions of the packages that take part."""
    return {worker.hello["package"]: worker.hello["version"] for worker in workers}


def draw(report: Report, out: Path) -> None:
    """Writes the table and the chart beside the JSON file."""
    (out / "peers.md").write_text(peers_table.render(report), encoding="utf-8")
    (out / "peers.svg").write_text(peers_chart.render(report), encoding="utf-8")
    print(f"written: peers.json, peers.md and peers.svg in {out}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
