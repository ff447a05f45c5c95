"""What a `ResourceConfig` hands out: a part of a JSON or TOML file in the shape of a class.

A file is data: it names no class and runs no code. Every error names the file, the way to the value, and the field.
"""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeGuard, final

import attrs

from ._core.paths import contents
from ._core.shapes import Argument, arguments, is_model
from ._signatures import hints
from .errors import ConfigError, near, shown
from .resources import ConfigRecipe

__all__ = ["Configs"]


@final
class Configs:
    """The files that one workflow has read, and what was made of them."""

    def __init__(self) -> None:
        self._files: dict[str, object] = {}
        self._made: dict[ConfigRecipe, object] = {}

    def read(self, recipe: ConfigRecipe) -> object:
        """The part of the file, as the class that is annotated; the same object each time.

        Raises:
            ConfigError: If the file does not hold it.
        """
        if recipe not in self._made:
            self._made[recipe] = self._make(recipe)
        return self._made[recipe]

    def _make(self, recipe: ConfigRecipe) -> object:
        file = os.fspath(recipe.config.file)
        if file not in self._files:
            self._files[file] = _parsed(file)
        value = self._files[file]
        at = _Place(file)
        for key in recipe.config.path.split(".") if recipe.config.path else ():
            if not _is_table(value) or key not in value:
                raise at.error(_not_there(key, value))
            value, at = value[key], at.below(key)
        return _filled(recipe.kind, value, at)


@final
@attrs.frozen
class _Place:
    """Where a value stands: the file, and the keys that lead to it."""

    file: str
    keys: tuple[str | int, ...] = ()

    def below(self, key: str | int) -> _Place:
        return _Place(self.file, (*self.keys, key))

    def error(self, what: str) -> ConfigError:
        way = ".".join(map(str, self.keys))
        return ConfigError(f"{self.file}: {way} {what}" if way else f"{self.file} {what}")


def _parsed(file: str) -> object:
    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - the path is a text or whatever has one
            data = opened.read()
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read, {error.strerror}; the working directory is {os.getcwd()}"  # noqa: PTH109
        ) from error
    kind = file.rpartition(".")[2].upper()
    try:
        return _toml(data) if kind == "TOML" else _json(data)
    except ValueError as error:
        raise ConfigError(f"{file} is no {kind}: {error}") from error


def _json(data: bytes) -> object:
    import json  # noqa: PLC0415 - for who asks for such a file

    return json.loads(data)


def _toml(data: bytes) -> object:
    import tomllib  # noqa: PLC0415 - for who asks for such a file

    return tomllib.loads(data.decode())


def _is_table(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _not_there(key: str, value: object) -> str:
    if not _is_table(value):
        return f"is {shown(value)}, in which there is no {key!r}"
    return f"has no {key!r}, {contents(value)}{near(key, value)}"


# -- from plain data to a class ------------------------------------------------------------------------------------


def _filled(kind: Any, value: object, at: _Place) -> object:  # noqa: ANN401 - whatever is annotated
    """The value as what is annotated."""
    if kind is Any:
        return value
    origin = typing.get_origin(kind)
    if origin in {typing.Union, types.UnionType}:
        return _as_member(kind, value, at)
    if origin is Literal:
        return _checked(value in typing.get_args(kind), kind, value, at)
    if origin in {list, tuple} or kind in {list, tuple}:
        return _as_list(kind, value, at)
    if origin is dict:
        return _as_dict(kind, value, at)
    if is_model(kind):
        return _made(lambda: kind.model_validate(value), kind, at)
    takes = arguments(kind) if isinstance(kind, type) else None
    return _as_plain(kind, value, at) if takes is None else _as_class(kind, takes, value, at)


def _as_plain(kind: object, value: object, at: _Place) -> object:
    if not isinstance(kind, type):
        raise at.error(f"is to be {kind}, which stretto cannot make of a file; annotate it with a class")
    if kind is float and type(value) is int:
        return float(value)
    return _checked(
        isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), kind, value, at
    )


def _checked(fits: bool, kind: object, value: object, at: _Place) -> object:  # noqa: FBT001 - the question itself
    if not fits:
        raise at.error(f"is {shown(value)}, not {_told(kind)}")
    return value


def _told(kind: Any) -> str:  # noqa: ANN401
    return kind.__name__ if isinstance(kind, type) and typing.get_origin(kind) is None else str(kind)


def _as_member(kind: object, value: object, at: _Place) -> object:
    """The value as the first member of the union that it fits; what a lone class misses is told as its error."""
    members = [each for each in typing.get_args(kind) if each is not type(None)]
    if value is None and len(members) < len(typing.get_args(kind)):
        return None
    if len(members) == 1:
        return _filled(members[0], value, at)
    for member in members:
        try:
            return _filled(member, value, at)
        except ConfigError:  # it may be another
            continue
    raise at.error(f"is {shown(value)}, not {_told(kind)}")


def _as_list(kind: Any, value: object, at: _Place) -> object:  # noqa: ANN401
    made: Callable[[Iterable[object]], object] = typing.get_origin(kind) or kind
    if not _is_list(value):
        raise at.error(f"is {shown(value)}, not {_told(kind)}")
    inner = [each for each in typing.get_args(kind) if each is not ...] or [Any]
    if made is not list and len(inner) > 1:
        _checked(len(value) == len(inner), kind, value, at)
    kinds = inner if len(inner) > 1 else inner * len(value)
    return made(
        _filled(each, item, at.below(number))
        for number, (each, item) in enumerate(zip(kinds, value, strict=True))
    )


def _as_dict(kind: object, value: object, at: _Place) -> object:
    if not _is_table(value):
        raise at.error(f"is {shown(value)}, not {_told(kind)}")
    _, inner = typing.get_args(kind) or (Any, Any)  # a bare typing.Dict has none
    return {key: _filled(inner, item, at.below(key)) for key, item in value.items()}


def _as_class(kind: type, takes: list[Argument], value: object, at: _Place) -> object:
    if not _is_table(value):
        raise at.error(f"is {shown(value)}, not what {kind.__name__} is made of, a table")
    meant = _hints(kind)
    names = [each.name for each in takes]
    for key in value:
        if key not in names:
            raise at.error(f"has {key!r}, which is no field of {kind.__name__}{near(key, names)}")
    for each in takes:
        if each.needed and each.name not in value:
            raise at.error(f"has no {each.name!r}, which {kind.__name__} needs")
    filled = {
        each.name: _filled(
            Any if each.converted else meant.get(each.field, Any), value[each.name], at.below(each.name)
        )
        for each in takes
        if each.name in value
    }
    return _made(lambda: kind(**filled), kind, at)


def _hints(kind: type) -> dict[str, Any]:
    def error(what: str) -> ConfigError:
        return ConfigError(f"{kind.__name__} {what}")

    instead = "where the class is; define both at the top of a module"
    return hints(kind, {}, error, instead=instead, extras=False)


def _made(make: Callable[[], object], kind: type, at: _Place) -> object:
    """What the class makes of it; its validators may refuse."""
    try:
        return make()
    except Exception as error:
        raise at.error(f"does not make a {kind.__name__}: {error}") from error
