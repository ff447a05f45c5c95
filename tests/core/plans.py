"""Small plans, events and deliveries for the tests of the core."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context

from stretto._core.gathering import Join
from stretto._core.plan import Plan, StepPlan
from stretto._core.policies import Policies
from stretto._core.recovering import Recovery
from stretto._core.state import Delivery
from stretto.events import Event, InputRequiredEvent, StopEvent
from stretto.retry import Policy


class Numbered(Event):
    """A base that no step takes."""

    n: int = 0


class A(Numbered):
    pass


class B(Numbered):
    pass


class C(Numbered):
    pass


class SubA(A):
    """Taken by a step for A only if that takes subclasses."""


class Outer(Event, external=True):
    n: int = 0


class Question(InputRequiredEvent):
    n: int = 0


class Finish(StopEvent[object]):
    n: int = 0


def step(
    name: str = "work",
    *,
    index: int = 0,
    limit: int = 4,
    accepts: tuple[type[Event], ...] = (A,),
    subclasses: bool = False,
    returns: tuple[type[Event], ...] = (),
    returns_list: bool = False,
    awaits: frozenset[str] = frozenset(),
    retry: Policy | None = None,
    timeout: float | None = None,
    holds: bool = False,
    recovers: Recovery | None = None,
    join: Join | None = None,
    undo: str | None = None,
    policies: Policies | None = None,
) -> StepPlan:
    return StepPlan(
        name=name,
        label=f"Flow.{name} (flow.py:{10 * index + 10})",
        index=index,
        limit=limit,
        accepts=accepts,
        accepts_subclasses=subclasses,
        returns=returns,
        lists=returns if returns_list else (),
        awaits=awaits,
        retry=retry,
        timeout=timeout,
        holds=holds,
        recovers=recovers,
        join=join,
        undo=undo,
        policies=policies,
    )


def plan(*steps: StepPlan) -> Plan:
    return Plan("Flow", steps)


def delivery(of: StepPlan, event: Event | None = None, started: float | None = 0.0) -> Delivery:
    return Delivery(of, A() if event is None else event, copy_context(), started)


def ids(events: Sequence[object]) -> list[int]:
    """Identities, for events that are equal."""
    return [id(event) for event in events]
