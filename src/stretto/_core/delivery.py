"""An event on its way: to a step that takes it, or to nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextvars import Context
from typing import TypeAlias, final

from ..events import Event
from .past import NOTHING_SPENT, Mark, Past
from .plan import StepPlan

__all__ = ["BY_A_READER", "DeadLetter", "Delivery", "Hold", "Origin", "spent_by"]

BY_A_READER = "a reader of the stream"
"""How the reason begins of what was in the stream, and a reader did without; no step was to take it."""

Origin: TypeAlias = tuple[Context, Mapping[int, int]]
"""What a join inherits from where its fork was sent: the context variables, and what was spent on recoveries."""


@final
class Delivery:
    """One event on its way through one step.

    Attributes:
        carry: The context variables that the step sees: those of the sender when it sent.
        started: When the body began, in seconds of the loop's clock; None while it waits for its turn.
        collected: What this delivery has put into which buffer, so that it never does so twice; by the identity of
            the event, which is kept here lest another one gets it.
        past: What earlier attempts and recoveries left, and what it was given in its middle; None for a plain step
            that was given nothing.
    """

    __slots__ = ("carry", "collected", "event", "past", "started", "step")

    def __init__(
        self,
        step: StepPlan,
        event: Event,
        carry: Context,
        started: float | None = None,
        *,
        past: Past | None = None,
    ) -> None:
        self.step = step
        self.event = event
        self.carry = carry
        self.started = started
        self.collected: dict[Mark, Event] | None = None
        self.past = past

    @property
    def attempt(self) -> int:
        """The number of the present attempt, from 1. Kept in `past`: a plain step has one only, and no slot for it."""
        return 1 if self.past is None else self.past.attempt

    def own_past(self) -> Past:
        """What it leaves to itself, should it run again; made when there is something."""
        if self.past is None:
            self.past = Past(self.carry)
        return self.past

    def untaken(self, own: Sequence[Event]) -> Iterator[Event]:
        """Its own event, or those joined in it, and what earlier attempts were given and the present one was not.

        A batch that its own event was in is told without that.
        """
        yield from own
        if self.past is not None:
            events = {id(event) for event in own}
            yield from self.past.unused([mark for mark in self.collected or () if mark[1] in events])


@final
class Hold:
    """What a step at work waits for before it goes on, other than an event: its turn of something.

    Attributes:
        by: What it is, as messages say it.
        begun: Whether the body of the step has begun.
    """

    __slots__ = ("begun", "by", "delivery")

    def __init__(self, delivery: Delivery, by: str, *, begun: bool = True) -> None:
        self.delivery = delivery
        self.by = by
        self.begun = begun


def spent_by(cause: Delivery | None) -> Mapping[int, int]:
    """What was spent on recoveries on the way to what this delivery causes."""
    return NOTHING_SPENT if cause is None or cause.past is None else cause.past.spent


@final
class DeadLetter:
    """An event that nobody took, and why. Two are equal if these are.

    Attributes:
        just_sent: Whether it is from the step that has made it one, which is what the logger says.
        member: Whose run has made it one, in an application.
        meant: Whether a policy of a step, or of a reader, says so, which is no reason for a warning.
    """

    __slots__ = ("event", "just_sent", "meant", "member", "reason")

    def __init__(
        self,
        event: object,
        reason: str,
        *,
        just_sent: bool = True,
        member: str | None = None,
        meant: bool = False,
    ) -> None:
        self.event = event
        self.reason = reason
        self.just_sent = just_sent
        self.member = member
        self.meant = meant

    def of(self, member: str | None) -> DeadLetter:
        """The same, of a member."""
        return DeadLetter(self.event, self.reason, just_sent=self.just_sent, member=member, meant=self.meant)

    def __eq__(self, other: object) -> bool:
        if type(other) is not DeadLetter:
            return NotImplemented
        return self.event == other.event and self.reason == other.reason

    def __hash__(self) -> int:
        return hash((self.event, self.reason))

    def __repr__(self) -> str:
        return f"DeadLetter(event={self.event!r}, reason={self.reason!r})"
