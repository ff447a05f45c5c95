"""The forks and joins of a run: what `joining` decides about branches, done with deliveries.

Only a run whose plan has a join comes here. There each delivery is a branch from the moment when it is made to the
moment when it has ended, whether it waits for a worker, for another attempt or for an event in its middle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import TYPE_CHECKING

from ..errors import add_note, shown
from ..events import Event, StepFailedEvent
from .collecting import is_sequence
from .delivery import Delivery, Origin, spent_by
from .effects import NOTHING, Abort, Effect, Effects, Retry
from .past import Past
from .plan import StepPlan
from .waits import Waits

if TYPE_CHECKING:
    from .joining import Forks

__all__ = ["Forking"]

_ENOUGH = "the join of its fork had enough"


class Forking(Waits):
    """Sends events to branches and joins, and calls the joins."""

    def _fork(
        self, event: Event, carry: Context, takers: Sequence[StepPlan], cause: Delivery | None, at: float
    ) -> Effects:
        """An event goes to these steps, some of which may join it."""
        forks, effects, spent = self._forks(), list[Effect](), spent_by(cause)
        forks.at = max(forks.at, at)
        place = forks.place(cause, len(takers), (carry.copy(), spent))
        for taker in takers:
            if taker.join is not None:
                forks.arrive(taker.index, event, place, taker.further)
                continue
            delivery = _delivery(taker, event, carry if taker is takers[0] else carry.copy(), spent)
            if not forks.begin(delivery, place, taker.may):
                effects += self._dead(event, f"{_ENOUGH} before {taker.label} took it")
            elif self._admit(delivery):
                effects.append(delivery)
        forks.sent(cause, place)
        return [*effects, *self._news(forks)]

    def _forks(self) -> Forks[Delivery, Origin]:
        if self.forks is None:
            from .joining import Forks  # noqa: PLC0415 - only for who joins

            joins = {step.index: step.join for step in self.plan.steps if step.join is not None}
            self.forks = Forks(joins, self._joined, {join: self.plan.steps[join].further for join in joins})
            self.forks.at = self.begun
        return self.forks

    def _joined(self, join: int, events: list[Event], origin: Origin) -> Delivery:
        from .joined import Joined  # noqa: PLC0415 - only for who joins

        carry, spent = origin
        return _delivery(self.plan.steps[join], Joined(events=tuple(events)), carry.copy(), spent)

    def take_up_forks(self, fill: Callable[[Forks[Delivery, Origin]], None], at: float) -> Effects:
        """Those of a snapshot; calls the joins that nothing more comes to."""
        forks = self._forks()
        forks.at = at
        fill(forks)
        forks.close_up()
        return self._news(forks)

    # -- ends of a branch ------------------------------------------------------------------------------------

    def is_lost(self, delivery: Delivery | None) -> bool:
        """Whether its work was cut short: the join of its fork had enough, or a later event has taken its place."""
        if delivery is None:
            return False
        if self.flows is not None and delivery in self.flows.lost:
            return True
        return self.forks is not None and self.forks.is_lost(delivery)

    def _branch_returned(self, delivery: Delivery, value: object, count: int, at: float) -> None:
        """What a step returned is about to be sent."""
        if self.forks is not None:
            self.forks.at = max(self.forks.at, at)
            listed = delivery.step.calls if isinstance(value, list) else ()
            self.forks.ends(delivery, count, (delivery.carry.copy(), spent_by(delivery)), listed)

    def _branch_left(self, delivery: Delivery, following: Delivery | None = None) -> Effects:
        """A step has ended; its joins are called, if it was the last of a fork, unless another goes on in its place."""
        if self.forks is None:
            return NOTHING
        if following is None:
            self.forks.leave(delivery)
        else:
            self.forks.replace(delivery, following)
        return self._news(self.forks)

    def _branch_failed(self, delivery: Delivery, failure: StepFailedEvent, at: float) -> bool:
        """Whether a join settles it that a step has failed. The step is at its end then, and has only to leave."""
        if self.forks is None:
            return False
        self.forks.at = max(self.forks.at, at)
        return self.forks.fails(delivery, delivery.step.may, failure)

    def _lost_with_it(self) -> Effects:
        """What a failure that was settled has ended."""
        return NOTHING if self.forks is None else self._news(self.forks)

    def _lost_returned(self, delivery: Delivery, value: object) -> Effects:
        """A step has ended that was cancelled: what it returned all the same comes too late."""
        reason = self._why_lost(delivery)  # before it is forgotten
        freed = self._release(delivery)
        effects: list[Effect] = [] if freed is None else [freed]
        for event in value if is_sequence(value) else () if value is None else (value,):
            effects += self._dead(event, reason)
        return [*effects, *self._branch_left(delivery), *self._check_stalled()]

    def _too_late(self, event: object, sender: Delivery) -> Effects:
        return self._dead(event, self._why_lost(sender))

    def _why_lost(self, delivery: Delivery) -> str:
        return f"{delivery.step.label} was cancelled, because {self._why_late(delivery)}"

    def _why_late(self, delivery: Delivery) -> str:
        failed = None if self.forks is None else self.forks.failure_of(delivery)
        return _ENOUGH if failed is None else f"its branch has failed in {self._label_of(failed)}"

    def _label_of(self, failure: StepFailedEvent) -> str:
        step = self.plan.step_named(failure.step)
        return failure.step if step is None else step.label

    # -- what has come of it ---------------------------------------------------------------------------------

    def _news(self, forks: Forks[Delivery, Origin]) -> Effects:
        """Starts what is due, ends what is lost, tells what came too late."""
        effects: list[Effect] = []
        while forks.due or forks.lost or forks.late or forks.dropped or forks.broken or forks.failed:
            while forks.late:
                join, event = forks.late.popleft()
                reason = f"{self.plan.steps[join].label} had enough before it came"
                effects += self._dead(event, reason, just_sent=False)
            while forks.dropped:
                join, event = forks.dropped.popleft()
                reason = f"a step of its branch has failed before {self.plan.steps[join].label} was called"
                effects += self._dead(event, reason, just_sent=False)
            while forks.due:
                due = forks.due.popleft()
                self._count_called(due.step)
                if self._admit(due):
                    effects.append(due)
            while forks.lost:
                effects += self._lose(forks, forks.lost.popleft())
            while forks.broken:
                effects += self._broken(*forks.broken.popleft())
            while forks.failed:
                effects += self._fail(forks.failed.popleft().exception)
        if (at := forks.timing.to_ask()) is not None:
            effects.append(Retry(at=at))
        return effects

    def _broken(self, join: int, event: Event | None, error: BaseException) -> Effects:
        """A predicate of a join has raised: that ends the run, as a step does that fails."""
        from .._answers import raisable  # noqa: PLC0415 - for a mistake

        step = self.plan.steps[join]
        error = raisable(error, repr(step.join))
        add_note(
            error,
            f"raised by {step.join!r}, by which {step.label} joins, when it was asked about {shown(event)}",
        )
        return self._fail(error)

    # -- windows ---------------------------------------------------------------------------------------------

    def _windows_due(self, at: float) -> Effects:
        """The time of a window may be over."""
        if self.forks is None:
            return NOTHING
        self.forks.time_is(at)
        return self._news(self.forks)

    def _last_windows(self) -> Effects:
        """Nothing else is left to do in the run: what the windows outside of all forks have."""
        if self.forks is None:
            return NOTHING
        self.forks.end_windows()
        return self._news(self.forks)

    def _lose(self, forks: Forks[Delivery, Origin], delivery: Delivery) -> Effects:
        """A step at work is cancelled; one that has not begun never does."""
        waited = self._withdraw_delivery(delivery)
        effects: list[Effect] = []
        reason = f"{self._why_late(delivery)} before {delivery.step.label} took it"
        own = forks.each_of(delivery.event)
        untaken = [*delivery.untaken(own)] if waited else () if self.has_begun(delivery) else own
        for event in untaken:
            effects += self._dead(event, reason, just_sent=False)
        if untaken and delivery.attempt == 1:
            self._count_taken(delivery.step, delivery.event, -1)
        if not waited:
            return [*effects, Abort(delivery=delivery)]
        forks.leave(delivery)
        return effects

    def _withdraw_delivery(self, delivery: Delivery) -> bool:
        """Whether it waited for a worker or for another attempt; now it does not."""
        if delivery in self.active:
            return False
        if self.retrying is not None and self.retrying.discard(delivery):
            self._forget(delivery)
            return True
        return self.withdraw_queued(delivery)


def _delivery(step: StepPlan, event: Event, carry: Context, spent: Mapping[int, int]) -> Delivery:
    return Delivery(step, event, carry, past=None if step.plain else Past(carry.copy(), spent))
