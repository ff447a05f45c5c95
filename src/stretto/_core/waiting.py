"""Steps that wait for an event in the middle, and the mailbox: a data structure that knows no inputs.

An event that somebody waits for goes to the one who has waited longest of those whom it fits, and to nobody else. One
that no step takes and nobody waits for is kept in the mailbox, in order, for whoever will; so it makes no difference
whether the event or the wait comes first. Both are kept by type, and who waits by the fields that the event must have:
an event looks for its taker among those who may take it, a wait looks through what is kept of its type.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, final

from .._fields import Fields
from ..errors import add_note, shown
from ..events import Event
from .delivery import Delivery
from .mail import Mail, Wish
from .plan import StepPlan

if TYPE_CHECKING:
    from .requirements import Index

__all__ = ["Mail", "Mailbox", "Waiter", "Waiters"]


@final
class Waiter(Fields):
    """A step that waits in its middle.

    Attributes:
        requirements: What fields of the event must be.
        where: What else must be true of it.
        wake: Called by the driver when the step may go on; never by the core.
        mail: What it was given.
        error: What `where`, or a comparison, raised.
        parked: Whether the step has left its worker.
        repeats: Whether it was given at once what its step was given before, in an attempt that failed or before a
            restart.
        feeds: Whether what it waits for may come from outside, or in time, so that its run is not stuck meanwhile.
        question: What it writes to the stream as it begins to wait.
        timed: Whether it waits for so long, and no longer.
    """

    delivery: Delivery
    kind: type[Event]
    waiter_id: str | None = None
    question: Event | None = None
    timed: bool = False
    requirements: Mapping[str, object] | None = None
    where: Callable[[Event], object] | None = None
    wake: Callable[[], object]
    mail: Mail | None = None
    error: Exception | None = None
    parked: bool = False
    repeats: bool = False
    feeds: bool = True

    @property
    def step(self) -> StepPlan:
        """The step that waits."""
        return self.delivery.step

    @property
    def event(self) -> Event | None:
        """The event that it was given."""
        return None if self.mail is None else self.mail.event

    @property
    def wish(self) -> Wish:
        """What it waits for, for messages."""
        return Wish(label=self.step.label, requirements=self.requirements)

    def fits(self, event: Event) -> bool:
        """Whether it waits for this event of its type.

        If that cannot be told because `where` raises, the error is kept for the step, and the event is not its.
        """
        try:
            for name, wanted in (self.requirements or {}).items():
                if getattr(event, name, None) != wanted:
                    return False
            return self.where is None or bool(self.where(event))
        except Exception as error:  # noqa: BLE001 - it belongs to the step that waits
            add_note(
                error, f"raised when a wait for {self.kind.__name__} was asked whether {shown(event)} fits"
            )
            self.error = error
            return False


@final
class Waiters:
    """Who waits in one run, by type, in the order in which they began."""

    __slots__ = ("_by_kind",)

    def __init__(self) -> None:
        self._by_kind: dict[type, Index[Waiter]] = {}

    def add(self, waiter: Waiter) -> None:
        """It waits from now on."""
        of_kind = self._by_kind.get(waiter.kind)
        if of_kind is None:
            from .requirements import Index  # noqa: PLC0415 - only for who waits

            of_kind = self._by_kind[waiter.kind] = Index()
        of_kind.add(waiter, waiter.requirements)

    def discard(self, waiter: Waiter) -> bool:
        """It waits no more; whether it did."""
        of_kind = self._by_kind.get(waiter.kind)
        if of_kind is None or not of_kind.discard(waiter):
            return False
        if not of_kind:
            del self._by_kind[waiter.kind]
        return True

    def wanted(self, kind: type) -> bool:
        """Whether somebody waits for events of this type, though perhaps not for each."""
        return kind in self._by_kind

    def kinds(self) -> Iterable[type]:
        """The types that somebody waits for."""
        return self._by_kind

    def of_kind(self, kind: type) -> Iterator[Waiter]:
        """Who waits for events of this type."""
        return iter(self._by_kind.get(kind, ()))

    def may_fit(self, event: Event) -> Iterable[Waiter]:
        """Those whom it may fit, in the order in which they began."""
        of_kind = self._by_kind.get(type(event))
        return () if of_kind is None else of_kind.may_fit(event)

    def offer(self, mail: Mail) -> list[Waiter]:
        """Gives it to the first whom it fits.

        Returns:
            Who waits no more: those whose own test failed, and last the one who got it, if anybody did.
        """
        done: list[Waiter] = []
        for waiter in self.may_fit(mail.event):
            if waiter.fits(mail.event):
                waiter.mail = mail
                done.append(waiter)
                break
            if waiter.error is not None:
                done.append(waiter)
        for waiter in done:
            self.discard(waiter)
        return done

    def __iter__(self) -> Iterator[Waiter]:
        return (waiter for of_kind in self._by_kind.values() for waiter in of_kind)

    def __bool__(self) -> bool:
        return bool(self._by_kind)


@final
class Mailbox:
    """What came and nobody waited for, by type, in the order of arrival."""

    __slots__ = ("_by_kind", "_held", "_limit")

    def __init__(self, limit: int) -> None:
        self._by_kind: dict[type, deque[Mail]] = {}
        self._held = 0
        self._limit = limit

    def put(self, mail: Mail) -> bool:
        """Keeps it, unless there is no room."""
        if self._held >= self._limit:
            return False
        self.append(mail)
        return True

    def append(self, mail: Mail) -> None:
        """Keeps it, also if there is no room: it was kept before."""
        self._held += 1
        self._by_kind.setdefault(type(mail.event), deque()).append(mail)

    def put_back(self, mail: Mail) -> None:
        """One that was taken is the first again; there is always room for it."""
        self._held += 1
        self._by_kind.setdefault(type(mail.event), deque()).appendleft(mail)

    def claim(self, waiter: Waiter, *, from_outside: bool = False) -> Mail | None:
        """Takes the earliest that fits; if so asked, of those that came from outside."""
        kept = self._by_kind.get(waiter.kind, deque())
        for at, mail in enumerate(kept):
            if from_outside and not mail.outside:
                continue
            if waiter.fits(mail.event):
                del kept[at]
                self._held -= 1
                if not kept:
                    del self._by_kind[waiter.kind]
                return mail
            if waiter.error is not None:
                return None
        return None

    def pass_by(self, waiter: Waiter) -> None:
        """Somebody waits no more, and has taken nothing of what is kept of its type."""
        if waiter.requirements or waiter.where is not None:
            wish = waiter.wish
            for mail in self.of_kind(waiter.kind):
                mail.passed = wish

    def kinds(self) -> Iterable[type]:
        """The types of what is kept."""
        return self._by_kind

    def of_kind(self, kind: type) -> Iterator[Mail]:
        """What is kept of this type."""
        return iter(self._by_kind.get(kind, ()))

    def take_inside(self) -> list[Mail]:
        """Takes out what the run's own steps sent: nobody will wait for it any more."""
        inside = [mail for mail in self if not mail.outside]
        outside = [mail for mail in self if mail.outside]
        self._by_kind, self._held = {}, 0
        for mail in outside:
            self.append(mail)  # what was put back may be more than there is room for
        return inside

    def __contains__(self, kind: type) -> bool:
        return kind in self._by_kind

    def __iter__(self) -> Iterator[Mail]:
        return (mail for kept in self._by_kind.values() for mail in kept)

    def __len__(self) -> int:
        return self._held
