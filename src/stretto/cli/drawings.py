"""``stretto draw``: the picture of a workflow or of an application, made without running it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..drawing import Picture, draw_all_possible_flows
from .endings import Exit
from .targets import UsageError, load

__all__ = ["configure", "perform"]

_FORMS: dict[str, Callable[[Picture], str]] = {
    "mermaid": Picture.to_mermaid,
    "svg": Picture.to_svg,
    "html": Picture.to_html,
    "dot": Picture.to_dot,
    "ascii": Picture.to_ascii,
}
_SUFFIXES = {".mmd": "mermaid", ".svg": "svg", ".html": "html", ".dot": "dot", ".txt": "ascii"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = "Draws the steps of a workflow and the events between them, without running it."
    parser.add_argument("target", nargs="?", help="module:Workflow, or file.py:Workflow; an application too")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"where to, a file in {', '.join(_SUFFIXES)}; stdout without it",
    )
    parser.add_argument("--format", choices=list(_FORMS), help="if the name of the file does not say")


def perform(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:  # noqa: ARG001
    """Draws it.

    Raises:
        UsageError: If the target is wrong, or the file cannot be written.
    """
    form = _FORMS[_form(options)]
    text = form(draw_all_possible_flows(load(options.target))).rstrip("\n") + "\n"
    if options.output is None:
        sys.stdout.write(text)
        return Exit.OK
    try:
        Path(options.output).write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"-o {options.output}: {error.strerror}") from None
    return Exit.OK


def _form(options: argparse.Namespace) -> str:
    if options.format is not None:
        return str(options.format)
    if options.output is None:
        return "ascii" if sys.stdout.isatty() else "mermaid"
    suffix = Path(options.output).suffix
    if suffix not in _SUFFIXES:
        raise UsageError(f"-o {options.output}: let it end in {', '.join(_SUFFIXES)}, or write --format")
    return _SUFFIXES[suffix]
