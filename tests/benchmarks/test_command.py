"""The command line: what runs, where it goes, and what a failure does."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as command, record
from benchmarks.cells.catalog import CATALOG


def test_list_names_every_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == list(CATALOG)


@pytest.mark.parametrize(
    ("part", "words", "expected"),
    [
        ("io", ["sqlite-3"], ["sqlite-3"]),
        (None, ["hop-1000"], ["hop-1000", "hop-10000"]),
        ("engine", ["sqlite"], []),
    ],
)
def test_cells_are_chosen_by_part_and_word(part: str | None, words: list[str], expected: list[str]) -> None:
    assert command.chosen(part, words) == expected


def test_run_writes_three_files_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--only", "import-trio", "--rounds", "1", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "benchmarks.json",
        "benchmarks.md",
        "benchmarks.svg",
    }
    assert "[1/1] import of trio by a run, asyncio" in capsys.readouterr().out


def test_drawing_anew_changes_nothing(tmp_path: Path) -> None:
    command.main(["--only", "import-trio", "--rounds", "1", "--out", str(tmp_path)])
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    command.main(["--draw", "--out", str(tmp_path)])

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_what_is_measured_again_takes_the_place_of_the_same_and_says_so(tmp_path: Path) -> None:
    command.main(["--only", "import-trio", "--rounds", "1", "--out", str(tmp_path)])
    had = record.read(tmp_path / "benchmarks.json")
    had["cells"] = [{**had["cells"][0], "work": "old"}, {**had["cells"][0], "backend": "trio", "work": "old"}]
    record.write(had, tmp_path / "benchmarks.json")
    again = ["--only", "import-trio", "--rounds", "1", "--update", "--out", str(tmp_path)]
    assert command.main(again) == 0

    now = record.read(tmp_path / "benchmarks.json")
    assert [(cell["backend"], cell["work"] == "old") for cell in now["cells"]] == [
        ("asyncio", False),
        ("trio", True),
    ]
    assert now["cells"][1] == had["cells"][1]
    said = (tmp_path / "benchmarks.md").read_text()
    assert "medians of 1 rounds" in said
    assert f"in place of the same cells: `python -m benchmarks {' '.join(again)}`" in said


def test_nothing_is_measured_for_results_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "import-trio", "--update", "--out", str(tmp_path)])


def test_cell_that_fails_is_named_and_the_rest_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CATALOG", {"absent": CATALOG["import-trio"], **CATALOG})
    options = ["--only", "absent", "--only", "import-trio", "--rounds", "1", "--out", str(tmp_path)]

    assert command.main(options) == 1
    assert "missing from the results: absent on asyncio" in capfd.readouterr().err
    assert [cell["key"] for cell in record.read(tmp_path / "benchmarks.json")["cells"]] == ["import-trio"]
