"""Forks that are written and read again: a run whose process is replaced after each move, beside one that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from hypothesis import given, settings, strategies as st

from stretto._core.effects import Abort, DeadLetter, EndRun, Retry
from stretto._core.gathering import Each, Join
from stretto._core.inputs import RetryDue, StepRaised
from stretto._core.joined import Joined
from stretto._core.machine import Machine
from stretto._core.plan import Plan
from stretto._core.recovering import Recovery
from stretto._core.state import Delivery
from stretto.events import Event, StepFailedEvent
from stretto.joins import All, ByKey, First, Quorum, Settle, Until, Window
from tests.core.plans import A, B, C, Numbered, Outer, SubA, plan, step
from tests.core.restarts import restarted

CARRY = copy_context()
KINDS = [A, A, B, B, C, SubA, Numbered, Outer]
RETURNS = (A, B, C, SubA, Numbered, Outer)

Seen = tuple[str, str, object]


def is_third(event: Numbered) -> bool:
    return event.n % 3 == 0


def has_three(came: Sequence[Numbered]) -> bool:
    return len(came) > 2


# What joins the three types, of which one is raced for: the usual ones, and others that close by a rule.
POLICIES: list[tuple[Join, Join]] = [
    (All(order="source"), First(2)),
    (Settle(), First(2, losers="keep")),
    (Window(2), First(2, losers="drain")),
    (Window(3, seconds=5), Until(is_third)),
    (Window(seconds=5), Until(is_third, losers="keep")),
    (ByKey(is_third), Until(is_third, losers="drain")),
    (Settle(order="source"), Quorum(has_three)),
    (All(), Quorum(has_three, losers="keep")),
]


def forking(every: Join, race: Join) -> Plan:
    """What begins and works may return anything, in a list too; one handler recovers once."""
    return plan(
        step("begin", accepts=(C,), returns=RETURNS, returns_list=True, limit=99),
        step("work", index=1, returns=RETURNS, returns_list=True, limit=99),
        step("every", index=2, accepts=(B,), returns=RETURNS, join=every, limit=99),
        step("race", index=3, accepts=(SubA,), returns=RETURNS, join=race, limit=99),
        step(
            "pair",
            index=4,
            accepts=(Numbered, Outer),
            returns=RETURNS,
            join=Each((Numbered, Outer)),
            limit=99,
        ),
        step(
            "rescue",
            index=5,
            accepts=(StepFailedEvent,),
            returns=RETURNS,
            returns_list=True,
            limit=99,
            recovers=Recovery(for_steps=None, max_recoveries=1),
        ),
    )


def told(event: object) -> object:
    if isinstance(event, StepFailedEvent):
        return "failed", event.step
    if isinstance(event, Joined):
        return [told(each) for each in event.events]
    return getattr(event, "n", None) if isinstance(event, (Numbered, Outer)) else type(event).__name__


class Life:
    """One run, its deliveries known by their place among those at work."""

    def __init__(self, of: Plan) -> None:
        self.run: Any = Machine(of, 0.0, float("inf"), 100)
        self.at = 0.0
        self.timers: list[float] = []

    def take(self, effects: Any) -> list[Seen]:
        """What one sees of it; who has lost ends at once, since it would not run again after a restart."""
        seen: list[Seen] = []
        for effect in list(effects):
            match effect:
                case Delivery():
                    effect.started = 0.0
                    seen.append(("start", effect.step.name, told(effect.event)))
                case DeadLetter():
                    seen.append(("dead", effect.reason, told(effect.event)))
                case EndRun():
                    seen.append(("end", "", None))
                case Retry():
                    self.timers.append(effect.at)
                case _:
                    assert isinstance(effect, Abort), effect
        for effect in list(effects):
            if isinstance(effect, Abort) and effect.delivery in self.run.active:
                seen += self.take(self.run.step_returned(effect.delivery, None, self.at))
        return seen

    def may_list(self, who: int) -> bool:
        return [*self.run.active][who].step.name in {"begin", "work", "rescue"}

    def moves(self, move: str, at: int, who: int | None, events: list[Any], error: Exception) -> list[Seen]:
        """What one sees of a move by one of those at work, or by the world where there is none."""
        match move:
            case "returns a list" if who is not None and self.may_list(who):
                return self.returns(who, events)
            case "returns" if who is not None:
                return self.returns(who, events[0] if events else None)
            case "waits":
                return self.waits(at % 7)
            case "fails" if who is not None:
                return self.fails(who, error)
            case "sends" if who is not None:
                return [one for event in events for one in self.sends(event, who)]
            case _:
                return [one for event in events[:1] for one in self.sends(event, None)]

    def waits(self, seconds: float) -> list[Seen]:
        """What one sees until then; each timer is on time."""
        end, seen = self.at + seconds, list[Seen]()
        while self.timers and min(self.timers) <= end:
            self.at = min(self.timers)
            self.timers.remove(self.at)
            seen += self.take(self.run.receive(RetryDue(at=self.at)))
        self.at = end
        return seen

    def sends(self, event: Event, who: int | None) -> list[Seen]:
        cause = None if who is None else [*self.run.active][who]
        return self.take(self.run.event_sent(event, CARRY, at=self.at, cause=cause))

    def returns(self, who: int, value: object) -> list[Seen]:
        return self.take(self.run.step_returned([*self.run.active][who], value, self.at))

    def fails(self, who: int, error: Exception) -> list[Seen]:
        delivery = [*self.run.active][who]
        return self.take(self.run.receive(StepRaised(delivery=delivery, error=error, at=self.at, draw=0.5)))

    def is_replaced(self) -> None:
        before = [(each.step.name, told(each.event)) for each in self.run.active]
        self.timers.clear()
        self.run, effects = restarted(self.run, self.at)
        assert self.take(effects) == [("start", *each) for each in before]


moves = st.tuples(
    st.sampled_from(
        ["sends", "returns", "returns", "returns a list", "fails", "comes from outside", "waits"]
    ),
    st.integers(0, 99),
    st.lists(st.sampled_from(KINDS), max_size=3),
)


@settings(deadline=None)
@given(st.sampled_from(POLICIES), st.lists(moves, max_size=25))
def test_a_fork_goes_on_after_a_restart_as_if_there_had_been_none(
    joins: tuple[Join, Join], life: Sequence[tuple[str, int, Any]]
):
    number = 0
    lives = [Life(forking(*joins)), Life(forking(*joins))]
    for each in lives:
        each.sends(C(), None)
        each.sends(A(n=-1), None)
    for move, at, kinds in life:
        events: list[Any] = []
        for kind in kinds:
            number += 1
            events.append(kind(n=number) if kind is not C else C())
        count = len(lives[0].run.active)
        who = at % count if count else None
        error = ValueError(number)
        seen = [each.moves(move, at, who, events, error) for each in lives]
        assert seen[0] == seen[1]
        if lives[0].run.ended is not None:
            break
        lives[1].is_replaced()
    assert [told(each) for each in lives[0].run.leftovers()] == [
        told(each) for each in lives[1].run.leftovers()
    ]
