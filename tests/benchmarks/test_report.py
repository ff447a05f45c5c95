"""Table and chart: the same record gives the same text, nothing in it is taken for markup."""

from __future__ import annotations

import copy
from xml.etree import ElementTree as ET

import pytest

from benchmarks import record
from benchmarks.cells.cell import Measure
from benchmarks.cells.engine import DIRECT, MINI, OURS
from benchmarks.cells.io import AT_ONCE, AWAITS, GROUP, SEQUENCE
from benchmarks.contenders.native import Backend
from benchmarks.record import CellRecord, ContenderRecord, ReadingRecord, Report
from benchmarks.report import chart, numbers, table

NASTY = 'a|b <script>alert("&")</script>'
SVG = "{http://www.w3.org/2000/svg}"


def contender(median: float) -> ContenderRecord:
    return {"median": median, "q1": median * 0.9, "q3": median * 1.1, "samples": [median]}


def reading(label: str, median: float, limit: float | None = None, met: bool | None = None) -> ReadingRecord:
    return {
        "median": median,
        "q1": median,
        "q3": median,
        "label": label,
        "of": OURS,
        "to": DIRECT,
        "limit": limit,
        "least": False,
        "met": met,
    }


def hop(backend: Backend = "asyncio", *, met: bool = True, work: str = "loop of 1,000 hops") -> CellRecord:
    ratio = 4.2 if met else 7.5
    return {
        "key": "hop-1000",
        "part": "engine",
        "backend": backend,
        "work": work,
        "unit": "hop",
        "measure": "cpu",
        "size": 1000,
        "wait": 0.0,
        "rounds": 25,
        "contenders": {OURS: contender(2e-6), MINI: contender(6e-7), DIRECT: contender(4e-7)},
        "readings": [reading(f"ratio to {DIRECT}", ratio, 6.0, met)],
    }


def requests(backend: Backend = "asyncio") -> CellRecord:
    times = {AWAITS: 0.15, SEQUENCE: 0.16, GROUP: 0.05, AT_ONCE: 0.055}
    return {
        **hop(backend),
        "key": "sockets-3",
        "part": "io",
        "work": "3 requests of 50 ms",
        "measure": "wall",
        "wait": 0.05,
        "size": 3,
        "contenders": {name: contender(seconds) for name, seconds in times.items()},
        "readings": [
            reading("speed-up", 2.91),
            reading("speed-up by hand", 2.99),
            reading(f"ratio to {GROUP}", 1.1),
        ],
    }


def report(*cells: CellRecord) -> Report:
    return {
        "about": {
            "command": "python -m benchmarks",
            "rounds": 25,
            "date": "2026-01-02",
            "seconds": 90,
            "python": "CPython 3.11.7",
            "system": "Linux 6 x86_64",
            "processor": "Some CPU",
            "cores": 2,
            "load": [0.1, 0.9],
            "versions": {"stretto": "0.1.0", "anyio": "4.16.0"},
        },
        "cells": list(cells),
    }


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - drawn a moment ago


EVERYTHING = report(requests(), requests("trio"), hop(), hop("trio", met=False))


@pytest.mark.parametrize("render", [table.render, chart.render])
def test_same_record_gives_same_text_and_is_left_alone(render) -> None:
    given = copy.deepcopy(EVERYTHING)

    assert render(given) == render(EVERYTHING)
    assert given == EVERYTHING


def test_record_survives_its_file(tmp_path) -> None:
    record.write(EVERYTHING, tmp_path / "r.json")

    assert record.read(tmp_path / "r.json") == EVERYTHING


def test_table_shows_target_figure_and_verdict() -> None:
    line = next(line for line in table.render(EVERYTHING).splitlines() if "≤ 6" in line)

    assert "≤ 6: 4.20, met" in line
    assert "≤ 6: 7.50, **missed**" in line


def test_target_missed_by_a_hair_does_not_read_as_met() -> None:
    cell = hop()
    cell["readings"] = [reading(f"ratio to {DIRECT}", 6.0004, 6.0, met=False)]

    assert "≤ 6: 6.0004, **missed**" in table.render(report(cell))


def test_table_counts_verdicts() -> None:
    assert table.render(EVERYTHING).endswith("1 of 2 met.\n")


def test_table_says_how_and_where() -> None:
    head = table.render(EVERYTHING).split("##")[0]

    for fact in ("python -m benchmarks", "CPython 3.11.7", "2 cores", "stretto 0.1.0", "25 rounds"):
        assert fact in head


def test_tables_are_whole() -> None:
    lines = [line for line in table.render(EVERYTHING).splitlines() if line.startswith("|")]

    assert {line.count("|") for line in lines if "requests" in line or "speed-up" in line} == {10}


def test_table_escapes_text() -> None:
    text = table.render(report(hop(work=NASTY)))

    assert "<script>" not in text
    assert "a\\|b &lt;script&gt;" in text


def test_chart_escapes_text() -> None:
    root = parsed(chart.render(report(hop(work=NASTY))))

    assert not root.findall(f".//{SVG}script")
    assert any((text.text or "").startswith(NASTY) for text in root.iter(f"{SVG}text"))


def test_chart_says_what_it_shows_to_those_who_cannot_see_it() -> None:
    root = parsed(chart.render(EVERYTHING))
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")

    assert root.get("role") == "img"
    assert title is not None
    assert description is not None
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "on trio: ratio to direct 7.5, target missed" in (description.text or "")


def test_chart_needs_nothing_from_elsewhere() -> None:
    text = chart.render(EVERYTHING).replace('xmlns="http://www.w3.org/2000/svg"', "")

    assert not [word for word in ("http", "url(", "@import", "href", "<image", "<script") if word in text]


def test_chart_draws_what_there_is() -> None:
    whole, engine, empty = (chart.render(given) for given in (EVERYTHING, report(hop()), report()))

    assert "Real I/O" in whole
    assert "Real I/O" not in engine
    assert "Targets" in engine
    assert "Targets" not in empty


def test_chart_keeps_inside_its_frame() -> None:
    root = parsed(chart.render(EVERYTHING))
    width, height = (float(size) for size in root.attrib["viewBox"].split()[2:])

    for element in root.iter():
        assert 0 <= float(element.get("x", 0)) <= width
        assert 0 <= float(element.get("cy", element.get("y", 0))) <= height


@pytest.mark.parametrize(
    ("value", "measure", "text"),
    [
        (1.5, "wall", "1.50 s"),
        (0.0512, "wall", "51.2 ms"),
        (3.2e-6, "cpu", "3.20 µs"),
        (4.4e-7, "cpu", "440 ns"),
        (0.0, "cpu", "0 ns"),
        (10240, "bytes", "10.0 KiB"),
        (0.001, "bytes", "<0.01 B"),
        (3, "count", "3"),
    ],
)
def test_figures_have_three_digits_and_a_unit(value: float, measure: Measure, text: str) -> None:
    assert numbers.figure(value, measure) == text
