"""What steps share beside the engine: attributes of the workflow, and objects that can be changed.

Attributes are told apart by name as long as what they hold cannot change. All objects that can are one thing, the
*heap*: which of them refer to which others is not known. A step that has got hold of one may change it later without
asking `self` again, so from then on all that it does touches the heap.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import types
import uuid
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeGuard

from ..events import Event
from ._actor import Actor, present
from ._footprint import Footprint

__all__ = ["is_mutable", "touch_heap", "tracked"]

_PLAIN = (
    int, float, complex, str, bytes, range, type(None), type(...), type, enum.Enum, PurePath, uuid.UUID,
    decimal.Decimal, fractions.Fraction, dt.date, dt.time, dt.timedelta, dt.tzinfo,
    types.FunctionType, types.BuiltinFunctionType, types.ModuleType,
)  # fmt: skip
_CODE = (types.FunctionType, types.MethodType, types.BuiltinMethodType)


def is_mutable(value: object) -> bool:
    """Whether a value can change, as far as can be seen."""
    if _is_frozen_collection(value):
        return any(is_mutable(each) for each in value)
    if isinstance(value, Event):
        return any(is_mutable(each) for each in vars(value).values())
    return not isinstance(value, _PLAIN)


def _is_frozen_collection(value: object) -> TypeGuard[tuple[object, ...] | frozenset[object]]:
    return isinstance(value, (tuple, frozenset))


def touch_heap(footprint: Footprint, who: Actor | None) -> None:
    """Somebody has got hold of an object that can change."""
    footprint.writes.add("heap")
    if who is not None:
        who.opaque = True


def tracked(cls: type, footprint: Callable[[], Footprint]) -> type:
    """A subclass whose instances tell which of their attributes are read and written."""
    base: Any = cls

    def read(self: Any, name: str) -> Any:  # noqa: ANN401 - as in `object`
        value: Any = base.__getattribute__(self, name)
        if name == "__dict__":
            footprint().everything = True
        elif not name.startswith("__") and not isinstance(value, _CODE):
            footprint().reads.add(("self", name))
            if is_mutable(value):
                touch_heap(footprint(), present.get())
        return value

    def written(self: Any, name: str, value: object) -> None:  # noqa: ANN401 - as in `object`
        footprint().writes.add(("self", name))
        base.__setattr__(self, name, value)

    def deleted(self: Any, name: str) -> None:  # noqa: ANN401 - as in `object`
        footprint().writes.add(("self", name))
        base.__delattr__(self, name)

    names: dict[str, object] = {"__getattribute__": read, "__setattr__": written, "__delattr__": deleted}
    names |= {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
    }  # as if it were the class itself
    made: type = type(base)(cls.__name__, (cls,), names)
    return made
