"""What is held back in a run, done with deliveries: begins it when its time has come, and tells what is dropped.

Only a run whose plan has a step with policies comes here, or one whose bound drops what is too much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import add_note, shown
from .delivery import Delivery
from .effects import NOTHING, Abort, Effect, Effects, Retry, Rouse
from .forking import Forking

if TYPE_CHECKING:
    from .flows import Flows
    from .permits import Lane, Permits
    from .shedding import Shedding

__all__ = ["Flowing"]


class Flowing(Forking):
    """Makes effects of what `flows` has come to."""

    def hold_back(self, sources: Mapping[int, Sequence[Permits]], wake: Callable[[Lane], object]) -> None:
        """Steps with policies go by them from now on.

        Args:
            sources: For each such step, by its index, the permits of its rates and limits.
            wake: Called by the driver of another run for a lane of this one.
        """
        from .flows import Flows  # noqa: PLC0415 - only for who has policies

        self.flows = Flows(
            self.plan.steps, sources, self.begun, room=self.room, shedding=self.shedding, wake=wake
        )
        self.detour = self._takes_detour()

    def await_turn(self) -> None:
        """Nothing begins before the run is `Admitted`, so that it takes nothing which it has no use for yet."""
        if self.flows is not None:
            self.flows.paused = True

    def _has_turn(self, flows: Flows) -> None:
        flows.paused = False
        for flow in flows.by_step.values():
            self._pump(flow)

    def _flowed(self, flows: Flows, effects: Effects) -> Effects:
        """The effects, and what follows for what is held back."""
        more: list[Effect] = [*effects]
        self._settle(flows, more)
        if self.ended is not None:
            for flow in flows.by_step.values():
                flow.stand_aside()
        elif (at := flows.next_timer()) is not None:
            more.append(Retry(at=at))
        return [*more, *_roused(flows)]

    def _settle(self, flows: Flows, more: list[Effect]) -> None:
        """What is due is looked at, until nothing more comes of it."""
        dropped = False
        while True:
            if self.ended is None:
                self._turn(flows)
            if not flows.has_news:
                break
            while flows.begun:
                more.append(flows.begun.popleft())
            while flows.dropped:
                dropped = True
                more += self._dropped(*flows.dropped.popleft())
            for delivery, reason in flows.take_superseded():
                more += self._superseded(flows, delivery, reason)
            while flows.broken:
                more += self._policy_broken(*flows.broken.popleft())
        if dropped:
            more += self._check_stalled()

    def _shed(self, shedding: Shedding, effects: Effects) -> Effects:
        """The effects, and what is dropped of a run without such steps, since too much waits in it."""
        if not shedding.dropped:
            return effects
        more: list[Effect] = [*effects]
        while shedding.dropped:
            more += self._dropped(*shedding.dropped.popleft())
        return [*more, *self._check_stalled()]

    def _flows_concluded(self) -> Effects:
        """Nothing of the run is at work any more."""
        if self.flows is None:
            return NOTHING
        for flow in self.flows.by_step.values():
            flow.conclude()
        return _roused(self.flows)

    # -- what becomes of an event ------------------------------------------------------------------------------

    def _dropped(self, delivery: Delivery, reason: str) -> Effects:
        """An event that never begins: it is told, and a fork that it was a branch of does not wait for it."""
        self._forget(delivery)
        own = (delivery.event,) if self.forks is None else self.forks.each_of(delivery.event)
        effects: list[Effect] = []
        for event in delivery.untaken(own):
            effects += self._dead(event, reason, just_sent=False, meant=True)
        if delivery.attempt == 1:
            self._count_taken(delivery.step, delivery.event, -1)
        return [*effects, *self._branch_left(delivery)]

    def _superseded(self, flows: Flows, delivery: Delivery, reason: str) -> Effects:
        """What was taken in is cancelled, and those who wait for its seat have it when it has ended."""
        if delivery in flows.lost:
            return NOTHING
        if self.retrying is not None and self.retrying.discard(delivery):
            return self._dropped(delivery, reason)
        flows.lost.add(delivery)
        if not self.has_begun(delivery) and delivery.attempt == 1:
            self._count_taken(delivery.step, delivery.event, -1)
        letters = self._dead(delivery.event, reason, just_sent=False, meant=True)
        return [*letters, Abort(delivery=delivery)]

    def _policy_broken(self, delivery: Delivery, error: BaseException, asking: str) -> Effects:
        """A key or a priority could not be told, which is the program's mistake."""
        from .._answers import raisable  # noqa: PLC0415 - for a mistake

        label = delivery.step.label
        error = raisable(error, f"{asking} of {label}")
        add_note(error, f"raised by {asking} of {label}, asked about {shown(delivery.event)}")
        dropped = self._dropped(delivery, f"{label} could not tell its key, or its priority")
        return [*dropped, *self._fail(error)]

    def _why_lost(self, delivery: Delivery) -> str:
        if self.flows is not None and delivery in self.flows.lost:
            return f"{delivery.step.label} was cancelled, because a later event of its key came"
        return super()._why_lost(delivery)


def _roused(flows: Flows) -> Effects:
    return [Rouse(lane=lane) for lane in flows.take_roused()]
