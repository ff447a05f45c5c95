"""The machine against a model, for random workflows and random lives of their runs.

Each input goes to two machines, to one by its direct methods where it has them and to the other as a value, and
once more to a third at the end: the same inputs always give the same effects. The first two are written and restored
now and then, the third is not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.effects import Effects, EndRun, Kept, Publish, Resume
from stretto._core.inputs import (
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
from stretto._core.machine import Machine
from stretto._core.plan import Plan, StepPlan
from stretto._core.state import DeadLetter, Delivery
from stretto._core.waiting import Waiter
from stretto.errors import CollectError, RoutingError, UndeclaredEventError
from stretto.events import Event, InputRequiredEvent, StopEvent
from tests.core.models import Collected, Run, Seen, Wait, takers
from tests.core.plans import A, B, Finish, Outer, Question, SubA, ids, step
from tests.core.restarts import restarted

TAKEN = [A, B, SubA, Outer, Question]
CARRY = copy_context()

pytestmark = pytest.mark.timeout(600)  # to make a long life that fails a short one takes its time


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Few types, so that steps send to each other and several take the same."""
    pool = draw(st.lists(st.sampled_from(TAKEN), min_size=1, max_size=3, unique=True))
    kinds = st.lists(st.sampled_from(pool), min_size=1, max_size=2, unique=True).map(tuple)
    made = st.lists(st.sampled_from([*pool, *pool, Event, StopEvent, StopEvent]), min_size=1, max_size=3)
    return Plan(
        "Flow",
        [
            step(
                name=f"step{index}",
                index=index,
                limit=draw(st.integers(1, 3)),
                accepts=draw(kinds),
                subclasses=draw(st.booleans()),
                returns=tuple(dict.fromkeys(draw(made.filter(lambda kinds: {*kinds} != {StopEvent})))),
                returns_list=draw(st.booleans()),
            )
            for index in range(draw(st.integers(1, 4)))
        ],
    )


def calm(of: StepPlan) -> list[type[Event]]:
    """What the step may return without ending the run; a subclass of what it declares, too."""
    kinds = [kind for kind in of.returns if not issubclass(kind, StopEvent)]
    return [*kinds, SubA] if A in kinds else kinds


class Fed:
    """A machine that is fed; deliveries are known by the order in which they came out."""

    def __init__(self, plan: Plan, deadline: float, limit: int, *, as_values: bool) -> None:
        self.machine = Machine(plan, 0.0, deadline, limit)
        self.as_values = as_values
        self.deliveries: list[Delivery] = []

    def feed(self, make: Callable[[list[Delivery]], Input]) -> list[Seen]:
        given = make(self.deliveries)
        effects = self.machine.receive(given) if self.as_values else self._directly(given)
        self.deliveries += [effect for effect in effects if isinstance(effect, Delivery)]
        return list(seen(effects))

    def _directly(self, given: Input) -> Effects:
        match given:
            case EventSent(event=event, carry=carry, at=at, step=to, outside=outside):
                return self.machine.event_sent(event, carry, to, at=at, outside=outside)
            case StepReturned(delivery=delivery, value=value, at=at):
                return self.machine.step_returned(delivery, value, at)
            case _:
                return self.machine.receive(given)


def seen(effects: Effects) -> Iterator[Seen]:
    for effect in effects:
        match effect:
            case Delivery(step=of, event=event):
                yield "start", of.name, id(event)
            case Publish(event=event):
                yield "publish", "", id(event)
            case DeadLetter(event=event):
                yield "dead", "", id(event)
            case Kept(event=event):
                yield "kept", "", id(event)
            case Resume(waiter=Waiter() as waiter):
                yield "resume", waiter.step.name, id(waiter.delivery.event)
            case EndRun():
                yield "end", "", 0


def begun(effects: list[Seen]) -> list[Seen]:
    """What a driver does: it ends a run once, and starts nothing that became ready by the input that ended it."""
    if ("end", "", 0) in effects:
        return [*[effect for effect in effects if effect[0] not in {"start", "end"}], ("end", "", 0)]
    return effects


class Waits:
    """A wait of a step in each of the machines, and in the model."""

    def __init__(self, number: int, wait: Wait, body: bool) -> None:
        self.number, self.wait, self.body = number, wait, body
        self._waiters: dict[int, Waiter] = {}

    def began(self, deliveries: list[Delivery]) -> WaitBegan:
        delivery = deliveries[self.number]
        waiter = Waiter(delivery=delivery, kind=self.wait.kind, wake=lambda: None)
        self._waiters[id(deliveries)] = waiter
        return WaitBegan(waiter=waiter, parks=self.body)

    def of(self, deliveries: list[Delivery]) -> Waiter:
        return self._waiters[id(deliveries)]


class MachineLife(RuleBasedStateMachine):
    """The life of one run."""

    @initialize(
        plan=plans(),
        deadline=st.sampled_from([math.inf, math.inf, 9.0]),
        limit=st.integers(1, 6),
        lifetime=st.integers(0, 30),
        turn=st.sampled_from([0.0, 0.0, 4.0]),
    )
    def begin(self, plan: Plan, deadline: float, limit: int, lifetime: int, turn: float) -> None:
        self.lifetime = lifetime
        self.plan, self.deadline, self.limit = plan, deadline, limit
        self.now = 0.0
        self.fed = [Fed(plan, deadline, limit, as_values=as_values) for as_values in (False, True)]
        self.machine = self.fed[0].machine
        self.model = Run(plan.steps, limit, int(plan.fed))
        self.journal: list[tuple[Callable[[list[Delivery]], Input], list[Seen]]] = []
        self.ready: list[int] = []
        self.working: list[int] = []
        self.waits: list[Waits] = []
        self.waited: set[int] = set()
        self.promised: Counter[type] = Counter()  # of the waits, by what is about to be sent
        self.went_in: Counter[int] = Counter()
        self.came_out: Counter[int] = Counter()
        self.admitted: dict[str, list[int]] = {each.name: [] for each in plan.steps}
        self.started: dict[str, list[int]] = {each.name: [] for each in plan.steps}
        self.failures: list[BaseException] = []
        self.late: list[Event] = []
        self.buffers: dict[tuple[str, Hashable], Collected] = {}
        self.collected: set[tuple[int, Hashable, int]] = set()
        self.batches: dict[int, list[tuple[Event, list[type[Event]], str | None, list[int]]]] = {}
        self.alive: list[object] = []  # identities are compared, so nothing may be freed
        self.give(plan.steps[0].accepts[0]())
        self.expect(self.model.check(), lambda _: Begun())
        self.timeout = deadline
        if turn:  # it had to wait for other runs, and that does not count
            self.now = turn
            self.deadline += turn
            self.expect([], lambda _: Admitted(at=turn))

    # -- feeding -------------------------------------------------------------------------------------------

    def expect(
        self, expected: list[Seen], make: Callable[[list[Delivery]], Input], *, of_all: bool = False
    ) -> None:
        """Feeds the machines and compares what they want done with what the model says."""
        self.promised.clear()
        was_over = self.machine.ended is not None
        known = len(self.fed[0].deliveries)
        directly, by_value = (fed.feed(make) for fed in self.fed)
        assert directly == by_value
        if of_all:  # who waits in tasks that are none of the run's is woken by type
            assert sorted(directly) == sorted(expected)
        else:
            assert begun(directly) == begun(expected)
        self.journal.append((make, directly))
        new = range(known, len(self.fed[0].deliveries))
        assert not (was_over and new), "nothing is started after the end"
        self.ready += new
        for what, of, event in directly:
            if what == "start":
                self.started[of].append(event)
            if what in {"publish", "dead"}:
                self.came_out[event] += 1

    def note(self, event: Event, to: StepPlan | None = None) -> None:
        """An event goes in: once for each step that takes it, and once more if it goes to the stream too."""
        self.alive.append(event)
        if isinstance(event, StopEvent) and not self.model.ended:
            return
        to_steps = takers(self.plan.steps, type(event)) if to is None else [to]
        if self.model.ended:
            self.went_in[id(event)] += 1
            return
        waiting = sum(each.kind is type(event) for each in self.model.waits)
        if to is None and self.promised[type(event)] < waiting:
            self.promised[type(event)] += 1
            self.went_in[id(event)] += 1 + isinstance(event, InputRequiredEvent)
            return
        self.went_in[id(event)] += max(1, len(to_steps) + isinstance(event, InputRequiredEvent))
        for each in to_steps:
            self.admitted[each.name].append(id(event))

    def give(self, event: Event, to: StepPlan | None = None, *, outside: bool = False) -> None:
        if isinstance(event, StopEvent):
            self.look_at_the_clock()
        self.note(event, to)
        name, at = None if to is None else to.name, self.now
        self.expect(
            self.sent(event, to, outside=outside),
            lambda _: EventSent(event=event, carry=CARRY, at=at, step=name, outside=outside),
        )

    def sent(self, event: Event, to: StepPlan | None, *, outside: bool) -> list[Seen]:
        """What the model says of one event that is sent by itself."""
        seen = self.model.send(event, to, outside=outside)
        return seen if self.model.ended else [*seen, *self.model.check()]

    def start(self, count: int) -> None:
        for number in self.ready[:count]:
            for fed in self.fed:
                fed.deliveries[number].started = self.now
        self.working += self.ready[:count]
        del self.ready[:count]

    @property
    def can_work(self) -> bool:
        return bool(self.working or (self.ready and not self.machine.ended))

    def at_work(self, data: st.DataObject) -> tuple[int, StepPlan, Event]:
        if not self.machine.ended:
            self.start(data.draw(st.integers(0 if self.working else 1, len(self.ready))))
        number = data.draw(st.sampled_from(self.working))
        delivery = self.fed[0].deliveries[number]
        return number, delivery.step, delivery.event

    # -- rules ---------------------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 3), outside=st.booleans(), twice=st.booleans())
    def events_are_sent(self, data: st.DataObject, count: int, outside: bool, twice: bool) -> None:
        known = [kind for of in self.plan.steps for kind in of.accepts]
        for event in [data.draw(st.sampled_from([*known, *TAKEN]))() for _ in range(count)]:
            for _ in range(1 + twice):
                self.give(event, outside=outside)

    @rule(data=st.data(), kind=st.sampled_from(TAKEN))
    def an_event_is_sent_to_one_step(self, data: st.DataObject, kind: type[Event]) -> None:
        to = data.draw(st.sampled_from(self.plan.steps))
        if to in takers(self.plan.steps, kind):
            self.give(kind(), to)
            return
        for fed in self.fed:
            with pytest.raises(RoutingError):
                fed.feed(lambda _: EventSent(event=kind(), carry=CARRY, at=0.0, step=to.name))

    @precondition(lambda self: self.can_work)
    @rule(data=st.data())
    def a_step_returns_nothing(self, data: st.DataObject) -> None:
        number, _, _ = self.at_work(data)
        self.step_returns(number, None)

    @precondition(lambda self: self.can_work)
    @rule(data=st.data())
    def a_step_returns_what_it_declares(self, data: st.DataObject) -> None:
        number, of, _ = self.at_work(data)
        self.step_returns(number, data.draw(st.sampled_from(calm(of)))())

    @precondition(lambda self: self.can_work)
    @rule(data=st.data(), size=st.integers(0, 3))
    def a_step_returns_a_list(self, data: st.DataObject, size: int) -> None:
        number, of, _ = self.at_work(data)
        made = [data.draw(st.sampled_from(calm(of)))() for _ in range(size)]
        self.step_returns(number, made if of.lists else None)

    @precondition(lambda self: self.can_work)
    @rule(
        data=st.data(),
        expected=st.lists(st.sampled_from([A, A, B, SubA, Outer]), max_size=3),
        plain=st.booleans(),
    )
    def a_step_collects(self, data: st.DataObject, expected: list[type[Event]], plain: bool) -> None:
        number, of, event = self.at_work(data)
        if plain:  # of what it was given, two
            expected = [type(event)] * 2
        name = data.draw(st.sampled_from([None, "other"]))
        got = [self.collect(fed, number, event, expected, name) for fed in self.fed]
        wanted = self.batch_of(number, of, event, expected, name)
        assert [None if each is None else ids(each) for each in got] == [wanted] * 2
        if wanted and wanted != ids([CollectError]):
            self.batches.setdefault(number, []).append((event, expected, name, wanted))

    @precondition(lambda self: self.can_work and not self.machine.ended)
    @rule(data=st.data(), kind=st.sampled_from(TAKEN), body=st.booleans())
    def a_step_waits(self, data: st.DataObject, kind: type[Event], body: bool) -> None:
        """All of it, or a task that it has started."""
        number, of, event = self.at_work(data)
        wait = Wait(of, event, kind, parked=body)
        self.waits.append(Waits(number, wait, body))
        if body:
            self.working.remove(number)
            self.waited.add(number)
        self.expect(self.model.began_to_wait(wait), self.waits[-1].began)

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def a_wait_times_out(self, data: st.DataObject) -> None:
        waits = data.draw(st.sampled_from(self.waits))
        self.expect(
            self.model.wait_is_over(waits.wait), lambda deliveries: WaitTimedOut(waiter=waits.of(deliveries))
        )

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def a_wait_is_cancelled(self, data: st.DataObject) -> None:
        waits = data.draw(st.sampled_from(self.waits))
        self.goes_on(waits)
        self.expect(
            self.model.wait_was_cancelled(waits.wait),
            lambda deliveries: WaitCancelled(waiter=waits.of(deliveries)),
        )

    @precondition(lambda self: any(each.wait.resumed for each in self.waits))
    @rule(data=st.data())
    def a_step_goes_on_with_what_it_was_given(self, data: st.DataObject) -> None:
        waits = data.draw(st.sampled_from([each for each in self.waits if each.wait.resumed]))
        self.goes_on(waits)
        given = [waits.of(fed.deliveries).event for fed in self.fed]
        assert ids(given) == ids([waits.wait.given] * 2)
        if waits.wait.given is not None:
            self.came_out[id(waits.wait.given)] += 1

    def goes_on(self, waits: Waits) -> None:
        self.waits.remove(waits)
        if waits.body:
            self.working.append(waits.number)

    @precondition(lambda self: self.machine.ended)
    @rule()
    def the_driver_ends_it(self) -> None:
        self.expect(self.model.ending(), lambda _: Ending())

    @precondition(
        lambda self: self.machine.ended and not self.working and not any(each.body for each in self.waits)
    )
    @rule()
    def everything_has_ended(self) -> None:
        self.expect(self.model.concluded(), lambda _: Concluded(), of_all=True)

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def a_nested_run_begins(self) -> None:
        self.model.feeders += 1
        self.expect([], lambda _: FeederOpened())

    @precondition(lambda self: self.model.feeders - len(self.model.waits) > self.plan.fed)
    @rule()
    def a_nested_run_ends(self) -> None:
        self.model.feeders -= 1
        self.look_at_the_clock()
        at = self.now
        self.expect(self.model.check(), lambda _: FeederClosed(at=at))

    def is_overloaded(self) -> bool:
        """Whether a step that gave up a wait works on although its place was taken meanwhile."""
        return any(self.machine.busy[each.index] > each.limit for each in self.plan.steps)

    @precondition(lambda self: not self.machine.ended and not self.waits and not self.is_overloaded())
    @rule()
    def the_process_is_replaced(self) -> None:
        """What was at work works on, as if it had never stopped; nested runs are gone."""
        if self.model.feeders != self.plan.fed or any(map(self.has_more_than_is_kept, self.machine.active)):
            return
        for fed in self.fed:
            before = list(fed.machine.active)
            fed.machine, effects = restarted(fed.machine, self.now)
            assert [each.event for each in effects] == [each.event for each in before]
            again = dict(zip(before, effects, strict=True))
            fed.deliveries = [again.get(each, each) for each in fed.deliveries]
        self.machine = self.fed[0].machine
        for number in self.working:
            for fed in self.fed:
                fed.deliveries[number].started = self.now
                for event, expected, name, batch in self.batches.get(number, ()):  # it asks again
                    assert ids(self.collect(fed, number, event, expected, name) or ()) == batch
                self.wait_again(fed, fed.deliveries[number])

    def has_more_than_is_kept(self, delivery: Delivery) -> bool:
        """Whether it was given so much in its middle that no snapshot can be made."""
        return delivery.past is not None and len(delivery.past.given or ()) > self.limit

    @staticmethod
    def wait_again(fed: Fed, delivery: Delivery) -> None:
        """It is given again what it was given."""
        for mail in () if delivery.past is None else tuple(delivery.past.again or ()):
            waiter = Waiter(delivery=delivery, kind=type(mail.event), wake=lambda: None)
            assert list(fed.machine.receive(WaitBegan(waiter=waiter, parks=False))) == [Resume(waiter=waiter)]
            assert waiter.event is mail.event

    # -- rules that end the run ----------------------------------------------------------------------------

    @precondition(lambda self: self.is_old)
    @rule(kind=st.sampled_from([StopEvent, Finish]))
    def a_stop_is_sent(self, kind: type[Event]) -> None:
        self.give(kind())

    @precondition(lambda self: self.is_old and self.can_work)
    @rule(data=st.data(), size=st.integers(0, 3), listed=st.booleans())
    def a_step_returns_anything(self, data: st.DataObject, size: int, listed: bool) -> None:
        number, of, _ = self.at_work(data)
        kinds: list[Callable[[], object]] = [*of.returns, *of.returns, *TAKEN, StopEvent, Finish, int]
        values = [data.draw(st.sampled_from(kinds))() for _ in range(size)]
        self.step_returns(number, values if listed or not values else values[0])

    @precondition(lambda self: self.is_old and self.can_work)
    @rule(data=st.data(), kind=st.sampled_from([StopEvent, Finish]), listed=st.booleans())
    def a_step_returns_a_stop(self, data: st.DataObject, kind: type[Event], listed: bool) -> None:
        number, _, _ = self.at_work(data)
        self.step_returns(number, [A(), kind(), A()] if listed else kind())

    @precondition(lambda self: self.is_old and self.can_work)
    @rule(data=st.data(), kind=st.sampled_from([ValueError, KeyboardInterrupt]))
    def a_step_raises(self, data: st.DataObject, kind: type[BaseException]) -> None:
        number, of, event = self.at_work(data)
        self.ends(number, event)
        self.model.leave(of, event)
        at, error = self.now, kind()
        self.failures.append(error)
        self.expect(
            self.model.end("FAILED"),
            lambda deliveries: StepRaised(delivery=deliveries[number], error=error, at=at),
        )

    @precondition(lambda self: self.is_old and self.can_work)
    @rule(data=st.data(), value=st.sampled_from([None, A(), StopEvent(), [A(), B()]]))
    def the_caller_is_cancelled_and_with_it_a_step(self, data: st.DataObject, value: object) -> None:
        number, of, event = self.at_work(data)
        self.working.remove(number)
        self.model.leave(of, event)
        self.came_out[id(event)] += 1
        late: list[Any] = value if isinstance(value, list) else [] if value is None else [value]
        self.late += late
        self.went_in.update(ids(late))
        self.expect([], lambda deliveries: StepCancelled(delivery=deliveries[number], value=value))
        self.expect(self.model.end("CANCELLED"), lambda _: CancelAsked(why="by its caller"))

    @precondition(lambda self: self.is_old)
    @rule()
    def the_run_is_cancelled(self) -> None:
        self.expect(self.model.end("CANCELLED"), lambda _: CancelAsked(why="by its handler"))

    @precondition(lambda self: self.is_old and self.deadline < math.inf)
    @rule()
    def the_deadline_passes(self) -> None:
        self.now = at = max(self.now, self.deadline)
        self.expect(self.model.end("TIMED_OUT"), lambda _: DeadlinePassed(at=at))

    @precondition(lambda self: self.is_old)
    @rule(kind=st.sampled_from([ValueError, KeyboardInterrupt]))
    def the_run_is_broken_off(self, kind: type[BaseException]) -> None:
        error = kind()
        self.failures.append(error)
        self.expect(self.model.end("FAILED"), lambda _: Interrupted(error=error))

    @precondition(lambda self: self.is_old and self.model.feeders - len(self.model.waits) > self.plan.fed)
    @rule()
    def a_nested_run_fails(self) -> None:
        self.model.feeders -= 1
        self.look_at_the_clock()
        at, error = self.now, ValueError()
        self.failures.append(error)
        self.expect(self.model.end("FAILED"), lambda _: FeederClosed(error=error, at=at))

    # -- what the model says -------------------------------------------------------------------------------

    @property
    def is_old(self) -> bool:
        """Whether it may end; a life that is over soon shows little."""
        return len(self.journal) >= self.lifetime

    def look_at_the_clock(self) -> None:
        """Before anything else that happens at a time is judged."""
        if self.now >= self.deadline:
            self.model.end("TIMED_OUT")

    def ends(self, number: int, event: Event) -> None:
        """A step at work is at its end."""
        self.working.remove(number)
        self.look_at_the_clock()
        self.came_out[id(event)] += 1

    def step_returns(self, number: int, value: object) -> None:
        delivery, at = self.fed[0].deliveries[number], self.now
        self.ends(number, delivery.event)
        self.expect(
            self.return_of(delivery.step, delivery.event, value),
            lambda deliveries: StepReturned(delivery=deliveries[number], value=value, at=at),
        )

    def return_of(self, of: StepPlan, event: Event, value: object) -> list[Seen]:
        """What the model says of a return."""
        listed = isinstance(value, list)
        events: Sequence[Any] = value if isinstance(value, list) else [] if value is None else [value]
        self.alive += events
        if self.model.ended:
            self.model.leave(of, event)
            self.late += events
            self.went_in.update(ids(events))
            return self.model.end("")
        if (listed and not of.lists) or not all(isinstance(each, of.returns) for each in events):
            self.model.leave(of, event)
            late = [each for each in events if listed and of.lists and isinstance(each, Event)]
            self.late += late
            self.went_in.update(ids(late))
            self.failures.append(UndeclaredEventError(""))
            return self.model.end("FAILED")
        for at, each in enumerate(events):
            if any(isinstance(earlier, StopEvent) for earlier in events[:at]):
                self.went_in[id(each)] += 1
            else:
                self.note(each)
        return self.model.returned(of, event, events)

    @staticmethod
    def collect(
        fed: Fed, number: int, event: Event, expected: list[type[Event]], name: str | None
    ) -> Sequence[object] | None:
        try:
            return fed.machine.collect(fed.deliveries[number], event, expected, name)
        except CollectError:
            return [CollectError]

    def batch_of(
        self, number: int, of: StepPlan, event: Event, expected: list[type[Event]], name: str | None
    ) -> list[int] | None:
        """What the model says of a call of collect_events."""
        if not expected:
            return []
        if type(event) not in expected:
            return ids([CollectError])
        buffer = self.buffers.setdefault((of.name, name), Collected())
        if (number, name, id(event)) in self.collected:
            batch = buffer.batch(expected)
        elif len(buffer.kept) >= self.limit:
            return ids([CollectError])
        else:
            self.collected.add((number, name, id(event)))
            batch = buffer.collect(event, expected)
        return None if batch is None else ids(batch)

    # -- invariants ----------------------------------------------------------------------------------------

    @invariant()
    def every_event_is_somewhere(self) -> None:
        """Ended with its step or at work, left over, published, dead, or shown by an error; each copy once."""
        found = Counter(self.came_out)
        found.update(id(self.fed[0].deliveries[number].event) for number in self.working)
        found.update(id(self.fed[0].deliveries[each.number].event) for each in self.waits if each.body)
        found.update(id(each.wait.given) for each in self.waits if each.wait.resumed and each.wait.given)
        found.update(ids(list(self.machine.leftovers())))
        found.subtract(each for buffer in self.buffers.values() for each in ids(buffer.kept))
        assert +found == self.went_in

    @invariant()
    def no_step_is_overloaded_and_no_worker_idle(self) -> None:
        active = Counter(delivery.step.name for delivery in self.machine.active)
        for each, waiting in zip(self.plan.steps, self.machine.waiting, strict=True):
            assert active[each.name] <= max(each.limit, len(self.model.active[each.name]))
            if not self.machine.ended:
                assert active[each.name] == self.machine.busy[each.index]
                assert active[each.name] >= each.limit or not waiting
            queued = self.model.queued[each.name]
            assert ids([delivery.event for delivery in waiting or ()]) == ids(
                [item.given if isinstance(item, Wait) else item for item in queued]
            )

    @invariant()
    def what_is_active_is_a_set_in_the_order_in_which_it_became_ready(self) -> None:
        assert {*self.machine.active.values()} <= {None}
        waited = {self.fed[0].deliveries[number] for number in self.waited}  # these became ready twice
        known = [
            each for each in self.fed[0].deliveries if each in self.machine.active and each not in waited
        ]
        assert [each for each in self.machine.active if each in known] == known

    @invariant()
    def each_step_starts_its_events_in_the_order_in_which_they_came(self) -> None:
        for name, started in self.started.items():
            assert started == self.admitted[name][: len(started)]

    @invariant()
    def a_run_with_nothing_to_do_is_over(self) -> None:
        if not self.machine.active and not self.machine.feeders:
            assert self.machine.ended is not None

    @invariant()
    def the_end_is_what_came_first(self) -> None:
        assert (self.machine.ended.name if self.machine.ended else None) == self.model.ended
        assert [type(error) for error in self.machine.errors or ()] == [
            type(error) for error in self.failures
        ]
        assert ids(self.machine.late or ()) == ids(self.late)
        kept = [(id(mail.event), mail.outside) for mail in self.machine.mailbox or ()]
        assert sorted(kept) == sorted((id(event), outside) for event, outside in self.model.mailbox)
        assert len(kept) == len(self.machine.mailbox or ())

    @precondition(lambda self: self.machine.ended)
    @invariant()
    def the_error_is_the_one_that_outranks_the_others(self) -> None:
        error = self.machine.error()
        fatal = [each for each in self.machine.errors or () if not isinstance(each, Exception)]
        if fatal:
            assert error is fatal[0]
        elif self.model.ended == "TIMED_OUT" or not self.failures:
            assert error is self.machine.verdict
            assert (error is None) == (self.model.ended == "STOPPED")
        else:
            assert error is (self.machine.errors or [])[0]

    def teardown(self) -> None:
        if not hasattr(self, "journal"):
            return
        again = Fed(self.plan, self.timeout, self.limit, as_values=True)
        for make, effects in self.journal:
            assert again.feed(make) == effects, "the same inputs give the same effects"


TestMachineLife = MachineLife.TestCase
TestMachineLife.settings = settings(max_examples=4 * settings().max_examples)
