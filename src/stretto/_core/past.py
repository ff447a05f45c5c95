"""What the attempts at one delivery leave behind for the next, and for what follows from it.

A delivery of a step that may be tried again, or of a workflow that recovers, has one of these from the start. Any other
one is given it with the first events that it is given in its middle, by a collect or by a wait: if the step runs again
after a restart, it is given them again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextvars import Context
from itertools import chain
from typing import Protocol, TypeAlias, final

from ..events import Event
from .mail import Mail

__all__ = ["NOTHING_SPENT", "Held", "Mark", "Past"]

Mark: TypeAlias = tuple[tuple[int, Hashable], int]
"""A call of collect_events: the buffer, by its step and its id, and the identity of the event."""

NOTHING_SPENT: Mapping[int, int] = {}


class Repeats(Protocol):
    """A wait that may be one that was there before."""

    kind: type[Event]
    error: Exception | None

    @abstractmethod
    def fits(self, event: Event) -> bool:
        """Whether it waits for this event of its type; if that fails, `error` says why."""


@final
class Held:
    """An event that a step sent and that is held back until the attempt has succeeded.

    Attributes:
        carry: The context variables of the sender; None for an event that goes to the stream.
        step: The step that it was sent to by name.
    """

    __slots__ = ("carry", "event", "step")

    def __init__(self, event: Event, carry: Context | None, step: str | None) -> None:
        self.event = event
        self.carry = carry
        self.step = step

    @property
    def is_for_a_wait(self) -> bool:
        """Whether somebody who waits for its type would be given it."""
        return self.carry is not None and self.step is None


@final
class Past:
    """The attempts at one delivery.

    Attributes:
        carry: The context variables as they were before the first attempt, which every attempt begins with.
        attempt: The number of the present attempt.
        spent: For each handler, by its index, how often it has recovered on the way to this delivery.
        began: When the first attempt began; None until one has failed.
        error: What the last attempt raised.
        over: Whether no attempt follows, so that nothing can be held back any more.
        held: What the present attempt sent and was held back.
        taken: The batches that the present attempt was given, by the call that took them.
        kept: Those that failed attempts were given and the present one was not given again yet.
        given: What the present attempt was given in its waits.
        again: What failed attempts, or it before a restart, were given and it has not waited for again yet.
        cut: Whether a race was decided before it began or while it worked, so that it returns nothing of its own.
    """

    __slots__ = (
        "again", "attempt", "began", "carry", "cut", "error", "given", "held", "kept", "over", "spent", "taken"
    )  # fmt: skip

    def __init__(self, carry: Context, spent: Mapping[int, int] = NOTHING_SPENT) -> None:
        self.carry = carry
        self.spent = spent
        self.attempt = 1
        self.began: float | None = None
        self.error: Exception | None = None
        self.over = False
        self.held: list[Held] = []
        self.taken: dict[Mark, list[list[Event]]] = {}
        self.kept: dict[Mark, list[list[Event]]] = {}
        self.given: list[Mail] | None = None
        self.again: list[Mail] | None = None
        self.cut = False

    def take(self, mark: Mark, batch: list[Event]) -> list[Event]:
        """The present attempt is given a batch."""
        self.taken.setdefault(mark, []).append(batch)
        return list(batch)  # the step may change what it is given

    def note_given(self, mail: Mail, limit: int) -> None:
        """A wait of the present attempt is given an event; one more than the limit says that some are not kept."""
        if self.given is None:
            self.given = []
        if len(self.given) + len(self.again or ()) <= limit:
            self.given.append(mail)

    def given_before(self, waiter: Repeats) -> Mail | None:
        """What a wait that this one repeats was given, if there is some left."""
        for at, mail in enumerate(self.again or ()):
            if type(mail.event) is waiter.kind and waiter.fits(mail.event):
                return self.again.pop(at)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
            if waiter.error is not None:
                break
        return None

    def take_again(self, mark: Mark, expected: Sequence[type[Event]]) -> list[Event] | None:
        """The batch that this very call was given in an attempt that failed, if there is one left."""
        batches = self.kept.get(mark)
        if not batches or [type(event) for event in batches[0]] != list(expected):
            return None
        return self.take(mark, batches.pop(0))

    def failed(self, began: float, error: Exception) -> None:
        """The present attempt has failed."""
        if self.began is None:
            self.began = began
        self.error = error
        self.undo()

    def undo(self) -> None:
        """What the attempt sent is as if it had never been, and what it was given is kept."""
        self.held.clear()
        if self.given:
            self.again = [*self.given, *(self.again or ())]
            self.given = None
        for mark, batches in self.taken.items():
            self.kept[mark] = batches + self.kept.get(mark, [])
        self.taken.clear()

    def let_go(self) -> list[Held]:
        """What was held back, once."""
        held, self.held = self.held, []
        return held

    def unused(self, but: Collection[Mark] = ()) -> Iterator[Event]:
        """The events that earlier attempts were given and the present one was not, but for some that are told already.

        Args:
            but: The calls by which these went into their buffers; each means one event.
        """
        told = set(but)
        for (buffer, _), batches in self.kept.items():
            for event in chain.from_iterable(batches):
                mark = (buffer, id(event))
                if mark in told:
                    told.remove(mark)  # the same object may have been sent twice
                else:
                    yield event
        yield from (mail.event for mail in self.again or ())
