"""Which steps an event type goes to: what is found the first time is what is found ever after, and at once."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from hypothesis import given, strategies as st

from stretto._core.plan import StepPlan
from stretto._core.routing import Routes
from stretto.events import Event
from tests.core.models import takers
from tests.core.plans import A, B, C, Outer, SubA, step

KINDS: list[type[Event]] = [A, B, C, SubA, Outer]


@st.composite
def some_steps(draw: st.DrawFn) -> list[StepPlan]:
    kinds = st.lists(st.sampled_from([Event, *KINDS]), min_size=1, max_size=3, unique=True)
    return [
        step(f"s{index}", index=index, accepts=tuple(draw(kinds)), subclasses=draw(st.booleans()))
        for index in range(draw(st.integers(0, 5)))
    ]


@given(steps=some_steps(), asked=st.lists(st.sampled_from(KINDS), max_size=10))
def test_an_event_goes_to_every_step_that_takes_it_in_the_order_of_definition(
    steps: list[StepPlan], asked: Sequence[type[Event]]
):
    routes = Routes(steps)
    for kind in asked:
        assert list(routes.find(kind)) == takers(steps, kind)


@attrs.define
class Counting:
    """A step that counts how often it is asked."""

    accepts: tuple[type, ...] = (A,)
    asked: int = 0

    def takes(self, kind: type) -> bool:
        self.asked += 1
        return kind in self.accepts


def test_the_steps_are_asked_once_for_each_type_even_if_none_takes_it():
    steps = [Counting(), Counting()]
    routes = Routes(steps)
    for _ in range(3):
        assert [id(each) for each in routes.find(A)] == [id(each) for each in steps]
        assert routes.find(B) == ()
    assert [each.asked for each in steps] == [2, 2]


def test_a_route_once_found_is_the_very_same_afterwards():
    routes = Routes([step()])
    assert routes.find(A) is routes.find(A)
    assert routes.find(B) is routes.find(B)
