"""A run that is written, and goes on in another machine: by plain data, and a codec that keeps what it is given."""

from __future__ import annotations

import json
import re
from contextvars import copy_context
from typing import Any

from stretto._core.machine import Machine
from stretto._core.places import Place
from stretto._core.plan import Plan
from stretto._core.saving import OfBehalf, ToBehalf
from stretto._core.snapshots import restore, snapshot
from stretto.events import Event


class Kept:
    """Writes the number of what it is given, and reads that very object: identities can be compared."""

    def __init__(self) -> None:
        self.things: list[Any] = []
        self.told: list[tuple[str, object]] = []

    def event(self, event: Event, path: str) -> int:
        return self.value(event, path)

    def kind(self, kind: type, path: str) -> str:
        name = f"{len(self.things)} {kind.__name__}"
        self.things.append(kind)
        self.told.append((path, name))
        return name

    def value(self, value: object, path: str) -> int:
        number = len(self.things)
        self.things.append(value)
        self.told.append((path, number))
        return number

    def check(self, data: object) -> None:
        """Each thing was written where the writer was told that it would be: what it complains of has that path."""
        for path, thing in self.told:
            assert found(data, path) == thing, path


def found(data: Any, path: str) -> object:
    for part in re.findall(r"\w+", path):
        data = data[int(part) if isinstance(data, list) else part]
    return data


class Again:
    """Reads what `Kept` wrote."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    def event(self, place: Place) -> Any:
        return self.kept.things[place.whole(0, len(self.kept.things) - 1)]

    value = event

    def kind(self, place: Place) -> Any:
        return self.kept.things[int(place.text().split()[0])]


def written(run: Machine, at: float, kept: Kept, behalf: ToBehalf | None = None) -> dict[str, Any]:
    """The data, by way of JSON: it is plain."""
    data = json.loads(json.dumps(snapshot(run, at, kept, behalf), allow_nan=False))
    kept.check(data)
    return data


def read(
    data: object, kept: Kept, plan: Plan, at: float, limit: int, *, behalf: OfBehalf | None = None
) -> tuple[Any, Any]:
    run = Machine(plan, at, at, limit)
    return run, restore(run, Place(data), at, Again(kept), copy_context(), behalf=behalf)


def restarted(run: Machine, at: float, *, asleep: float = 0.0) -> tuple[Any, Any]:
    """A run that goes on elsewhere, some seconds later by another clock."""
    kept = Kept()
    return read(written(run, at, kept), kept, run.plan, at + asleep, run.collect_limit)
