"""``stretto check``: what is wrong, or may be, with a workflow, before anything runs."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import attrs

from ..checking import Problem, check
from ..errors import DefinitionError
from .endings import Exit
from .targets import BrokenModuleError, load

__all__ = ["configure", "perform"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Looks at the graph of a workflow, or at the wiring of an application, and runs nothing."
    )
    parser.epilog = (
        "exit codes: 0 nothing that keeps it from running, 1 an error (with --strict: any), 2 wrong usage"
    )
    parser.add_argument("target", nargs="*", help="module:Workflow, or file.py:Workflow")
    parser.add_argument("--json", action="store_true", help="the findings as JSON, for programs")
    parser.add_argument("--strict", action="store_true", help="warnings are errors too")


def perform(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:  # noqa: ARG001
    """Checks each target."""
    problems = [each for target in options.target for each in _problems(target)]
    if options.json:
        print(json.dumps([attrs.asdict(each) for each in problems], indent=2, ensure_ascii=False))
    else:
        _print(problems, options.target)
    return Exit.FAILED if any(each.fatal or options.strict for each in problems) else Exit.OK


def _problems(target: str) -> Sequence[Problem]:
    """The findings; a class that cannot even be defined is one of them."""
    try:
        return check(load(target))
    except BrokenModuleError as error:
        if not isinstance(error.__cause__, DefinitionError):
            raise
        problems = error.__cause__.problems
    except DefinitionError as error:
        problems = error.problems
    return [Problem(kind="definition", message=each, workflow=target, fatal=True) for each in problems]


def _print(problems: Sequence[Problem], targets: Sequence[str]) -> None:
    for each in problems:
        where = "" if each.file is None else f"{_short(each.file)}:{each.line}: "
        print(f"{where}{'error' if each.fatal else 'warning'}: {each.message} [{each.kind}]")
    if problems:
        errors = sum(each.fatal for each in problems)
        print(f"{_many(errors, 'error')}, {_many(len(problems) - errors, 'warning')}")
    else:
        print(f"{', '.join(targets)}: nothing found")


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _short(file: str) -> str:
    """A path as short as it can be written here."""
    here = os.path.relpath(file) if Path(file).is_absolute() else file
    return min(here, file, key=len)
