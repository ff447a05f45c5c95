"""Whether it can be known what the steps of a class share: a look at their code.

Steps may share more than `self`: globals, what a function has closed over, attributes of classes. If one uses anything
of that kind which can change, nothing is known of the whole class.
"""

from __future__ import annotations

import dis
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterator

from ..events import Event
from ._heap import is_mutable

__all__ = ["unknown"]

_OURS = {"_blueprint", "_read_steps"}


def unknown(cls: type) -> str | None:
    """Why nothing is known of what the steps of a class share: the first thing that they use and that may change.

    What is written outside of the class is looked into as far as Python functions go; a module of the standard library
    or of an installed package is taken to share nothing.
    """
    seen: set[int] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in {"builtins", "stretto", "typing", "abc"}:
            continue
        for name, value in vars(base).items():
            function = (
                inspect.unwrap(getattr(value, "__func__", value))
                if callable(value) or hasattr(value, "__func__")
                else value
            )
            if isinstance(function, types.FunctionType):
                for used in _used(function, seen):
                    return f"{base.__name__}.{name} uses {used}, which other steps may change"
            elif not name.startswith("__") and name not in _OURS and is_mutable(value):
                return f"{base.__name__}.{name} is an object that all steps share"
    return None


def _used(function: types.FunctionType, seen: set[int]) -> Iterator[str]:
    """The names in a function that stand for something that may change, and of those in what it calls."""
    if id(function) in seen:
        return
    seen.add(id(function))
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    names = {name: _contents(cell) for name, cell in cells}
    outside = {*names, *function.__globals__}
    for code in _codes(function.__code__):
        for name in ("store", "once"):  # what a run keeps for all of its steps
            if name in code.co_names:
                yield name
        names |= {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
        for each in dis.get_instructions(code):
            if each.opname in {"STORE_GLOBAL", "STORE_DEREF"} and each.argval in outside:
                yield each.argval
    for name, value in names.items():
        if isinstance(value, types.FunctionType) and not _is_installed(value.__module__):
            yield from _used(value, seen)
        elif _may_change(value):
            yield name


def _may_change(value: object) -> bool:
    match value:
        case types.FunctionType():
            return False
        case types.ModuleType():
            return not _is_installed(value.__name__)
        case type():
            attributes: dict[str, object] = dict(value.__dict__)
            harmless = issubclass(value, (Event, BaseException)) or _is_installed(value.__module__)
            return not harmless and any(
                is_mutable(each)
                for name, each in attributes.items()
                if not name.startswith("__") and name not in _OURS and not callable(each)
            )
        case _:
            return is_mutable(value)


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _is_installed(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    where = getattr(sys.modules.get(top), "__file__", None) or ""
    return top == "stretto" or any(
        where.startswith(sysconfig.get_path(each)) for each in ("purelib", "platlib")
    )
