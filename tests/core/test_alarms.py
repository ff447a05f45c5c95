"""What waits for its time and is taken out before: against a model, and what it costs."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from stretto._core.alarms import Alarms
from stretto._core.inputs import StepRaised
from stretto._core.machine import Machine
from stretto._core.state import Delivery
from stretto.joins import First
from stretto.retry import RetryPolicy, fixed
from tests.core.counting import steps_during
from tests.core.plans import A, B, C, delivery, plan, step
from tests.core.test_losing import CARRY, deliveries

Move = tuple[str, int, int]

moves = st.lists(st.tuples(st.sampled_from(["set", "discard", "take"]), st.integers(0, 9), st.integers(0, 5)))


@given(moves)
def test_what_is_taken_out_never_goes_off_and_the_rest_does_in_its_order(made: list[Move]):
    alarms, model = Alarms[int](), dict[int, tuple[int, int]]()
    for number, (move, what, at) in enumerate(made):
        if move == "set" and what not in model:
            alarms.set(at, what)
            model[what] = (at, number)
        elif move == "discard":
            assert alarms.discard(what) == (model.pop(what, None) is not None)
        elif move == "take":
            due = sorted((place, each) for each, place in model.items() if place[0] <= at)
            assert list(alarms.take_due(at)) == [each for _, each in due]
            for _, each in due:
                del model[each]
        assert list(alarms.times()) == [
            (place[0], each) for place, each in sorted((place, each) for each, place in model.items())
        ]
        assert (len(alarms), bool(alarms)) == (len(model), bool(model))


@pytest.mark.parametrize("first", [0, -1])
def test_what_is_taken_out_is_kept_no_longer_than_as_much_is_left(first: int):
    alarms, put = Alarms[Delivery](), [delivery(step(), A(n=number)) for number in range(64)]
    kept = [weakref.ref(each.event) for each in put]
    for at in range(64):
        alarms.set(at, put[at])
    while put:
        alarms.discard(put.pop(first))
        assert sum(each() is not None for each in kept) <= 2 * len(put)


def many_losers(count: int) -> Callable[[], object]:
    """A race whose losers have failed, and wait for their next attempt, or for a worker."""
    run = Machine(
        plan(
            step("begin", accepts=(C,), returns=(A,), returns_list=True),
            step(
                "ask",
                index=1,
                accepts=(A,),
                returns=(B,),
                limit=count,
                retry=RetryPolicy(wait=fixed(9)),
            ),
            step("take", index=2, accepts=(B,), join=First()),
        ),
        0.0,
        float("inf"),
        100_000,
    )
    (begin,) = deliveries(run.event_sent(C(), CARRY, at=0.0))
    asking = deliveries(run.step_returned(begin, [A(n=number) for number in range(2 * count)], 0.0))
    for each in asking[1:]:
        run.receive(StepRaised(delivery=each, error=ValueError(), at=0.0, draw=0.5))
    return lambda: run.step_returned(asking[0], B(), 1.0)


def test_ten_times_the_losers_that_wait_for_an_attempt_cost_ten_times_as_much():
    few, many = steps_during(many_losers(30)), steps_during(many_losers(300))
    assert many <= 10 * few * 1.05
