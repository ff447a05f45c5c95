"""The event that a run begins with, made of ``--name value`` and of JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, final

from ..blueprint import Blueprint
from ..errors import near
from ..events import StartEvent
from .forms import Form
from .targets import UsageError
from .values import UnfitError, from_text

__all__ = ["Start"]


@final
class Start:
    """The start event of a workflow, as the command line sees it: an option for each field.

    Args:
        blueprint: Of the workflow.
        chosen: The name of one of its start events, where it has several.

    Raises:
        UsageError: If it has none of that name, or several and no name is given.
    """

    def __init__(self, blueprint: Blueprint, chosen: str | None) -> None:
        self.kind = _kind(blueprint, chosen)
        self._form = Form(self.kind)

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Adds an option for each field, unless there is one of that name; a bare event takes any."""
        known = set(parser._option_string_actions)  # noqa: SLF001
        title = f"fields of {self.kind.__name__}"
        if not self._form.fields:
            parser.add_argument_group(title, "any: --name value")
            return
        group = parser.add_argument_group(title)
        for name in self._form.fields:
            flags = list(dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}"]))
            if not known.intersection(flags):
                self._add(group, name, flags)

    def _add(self, group: Any, name: str, flags: list[str]) -> None:  # noqa: ANN401 - argparse hides the class
        form = self._form
        one: dict[str, Any] = {"nargs": "?", "const": "true"} if form.hint(name) is bool else {}
        needed, several = form.is_needed(name), form.is_list(name)
        group.add_argument(
            *flags,
            dest=f"field {name}",
            action="append",
            metavar=name.upper(),
            help=f"{form.said(name)}{', needed' if needed else ''}{'; may be repeated' if several else ''}",
            **one,
        )

    def event(self, options: argparse.Namespace, rest: Sequence[str]) -> StartEvent:
        """The event.

        Args:
            options: What was parsed; `json` among it.
            rest: What no option took.

        Raises:
            UsageError: If the fields do not fit.
        """
        given = self._from_json(options.json)
        if self._form.fields:
            if rest:
                flags = [f"--{name}" for name in self._form.fields]
                raise UsageError(
                    f"{self.kind.__name__} takes no {rest[0]}, it takes: {', '.join(flags)}{near(rest[0], flags)}"
                )
            given |= self._from_options(vars(options))
        else:
            given |= {name: from_text(text, Any) for name, text in _pairs(rest)}
        return self._made(given)

    def _from_options(self, parsed: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name in self._form.fields:
            texts = parsed.get(f"field {name}")
            if texts is not None:
                try:
                    given[name] = self._form.read(name, texts)
                except UnfitError as error:
                    raise UsageError(f"--{name}: {error}") from None
        return given

    def _from_json(self, source: str | None) -> dict[str, Any]:
        if source is None:
            return {}
        try:
            return self._form.read_json(_json(source))
        except UnfitError as error:
            raise UsageError(f"--json: {error}") from None

    def _made(self, given: dict[str, Any]) -> StartEvent:
        missing = [f"--{name} ({self._form.said(name)})" for name in self._form.missing(given)]
        if missing:
            raise UsageError(f"{self.kind.__name__} misses {', '.join(missing)}")
        try:
            return self._form.made(given)
        except UnfitError as error:
            raise UsageError(str(error)) from error


def _kind(blueprint: Blueprint, chosen: str | None) -> type[StartEvent]:
    names = [kind.__name__ for kind in blueprint.starts]
    if chosen is not None:
        for kind in blueprint.starts:
            if kind.__name__ == chosen:
                return kind
        raise UsageError(
            f"{blueprint.name} has no start event {chosen!r}, it has: {', '.join(names)}{near(chosen, names)}"
        )
    if blueprint.start is None:
        raise UsageError(
            f"{blueprint.name} has several start events, {', '.join(names)}; write --start {names[0]}"
        )
    return blueprint.start


def _pairs(rest: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The names and texts of ``--name value``, ``--name=value`` and ``--name``."""
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.removeprefix("--").isprintable() or not word.startswith("--") or word == "--":
            raise UsageError(f"{word!r} belongs to no field; write --name {word}")
        name, is_set, text = word.removeprefix("--").partition("=")
        if not is_set:
            text = words.pop(0) if words and not words[0].startswith("--") else "true"
        yield name.replace("-", "_"), text


def _json(source: str) -> dict[str, Any]:
    """The object in a file, on stdin (``-``), or in the text itself."""
    try:
        if source.lstrip().startswith(("{", "[")):
            text = source
        elif source == "-":
            text = sys.stdin.read()
        else:
            text = Path(source).read_text("utf-8")
        value = json.loads(text)
    except OSError as error:
        raise UsageError(f"--json {source}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--json {source}: this is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(
            f'--json {source}: the fields are an object, as in {{"name": "value"}}, not {value!r:.100}'
        )
    return cast("dict[str, Any]", value)
