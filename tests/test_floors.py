"""The floors of the package are law: imports go down only, none is lazy, and the core stays pure.

The sources are read, never imported, so an import that only happens sometimes is seen too. Each finding is a
line `path:line: what is wrong`.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "stretto"

# A folder stands for all that is in it. A new module is written down here, or the test fails.
FLOORS = [
    {"errors", "events", "joins", "retry", "supervision", "undo"}
    | {"_answers", "_event_init", "_fields", "_options", "_types"},
    {"_core"},
    {"context", "_arguments", "_outside_context", "_run_port", "_step_waits", "_thread_context"}
    | {"store", "joined", "steps", "nesting", "groups", "blueprint", "recovery", "drawing"}
    | {"_carry", "_editor", "_gate", "_holds", "_latest", "_log", "_draw", "_loop", "_stream", "_threads"}
    | {"_trace", "_back_pressure", "_holding_context", "_line", "_overflow", "_unread"}
    | {
        "_annotations",
        "_assigned",
        "_class_steps",
        "_signatures",
        "_state_class",
        "_step_reader",
        "_step_spec",
        "_undo_reader",
        "_undo_spec",
    }
    | {"resources", "limits", "_overload", "_config", "_making", "_stock"}
    | {"snapshots", "_codec", "_known_types", "_once", "_rebuilding"}
    | {"journal", "_shortened"},
    {
        "_driver",
        "_crowding",
        "_concluding",
        "_writing",
        "_crew",
        "_worker",
        "_supplies",
        "_nesting",
        "_tasks",
        "_grace",
    }
    | {"_queue", "_among", "_talk", "_party", "_ways", "_asking", "_board", "_saved_talk", "_undoing"}
    | {"_supervisor", "_outside_request"},
    {"handler", "_block", "_overlap", "workflow", "_beginning", "application", "_members", "_app_options"}
    | {"checking", "report", "_doubts"},
    {"__init__"},
    {"testing"},
    {"cli", "__main__"},
]
DEPENDENCIES = {"anyio", "attrs"}
EXTRAS = {
    "testing": {"hypothesis", "pytest", "trio"},
    "cli": {"rich"},
}  # what a folder may import beside them, as its users asked
SEEN_BY_CHECKERS_ONLY = {"typing_extensions"}
# What takes long to import, and a program that does all right, or does without that feature, never needs.
LAZY = {
    ("_log", "logging"),
    ("errors", "difflib"),
    ("_config", "json"),
    ("_config", "tomllib"),
    ("testing._virtual", "import_module('stretto.testing._trio_time')"),
    ("testing._probe", "import_module('stretto.testing._trio_time')"),
    ("testing._virtual", "import_module(f'anyio._backends._{name}')"),
    *[("cli.live", each) for each in ("rich.console", "rich.live", "rich.text")],  # an extra
    ("cli.lines", "termios"),  # where there are terminals
    ("cli.targets", "importlib.import_module(where)"),  # what the command line names
    ("__init__", "import_module(f'.{_LATER[name]}', __name__)"),
    *[("steps", each) for each in ("limits", "retry")],
    *[("_step_reader", each) for each in ("joined", "resources")],
    *[("context", each) for each in ("_editor", "retry", "snapshots", "store")],
    *[(where, each) for where in ("_outside_context", "_thread_context") for each in ("_editor", "store")],
    ("_supplies", "_crowding"),
    *[("_board", each) for each in ("_config", "_stock")],
    *[("_supplies", each) for each in ("_config", "_core.run_state", "_editor", "_once", "_stock")],
    *[("_state_class", each) for each in ("_core.run_state", "_core.shapes")],
    *[("blueprint", "joins"), ("_core.plan", "_core.reaching")],
    ("_core.waiting", "_core.requirements"),
    *[("_core.forking", each) for each in ("_answers", "_core.joined", "_core.joining")],
    *[(each, "_core.reporting") for each in ("_concluding", "_core.outcome", "_core.waits", "_step_waits")],
    *[("context", each) for each in ("_core.waiting", "_step_waits")],
    *[(each, "_core.counts") for each in ("_core.counting", "handler")],
    *[("_worker", each) for each in ("_holding_context", "_holds", "_thread_context", "_threads")],
    *[("_core.machine", "_core.room"), ("_core.attempts", "_core.alarms")],
    *[(each, "_core.shedding") for each in ("_core.machine", "_core.workers")],
    ("_step_reader", "_thread_context"),
    *[(each, "_overload") for each in ("_supplies", "snapshots", "steps", "workflow")],
    *[("limits", each) for each in ("_core.bucket", "_core.permits")],
    *[("_core.flowing", each) for each in ("_answers", "_core.flows")],
    *[(where, "joins") for where in ("_core.plan", "_core.saving")],
    *[("_writing", each) for each in ("_stream", "_trace", "journal")],
    ("context", "_back_pressure"),
    ("handler", "_overflow"),
    *[("handler", each) for each in ("_core.reporting", "_outside_context", "_stream", "report")],
    ("workflow", "recovery"),
    *[(each, "_saved_talk") for each in ("_talk", "application")],
    ("_talk", "_supervisor"),
    ("_ways", "_answers"),
    *[("workflow", each) for each in ("_config", "_stock", "limits")],
    *[("_core.machine", "_core.undoing"), ("_concluding", "_undoing")],
    *[(each, "_undo_reader") for each in ("groups", "workflow")],
}
WITHOUT_A_LOOP = {
    "errors",
    "events",
    "joins",
    "retry",
    "supervision",
    "undo",
    "_answers",
    "_event_init",
    "_fields",
    "_options",
    "_types",
    "_core",
}
IMPURE = {  # of the standard library, and not for the core
    "asyncio", "concurrent", "datetime", "inspect", "io", "logging", "multiprocessing", "os", "pathlib",
    "queue", "random", "sched", "secrets", "select", "selectors", "signal", "socket", "subprocess",
    "threading", "time", "uuid",
}  # fmt: skip


class Import(NamedTuple):
    """One name of one import statement; `module` is dotted, and relative to the package if that is `ours`."""

    line: int
    module: str
    ours: bool
    for_checkers: bool
    lazy: bool


def findings(sources: dict[str, str]) -> list[str]:
    """What breaks the law in a package: its modules' texts by their paths below the package."""
    modules = {_module(path): path for path in sources}
    found = [
        f"{modules[name]}:1: {name} has no floor: write it down in FLOORS"
        for name in modules
        if _floor(name) is None
    ]
    edges: dict[str, list[tuple[str, int]]] = {name: [] for name in modules}
    for name, path in modules.items():
        for each in _imports(path, sources[path], modules):
            found += [f"{path}:{each.line}: {wrong}" for wrong in _wrong(name, each)]
            if each.ours:
                edges[name].append((each.module, each.line))
    found += [f"{modules[name]}:{line}: {cycle}" for name, line, cycle in _cycles(edges)]
    return found


def _wrong(importer: str, what: Import) -> Iterator[str]:
    if what.lazy and (importer, what.module) not in LAZY:
        yield f"a lazy import of {what.module}: write it at the top"
    if what.ours:
        above, below = _floor(importer), _floor(what.module)
        if above is not None and below is not None and below > above:
            yield f"{importer} (floor {above}) imports {what.module} (floor {below}): imports go down only"
        return
    package = what.module.partition(".")[0]
    of = importer.partition(".")[0]
    if package == "__future__" or (package in SEEN_BY_CHECKERS_ONLY and what.for_checkers):
        return
    if what.lazy and (importer, what.module) in LAZY:
        return
    allowed = DEPENDENCIES | EXTRAS.get(of, set())
    if package not in allowed and package not in sys.stdlib_module_names:
        yield f"{package} is no dependency of the package: only {', '.join(sorted(DEPENDENCIES))} are"
    elif of in WITHOUT_A_LOOP and (package == "anyio" or (of == "_core" and package in IMPURE)):
        yield f"{importer} imports {package}: the core sees the world in its inputs alone"


def _module(path: str) -> str:
    name = path.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def _floor(module: str) -> int | None:
    top = module.partition(".")[0]
    return next((number for number, names in enumerate(FLOORS) if top in names), None)


def _imports(path: str, source: str, modules: dict[str, str]) -> Iterator[Import]:
    package = path.split("/")[:-1]
    for node, parents in _walk(ast.parse(source), []):
        for_checkers = any(isinstance(each, ast.If) and _names_type_checking(each.test) for each in parents)
        lazy = any(not isinstance(each, (ast.Module, ast.If)) for each in parents)
        for module, ours in _imported(node, package, modules):
            yield Import(node.lineno, module, ours, for_checkers, lazy)


def _walk(node: ast.AST, parents: list[ast.AST]) -> Iterator[tuple[ast.stmt | ast.expr, list[ast.AST]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom, ast.Call)):
            yield child, [*parents, node]
        yield from _walk(child, [*parents, node])


def _names_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in ast.unparse(test)


def _imported(node: ast.AST, package: list[str], modules: dict[str, str]) -> Iterator[tuple[str, bool]]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield _own(alias.name, modules) or (alias.name, False)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = [PACKAGE, *package[: len(package) - level + 1]] if level else []
            dotted = ".".join([*base, *([module] if module else [])])
            for alias in names:
                yield _own(f"{dotted}.{alias.name}", modules) or _own(dotted, modules) or (dotted, False)
        case ast.Call(func=ast.Name(id="__import__")) | ast.Call(func=ast.Attribute(attr="import_module")):
            yield f"{ast.unparse(node)}", False
        case _:
            return


def _own(dotted: str, modules: dict[str, str]) -> tuple[str, bool] | None:
    """The module of the package that a dotted name means: itself, if it is one."""
    if dotted == PACKAGE:
        return "__init__", True
    name = dotted.removeprefix(f"{PACKAGE}.")
    return (name, True) if name != dotted and name in modules else None


def _cycles(edges: dict[str, list[tuple[str, int]]]) -> Iterator[tuple[str, int, str]]:
    """For each import that closes a circle: who imports, at which line, and the way round."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> Iterator[tuple[str, int, str]]:
        for target, line in edges.get(name, ()):
            if target in way:
                circle = [*way[way.index(target) :], target]
                yield name, line, f"a circle of imports: {' > '.join(circle)}"
            elif target not in done:
                yield from visit(target, [*way, target])
        done.add(name)

    for name in edges:
        if name not in done:
            yield from visit(name, [name])


def _sources() -> dict[str, str]:
    package = ROOT / "src" / PACKAGE
    return {str(path.relative_to(package)): path.read_text("utf-8") for path in sorted(package.rglob("*.py"))}


def test_imports_of_the_package_go_down_only_and_none_is_lazy():
    assert findings(_sources()) == []


def test_the_table_of_floors_names_no_module_that_is_gone():
    there = {_module(path).partition(".")[0] for path in _sources()}
    assert set().union(*FLOORS) == there


def test_the_package_depends_on_anyio_and_attrs_alone():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {name.partition(">=")[0] for name in project["dependencies"]} == DEPENDENCIES


SOUND = {
    "__init__.py": "from .workflow import Workflow as Workflow",
    "events.py": "import attrs",
    "errors.py": "import difflib",
    "_core/__init__.py": "",
    "_core/state.py": "from ..events import Event",
    "_core/machine.py": "from ..errors import shown\nfrom .state import RunState",
    "context.py": "import anyio\nfrom ._core.machine import Machine",
    "workflow.py": "from .context import Context\nfrom .events import Event",
}

BROKEN = {
    "an import that goes up": (
        {"events.py": "import attrs\nfrom .context import Context"},
        "events.py:2: events (floor 0) imports context (floor 2): imports go down only",
    ),
    "the same from a folder": (
        {"_core/state.py": "from ..context import Context"},
        "_core/state.py:1: _core.state (floor 1) imports context (floor 2): imports go down only",
    ),
    "the same by the package's full name": (
        {"context.py": "import stretto.workflow"},
        "context.py:1: context (floor 2) imports workflow (floor 4): imports go down only",
    ),
    "the same by `from . import`": (
        {"context.py": "from . import workflow"},
        "context.py:1: context (floor 2) imports workflow (floor 4): imports go down only",
    ),
    "a public name taken from the top": (
        {"context.py": "from stretto import Workflow"},
        "context.py:1: context (floor 2) imports __init__ (floor 5): imports go down only",
    ),
    "an import for type checkers that goes up": (
        {"errors.py": "if TYPE_CHECKING:\n    from .events import Event\n    from .workflow import Workflow"},
        "errors.py:3: errors (floor 0) imports workflow (floor 4): imports go down only",
    ),
    "a lazy import": (
        {"workflow.py": "def run():\n    from .events import Event"},
        "workflow.py:2: a lazy import of events: write it at the top",
    ),
    "a lazy import that is a call": (
        {"workflow.py": "def run():\n    return importlib.import_module('json')"},
        "workflow.py:2: a lazy import of importlib.import_module('json'): write it at the top",
    ),
    "an import that may fail": (
        {"workflow.py": "try:\n    import json\nexcept ImportError:\n    json = None"},
        "workflow.py:2: a lazy import of json: write it at the top",
    ),
    "a circle": (
        {"_core/state.py": "if TYPE_CHECKING:\n    from .machine import Machine"},
        "_core/state.py:2: a circle of imports: _core.machine > _core.state > _core.machine",
    ),
    "a module without a floor": (
        {"helpers.py": ""},
        "helpers.py:1: helpers has no floor: write it down in FLOORS",
    ),
    "trio": (
        {"context.py": "import trio"},
        "context.py:1: trio is no dependency of the package: only anyio, attrs are",
    ),
    "what only checkers may see": (
        {"events.py": "from typing_extensions import TypeVar"},
        "events.py:1: typing_extensions is no dependency of the package: only anyio, attrs are",
    ),
    "a clock in the core": (
        {"_core/machine.py": "import time"},
        "_core/machine.py:1: _core.machine imports time: the core sees the world in its inputs alone",
    ),
    "a loop among the values": (
        {"events.py": "import anyio"},
        "events.py:1: events imports anyio: the core sees the world in its inputs alone",
    ),
    "a loop in the core": (
        {"_core/machine.py": "from anyio.abc import TaskGroup"},
        "_core/machine.py:1: _core.machine imports anyio: the core sees the world in its inputs alone",
    ),
}


def test_a_sound_package_has_no_findings():
    assert findings(SOUND) == []
    assert (
        findings(SOUND | {"events.py": "if TYPE_CHECKING:\n    from typing_extensions import TypeVar"}) == []
    )


@pytest.mark.parametrize(("broken", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_law_is_told_with_its_line(broken: dict[str, str], says: str):
    assert findings(SOUND | broken)[:1] == [says]
