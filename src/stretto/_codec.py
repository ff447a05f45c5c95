"""Values as plain data and back: what JSON has stands for itself, anything else says in a word what it is.

``{"$": "tuple", "of": [1, 2]}`` is a value of a class that Python brings, ``{"$type": "Offer", "fields": {...}}`` one
of the program's. So what is read is what was written, whatever the annotations say.

Reading trusts nothing: each part is asked for what it should be, a class is looked up among the known ones, and
whatever goes wrong is a `SnapshotError` with the path.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import enum
import functools
import math
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard, cast, final

from ._core.places import Place, is_text_keyed, stepped
from ._core.run_state import FreeState
from ._known_types import KnownTypes, version_of
from ._rebuilding import bare, class_of, names_of, rebuilt, taken_apart
from .errors import RestoredError, SnapshotError, near, shown
from .events import Event

__all__ = ["SnapshotReader", "SnapshotWriter"]


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


_OURS, _THEIRS = "$", "$type"
_DEEPEST = 100
_MICROSECOND = dt.timedelta(microseconds=1)
_PLAIN: set[type] = {type(None), bool, int, str}
_LISTS: dict[type, str] = {
    tuple: "tuple", set: "set", frozenset: "frozenset", deque: "deque",
}  # fmt: skip
_TEXTS: dict[type, tuple[Callable[[Any], str], Callable[[str], object]]] = {
    float: (str, float),  # inf and nan, which JSON has not
    bytes: (_base64, lambda text: base64.b64decode(text, validate=True)),
    bytearray: (_base64, lambda text: bytearray(base64.b64decode(text, validate=True))),
    complex: (str, complex),
    dt.datetime: (dt.datetime.isoformat, dt.datetime.fromisoformat),
    dt.date: (dt.date.isoformat, dt.date.fromisoformat),
    dt.time: (dt.time.isoformat, dt.time.fromisoformat),
    dt.timedelta: (
        lambda value: f"{value // _MICROSECOND}", lambda text: int(text) * _MICROSECOND,
    ),
    decimal.Decimal: (str, decimal.Decimal),
    uuid.UUID: (str, uuid.UUID),
}  # fmt: skip
_LISTS_BY_NAME: dict[str, Callable[[Iterable[object]], object]] = {
    name: kind for kind, name in _LISTS.items()
}
_TEXTS_BY_NAME = {kind.__name__: read for kind, (_, read) in _TEXTS.items()}


@final
class SnapshotWriter:
    """Writes values. Each event is written once, and stands for itself by its number.

    Attributes:
        events: The events so far, written.
        within: The path of what is being written, if it is a part of more.
    """

    within = ""

    def __init__(self, known: KnownTypes) -> None:
        self.events: list[object] = []
        self._known = known
        self._numbers: dict[int, tuple[int, Event]] = {}
        self._path: list[str | int] = []

    def event(self, event: Event, path: str) -> int:
        """The number under which an event is kept; the same one for the same object."""
        found = self._numbers.get(id(event))
        if found is None:
            self.events.append(self.value(event, path))
            found = self._numbers[id(event)] = (len(self.events) - 1, event)
        return found[0]

    def kind(self, kind: type, path: str) -> str:
        """The name of a class."""
        self._path = [self.within + path]
        return self._known.name_of(kind, self._error)

    def value(self, value: object, path: str) -> object:
        """A value as plain data, independent of the value itself.

        Raises:
            SnapshotError: If there is something in it that cannot be written.
        """
        self._path = [self.within + path]
        return self._written(value)

    def _written(self, value: object) -> object:
        kind = type(value)
        if kind in _PLAIN or (kind is float and math.isfinite(cast("float", value))):
            return value
        if len(self._path) > _DEEPEST:
            raise self._error(
                f"this is {_DEEPEST} levels deep, or holds itself; keep what nests deeper as text"
            )
        if kind is list:
            return self._items(cast("list[object]", value))
        if kind is dict or isinstance(value, FreeState):
            return self._mapping(cast("dict[object, object]", value))
        if kind in _LISTS:
            return {_OURS: _LISTS[kind], "of": self._items(_in_order(value))}
        if kind in _TEXTS:
            self._check_zone(value)
            return {_OURS: kind.__name__, "of": _TEXTS[kind][0](value)}
        if isinstance(value, BaseException):
            named = value.kind if isinstance(value, RestoredError) else kind.__name__
            return {_OURS: "error", "type": named, "of": _text_of(value)}
        return self._object(value)

    def _items(self, values: Iterable[object]) -> list[object]:
        return [self._at(number, each) for number, each in enumerate(values)]

    def _at(self, key: str | int, value: object) -> object:
        if type(value) in _PLAIN:
            return value
        self._path.append(key)
        written = self._written(value)
        self._path.pop()
        return written

    def _mapping(self, value: Mapping[object, object]) -> object:
        if is_text_keyed(value) and _OURS not in value and _THEIRS not in value:
            return {name: self._at(name, each) for name, each in value.items()}
        pairs = [[self._at(str(key), key), self._at(str(key), each)] for key, each in value.items()]
        return {_OURS: "dict", "of": pairs}

    def _check_zone(self, value: object) -> None:
        zone = getattr(value, "tzinfo", None)
        if zone is not None and type(zone) is not dt.timezone:
            raise self._error(
                f"{shown(value)} has a time zone that is looked up by a name; write it as value.astimezone(UTC)"
            )

    def _object(self, value: Any) -> object:  # noqa: ANN401
        """A value of one of the program's classes."""
        kind = class_of(value)
        if isinstance(value, enum.Enum):
            if value.name in kind.__members__:
                return {_THEIRS: self._name(kind), "name": value.name}
            return {_THEIRS: self._name(kind), "value": value.value}  # a flag of several
        parts = taken_apart(value)
        if parts is None:
            raise self._error(
                f"{shown(value)} cannot be written: {kind.__name__} is no plain data, attrs class, dataclass, "
                "pydantic model, enum or named tuple; keep in its place what it is made of"
            )
        fields, more = parts
        data: dict[str, object] = {_THEIRS: self._name(kind)}
        if (version := version_of(kind)) != 1:
            data["version"] = version
        data["fields"] = {name: self._at(name, each) for name, each in fields.items()}
        if more:
            data["more"] = {name: self._at(name, each) for name, each in more.items()}
        return data

    def _name(self, kind: type) -> str:
        return self._known.name_of(kind, self._error)

    def _error(self, what: str) -> SnapshotError:
        path = functools.reduce(stepped, self._path[1:], str(self._path[0]))
        return SnapshotError(f"{path}: {what}", path)


def _in_order(value: object) -> Iterable[object]:
    """The elements; those of a set in an order that does not hang on hashes."""
    values = cast("Iterable[object]", value)
    return sorted(values, key=repr) if isinstance(value, (set, frozenset)) else values


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - of the user's, and only told
        return shown(error)


@final
class SnapshotReader:
    """Reads what a `SnapshotWriter` wrote."""

    def __init__(self, known: KnownTypes, events: Iterable[Place]) -> None:
        self._known = known
        self._events: list[Event] = []
        for place in events:
            event = self.value(place)
            if not isinstance(event, Event):
                raise place.wants("an event")
            self._events.append(event)

    def event(self, place: Place) -> Event:
        """The event with that number; the same object each time."""
        if not self._events:
            raise place.wants("the number of an event, of which there are none")
        return self._events[place.whole(0, len(self._events) - 1)]

    def kind(self, place: Place) -> type[Event]:
        """The class of events with that name."""
        kind = self._known.find(place.text(), place.error)
        if not issubclass(kind, Event):
            raise place.wants("a class of events")
        return kind

    def value(self, place: Place, depth: int = 0) -> object:
        """A value.

        Raises:
            SnapshotError: If it is not what a writer writes.
        """
        value = place.value
        kind = type(value)
        if kind in _PLAIN or kind is float:
            return value
        if depth > _DEEPEST:
            raise place.error(f"this is {_DEEPEST} levels deep, and was not written so")
        if kind is list:
            return self._items(place, depth)
        if not is_text_keyed(value):
            raise place.wants("plain data")
        if _THEIRS in value:
            return self._object(place, depth)
        if _OURS in value:
            return self._ours(place, depth)
        return {name: self.value(each, depth + 1) for name, each in place.entries()}

    def _items(self, place: Place, depth: int) -> list[object]:
        return [self.value(each, depth + 1) for each in place.items()]

    def _ours(self, place: Place, depth: int) -> object:
        word, of = place.part(_OURS).text(), place.part("of")
        if word == "dict":
            pairs = [[self.value(each, depth + 1) for each in pair.exactly(2)] for pair in of.items()]
            return _tried(lambda: dict(cast("Any", pairs)), of)
        if word == "error":
            return RestoredError(of.text(), place.part("type").text())
        if word in _LISTS_BY_NAME:
            items = self._items(of, depth)
            return _tried(lambda: _LISTS_BY_NAME[word](items), of)
        if word in _TEXTS_BY_NAME:
            text = of.text()
            return _tried(lambda: _TEXTS_BY_NAME[word](text), of)
        raise place.part(_OURS).error(f"{word!r} is no kind of value; it may be of a newer stretto")

    # -- what the program has classes for ------------------------------------------------------------------------

    def _object(self, place: Place, depth: int) -> object:
        kind = self._known.find(place.part(_THEIRS).text(), place.part(_THEIRS).error)
        if _is_enum(kind):
            return self._member(kind, place)
        fields = {name: self.value(each, depth + 1) for name, each in place.part("fields").entries()}
        fields = _as_now(kind, fields, place)
        part = place.get("more")
        more = {} if part is None else {name: self.value(each, depth + 1) for name, each in part.entries()}
        if not bare(kind):
            _check_names(kind, fields, place.part("fields"))
        return _tried(lambda: rebuilt(kind, fields, more), place)

    @staticmethod
    def _member(kind: type[enum.Enum], place: Place) -> object:
        if place.get("name") is None:
            number = place.part("value").whole(0, 2**64)
            return _tried(lambda: kind(number), place)
        name = place.part("name")
        member = kind.__members__.get(name.text())
        if member is None:
            raise name.error(f"{kind.__name__} has no {name.value!r}{near(name.text(), kind.__members__)}")
        return member


def _is_enum(kind: type[Any]) -> TypeGuard[type[enum.Enum]]:
    return issubclass(kind, enum.Enum)


def _tried(make: Callable[[], object], place: Place) -> object:
    """What is made; whatever that raises is the data's fault."""
    try:
        return make()
    except SnapshotError:
        raise
    except Exception as error:
        raise place.error(f"{shown(place.value)} cannot be read: {shown(error)}") from error


def _as_now(kind: type, fields: dict[str, object], place: Place) -> dict[str, object]:
    """The fields as the class has them now, whatever version of it was written."""
    part = place.get("version")
    written, now = 1 if part is None else part.whole(1, 2**31), version_of(kind)
    if written == now:
        return fields
    where = place if part is None else part
    if written > now:
        raise where.error(
            f"this is version {written} of {kind.__name__}, which is version {now} here; update the program"
        )
    upgrade = getattr(kind, "upgrade", None)
    if not callable(upgrade):
        raise where.error(
            f"this is version {written} of {kind.__name__}, which is version {now} now; give the class a classmethod "
            "upgrade(cls, version, fields) that gives the fields as they are now"
        )
    upgraded = _tried(lambda: upgrade(written, fields), place)
    if not is_text_keyed(upgraded):
        raise where.error(
            f"{kind.__name__}.upgrade({written}, …) gave {shown(upgraded)}; return the fields by name"
        )
    return upgraded


def _check_names(kind: type, fields: Mapping[str, object], place: Place) -> None:
    names = names_of(kind)
    for name in fields:
        if name not in names:
            raise place.error(
                f"{kind.__name__} has no field {name!r}{near(name, names)}; if it had one, give the class the next "
                "version and a classmethod upgrade(cls, version, fields)"
            )
