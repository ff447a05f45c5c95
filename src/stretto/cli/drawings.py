"""``stretto draw``: the picture of a workflow or of an application, made without running it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..drawing import to_mermaid
from .endings import Exit
from .targets import UsageError, load

__all__ = ["configure", "perform"]

_WRITERS = {"mermaid": to_mermaid}
_SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = "Draws the steps of a workflow and the events between them, without running it."
    parser.add_argument("target", nargs="?", help="module:Workflow, or file.py:Workflow; an application too")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=f"where to: {', '.join(_SUFFIXES)}; stdout without it"
    )
    parser.add_argument("--format", choices=list(_WRITERS), help="if the name of the file does not say")


def perform(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:  # noqa: ARG001
    """Draws it.

    Raises:
        UsageError: If the target is wrong, or the file cannot be written.
    """
    text = _WRITERS[_format(options)](load(options.target)) + "\n"
    if options.output is None:
        sys.stdout.write(text)
        return Exit.OK
    try:
        Path(options.output).write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"-o {options.output}: {error.strerror}") from None
    return Exit.OK


def _format(options: argparse.Namespace) -> str:
    if options.format is not None:
        return str(options.format)
    if options.output is None:
        return "mermaid"
    suffix = Path(options.output).suffix
    if suffix not in _SUFFIXES:
        raise UsageError(f"-o {options.output}: write one of {', '.join(_SUFFIXES)}, or --format")
    return _SUFFIXES[suffix]
