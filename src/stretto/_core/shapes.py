"""What a data object is: an attrs class, a dataclass or a pydantic model, and how one field of it is replaced.

Of these the fields are known, so they can be copied and rebuilt; every other object is opaque. pydantic is never
imported: its models are known by what they carry.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TypeVar, cast, final

import attrs

from ..events import Event

__all__ = [
    "Argument", "arguments", "attributes", "field_names", "is_frozen", "is_model", "raw", "replaced", "set_raw",
]  # fmt: skip

T = TypeVar("T")


@attrs.frozen
class _Frozen:
    """Any frozen attrs class: all of them have the same `__setattr__`."""


@final
@attrs.frozen(kw_only=True)
class Argument:
    """What the constructor of a data class takes for one of its fields.

    Attributes:
        name: The argument.
        field: The field, under whose name the type is annotated.
        needed: Whether there is no default.
        converted: Whether a converter stands before the field, so that the annotation says nothing of the argument.
    """

    name: str
    field: str
    needed: bool
    converted: bool = False


def arguments(kind: type) -> list[Argument] | None:
    """What an attrs class or a dataclass is made of, in order; None for anything else, a pydantic model too."""
    if attrs.has(kind):
        return [
            Argument(
                name=each.alias or each.name,
                field=each.name,
                needed=each.default is attrs.NOTHING,
                converted=each.converter is not None,
            )
            for each in attrs.fields(kind)
            if each.init
        ]
    if _is_dataclass(kind):
        missing = dataclasses.MISSING
        return [
            Argument(
                name=each.name,
                field=each.name,
                needed=each.default is missing and each.default_factory is missing,
            )
            for each in dataclasses.fields(kind)
            if each.init
        ]
    return None


def is_model(kind: object) -> bool:
    """Whether it is a class that checks and fills itself, as those of pydantic do."""
    return isinstance(kind, type) and callable(getattr(kind, "model_validate", None))


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
        return kind.__setattr__ in {_Frozen.__setattr__, Event.__setattr__}
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
