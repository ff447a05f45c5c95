"""Values of fields, from what stands on a command line or in a JSON file.

A text is read by the type of the field that it is for. Where that says nothing, as for a bare event, what is JSON is
read as JSON and the rest is the text itself.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard, cast

import attrs

from ..errors import WorkflowError, shown

__all__ = ["UnfitError", "from_json", "from_text", "said"]


class UnfitError(WorkflowError, ValueError):
    """A value does not fit the type of its field; it says what would."""


_YES = {
    "true": True,
    "yes": True,
    "1": True,
    "on": True,
    "false": False,
    "no": False,
    "0": False,
    "off": False,
}
_FROM_TEXT: dict[Any, Callable[[str], object]] = {
    dt.date: dt.date.fromisoformat,
    dt.datetime: dt.datetime.fromisoformat,
    dt.time: dt.time.fromisoformat,
    decimal.Decimal: decimal.Decimal,
    pathlib.Path: pathlib.Path,
    uuid.UUID: uuid.UUID,
    bytes: str.encode,
}
_SEQUENCES = {list, tuple, set, frozenset, Sequence, Iterable}
_UNIONS = {typing.Union, types.UnionType}


def from_text(text: str, hint: Any) -> object:  # noqa: ANN401 - any annotation
    """The value that a text of the command line stands for, where a value of that type is wanted.

    Raises:
        UnfitError: If it stands for none.
    """
    hint = _bare(hint)
    if typing.get_origin(hint) in _UNIONS:
        return _first_that_fits(text, hint, from_text)
    if hint in {Any, object}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    if hint is bool and text.lower() in _YES:
        return _YES[text.lower()]
    if hint is str or hint in _FROM_TEXT or typing.get_origin(hint) is typing.Literal or _is_enum(hint):
        return from_json(text, hint)
    try:
        value = json.loads(text)
    except ValueError:
        raise UnfitError(f"{text!r} is not {said(hint)}") from None
    return from_json(value, hint)


def from_json(value: Any, hint: Any) -> object:  # noqa: ANN401, C901, PLR0912 - one line for each sort of type
    """The value of that type for what JSON has in its place.

    Raises:
        UnfitError: If there is none.
    """
    hint = _bare(hint)
    origin = typing.get_origin(hint) or hint
    if hint in {Any, object}:
        return value
    if origin in _UNIONS:
        return _first_that_fits(value, hint, from_json)
    if origin is typing.Literal:
        return _literal(value, hint)
    if hint in {None, type(None)} and value is None:
        return None
    if _is_enum(hint):
        return _enum(value, hint)
    if origin in _SEQUENCES and _is_array(value):
        return _sequence(value, hint, origin)
    if origin in {dict, Mapping} and _is_object(value):
        of = typing.get_args(hint)[1:] or (Any,)
        return {key: from_json(each, of[0]) for key, each in value.items()}
    if hint in _FROM_TEXT and isinstance(value, str):
        return _called(_FROM_TEXT[hint], value, hint)
    if hint is float and _is_number(value):
        return float(value)
    if hint in {str, int, bool} and type(value) is hint:
        return value
    if _is_object(value) and _has_fields(hint):
        return _structured(value, hint)
    raise UnfitError(f"{shown(value)} is not {said(hint)}")


def said(hint: Any) -> str:  # noqa: ANN401 - any annotation
    """A type as a user reads it: ``int``, ``list[str]``, ``'tea' or 'milk'``."""
    hint = _bare(hint)
    origin = typing.get_origin(hint)
    if origin in _UNIONS:
        return " or ".join(said(each) for each in typing.get_args(hint))
    if origin is typing.Literal:
        return " or ".join(repr(each) for each in typing.get_args(hint))
    if _is_enum(hint):
        return " or ".join(repr(each.name) for each in hint)
    if hint in {None, type(None)}:
        return "null"
    return (
        str(hint.__name__) if isinstance(hint, type) and origin is None else str(hint).replace("typing.", "")
    )


def _bare(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    """A type without what `Annotated` and type aliases put around it."""
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if isinstance(hint, typing.NewType):
        return _bare(hint.__supertype__)
    return hint


def _first_that_fits(value: Any, hint: Any, read: Callable[[Any, Any], object]) -> object:  # noqa: ANN401
    """A value of the first type in a union that it fits; text is what fits everything, and so comes last."""
    kinds = sorted(typing.get_args(hint), key=lambda kind: kind is str)
    for kind in kinds:
        try:
            return read(value, kind)
        except UnfitError:
            continue
    raise UnfitError(f"{shown(value)} is not {said(hint)}")


def _literal(value: object, hint: Any) -> object:  # noqa: ANN401
    for each in typing.get_args(hint):
        if value == each or value == str(each):
            return each
    raise UnfitError(f"{shown(value)} is not {said(hint)}")


def _is_enum(hint: object) -> TypeGuard[type[enum.Enum]]:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def _enum(value: object, kind: type[enum.Enum]) -> enum.Enum:
    for each in kind:
        if value in {each.name, str(each.value)} or value == each.value:
            return each
    raise UnfitError(f"{shown(value)} is not {said(kind)}")


def _sequence(values: list[Any], hint: Any, origin: Any) -> object:  # noqa: ANN401
    of = typing.get_args(hint)
    if origin is tuple and of and of[-1] is not Ellipsis:
        if len(values) != len(of):
            raise UnfitError(f"{shown(values)} has {len(values)} values, and {said(hint)} has {len(of)}")
        return tuple(from_json(each, kind) for each, kind in zip(values, of, strict=True))
    items = [from_json(each, of[0] if of else Any) for each in values]
    return cast("object", items if origin in {list, Sequence, Iterable} else origin(items))


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _called(make: Callable[[str], object], text: str, hint: Any) -> object:  # noqa: ANN401
    try:
        return make(text)
    except (ValueError, ArithmeticError):
        raise UnfitError(f"{text!r} is not {said(hint)}") from None


def _has_fields(hint: object) -> TypeGuard[type[Any]]:
    return isinstance(hint, type) and (attrs.has(hint) or dataclasses.is_dataclass(hint))


def _structured(value: dict[str, Any], kind: type[Any]) -> object:
    """A value of a class with fields, made by the class itself, so that its converters and validators run."""
    hints = typing.get_type_hints(kind)
    fields = {name: _in_field(name, each, hints.get(name, Any)) for name, each in value.items()}
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise UnfitError(str(error)) from error


def _in_field(name: str, value: object, hint: Any) -> object:  # noqa: ANN401
    try:
        return from_json(value, hint)
    except UnfitError as error:
        raise UnfitError(f"in {name!r}: {error}") from None
