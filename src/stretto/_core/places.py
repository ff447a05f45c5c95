"""Plain data that somebody else wrote: each part of it knows where it stands, so that an error can say so.

Nothing in it is believed. A part is asked for what it should be, and if it is something else the error has the path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard, cast, final

from ..errors import SnapshotError, shown

__all__ = ["Place", "is_text_keyed", "stepped"]

_LONGEST = 2.0**53  # a time that can still be added to a clock, unlike infinity


def stepped(path: str, key: str | int) -> str:
    """The path of what stands at a key below another."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not key.isidentifier():
        return f"{path}[{key!r}]"
    return f"{path}.{key}" if path else key


def is_text_keyed(value: object) -> TypeGuard[dict[str, object]]:
    """Whether it is an object of JSON."""
    return isinstance(value, dict) and all(
        isinstance(key, str) for key in cast("dict[object, object]", value)
    )


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


@final
class Place:
    """A part of the data, and where it stands.

    Attributes:
        value: The part itself.
    """

    __slots__ = ("_above", "_key", "value")

    def __init__(self, value: object, key: str | int = "", above: Place | None = None) -> None:
        self.value = value
        self._key = key
        self._above = above  # the path is put together when an error needs it

    @property
    def path(self) -> str:
        """Such as ``active[2].event``; empty for the whole."""
        return "" if self._above is None else stepped(self._above.path, self._key)

    def error(self, what: str) -> SnapshotError:
        """The error that this part is wrong."""
        path = self.path
        return SnapshotError(f"{path or 'the snapshot'}: {what}", path)

    def wants(self, what: str) -> SnapshotError:
        """The error that this part is something else."""
        return self.error(f"this should be {what}, and is {shown(self.value)}")

    def get(self, name: str) -> Place | None:
        """A part of it that may be missing."""
        if not is_text_keyed(self.value):
            raise self.wants("an object")
        value = self.value.get(name)
        return None if value is None else Place(value, name, self)

    def part(self, name: str) -> Place:
        """A part that must be there; it may be null."""
        if not is_text_keyed(self.value):
            raise self.wants("an object")
        if name not in self.value:
            raise self.error(f"{name!r} is missing")
        return Place(self.value[name], name, self)

    def listed(self, name: str) -> Iterator[Place]:
        """The elements of a list that may be missing."""
        part = self.get(name)
        return iter(()) if part is None else part.items()

    def items(self) -> Iterator[Place]:
        """The elements of a list."""
        if not _is_list(self.value):
            raise self.wants("a list")
        return (Place(each, at, self) for at, each in enumerate(self.value))

    def exactly(self, count: int) -> list[Place]:
        """The elements of a list of this length."""
        items = list(self.items())
        if len(items) != count:
            raise self.wants(f"a list of {count}")
        return items

    def between(self, least: int, most: int) -> list[Place]:
        """The elements of a list of a length from `least` to `most`."""
        items = list(self.items())
        if not least <= len(items) <= most:
            raise self.wants(f"a list of {least} to {most}")
        return items

    def entries(self) -> Iterator[tuple[str, Place]]:
        """The names and parts of an object."""
        if not is_text_keyed(self.value):
            raise self.wants("an object")
        return ((name, Place(each, name, self)) for name, each in self.value.items())

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            raise self.wants("a text")
        return self.value

    def whole(self, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wants(f"a whole number from {least} to {most}")
        return value

    def seconds(self) -> float:
        """A time in seconds, not below 0."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LONGEST:
            raise self.wants("a time in seconds")
        return float(value)

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.wants("true or false")
        return self.value
