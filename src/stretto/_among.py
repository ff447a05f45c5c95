"""A run as one of several: nested in another, or among those of an application.

What no step of it takes goes to another run, if one takes it; and one that an event has opened works for a while,
rests, and works again.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import Context as VarContext, ContextVar
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from ._core.effects import Outward
from ._core.inputs import Crossed
from ._core.state import DeadLetter, Delivery
from ._core.waiting import Waiter
from ._queue import ReadyQueue
from ._supplies import Supplies
from .errors import WorkflowError
from .events import Event

if TYPE_CHECKING:
    from ._core.completed import Entry
    from ._core.permits import Lane
    from ._core.reporting import Waiting
    from ._stock import Stock
    from .snapshots import SavedRun

__all__ = ["Among", "Around", "behalf"]

E = TypeVar("E", bound=Event)

# The other run that the step on the stack works for, in an application: the one that sent what has led to it.
behalf: ContextVar[Among | None] = ContextVar("stretto_behalf", default=None)


class Around(Protocol):
    """What stands around the runs of an application that belong together, see `_talk`."""

    @property
    def root(self) -> Among:
        """The run that was called."""
        ...

    def route(self, run: Among, what: Outward, sender: str | None) -> bool:
        """Takes an event to the runs that it is for; whether there are any."""
        ...

    @property
    def undo_log(self) -> list[Entry]:
        """What the steps of its runs have done."""
        ...

    @property
    def is_answered(self) -> bool:
        """Whether it is a request, and its reply was given."""
        ...

    def stock(self) -> Stock:
        """The resources of the application."""
        ...

    def note(self, run: Among) -> None:
        """Something has happened in a run."""

    def rouse(self, run: Among, lane: Lane) -> None:
        """What another run held back from a run may begin now."""

    def feeds(self, kind: type[Event]) -> bool:
        """Whether a wait for such events is one for somebody outside."""
        ...

    def has_receiver(self, run: Among, kind: type[Event]) -> bool:
        """Whether a member gets such events of this run."""
        ...

    def closed(self, run: Among) -> None:
        """A run without a caller has returned a StopEvent."""

    def decided(self, run: Among) -> None:
        """A run is over, and may still clean up."""

    def dead(self, letter: DeadLetter, run: Among) -> None:
        """Nobody took an event."""

    def cancelled(self, run: Among) -> None:
        """Somebody cancels a run."""

    def concluded(self) -> None:
        """The run that was called is over."""

    def send_from_outside(self, event: Event, step: str | None, to: str | None) -> None:
        """Sends an event as one who is no step."""

    def waits(self, run: Among, waiter: Waiter) -> None:
        """A step waits in its middle."""

    def waiting_for(self) -> Iterator[Waiting]:
        """What its runs wait for."""
        ...

    def is_idle(self) -> bool:
        """Whether nothing can happen in any of its runs unless somebody outside sends an event."""
        ...

    def letters(self) -> tuple[DeadLetter, ...]:
        """Its last dead letters."""
        ...

    def to_dict(self, types: Iterable[type]) -> dict[str, Any]:
        """A snapshot of all of them."""
        ...

    async def enclose(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs the run that was called, and whatever it causes."""

    async def request(
        self, run: Among, delivery: Delivery, event: Event, reply: type[E], limit: float | None
    ) -> E:
        """Asks another member."""
        ...


class Among(Supplies):
    """A run as far as there are others beside it.

    Attributes:
        around: What it belongs to, in an application.
        member: What it is called there.
        caller: The run that asked for it there.
        works: Whether those around it know that it is at work.
        successor: The run that has taken its place, if it was restarted.
    """

    queue: ReadyQueue
    inside: bool
    timed: bool
    around: Around | None = None
    member: str | None = None
    caller: Among | None = None
    works = False
    successor: Among | None = None
    _first: Delivery | None = None
    _working = False

    @property
    @abstractmethod
    def run_id(self) -> str:
        """The identity of the run."""

    @abstractmethod
    def push(self, delivery: Delivery) -> None:
        """A delivery is ready: it starts when its turn comes."""

    @abstractmethod
    def make_ambient(self, context: VarContext) -> None:
        """What runs in this context belongs to the run."""

    @abstractmethod
    def begin(self, event: Event, context: VarContext) -> None:
        """Gives the machine its first event; nothing runs yet."""

    @abstractmethod
    def cancel(self, why: str) -> None:
        """Cancels the run; its steps may still clean up."""

    @abstractmethod
    def pause_reading(self) -> None:
        """The present task waits for the end of the run: who writes does not wait for what it reads."""

    @abstractmethod
    def abandon(self, why: str) -> None:
        """Cancels a run that is not at work."""

    def runs_around(self) -> Iterator[Among]:
        """The runs that it is nested in, the nearest first."""
        run = self.parent
        while run is not None:
            yield cast("Among", run)
            run = run.parent

    def remaining(self) -> float | None:
        """Seconds to the deadline, its own or that of a run around it, whichever is the earlier; or None."""
        deadline = self.machine.deadline
        if self.machine.undos is not None and self.machine.undos.deadline is not None:
            deadline = self.machine.undos.deadline
        elif self.parent is not None:
            deadline = min(deadline, *(run.machine.deadline for run in self.runs_around()))
        return None if deadline == float("inf") else deadline - self.clock()

    @property
    def is_among_others(self) -> bool:
        """Whether it is one of several runs of an application."""
        return self.around is not None

    def stock_of_application(self) -> Stock | None:
        """The resources of the application that it, or a run around it, belongs to; None if there is none."""
        for run in (self, *self.runs_around()):
            if run.around is not None:
                return run.around.stock()
        return None

    # -- what goes to other runs -----------------------------------------------------------------------------

    def _send_outward(self, what: Outward, sender: str | None) -> None:
        """Another run takes it; or nobody does, and it is kept here."""
        event, carry = what.event, what.carry
        if self.around is not None:
            if not self.around.route(self, what, sender):
                self.perform(self.machine.receive(Crossed(event=event, taken=False)), sender)
            return
        taken = True  # also if it is refused by an error
        try:
            taken = self._to_parent(event, carry, sender)
        finally:
            effects = self.machine.receive(Crossed(event=event, taken=taken))
            if effects:
                self.perform(effects, sender)

    def _to_parent(self, event: Event, carry: VarContext, sender: str | None) -> bool:
        """What a nested run does not take was sent by the step that nests it; whether somebody there takes it."""
        taker = self._taker_around(type(event))
        if taker is None:
            return False
        context = carry.copy()
        taker.make_ambient(context)
        taker.perform(taker.machine.event_sent(event, context, at=taker.clock()), sender)
        return True

    def _taker_around(self, kind: type[Event]) -> Among | None:
        """The nearest run around that takes such events, or waits for them; else one that seems to, later."""
        around = list(self.runs_around())
        for run in around:
            if run.takes(kind):
                return run
        if self.machine.plan.may_await(kind):
            return None
        return next(
            (run for run in around if run.around is not None or run.machine.plan.may_await(kind)), None
        )

    def takes(self, kind: type[Event]) -> bool:
        """Whether a step of it, or another member of its application, takes such events or waits for them."""
        machine = self.machine
        if machine.plan.routes.find(kind) or (machine.waiters is not None and machine.waiters.wanted(kind)):
            return True
        return self.around is not None and self.around.has_receiver(self, kind)

    def is_fed_by(self, kind: type[Event], limit: float | None) -> bool:
        """Whether a step that waits for such events, for so many seconds, keeps the run from being stuck."""
        return self.around is None or limit is not None or self.around.feeds(kind)

    async def request(self, delivery: Delivery, event: Event, reply: type[E], limit: float | None) -> E:
        """Asks another member of the application that the run is in.

        Raises:
            WorkflowError: If it is in none.
        """
        for run in (self, *self.runs_around()):
            if run.around is not None:
                return await run.around.request(self, delivery, event, reply, limit)
        raise WorkflowError(
            f"{delivery.step.label} requests {reply.__name__}, and its run is in no Application; write async with "
            "Application(…) as app, and await app.run(…) there"
        )

    def latest(self) -> Self:
        """The run that stands in its place now: itself, unless it was restarted."""
        run: Among = self
        while run.successor is not None:
            run = run.successor
        if run is not self:
            self.successor = run  # whoever still knows it asks once
        return cast("Self", run)

    def _roused(self, lane: Lane) -> None:
        if self.around is None:
            super()._roused(lane)
        else:
            self.around.rouse(self, lane)

    # -- one that an event has opened ------------------------------------------------------------------------

    @property
    def idle_for_good(self) -> bool:
        """Whether nothing of a run without a caller is at work, nor will be unless it is sent to."""
        machine = self.machine
        busy = machine.active or machine.feeders or machine.waiters or machine.is_timed
        return machine.opened and not busy

    @property
    def has_work(self) -> bool:
        """Whether something is ready to start in a run that does not work."""
        return self._first is not None or bool(self.queue.ready) or bool(self._due)

    def go_on(self, saved: SavedRun, context: VarContext) -> None:
        """A run without a caller goes on from a snapshot."""
        self.make_ambient(context)
        for effect in self.take_up(saved, None, context):
            if type(effect) is Delivery:
                self.push(effect)
            else:
                self.perform((effect,))
        if not self.has_work:
            self.machine.limit(math.inf)  # it does not age while it rests
        self.timed = self.timed or self.machine.deadline < math.inf

    def wake_up(self) -> None:
        """A run without a caller is about to work again; its time begins anew."""
        machine = self.machine
        machine.begun = self.clock()
        if self._options.timeout is not None:
            machine.limit(machine.begun + self._options.timeout)
        self._left_by_cancellation = False
        ready = self.queue.ready
        self.queue.close()
        self.queue = ReadyQueue()
        self.queue.ready = ready

    # -- what can be undone ------------------------------------------------------------------------------------

    @property
    def undo_log(self) -> list[Entry] | None:
        """What its steps have done, or those of its conversation."""
        if self.around is not None:
            return self.around.undo_log
        return None if self.machine.undos is None else self.machine.undos.log

    @property
    def is_undone_elsewhere(self) -> bool:
        """Whether the run that was called is undone, and this one with it."""
        return self.around is not None and self.around.root is not self

    @property
    def is_answered(self) -> bool:
        """Whether it has given the reply that it was called for, and was ended then."""
        return self.around is not None and self.around.is_answered and self.was_cancelled

    def _rest(self) -> None:
        """Where nobody is left who could take a delivery, the next begins a new period of work."""
        if not self._workers and not self.queue.spare:
            self._working = False

    def _worker_left(self) -> None:
        super()._worker_left()
        if self.machine.opened:
            self._rest()
