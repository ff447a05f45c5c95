"""Beside other engines: what needs no other engine to be tried."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from xml.etree import ElementTree as ET

import anyio
import pytest

from benchmarks import record
from benchmarks.cells.engine import OURS
from benchmarks.contenders.native import native
from benchmarks.peers import __main__ as command, ours, process, worker
from benchmarks.peers.catalog import ENTRIES, OURS_ON_TRIO, REQUIREMENTS, ROOT, Entry
from benchmarks.peers.programs import PROGRAMS, Program
from benchmarks.peers.worker import WORKS, Contender, Request, Times
from benchmarks.report import peers_chart, peers_table
from tests.benchmarks import limited

RESULTS = ROOT / "benchmarks" / "results"
PEERS = [entry for entry in ENTRIES if entry.environment is not None]
LIMITED = cast(Contender, limited)  # it leaves out what it cannot
FUNCTIONS = {"run": "run", "loop": "loop", "fan": "fan", "asleep": "asleep", "runs": "three"}
"""The function of a contender that each kind of program calls."""


def tiny(program: Program) -> Request:
    scale = program.tiny
    return {"kind": program.kind, "size": scale.size, "wait": scale.wait, "repeats": 2}


# -- the contenders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.key)
def test_stretto_gets_every_program_right(program: Program, anyio_backend_name) -> None:
    contender: Contender = ours

    answer = worker.answered(contender, native(anyio_backend_name), tiny(program))

    assert set(answer) == {"cpu", "wall"}, answer


@pytest.mark.parametrize("entry", PEERS, ids=lambda entry: entry.name)
def test_every_peer_expresses_a_program_or_says_why_not(entry: Entry) -> None:
    tree = ast.parse((ROOT / (entry.module.replace(".", "/") + ".py")).read_text("utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
    values = {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id in {"PACKAGE", "CANNOT"} and node.value is not None
    }

    assert values["PACKAGE"] == entry.name
    for kind, function in FUNCTIONS.items():
        assert (function in functions) != (kind in values["CANNOT"]), kind


def test_every_peer_has_an_environment_whose_packages_are_all_pinned() -> None:
    files = sorted(REQUIREMENTS.glob("*.txt"))

    assert [path.stem for path in files] == sorted(entry.name for entry in PEERS)
    for path in files:
        lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
        assert any(line.startswith(f"{path.stem}==") for line in lines), path.name
        assert [line for line in lines if line.count("==") != 1] == [], path.name


# -- the worker ----------------------------------------------------------------------------------------------------


def test_every_kind_of_program_is_asked_for() -> None:
    assert {program.kind for program in PROGRAMS} == set(WORKS) == set(FUNCTIONS)


def test_worker_says_who_it_is_and_answers_line_by_line(anyio_backend_name) -> None:
    lines = iter([json.dumps(tiny(program)) for program in PROGRAMS if program.kind in {"run", "loop"}])

    said = list(worker.conversation(LIMITED, anyio_backend_name, lines))

    assert said[0] == {
        "package": "no-such-package",
        "version": "from the path",
        "cannot": {"asleep": "it never sleeps"},
    }
    assert set(said[1]) == {"cpu", "wall"}
    assert said[2] == {"error": "WrongResultError: expected 3, got 4"}


class OffByOne:
    """A contender that gets everything wrong."""

    PACKAGE, CANNOT = "off-by-one", {}

    async def run(self, number: int, /) -> int:
        return number + 1

    async def loop(self, turns: int, /) -> int:
        return turns + 1

    async def fan(self, pieces: int, /) -> int:
        return pieces

    async def asleep(self, naps: int, seconds: float, /) -> int:
        return naps

    async def three(self, number: int, seconds: float, /) -> int:
        return number + 1


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.key)
def test_no_program_takes_a_wrong_result(program: Program, anyio_backend_name) -> None:
    answer = worker.answered(OffByOne(), native(anyio_backend_name), tiny(program))

    assert "error" in answer
    assert answer["error"].startswith("WrongResultError")


def test_worker_is_there_for_the_next_program_after_one_that_failed(anyio_backend_name) -> None:
    loop, run = (next(program for program in PROGRAMS if program.kind == kind) for kind in ("loop", "run"))
    lines = iter([json.dumps(tiny(loop)), json.dumps(tiny(run))])

    _, failed, fine = worker.conversation(LIMITED, anyio_backend_name, lines)

    assert "error" in failed
    assert "error" not in fine


def test_worker_imports_nothing_that_a_peer_has_not() -> None:
    """Its environment holds the peer alone: neither attrs nor anyio, which the rest of the benchmarks need."""
    allowed = {"benchmarks.answer", "benchmarks.contenders.native"}

    for module in ("benchmarks.peers.worker", "benchmarks.peers", "benchmarks.peers.contenders", *allowed):
        path = ROOT / module.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for name in imported(source):
            assert name in allowed or name.split(".")[0] in STANDARD, f"{module} imports {name}"


STANDARD = {
    "__future__", "collections", "functools", "gc", "importlib", "json", "os", "sys", "time", "typing"
}  # fmt: skip


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


# -- the coordinator -----------------------------------------------------------------------------------------------


def run_tiny(out: Path, *options: str) -> int:
    return command.main(["--tiny", "--rounds", "2", "--out", str(out), *options])


def entries_of(monkeypatch: pytest.MonkeyPatch, *others: Entry) -> None:
    monkeypatch.setattr(command, "ENTRIES", (ENTRIES[0], *others))


class Sixty:
    """A worker for which all work takes 60 s, half of them on the processor."""

    def ask(self, request: Request) -> Times:
        return {"cpu": 30.0 * request["repeats"], "wall": 60.0 * request["repeats"]}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.key)
def test_processor_time_is_shared_among_operations_and_wall_time_is_of_the_whole(
    program: Program, anyio_backend_name
) -> None:
    sample = command.sampler(cast(process.Worker, Sixty()), program, program.tiny)

    figure = anyio.run(sample, backend=anyio_backend_name)

    assert figure == (60.0 if program.measure == "wall" else 30.0 / program.tiny.size)


def test_run_without_peers_measures_stretto_on_both_backends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tiny(tmp_path, "--contender", "stretto") == 0

    assert {path.name for path in tmp_path.iterdir()} == {"peers.json", "peers.md", "peers.svg"}
    cells = record.read(tmp_path / "peers.json")["cells"]
    assert [cell["key"] for cell in cells] == [program.key for program in PROGRAMS]
    for cell in cells:
        assert set(cell["contenders"]) == {OURS, OURS_ON_TRIO}
        assert all(len(contender["samples"]) == 2 for contender in cell["contenders"].values())
        assert [reading["label"] for reading in cell["readings"]] == [f"{OURS_ON_TRIO} / {OURS}"]
    assert f"[{len(PROGRAMS)}/{len(PROGRAMS)}]" in capsys.readouterr().out


def test_drawing_anew_changes_nothing(tmp_path: Path) -> None:
    run_tiny(tmp_path, "--contender", "stretto", "--only", "run")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    command.main(["--draw", "--out", str(tmp_path)])

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_contender_that_cannot_has_an_empty_cell_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries_of(monkeypatch, Entry(name="limited", module="tests.benchmarks.limited"))

    assert run_tiny(tmp_path, "--only", "asleep-3", "--only", "fan-10") == 0

    page = (tmp_path / "peers.md").read_text()
    assert "- limited: it never sleeps (3 sleeping steps of 50 ms at once)" in page
    row = next(line for line in page.splitlines() if line.startswith("| limited"))
    assert row.count("|  |") == 1


def test_contender_that_can_do_none_of_it_has_a_row_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries_of(monkeypatch, Entry(name="limited", module="tests.benchmarks.limited"))

    assert run_tiny(tmp_path, "--only", "asleep-3") == 0

    assert "| limited |  |" in (tmp_path / "peers.md").read_text()
    assert ">cannot</text>" in (tmp_path / "peers.svg").read_text()


def test_wrong_result_leaves_that_program_out_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    entries_of(monkeypatch, Entry(name="limited", module="tests.benchmarks.limited"))

    assert run_tiny(tmp_path, "--only", "hop", "--only", "runs") == 1

    assert "loop of 1,000 hops (limited: WrongResultError: expected 3, got 4)" in capfd.readouterr().err
    assert [cell["key"] for cell in record.read(tmp_path / "peers.json")["cells"]] == ["runs-100"]


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (Entry(name="peer", module="any", environment=Path("/nowhere")), "run `make bench-peers`"),
        (Entry(name="gone", module="tests.benchmarks.gone"), "gone ended without an answer"),
    ],
)
def test_contender_that_does_not_start_is_named_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    entry: Entry,
    error: str,
) -> None:
    entries_of(monkeypatch, entry)

    assert run_tiny(tmp_path) == 1

    assert error in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_contender_that_dies_is_named_for_each_program_that_it_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    entries_of(monkeypatch, Entry(name="dying", module="tests.benchmarks.dying"))

    assert run_tiny(tmp_path, "--only", "run", "--only", "hop") == 1

    said = capfd.readouterr().err
    for work in ("smallest run", "loop of 1,000 hops"):
        assert f"missing from the results: {work} (dying ended without an answer)" in said
    assert record.read(tmp_path / "peers.json")["cells"] == []


def test_contender_that_never_answers_is_given_up_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.2)
    stuck = Entry(name="stuck", module="tests.benchmarks.stuck")

    with (
        pytest.raises(process.WorkerError, match=r"stuck gave no answer in 0\.2 s"),
        process.started(stuck),
    ):
        raise AssertionError("nobody answered")


def test_figures_to_quote_take_at_least_15_rounds() -> None:
    assert command.ROUNDS >= 15


# -- what is quoted ------------------------------------------------------------------------------------------------


def test_table_and_chart_are_drawn_from_the_record_beside_them() -> None:
    report = record.read(RESULTS / "peers.json")

    assert (RESULTS / "peers.md").read_text("utf-8") == peers_table.render(report)
    assert (RESULTS / "peers.svg").read_text("utf-8") == peers_chart.render(report)


def test_record_has_every_contender_and_program() -> None:
    cells = record.read(RESULTS / "peers.json")["cells"]

    assert [cell["key"] for cell in cells] == [program.key for program in PROGRAMS]
    assert peers_table.engines(cells) == [entry.name for entry in ENTRIES]
    assert min(cell["rounds"] for cell in cells) >= 15


def test_readme_quotes_what_was_measured() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    _, _, after = page.partition("<!-- peers: begin -->\n")
    between, end, _ = after.partition("\n<!-- peers: end -->")

    assert end
    assert between == peers_table.quoted(record.read(RESULTS / "peers.json"))


def test_chart_keeps_inside_its_frame_and_needs_nothing_from_elsewhere() -> None:
    text = (RESULTS / "peers.svg").read_text("utf-8")
    root = ET.fromstring(text)  # noqa: S314 - drawn from the record beside it
    width, height = (float(size) for size in root.attrib["viewBox"].split()[2:])

    for element in root.iter():
        assert 0 <= float(element.get("x", 0)) <= width
        assert 0 <= float(element.get("cy", element.get("y", 0))) <= height
    text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not [word for word in ("http", "url(", "@import", "href", "<image", "<script") if word in text]
