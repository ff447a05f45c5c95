"""The event that a run begins with, made of ``--name value`` and of JSON."""

from __future__ import annotations

import argparse
import json
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, final

import attrs

from ..blueprint import Blueprint
from ..errors import near
from ..events import StartEvent
from .targets import UsageError
from .values import UnfitError, from_json, from_text, said

__all__ = ["Start"]

_LISTS = {list, tuple, set, frozenset}


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
        self._fields = {
            field.alias or field.name: field
            for field in (attrs.fields(self.kind) if attrs.has(self.kind) else ())
            if field.init
        }
        self._hints = typing.get_type_hints(self.kind) if self._fields else {}

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Adds an option for each field, unless there is one of that name; a bare event takes any."""
        known = set(parser._option_string_actions)  # noqa: SLF001
        title = f"fields of {self.kind.__name__}"
        if not self._fields:
            parser.add_argument_group(title, "any: --name value")
            return
        group = parser.add_argument_group(title)
        for name, field in self._fields.items():
            flags = list(dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}"]))
            if not known.intersection(flags):
                self._add(group, name, field, flags)

    def _add(self, group: Any, name: str, field: attrs.Attribute[Any], flags: list[str]) -> None:  # noqa: ANN401 - argparse hides the class
        hint = self._hints.get(name, Any)
        needed = field.default is attrs.NOTHING
        one: dict[str, Any] = {"nargs": "?", "const": "true"} if hint is bool else {}
        group.add_argument(
            *flags,
            dest=f"field {name}",
            action="append",
            metavar=name.upper(),
            help=f"{said(hint)}{', needed' if needed else ''}{'; may be repeated' if _is_list(hint) else ''}",
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
        if self._fields:
            if rest:
                flags = [f"--{name}" for name in self._fields]
                raise UsageError(
                    f"{self.kind.__name__} takes no {rest[0]}, it takes: {', '.join(flags)}{near(rest[0], flags)}"
                )
            given |= self._from_options(vars(options))
        else:
            given |= {name: from_text(text, Any) for name, text in _pairs(rest)}
        return self._made(given)

    def _from_options(self, parsed: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name, field in self._fields.items():
            texts = parsed.get(f"field {name}")
            if texts is not None:
                given[name] = self._read(name, field, texts)
        return given

    def _read(self, name: str, field: attrs.Attribute[Any], texts: list[str]) -> object:
        hint = self._hints.get(name, Any)
        try:
            if _is_list(hint) and not (len(texts) == 1 and texts[0].startswith("[")):
                of = [*typing.get_args(hint), Any][0]
                return from_json(
                    [from_text(text, of) for text in texts], _LIST_OF.get(typing.get_origin(hint), list)
                )
            if len(texts) > 1:
                raise UnfitError(f"it is given {len(texts)} times, and takes one value")
            return from_text(texts[0], hint)
        except UnfitError as error:
            if _converts(field) and len(texts) == 1:
                return texts[0]
            raise UsageError(f"--{name}: {error}") from None

    def _from_json(self, source: str | None) -> dict[str, Any]:
        if source is None:
            return {}
        given = _json(source)
        for name, value in given.items():
            field = self._fields.get(name)
            if field is not None:
                try:
                    given[name] = from_json(value, self._hints.get(name, Any))
                except UnfitError as error:
                    if not _converts(field):
                        raise UsageError(f"--json: in {name!r}: {error}") from None
        return given

    def _made(self, given: dict[str, Any]) -> StartEvent:
        missing = [
            f"--{name} ({said(self._hints.get(name, Any))})"
            for name, field in self._fields.items()
            if field.default is attrs.NOTHING and name not in given
        ]
        if missing:
            raise UsageError(f"{self.kind.__name__} misses {', '.join(missing)}")
        try:
            return self.kind(**given)
        except (TypeError, ValueError) as error:  # of a validator or a converter, or a name that is none
            raise UsageError(str(error)) from error


_LIST_OF = {tuple: tuple[Any, ...], set: set, frozenset: frozenset}


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


def _is_list(hint: Any) -> bool:  # noqa: ANN401 - any annotation
    return (typing.get_origin(hint) or hint) in _LISTS


def _converts(field: Any) -> bool:  # noqa: ANN401 - attrs says little of its converters
    return field.converter is not None


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
