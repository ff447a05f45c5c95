"""Who gets what in an application, from the plans alone; what is wrong is told before the first event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from stretto._core.wiring import Link, Member, Wiring
from stretto.errors import DefinitionError
from stretto.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from tests.core.plans import A, B, C, Outer, SubA, plan, step


def member(name: str, *steps: Any, nested: tuple[Any, ...] = ()) -> Member:
    return Member(name=name, plan=plan(*steps), nested=nested)


def taker(name: str, *kinds: type[Event], sends: tuple[type[Event], ...] = (), subclasses: bool = False):
    return member(name, step(accepts=kinds, returns=sends, subclasses=subclasses))


def starter(name: str, *sends: type[Event]) -> Member:
    return member(name, step(accepts=(StartEvent,), returns=(*sends, StopEvent)))


def told(*members: Member, **options: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        Wiring(members, **options)
    return str(caught.value)


def test_a_type_goes_to_the_one_other_member_that_takes_it():
    wiring = Wiring([starter("x", A), taker("y", A)])
    assert wiring.receivers("x", A) == ("y",)
    assert wiring.receivers(None, A) == ("y",)
    assert wiring.receivers("y", A) == ("y",)  # what its own class takes stays inside
    assert wiring.receivers("x", B) == ()
    (route,) = wiring.routes()
    assert (route.source, route.kind, route.to, route.how) == ("x", A, "y", "type")
    assert route.steps == ("Flow.work (flow.py:10)",)


def test_types_are_exact_but_one_without_an_exact_taker_goes_to_a_step_that_takes_subclasses():
    wiring = Wiring([starter("x", SubA, A), taker("y", A, subclasses=True)])
    assert wiring.receivers("x", SubA) == ("y",)
    wiring = Wiring([starter("x", SubA, A), taker("y", A, subclasses=True), taker("z", SubA)])
    assert wiring.receivers("x", SubA) == ("z",)
    assert wiring.receivers("x", A) == ("y",)


def test_stop_events_and_questions_never_cross():
    wiring = Wiring([starter("x", InputRequiredEvent), starter("y")])
    assert list(wiring.routes()) == []


def test_several_takers_are_an_error_that_names_them_and_the_ways_out():
    two_steps = member("z", step(accepts=(A,)), step("more", index=1, accepts=(A,)))
    assert told(starter("x", A), taker("y", A), two_steps) == (
        "A, which Flow.work (flow.py:10) of x (Flow) sends, is taken by several members: y, by Flow.work (flow.py:10); "
        "z, by Flow.work (flow.py:10), Flow.more (flow.py:20); say which one: app.connect(A, to='y'), or that each "
        "gets it: Application(…, broadcast=[A])"
    )


def test_a_broadcast_goes_to_all_that_take_it_and_connect_beats_it():
    members = [
        starter("x", A),
        taker("y", A),
        taker("z", A),
        member("w", step(accepts=(StartEvent, A), returns=(A,))),
    ]
    wiring = Wiring(members, broadcast=frozenset({A}))
    assert wiring.receivers("x", A) == ("y", "z", "w")
    assert wiring.receivers("w", A) == ("y", "z", "w")
    assert wiring.crossing("w") == {A}
    assert {route.how for route in wiring.routes()} == {"broadcast"}
    wiring = Wiring(
        members,
        broadcast=frozenset({A}),
        links=[Link(kind=A, to=("z",)), Link(kind=A, to=("y",), source="w")],
    )
    assert wiring.receivers("x", A) == ("z",)
    assert wiring.receivers("w", A) == ("y",)


def test_what_connect_says_of_one_source_beats_what_it_says_of_all_whichever_comes_first():
    members = [starter("x", A), starter("w", A), taker("y", A), taker("z", A)]
    of_one, of_all = Link(kind=A, to=("y",), source="x"), Link(kind=A, to=("z",))
    for links in ([of_one, of_all], [of_all, of_one]):
        wiring = Wiring(members, links=links)
        assert [(each.source, each.to, each.how) for each in wiring.routes()] == [
            ("x", "y", "connect"),
            ("w", "z", "connect"),
        ]


def test_what_one_source_sends_may_be_connected_to_several():
    wiring = Wiring(
        [starter("x", A), taker("y", A), taker("z", A)], links=[Link(kind=A, to=("y", "z"), source="x")]
    )
    assert wiring.receivers("x", A) == ("y", "z")


def test_who_gets_a_type_is_found_once():
    wiring = Wiring([starter("x", A), taker("y", A)])
    assert wiring.receivers(None, A) is wiring.receivers(None, A)


def test_the_crossing_types_of_a_member_are_those_that_are_connected_for_it():
    links = [Link(kind=A, to=("y",), source="x"), Link(kind=B, to=("y",)), Link(kind=C, key=lambda ev: ev)]
    wiring = Wiring([starter("x", A, B, C), taker("y", A, B, C)], links=links)
    assert wiring.crossing("x") == {A, B}
    assert wiring.crossing("y") == {B}
    assert list(wiring.keys) == [C]


def test_the_short_way_is_for_what_one_other_member_gets_and_nothing_else_is_said_of():
    links = [Link(kind=B, key=lambda ev: ev), Link(kind=C, to=("y", "z"))]
    members = [starter("x", A, B, C), taker("y", A, C), taker("z", B, C), taker("own", B, SubA)]
    wiring = Wiring(members, links=[*links, Link(kind=B, to=("z",))], external=frozenset({SubA}))
    for _ in range(2):
        assert wiring.single("x", A) == "y"
    assert wiring.single("x", B) is None  # it has a key
    assert wiring.single("x", C) is None  # it goes to two
    assert wiring.single("own", SubA) is None  # it stays inside
    assert wiring.single("y", A) is None
    assert wiring.single("own", A) is None  # its class does not name it


def test_connect_is_looked_at_too():
    text = told(
        starter("x", A),
        taker("yes", A),
        links=[Link(kind=A, to=("yse",)), Link(kind=B, to=("yes",)), Link(kind=A, to=("yes",), source="z")],
    )
    assert "connect(A, …) names a member 'yse', and there are: x, yes; did you mean 'yes'?" in text
    assert "connect(B, …) sends it to yes (Flow), none of whose steps takes it" in text
    assert "names a member 'z'" in text


def test_a_type_that_nobody_takes_is_an_error_unless_it_may_be_a_reply():
    assert "A, which Flow.work (flow.py:10) of x (Flow) sends, is taken by no member" in told(starter("x", A))
    Wiring([starter("x", A), taker("y", A, sends=(B,))])  # B may answer A
    Wiring([taker("y", Outer, sends=(B,))])  # or what comes from outside
    Wiring([taker("y", A, sends=(B,))], external=frozenset({A}))
    loop = member("y", step(accepts=(A,), returns=(C,)), step("more", index=1, accepts=(C,), returns=(C, B)))
    Wiring([starter("x", A), loop])  # many steps later
    again = member("y", step(accepts=(A,), returns=(C, A)), step("more", index=1, accepts=(C,), returns=(B,)))
    Wiring([starter("x", A), again])  # also past what was seen before
    assert "B, which" in told(
        starter("x", A), member("y", step(accepts=(A,)), step("more", index=1, accepts=(C,), returns=(B,)))
    )


def test_what_a_nested_workflow_sends_is_sent_by_its_member():
    inner = plan(step(accepts=(StartEvent,), returns=(A, StopEvent)))
    wiring = Wiring([member("x", step(accepts=(StartEvent,)), nested=(inner,)), taker("y", A)])
    assert wiring.declares("x", A)
    assert [route.source for route in wiring.routes()] == ["x"]
    Wiring([member("x", step(accepts=(StartEvent,)), nested=(inner,)), starter("y")])  # it may be a reply


def test_a_member_that_nothing_reaches_is_an_error():
    two_steps = member("z", step(accepts=(C,)), step("more", index=1, accepts=(C,)))
    rest = (
        "and no other member names that in a return annotation; name it there, or, if it comes from outside, write "
        "Application(…, external=[…]) or class Go(Event, external=True)"
    )
    assert told(starter("x"), taker("y", A, B), two_steps) == (
        f"nothing reaches y (Flow): it takes A | B (Flow.work (flow.py:10)), {rest}; "
        f"nothing reaches z (Flow): it takes C (Flow.work (flow.py:10), Flow.more (flow.py:20)), {rest}"
    )
    assert "it takes nothing (it has no steps)" in told(member("x"))
    Wiring([starter("x"), taker("y", A, B)], external=frozenset({B}))
    Wiring([starter("x"), taker("y", HumanResponseEvent)])


def test_what_comes_from_outside_and_what_is_sent_is_known():
    wiring = Wiring([starter("x", A), taker("y", A)], external=frozenset({B}))
    assert wiring.comes_from_outside(Outer)
    assert wiring.comes_from_outside(B)
    assert not wiring.comes_from_outside(A)
    assert wiring.is_sent(A)
    assert wiring.is_sent(SubA)  # a declared base class may turn out to be a subclass
    assert not wiring.is_sent(B)
    assert wiring.declares("x", SubA)
    assert not wiring.declares("y", A)


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from([A, B, C, StartEvent]), min_size=1),
            st.sets(st.sampled_from([A, B, C])),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sets(st.sampled_from([A, B, C])),
)
def test_a_wiring_that_is_right_has_one_receiver_for_each_type_and_none_by_accident(
    drawn: list[tuple[set[type[Event]], set[type[Event]]]], broadcast: set[type[Event]]
):
    order = [StartEvent, A, B, C]
    members = [
        taker(f"m{number}", *sorted(takes, key=order.index), sends=tuple(sorted(sends, key=order.index)))
        for number, (takes, sends) in enumerate(drawn)
    ]
    try:
        wiring = Wiring(members, broadcast=frozenset(broadcast))
    except DefinitionError:
        return
    for number, (takes, sends) in enumerate(drawn):
        for kind in sends:
            to = wiring.receivers(f"m{number}", kind)
            accepting = {f"m{other}" for other, (taken, _) in enumerate(drawn) if kind in taken}
            assert set(to) <= accepting
            if kind in broadcast:
                assert set(to) == accepting
            elif kind in takes:
                assert to == (f"m{number}",)
            else:
                assert len(to) <= 1
