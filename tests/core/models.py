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


@attrs.define(eq=False)
class Wait:
    """A step that waits in its middle; a parked one has left its worker."""

    step: StepPlan
    event: Event
    kind: type[Event]
    parked: bool
    given: Event | None = None
    outside: bool = False
    resumed: bool = False


@attrs.define
class Run:
    """One run: each step has a queue, and at most `limit` events ready or at work."""

    steps: Sequence[StepPlan]
    limit: int
    feeders: int = 0
    ended: str | None = None
    queued: dict[str, list[Event | Wait]] = attrs.Factory(
        lambda self: {step.name: [] for step in self.steps}, takes_self=True
    )
    active: dict[str, list[Event]] = attrs.Factory(
        lambda self: {step.name: [] for step in self.steps}, takes_self=True
    )
    mailbox: list[tuple[Event, bool]] = attrs.Factory(list)
    waits: list[Wait] = attrs.Factory(list)

    def send(self, event: Event, to: StepPlan | None = None, *, outside: bool = False) -> list[Seen]:
        if self.ended:
            return [("dead", "", id(event)), *self.end()]
        if isinstance(event, StopEvent):
            return self.end("STOPPED")
        seen: list[Seen] = [("publish", "", id(event))] if isinstance(event, InputRequiredEvent) else []
        if to is None and (given := self.offer(event, outside)) is not None:
            return [*seen, *given]  # who called looks whether the run is stuck, when all is sent
        to_steps = takers(self.steps, type(event)) if to is None else [to]
        for step in to_steps:
            self.queued[step.name].append(event)
            seen += self.admit(step)
        if to_steps or seen:
            return seen
        if len(self.mailbox) >= self.limit:
            return [("dead", "", id(event))]
        known = any(type(each) is type(event) for each, _ in self.mailbox)
        self.mailbox.append((event, outside))
        return [] if known else [("kept", "", id(event))]

    def admit(self, step: StepPlan) -> list[Seen]:
        queue, active = self.queued[step.name], self.active[step.name]
        if not queue or len(active) >= step.limit:
            return []
        first = queue.pop(0)
        if isinstance(first, Wait):
            return self.goes_on(first)
        active.append(first)
        return [("start", step.name, id(first))]

    def leave(self, step: StepPlan, event: Event) -> None:
        active = self.active[step.name]
        del active[next(at for at, each in enumerate(active) if each is event)]

    def returned(self, step: StepPlan, event: Event, events: Sequence[Event]) -> list[Seen]:
        self.leave(step, event)
        seen = self.admit(step)
        for each in events:
            seen += self.send(each)
        return seen + self.check()

    def began_to_wait(self, wait: Wait) -> list[Seen]:
        at = next((at for at, (each, _) in enumerate(self.mailbox) if type(each) is wait.kind), None)
        if at is not None:
            wait.given, wait.outside = self.mailbox.pop(at)
            wait.resumed, wait.parked = True, False
            return [("resume", wait.step.name, id(wait.event))]
        self.waits.append(wait)
        self.feeders += 1
        if not wait.parked:
            return []
        self.leave(wait.step, wait.event)
        return self.admit(wait.step)

    def offer(self, event: Event, outside: bool) -> list[Seen] | None:
        wait = next((each for each in self.waits if each.kind is type(event)), None)
        if wait is None:
            return None
        wait.given, wait.outside = event, outside
        return self.over(wait)

    def wait_is_over(self, wait: Wait) -> list[Seen]:
        return [*self.over(wait), *self.check()] if wait in self.waits else []

    def over(self, wait: Wait) -> list[Seen]:
        self.waits.remove(wait)
        self.feeders -= 1
        if not wait.parked or self.ended:
            return self.goes_on(wait)
        self.queued[wait.step.name].append(wait)
        return self.admit(wait.step)

    def goes_on(self, wait: Wait) -> list[Seen]:
        if wait.parked:
            self.active[wait.step.name].append(wait.event)
        wait.resumed, wait.parked = True, False
        return [("resume", wait.step.name, id(wait.event))]

    def wait_was_cancelled(self, wait: Wait) -> list[Seen]:
        if wait in self.waits:
            self.waits.remove(wait)
            self.feeders -= 1
        elif wait.parked:
            self.queued[wait.step.name].remove(wait)
        self.goes_on(wait)
        given, wait.given = wait.given, None
        seen = None if given is None else self.offer(given, wait.outside)
        if given is not None and seen is None:
            kinds = [type(each) for each, _ in self.mailbox] + [type(given)]
            self.mailbox.insert(kinds.index(type(given)), (given, wait.outside))
        return [*(seen or []), *self.check()]

    def ending(self) -> list[Seen]:
        waits = [each for queue in self.queued.values() for each in queue if isinstance(each, Wait)]
        for wait in waits:
            self.queued[wait.step.name].remove(wait)
        return [each for wait in waits for each in self.goes_on(wait)]

    def concluded(self) -> list[Seen]:
        seen = [each for wait in tuple(self.waits) for each in self.over(wait)]
        kinds = dict.fromkeys(type(event) for event, _ in self.mailbox)
        inside = [
            each for kind in kinds for each, outside in self.mailbox if type(each) is kind and not outside
        ]
        self.mailbox = [mail for mail in self.mailbox if mail[1]]
        return [*seen, *[("dead", "", id(each)) for each in inside]]

    def check(self) -> list[Seen]:
        if self.ended:
            return self.end()
        return [] if self.feeders or any(self.active.values()) else self.end("STALLED")

    def end(self, how: str = "") -> list[Seen]:
        """What came first is why it ended."""
        self.ended = self.ended or how
        return [("end", "", 0)]
