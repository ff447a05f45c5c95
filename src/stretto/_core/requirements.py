"""Who requires which values of the fields of an event, so that those whom it may fit are found without asking all.

Who requires is kept by the names of the fields and by their values. An event that is looked up in there costs as much
as there are different sets of names, and not as much as there are waits. It is only a first choice: whom it fits is
said by `Waiter.fits`. So a value whose equality is its class's own business, or that cannot be hashed, is left out of
the index: whoever requires it is asked about each event, and an event that has it goes to all who require such fields.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from enum import Enum
from heapq import merge
from operator import itemgetter
from typing import Generic, TypeAlias, TypeVar, final

from ..events import Event

__all__ = ["Index"]

W = TypeVar("W", bound=Hashable)

_Names: TypeAlias = tuple[str, ...]
_Values: TypeAlias = tuple[object, ...]

# What compares and hashes as these do can be looked up: no method of the user's has a say in it.
_PLAIN: Container[tuple[object, object]] = {
    (kind.__eq__, kind.__hash__) for kind in (object, str, int, float, bytes, type(None))
} | {(object.__eq__, Enum.__hash__)}
_ANYWHERE: tuple[_Names, _Values] = (), ()
_PLAIN_MODULES = {"datetime", "uuid"}
_ZONES = {"builtins", "datetime", "zoneinfo"}  # None, and time zones that are no class of the user's


@final
class Index(Generic[W]):
    """Who waits for events of one type, in the order of coming; adding one and taking one out is O(1)."""

    __slots__ = ("_by_names", "_count", "_places")

    def __init__(self) -> None:
        self._count = 0
        self._places: dict[W, tuple[_Names, _Values]] = {}
        self._by_names: dict[_Names, dict[_Values, dict[W, int]]] = {}

    def add(self, who: W, requirements: Mapping[str, object] | None) -> None:
        """It comes last."""
        self._count += 1
        names, values = self._places[who] = _place(requirements) if requirements else _ANYWHERE
        of_names = self._by_names.get(names)
        if of_names is None:
            of_names = self._by_names[names] = {}
        same = of_names.get(values)
        if same is None:
            same = of_names[values] = {}
        same[who] = self._count

    def discard(self, who: W) -> bool:
        """It goes; whether it was there."""
        if who not in self._places:
            return False
        names, values = self._places.pop(who)
        of_names = self._by_names[names]
        same = of_names[values]
        del same[who]
        if not same:
            del of_names[values]
            if not of_names:
                del self._by_names[names]
        return True

    def may_fit(self, event: Event) -> Iterable[W]:
        """Those whom the event may fit, in the order of coming; all others it does not."""
        found = [same for names, of_names in self._by_names.items() for same in _same(event, names, of_names)]
        if len(found) == 1:
            return found[0]
        ordered = merge(*(same.items() for same in found), key=itemgetter(1))
        return (who for who, _ in ordered)

    def __iter__(self) -> Iterator[W]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _place(requirements: Mapping[str, object]) -> tuple[_Names, _Values]:
    names = tuple(sorted([name for name, value in requirements.items() if _is_plain(value)]))
    return names, tuple([requirements[name] for name in names])


def _same(event: Event, names: _Names, of_names: dict[_Values, dict[W, int]]) -> Iterable[dict[W, int]]:
    """Who requires what these fields of the event are; all who require any of them, if that cannot be looked up."""
    if not names:
        return of_names.values()
    try:
        values = tuple([getattr(event, name, None) for name in names])
    except Exception:  # noqa: BLE001 - a property that fails: whoever asks for it is told
        return of_names.values()
    if not all(map(_is_plain, values)):
        return of_names.values()
    same = of_names.get(values)
    return () if same is None else (same,)


def _is_plain(value: object) -> bool:
    kind = type(value)
    if kind is str or kind is int:  # as most are
        return True
    if (kind.__eq__, kind.__hash__) in _PLAIN:
        return True
    return kind.__module__ in _PLAIN_MODULES and type(getattr(value, "tzinfo", None)).__module__ in _ZONES
