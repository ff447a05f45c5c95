"""The public surface: what `from stretto import ...` gives, and how it looks from outside."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
from pathlib import Path
from types import FunctionType

import pytest

import stretto
import stretto.drawing
import stretto.errors
import stretto.events
import stretto.joins
import stretto.limits
import stretto.retry
import stretto.snapshots
import stretto.testing.strategies  # here, and not when it is looked at: hypothesis is to see who refers to what

PACKAGE = Path(stretto.__file__).parent
NAMES = stretto.__all__
CLASSES = [name for name in NAMES if isinstance(getattr(stretto, name), type)]
MODULES = sorted(
    ".".join(["stretto", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def exported(path: Path) -> list[str]:
    """The names that a module imports as `x as x`."""
    return [
        alias.asname
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None and alias.asname == alias.name
    ]


def test_what_is_exported_is_what_all_says_in_order_and_no_more_than_thirty_names():
    assert sorted(set(NAMES), key=lambda name: (name.islower(), name)) == NAMES
    assert sorted(exported(PACKAGE / "__init__.py")) == sorted(NAMES)
    assert len(NAMES) <= 30
    assert {name for name in vars(stretto) if not name.startswith("_") and name[0].isupper()} <= set(NAMES)


@pytest.mark.parametrize(
    ("name", "where"), [("WaitTimeoutError", "errors"), ("StreamGap", "events"), ("Rate", "limits")]
)
def test_a_name_that_is_not_on_top_is_told_with_its_module(name: str, where: str):
    assert name in getattr(stretto, where).__all__
    with pytest.raises(AttributeError) as caught:
        getattr(stretto, name)
    assert str(caught.value) == f"module 'stretto' has no attribute {name!r}; it is in stretto.{where}"
    assert not hasattr(stretto, "Nothing")


def test_the_pictures_export_their_names_too():
    assert sorted(exported(PACKAGE / "drawing" / "__init__.py")) == sorted(stretto.drawing.__all__)


def test_what_is_for_tests_exports_its_names_too_and_says_where_it_is_from():
    assert sorted(exported(PACKAGE / "testing" / "__init__.py")) == sorted(stretto.testing.__all__)
    for name in stretto.testing.__all__:
        public = getattr(stretto.testing, name)
        assert public.__module__ == "stretto.testing"
        assert inspect.getdoc(public), name


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_says_that_it_is_from_stretto(name: str):
    public = getattr(stretto, name)
    assert public.__module__ == "stretto"
    assert public.__qualname__ == name
    assert pickle.loads(pickle.dumps(public)) is public  # noqa: S301 - found by its public name


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_why_it_exists_and_what_it_gives(module: str):
    imported = importlib.import_module(module)
    assert imported.__doc__
    if not module.endswith("_core"):
        assert all(hasattr(imported, name) for name in imported.__all__)


def public_attributes(name: str) -> list[tuple[str, object]]:
    return [
        (f"{name}.{attribute}", value)
        for attribute, value in vars(getattr(stretto, name)).items()
        if not attribute.startswith("_")
        and isinstance(value, (FunctionType, property, classmethod, staticmethod))
    ]


PUBLIC = [(name, getattr(stretto, name)) for name in NAMES] + [
    each for name in CLASSES for each in public_attributes(name)
]


PUBLIC += [
    (f"joins.{name}", getattr(stretto.joins, name))
    for name in stretto.joins.__all__
    if name not in {"Losers", "Order"}
]
PUBLIC += [("snapshots.snapshot_type", stretto.snapshots.snapshot_type)]
PUBLIC += [(f"retry.{name}", getattr(stretto.retry, name)) for name in stretto.retry.__all__]


@pytest.mark.parametrize(("name", "public"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_everything_public_has_a_docstring(name: str, public: object):
    assert inspect.getdoc(public), name


FUNCTIONS = [
    (name, function)
    for name, value in PUBLIC
    for function in [
        value.fget if isinstance(value, property) else getattr(value, "__func__", value),
    ]
    if isinstance(function, FunctionType)
] + [
    (f"{name}.__init__", init)
    for name in ("Workflow", "Handler", "Context")
    if isinstance(init := vars(getattr(stretto, name)).get("__init__"), FunctionType)
]


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_every_public_function_is_annotated_whole(name: str, function: FunctionType):
    signature = inspect.signature(function)
    bare = [
        each.name
        for number, each in enumerate(signature.parameters.values())
        if each.annotation is each.empty and not (number == 0 and each.name in {"self", "cls"})
    ]
    untyped_dispatch = name == "step"  # its two overloads are what users and checkers see
    assert not bare or untyped_dispatch
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", stretto.errors.__all__)
def test_the_tree_of_errors_has_one_root(name: str):
    error = getattr(stretto.errors, name)
    assert issubclass(error, stretto.WorkflowError)
    assert stretto.WorkflowError.__bases__ == (Exception,)
    assert error.__module__.startswith("stretto")


def test_every_exception_that_the_package_defines_is_in_the_tree():
    for module in MODULES:
        for name, value in vars(importlib.import_module(module)).items():
            if isinstance(value, type) and issubclass(value, BaseException) and not name.startswith("_"):
                assert issubclass(value, stretto.WorkflowError), f"{module}.{name}"


def test_errors_survive_a_pickle_with_their_text():
    """So that a process pool can hand them on."""
    for name in stretto.errors.__all__:
        error = getattr(stretto.errors, name)("what happened")
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made in this line
        assert type(again) is type(error)
        assert str(again) == str(error) == "what happened"


def test_both_timeouts_are_caught_by_the_builtin_one():
    assert issubclass(stretto.WorkflowTimeoutError, TimeoutError)
    assert issubclass(stretto.StepTimeoutError, TimeoutError)


def test_the_names_that_users_of_other_engines_know_are_there():
    assert {
        "Workflow", "step", "Context", "Handler", "Event", "StartEvent", "StopEvent", "InputRequiredEvent",
        "HumanResponseEvent", "RetryPolicy", "catch_error",
    } <= set(NAMES)  # fmt: skip
    for name in ("send_event", "collect_events", "write_event_to_stream"):
        assert callable(getattr(stretto.Context, name))
    for name in ("stream_events", "send_event", "cancel", "ctx"):
        assert hasattr(stretto.Handler, name)


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").exists()
