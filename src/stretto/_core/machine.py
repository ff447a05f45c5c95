"""The machine of one run: inputs in, effects out.

Everything that decides about a run is in this class (the rule is h11's), and each subject of it in a class and a
module of its own, one upon the other: `state` what a run keeps, `workers` the queues of the steps, `outcome` how a
run ends and what it comes to, `waits` the waits in the middle of a step, `sending` where an event goes, `queueing`
whether there is room for it, `attempts` what follows when a step has raised; and here what follows when it has
returned. It is pure: it reads no clock, knows no loop and starts nothing, so the same inputs always give the same
effects, whoever feeds them.

How it works. An event is *sent*, by a step, by the return of a step or from outside; routing finds the steps
that take it, and each gets a `Delivery`. A delivery is *ready* if a worker of the step is free, and handed
out as an effect, or it *waits* in the step's queue until one is. When a step ends, its worker goes to the first
that waits, so a freed delivery becomes ready before the event that the step returned. Once the run has ended
nothing is started.

Cost: each input is O(1), apart from a batch that `collect_events` takes and from the reports of errors.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextvars import Context
from types import CoroutineType
from typing import TYPE_CHECKING, assert_never, final

from ..errors import WorkflowError
from ..events import Event, StopEvent
from .attempts import Attempts
from .collecting import Buffers, is_sequence
from .delivery import Delivery
from .effects import END_RUN, NOTHING, Effect, Effects, Outward, Resume
from .inputs import (
    Admitted,
    Begun,
    CancelAsked,
    Concluded,
    Crossed,
    DeadlinePassed,
    Ending,
    EventSent,
    FeederClosed,
    FeederOpened,
    GoesOn,
    HeldUp,
    Input,
    Interrupted,
    RetryDue,
    Roused,
    SendBegan,
    SendCancelled,
    StepCancelled,
    StepRaised,
    StepReturned,
    Strayed,
    UndoEnded,
    UndoingBegan,
    WaitAnswered,
    WaitBegan,
    WaitCancelled,
    WaitTimedOut,
)
from .returning import is_stop, returned_events

if TYPE_CHECKING:
    from .completed import Entry
    from .permits import Lane
    from .undoing import Undos

__all__ = ["Machine"]


@final
class Machine(Attempts):
    """Decides what happens in one run; `receive` is the one door."""

    def bound(self, queue_size: float) -> None:
        """From now on no more than so many events may wait for a worker."""
        from .room import Room  # noqa: PLC0415 - for who has said so

        self.room = Room(queue_size)
        self.detour = True

    def shed(self, queue_size: int, *, newest: bool) -> None:
        """Likewise, and what is too much is dropped: what comes, or what has waited longest."""
        from .shedding import Shedding  # noqa: PLC0415 - for who has said so

        self.shedding = Shedding(queue_size, newest=newest)
        self.detour = True

    def receive(self, given: Input) -> Effects:
        """Takes what has happened and gives what is to be done, in order."""
        if self.flows is None:
            effects = self._received(given)
            if self.shedding is not None:
                effects = self._shed(self.shedding, effects)
        else:
            self.flows.see(getattr(given, "at", self.flows.at))
            effects = self._flowed(self.flows, self._received(given))
        return self._relieved(self.room, effects) if self.room else effects

    def _received(self, given: Input) -> Effects:  # noqa: C901, PLR0912 - one branch for each input there is
        match given:
            case EventSent(event=event, carry=carry, step=step, at=at, outside=outside, cause=cause):
                return self.event_sent(event, carry, step, at=at, outside=outside, cause=cause)
            case StepReturned(delivery=delivery, value=value, at=at):
                return self.step_returned(delivery, value, at)
            case StepRaised(delivery=delivery, error=error, at=at, draw=draw):
                return self._step_raised(delivery, error, at, draw)
            case RetryDue(at=at):
                return self._retry_due(at)
            case Roused(lane=lane):
                return self._roused(lane)
            case StepCancelled(delivery=delivery, value=value, returned=returned):
                return self._step_cancelled(delivery, value, returned=returned)
            case Strayed(letter=letter):
                return self._dead(letter.event, letter.reason, just_sent=letter.just_sent, meant=letter.meant)
            case DeadlinePassed(at=at):
                return self._deadline_passed(at)
            case CancelAsked(why=why, at=at, by_caller=by_caller):
                return self._cancelled(why, at, by_caller=by_caller)
            case Admitted(at=at):
                return self._admitted(at)
            case Begun():
                return self._check_stalled()
            case Interrupted(error=error):
                return self._fail(error)
            case FeederOpened():
                self.feeders += 1
                return NOTHING
            case FeederClosed(error=error, at=at):
                return self._feeder_closed(error, at)
            case HeldUp(hold=hold):
                return self._held_up(hold)
            case GoesOn(hold=hold):
                return self._goes_on(hold)
            case WaitBegan(waiter=waiter, parks=parks):
                return self._wait_began(waiter, parks=parks)
            case WaitTimedOut(waiter=waiter):
                return self._wait_timed_out(waiter)
            case WaitCancelled(waiter=waiter):
                return self._wait_cancelled(waiter)
            case SendBegan(sender=sender):
                return self._send_began(sender)
            case SendCancelled(sender=sender):
                return self._send_cancelled(sender)
            case WaitAnswered(waiter=waiter, event=event):
                return self._wait_answered(waiter, event)
            case Crossed(event=event, taken=taken):
                return self._crossed(event, taken=taken)
            case Ending():
                return [self._resumed(waiter) for waiter in self._waiters_in_queues()]
            case UndoingBegan(at=at, limit=limit):
                return self.keep_undos().begin(at, limit)
            case UndoEnded(at=at, error=error, cut=cut):
                return self._undo_ended(at, error, cut=cut)
            case Concluded():
                return [*self._give_up_senders(), *self._concluded(), *self._flows_concluded()]
            case _:
                assert_never(given)

    # -- the two inputs of every hop, with the common case first ---------------------------------------------

    def event_sent(
        self,
        event: Event,
        carry: Context,
        step: str | None = None,
        *,
        at: float,
        outside: bool = False,
        cause: Delivery | None = None,
        claims: bool = True,
    ) -> Effects:
        """`EventSent`: the deliveries that can start now. If it `claims` room, there must be some for it.

        Raises:
            RoutingError: If no step is called `step`, or it does not take the event; nothing has happened
                then.
            QueueFullError: If there is no room; nothing has happened then.
            TypeError: If it is no event, or a StopEvent with a coroutine in it that nobody awaited.
        """
        way = self.plan.single.get(type(event))
        if way is None or step is not None or self.detour:
            if step is None and not outside and self._leaves(event):
                self._count_sent(cause, event, ())
                return (Outward(event=event, carry=carry, claims=claims),)
            if claims and self.room is not None:
                self._claim_room(self.room, self._checked(event), step)
            if self.flows is None:
                effects = self._sent(event, carry, step, at=at, outside=outside, cause=cause, claims=claims)
                return effects if self.shedding is None else self._shed(self.shedding, effects)
            self.flows.see(at)
            effects = self._sent(event, carry, step, at=at, outside=outside, cause=cause, claims=claims)
            return self._flowed(self.flows, effects)
        taker, number = way
        if cause is None:
            self.tally[number] += 1
        elif (sent := cause.step.direct.get(type(event))) is not None:
            self.tally[sent[1]] += 1
        else:
            self._count_sent(cause, event, (taker,))
        delivery = Delivery(taker, event, carry)
        index = taker.index
        if self.busy[index] < taker.limit:  # as _admit
            self.busy[index] += 1
            self.active[delivery] = None
            return (delivery,)
        self._queue(delivery)
        return NOTHING

    def step_returned(self, delivery: Delivery, value: object, at: float) -> Effects:
        """`StepReturned`: the delivery that its worker is free for, and those of the event returned."""
        step = delivery.step
        way = step.direct.get(type(value))
        if (way is None and (value is not None or not step.plain)) or self.detour or at >= self.alarm:
            return self._returned_aside(delivery, value, at)
        active, busy, index = self.active, self.busy, step.index
        del active[delivery]
        freed = None
        if (queue := self.waiting[index]) and busy[index] <= step.limit:  # as _release
            freed = self._next_in(queue)
        else:
            busy[index] -= 1
        if way is None:
            if self.silent is None:  # as _returned_nothing
                self.silent = [0] * len(busy)
            self.silent[index] += 1
            return self._check_stalled() if freed is None else (freed,)
        taker, number = way
        self.tally[number] += 1
        # What `direct` finds is an event.
        following = Delivery(taker, value, delivery.carry)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        index = taker.index
        if busy[index] < taker.limit:  # as _admit
            busy[index] += 1
            active[following] = None
            return (following,) if freed is None else (freed, following)
        self._queue(following)
        return NOTHING if freed is None else (freed,)

    def _returned_aside(self, delivery: Delivery, value: object, at: float) -> Effects:
        """A return off the way of a hop, or one that is looked at, which may go that way then."""
        if at >= self.alarm:
            self.look_at(delivery, at)
            if at < self.alarm:
                return self.step_returned(delivery, value, at)
        step = delivery.step
        if type(value) is StopEvent and step.stops and self._ends_at_once(value, at):
            self.tally[step.leads_out[StopEvent]] += 1
            freed, stopped = self._release(delivery), self._stopped(value)
            return [freed, *stopped] if isinstance(freed, Resume) else stopped
        if self._leaves(value) and delivery.past is None and at < self.deadline and step.declares(value):
            return self._let_out(delivery, value)
        if self.flows is None:
            effects = self._returned(delivery, value, at)
            if self.shedding is not None:
                effects = self._shed(self.shedding, effects)
        else:
            self.flows.see(at)
            effects = self._flowed(self.flows, self._returned(delivery, value, at))
        return self._relieved(self.room, effects) if self.room else effects

    def _ends_at_once(self, stop: StopEvent[object], at: float) -> bool:
        """Whether a plain step's plain StopEvent ends the run and there is nothing else to look at."""
        return not (
            self.detour or self.closes or at >= self.deadline or isinstance(stop.result, CoroutineType)
        )

    def _let_out(self, delivery: Delivery, event: Event) -> Effects:
        """A return that another run is for, the common case among several."""
        freed = self._release(delivery)
        self._count_sent(delivery, event, ())
        out = Outward(event=event, carry=delivery.carry, claims=False)
        return (out, *self._check_stalled()) if freed is None else (freed, out)

    # -- the other returns -----------------------------------------------------------------------------------

    def _returned(self, delivery: Delivery, value: object, at: float) -> Effects:
        """Any other return: too late, a stop, a list, for several steps, or what no step may return."""
        if at >= self.deadline:
            self._deadline_passed(at)
        past = delivery.past
        self._note_completed(delivery, value)
        if self.ended is not None:
            del self.active[delivery]
            self._keep_late(value)
            return END_RUN if past is None else [*self._settled(delivery, past), *END_RUN]
        if (self.forks is not None or self.flows is not None) and self.is_lost(delivery):
            settled = NOTHING if past is None else self._settled(delivery, past)
            return [*settled, *self._lost_returned(delivery, value)]
        events: Sequence[Event] | WorkflowError = (
            () if value is None else returned_events(delivery.step, value)
        )
        if isinstance(events, WorkflowError):
            if delivery.step.lists and is_sequence(value):
                # The error has the wrong one, these are the others.
                self._keep_late([each for each in value if isinstance(each, Event)])
            return self._failed(delivery, events)
        if not events:
            self._returned_nothing(delivery.step.index)
        freed = self._release(delivery)
        effects: list[Effect] = [] if past is None else self._let_go(delivery, past, at)
        if self.ended is None and not self.closes and is_stop(value):
            self._count_sent(delivery, value, ())
            stopped = [*effects, *self._stopped(value)]
            return [freed, *stopped] if isinstance(freed, Resume) else stopped
        if freed is not None:
            effects.insert(0, freed)
        self._branch_returned(delivery, value, len(events), at)
        for number, event in enumerate(events):
            carry = delivery.carry.copy() if number else delivery.carry
            effects += self._sent(event, carry, None, at=at, cause=delivery)
        return [*effects, *self._branch_left(delivery), *self._check_stalled()]

    def _returned_nothing(self, index: int) -> None:
        if self.silent is None:
            self.silent = [0] * len(self.busy)
        self.silent[index] += 1

    # -- what else happens -----------------------------------------------------------------------------------

    def _step_cancelled(self, delivery: Delivery, value: object, *, returned: bool) -> Effects:
        if returned:
            self._note_completed(delivery, value)
        if delivery.started is None:
            return NOTHING  # it waited for its turn, and is left over as what is ready; or was handed on
        del self.active[delivery]
        if self.unfinished is not None and value is None:
            self.unfinished.append(delivery)
        self._keep_late(value)
        return NOTHING if delivery.past is None else self._settled(delivery, delivery.past)

    def _admitted(self, at: float) -> Effects:
        self.limit(self.deadline + at - self.begun)
        self.begun = at
        if self.flows is not None:
            self._has_turn(self.flows)
        return NOTHING

    def _roused(self, lane: Lane) -> Effects:
        if self.flows is not None:
            self.flows.rouse(lane)
        return NOTHING

    def _feeder_closed(self, error: BaseException | None, at: float) -> Effects:
        self.feeders -= 1
        if at >= self.deadline:
            self._deadline_passed(at)
        return self._check_stalled() if error is None else self._nested_failed(error)

    # -- what can be undone ----------------------------------------------------------------------------------

    def _note_completed(self, delivery: Delivery, value: object) -> None:
        """A step has returned, perhaps too late for the run; to return what it has not declared is to fail."""
        if delivery.step.undo is None or (delivery.past is not None and delivery.past.cut):
            return
        if value is None or not isinstance(returned_events(delivery.step, value), WorkflowError):
            self.keep_undos().completed(delivery, value)

    def keep_undos(self, log: list[Entry] | None = None) -> Undos:
        """What can be undone; from now on there is such a log, or it is kept in this one, which other runs share."""
        if self.undos is None:
            from .undoing import Undos  # noqa: PLC0415 - only for who undoes

            self.undos = Undos(log)
        return self.undos

    def _undo_ended(self, at: float, error: BaseException | None, *, cut: bool) -> Effects:
        if error is not None and not isinstance(error, Exception):
            self._fail(error)
        return self.keep_undos().ended(at, error, cut=cut)

    # -- what a step asks ------------------------------------------------------------------------------------

    def collect(
        self, delivery: Delivery, event: Event, expected: Sequence[type[Event]], buffer_id: Hashable
    ) -> list[Event] | None:
        """Adds an event to a buffer of the delivery's step, and takes a batch if one is due."""
        if self.buffers is None:
            self.buffers = Buffers(self.collect_limit)
        return self.buffers.collect(delivery, event, expected, buffer_id)
