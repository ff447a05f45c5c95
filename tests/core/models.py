"""What the core should do, said as shortly as it can be: the other side of its property tests.

The models know nothing of speed: they search lists. Events are told apart by identity, never by equality.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from stretto._core.plan import StepPlan
from stretto.events import Event, InputRequiredEvent, StopEvent

Seen: TypeAlias = tuple[str, str, int]
"""An effect: what is done, by which step, and the identity of the event."""


class Collected:
    """One buffer of `collect_events`."""

    def __init__(self) -> None:
        self.kept: list[Event] = []

    def collect(self, event: Event, expected: Sequence[type[Event]]) -> list[Event] | None:
        self.kept.append(event)
        return self.batch(expected)

    def batch(self, expected: Sequence[type[Event]]) -> list[Event] | None:
        rest, batch = list(self.kept), list[Event]()
        for kind in expected:
            at = next((at for at, each in enumerate(rest) if type(each) is kind), None)
            if at is None:
                return None
            batch.append(rest.pop(at))
        self.kept = rest
        return batch


def takers(steps: Sequence[StepPlan], kind: type[Event]) -> list[StepPlan]:
    """The steps that take an event of this type, in the order of definition."""
    return [
        step
        for step in steps
        if kind in step.accepts
        or (step.accepts_subclasses and any(issubclass(kind, each) for each in step.accepts))
    ]


@attrs.define
class Run:
    """One run: each step has a queue, and at most `limit` events ready or at work."""

    steps: Sequence[StepPlan]
    limit: int
    feeders: int = 0
    ended: str | None = None
    queued: dict[str, list[Event]] = attrs.Factory(
        lambda self: {step.name: [] for step in self.steps}, takes_self=True
    )
    active: dict[str, list[Event]] = attrs.Factory(
        lambda self: {step.name: [] for step in self.steps}, takes_self=True
    )
    mailbox: list[Event] = attrs.Factory(list)

    def send(self, event: Event, to: StepPlan | None = None, *, outside: bool = False) -> list[Seen]:
        if self.ended:
            return [("dead", "", id(event)), *self.end()]
        if isinstance(event, StopEvent):
            return self.end("STOPPED")
        seen: list[Seen] = [("publish", "", id(event))] if isinstance(event, InputRequiredEvent) else []
        to_steps = takers(self.steps, type(event)) if to is None else [to]
        for step in to_steps:
            self.queued[step.name].append(event)
            seen += self.admit(step)
        if to_steps or seen:
            return seen
        if outside and len(self.mailbox) < self.limit:
            self.mailbox.append(event)
            return []
        return [("dead", "", id(event))]

    def admit(self, step: StepPlan) -> list[Seen]:
        queue, active = self.queued[step.name], self.active[step.name]
        if not queue or len(active) >= step.limit:
            return []
        active.append(queue.pop(0))
        return [("start", step.name, id(active[-1]))]

    def leave(self, step: StepPlan, event: Event) -> None:
        active = self.active[step.name]
        del active[next(at for at, each in enumerate(active) if each is event)]

    def returned(self, step: StepPlan, event: Event, events: Sequence[Event]) -> list[Seen]:
        self.leave(step, event)
        seen = self.admit(step)
        for each in events:
            seen += self.send(each)
        return seen + self.check()

    def check(self) -> list[Seen]:
        if self.ended:
            return self.end()
        return [] if self.feeders or any(self.active.values()) else self.end("STALLED")

    def end(self, how: str = "") -> list[Seen]:
        """What came first is why it ended."""
        self.ended = self.ended or how
        return [("end", "", 0)]
