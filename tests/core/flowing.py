"""Machines whose steps hold back, several of them in one loop that is not there: its clock, its timers, its effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import copy_context
from heapq import heappop, heappush
from typing import Any

from stretto._core.bucket import Bucket
from stretto._core.effects import DeadLetter, Retry, Rouse
from stretto._core.inputs import RetryDue, Roused, StepRaised, StepReturned
from stretto._core.machine import Machine
from stretto._core.permits import Lane, Permits, Seat, Token
from stretto._core.plan import StepPlan
from stretto._core.state import Delivery
from stretto.events import Event
from tests.core.plans import Outer, plan, step

CARRY = copy_context()


def tokens(interval: float, burst: int = 1) -> Permits:
    return Permits(lambda key: Token(key, Bucket(interval, burst)))


def seats(most: int) -> Permits:
    return Permits(lambda key: Seat(key, most))


class Loop:
    """What drivers do, for machines: they have one clock, and a timer goes off at its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs: list[Held] = []
        self.timers: list[tuple[float, int, Held]] = []
        self._set = 0

    def run(
        self,
        *steps: StepPlan,
        sources: Mapping[int, Sequence[Permits]],
        fed: bool = True,
        shed: tuple[int, bool] | None = None,
    ) -> Held:
        """A run; it may have a bound that drops, of so many, and its newest or not."""
        run = Held(self, steps, sources, fed=fed, shed=shed)
        self.runs.append(run)
        return run

    def set_timer(self, at: float, run: Held) -> None:
        self._set += 1
        heappush(self.timers, (at, self._set, run))

    def advance(self, seconds: float) -> None:
        """Time passes, and what is due by then comes."""
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            at, _, run = heappop(self.timers)
            self.now = max(self.now, at)
            run.perform(run.machine.receive(RetryDue(at=self.now)))
        self.now = until


class Held:
    """One run."""

    def __init__(
        self,
        loop: Loop,
        steps: Sequence[StepPlan],
        sources: Mapping[int, Sequence[Permits]],
        *,
        fed: bool,
        shed: tuple[int, bool] | None = None,
    ) -> None:
        self.loop = loop
        outside = [step("outside", index=len(steps), accepts=(Outer,))] if fed else []
        self.machine = Machine(plan(*steps, *outside), loop.now, float("inf"), 100)
        if shed is not None:
            self.machine.shed(shed[0], newest=shed[1])
        if shed is None or any(each.policies is not None for each in steps):
            self.machine.hold_back(sources, self._wake)
        self.begun: list[tuple[float, Delivery]] = []
        self.letters: list[DeadLetter] = []
        self.effects: list[Any] = []

    def _wake(self, lane: Lane) -> None:
        self.perform(self.machine.receive(Roused(lane=lane, at=self.loop.now)))

    def perform(self, effects: Sequence[Any]) -> None:
        for effect in effects:
            match effect:
                case Delivery():
                    effect.started = self.loop.now
                    self.begun.append((self.loop.now, effect))
                case Retry(at=at):
                    self.loop.set_timer(at, self)
                case Rouse(lane=lane):
                    lane.wake(lane)
                case DeadLetter():
                    self.letters.append(effect)
                case _:
                    self.effects.append(effect)

    def send(self, event: Event, cause: Delivery | None = None) -> None:
        outside = cause is None
        self.perform(
            self.machine.event_sent(event, CARRY.copy(), at=self.loop.now, outside=outside, cause=cause)
        )

    def ends(self, delivery: Delivery, value: object = None) -> None:
        self.perform(self.machine.step_returned(delivery, value, self.loop.now))

    def fails(self, delivery: Delivery, error: Exception) -> None:
        self.perform(
            self.machine.receive(StepRaised(delivery=delivery, error=error, at=self.loop.now, draw=0.5))
        )

    def returns_by_input(self, delivery: Delivery) -> None:
        self.perform(self.machine.receive(StepReturned(delivery=delivery, value=None, at=self.loop.now)))

    @property
    def at_work(self) -> list[Delivery]:
        return [*self.machine.active]

    @property
    def waiting(self) -> list[Any]:
        return [each.event for each in self.machine.in_queues() if isinstance(each, Delivery)]

    def ns(self) -> list[tuple[float, int]]:
        """When which event began."""
        return [(at, _number(each.event)) for at, each in self.begun]

    def reasons(self) -> list[tuple[int, str]]:
        return [(_number(letter.event), letter.reason) for letter in self.letters]


def _number(event: Any) -> int:
    return int(event.n)
