"""Which joins a branch and a list lead to, for small graphs whose answer one sees."""

from __future__ import annotations

import pytest

from stretto._core.gathering import Each, Join
from stretto._core.plan import Plan, StepPlan
from stretto._core.recovering import Recovery
from stretto.events import Event, StepFailedEvent, StopEvent
from stretto.joins import All
from tests.core.plans import A, B, C, SubA, step


class D(Event):
    pass


class E(Event):
    pass


class F(Event):
    pass


def steps(*given: tuple[type[Event], tuple[type[Event], ...], str]) -> dict[str, tuple[set[str], set[str]]]:
    """For each step, by the event that it takes: where it may lead, and where its lists lead.

    What is given for a step: what it takes, what it returns, and ``list`` if it returns a list, ``both`` if it may
    return it bare too, ``join`` if it takes a list.
    """
    plans = [
        StepPlan(
            name=takes.__name__,
            label=takes.__name__,
            index=index,
            limit=1,
            accepts=(takes,),
            accepts_subclasses=False,
            returns=returns,
            lists=returns if "list" in how or "both" in how else (),
            bare=() if "list" in how else returns,
            join=All() if "join" in how else None,
        )
        for index, (takes, returns, how) in enumerate(given)
    ]
    Plan("Flow", plans)
    return {
        step.name: ({plans[at].name for at in step.may}, {plans[at].name for at in step.calls})
        for step in plans
    }


def test_a_list_leads_to_the_join_of_what_follows_from_it():
    found = steps((A, (B,), "list"), (B, (C,), ""), (C, (StopEvent,), "join"))
    assert found == {"A": (set(), {"C"}), "B": ({"C"}, set()), "C": (set(), set())}


def test_what_follows_from_an_inner_join_is_on_the_level_of_the_outer_list():
    found = steps(
        (A, (B,), "list"),
        (B, (C,), "list"),
        (C, (D,), ""),
        (D, (E,), "join"),
        (E, (F,), "join"),
        (F, (StopEvent,), ""),
    )
    assert found["A"] == (set(), {"E"})
    assert found["B"] == ({"E"}, {"D"})
    assert found["C"] == ({"D"}, set())
    assert found["D"] == ({"E"}, set())
    assert found["E"] == found["F"] == (set(), set())


def test_a_loop_through_the_fork_leads_to_no_other_join():
    found = steps((A, (B,), "list"), (B, (C,), ""), (C, (A, StopEvent), "join"))
    assert found["A"] == (set(), {"C"})
    assert found["C"] == (set(), set())


def test_a_step_that_may_return_a_list_or_not_leads_both_ways():
    found = steps((A, (A, B), "both"), (B, (B, StopEvent), "join"))
    assert found == {"A": ({"B"}, {"B"}), "B": ({"B"}, set())}


def test_a_declared_base_may_turn_out_to_be_what_is_joined():
    found = steps((B, (A,), ""), (SubA, (StopEvent,), "join"))
    assert found["B"] == ({"SubA"}, set())


def pair(join: Join, *, recovered: bool = False) -> list[StepPlan]:
    """A list of A and B, of which one each is joined to C, which is joined in a list; or a step that fails into C."""
    made = [
        ("begin", (D,), (A, B), None),
        ("pair", (A, B), (C,), join),
        ("all", (C,), (StopEvent,), All()),
    ]
    if recovered:
        made = [("begin", (D,), (StopEvent,), None), ("catch", (StepFailedEvent,), (C,), None), made[2]]
    plans = [
        StepPlan(
            name=name,
            label=name,
            index=index,
            limit=1,
            accepts=accepts,
            accepts_subclasses=False,
            returns=returns,
            lists=returns if name == "begin" and not recovered else (),
            bare=None if name != "begin" or recovered else (),
            join=how,
            recovers=Recovery(for_steps=None, max_recoveries=1) if name == "catch" else None,
        )
        for index, (name, accepts, returns, how) in enumerate(made)
    ]
    Plan("Flow", plans)
    return plans


def test_one_of_each_ends_the_branches_and_not_what_the_list_leads_to():
    begin, both, _ = pair(Each((A, B)))
    assert begin.may == ()
    assert begin.calls == (2,)
    assert both.may == (2,)


def test_what_one_of_each_is_followed_by_stays_within_the_list_that_it_is_in():
    made = [
        ("outer", (E,), (D,), None),
        ("begin", (D,), (A, B), None),
        ("pair", (A, B), (C,), Each((A, B))),
        ("all", (C,), (StopEvent,), All()),
    ]
    plans = [
        StepPlan(
            name=name,
            label=name,
            index=index,
            limit=1,
            accepts=accepts,
            accepts_subclasses=False,
            returns=returns,
            lists=returns if index < 2 else (),
            bare=() if index < 2 else None,
            join=how,
        )
        for index, (name, accepts, returns, how) in enumerate(made)
    ]
    Plan("Flow", plans)
    assert plans[0].calls == ()
    assert plans[1].calls == (3,)


def test_a_step_that_is_recovered_may_lead_where_its_handler_does():
    begin, catch, _ = pair(All(), recovered=True)
    assert begin.may == catch.may == (2,)


def test_a_plan_without_joins_is_not_looked_through():
    plan = Plan("Flow", [StepPlan("a", "a", 0, 1, (A,), False, (B,))])
    assert not plan.joins
    assert plan.steps[0].may == ()


@pytest.mark.parametrize("depth", [1, 30])
def test_a_long_way_is_found_to_its_end(depth: int):
    kinds = [type(f"K{n}", (Event,), {}) for n in range(depth + 1)]
    found = steps(
        *((kinds[n + 1], (kinds[n],), "") for n in reversed(range(depth))), (kinds[0], (StopEvent,), "join")
    )
    assert all(may == {"K0"} for name, (may, _) in found.items() if name != "K0")


@pytest.mark.parametrize(
    ("bare", "leads"), [((A,), ({"A"}, {"B"})), ((), (set[str](), {"B"})), (None, ({"A", "B"}, {"B"}))]
)
def test_what_stands_beside_a_list_is_not_in_it(
    bare: tuple[type[Event], ...] | None, leads: tuple[set[str], set[str]]
):
    """A step for an event or a list, ``-> A | list[B]``, called the join of the event too when its list was empty."""
    plans = [
        StepPlan(
            name=accepts.__name__,
            label=accepts.__name__,
            index=index,
            limit=1,
            accepts=(accepts,),
            accepts_subclasses=False,
            returns=returns,
            lists=(B,) if index == 0 else (),
            bare=bare,
            join=All() if index else None,
        )
        for index, (accepts, returns) in enumerate([(C, (A, B)), (A, (StopEvent,)), (B, (StopEvent,))])
    ]
    Plan("Flow", plans)
    begin = plans[0]
    assert ({plans[at].name for at in begin.may}, {plans[at].name for at in begin.calls}) == leads


@pytest.mark.parametrize(("subclasses", "calls"), [(True, (1,)), (False, ())])
def test_a_list_of_a_subclass_leads_to_a_join_of_its_base_that_takes_subclasses(
    subclasses: bool, calls: tuple[int, ...]
):
    begin = step("begin", accepts=(C,), returns=(SubA,), returns_list=True)
    Plan("Flow", [begin, step("join", index=1, accepts=(A,), subclasses=subclasses, join=All())])
    assert begin.calls == calls
