"""The machine of one run: inputs in, effects out.

Everything that decides about a run is in this file (the rule is h11's). It is pure: it reads no clock, knows
no loop and starts nothing, so the same inputs always give the same effects, whoever feeds them.

How it works. An event is *sent*, by a step, by the return of a step or from outside; routing finds the steps
that take it, and each gets a `Delivery`. A delivery is *ready* if a worker of the step is free, and handed
out as an effect, or it *waits* in the step's queue until one is. When a step ends, its worker goes to the
first that waits, so a freed delivery becomes ready before the event that the step returned. The first of
these things ends the run: a StopEvent, a failure, the deadline, a cancellation, or that nothing is active and
nobody outside may send. From then on nothing is
started: what steps return is kept as a leftover, what they send is a dead letter, what they raise is kept.

Cost: each input is O(1), apart from a batch that `collect_events` takes and from the reports of errors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from contextvars import Context
from typing import assert_never, final

from ..errors import (
    RoutingError,
    RunEndedError,
    WorkflowCancelledError,
    WorkflowError,
    add_note,
    near,
    shown,
)
from ..events import (
    Event,
    InputRequiredEvent,
    StopEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowTimedOutEvent,
)
from .collecting import Buffers, is_sequence
from .effects import END_RUN, NOTHING, Effect, Effects, Kept, Publish, Resume
from .inputs import (
    Admitted,
    Begun,
    CancelAsked,
    Concluded,
    DeadlinePassed,
    Ending,
    EventSent,
    FeederClosed,
    FeederOpened,
    Input,
    Interrupted,
    StepCancelled,
    StepRaised,
    StepReturned,
    WaitBegan,
    WaitCancelled,
    WaitTimedOut,
)
from .plan import StepPlan
from .reporting import stalled, timed_out
from .returning import is_stop, returned_events
from .state import DEAD_LETTERS_KEPT, DeadLetter, Delivery, Ended
from .waiting import Mail, Mailbox, Waiter, Waiters
from .workers import Workers

__all__ = ["Machine"]

_NOTED = 10  # failures that are noted on the first; run.failures has them all


@final
class Machine(Workers):
    """Decides what happens in one run; `receive` is the one door."""

    _buffers: Buffers | None = None
    _stop: StopEvent[object] | None = None

    def receive(self, given: Input) -> Effects:  # noqa: C901, PLR0912 - one branch for each input there is
        """Takes what has happened and gives what is to be done, in order."""
        match given:
            case EventSent(event=event, carry=carry, step=step, at=at, outside=outside):
                return self.event_sent(event, carry, step, at=at, outside=outside)
            case StepReturned(delivery=delivery, value=value, at=at):
                return self.step_returned(delivery, value, at)
            case StepRaised(delivery=delivery, error=error, at=at):
                return self._step_raised(delivery, error, at)
            case StepCancelled(delivery=delivery, value=value):
                del self.active[delivery]
                self._keep_late(value)
                return NOTHING
            case DeadlinePassed(at=at):
                return self._deadline_passed(at)
            case CancelAsked(why=why, at=at, by_caller=by_caller):
                return self._cancelled(why, at, by_caller=by_caller)
            case Admitted(at=at):
                self.deadline += at - self.begun
                self.begun = at
                return NOTHING
            case Begun():
                return self._check_stalled()
            case Interrupted(error=error):
                return self._fail(error)
            case FeederOpened():
                self.feeders += 1
                return NOTHING
            case FeederClosed(error=error, at=at):
                self.feeders -= 1
                if at >= self.deadline:
                    self._deadline_passed(at)
                return self._check_stalled() if error is None else self._nested_failed(error)
            case WaitBegan(waiter=waiter, parks=parks):
                return self._wait_began(waiter, parks=parks)
            case WaitTimedOut(waiter=waiter):
                return self._wait_timed_out(waiter)
            case WaitCancelled(waiter=waiter):
                return self._wait_cancelled(waiter)
            case Ending():
                return [self._resumed(waiter) for waiter in self._waiters_in_queues()]
            case Concluded():
                return self._concluded()
            case _:
                assert_never(given)

    # -- the two inputs of every hop, with the common case first ---------------------------------------------

    def event_sent(
        self, event: Event, carry: Context, step: str | None = None, *, at: float, outside: bool = False
    ) -> Effects:
        """`EventSent`: the deliveries that can start now.

        Raises:
            RoutingError: If no step is called `step`, or it does not take the event; nothing has happened
                then.
            TypeError: If it is no event.
        """
        taker = self.plan.single.get(type(event))
        if taker is None or step is not None or self.detour:
            effects = self._sent(event, carry, step, at=at, outside=outside)
            over = self.waiters is None or self.ended is not None
            return effects if over else [*effects, *self._check_stalled()]
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
        taker = step.direct.get(type(value))
        if (taker is None and value is not None) or self.detour or at >= self.deadline:
            return self._returned(delivery, value, at)
        active, busy, index = self.active, self.busy, step.index
        del active[delivery]
        freed = None
        if (queue := self.waiting[index]) and busy[index] <= step.limit:  # as _release
            freed = self._next_in(queue)
        else:
            busy[index] -= 1
        if taker is None:
            self._returned_nothing(index)
            return self._check_stalled() if freed is None else (freed,)
        # What `direct` finds is an event.
        following = Delivery(taker, value, delivery.carry)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        index = taker.index
        if busy[index] < taker.limit:  # as _admit
            busy[index] += 1
            active[following] = None
            return (following,) if freed is None else (freed, following)
        self._queue(following)
        return NOTHING if freed is None else (freed,)

    # -- events ----------------------------------------------------------------------------------------------

    def _sent(
        self, event: object, carry: Context, step: str | None, *, at: float, outside: bool = False
    ) -> Effects:
        """Any other event sent: to a named step, to several, to none, a stop, or too late."""
        if not isinstance(event, Event):
            raise TypeError(
                f"send_event takes an event, not {shown(event)}; write class Name(Event) with its fields"
            )
        takers = self.plan.routes.find(type(event)) if step is None else (self._named(event, step),)
        if is_stop(event) and at >= self.deadline:
            self._deadline_passed(at)
        if self.ended is not None:
            return [*self._dead(event, f"the run was over, {self.ended.value}"), *END_RUN]
        if is_stop(event):
            return self._stopped(event)
        asked = isinstance(event, InputRequiredEvent)
        effects: list[Effect] = [Publish(event)] if asked else []
        if step is None and self.waiters and self._offer(Mail(event, outside), effects):
            return effects
        if takers:
            effects += self._deliver(event, carry, takers)
        elif asked:
            self.asked = event
        else:
            effects += self._keep(Mail(event, outside))
        return effects

    def _deliver(self, event: Event, carry: Context, takers: Sequence[StepPlan]) -> Iterator[Delivery]:
        """The deliveries to these steps that can start now; each has a Context of its own."""
        for taker in takers:
            delivery = Delivery(taker, event, carry if taker is takers[0] else carry.copy())
            if self._admit(delivery):
                yield delivery

    def _named(self, event: Event, name: str) -> StepPlan:
        step = self.plan.step_named(name)
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RoutingError(f"step= is the name of a step, as in step='decide', not {shown(name)}")
        if step is None:
            names = [other.name for other in self.plan.steps]
            raise RoutingError(
                f"{self.plan.name} has no step {name!r}; its steps: {', '.join(names)}{near(name, names)}"
            )
        if not step.takes(type(event)):
            takes = ", ".join(kind.__name__ for kind in step.accepts)
            raise RoutingError(
                f"{step.label} does not take {type(event).__name__}, it takes: {takes}; leave out step= to "
                "send it to the steps that take it"
            )
        return step

    def _keep(self, mail: Mail) -> Effects:
        """What no step takes waits for somebody who does."""
        mailbox = self._mailbox()
        first = type(mail.event) not in mailbox
        if mailbox.put(mail):
            tell = first and not self.plan.may_await(type(mail.event))
            return (Kept(mail.event, self._no_taker(mail.event)),) if tell else NOTHING
        return self._dead(
            mail.event, f"{self._no_taker(mail.event)}, and {self.collect_limit} such events are kept already"
        )

    def _no_taker(self, event: Event) -> str:
        return f"no step of {self.plan.name} takes exactly {type(event).__name__}"

    def _dead(self, event: object, reason: str) -> Effects:
        letter = DeadLetter(event, reason)
        if self.dead_letters is None:
            self.dead_letters = deque(maxlen=DEAD_LETTERS_KEPT)
        self.dead_letters.append(letter)
        return (letter,)

    # -- waits in the middle of a step -------------------------------------------------------------------------

    def _wait_began(self, waiter: Waiter, *, parks: bool) -> Effects:
        mail = None if self.mailbox is None else self.mailbox.claim(waiter)
        if mail is not None or waiter.error is not None:
            waiter.mail = mail
            return (Resume(waiter),)
        if self.waiters is None:
            self.waiters = Waiters()
        self.waiters.add(waiter)
        self.feeders += 1
        self.detour = True
        waiter.parked = parks
        freed = self._release(waiter.delivery) if parks else None
        return NOTHING if freed is None else (freed,)

    def _offer(self, mail: Mail, effects: list[Effect]) -> bool:
        """Whether somebody waits for it and is given it."""
        if self.waiters is None:
            return False
        done = self.waiters.offer(mail)
        for waiter in done:
            self._waits_no_more()
            effects += self._resume(waiter)
        return bool(done) and done[-1].mail is mail

    def _wait_timed_out(self, waiter: Waiter) -> Effects:
        return [*self._resume(waiter), *self._check_stalled()] if self._withdraw(waiter) else NOTHING

    def _wait_cancelled(self, waiter: Waiter) -> Effects:
        waited = self._withdraw(waiter)
        if waiter.parked:
            self._resume_unserved(waiter, queued=not waited)
        mail, waiter.mail = waiter.mail, None
        return [*(() if mail is None else self._give_back(mail)), *self._check_stalled()]

    def _withdraw(self, waiter: Waiter) -> bool:
        """Whether it was still waiting; now it is not."""
        if self.waiters is None or not self.waiters.discard(waiter):
            return False
        self._waits_no_more()
        return True

    def _waits_no_more(self) -> None:
        self.feeders -= 1
        self.detour = bool(self.waiters) or self.ended is not None

    def _give_back(self, mail: Mail) -> Effects:
        effects: list[Effect] = []
        if not self._offer(mail, effects):
            self._mailbox().put_back(mail)
        return effects

    def _mailbox(self) -> Mailbox:
        if self.mailbox is None:
            self.mailbox = Mailbox(self.collect_limit)
        return self.mailbox

    def _concluded(self) -> Effects:
        effects: list[Effect] = []
        for waiter in tuple(self.waiters or ()):  # in a task that is none of the run's
            waiter.error = RunEndedError(
                f"the run of {self.plan.name} is over, and nothing more comes for a wait"
            )
            self._withdraw(waiter)
            effects.append(Resume(waiter))
        for event in self.mailbox.take_inside() if self.mailbox is not None else ():
            effects += self._dead(event, f"{self._no_taker(event)}, and nobody waited for it")
        return effects

    # -- ends of a step --------------------------------------------------------------------------------------

    def _returned(self, delivery: Delivery, value: object, at: float) -> Effects:
        """Any other return: too late, a stop, a list, for several steps, or what no step may return."""
        if at >= self.deadline:
            self._deadline_passed(at)
        if self.ended is not None:
            del self.active[delivery]
            self._keep_late(value)
            return END_RUN
        events = () if value is None else returned_events(delivery.step, value)
        if isinstance(events, WorkflowError):
            if delivery.step.returns_list and is_sequence(
                value
            ):  # the error has the wrong one, these are the others
                self._keep_late([each for each in value if isinstance(each, Event)])
            return self._failed(delivery, events)
        if not events:
            self._returned_nothing(delivery.step.index)
        freed = self._release(delivery)
        if is_stop(value):
            stopped = self._stopped(value)
            return [freed, *stopped] if isinstance(freed, Resume) else stopped
        effects: list[Effect] = [] if freed is None else [freed]
        for number, event in enumerate(events):
            carry = delivery.carry.copy() if number else delivery.carry
            effects += self._sent(event, carry, None, at=at)
        return [*effects, *self._check_stalled()]

    def _returned_nothing(self, index: int) -> None:
        if self.silent is None:
            self.silent = [0] * len(self.busy)
        self.silent[index] += 1

    def _keep_late(self, value: object) -> None:
        if value is None:
            return
        if self.late is None:
            self.late = []
        if isinstance(value, list):
            self.late += value
        else:
            self.late.append(value)

    def _step_raised(self, delivery: Delivery, error: BaseException, at: float) -> Effects:
        if at >= self.deadline:
            self._deadline_passed(at)
        return self._failed(delivery, error)

    def _failed(self, delivery: Delivery, error: BaseException) -> Effects:
        del self.active[delivery]
        add_note(
            error,
            f"in {self._label(delivery.step)}, which handled {shown(delivery.event)}, attempt {delivery.attempt}",
        )
        return self._fail(error)

    def _label(self, step: StepPlan) -> str:
        """The step, and the workflow if that has inherited it."""
        name = self.plan.name
        return step.label if step.label.startswith(f"{name}.") else f"{step.label} of {name}"

    def _fail(self, error: BaseException) -> Effects:
        if self.errors is None:
            self.errors = []
        self.errors.append(error)
        return self._end(Ended.FAILED)

    def _nested_failed(self, error: BaseException) -> Effects:
        add_note(error, f"in a run nested in {self.plan.name} that nobody awaited")
        return self._fail(error)

    # -- ends of the run -------------------------------------------------------------------------------------

    def _stopped(self, event: StopEvent[object]) -> Effects:
        self._stop = event
        self.result = event.result if type(event) is StopEvent else event
        return self._end(Ended.STOPPED)

    def _deadline_passed(self, at: float) -> Effects:
        if self.ended is not None:
            return END_RUN
        return self._end(Ended.TIMED_OUT, timed_out(self, self._buffers, at))

    def _cancelled(self, why: str, at: float, *, by_caller: bool) -> Effects:
        if at >= self.deadline:
            self._deadline_passed(at)
        if by_caller and self.ended is Ended.STOPPED:
            self._keep_late(self._stop)
            self.ended, self.result = None, None
        return self._end(Ended.CANCELLED, WorkflowCancelledError(f"{self.plan.name} was cancelled {why}"))

    def _check_stalled(self) -> Effects:
        if self.ended is not None:
            return END_RUN
        if self.active or self.feeders:
            return NOTHING
        return self._end(Ended.STALLED, stalled(self, self._buffers))

    def _end(self, how: Ended, verdict: WorkflowError | None = None) -> Effects:
        if self.ended is None:
            self.ended = how
            self.detour = True
            self.verdict = verdict
        return END_RUN

    # -- what a driver and a user read -----------------------------------------------------------------------

    def collect(
        self, delivery: Delivery, event: Event, expected: Sequence[type[Event]], buffer_id: Hashable
    ) -> list[Event] | None:
        """Adds an event to a buffer of the delivery's step, and takes a batch if one is due."""
        if self._buffers is None:
            self._buffers = Buffers(self.collect_limit)
        return self._buffers.collect(delivery, event, expected, buffer_id)

    def error(self) -> BaseException | None:
        """What ``await run`` raises, or None if it gives the result.

        KeyboardInterrupt and its like outrank a timeout, and that outranks the first failure; the other
        failures are told by notes on the error that comes out.
        """
        raised = self.errors
        if not raised:
            return self.verdict
        timeout = self.verdict if self.ended is Ended.TIMED_OUT else None
        first = next((error for error in raised if not isinstance(error, Exception)), timeout or raised[0])
        if first is timeout:
            first.__cause__ = raised[0]
        others = [other for other in raised if other is not first]
        for other in others[:_NOTED]:
            add_note(first, f"while the run was being ended, another step failed: {shown(other)}")
        if len(others) > _NOTED:
            add_note(first, f"and {len(others) - _NOTED} more, see run.failures")
        return first

    def terminal_event(self) -> StopEvent[object]:
        """The last event of the stream: that which stopped the run, or one that says why it has no result."""
        error = self.error()
        if error is None:
            assert self._stop is not None, "asked before the run was over"
            return self._stop
        if error is self.verdict and self.ended is Ended.CANCELLED:
            return WorkflowCancelledEvent()
        if error is self.verdict and self.ended is Ended.TIMED_OUT:
            return WorkflowTimedOutEvent(exception=error)
        return WorkflowFailedEvent(exception=error)

    def leftovers(self) -> Iterator[object]:
        """What was taken in and not used: queued, then half collected, then kept for a wait, then late."""
        yield from (delivery.event for delivery in self.active if delivery.started is None)
        yield from (each.event for queue in self.waiting if queue for each in queue if each.event is not None)
        if self._buffers is not None:
            yield from self._buffers.leftovers()
        yield from (mail.event for mail in self.mailbox or ())
        yield from self.late or ()
