"""What is dropped of all that waits in a run, against a model that keeps one list."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.past import Held
from stretto._core.policies import Overflow, Policies, Quiet
from stretto._core.state import Delivery
from stretto.events import Event, StartEvent
from stretto.retry import RetryPolicy, fixed
from tests.core.flowing import CARRY, Loop
from tests.core.plans import delivery, step


class One(Event):
    n: int


class Two(Event):
    n: int


class First(StartEvent):
    n: int


# The steps: which events each takes, how many workers it has.
TAKES: list[tuple[type[Event], ...]] = [(One, First), (One, Two), (Two,)]
WORKERS = [1, 2, 1]
GONE = step("gone")  # whose attempt is over, so that what a task of it sends is sent at once


class Model:
    """All that waits, in the order in which it came; what is at work, and what was dropped."""

    def __init__(self, size: int, *, newest: bool, bound: int | None, overflow: Overflow) -> None:
        self.size, self.newest = size, newest
        self.bound, self.overflow = bound, overflow
        self.queue: list[tuple[int, Any]] = []
        self.timers: list[
            tuple[float, bool, int, Any]
        ] = []  # when, whether it waits for quiet, and what comes then
        self.at_work: list[tuple[int, Any]] = []
        self.dropped: list[tuple[int, int]] = []

    def enters(self, index: int, event: Any, *, again: bool = False) -> None:
        each = (index, event)
        self.queue.append(each)
        self.begins(index)
        own = [other for other in self.queue if other[0] == index]
        if index == 2 and self.bound is not None and len(own) > self.bound:
            self.drop(each if self.overflow is Overflow.DROP_NEWEST else own[0])
        spare = [other for other in self.queue if not isinstance(other[1], First)]
        if len(spare) <= self.size or each not in self.queue:
            return
        if not self.newest:
            self.drop(spare[0])
        elif each in spare and not again:
            self.drop(each)

    def drop(self, victim: tuple[int, Any]) -> None:
        self.queue.remove(victim)
        self.dropped.append((victim[0], victim[1].n))

    def begins(self, index: int) -> None:
        for each in [each for each in self.queue if each[0] == index]:
            if sum(other[0] == index for other in self.at_work) < WORKERS[index]:
                self.queue.remove(each)
                self.at_work.append(each)

    def ends(self, each: tuple[int, Any]) -> None:
        self.at_work.remove(each)
        self.begins(each[0])

    def comes_later(self, at: float, index: int, event: Any, *, quiet: bool) -> None:
        self.timers.append((at, quiet, index, event))
        self.timers.sort(key=lambda timer: timer[:2])

    def passes(self, until: float) -> None:
        while self.timers and self.timers[0][0] <= until:
            _, quiet, index, event = self.timers.pop(0)
            self.enters(index, event, again=not quiet)


class Shedding(RuleBasedStateMachine):
    """Three steps; the second tries again, and the third may have policies of its own."""

    @initialize(
        size=st.integers(1, 3),
        newest=st.booleans(),
        policies=st.sampled_from([None, "size", "quiet"]),
        bound=st.integers(1, 2),
        overflow=st.sampled_from([Overflow.DROP_OLDEST, Overflow.DROP_NEWEST]),
    )
    def begin(self, size: int, newest: bool, policies: str | None, bound: int, overflow: Overflow) -> None:
        own = {
            None: None,
            "size": Policies(size=bound, overflow=overflow),
            "quiet": Policies(quiet=Quiet(seconds=1.0), key=id),
        }[policies]
        self.waits_for_quiet = policies == "quiet"
        self.loop = Loop()
        retry = RetryPolicy(attempts=2, wait=fixed(0.5))
        self.run = self.loop.run(
            step("one", accepts=TAKES[0], limit=WORKERS[0]),
            step("two", index=1, accepts=TAKES[1], limit=WORKERS[1], retry=retry),
            step("three", index=2, accepts=TAKES[2], limit=WORKERS[2], policies=own),
            sources={},
            shed=(size, newest),
        )
        self.model = Model(
            size, newest=newest, bound=bound if policies == "size" else None, overflow=overflow
        )
        self.sent = 0

    @rule(kind=st.sampled_from([One, Two, First]), held=st.booleans())
    def comes(self, kind: Any, held: bool) -> None:
        event = kind(n=self.sent)
        self.sent += 1
        self.model.passes(self.loop.now)
        for index, takes in enumerate(TAKES):
            if kind not in takes:
                continue
            if index == 2 and self.waits_for_quiet:
                self.model.comes_later(self.loop.now + 1.0, index, event, quiet=True)
            else:
                self.model.enters(index, event)
        if held:
            self.run.perform(
                self.run.machine.hold(delivery(GONE), Held(event, CARRY.copy(), None), self.loop.now)
            )
        else:
            self.run.send(event)

    @precondition(lambda self: bool(self.run.at_work))
    @rule(data=st.data(), fails=st.booleans())
    def ends(self, data: st.DataObject, fails: bool) -> None:
        ending: Delivery = data.draw(st.sampled_from(self.run.at_work))
        index = ending.step.index
        each = next(each for each in self.model.at_work if each[0] == index and each[1] is ending.event)
        self.model.passes(self.loop.now)
        self.model.ends(each)
        if fails and index == 1 and ending.attempt == 1:
            self.model.comes_later(self.loop.now + 0.5, index, each[1], quiet=False)
            self.run.fails(ending, ValueError())
        else:
            self.run.ends(ending)

    @rule(eighths=st.integers(1, 12))
    def passes(self, eighths: int) -> None:
        self.loop.advance(eighths / 8)
        self.model.passes(self.loop.now)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        run, model = self.run, self.model
        waiting = [(each.step.index, id(each.event)) for each in run.machine.in_queues()]
        quiet = [(index, id(event)) for _, quiet, index, event in model.timers if quiet]
        queued = [(index, id(event)) for index, event in model.queue]
        assert sorted(waiting) == sorted([*queued, *quiet])
        assert {(each.step.index, id(each.event)) for each in run.at_work} == {
            (index, id(event)) for index, event in model.at_work
        }
        assert sorted(n for n, _ in run.reasons()) == sorted(n for _, n in model.dropped), "each is told once"
        shedding = run.machine.shedding
        assert shedding is not None
        assert not shedding.dropped
        aged = shedding.by_age(each for each in run.machine.in_queues() if isinstance(each, Delivery))
        assert [
            (each.step.index, id(each.event)) for each in aged if (each.step.index, id(each.event)) in queued
        ] == queued


TestShedding = Shedding.TestCase
