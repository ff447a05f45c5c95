"""The pages of parity, of faults and of promises say nothing that no test shows, and the README says what they say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PARITY = ROOT / "docs" / "coming-from-llamaindex.md"
FAULTS = ROOT / "docs" / "faults.md"
PROMISES = ROOT / "docs" / "promises.md"
LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

SAYS = re.compile(r"\*(same|better|different|not yet)\*(?=$|[:;, ])")
SHOWN = re.compile(r"`(tests/[^`]*)`")
HEADING = "## Coming from LlamaIndex Workflows"


class Row(NamedTuple):
    """A row of a table, and the line it stands in."""

    line: int
    cells: list[str]

    @property
    def shown(self) -> list[str]:
        """The tests that it names."""
        return SHOWN.findall(self.cells[-1])


def rows(page: str) -> Iterator[Row]:
    """The rows of all tables of a page, without their heads."""
    lines = page.splitlines()
    for number, line in enumerate(lines, 1):
        is_head = lines[number : number + 1] and re.fullmatch(r"[|\- ]+", lines[number])
        if line.startswith("|") and not is_head and not re.fullmatch(r"[|\- ]+", line):
            yield Row(number, [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])


def rows_of(path: Path) -> list[Row]:
    return list(rows(path.read_text("utf-8")))


def faults_in(row: Row, *, judged: bool) -> Iterator[str]:
    """What is wrong with a row; one that is judged may do without a test if it promises nothing."""
    if len(row.cells) != 3 or not all(row.cells[:2]):
        yield "has three cells, of which the last may be empty"
        return
    says = SAYS.match(row.cells[1])
    if judged and says is None:
        yield "begins with none of *same*, *better*, *different*, *not yet*"
    if not row.shown and not (judged and says is not None and says[1] in {"different", "not yet"}):
        yield "names no test"
    for name in row.shown:
        path, _, test = name.partition("::")
        if test not in known_tests(path):
            yield f"names {name}, which is not there"


@cache
def known_tests(path: str) -> frozenset[str]:
    """The names of the tests in a file of this project."""
    if not (ROOT / path).is_file():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse((ROOT / path).read_text("utf-8")).body
    return frozenset(each.name for each in body if isinstance(each, functions) and each.name[:5] == "test_")


@pytest.mark.parametrize(
    ("page", "judged", "least"),
    [(PARITY, True, 50), (FAULTS, False, 50), (PROMISES, False, 10)],
    ids=["parity", "faults", "promises"],
)
def test_each_row_says_what_holds_and_names_tests_that_are_there(page: Path, judged: bool, least: int):
    found = rows_of(page)
    wrong = [f"{page.name}:{row.line} {what}" for row in found for what in faults_in(row, judged=judged)]
    assert not wrong, "\n".join(wrong)
    assert len(found) > least


def test_no_row_stands_twice():
    for page in (PARITY, FAULTS):
        found = [tuple(row.cells) for row in rows_of(page)]
        assert len(found) == len({*found})


def names_in(text: str) -> set[str]:
    """The names in the code of a text, its programs left out."""
    codes = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return {name for code in codes for name in re.findall(r"[A-Za-z_]\w+", code)}


def test_what_the_readme_says_of_another_engine_is_on_the_page():
    readme = (ROOT / "README.md").read_text("utf-8")
    section = readme.partition(HEADING)[2].partition("\n## ")[0]
    short = [" ".join(row.cells) for row in rows(section)]
    page = names_in(PARITY.read_text("utf-8"))
    assert len(short) > 10
    assert {name for row in short for name in names_in(row)} <= page


def links(page: Path) -> Iterator[str]:
    """The files that a page links to."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            yield target


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path):
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", [PARITY, FAULTS], ids=lambda page: page.name)
@pytest.mark.parametrize("source", LINKED[:2], ids=lambda page: page.name)
def test_both_pages_are_linked(page: Path, source: Path):
    assert str(page.relative_to(ROOT)) in set(links(source))


# -- the check itself ----------------------------------------------------------------------------------------------

HERE = "`tests/test_parity.py::test_no_row_stands_twice`"


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (f"| a \\| b | *same*, as `c` | {HERE} |", []),
        ("| a | *not yet* | |", []),
        ("| a | *different*: b | |", []),
        ("| a | *better*: b | |", ["names no test"]),
        (
            "| a | the same | |",
            ["begins with none of *same*, *better*, *different*, *not yet*", "names no test"],
        ),
        ("| a | *same* |", ["has three cells, of which the last may be empty"]),
        ("| a | *same* | `tests/gone.py::test_a` |", ["names tests/gone.py::test_a, which is not there"]),
        (
            "| a | *same* | `tests/test_parity.py::rows` |",
            ["names tests/test_parity.py::rows, which is not there"],
        ),
    ],
)
def test_a_row_that_shows_nothing_is_noticed(cells: str, says: list[str]):
    (row,) = rows(f"| there | here | shown by |\n|---|---|---|\n{cells}\n")
    assert row.line == 3
    assert list(faults_in(row, judged=True)) == says


def test_a_fault_is_shown_whatever_it_says():
    assert list(faults_in(Row(1, ["a", "*not yet*", ""]), judged=False)) == ["names no test"]
