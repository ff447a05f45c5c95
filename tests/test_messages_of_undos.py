"""What is told of an undo that is wrong, whole, when the class is defined. As in `test_messages`, `here` is a line."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    StartEvent,
    StepGroup,
    StopEvent,
    ThreadContext,
    Workflow,
    catch_error,
    step,
)
from stretto.events import StepFailedEvent

CASES: list[Any] = []


def told(says: str, error: type[Exception] = DefinitionError) -> Callable[[Callable[[], object]], object]:
    def keep(program: Callable[[], object]) -> object:
        CASES.append(pytest.param(program, says, error, id=program.__name__))
        return program

    return keep


class Flight(Event):
    pass


class Hotel(Event):
    pass


class Base(Workflow):
    """What the workflows below have beside the step that is looked at."""

    @step
    async def end(self, ev: Flight | Hotel) -> StopEvent: ...  # type: ignore[empty-body]


async def cancel(self, ev: StartEvent) -> None: ...  # type: ignore[no-untyped-def]


@told(
    "undo is a method of the workflow that stands above the step, or the name of one, not 3; write @step(undo=cancel) "
    "or @step(undo='cancel')"
)
def a_number():
    step(undo=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@told(
    "undo is a method of the workflow that stands above the step, or the name of one, not 'self.cancel'; write "
    "@step(undo=cancel) or @step(undo='cancel')"
)
def no_name():
    step(undo="self.cancel")


@told("undo=begin is a step itself; an undo is a method without @step above it")
def another_step():
    class W(Base):
        @step
        async def begin(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]

        @step(undo=begin)
        async def book(self, ev: Flight) -> Hotel: ...  # type: ignore[empty-body]


@told(
    "W.book (here) is undone by 'begin', which is a step itself; an undo is a method without @step above it"
)
def another_step_by_name():
    class W(Base):
        @step
        async def begin(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]

        @step(undo="begin")
        async def book(self, ev: Flight) -> Hotel: ...  # type: ignore[empty-body]


@told(
    "W.book (here) is undone by 'cancell', which W does not have; write a method of that name; did you mean 'cancel'?"
)
def a_misspelt_name():
    class W(Base):
        async def cancel(self) -> None: ...

        @step(undo="cancell")
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told("W.book (here) is undone by 'cancel', and W.cancel is no method; write async def cancel(self, …)")
def a_name_of_something_else():
    class W(Base):
        cancel = 3

        @step(undo="cancel")
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told("W.cancel (here) has no self; write cancel(self, …), or add @staticmethod")
def no_self():
    class W(Base):
        async def cancel(ev: StartEvent) -> None: ...  # type: ignore[misc]  # noqa: N805  # pyright: ignore[reportGeneralTypeIssues, reportSelfClsParameterName]

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told("W.cancel (here) is a class method; write a method of the workflow, or a static method")
def a_class_method():
    class W(Base):
        @classmethod
        async def cancel(cls) -> None: ...

        @step(undo="cancel")
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told("W.cancel (here) is a generator, and nobody would iterate over it; write one without yield")
def a_generator():
    class W(Base):
        async def cancel(self) -> Any:
            yield 1

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told("W.cancel (here) declares -> Flight, and what it returns goes nowhere; write -> None")
def a_return():
    class W(Base):
        async def cancel(self) -> Flight: ...  # type: ignore[empty-body]

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told("W.cancel (here) has no annotation for its parameter 'ev'; write ev: StartEvent")
def a_bare_parameter():
    class W(Base):
        async def cancel(self, ev) -> None: ...  # type: ignore[no-untyped-def]

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told("W.cancel (here) has no annotation for its parameter 'result'; write result: Flight | None")
def a_bare_result():
    class W(Base):
        async def cancel(self, result) -> None: ...  # type: ignore[no-untyped-def]

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight | None: ...


@told("W.cancel (here) has a parameter *evs: StartEvent, and is called by name; name each parameter")
def any_number():
    class W(Base):
        async def cancel(self, *evs: StartEvent) -> None: ...

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told("W.cancel (here) takes ev: Flight, and W.book (here) takes StartEvent; write ev: StartEvent")
def another_event():
    class W(Base):
        async def cancel(self, ev: Flight) -> None: ...

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told(
    "W.cancel (here) takes result: Flight, and W.book (here) returns Flight | None; write result: Flight | None"
)
def a_result_that_may_be_nothing():
    class W(Base):
        async def cancel(self, result: Flight) -> None: ...

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight | None: ...


@told(
    "W.cancel (here) takes result: list[Flight], and W.book (here) returns list[Flight | Hotel]; write result: "
    "list[Flight | Hotel]"
)
def a_list_of_less():
    class W(Base):
        async def cancel(self, result: list[Flight]) -> None: ...

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> list[Flight | Hotel]: ...  # type: ignore[empty-body]


@told(
    "W.cancel (here) has a parameter 'booked' of type Hotel, which is neither what W.book (here) takes nor all that it "
    "may return; write ev: StartEvent for the event, or result: Flight | None"
)
def something_else():
    class W(Base):
        async def cancel(self, booked: Hotel) -> None: ...

        @step(undo=cancel)
        async def book(self, ev: StartEvent) -> Flight | None: ...


@told(
    "W.cancel (here) has a parameter 'which' for what W.book (here) takes, or for what it returns; call it 'ev' for "
    "the first, or 'result' for the second"
)
def one_of_both():
    class W(Base):
        async def cancel(self, which: Flight) -> None: ...

        @step(undo=cancel)
        async def book(self, ev: Flight) -> Flight: ...  # type: ignore[empty-body]


@told(
    "trips.nowhere (here) is annotated with 'Nowhere', which is not defined where the undo is; define it above the "
    "workflow"
)
def an_unknown_class():
    group = StepGroup("trips")

    async def nowhere(ev: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    @step(workflow=group, undo=nowhere)
    async def book(ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]


@told(
    "@catch_error takes no 'undo'; its options: for_steps, max_recoveries; write @step(undo=…) above the step that "
    "takes the event which the handler returns",
    TypeError,
)
def of_a_handler():
    class W(Base):
        @catch_error(undo=cancel)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        async def recover(self, ev: StepFailedEvent) -> Flight: ...  # type: ignore[empty-body]


@told("undo_timeout is a time in seconds above 0, or None for no limit, not -1")
def no_time():
    Base(undo_timeout=-1)


@pytest.mark.parametrize(("program", "says", "error"), CASES)
def test_a_wrong_undo_is_told(program: Callable[[], object], says: str, error: type[Exception]):
    with pytest.raises(error) as caught:
        program()
    text = re.sub(r"(?:/\S*/)?test_messages_of_undos\.py:\d+", "here", str(caught.value))
    assert text.startswith(says) if error is TypeError else text == says


def test_what_is_right_is_told_nothing():
    class Any1(Base):
        async def one(self, which: Event, result: object, times: int = 3) -> None: ...

        async def two(
            self, ctx: Context[Any] | ThreadContext, result: Event | list[Event] | None = None
        ) -> None: ...

        async def three(me, ev: StartEvent) -> None: ...  # noqa: N805  # pyright: ignore[reportSelfClsParameterName]

        async def four(
            self, result: Annotated[list[Flight | Hotel] | StopEvent[int] | Any, "noted"]
        ) -> None: ...

        @step(undo=one)
        async def a(self, which: StartEvent) -> Flight | None: ...

        @step(undo=two)
        async def b(self, ev: StartEvent) -> list[Flight]: ...  # type: ignore[empty-body]

        @step(undo=three)
        async def c(self, ev: StartEvent) -> Flight: ...  # type: ignore[empty-body]

        @step(undo=four)
        async def d(self, ev: StartEvent) -> list[Flight | Hotel] | StopEvent[int] | None: ...

    assert [spec.undoing is not None for spec in Any1.blueprint().specs] == [False, True, True, True, True]


def test_an_alias_of_a_type_is_looked_through():
    class Alias:
        __value__ = Flight | None

    from stretto._undo_reader import _kinds

    assert _kinds(Alias) == (Flight, None)
    assert _kinds(partial) == (partial,)
