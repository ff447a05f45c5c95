"""How a value of one of the program's classes is taken apart, and put together again as it was.

Field by field, as they are stored: no ``__init__`` and no converter runs again. What the class says of the fields is
asked all the same: names, defaults for those that are missing, and the validators of attrs.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, cast

import attrs

from ._core.places import is_text_keyed
from ._core.shapes import attributes, field_names, is_model, raw, set_raw
from .events import Event

__all__ = ["bare", "class_of", "is_named_tuple", "names_of", "rebuilt", "taken_apart"]

_MISSING = object()
_new_tuple: Callable[[type[Any], list[object]], object] = cast("Any", tuple).__new__
_FACTORY: Any = type(attrs.Factory(list[object]))


def bare(kind: type[Any]) -> bool:
    """Whether it is a class of events without fields, which keep whatever they are given."""
    return issubclass(kind, Event) and not attrs.has(kind)


def names_of(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a data class or a named tuple."""
    return field_names(kind) or tuple(getattr(kind, "_fields", ()))


def is_named_tuple(kind: type[Any]) -> bool:
    """Whether it is a class of tuples whose elements have names."""
    return hasattr(kind, "_fields") and issubclass(kind, tuple)


def class_of(value: object) -> type[Any]:
    """The class of a value."""
    return type(value)


def taken_apart(value: object) -> tuple[dict[str, object], dict[str, object]] | None:
    """The fields of a value, and what else is stored in it; None if it cannot be taken apart."""
    kind = class_of(value)
    if bare(kind):
        return dict(vars(value)), {}
    if is_named_tuple(kind):
        return dict(zip(names_of(kind), cast("tuple[object, ...]", value), strict=True)), {}
    names = attributes(value)
    if names is None:
        return None
    fields = names_of(kind)
    beside = [raw(value, name) for name in ("__pydantic_extra__", "__pydantic_private__")]
    held = {name: raw(value, name, _MISSING) for name in names}
    return (
        {name: held[name] for name in fields if held[name] is not _MISSING},
        {name: each for name, each in held.items() if name not in fields and not _is_cached(kind, name)}
        | {name: each for part in beside if is_text_keyed(part) for name, each in part.items()},
    )


def _is_cached(kind: type[Any], name: str) -> bool:
    return isinstance(getattr(kind, name, None), functools.cached_property)


def rebuilt(kind: type[Any], fields: Mapping[str, object], more: Mapping[str, object]) -> object:
    """The value; raises anything if the fields are not those of such a one."""
    if bare(kind):
        event: Event = object.__new__(kind)
        event.__dict__.update(fields)
        return event
    if is_named_tuple(kind):
        held = {**getattr(kind, "_field_defaults", {}), **fields}
        return _new_tuple(kind, [held[name] if name in held else _missing(name) for name in names_of(kind)])
    if is_model(kind):
        return _model(kind, fields, more)
    value: Any = object.__new__(kind)
    for name, default in _defaults(kind, value):
        each = fields[name] if name in fields else default()
        if each is not _MISSING:
            set_raw(value, name, each)
    for name, each in more.items():
        set_raw(value, name, each)
    if attrs.has(kind):
        attrs.validate(value)
    return value


def _model(kind: type[Any], fields: Mapping[str, object], more: Mapping[str, object]) -> object:
    """A pydantic model checks what it is given, and takes private attributes afterwards only."""
    private = [name for name in more if name in kind.__private_attributes__]
    extra = {name: each for name, each in more.items() if name not in private}
    value = kind.model_validate({**fields, **extra}, by_name=True, by_alias=False)
    for name in private:
        setattr(value, name, more[name])
    return value


def _defaults(kind: type[Any], value: object) -> Iterator[tuple[str, Callable[[], object]]]:
    """The fields of an attrs class or a dataclass, each with what makes its default."""
    if attrs.has(kind):
        yield from (
            (field.name, functools.partial(_default_of, field, value)) for field in attrs.fields(kind)
        )
    else:
        yield from (
            (field.name, functools.partial(_default_in_dataclass, field))
            for field in dataclasses.fields(kind)
        )


def _default_of(field: attrs.Attribute[Any], value: object) -> object:
    default: Any = field.default
    if isinstance(default, _FACTORY):
        return default.factory(value) if default.takes_self else default.factory()
    if default is not attrs.NOTHING:
        return default
    return _missing(field.name) if field.init else _MISSING


def _default_in_dataclass(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is not dataclasses.MISSING:
        return copy.copy(field.default)
    return _missing(field.name) if field.init else _MISSING


def _missing(name: str) -> NoReturn:
    raise ValueError(f"{name!r} is missing")
