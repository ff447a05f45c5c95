"""What a journal tells, put together: for each piece of work when it was, what it took and sent, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import attrs

from ..journal import Entry

__all__ = ["Sent", "Wait", "Work", "in_lanes", "works_of"]


@final
@attrs.frozen
class Sent:
    """An event that a step sent: its number, its class, what it looked like, and when."""

    number: int
    name: str
    text: str
    at: float


@final
@attrs.define
class Wait:
    """A wait in the middle of a step: for which class, from when to when; None while it waits.

    Attributes:
        event: The number of the event that came; 0 if none has.
    """

    name: str
    since: float
    until: float | None = None
    event: int = 0


@final
@attrs.define(kw_only=True, eq=False)
class Work:
    """One attempt of a step at one event.

    Attributes:
        number: Its number in the run.
        ready: When the event was sent, so that it waited for a worker since; None if that is not known.
        ended: When it ended; None if it had not.
        how: ``"ended"``, ``"failed"``, ``"cancelled"``, or ``"at work"``.
        error: What it raised.
        run: Which run it was in, see `Entry`.
    """

    number: int
    step: str
    attempt: int
    event: int
    name: str
    text: str
    causes: tuple[int, ...]
    ready: float | None
    began: float
    ended: float | None = None
    how: str = "at work"
    error: str = ""
    run: int = 0
    sent: list[Sent] = attrs.Factory(list[Sent])
    waits: list[Wait] = attrs.Factory(list[Wait])

    def until(self, end: float) -> float:
        """When it ended, or the end of what is told."""
        return end if self.ended is None else self.ended


def works_of(entries: Iterable[Entry]) -> list[Work]:
    """The pieces of work in the order in which they began; what of one was pushed out of the journal is left out."""
    works: dict[int, Work] = {}
    sent: dict[int, float] = {}
    for entry in entries:
        if entry.kind in {"came", "sent"}:
            sent[entry.event] = entry.at
        if entry.kind == "began":
            works[entry.work] = _begun(entry, sent.get(entry.event))
        elif entry.work in works:
            _go_on(works[entry.work], entry)
    return [*works.values()]


def _begun(entry: Entry, ready: float | None) -> Work:
    return Work(
        number=entry.work,
        step=entry.step,
        attempt=entry.attempt,
        event=entry.event,
        name=entry.name,
        text=entry.text,
        causes=entry.causes,
        ready=ready,
        began=entry.at,
        run=entry.run,
    )


def _go_on(work: Work, entry: Entry) -> None:
    match entry.kind:
        case "sent":
            work.sent.append(Sent(entry.event, entry.name, entry.text, entry.at))
        case "waits":
            work.waits.append(Wait(entry.name, entry.at))
        case "resumed" if work.waits:
            work.waits[-1].until, work.waits[-1].event = entry.at, entry.event
        case "ended" | "failed" | "cancelled":
            work.ended, work.how, work.error = entry.at, entry.kind, entry.text
        case _:
            return


def in_lanes(works: Sequence[Work], end: float) -> list[list[Work]]:
    """The pieces of work of one step side by side, each in the first lane that is free when it begins."""
    lanes: list[list[Work]] = []
    for work in works:
        free = next((lane for lane in lanes if lane[-1].until(end) <= work.began), None)
        if free is None:
            lanes.append([work])
        else:
            free.append(work)
    return lanes
