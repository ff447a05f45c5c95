"""Where an event goes that is sent: to the steps that take it, to a wait, to the stream, or to nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextvars import Context
from typing import TypeGuard

from ..errors import RoutingError, name_of, names, near, shown
from ..events import Event, InputRequiredEvent
from .delivery import Delivery, spent_by
from .effects import END_RUN, Effect, Effects, Outward, Publish
from .flowing import Flowing
from .past import Past
from .plan import StepPlan
from .returning import is_stop, unawaited
from .waiting import Mail

__all__ = ["Sending"]


class Sending(Flowing):
    """Takes what is sent, all but the common case, which `Machine` has in place."""

    def _sent(
        self,
        event: object,
        carry: Context,
        step: str | None,
        *,
        at: float,
        outside: bool = False,
        cause: Delivery | None = None,
        claims: bool = False,
    ) -> Effects:
        """Any other event sent: to a named step, to several, to none, a stop, or too late."""
        event = self._checked(event)
        takers = self.plan.routes.find(type(event)) if step is None else (self._named(event, step),)
        stop = event if is_stop(event) else None
        if stop is not None and at >= self.deadline:
            self._deadline_passed(at)
        if self.ended is not None:
            return [*self._dead(event, f"the run was over, {self.ended.value}"), *END_RUN]
        if (self.forks is not None or self.flows is not None) and cause is not None and self.is_lost(cause):
            return self._too_late(event, cause)
        if stop is not None:
            self._count_sent(cause, event, ())
            return self._stopped(stop)
        if self.outlet and not outside and step is None and self._may_leave(event, takers):
            self.feeders += not self.hosted  # one that is hosted is never stuck by itself
            if self.leaving is not None:
                self.leaving += (type(event),)
            self._count_sent(cause, event, ())
            return (Outward(event=event, carry=carry, claims=claims),)
        asked = isinstance(event, InputRequiredEvent)
        self._count_sent(cause, event, takers)
        effects: list[Effect] = [Publish(event=event)] if asked else []
        if step is None and self.waiters and self._offer(Mail(event, outside), effects):
            return effects
        if takers:
            effects += self._to_takers(event, carry, takers, cause, at)
        elif asked:
            self.asked = event
        else:
            effects += self._keep(Mail(event, outside))
        return effects

    def _to_takers(
        self, event: Event, carry: Context, takers: Sequence[StepPlan], cause: Delivery | None, at: float
    ) -> Iterable[Effect]:
        if self.plan.joins:
            return self._fork(event, carry, takers, cause, at)
        return self._deliver(event, carry, takers, cause)

    def _deliver(
        self, event: Event, carry: Context, takers: Sequence[StepPlan], cause: Delivery | None
    ) -> Iterator[Delivery]:
        """The deliveries to these steps that can start now; each has a Context of its own."""
        for taker in takers:
            delivery = Delivery(taker, event, carry if taker is takers[0] else carry.copy())
            if not taker.plain:
                delivery.past = Past(carry.copy(), spent_by(cause))
            if self._admit(delivery):
                yield delivery

    # -- what goes to other runs -----------------------------------------------------------------------------

    def join_others(self, *, opened: bool, closes: bool = False) -> None:
        """It is one of several runs that send to each other and are judged together.

        Args:
            opened: Whether an event has opened it; else it was called, and whoever called it feeds it.
            closes: Whether a StopEvent of it closes it, so that what it has begun is finished, and does not end it.
        """
        self.outlet = self.hosted = True
        self.opened = opened
        self.closes = closes
        self.feeders = 0 if opened else 1
        if self.room is None and not self.plan.joins:
            self.leaving = ()

    def ask_others_first(self, kinds: frozenset[type]) -> None:
        """From now on it is for others to say who takes these types, whether a step of its own does or not."""
        self.crossing = kinds
        if self.leaving is not None:
            self.leaving = ()
        self.detour = bool(self.waiters) or self._takes_detour()

    def _leaves(self, event: object) -> TypeGuard[Event]:
        """Whether it takes the short way out; whoever waits may be waiting for it."""
        leaving = self.leaving
        return leaving is not None and type(event) in leaving and not self.waiters and self.ended is None

    def _may_leave(self, event: Event, takers: Sequence[StepPlan]) -> bool:
        kind = type(event)
        if kind in self.crossing:
            return True
        if takers or isinstance(event, InputRequiredEvent):
            return False
        return not (self.waiters and self.waiters.wanted(kind))

    def _crossed(self, event: Event, *, taken: bool) -> Effects:
        self.feeders -= not self.hosted
        if taken or self.ended is not None:
            return self._check_stalled()
        return [*self._keep(Mail(event, outside=False)), *self._check_stalled()]

    # -- what is wrong with it -------------------------------------------------------------------------------

    @staticmethod
    def _checked(event: object) -> Event:
        if not isinstance(event, Event):
            raise TypeError(
                f"send_event takes an event, not {shown(event)}; write class Name(Event) with its fields"
            )
        if is_stop(event) and (forgotten := unawaited(event)) is not None:
            raise TypeError(f"send_event was given a {forgotten}")
        return event

    def _named(self, event: Event, name: str) -> StepPlan:
        step = self.plan.step_named(name)
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RoutingError(f"step= is the name of a step, as in step='decide', not {shown(name)}")
        if step is None:
            known = [other.name for other in self.plan.steps]
            raise RoutingError(
                f"{self.plan.name} has no step {name!r}; its steps: {', '.join(known)}{near(name, known)}"
            )
        if not step.takes(type(event)):
            given, takes = name_of(type(event), step.accepts), names(step.accepts, (type(event),))
            raise RoutingError(
                f"{step.label} does not take {given}, it takes: {', '.join(takes)}; leave out step= to "
                "send it to the steps that take it"
            )
        return step
