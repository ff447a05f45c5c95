"""State classes of every sort that a run may keep, all of one form: a list, a dict, an inner object, a number."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import attrs
import pydantic

from stretto._core.run_state import FreeState


@attrs.define
class Inner:
    names: list[str] = attrs.Factory(list)
    by_name: dict[str, Any] = attrs.Factory(dict)


@attrs.define
class Slotted:
    items: list[Any] = attrs.Factory(list)
    by_key: dict[str, Any] = attrs.Factory(dict)
    inner: Inner = attrs.Factory(Inner)
    total: int = 0


@attrs.define(slots=False)
class WithDict:
    items: list[Any] = attrs.Factory(list)
    by_key: dict[str, Any] = attrs.Factory(dict)
    inner: Inner = attrs.Factory(Inner)
    total: int = 0


@dataclasses.dataclass
class Data:
    items: list[Any] = dataclasses.field(default_factory=list)
    by_key: dict[str, Any] = dataclasses.field(default_factory=dict)
    inner: Inner = dataclasses.field(default_factory=Inner)
    total: int = 0


@dataclasses.dataclass(slots=True)
class SlottedData:
    items: list[Any] = dataclasses.field(default_factory=list)
    by_key: dict[str, Any] = dataclasses.field(default_factory=dict)
    inner: Inner = dataclasses.field(default_factory=Inner)
    total: int = 0


class Model(pydantic.BaseModel, arbitrary_types_allowed=True):
    items: list[Any] = []
    by_key: dict[str, Any] = {}
    inner: Inner = Inner()
    total: int = 0


def free() -> FreeState:
    return FreeState(items=[], by_key={}, inner=Inner(), total=0)


CLASSES = [Slotted, WithDict, Data, SlottedData, Model]


@attrs.frozen
class Frozen:
    name: str = ""
    tags: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True)
class FrozenData:
    name: str = ""
    tags: tuple[Any, ...] = ()


class FrozenModel(pydantic.BaseModel, frozen=True):
    name: str = ""
    tags: tuple[Any, ...] = ()


class Opaque:
    """As a client: nothing is known of it, and it can be neither copied nor compared."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.url = "here"
