"""Forks of deliveries: what the machine adds to `joining`, which is tested by itself in `test_joining`."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

import pytest

from stretto._core.machine import Machine
from stretto._core.state import Delivery
from stretto.joins import All
from tests.core.plans import A, B, C, plan, step

CARRY = copy_context()


def forking(**options: Any) -> Machine:
    """A list of A, each of which leads to a B; all B are joined."""
    return Machine(
        plan(
            step("begin", accepts=(C,), returns=(A,), returns_list=True),
            step("work", index=1, returns=(B,), **options),
            step("join", index=2, accepts=(B,), join=All()),
        ),
        0.0,
        float("inf"),
        100,
    )


def begun(effects: Any) -> list[Any]:
    """The deliveries that start by these effects; they are at work from now on."""
    started = [effect for effect in effects if isinstance(effect, Delivery)]
    for delivery in started:
        delivery.started = 0.0
    return started


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_of_any_length_calls_its_join_once(count: int):
    run = forking()
    (begin,) = begun(run.event_sent(C(), CARRY, at=0.0))
    starts = begun(run.step_returned(begin, [A(n=number) for number in range(count)], 0.0))
    for number in range(count):
        assert starts[number].step.name == "work"
        starts += begun(run.step_returned(starts[number], B(n=number), 0.0))
    (join,) = starts[count:]
    assert [event.n for event in join.event.events] == [*range(count)]
