"""Every example is in the gallery, prints what stands there, is drawn and reported, and has nothing wrong with it."""

from __future__ import annotations

import functools
import importlib
import logging
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import anyio
import pytest

from examples.trading.web import application
from stretto import Handler, Workflow
from stretto.checking import check
from stretto.drawing import draw_all_possible_flows, to_mermaid
from tests import virtual

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gallery.md"
SAYS_NOTHING = {"concurrent_monitor", "audit_env"}
"""One takes longer than a test may, one says something else in each environment; both have tests of their own."""
RACING = {"kill_and_resume", "shared_client", "first_of_three"}
"""What these print comes in the order in which others end, or die; their own tests say what of it is certain."""


class Shown(NamedTuple):
    """A command on the page, and what it prints; None if the page does not say."""

    command: str
    prints: str | None

    @property
    def program(self) -> str:
        """What is run."""
        found = re.match(r"python (?:examples/(\w+)\.py|-m examples\.(\w+))", self.command)
        assert found, self.command
        return found[1] or found[2]

    def run(self) -> None:
        """As the command line would, in this process."""
        if "-m" in self.command.split():
            runpy.run_module(f"examples.{self.program}", run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / "examples" / f"{self.program}.py"), run_name="__main__")


def shown(page: str) -> Iterator[Shown]:
    """The commands of a page, each with the block beneath it."""
    block = r"^```sh\n(python [^\n]*)\n```\n(?:\n```text\n(.*?)^```$)?"
    for command, prints in re.findall(block, page, re.MULTILINE | re.DOTALL):
        yield Shown(command, prints or None)


SHOWN = list(shown(PAGE.read_text("utf-8")))


def lines(text: str) -> list[str]:
    """What a program prints, without what differs each time, and without blanks that no page keeps."""
    return [re.sub(r"\d+\.\d s\b|\[\d+\]", "…", line).rstrip() for line in text.splitlines()]


@pytest.fixture(params=virtual.BACKENDS)
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Shown], None]:
    """Runs a command on a backend; in virtual time, unless sockets or processes need the real one."""
    original = anyio.run

    def in_virtual_time(function: Any, *args: Any, backend: str) -> Any:
        name, options = virtual.virtual_backend(backend)
        return original(virtual.guarded, function, args, backend=name, backend_options=options)

    def run(each: Shown) -> None:
        monkeypatch.setattr(
            sys,
            "argv",
            [*each.command.removeprefix("python ").removeprefix("-m ").split(), "--backend", request.param],
        )
        monkeypatch.delitem(
            sys.modules, "examples.trading.__main__", raising=False
        )  # it is run, and not imported
        if not re.search("tcp_listener|subprocess", source_of(each.program)):
            monkeypatch.setattr(anyio, "run", in_virtual_time)
        each.run()

    return run


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Handler[Any]]:
    """The runs of a program, each with a journal; those of an application are begun in another way and not in here."""
    begun: list[Handler[Any]] = []
    make, start = Workflow.__init__, Workflow.run

    @functools.wraps(make)
    def with_journal(self: Workflow[Any], *args: Any, **options: Any) -> None:
        make(self, *args, **{"journal": 10_000, **options})

    @functools.wraps(start)
    def noted(self: Workflow[Any], *args: Any, **fields: Any) -> Handler[Any]:
        begun.append(start(self, *args, **fields))
        return begun[-1]

    monkeypatch.setattr(Workflow, "__init__", with_journal)
    monkeypatch.setattr(Workflow, "run", noted)
    return begun


@pytest.mark.parametrize("each", [each for each in SHOWN if each.prints], ids=lambda each: each.program)
def test_a_program_prints_what_the_page_says_and_is_warned_of_nothing(
    each: Shown,
    run: Callable[[Shown], None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    assert each.prints
    with caplog.at_level(logging.WARNING, "stretto"):
        run(each)
    said = capsys.readouterr()
    as_it_is = set if each.program in RACING else list
    assert as_it_is(lines(said.out)) == as_it_is(lines(each.prints))
    assert said.err == ""
    assert not caplog.messages


def test_every_program_is_on_the_page_once_and_says_what_it_prints():
    examples = ROOT / "examples"
    there = {path.stem for path in examples.glob("*.py")} | {
        path.parent.name for path in examples.glob("*/__main__.py")
    }
    assert sorted(each.program for each in SHOWN) == sorted(there)
    assert {each.program for each in SHOWN if not each.prints} == SAYS_NOTHING


@pytest.mark.parametrize("program", [each.program for each in SHOWN])
def test_a_program_says_how_it_is_run_on_either_backend(program: str):
    source = source_of(program)
    assert "--backend" in source
    if (ROOT / "examples" / f"{program}.py").exists():
        doc = importlib.import_module(f"examples.{program}").__doc__
        assert f"python examples/{program}.py [--backend asyncio|trio]" in " ".join((doc or "").split())


def test_a_command_is_found_with_what_stands_beneath_it():
    page = (
        "```sh\npython examples/a.py\n```\n\n```text\n1\n2\n```\n\n```sh\npython -m examples.b\n```\n\nand\n"
    )
    first, second = shown(page)
    assert (first.program, first.prints) == ("a", "1\n2\n")
    assert (second.program, second.prints) == ("b", None)


def test_only_times_and_numbers_of_processes_may_differ():
    assert lines("[12] in 1.5 s \n") == lines("[345] in 0.4 s\n")
    assert lines("3 of [a] in 10 s") != lines("4 of [a] in 10 s")


HERE = [each for each in SHOWN if each.prints and each.program not in {"kill_and_resume", "trading"}]
"""One runs in processes of its own, the other is an application."""


@pytest.mark.parametrize("each", HERE, ids=lambda each: each.program)
def test_what_a_program_has_run_can_be_reported(
    each: Shown, run: Callable[[Shown], None], runs: list[Handler[Any]], tmp_path: Path
):
    run(each)
    assert runs
    for number, one in enumerate(runs):
        page = tmp_path / f"{number}.html"
        one.report(page)
        written = page.read_text("utf-8")
        at_work = {entry.step for entry in one.journal if entry.kind == "began"}
        assert at_work
        assert [step for step in at_work if step not in written] == []


COMMANDS = re.findall(r"^stretto (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_page_says_of_the_command_line_works(command: str, tmp_path: Path):
    arguments = shlex.split(command.replace("examples/", f"{ROOT}/examples/"))
    done = subprocess.run(
        [sys.executable, "-m", "stretto", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all((tmp_path / name).exists() for name in re.findall(r"\w+\.html", command))


# ---------------------------------------------------------------------------------------------- its workflows


def source_of(program: str) -> str:
    """The text of an example, of one file or several."""
    path = ROOT / "examples" / f"{program}.py"
    paths = [path] if path.exists() else sorted(path.with_suffix("").glob("*.py"))
    return "\n".join(each.read_text("utf-8") for each in paths)


def modules() -> Iterator[ModuleType]:
    """Everything in the folder that can be imported."""
    for path in sorted((ROOT / "examples").rglob("*.py")):
        if path.stem not in {"__main__", "__init__"}:
            yield importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


WORKFLOWS: list[type[Workflow[Any]]] = [
    each
    for module in modules()
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, Workflow) and each.__module__ == module.__name__
]
EACH = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda each: f"{each.__module__}.{each.__name__}")


def test_each_program_has_a_workflow():
    having = {each.__module__.split(".")[1] for each in WORKFLOWS}
    assert having == {each.program for each in SHOWN}


@EACH
def test_it_is_drawn_with_all_its_steps(workflow: type[Workflow[Any]]):
    steps = [spec.name for spec in workflow.blueprint().specs]
    assert len(steps) > 0
    picture = draw_all_possible_flows(workflow)
    for text in (to_mermaid(workflow), picture.to_svg()):
        assert [step for step in steps if step not in text] == []


MEANT = {("shared-attribute", "trade")}
"""The station counts what it has ended, in all its runs."""
TARGETS = [each for each in WORKFLOWS if ".trading." not in each.__module__]  # whose members have each other


@pytest.mark.parametrize(
    "target", [*TARGETS, application(0)], ids=lambda each: getattr(each, "__qualname__", "trading")
)
def test_nothing_is_wrong_with_it(target: Any):
    assert [each.message for each in check(target) if (each.kind, each.step) not in MEANT] == []
