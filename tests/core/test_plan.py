"""What a class declares, as the machine knows it."""

from __future__ import annotations

import pytest

from stretto._core.plan import OUTSIDE, Plan
from stretto._core.recovering import Recovery
from stretto._core.run_state import StateKind
from stretto.events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
)
from tests.core.plans import A, B, C, Finish, Outer, Question, SubA, plan, step


def test_a_step_takes_exactly_its_types():
    one = step(accepts=(A, B))
    assert [kind for kind in (A, B, C, SubA, Event) if one.takes(kind)] == [A, B]


def test_a_step_that_accepts_subclasses_takes_them_too():
    one = step(accepts=(A, B), subclasses=True)
    assert [kind for kind in (A, B, C, SubA, Event) if one.takes(kind)] == [A, B, SubA]


@pytest.mark.parametrize("subclasses", [False, True])
def test_a_step_declares_what_it_returns_and_what_derives_from_it(subclasses: bool):
    one = step(returns=(A, StopEvent), subclasses=subclasses)
    assert [
        each for each in (A(), SubA(), StopEvent(), Finish(), B(), A, None, [A()]) if one.declares(each)
    ] == [
        A(),
        SubA(),
        StopEvent(),
        Finish(),
    ]


def test_a_plan_knows_the_one_taker_of_a_type_where_that_is_all_there_is_to_decide():
    a, b, c = (
        step("a", accepts=(A, B)),
        step("b", index=1, accepts=(B, C)),
        step("c", index=2, accepts=(Question,)),
    )
    made = plan(a, b, c)
    assert {kind: taker for kind, (taker, _) in made.single.items()} == {A: a, C: b}, (
        "B has two takers, and a question goes to the stream as well"
    )


def test_a_step_knows_the_one_taker_of_what_it_returns():
    a = step("a", accepts=(StartEvent,), returns=(A, B, C, Question, StopEvent, Finish))
    b, c = step("b", index=1, accepts=(A, B)), step("c", index=2, accepts=(B, Question))
    made = plan(a, b, c)
    assert a.direct == {A: (b, 1)}, "C has no taker"
    assert b.direct == c.direct == {}
    assert made.single == {StartEvent: (a, 0), A: (b, 7)}
    assert made.ways == [
        (OUTSIDE, StartEvent, 0), (0, A, 1), (0, B, None), (0, C, None), (0, Question, None), (0, StopEvent, None),
        (0, Finish, None), (OUTSIDE, A, 1),
    ]  # fmt: skip
    assert a.leads_out == {B: 2, C: 3, Question: 4, StopEvent: 5, Finish: 6}


def test_a_declared_base_has_a_taker_only_if_a_step_takes_that_very_type():
    a = step("a", accepts=(StartEvent,), returns=(Event, A))
    b = step("b", index=1, accepts=(Event,), subclasses=True)
    plan(a, b)
    assert {kind: taker for kind, (taker, _) in a.direct.items()} == {Event: b, A: b}


@pytest.mark.parametrize(
    ("kinds", "fed"),
    [
        ((A,), False),
        ((StartEvent, InputRequiredEvent), False),
        ((Outer,), True),
        ((A, Outer), True),
        ((HumanResponseEvent,), True),
    ],
)
def test_a_plan_is_fed_if_a_step_takes_what_comes_from_outside(kinds: tuple[type[Event], ...], fed: bool):
    assert plan(step("a"), step("b", index=1, accepts=kinds)).fed is fed


def test_a_step_is_found_by_its_name():
    made = plan(step("a"), step("b", index=1))
    assert made.step_named("b") is made.steps[1]
    assert made.step_named("c") is None
    assert made.name == "Flow"
    assert [each.name for each in made.steps] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        (SubA, "; Flow.work (flow.py:10) would with @step(accept_event_subclasses=True)"),
        (type("Outter", (Event,), {}), "; did you mean 'Outer'?"),
        (Question, ""),
    ],
)
def test_of_what_no_step_takes_a_plan_guesses_what_was_meant(kind: type[Event], meant: str):
    assert plan(step(), step("other", index=1, accepts=(Outer,))).meant(kind) == meant


@pytest.mark.parametrize("name", ["StepFailedEvent", "StepFailedEvents", "SubOfIt"])
def test_a_handler_of_failures_is_never_what_was_meant(name: str):
    kind = StepFailedEvent if name == "StepFailedEvent" else type(name, (StepFailedEvent,), {})
    rescue = step(
        "rescue", index=1, accepts=(StepFailedEvent,), recovers=Recovery(for_steps=None, max_recoveries=1)
    )
    assert plan(step(), rescue).meant(kind) == ""


def test_a_plan_says_what_the_state_of_its_runs_is():
    kind = StateKind(dict)
    assert Plan("Flow", [], kind).state is kind
    assert Plan("Flow", []).state is None
