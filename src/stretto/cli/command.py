"""The command line: its commands, and what becomes of an error."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn, Protocol, final

from ..errors import near
from . import checks, demo, drawings, exploring, running
from .endings import Exit, code_of, tell
from .targets import UsageError

__all__ = ["main"]

_ABOUT = "Runs, draws, checks and explores workflows."
_NO_TARGET = "name the target before anything else: module:Workflow, or file.py:Workflow"


class Command(Protocol):
    """A module of this package that is one command."""

    def configure(self, parser: argparse.ArgumentParser, /) -> None:
        """Adds its options."""

    def perform(
        self, parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str], /
    ) -> int:
        """Does what was asked for; `rest` is what no option took. The exit code."""
        ...


_COMMANDS: dict[str, tuple[Command, str]] = {
    "demo": (demo, "runs a workflow in two seconds, and shows what there is to see"),
    "run": (running, "runs a workflow to its end"),
    "check": (checks, "looks for what is wrong, and runs nothing"),
    "draw": (drawings, "draws the steps and the events between them"),
    "explore": (exploring, "tries many schedules of a run"),
}
_TAKE_FIELDS = {"run", "explore"}
_NEEDS_NO_TARGET = {"demo"}


@final
class _Parser(argparse.ArgumentParser):
    """A parser whose errors are told as those of a target are."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, **keywords)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} --help shows what there is")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``stretto``.

    Args:
        arguments: What stands behind it; those of the process, if there are none.

    Returns:
        The exit code.
    """
    try:
        code = _perform(list(sys.argv[1:] if arguments is None else arguments))
        if sys.stdout is not None:  # it is closed: `stretto … >&-`
            sys.stdout.flush()
    except SystemExit as leaving:  # --help, or a step that wants it so
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BrokenPipeError:  # whoever reads has gone: `stretto … | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1 if sys.stdout is None else sys.stdout.fileno())
        return Exit.FAILED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - it is told, whatever it is
        if not isinstance(error, KeyboardInterrupt):
            tell(error)
        return code_of(error)
    return code


def _perform(arguments: list[str]) -> int:
    parser, commands = _parsers()
    options, rest = parser.parse_known_args(arguments)
    if options.command is None:
        if rest:
            parser.error(f"there is no option {rest[0]}")
        parser.print_help()
        return Exit.OK
    command = commands[options.command]
    takes_fields = options.command in _TAKE_FIELDS
    if options.command not in _NEEDS_NO_TARGET and not options.target:
        if takes_fields and options.help:
            command.print_help()
            return Exit.OK
        command.error(_NO_TARGET)
    if rest and not takes_fields:
        command.error(f"there is no option {rest[0]}{near(rest[0], _flags(command))}")
    return _COMMANDS[options.command][0].perform(command, options, rest)


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of it all, and that of each command."""
    parser = _Parser(prog="stretto", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"stretto {version('stretto')}")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands: dict[str, argparse.ArgumentParser] = {}
    for name, (command, about) in _COMMANDS.items():
        takes_fields = name in _TAKE_FIELDS
        commands[name] = parsers.add_parser(name, help=about, add_help=not takes_fields)
        command.configure(commands[name])
        if takes_fields:  # which it shows too, once the target is known
            commands[name].add_argument(
                "-h", "--help", action="store_true", help="shows this, and the fields of the target"
            )
    return parser, commands


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    return [flag for action in parser._actions for flag in action.option_strings]  # noqa: SLF001
