"""What a data object is: an attrs class, a dataclass or a pydantic model, and how one field of it is replaced.

Of these the fields are known, so they can be copied and rebuilt; every other object is opaque. pydantic is never
imported: its models are known by what they carry.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TypeVar, cast

import attrs

__all__ = ["attributes", "field_names", "is_frozen", "raw", "replaced", "set_raw"]

T = TypeVar("T")


@attrs.frozen
class _Frozen:
    """Any frozen attrs class: all of them have the same `__setattr__`."""


def field_names(kind: type) -> tuple[str, ...] | None:
    """The fields that a class declares, in order; None if it is no data class of the three sorts."""
    if attrs.has(kind):
        return tuple(field.name for field in attrs.fields(kind))
    if _is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    model = _model_fields(kind)
    return None if model is None else tuple(model)


def attributes(value: object) -> dict[str, None] | None:
    """The attributes that a data object has, fields first; None if it is opaque."""
    fields = field_names(type(value))
    if fields is None:
        return None
    return dict.fromkeys((*fields, *cast("dict[str, object]", getattr(value, "__dict__", {}))))


def is_frozen(kind: type) -> bool:
    """Whether instances of a data class refuse to be assigned to."""
    if attrs.has(kind):
        return kind.__setattr__ is _Frozen.__setattr__
    if _is_dataclass(kind):
        return bool(getattr(kind, "__dataclass_params__").frozen)  # noqa: B009 - checkers know only the fields
    return bool(getattr(kind, "model_config", {}).get("frozen"))


def raw(value: object, name: str, default: object = None) -> object:
    """An attribute as it is stored, whatever the class does to those who read it."""
    try:
        return cast("object", object.__getattribute__(value, name))
    except AttributeError:  # a field that nothing was put in yet
        return default


def set_raw(value: object, name: str, to: object) -> None:
    """Stores an attribute, also of a frozen object."""
    object.__setattr__(value, name, to)


def replaced(value: T, name: str, to: object) -> T:
    """The object with one field set anew, as its library does it: with validators and converters.

    A frozen one is made anew; of any other a shallow copy is made and assigned to.
    """
    kind = type(value)
    if not is_frozen(kind):
        changed = copy.copy(value)
        setattr(changed, name, to)
        return changed
    if attrs.has(kind):
        alias = next((field.alias for field in attrs.fields(kind) if field.name == name), name)
        return attrs.evolve(value, **{alias or name: to})  # type: ignore[misc]
    if _is_dataclass(kind):
        return dataclasses.replace(value, **{name: to})  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUnknownVariableType]
    return cast("T", value.model_copy(update={name: to}))  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind)


def _model_fields(kind: type) -> dict[str, object] | None:
    return cast("dict[str, object] | None", getattr(kind, "__pydantic_fields__", None))
