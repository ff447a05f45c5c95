"""How a run ends, and what it comes to: its result, its errors, and what was lost on the way.

The first of these things ends a run: a StopEvent, a failure, the deadline, a cancellation, or that nothing is active
or about to be and nobody outside may send. From then on what steps return is kept as a leftover, what they send is a
dead letter, what they raise is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator

from ..errors import WorkflowCancelledError, WorkflowError, WorkflowTimeoutError, add_note, shown
from ..events import (
    StopEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowTimedOutEvent,
)
from .collecting import Buffers
from .effects import CLOSED, END_RUN, NOTHING, QUIET, Effects
from .state import DEAD_LETTERS_KEPT, DeadLetter, Delivery, Ended
from .waiting import Waiter
from .workers import Workers

__all__ = ["Outcome"]

_NOTED = 10  # failures that are noted on the first; run.failures has them all


class Outcome(Workers):
    """What a run comes to, and how; what comes first decides."""

    buffers: Buffers | None = None
    _stop: StopEvent[object] | None = None

    def _stopped(self, event: StopEvent[object]) -> Effects:
        if self.closes:
            return self._close(event)
        self._stop = event
        self.result = event.result if type(event) is StopEvent else event
        return self._end(Ended.STOPPED)

    def _deadline_passed(self, at: float) -> Effects:
        if self.ended is not None:
            return END_RUN
        return self._end(Ended.TIMED_OUT, self.overdue(at))

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
        if self.active or self.is_timed:
            return NOTHING
        if self.hosted:
            return QUIET
        if self.feeders:
            return NOTHING
        return self._last_windows() or self._end_stalled()

    def _end_stalled(self) -> Effects:
        from .reporting import stalled  # noqa: PLC0415 - for runs in trouble, as below

        return self._end(Ended.STALLED, stalled(self, self.buffers))

    @abstractmethod
    def is_lost(self, delivery: Delivery | None) -> bool:
        """Whether its work was cut short, and its event told then."""

    @abstractmethod
    def _last_windows(self) -> Effects:
        """What joins are called with when nothing else is left to do."""

    def _close(self, stop: StopEvent[object]) -> Effects:
        if self.closed:
            return self._dead(stop, f"the run of {self.plan.name} was closed by an earlier one")
        self.closed = True
        return CLOSED

    def _fail(self, error: BaseException) -> Effects:
        if self.errors is None:
            self.errors = []
        self.errors.append(error)
        return self._end(Ended.FAILED)

    def _nested_failed(self, error: BaseException) -> Effects:
        add_note(error, f"in a run nested in {self.plan.name} that nobody awaited")
        return self._fail(error)

    def _end(self, how: Ended, verdict: WorkflowError | None = None) -> Effects:
        if self.ended is None:
            self.ended = how
            self.detour = True
            self.verdict = verdict
        return END_RUN

    # -- what comes to nothing -------------------------------------------------------------------------------

    def _dead(self, event: object, reason: str, *, just_sent: bool = True, meant: bool = False) -> Effects:
        letter = DeadLetter(event, reason, just_sent=just_sent, meant=meant)
        if self.dead_letters is None:
            self.dead_letters = deque(maxlen=DEAD_LETTERS_KEPT)
        self.dead_letters.append(letter)
        return (letter,)

    def _keep_late(self, value: object) -> None:
        if value is None:
            return
        if self.late is None:
            self.late = []
        if isinstance(value, list):
            self.late += value
        else:
            self.late.append(value)

    # -- what a driver and a user read -----------------------------------------------------------------------

    def why_stuck(self) -> list[str]:
        """What it waits for and was not given, for who judges several runs together."""
        from .reporting import why_stalled  # noqa: PLC0415

        return why_stalled(self, self.buffers)

    def overdue(self, at: float) -> WorkflowTimeoutError:
        """The error of a deadline that passes, be it while others finish what the run has begun."""
        from .reporting import timed_out  # noqa: PLC0415

        return timed_out(self, self.buffers, at)

    def error(self) -> BaseException | None:
        """What ``await run`` raises, or None if it gives the result.

        KeyboardInterrupt and its like outrank a timeout, and that outranks the first failure; the other
        failures are told by notes on the error that comes out. If not all could be undone, that is an `UndoError`.
        """
        raised = self.errors
        if not raised:
            return self.verdict if self.undos is None else self.undos.verdict(self.verdict, self.plan.name)
        timeout = self.verdict if self.ended is Ended.TIMED_OUT else None
        first = next((error for error in raised if not isinstance(error, Exception)), timeout or raised[0])
        if first is timeout:
            first.__cause__ = raised[0]
        others = [other for other in raised if other is not first]
        for other in others[:_NOTED]:
            add_note(first, f"while the run was being ended, another step failed: {shown(other)}")
        if len(others) > _NOTED:
            add_note(first, f"and {len(others) - _NOTED} more, see run.failures")
        return first if self.undos is None else self.undos.verdict(first, self.plan.name)

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
        """What was taken in and not used: queued, then half collected or joined, then kept for a wait, then late."""
        waiting = dict.fromkeys(self._not_begun())
        for each in waiting:
            if each.event is None:
                continue
            own = (each.event,) if self.forks is None else self.forks.each_of(each.event)
            yield from each.untaken(own) if type(each) is Delivery else own
        if self.buffers is not None:
            yield from self.buffers.leftovers()
        if self.forks is not None:
            yield from self.forks.leftovers()
        for delivery in self.resumed or ():
            if delivery not in waiting and delivery.past is not None:
                yield from delivery.past.unused()
        yield from self.given_up or ()
        yield from (mail.event for mail in self.mailbox or ())
        yield from self.late or ()

    def _not_begun(self) -> Iterator[Delivery | Waiter]:
        yield from (each for each in self.active if not self.has_begun(each) and not self.is_lost(each))
        yield from self.in_queues()
        yield from self.retrying or ()
