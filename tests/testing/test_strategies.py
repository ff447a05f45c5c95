"""Strategies of `stretto.testing`: what they draw is what a class takes, and what a schedule allows."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, find, given, settings, strategies as st

from stretto import DefinitionError, Event, StartEvent, StopEvent, Workflow, step
from stretto.testing import Faults, TestRun, explore
from stretto.testing.strategies import events, events_for, schedules, workflows

RELAXED = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def doubled(value: int) -> int:
    return value * 2


def refuse_odd(_: object, __: Any, value: int) -> None:
    if value % 2:
        raise ValueError(value)


class Order(Event):
    shop: str = attrs.field(validator=attrs.validators.min_len(2))
    code: str = attrs.field(validator=attrs.validators.matches_re(r"[a-z]{3}"))
    size: str = attrs.field(validator=attrs.validators.in_(["s", "m"]))
    pieces: int = attrs.field(validator=[attrs.validators.ge(1), attrs.validators.lt(5)])
    weight: float = attrs.field(validator=attrs.validators.gt(1.5))
    even: int = attrs.field(validator=refuse_odd)
    twice: int = attrs.field(converter=doubled)
    names: list[str] = attrs.field(validator=attrs.validators.max_len(2))
    note: str | None = None
    anything: Any = None


@given(order=events(Order))
@RELAXED
def test_validators_and_converters_are_honoured(order: Order):
    assert len(order.shop) >= 2
    assert len(order.code) == 3
    assert order.size in {"s", "m"}
    assert 1 <= order.pieces < 5
    assert order.weight > 1.5
    assert order.even % 2 == order.twice % 2 == 0
    assert len(order.names) <= 2


def test_an_event_shrinks_to_what_is_small_and_to_defaults():
    smallest = find(events(Order), lambda order: order.pieces > 2, settings=RELAXED)
    assert (smallest.pieces, smallest.note, smallest.anything) == (3, None, None)


@given(ev=events(StartEvent, topic=st.just("tea")))
def test_a_class_that_takes_anything_takes_what_it_is_given(ev: StartEvent):
    assert ev.topic == "tea"


class Red(Event):
    n: int


class Blue(Event):
    pass


class Picks(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Red | Blue]:
        return [Red(n=ev.n), Blue()]

    @step
    async def pick(self, ev: Red | Blue) -> StopEvent[int]:
        return StopEvent(result=ev.n if isinstance(ev, Red) else 0)


def test_the_events_of_a_step_are_of_each_class_that_it_takes():
    for kind in (Red, Blue):
        find(events_for(Picks, "pick"), lambda ev, kind=kind: isinstance(ev, kind))
    with pytest.raises(DefinitionError) as caught:
        events_for(Picks, "pck")
    assert str(caught.value) == "Picks has no step 'pck'; its steps: begin, pick"
    with pytest.raises(DefinitionError) as caught:
        events(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == "events() takes a class of events, not 3"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_schedule_is_drawn_and_shrinks_to_the_normal_order(backend: str):
    starts = events(StartEvent, n=st.integers(1, 5))
    drawn = schedules(Picks, start=starts, backend=backend, faults=Faults(raises=OSError))
    normal = find(drawn, lambda run: True, settings=RELAXED)
    assert (normal.result, normal.token[-1], normal.error) == (1, "-", None)
    sound = schedules(Picks, start=starts, backend=backend)
    other = find(sound, lambda run: run.result == 0, settings=RELAXED)
    assert sum(move.instead is not None for move in other.moves) == 1
    failed = find(drawn, lambda run: run.error is not None, settings=RELAXED)
    assert isinstance(failed.error, OSError)


@given(run=schedules(Picks, start=StartEvent(n=2)))
@RELAXED
def test_a_drawn_run_is_like_any_other(run: TestRun):
    assert run.result in {0, 2}
    assert not run.lost_events


@given(cls=workflows())
@RELAXED
def test_random_workflows_are_well_formed_and_end(cls: type[Workflow[Any]]):
    assert not cls.blueprint().findings
    run = next(explore(cls, backend="asyncio", max_schedules=1).runs("asyncio"))
    x, y, seen = run.result
    assert isinstance(x, int)
    assert isinstance(y, int)
    assert len(seen) == len([each for each in run.deliveries if each.step.startswith("do_")])
    assert not run.lost_events


def test_a_random_workflow_shrinks_to_one_step_that_does_nothing():
    cls = find(workflows(), lambda cls: True, settings=RELAXED)
    run = next(explore(cls, backend="asyncio", max_schedules=1).runs("asyncio"))
    assert [str(each) for each in run.deliveries] == ["begin#1", "do_red#1", "gather#1"]
    assert run.result == (0, 0, ((),))
