"""What a command is about: the workflow or the application that ``module:Name`` means."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from ..application import Application
from ..errors import WorkflowError, near, shown
from ..nesting import is_workflow_class
from ..workflow import Workflow

__all__ = ["BrokenModuleError", "Target", "UsageError", "load", "made", "maker"]

Target = type[Workflow[Any]] | Workflow[Any] | Application


class UsageError(WorkflowError):
    """What stands on the command line cannot be done; it says what to write instead."""


class BrokenModuleError(UsageError):
    """The module was found, and importing it raised: the cause."""


def load(text: str) -> Target:
    """The workflow class, workflow or application that is meant; nothing of a class is made yet.

    Args:
        text: ``package.module:Name`` or ``folder/file.py:Name``. Without a name, the only workflow that the module
            defines.

    Raises:
        UsageError: If there is none, saying what there is.
    """
    module, found = _found(text)
    if isinstance(found, types.FunctionType):
        found = _called(found, text)
    return _checked(text, module, found)


def maker(text: str) -> Callable[[], Workflow[Any] | Application]:
    """What makes the workflow or the application that is meant, a new one each time: a class, or a function.

    Raises:
        UsageError: If there is none, or it is made already.
    """
    module, found = _found(text)
    if isinstance(found, types.FunctionType):
        make = partial(_called, found, text)
        return lambda: made(_checked(text, module, make()))
    target = _checked(text, module, found)
    if isinstance(target, type):
        return target
    raise UsageError(
        f"{text} is made already, and each schedule needs a new one; name the class, or a function that makes "
        f"{'an application' if isinstance(target, Application) else 'a workflow'}"
    )


def _found(text: str) -> tuple[types.ModuleType, object]:
    """The module that is meant, and what in it."""
    where, _, name = text.partition(":")
    module = _module(where, text)
    return module, _named(module, name) if name else _only(module)


def _checked(text: str, module: types.ModuleType, found: object) -> Target:
    if is_workflow_class(found) or isinstance(found, (Workflow, Application)):
        return cast("Target", found)
    raise UsageError(
        f"{text} is {shown(found)}, and this takes a workflow class, a workflow, an Application, or a function that "
        f"makes one{_there_are(module)}"
    )


def made(target: Target) -> Workflow[Any] | Application:
    """The workflow itself: one is made of a class.

    Raises:
        UsageError: If the class does not let itself be made without arguments.
    """
    return (
        cast("Workflow[Any] | Application", _called(target, target.__name__))
        if isinstance(target, type)
        else target
    )


def _module(where: str, text: str) -> types.ModuleType:
    is_file = where.endswith(".py") or "/" in where
    if not where or (where.startswith(".") and not is_file):
        raise UsageError(f"{text!r} names no module; write module:Workflow, or file.py:Workflow")
    folder = str(Path(where).resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python file.py` and `python -m module` do
    try:
        return _from_file(Path(where)) if is_file else importlib.import_module(where)
    except ModuleNotFoundError as error:
        if not is_file and error.name is not None and f"{where}.".startswith(f"{error.name}."):
            raise UsageError(_no_module(where, error.name)) from None
        raise BrokenModuleError(f"{where} cannot be imported") from error
    except UsageError:
        raise
    except Exception as error:
        raise BrokenModuleError(f"{where} cannot be imported") from error


def _no_module(where: str, missing: str) -> str:
    files = sorted(path.stem for path in Path.cwd().glob("*.py"))
    hint = near(missing, files)
    if not hint and files:
        hint = f"; there are: {', '.join(files[:10])}"
    if (Path.cwd() / f"{where.replace('.', '/')}").is_dir():
        hint = f"; {where} is a folder: write {where}.module:Workflow"
    return f"there is no module {missing!r}, neither here nor installed{hint}"


def _from_file(path: Path) -> types.ModuleType:
    if not path.is_file():
        raise UsageError(
            f"there is no file {str(path)!r}{near(path.name, [each.name for each in _beside(path)])}"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python module; write file.py:Workflow")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # its classes are looked up there, by who reads their annotations
    spec.loader.exec_module(module)
    return module


def _beside(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.py")) if path.parent.is_dir() else []


def _named(module: types.ModuleType, name: str) -> object:
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            there = [each for each in dir(found) if not each.startswith("_")]
            raise UsageError(f"{module.__name__} has no {name!r}{near(part, there) or _there_are(module)}")
        found = getattr(found, part)
    return found


def _only(module: types.ModuleType) -> object:
    names = _defined(module)
    if len(names) != 1:
        what = f"several: {', '.join(names)}" if names else "none"
        raise UsageError(
            f"which workflow of {module.__name__}? It defines {what}; write {module.__name__}:"
            f"{names[0] if names else 'Workflow'}"
        )
    return getattr(module, names[0])


def _defined(module: types.ModuleType) -> list[str]:
    """The workflows that a module defines, and its applications."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, (Workflow, Application))
        or (is_workflow_class(value) and value.__module__ == module.__name__)
    ]


def _there_are(module: types.ModuleType) -> str:
    names = _defined(module)
    return f"; it defines: {', '.join(names)}" if names else "; it defines no workflow"


def _called(make: Callable[[], Any], text: str) -> object:
    try:
        return make()
    except WorkflowError:
        raise
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise
        raise UsageError(
            f"{text} cannot be called without arguments ({error}); write a function in the module that makes the "
            "workflow, and name that"
        ) from None
