"""The attempts at one delivery: what failed is tried again, or recovered, or fails the run.

A delivery that is to be tried again gives its worker back, waits for its time, and becomes ready at the tail like a
new one. What an attempt sends may be held back until it has succeeded. Whether there is another attempt is said by
`retrying`, who recovers by `recovering`, and what one attempt leaves to the next is kept in `past`.
"""

from __future__ import annotations

from ..errors import add_note, shown
from ..events import StepFailedEvent
from .delivery import Delivery
from .effects import NOTHING, Effect, Effects, Publish, Retry
from .past import Held, Past
from .plan import StepPlan
from .queueing import Queueing
from .recovering import note_recovered, spend
from .retrying import failure_of, next_attempt

__all__ = ["Attempts"]


class Attempts(Queueing):
    """Decides what follows when a step has raised."""

    def _step_raised(
        self, delivery: Delivery, error: BaseException, at: float, draw: float | None
    ) -> Effects:
        """Another attempt, or a recovery, or the end of the run."""
        self.look_at(delivery, at)
        if at >= self.deadline:
            self._deadline_passed(at)
        past = delivery.past
        if (
            past is not None
            and self.forks is not None
            and self.ended is None
            and isinstance(error, Exception)
        ):
            first = self.forks.failure_of(delivery)
            if first is not None:
                return self._failed_too(delivery, past, error, first)
        if past is None or delivery.step.plain or self.ended is not None or self.is_lost(delivery):
            return self._failed(delivery, error)
        error = failure_of(delivery, error, at)
        if draw is None or not isinstance(error, Exception):
            return self._failed(delivery, error)
        past.failed(at if delivery.started is None else delivery.started, error)
        try:
            due = next_attempt(delivery, error, at, draw, self.deadline)
        except BaseException as broken:  # noqa: ASYNC103, BLE001 - told as what ends the run
            return self._failed(delivery, broken)  # noqa: ASYNC104
        if due is None:
            return self._recover(delivery, past, error, at)
        freed = self._pause(delivery)
        if due <= at:
            again: Effects = self._again(delivery, past)
        else:
            if self.retrying is None:
                from .alarms import Alarms  # noqa: PLC0415 - for who tries again later

                self.retrying = Alarms()
            self.retrying.set(due, delivery)
            again = (Retry(at=due),)
        return again if freed is None else (freed, *again)

    # -- another attempt -------------------------------------------------------------------------------------

    def _retry_due(self, at: float) -> Effects:
        if self.ended is not None:
            return NOTHING
        if at >= self.deadline:
            return self._deadline_passed(at)
        again = [
            effect
            for delivery in (() if self.retrying is None else self.retrying.take_due(at))
            if delivery.past is not None
            for effect in self._again(delivery, delivery.past)
        ]
        return [*again, *self._windows_due(at)]

    def _again(self, delivery: Delivery, past: Past) -> Effects:
        """The delivery becomes ready once more, at the tail."""
        past.attempt += 1
        delivery.started = None
        delivery.carry = past.carry.copy()
        return (delivery,) if self._admit(delivery) else NOTHING

    # -- no further attempt ---------------------------------------------------------------------------------

    def _recover(self, delivery: Delivery, past: Past, error: Exception, at: float) -> Effects:
        """The handler of the step is started in place of failing the run, if its budget allows."""
        handler = delivery.step.handler
        if handler is None or handler.recovers is None:
            return self._settle_in_join(delivery, past, error, at)
        limit = handler.recovers.max_recoveries
        spent = spend(past.spent, handler.index, limit)
        if spent is None:
            add_note(
                error, f"not recovered: {handler.label} did so {limit} x on the way to this event already"
            )
            return self._settle_in_join(delivery, past, error, at)
        self._note_where(delivery, error)
        event = _failure(delivery, past, error, at)
        following = Delivery(handler, event, past.carry, past=Past(past.carry.copy(), spent))
        self._count_taken(handler, event)
        freed = self._release(delivery)
        effects: list[Effect] = [] if freed is None else [freed]
        effects += self._leave_over(past)
        if self._admit(following):
            effects.append(following)
        effects += self._branch_left(delivery, following)
        return effects

    def _settle_in_join(self, delivery: Delivery, past: Past, error: Exception, at: float) -> Effects:
        """The failure goes to a join that takes failures too; where none does it fails the run."""
        if not self._branch_failed(delivery, _failure(delivery, past, error, at), at):
            return self._failed(delivery, error)
        self._note_where(delivery, error)
        effects = [*self._lost_with_it()]  # before its worker is free for one of them
        freed = self._release(delivery)
        if freed is not None:
            effects.append(freed)
        return [*effects, *self._leave_over(past), *self._branch_left(delivery), *self._check_stalled()]

    def _failed_too(
        self, delivery: Delivery, past: Past, error: Exception, first: StepFailedEvent
    ) -> Effects:
        """A step raises while its branch, which has failed, is being ended; it is told with what that failed with."""
        add_note(
            first.exception,
            f"while its branch was being ended, {delivery.step.label} failed too: {shown(error)}",
        )
        freed = self._release(delivery)
        effects: list[Effect] = [] if freed is None else [freed]
        return [*effects, *self._leave_over(past), *self._branch_left(delivery), *self._check_stalled()]

    def _failed(self, delivery: Delivery, error: BaseException) -> Effects:
        del self.active[delivery]
        if self.unfinished is not None:
            self.unfinished.append(delivery)
        self._note_where(delivery, error)
        if delivery.past is None:
            return self._fail(error)
        if not delivery.step.plain:
            delivery.past.undo()
        if delivery.step.recovers is not None:
            note_recovered(error, delivery.event)
        return [*self._leave_over(delivery.past), *self._fail(error)]

    def _note_where(self, delivery: Delivery, error: BaseException) -> None:
        add_note(
            error,
            f"in {self._label(delivery.step)}, which handled {shown(delivery.event)}, attempt {delivery.attempt}",
        )

    def _label(self, step: StepPlan) -> str:
        """The step, and the workflow if that has inherited it."""
        name = self.plan.name
        return step.label if step.label.startswith(f"{name}.") else f"{step.label} of {name}"

    # -- what an attempt holds back, and what it leaves ------------------------------------------------------

    def hold(self, delivery: Delivery, held: Held, at: float) -> Effects:
        """Keeps what a step sends until its attempt has succeeded; once that is over it is sent at once.

        Raises:
            RoutingError: As `event_sent`.
            TypeError: As `event_sent`.
        """
        self._checked(held.event)
        if held.step is not None:
            self._named(held.event, held.step)
        if delivery.past is None or delivery.past.over or self.ended is not None:
            if self.flows is not None:
                self.flows.see(at)
            effects = self._sent_at_last(held, delivery, at)
            if self.flows is not None:
                effects = self._flowed(self.flows, effects)
            elif self.shedding is not None:
                effects = self._shed(self.shedding, effects)
            return effects if self.ended is not None else [*effects, *self._check_stalled()]
        delivery.past.held.append(held)
        return self._held_for_itself(delivery, held)

    def _sent_at_last(self, held: Held, cause: Delivery, at: float) -> Effects:
        if held.carry is None:
            return (Publish(event=held.event),)
        return self._sent(held.event, held.carry, held.step, at=at, cause=cause)

    def _let_go(self, delivery: Delivery, past: Past, at: float) -> list[Effect]:
        """The attempt has succeeded: what it sent is sent, in order."""
        effects = self._leave_over(past)
        for held in past.let_go():
            effects += self._sent_at_last(held, delivery, at)
        return effects

    def _settled(self, delivery: Delivery, past: Past) -> Effects:
        """The attempt neither succeeded nor failed: the run ended first."""
        effects = self._leave_over(past)
        for held in past.let_go():
            effects += self._dead(held.event, f"{delivery.step.label} held it back and was cancelled")
        return effects

    def _leave_over(self, past: Past) -> list[Effect]:
        """No further attempt will be given the batches that are kept."""
        past.over = True
        effects: list[Effect] = []
        for event in past.unused():
            if self.given_up is None:
                self.given_up = []
            if len(self.given_up) < self.collect_limit:
                self.given_up.append(event)
            else:
                effects += self._dead(
                    event, f"{self.collect_limit} events of failed attempts are kept already"
                )
        past.kept.clear()
        past.again = None
        return effects


def _failure(delivery: Delivery, past: Past, error: Exception, at: float) -> StepFailedEvent:
    return StepFailedEvent(
        step=delivery.step.name,
        event=delivery.event,
        exception=error,
        attempts=delivery.attempt,
        elapsed=0.0 if past.began is None else at - past.began,
    )
