"""The project's one gate, and the commands beside it: what `make test`, `demo`, `docs`, `bench` and `bench-peers` run.

A developer, CI and a reader with a fresh clone type the same word and get the same checks, so setting up is
part of each command. Only the standard library is imported: this runs before anything is installed.

    python tools/gate.py demo
    python tools/gate.py test             # every stage; the first that fails ends it
    python tools/gate.py test lint types  # while working: the stages whose names begin so
    python tools/gate.py docs             # the pages of docs/ as a site
    python tools/gate.py bench --help     # what follows goes to the benchmarks
    python tools/gate.py bench-peers      # beside other engines, each in an environment of its own
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from venvs import HERE, ROOT, SUPPORTED, Venv, lowest_pins, pythons

# Tests misbehave on purpose: they await after a cancellation and swallow it (102, 103, 104), open a task
# group for one task (112), have steps that are async without a need (124) and local tasks to start (114).
TESTS_MAY = (
    "ASYNC102", "ASYNC103", "ASYNC104", "ASYNC112", "ASYNC114", "ASYNC124",
    "ASYNC900", "ASYNC910", "ASYNC911", "ASYNC912", "ASYNC913",  # off by default, and `--disable` replaces that
)  # fmt: skip
PYTEST = ("-m", "pytest", "-n", "2")
SUITE = (*PYTEST, "--hypothesis-profile=ci")  # the same examples each time, and no deadline on a busy machine
ONCE = (*SUITE, "-m", "not schedules")  # those have a stage of their own
IN_FRONT = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS"}  # they put other code before ours
DEV = Venv(name=".venv", extras=frozenset({"dev"}))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A named part of the gate: programs of one environment, run in turn until one does not end with 0.

    Those that use one core each may run `at_once`, as many as there are cores.
    """

    name: str
    venv: Venv = DEV
    programs: list[tuple[str, ...]]
    variables: dict[str, str] = field(default_factory=dict[str, str])
    at_once: bool = False

    def run(self) -> None:
        """Prepare the environment and run the programs; a failure raises `CalledProcessError`."""
        self.venv.prepare()
        if self.at_once:
            with ThreadPoolExecutor(os.cpu_count()) as cores:
                list(cores.map(self._run, self.programs))
        else:
            for program in self.programs:
                self._run(program)

    def _run(self, program: tuple[str, ...]) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in IN_FRONT}
        subprocess.run([self.venv.python, *program], cwd=ROOT, env=kept | self.variables, check=True)


def checkers() -> list[Stage]:
    """What reads the code without running it."""
    # What is written for another engine may have steps that are async without a need (124), as tests may.
    theirs = modules("tests", "benchmarks/peers/contenders")
    ours = [path for path in modules("src", "examples", "benchmarks", "tools") if path not in theirs]
    may = f"--disable={','.join(TESTS_MAY)}"
    return [
        Stage(name="format", programs=[("-m", "ruff", "format", "--check", ".")]),
        Stage(name="lint: ruff", programs=[("-m", "ruff", "check", ".")]),
        Stage(
            name="lint: flake8-async",
            programs=[
                *(("-m", "flake8_async", "--anyio", *ours[part::2]) for part in (0, 1)),
                *(("-m", "flake8_async", "--anyio", may, *theirs[part::4]) for part in range(4)),
            ],
            at_once=True,
        ),
        Stage(
            name="types",
            programs=[("-m", "mypy"), ("-m", "pyright")],
            variables={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},  # else it asks the network for a newer one
            at_once=True,
        ),
    ]


def modules(*folders: str) -> list[str]:
    """The modules in these folders, for a checker that takes no folders."""
    return [
        str(path.relative_to(ROOT)) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def measured_suite() -> list[Stage]:
    """The suite under coverage with its thresholds, and the engine's tests once more without hypothesis."""
    unaided = ("-p", "no:hypothesispytest", "-p", "tools.without_hypothesis")
    return [
        Stage(
            name=f"tests: {HERE}",
            programs=[
                ("-m", "coverage", "erase"),
                ("-m", "coverage", "run", *SUITE, "-m", "not untraced and not schedules"),
            ],
            variables={"PYTHONHASHSEED": "0"},
        ),
        Stage(
            name="coverage",
            programs=[
                ("-m", "coverage", "combine", "--quiet"),
                ("-m", "coverage", "report"),
                ("tools/core_coverage.py",),
            ],
        ),
        Stage(name="tests: schedules", programs=[(*SUITE, "-m", "schedules", "tests/testing")]),
        Stage(name="tests: without hypothesis", programs=[(*PYTEST, *unaided, "tests/engine")]),
    ]


def other_suites() -> list[Stage]:
    """The suite on this machine's other Pythons, and on the oldest dependencies that the package takes.

    They share a hash seed that the measured suite does not have: no outcome may hang on the order of a set.
    """
    test = frozenset({"test"})
    venvs = {
        version: Venv(name=f".venv-{version}", extras=test, version=version, base=base)
        for version, base in pythons().items()
        if version != HERE
    }
    venvs["lowest dependencies"] = Venv(name=".venv-lowest", extras=test, pins=lowest_pins())
    return [
        Stage(name=f"tests: {name}", venv=venv, programs=[ONCE], variables={"PYTHONHASHSEED": "77"})
        for name, venv in venvs.items()
    ]


def in_a_browser() -> Stage:
    """What people see, in a browser without a network, and in a notebook."""
    return Stage(
        name="browser",
        programs=[
            ("tools/chromium.py",),
            # each in a process of its own: a browser stays open until its process ends, with a loop around it
            *(("-m", "pytest", f"tests/browser/check_{what}.py") for what in ("pages", "reports")),
        ],
    )


def site() -> Stage:
    """The documentation as a site that fetches nothing."""
    return Stage(
        name="docs", venv=Venv(name=".venv-docs", extras=frozenset({"docs"})), programs=[("tools/site.py",)]
    )


def bare_package() -> Stage:
    """The wheel, with nothing but its dependencies, on the newest Python here."""
    version, base = list(pythons().items())[-1]
    return Stage(
        name="package",
        venv=Venv(name=".venv-package", extras=frozenset(), version=version, base=base),
        programs=[
            ("-m", "pip", "install", "-qq", "--no-deps", "--force-reinstall", "."),
            ("-W", "error", "tools/installed.py"),
            ("-W", "error", "examples/smallest.py"),
        ],
    )


def test(wanted: list[str]) -> None:
    """Run the gate, or the stages that `wanted` names, and say at the end what has passed."""
    stages = [*checkers(), *measured_suite(), *other_suites(), in_a_browser(), site(), bare_package()]
    chosen = [stage for stage in stages if not wanted or stage.name.startswith(tuple(wanted))]
    if not chosen:
        sys.exit(f"no stage begins with {' or '.join(map(repr, wanted))}; there are: {names(stages)}")
    began = time.monotonic()
    for stage in chosen:
        timed(stage)
    if absent := [version for version in SUPPORTED if version not in pythons()]:
        print(f"\nnot on this machine, so not run: Python {', '.join(absent)}")
    what = "part of the gate" if wanted else "gate"
    print(f"\n{what} passed in {time.monotonic() - began:.0f} s: {names(chosen)}")


def timed(stage: Stage) -> None:
    """Run one stage between two lines that say which it is and how long it took."""
    print(f"\n== {stage.name}", flush=True)
    began = time.monotonic()
    try:
        stage.run()
    except subprocess.CalledProcessError as error:
        command = textwrap.shorten(shlex.join(error.cmd), 200, placeholder=" ...")
        sys.exit(f"== {stage.name}: FAILED after {time.monotonic() - began:.1f} s: {command}")
    print(f"== {stage.name}: passed, {time.monotonic() - began:.1f} s", flush=True)


def names(stages: list[Stage]) -> str:
    """The stages' names in a row."""
    return ", ".join(stage.name for stage in stages)


def program(extra: str, *line: str) -> None:
    """Run one program of the project in the environment that it needs; its exit code is ours."""
    try:
        Stage(name=extra, venv=Venv(name=".venv", extras=frozenset({extra})), programs=[line]).run()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


def bench_peers(options: list[str]) -> None:
    """Measure beside other engines. An engine's requirements collide with another's: each gets an environment."""
    try:
        for listed in sorted((ROOT / "benchmarks" / "peers" / "requirements").glob("*.txt")):
            Venv(name=f".venv-peers/{listed.stem}", extras=frozenset(), requirements=listed).prepare()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    program("bench", "-m", "benchmarks.peers", *options)


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["demo"]:
            program("examples", "examples/concurrent_monitor.py")
        case ["test", *wanted]:
            test(wanted)
        case ["docs"]:
            timed(site())
        case ["bench", *options]:
            program("bench", "-m", "benchmarks", *options)
        case ["bench-peers", *options]:
            bench_peers(options)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
