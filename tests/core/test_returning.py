"""What a step may return, and each error that says what it should have returned, in full."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import pytest

from stretto._core.plan import StepPlan
from stretto._core.returning import is_stop, returned_events
from stretto.errors import UndeclaredEventError
from stretto.events import Event, StopEvent
from tests.core.plans import A, B, Finish, SubA, step

ONE = step(returns=(A, B))
LIST = step(returns=(A, B), returns_list=True)
NOTHING = step()
STOP = step(returns=(StopEvent,))
WHERE = "Flow.work (flow.py:10) returned "


async def opinion() -> str:
    return "good"


def refused(of: StepPlan, value: object) -> UndeclaredEventError:
    error = returned_events(of, value)
    assert isinstance(error, UndeclaredEventError)
    return error


@pytest.mark.parametrize("value", [A(), B(), SubA()])
@pytest.mark.parametrize("of", [ONE, LIST])
def test_an_event_that_the_annotation_names_or_whose_base_it_names_may_be_returned(
    of: StepPlan, value: Event
):
    assert returned_events(of, value) == (value,)


@pytest.mark.parametrize("values", [[], [A()], [B(), SubA(), A()]])
def test_a_list_of_declared_events_may_be_returned_where_it_is_declared(values: list[Event]):
    assert returned_events(LIST, values) == values


@pytest.mark.parametrize("stop", [StopEvent(), StopEvent("tea", cups=2), Finish(n=1)])
def test_a_declared_stop_may_be_returned_and_ends_the_run(stop: StopEvent[object]):
    assert returned_events(STOP, stop) == (stop,)
    assert is_stop(stop)
    assert not is_stop(A())
    assert not is_stop(StopEvent)


@pytest.mark.parametrize(("of", "declared"), [(ONE, "A | B"), (LIST, "A | B"), (NOTHING, "None")])
def test_an_event_that_the_annotation_does_not_name_is_told_with_what_it_names(of: StepPlan, declared: str):
    value = StopEvent()
    error = refused(of, value)
    assert error.value is value
    assert (
        str(error) == f"{WHERE}StopEvent but declares -> {declared}; add StopEvent to the return annotation"
    )


NO_EVENT = "which is no event; it declares -> A | B;"
END = "to end the run with it write return StopEvent(result=…)"
SEVERAL = "to return several events declare -> list[…], and return a list"


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        (5, END),
        ([], END),
        (int, END),
        ([1, 2], END),
        ([1, A()], SEVERAL),
        ((A(),), SEVERAL),
        ({A()}, SEVERAL),
        (frozenset({A()}), SEVERAL),
        ({1, 2}, END),
        (iter([A()]), "for the events that it gives declare -> list[…], and write return list(…)"),
        (A, "make one: return A(…)"),
    ],
)
def test_what_is_no_event_is_told_with_what_to_write(value: object, instead: str):
    error = refused(ONE, value)
    assert error.value is value
    assert str(error) == f"{WHERE}{value!r}, {NO_EVENT} {instead}"


@pytest.mark.parametrize("made", [tuple, set, frozenset])
def test_a_tuple_or_a_set_is_no_list(made: type[Collection[A]]):
    value = made([A()])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert str(refused(LIST, value)) == (
        f"{WHERE}{value!r}, {NO_EVENT} return a list of events, not a {made.__name__}"
    )


async def one_by_one() -> AsyncIterator[A]:
    yield A()


@pytest.mark.parametrize(
    ("value", "made"), [((A() for _ in range(2)), "list(…)"), (one_by_one(), "[ev async for ev in …]")]
)
def test_what_gives_events_one_by_one_is_told_how_to_make_a_list_and_not_begun(value: object, made: str):
    assert str(refused(LIST, value)) == (
        f"{WHERE}{value!r}, {NO_EVENT} for the events that it gives write return {made}"
    )
    assert getattr(value, "gi_frame", None) or getattr(value, "ag_frame", None), "it was run to its end"


@pytest.mark.parametrize("wrong", [StopEvent(), 5, None, A, [A()]])
def test_a_list_is_told_by_the_first_wrong_thing_in_it(wrong: object):
    """[None] was taken for a list of events, and the run ended with an InternalError."""
    error = refused(LIST, [A(), wrong, 7])
    assert error.value is wrong
    assert str(error) == (
        f"{WHERE}a list with {wrong!r} in it, but declares -> list[A | B]; "
        "each element is an event that the annotation names"
    )


def test_a_forgotten_await_is_told_and_the_coroutine_does_not_warn_as_well():
    coroutine = opinion()
    error = refused(ONE, coroutine)
    assert error.value is coroutine
    assert (
        str(error) == f"{WHERE}the coroutine opinion(), which nobody awaited; write return await opinion(…)"
    )
    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        coroutine.send(None)


@pytest.mark.parametrize(("field", "stop"), [("result", StopEvent), ("cups", StopEvent), ("result", Finish)])
def test_a_coroutine_in_a_stop_is_a_forgotten_await_too(field: str, stop: type[StopEvent[object]]):
    coroutine = opinion()
    value = stop(**{field: coroutine}) if stop is StopEvent else Finish(n=1)
    value.__dict__[field] = coroutine
    error = refused(STOP, value)
    assert error.value is value
    assert str(error) == (
        f"{WHERE}{stop.__name__} whose field {field!r} holds the coroutine opinion(), which nobody awaited; "
        f"write {field}=await opinion(…)"
    )
    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        coroutine.send(None)


def test_coroutines_in_a_list_do_not_warn_as_well():
    """Each of them was reported a second time, as never awaited, when it was collected."""
    coroutines = [opinion(), opinion()]
    error = refused(LIST, [A(), *coroutines])
    assert error.value is coroutines[0]
    for coroutine in coroutines:
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            coroutine.send(None)


def test_a_coroutine_in_a_stop_within_a_list_is_told_too():
    coroutine = opinion()
    value = StopEvent(result=coroutine)
    error = refused(step(returns=(StopEvent,), returns_list=True), [StopEvent(), value])
    assert error.value is value
    assert str(error) == (
        f"{WHERE}a list with a StopEvent whose field 'result' holds the coroutine opinion(), which nobody awaited; "
        "write result=await opinion(…)"
    )
    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        coroutine.send(None)


def test_an_event_that_is_no_stop_may_hold_a_coroutine():
    coroutine = opinion()
    event = A()
    event.__dict__["n"] = coroutine
    assert returned_events(ONE, event) == (event,)
    assert returned_events(LIST, [event]) == [event]
    coroutine.close()
