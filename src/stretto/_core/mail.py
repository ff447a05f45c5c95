"""An event that no step takes, on its way to who waits for it, and why somebody who waited did not get it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from .._fields import Fields
from ..errors import shown
from ..events import Event

__all__ = ["Mail", "Wish"]


@final
class Wish(Fields):
    """What somebody waited for, as far as messages say it: it outlives the wait, and keeps nothing of the step alive.

    Attributes:
        label: The step that waited.
        requirements: What fields of the event were to be.
    """

    label: str
    requirements: Mapping[str, object] | None = None

    def lacking(self, event: Event) -> str:
        """What an event of its type lacks."""
        for name, wanted in (self.requirements or {}).items():
            has = getattr(event, name, None)
            if _differ(has, wanted):
                return f"{name}={shown(wanted)}, not {shown(has)}"
        return "one of which its where= is true"


def _differ(has: object, wanted: object) -> bool:
    try:
        return bool(has != wanted)
    except Exception:  # noqa: BLE001 - the step that waited was given this error
        return True


@final
class Mail:
    """An event that no step takes.

    Attributes:
        outside: Whether it came from outside the run.
        passed: What somebody wished who has stopped waiting, and did not take it.
    """

    __slots__ = ("event", "outside", "passed")

    def __init__(self, event: Event, outside: bool) -> None:  # noqa: FBT001 - two of two
        self.event = event
        self.outside = outside
        self.passed: Wish | None = None
