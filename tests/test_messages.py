"""Every text of an error and a warning, whole, at the moment when a user meets it.

A mistake in a signature is told when the class is defined, one in the graph at the first run, the rest as it happens.
In the texts below `here` stands for the file and line of a step, which `test_a_step_is_named_with_its_line` looks at.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import math
import re
import sys
import threading
import time
import traceback
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, List, Literal, NamedTuple  # noqa: UP035 - as somebody may write it

import anyio
import anyio.to_thread
import attrs
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    Handler,
    HumanResponseEvent,
    InputRequiredEvent,
    InternalError,
    Limit,
    QueueFullError,
    Resource,
    ResourceConfig,
    RetryPolicy,
    RunEndedError,
    SnapshotError,
    StartEvent,
    StepTimeoutError,
    StopEvent,
    ThreadContext,
    UndeclaredEventError,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    catch_error,
    step,
)
from stretto.errors import (
    CollectError,
    RoutingError,
    StateError,
    StreamOverflowError,
    WaitTimeoutError,
    shown,
)
from stretto.events import StepFailedEvent
from stretto.joins import All, ByKey, First, Quorum, Settle, Until, Window
from stretto.limits import Debounce, Rate
from stretto.retry import fixed
from stretto.snapshots import snapshot_type

pytestmark = pytest.mark.anyio


class Ask(Event):
    number: int = 0


class AskMore(Ask):
    pass


class Answer(Event):
    pass


class Topic(StartEvent):
    topic: str
    depth: int = 1


def text(what: object) -> str:
    """The text of an error or a log record, with `here` for where its steps are."""
    said = what.getMessage() if isinstance(what, logging.LogRecord) else str(what)
    return re.sub(r"(?:/\S*/)?test_messages\.py:\d+", "here", said)


class Case(NamedTuple):
    """A program that is wrong, and what it is told."""

    name: str
    program: Callable[..., Any]
    says: str
    error: type[BaseException]


def told(
    cases: list[Case], error: type[BaseException], says: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(program: Callable[..., Any]) -> Callable[..., Any]:
        cases.append(Case(program.__name__, program, says, error))
        return program

    return keep


def names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


# -- the signature, when the class is defined ----------------------------------------------------------------------

DEFINITIONS: list[Case] = []
at_definition = partial(told, DEFINITIONS, DefinitionError)


@at_definition("W.recover (here) has no annotation for its parameter 'ev'; write ev: StepFailedEvent")
def a_bare_parameter_of_a_handler_of_failures():
    class W(Workflow):
        @catch_error
        async def recover(self, ev) -> StopEvent: ...  # type: ignore[no-untyped-def]


@at_definition("W.begin (here) has no annotation for its parameter 'ev'; write ev: StartEvent")
def a_bare_parameter():
    class W(Workflow):
        @step
        async def begin(self, ev) -> StopEvent: ...


@at_definition(
    "a_step_twice.<locals>.W defines the step 'begin' twice, and the second would take the place of the first; "
    "give one another name"
)
def a_step_twice():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask: ...  # pyright: ignore[reportRedeclaration]

        @step
        async def begin(self, ev: Ask) -> StopEvent: ...  # noqa: F811


@at_definition("Hoard has a field 'self', which no method can take; give it another name")
def a_field_called_self():
    class Hoard(Event):
        self: int


@at_definition(
    "Hoard.tags = []: all events would share this list; write tags: list = attrs.field(factory=list)"
)
def a_default_that_can_change():
    class Hoard(Event):
        tags: list[str] = []  # noqa: RUF012


@at_definition(
    "Hoard.tags = {'a': 1}: all events would share this dict; write tags: dict = attrs.field(factory=lambda: {'a': 1})"
)
def a_default_that_can_change_and_holds_something():
    class Hoard(Event):
        tags: dict[str, int] = {"a": 1}  # noqa: RUF012


@at_definition(
    "Hoard.tags is a field of dataclasses, and events are attrs classes; write attrs.field(default=…) or "
    "attrs.field(factory=…)"
)
def a_field_of_dataclasses():
    class Hoard(Event):
        tags: list[str] = dataclasses.field(default_factory=list)


@at_definition(
    "Context('me'): a Context belongs to one step of one run, which makes it; annotate a parameter of the step "
    "with it: ctx: Context"
)
def a_context_made_by_hand():
    made: Any = Context
    made("me")


@at_definition("W.begin (here) has no annotation for its parameter 'ctx'; write ctx: Context")
def a_bare_context():
    class W(Workflow):
        @step
        async def begin(self, ctx, ev: StartEvent) -> StopEvent: ...


@at_definition("W.begin (here) does not say what it returns; write -> Ask | StopEvent | None")
def a_bare_return_of_what_its_source_shows():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent):
            if ev.text:
                return Ask(number=1)
            if ev.number:
                return StopEvent(result=ev.number)
            return None


@at_definition(
    "W.begin (here) does not say what it returns; write -> StopEvent, the events it returns, or -> None"
)
def a_bare_return():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent): ...


@at_definition(
    "W.begin (here) takes no event; annotate a parameter with an event class, such as ev: StartEvent"
)
def no_event():
    class W(Workflow):
        @step
        async def begin(self, ctx: Context) -> StopEvent: ...


@at_definition("W.begin (here) takes two Ask, 'one' and 'other'; take a list of them, other: list[Ask]")
def two_events_of_one_type():
    class W(Workflow):
        @step
        async def begin(self, one: Ask, other: Ask) -> StopEvent: ...


@at_definition("W.join (here) has the class Quorum beside 'asks'; write Quorum(lambda came: …)")
def a_policy_that_is_a_class_and_needs_a_function():
    class W(Workflow):
        @step
        async def join(self, asks: Annotated[list[Ask], Quorum]) -> StopEvent: ...


@at_definition(
    "W.join (here) settles failures in 'asks', which does not say so; write asks: Annotated[list[Ask | "
    "StepFailedEvent], Settle(order='arrival')]"
)
def a_settled_list_that_holds_no_failures():
    class W(Workflow):
        @step
        async def join(self, asks: Annotated[list[Ask], Settle()]) -> StopEvent: ...


@at_definition(
    "W.join (here) settles failures alone in 'asks'; name the events that come of what does not fail too"
)
def a_settled_list_of_failures_alone():
    class W(Workflow):
        @step
        async def join(self, asks: Annotated[list[StepFailedEvent], Settle()]) -> StopEvent: ...


@at_definition(
    "W.join (here) joins 'asks' by 'nunber', which Ask does not have, it has: number; did you mean 'number'?"
)
def a_key_that_is_no_field():
    class W(Workflow):
        @step
        async def join(self, asks: Annotated[list[Ask], ByKey("nunber")]) -> StopEvent: ...


@at_definition(
    "W.begin (here) joins 'one' and 'other', and 'one' is Ask | Answer; to join one of each type, give each "
    "parameter one type; to take whatever comes, leave one parameter"
)
def two_events_and_a_union():
    class W(Workflow):
        @step
        async def begin(self, one: Ask | Answer, other: AskMore) -> StopEvent: ...


@at_definition(
    "W.begin (here) takes two lists of events, 'one' and 'other'; let another step take one of them"
)
def two_lists():
    class W(Workflow):
        @step
        async def begin(self, one: list[Ask], other: list[Answer]) -> StopEvent: ...


@at_definition(
    "W.begin (here) takes a list of events and an event, 'one' and 'other'; let another step take one of them"
)
def a_list_and_an_event():
    class W(Workflow):
        @step
        async def begin(self, one: list[Ask], ctx: Context, other: Answer) -> StopEvent: ...


@at_definition("W.begin (here) has the class First beside 'asks'; write First()")
def a_policy_that_is_a_class():
    class W(Workflow):
        @step
        async def begin(self, asks: Annotated[list[Ask], First]) -> StopEvent: ...


@at_definition(
    "W.begin (here) has First(n=2, losers='cancel', order='arrival') beside 'ask', which is no list of events; write "
    "list[E]"
)
def a_policy_beside_an_event():
    class W(Workflow):
        @step
        async def begin(self, ask: Annotated[Ask, First(2)]) -> StopEvent: ...


@at_definition(
    "W.begin (here) has First(n=1, losers='cancel', order='arrival') and All(order='arrival') beside 'asks'; one is "
    "enough"
)
def two_policies():
    class W(Workflow):
        @step
        async def begin(self, asks: Annotated[list[Ask], First(), "a note", All()]) -> StopEvent: ...


@at_definition("First(0): it takes the first one or more; write First() or First(2)")
def the_first_none():
    First(0)


@at_definition("All(order='sources'): the order is 'arrival' or 'source'; did you mean 'source'?")
def an_order_that_is_none():
    made: Any = All
    made(order="sources")


@at_definition("First(order=3): the order is 'arrival' or 'source'")
def an_order_that_is_no_word():
    made: Any = First
    made(order=3)


@at_definition("W.rescue (here) is a handler of failures and takes a list; write events: StepFailedEvent")
def a_handler_that_joins():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent: ...

        @catch_error
        async def rescue(self, events: list[StepFailedEvent]) -> StopEvent: ...


@at_definition(
    "W.begin (here) takes StopEvent, which ends the run, so no step can take it; use another event"
)
def a_stop_event_taken():
    class W(Workflow):
        @step
        async def begin(self, ev: StopEvent) -> StopEvent: ...


@at_definition(
    "W.begin (here) has a parameter 'times' of type int, which stretto cannot fill; a step takes an event, "
    "a Context, resources, workflows, or parameters with a default"
)
def a_strange_parameter():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent, times: int) -> StopEvent: ...


@at_definition(
    "W.join (here) has a parameter 'evs' of type list, which does not say what is in it; write evs: list[…] with "
    "the class of the events"
)
def a_list_of_nothing_in_particular():
    class W(Workflow):
        @step
        async def join(self, evs: list) -> StopEvent: ...  # type: ignore[type-arg]


@at_definition(
    "W.join (here) has a parameter 'evs' of type List, which does not say what is in it; write evs: list[…] with "
    "the class of the events"
)
def a_list_of_typing_of_nothing_in_particular():
    class W(Workflow):
        @step
        async def join(self, evs: List) -> StopEvent: ...  # type: ignore[type-arg]  # noqa: UP006


@at_definition(
    "W.join (here) has a parameter 'evs' of type set[Ask], which stretto cannot fill; events that a step joins come "
    "in a list: write evs: list[Ask]"
)
def a_set_of_events():
    class W(Workflow):
        @step
        async def join(self, evs: set[Ask]) -> StopEvent: ...


@at_definition(
    "W.join (here) has a parameter 'evs' of type tuple[Ask, ...], which stretto cannot fill; events that a step joins "
    "come in a list: write evs: list[Ask]"
)
def a_tuple_of_events():
    class W(Workflow):
        @step
        async def join(self, evs: tuple[Ask, ...]) -> StopEvent: ...


@at_definition(
    "W.join (here) has a parameter 'evs' of type Sequence[Ask | Answer], which stretto cannot fill; events that a step "
    "joins come in a list: write evs: list[Ask | Answer]"
)
def a_sequence_of_events():
    class W(Workflow):
        @step
        async def join(self, evs: Sequence[Ask | Answer]) -> StopEvent: ...


@at_definition(
    "W.begin (here) has a parameter 'counts' of type dict[str, int], which stretto cannot fill; a step takes an "
    "event, a Context, resources, workflows, or parameters with a default"
)
def a_dict_of_numbers():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent, counts: dict[str, int]) -> StopEvent: ...


@at_definition(
    "W.begin (here) has a parameter 'ev' of type StartEvent | int, which stretto cannot fill; a step takes an "
    "event, a Context, resources, workflows, or parameters with a default"
)
def a_union_with_something_else():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent | int) -> StopEvent: ...


@at_definition("W.begin (here) is a class method; a step is a method of the workflow, or a static method")
def a_class_method():
    class W(Workflow):
        @step
        @classmethod
        async def begin(cls, ev: StartEvent) -> StopEvent: ...


@at_definition("W.begin (here) takes two Contexts, 'ctx' and 'context'; one is enough")
def two_contexts():
    class W(Workflow):
        @step
        async def begin(self, ctx: Context, context: Context, ev: StartEvent) -> StopEvent: ...


@at_definition("W.begin (here) takes any number of events as *evs: Ask; take one, without the stars")
def any_number_of_events():
    class W(Workflow):
        @step
        async def begin(self, *evs: Ask) -> StopEvent: ...


@at_definition("W.begin (here) takes any number of Contexts as **ctx: Context; take one, without the stars")
def any_number_of_contexts():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent, **ctx: Context) -> StopEvent: ...


@at_definition("W.run hides what every workflow has under that name; give the step another one")
def a_step_that_hides_a_method_of_every_workflow():
    class W(Workflow):
        @step
        async def run(self, ev: StartEvent) -> StopEvent: ...  # type: ignore[override]


@at_definition("W.begin (here) has a positional-only parameter 'ev'; leave out the slash")
def a_positional_only_parameter():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent, /) -> StopEvent: ...


@at_definition(
    "W.begin (here) has no self; write async def begin(self, ev: StartEvent), or add @staticmethod"
)
def no_self():
    class W(Workflow):
        @step
        async def begin(ev: StartEvent) -> StopEvent: ...  # noqa: N805 # pyright: ignore[reportGeneralTypeIssues]  # pyright: ignore[reportGeneralTypeIssues]


@at_definition("W.begin (here) has no self; write async def begin(self), or add @staticmethod")
def no_parameter_at_all():
    class W(Workflow):
        @step
        async def begin() -> StopEvent: ...


@at_definition(
    "W.begin (here) declares -> str, which is no event; a step returns an event, a list of events or None, and "
    "StopEvent(result=…) carries any other value"
)
def a_string_declared():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> str: ...


@at_definition(
    "W.begin (here) declares -> list[str], which is no event; a step returns an event, a list of events or "
    "None, and StopEvent(result=…) carries any other value"
)
def a_list_of_strings_declared():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[str]: ...


@at_definition(
    "W.begin (here) declares -> list, which does not say what is in it; write -> list[…] with the classes of the "
    "events"
)
def a_list_of_nothing_in_particular_declared():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list: ...  # type: ignore[type-arg]


@at_definition(
    "W.begin (here) declares -> set[Ask], which is no event; several events are returned in a list: write -> "
    "list[Ask]"
)
def a_set_of_events_declared():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> set[Ask] | None: ...


@at_definition(
    "W.begin (here) declares -> tuple[Ask, Answer], which is no event; several events are returned in a list: write "
    "-> list[Ask | Answer]"
)
def a_pair_of_events_declared():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> tuple[Ask, Answer]: ...


@at_definition(
    "W.begin (here) declares -> Generator[Ask, None, None], which is no event; several events are returned in a "
    "list: write -> list[Ask]"
)
def a_generator_of_events_declared():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Generator[Ask, None, None]: ...


@at_definition("W.begin (here) is a generator; return the event instead of yielding it")
def a_generator():
    class W(Workflow):
        @step
        def begin(self, ev: StartEvent) -> StopEvent:  # pyright: ignore[reportInvalidTypeForm]
            yield Ask()  # pyright: ignore[reportReturnType]


@at_definition(
    "W.begin (here) is an async generator; write to the stream with ctx.write_event_to_stream, or return list[E]"
)
def an_async_generator():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:  # pyright: ignore[reportInvalidTypeForm]
            yield Ask()  # pyright: ignore[reportReturnType]


@at_definition(
    "W.begin (here) is annotated with 'StratEvent', which is not defined where the step is; define it above the "
    "workflow; did you mean 'StartEvent'?"
)
def a_misspelt_class():
    class W(Workflow):
        @step
        async def begin(self, ev: StratEvent) -> StopEvent: ...  # noqa: F821 # pyright: ignore[reportUndefinedVariable]


@at_definition(
    "W.begin (here) is annotated with 'Afterwards', which is not defined where the step is; define it above the "
    "workflow"
)
def a_class_that_is_defined_later():
    class W(Workflow):
        @step
        async def begin(self, ev: Afterwards) -> StopEvent: ...

    class Afterwards(StartEvent):
        pass


@at_definition(
    "W.begin (here) has an annotation that cannot be read, unsupported operand type(s) for |: 'type' and 'int'; "
    "write classes, joined by |"
)
def an_unreadable_annotation():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask | 3: ...  # pyright: ignore[reportGeneralTypeIssues]


@at_definition(
    "W.begin overrides the step Base.begin (here) and is no step itself; write @step above it, or begin = None to "
    "leave the step out"
)
def a_step_overridden_without_the_decorator():
    class Base(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent: ...

    class W(Base):
        async def begin(self, ev: StartEvent) -> StopEvent: ...


@at_definition("num_workers is a whole number of at least 1, not 0")
def no_workers():
    step(num_workers=0)


@at_definition("accept_event_subclasses is True or False, not 'yes'")
def a_string_for_a_flag():
    step(accept_event_subclasses="yes")  # pyright: ignore[reportArgumentType]


@at_definition("abandon is True or False, not 'yes'")
def a_string_for_another_flag():
    step(abandon="yes")  # pyright: ignore[reportArgumentType]


@at_definition(
    "W.begin (here) is async, and abandon=True is for a plain def, which runs in a thread; leave it out: an async step "
    "is cancelled where it awaits"
)
def an_async_step_that_may_be_abandoned():
    class W(Workflow):
        @step(abandon=True)
        async def begin(self, ev: StartEvent) -> StopEvent: ...


@at_definition("workflow= is a Workflow class, not 'App'; write @step(workflow=MyWorkflow)")
def a_workflow_by_its_name():
    step(workflow="App")  # pyright: ignore[reportArgumentType]


@at_definition(
    "@step decorates a function, not 4; put it right above the def, with its options by name: @step(num_workers=4)"
)
def an_option_without_its_name():
    step(4)  # pyright: ignore[reportArgumentType]


@at_definition(
    "App.begin (here) is called without self, as all static methods and steps added by workflow=; leave it out"
)
def an_unbound_step_with_self():
    class App(Workflow):
        pass

    @step(workflow=App)
    async def begin(self, ev: StartEvent) -> StopEvent: ...


@at_definition("App has a step App.begin (here) already; give the function that is added another name")
def a_name_taken_twice():
    class App(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent: ...

    @step(workflow=App)
    async def begin(ev: StartEvent) -> StopEvent: ...


@at_definition(
    "begin cannot be added to Workflow itself, which all workflows share; add it to a class of yours: "
    "class App(Workflow)"
)
def a_step_added_to_workflow_itself():
    @step(workflow=Workflow)
    async def begin(ev: StartEvent) -> StopEvent: ...


@at_definition("App.add_step takes a function marked by @step, not 'begin'")
def something_else_added():
    class App(Workflow):
        pass

    App.add_step("begin")  # pyright: ignore[reportArgumentType]


# -- retries, limits and handlers ----------------------------------------------------------------------------------


@at_definition(
    "retry_policy is a RetryPolicy, not <class 'stretto.RetryPolicy'>; write retry_policy=RetryPolicy(attempts=3)"
)
def a_policy_that_was_not_called():
    step(retry_policy=RetryPolicy)  # pyright: ignore[reportArgumentType]


@at_definition("timeout is a time in seconds above 0, or None for no limit, not nan")
def a_limit_that_is_no_number():
    step(timeout=math.nan)


@at_definition("emit is 'now' or 'on_success', not 'on_succes'; did you mean 'on_success'?")
def a_misspelt_emit():
    step(emit="on_succes")  # pyright: ignore[reportArgumentType]


@at_definition("emit is 'now' or 'on_success', not []")
def an_emit_that_is_no_text():
    step(emit=[])  # pyright: ignore[reportArgumentType]


@at_definition("for_steps is a list of names of steps, or None for all, not 'begin'; write for_steps=['ask']")
def steps_that_are_one_text():
    catch_error(for_steps="begin")  # pyright: ignore[reportArgumentType]


@at_definition("for_steps is a list of names of steps, or None for all, not []; write for_steps=['ask']")
def no_steps():
    catch_error(for_steps=[])


@at_definition("max_recoveries is a whole number of at least 1, not 0")
def no_recoveries():
    catch_error(max_recoveries=0)


@at_definition("max_recoveries is a whole number of at least 1, not True")
def recoveries_that_are_true():
    catch_error(max_recoveries=True)


@at_definition(
    "@catch_error decorates a function, not 3; put it right above the def, with its options by name: "
    "@catch_error(for_steps=['ask'])"
)
def a_handler_that_is_no_function():
    catch_error(3)  # pyright: ignore[reportArgumentType]


@at_definition(
    "W.rescue (here) is a handler of failures and takes Ask | StepFailedEvent; write ev: StepFailedEvent"
)
def a_handler_that_takes_more():
    class W(Workflow):
        @catch_error
        async def rescue(self, ev: Ask | StepFailedEvent) -> StopEvent: ...


@at_definition(
    "W.rescue (here) takes StepFailedEvent, which goes to handlers alone; write @catch_error in place of @step"
)
def a_step_that_takes_failures():
    class W(Workflow):
        @step
        async def rescue(self, ev: StepFailedEvent) -> StopEvent: ...


@at_definition(
    "W.rescue (here) is for a step 'bgin', which W does not have; its steps: begin, end; did you mean 'begin'?"
)
def a_handler_of_a_misspelt_step():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask: ...

        @step
        async def end(self, ev: Ask) -> StopEvent: ...

        @catch_error(for_steps=["begin", "bgin"])
        async def rescue(self, ev: StepFailedEvent) -> StopEvent: ...


@at_definition(
    "W.second (here) is for 'first', which is a handler itself; the errors of a handler fail the run"
)
def a_handler_of_a_handler():
    class W(Workflow):
        @catch_error
        async def first(self, ev: StepFailedEvent) -> StopEvent: ...

        @catch_error(for_steps=["first"])
        async def second(self, ev: StepFailedEvent) -> StopEvent: ...


@at_definition(
    "W.first (here) and W.second (here) are both for all steps; name the steps of one of them: "
    "@catch_error(for_steps=[…])"
)
def two_handlers_of_all_steps():
    class W(Workflow):
        @catch_error
        async def first(self, ev: StepFailedEvent) -> StopEvent: ...

        @catch_error
        async def second(self, ev: StepFailedEvent) -> StopEvent: ...


@at_definition("W.first (here) and W.second (here) are both for 'begin'; leave it out of one of them")
def two_handlers_of_one_step():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent: ...

        @catch_error(for_steps=["begin"])
        async def first(self, ev: StepFailedEvent) -> StopEvent: ...

        @catch_error(for_steps=["begin"])
        async def second(self, ev: StepFailedEvent) -> StopEvent: ...


@at_definition("W.rescue (here) names 'begin' twice; once is enough")
def a_step_named_twice():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent: ...

        @catch_error(for_steps=["begin", "begin"])
        async def rescue(self, ev: StepFailedEvent) -> StopEvent: ...


def wheel(it: Annotated[Any, Resource(circle)]) -> None: ...  # pyright: ignore[reportUndefinedVariable]


def circle(pool: Annotated[Any, Resource(dict)], it: Annotated[Any, Resource(wheel)]) -> None: ...


def above_a_circle(it: Annotated[Any, Resource(circle)]) -> None: ...


def with_context(ctx: Context) -> None: ...


def with_number(number: int) -> None: ...


def with_slash(pool: Annotated[Any, Resource(dict)], /) -> None: ...


def unknown(cart: Kart) -> None: ...  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncGenerator[int]:
    yield 1


def short() -> None: ...


def long(it: Annotated[Any, Resource(short)]) -> None: ...


def asks(need: Any) -> None:
    """Defines a workflow whose step asks for it."""

    async def use(self: Any, ev: StartEvent, it: Any) -> StopEvent: ...

    use.__annotations__["it"] = Annotated[Any, need]
    type("W", (Workflow,), {"use": step(use)})


@at_definition(
    "resources ask for each other in a circle: circle (here) asks for wheel (here) asks for circle (here); break "
    "it at one of them"
)
def a_circle_of_resources():
    asks(Resource(circle))


@at_definition(
    "resources ask for each other in a circle: circle (here) asks for wheel (here) asks for circle (here); break "
    "it at one of them"
)
def a_circle_below_a_resource():
    asks(Resource(above_a_circle))


@at_definition(
    "with_context (here) takes a Context, which belongs to one step, while a resource is shared by several; give the "
    "step the Context, and the factory none"
)
def a_factory_with_a_context():
    asks(Resource(with_context))


@at_definition(
    "with_number (here) has a parameter 'number', which stretto cannot fill; a factory takes other resources, "
    "Annotated[T, Resource(factory)], or parameters with a default"
)
def a_factory_with_a_number():
    asks(Resource(with_number))


@at_definition("with_slash (here) has a positional-only parameter 'pool'; leave out the slash")
def a_factory_with_a_slash():
    asks(Resource(with_slash))


@at_definition(
    "unknown (here) is annotated with 'Kart', which is not defined where the factory is; define both at the top of a "
    "module; did you mean 'Cart'?"
)
def a_factory_of_unknown_names():
    asks(Resource(unknown))


@at_definition("generator (here) is a generator; write @contextlib.contextmanager above it")
def a_generator_as_factory():
    asks(Resource(generator))


@at_definition("async_generator (here) is a generator; write @contextlib.asynccontextmanager above it")
def an_async_generator_as_factory():
    asks(Resource(async_generator))


@at_definition(
    "long (here) lives as long as its workflow and asks for short (here), which ends with each run; write "
    "scope='workflow' for that one too"
)
def a_factory_that_asks_for_what_ends_before_it():
    asks(Resource(long, scope="workflow"))


@at_definition("W.use (here) asks for Resource itself; write Resource(…) in the annotation")
def a_resource_without_its_factory():
    asks(Resource)


@at_definition("W.use (here) asks for ResourceConfig itself; write ResourceConfig(…) in the annotation")
def a_config_without_its_file():
    asks(ResourceConfig)


@at_definition("W.begin (here) has a positional-only parameter 'it'; leave out the slash")
def a_resource_before_a_slash():
    class W(Workflow):
        @step
        @staticmethod
        async def begin(it: Annotated[Any, Resource(dict)], /, ev: StartEvent) -> StopEvent: ...


@at_definition(
    "W.begin (here) takes any number of resources as *it: Annotated[Any, Resource(dict)]; take one, without the stars"
)
def a_resource_with_stars():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent, *it: Annotated[Any, Resource(dict)]) -> StopEvent: ...


@at_definition("Resource takes a factory, a function that makes the resource, not 3")
def a_resource_of_a_value():
    Resource(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Unhashable:
    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __call__(self) -> None: ...

    def __repr__(self) -> str:
        return "Unhashable()"


@at_definition("Resource knows a factory by its hash, and Unhashable() has none; give it a function")
def a_resource_of_what_has_no_hash():
    Resource(Unhashable())


@at_definition("scope is 'run', 'workflow' or 'application', not 'step'")
def a_resource_of_another_scope():
    Resource(dict, scope="step")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@at_definition("enter is True or False, not 1")
def a_resource_that_is_perhaps_entered():
    Resource(dict, enter=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@at_definition("ResourceConfig reads a file whose name ends in .json or .toml, not 'app.yaml'")
def a_config_of_another_kind():
    ResourceConfig("app.yaml")


@at_definition("path is keys joined by dots, as in 'db.main', or None for the whole file, not 'db..main'")
def a_config_with_a_strange_path():
    ResourceConfig("app.toml", "db..main")


@at_definition(
    "long (here) asks for short (here), in whose place long (here) is put; call that factory in it instead"
)
def a_replacement_that_asks_for_what_it_replaces():
    with Resource.override(short, by=long):
        pass


@at_definition(
    "limiter is a Limit, as in @step(limiter=Limit(5)), not 5; a limiter of anyio belongs to one event loop, and a "
    "class to all of them"
)
def a_limiter_that_is_a_number():
    step(limiter=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@at_definition("Limit is a whole number of at least 1, not 0")
def a_limit_of_none():
    Limit(0)


@at_definition(
    "the key of Limit is the name of a field, as in key='host', or a function of the event, not 'the host'"
)
def a_limit_whose_key_is_no_name():
    Limit(1, key="the host")


async def later(ev: Event) -> int:
    return 1


@at_definition(
    "the key of Rate is asked between two steps, and nothing can wait for an async function; let a step before it find "
    "out, and write a plain def or the name of a field, not later (here)"
)
def a_key_that_is_async():
    Rate(1, per=1, key=later)


@at_definition(
    "priority is asked between two steps, and nothing can wait for an async function; let a step before it find out, "
    "and write a plain def or the name of a field, not later (here)"
)
def a_priority_that_is_async():
    step(priority=later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@at_definition("Rate is a whole number of at least 1, not 0.5")
def a_rate_of_less_than_one():
    Rate(0.5, per=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@at_definition("per is a number above 0, not 0")
def a_rate_in_no_time():
    Rate(5, per=0)


@at_definition("burst is a whole number of at least 1, not 0")
def a_rate_without_a_token():
    Rate(5, per=1, burst=0)


@at_definition("at_most is a longer time than the 2 s of quiet, not 1")
def a_debounce_that_is_over_before_it_is_quiet():
    Debounce(2, at_most=1)


@at_definition("rate is a Rate, as in @step(rate=Rate(5, per=1.0)), not 5")
def a_rate_that_is_a_number():
    step(rate=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@at_definition(
    "priority is the name of a field, as in priority='urgency', or a function of the event, not 5; a number would be "
    "the same for all events of the step"
)
def a_priority_that_is_a_number():
    step(priority=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@at_definition(
    "priority is the name of a field, as in priority='urgency', or a function of the event, not 'as it is'"
)
def a_priority_that_is_no_name():
    step(priority="as it is")


@at_definition(
    "overflow is 'fail', 'drop_oldest', 'drop_newest' or 'latest', not 'drop_eldest'; did you mean 'drop_oldest'?"
)
def an_overflow_that_is_not_there():
    step(queue_size=1, overflow="drop_eldest")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@at_definition("singleton is 'cancel' or 'refuse', not True")
def a_singleton_that_does_not_say_which():
    step(singleton=True)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@at_definition("debounce is a number above 0, not -1")
def a_debounce_below_nothing():
    step(debounce=-1)


@at_definition(
    "key= tells events apart for singleton=, debounce= and overflow='latest', and the step has none of them; a rate or "
    "a limit has a key of its own: Rate(5, per=1.0, key='host')"
)
def a_key_for_nothing():
    step(key="number")


@at_definition(
    "overflow='drop_newest' says what becomes of an event for which there is no room, and there always is; add "
    "queue_size=100"
)
def an_overflow_of_a_queue_without_a_bound():
    step(overflow="drop_newest")


@at_definition(
    "overflow='drop_oldest' would drop what has waited longest, and with priority= that may be the most urgent; write "
    "overflow='drop_newest' or 'fail'"
)
def a_priority_whose_oldest_are_dropped():
    step(priority="number", queue_size=9, overflow="drop_oldest")


@at_definition(
    "with singleton= no two of a key ever wait, so that overflow='latest' has nothing to drop; leave it out"
)
def a_singleton_of_which_the_latest_waits():
    step(singleton="cancel", overflow="latest")


@at_definition("Bad.work (here) takes Ask, which has no field 'numer' for priority=; did you mean 'number'?")
def a_priority_by_a_field_that_is_not_there():
    class Bad(Workflow[None]):
        @step(priority="numer")
        async def work(self, ev: Ask) -> None: ...


@at_definition(
    "Bad.work (here) takes Ask, which has no field 'host' for the key of Rate(5, per=1, burst=2, key='host')"
)
def a_rate_by_a_field_that_is_not_there():
    class Bad(Workflow[None]):
        @step(rate=Rate(5, per=1, burst=2, key="host"))
        async def work(self, ev: Ask) -> None: ...


@at_definition(
    "Bad.work (here) joins several events, and the key of Limit(1, key=by_number) is about one; say it of the steps "
    "that send them"
)
def a_join_with_a_key():
    def by_number(ask: Ask) -> int:
        return ask.number

    class Bad(Workflow[None]):
        @step(limiter=Limit(1, key=by_number))
        async def work(self, asks: list[Ask]) -> None: ...


@pytest.mark.parametrize("case", DEFINITIONS, ids=names(DEFINITIONS))
def test_a_wrong_signature_is_told_where_the_class_is_defined(case: Case):
    with pytest.raises(case.error) as caught:
        case.program()
    assert text(caught.value) == case.says
    assert caught.value.__suppress_context__ or caught.value.__context__ is caught.value.__cause__


def test_a_step_is_named_with_its_line():
    with pytest.raises(DefinitionError) as caught:
        a_bare_parameter()
    line = a_bare_parameter.__code__.co_firstlineno + 3  # the decorator of the step
    assert f"(test_messages.py:{line})" in str(caught.value)


# -- the class of the state, when the workflow is defined ----------------------------------------------------------

STATES: list[Case] = []
at_naming = partial(told, STATES, DefinitionError)


@attrs.define
class Cart:
    total: int = 0
    items: list[int] = attrs.Factory(list)


@attrs.define
class Basket:
    owner: str
    total: int = 0


@attrs.define
class Crate:
    owner: str
    size: int


@at_naming(
    "W.begin (here) names int as the state of its run, which is no attrs class, dataclass or pydantic model; write "
    "Context[MyState] with one of these, or Context for a free mapping"
)
def a_state_that_is_no_data_class():
    class W(Workflow):
        @step
        async def begin(self, ctx: Context[int], ev: StartEvent) -> StopEvent: ...


@at_naming(
    "W.begin (here) names typing.Literal['a'] as the state of its run, which is no attrs class, dataclass or pydantic "
    "model; write Context[MyState] with one of these, or Context for a free mapping"
)
def a_state_that_is_no_class():
    class W(Workflow):
        @step
        async def begin(self, ctx: Context[Literal["a"]], ev: StartEvent) -> StopEvent: ...


@at_naming(
    "W.begin (here) names Basket as the state of its run, which begins as Basket(), but 'owner' has no default; write "
    "owner: str = …"
)
def a_state_with_a_field_that_has_no_default():
    class W(Workflow):
        @step
        async def begin(self, ctx: Context[Basket], ev: StartEvent) -> StopEvent: ...


@at_naming(
    "W.begin (here) names Crate as the state of its run, which begins as Crate(), but 'owner', 'size' have no default; "
    "write owner: str = …"
)
def a_state_with_fields_that_have_no_default():
    class W(Workflow):
        @step
        async def begin(self, ctx: Context[Crate], ev: StartEvent) -> StopEvent: ...


@at_naming(
    "the steps of W name different classes for the state of its runs: W.begin (here) names Cart, W.more (here) names "
    "Basket; a run has one state: name one class in all of them, or classes that derive from one another"
)
def two_states():
    class W(Workflow):
        @step
        async def begin(self, ctx: Context[Cart], ev: StartEvent) -> StopEvent: ...
        @step
        async def again(self, ctx: Context[Cart], ev: Ask) -> StopEvent: ...
        @step
        async def more(self, ctx: Context[Basket], ev: Answer) -> StopEvent: ...


@at_naming("W.begin (here) takes a ThreadContext, which is for a plain def step; write ctx: Context")
def a_thread_context_in_an_async_step():
    class W(Workflow):
        @step
        async def begin(self, ctx: ThreadContext, ev: StartEvent) -> StopEvent: ...


@pytest.mark.parametrize("case", STATES, ids=names(STATES))
def test_a_wrong_state_is_told_when_the_workflow_is_defined(case: Case):
    with pytest.raises(case.error) as caught:
        case.program()
    assert text(caught.value) == case.says


# -- options, when the workflow is made ----------------------------------------------------------------------------


class Fine(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent[int]:
        return StopEvent(result=3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout": 0}, "timeout is a time in seconds above 0, or None for no limit, not 0"),
        ({"timeout": "3"}, "timeout is a time in seconds above 0, or None for no limit, not '3'"),
        ({"grace": -1}, "grace is a time in seconds above 0, or None for never, not -1"),
        ({"stream_buffer": 0}, "stream_buffer is a whole number of at least 1, not 0"),
        ({"collect_limit": 1.5}, "collect_limit is a whole number of at least 1, not 1.5"),
        ({"num_concurrent_runs": 0}, "num_concurrent_runs is a whole number of at least 1, not 0"),
        (
            {"num_concurrent_runs": 9, "run_overflow": "cancel_eldest"},
            "run_overflow is 'wait', 'fail' or 'cancel_oldest', not 'cancel_eldest'; did you mean 'cancel_oldest'?",
        ),
        (
            {"run_overflow": "fail"},
            (
                "run_overflow='fail' says what becomes of a run for which there is no place, and there always is; add "
                "num_concurrent_runs=4"
            ),
        ),
        (
            {"queue_size": 9, "overflow": "drop_eldest"},
            "overflow is 'fail', 'drop_oldest' or 'drop_newest', not 'drop_eldest'; did you mean 'drop_oldest'?",
        ),
        (
            {"overflow": "drop_newest"},
            (
                "overflow='drop_newest' says what becomes of an event for which there is no room, and there always is; "
                "add queue_size=100"
            ),
        ),
        (
            {"queue_size": 9, "overflow": "latest"},
            (
                "overflow='latest' keeps the latest of each key, and a key is about the events of one step; write it "
                "there, as in @step(overflow='latest', key='symbol'), and for a whole run 'fail', 'drop_oldest' or "
                "'drop_newest'"
            ),
        ),
    ],
)
def test_a_wrong_option_is_told_where_the_workflow_is_made(options: dict[str, Any], says: str):
    with pytest.raises(DefinitionError) as caught:
        Fine(**options)
    assert text(caught.value) == says


STEP_OPTIONS = (
    "its options: num_workers, accept_event_subclasses, retry_policy, timeout, emit, abandon, workflow, "
    "limiter, rate, priority, queue_size, overflow, singleton, debounce, key, undo"
)
a_step: Any = step  # type checkers would tell too
a_handler: Any = catch_error


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: a_step(retries=3),
            f"@step takes no 'retries'; {STEP_OPTIONS}; write retry_policy=RetryPolicy(attempts=…)",
        ),
        (
            lambda: a_step(workers=3),
            f"@step takes no 'workers'; {STEP_OPTIONS}; write num_workers=…",
        ),
        (
            lambda: a_step(compensate=print),
            f"@step takes no 'compensate'; {STEP_OPTIONS}; write undo=…",
        ),
        (
            lambda: a_step(pass_context=True),
            f"@step takes no 'pass_context'; {STEP_OPTIONS}; write a parameter ctx: Context, and no option",
        ),
        (
            lambda: a_step(time_out=3),
            f"@step takes no 'time_out'; {STEP_OPTIONS}; did you mean 'timeout'?",
        ),
        (
            lambda: a_step(colour="red"),
            f"@step takes no 'colour'; {STEP_OPTIONS}",
        ),
        (
            lambda: a_handler(for_step=["ask"]),
            (
                "@catch_error takes no 'for_step'; its options: for_steps, max_recoveries; did you mean 'for_steps'?"
            ),
        ),
    ],
)
def test_an_option_that_is_not_there_is_told_with_the_near_one(call: Callable[[], object], says: str):
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == says


# -- the graph, at the first run -----------------------------------------------------------------------------------

GRAPHS: list[Case] = []
at_first_run = partial(told, GRAPHS, DefinitionError)


@at_first_run(
    "W cannot start: none of its steps takes a StartEvent; its steps: W.end (here) takes Ask; annotate the first "
    "step with ev: StartEvent"
)
def no_start():
    class W(Workflow):
        @step
        async def end(self, ev: Ask) -> StopEvent: ...

    return W


@at_first_run(
    "W cannot stop: none of its steps returns a StopEvent; its steps: W.begin (here) takes StartEvent, W.end "
    "(here) takes Ask | Answer; annotate the last step with -> StopEvent, also if it only sends it"
)
def no_stop():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask | Answer: ...
        @step
        async def end(self, ev: Ask | Answer) -> None: ...

    return W


@at_first_run(
    "W cannot start: none of its steps takes a StartEvent; its steps: none (is @step missing above its methods?); "
    "annotate the first step with ev: StartEvent; W cannot stop: none of its steps returns a StopEvent; its "
    "steps: none (is @step missing above its methods?); annotate the last step with -> StopEvent, also if it only "
    "sends it"
)
def a_handler_of_no_step():
    class W(Workflow):
        async def begin(self, ev: StartEvent) -> StopEvent: ...

    return W


@at_first_run("W has several start events, Topic, Other: pass one, as in run(Topic(…))")
def several_start_events():
    class Other(StartEvent):
        pass

    class W(Workflow):
        @step
        async def begin(self, ev: Topic | Other) -> StopEvent: ...

    return W


@pytest.mark.parametrize("case", GRAPHS, ids=names(GRAPHS))
def test_a_graph_that_cannot_run_is_told_at_the_first_run(case: Case):
    workflow = case.program()()
    with pytest.raises(case.error) as caught:
        workflow.run()
    assert text(caught.value) == case.says


WARNINGS: list[Case] = []
warned_at_first_run = partial(told, WARNINGS, Warning)


@warned_at_first_run(
    "W.begin (here) returns Ask, which no step of W takes; add a step with ev: Ask, or leave it out of the annotation"
)
def produced_and_never_consumed():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask | StopEvent:
            return StopEvent()

    return W


@warned_at_first_run(
    "W.answer (here) takes Still, which no step of W returns; name it in the return annotation of the step that "
    "sends it, or, if it comes from outside, declare it so: class Still(Event, external=True)"
)
def a_subclass_that_comes_from_outside_no_more():
    class Go(Event, external=True):
        pass

    class Still(Go, external=False):
        pass

    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

        @step
        async def go(self, ev: Go) -> StopEvent: ...

        @step
        async def answer(self, ev: Still) -> StopEvent: ...

    return W


@warned_at_first_run(
    "W.answer (here) takes Ask, which no step of W returns; name it in the return annotation of the step that "
    "sends it, or, if it comes from outside, declare it so: class Ask(Event, external=True)"
)
def consumed_and_never_produced():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

        @step
        async def answer(self, ev: Ask) -> StopEvent: ...

    return W


@warned_at_first_run(
    "W.ask (here) cannot be reached from a start event or one from outside; name Answer in the return annotation "
    "of a step that can be\n"
    "W.answer (here) cannot be reached from a start event or one from outside; name Ask in the return annotation "
    "of a step that can be\n"
    "W.ask (here) is a dead end: nothing that follows from Ask ends the run; let a step that follows return a "
    "StopEvent\n"
    "W.answer (here) is a dead end: nothing that follows from Answer ends the run; let a step that follows return "
    "a StopEvent"
)
def unreachable_and_endless():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

        @step
        async def ask(self, ev: Answer) -> Ask: ...
        @step
        async def answer(self, ev: Ask) -> Answer: ...

    return W


@warned_at_first_run(
    "W.decide (here) joins a list of Answer, and nothing that leads to it forks, so that each list has one event; "
    "let a step return a list, or take ev: Answer"
)
def a_join_without_a_fork():
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Answer:
            return Answer()

        @step
        async def decide(self, answers: list[Answer]) -> StopEvent:
            return StopEvent()

    return W


@warned_at_first_run(
    "W.decide (here) takes Answer, which no step of W returns; name it in the return annotation of the step that "
    "sends it, or, if it comes from outside, declare it so: class Answer(Event, external=True)"
)
def a_join_of_what_nobody_returns():
    class W(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent()

        @step
        async def other(self, ctx: Context, ev: StartEvent) -> None:
            pass

        @step
        async def decide(self, answers: list[Answer]) -> StopEvent: ...

    return W


@pytest.mark.parametrize("case", WARNINGS, ids=names(WARNINGS))
def test_a_graph_that_looks_wrong_is_told_once_at_the_first_run(case: Case, caplog: pytest.LogCaptureFixture):
    workflow = case.program()()
    assert not caplog.records
    workflow.run_sync()
    assert [text(record) for record in caplog.records] == case.says.split("\n")
    assert {(record.name, record.levelname) for record in caplog.records} == {("stretto", "WARNING")}
    caplog.clear()
    workflow.run_sync()
    assert not caplog.records


@pytest.mark.parametrize("case", [*GRAPHS[:3], *WARNINGS], ids=names([*GRAPHS[:3], *WARNINGS]))
def test_disable_validation_leaves_out_the_checks_of_the_graph(case: Case, caplog: pytest.LogCaptureFixture):
    workflow = case.program()(disable_validation=True)
    with contextlib.suppress(WorkflowStalledError):
        workflow.run_sync()
    assert not any("cannot" in text(record) or "annotation" in text(record) for record in caplog.records)


# -- joins, at run time -------------------------------------------------------------------------------------------


class Fork(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(number=number) for number in range(ev.count)]

    @step(num_workers=2)
    async def ask(self, ctx: Context, ev: Ask) -> Answer:
        try:
            await anyio.sleep(1 + ev.number)
        except anyio.get_cancelled_exc_class():
            ctx.send_event(Ask(number=9))
        return Answer()

    @step
    async def join(self, answers: Annotated[list[Answer], First()]) -> StopEvent[int]:
        raise ValueError(len(answers))


async def asks_later(came: object) -> bool:
    return True


ASYNC = (
    ": the function is async, and nothing can wait for it; let a step before the join find out, and write a plain def "
    "that looks at its event"
)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: First(losers="drop"),  # pyright: ignore[reportArgumentType]
            "First(losers='drop'): losers are for 'cancel', 'drain' or 'keep'",
        ),
        (
            lambda: Until(losers="keap", when=print),  # pyright: ignore[reportArgumentType]
            "Until(losers='keap'): losers are for 'cancel', 'drain' or 'keep'; did you mean 'keep'?",
        ),
        (
            lambda: Quorum(3),  # pyright: ignore[reportArgumentType]
            "Quorum(3): it takes a function that is asked about what has come, a sequence; write Quorum(lambda …: …)",
        ),
        (
            lambda: Until(None),  # pyright: ignore[reportArgumentType]
            "Until(None): it takes a function that is asked about one event; write Until(lambda …: …)",
        ),
        (
            lambda: Until(asks_later),
            f"Until(asks_later (here)){ASYNC}",
        ),
        (
            lambda: ByKey(asks_later),
            f"ByKey(asks_later (here)){ASYNC}",
        ),
        (
            lambda: ByKey(3),  # pyright: ignore[reportArgumentType]
            (
                "ByKey(3): it takes the name of a field, or a function that gives the key of an event; write "
                "ByKey('sku') or ByKey(lambda ev: ev.sku)"
            ),
        ),
        (lambda: ByKey("a b"), "ByKey('a b'): it takes the name of a field, as in ByKey('sku')"),
        (Window, "Window(): it would never end; write Window(10), Window(seconds=5), or both"),
        (
            lambda: Window(0),
            "Window(0): a window has one event or more; write Window(10), or Window(seconds=5)",
        ),
        (
            lambda: Window(seconds=0),
            "Window(seconds=0): a window lasts a time in seconds, more than none; write Window(seconds=5)",
        ),
        (
            lambda: Window(seconds=1e400),
            "Window(seconds=inf): a window lasts a time in seconds, more than none; write Window(seconds=5)",
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_told_where_it_is_made(make: Callable[[], object], says: str):
    with pytest.raises(DefinitionError) as caught:
        make()
    assert text(caught.value) == says


async def test_a_predicate_that_fails_is_told_with_the_policy_the_join_and_the_event():
    def fails(came: object) -> bool:
        raise LookupError

    class Fails(Fork):
        @step
        async def join(self, answers: Annotated[list[Answer], Quorum(fails)]) -> StopEvent[int]:
            return StopEvent(result=0)

    with pytest.raises(LookupError) as caught:
        await Fails().run(count=1)
    assert [text(note) for note in caught.value.__notes__] == [
        (
            "raised by Quorum(when=fails (here), losers='cancel', order='arrival'), by which Fails.join (here) joins, "
            "when it was asked about Answer()"
        )
    ]


async def test_a_predicate_that_gives_a_coroutine_is_told_with_what_to_write():
    async def good(came: object) -> bool:
        return bool(came)

    def asks(came: object) -> object:
        return good(came)

    class Asks(Fork):
        @step
        async def join(self, answers: Annotated[list[Answer], Quorum(asks)]) -> StopEvent[int]:
            return StopEvent(result=0)

    with pytest.raises(TypeError) as caught:
        await Asks().run(count=1)
    assert text(caught.value) == (
        "asks (here) gave the coroutine good(), and it is asked between two steps, where nothing can be "
        "awaited; let a step before it find out, and write a plain function that looks at its event"
    )


async def test_a_key_that_raises_stop_iteration_is_told_with_its_option_and_step():
    class Empty(Fork):
        @step(singleton="refuse", key=lambda _: next(iter(())))
        async def ask(self, ev: Ask) -> Answer:
            return Answer()

    with pytest.raises(RuntimeError) as caught:
        await Empty().run(count=1)
    assert text(caught.value) == (
        "Empty.<lambda> (here) raised StopIteration, which means the end of an iteration to whoever is asked next; "
        "write next(…, None) for the first of what may be empty, or raise an error of another class"
    )
    assert [text(note) for note in caught.value.__notes__] == [
        "raised by key= of Empty.ask (here), asked about Ask(number=0)"
    ]
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_a_condition_of_a_wait_that_fails_is_told_with_the_event():
    class Waits(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            ctx.send_event(Answer())
            await ctx.wait_for_event(Answer, where=lambda _: 1 / 0)
            return StopEvent(result=0)

    with pytest.raises(ZeroDivisionError) as caught:
        await Waits().run()
    assert [text(note) for note in caught.value.__notes__] == [
        "raised when a wait for Answer was asked whether Answer() fits",
        "in Waits.begin (here), which handled StartEvent(), attempt 1",
    ]


async def test_what_a_race_leaves_over_is_told_with_the_reason():
    run = Fork().run(count=3)
    with pytest.raises(ValueError, match="1") as caught:
        await run
    assert [text(note) for note in caught.value.__notes__] == [
        "in Fork.join (here), which handled [Answer()], attempt 1"
    ]
    assert [(shown(each.event), text(each.reason)) for each in run.dead_letters] == [
        ("Ask(number=2)", "the join of its fork had enough before Fork.ask (here) took it"),
        ("Ask(number=9)", "Fork.ask (here) was cancelled, because the join of its fork had enough"),
        ("Answer()", "Fork.ask (here) was cancelled, because the join of its fork had enough"),
    ]


async def test_what_comes_too_late_for_a_race_is_told_with_the_join():
    class Late(Fork):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | Answer:
            ctx.send_event(Answer())
            ctx.send_event(Answer())
            ctx.send_event(Ask(number=1))
            return Answer()

        @step
        async def join(self, answers: Annotated[list[Answer], First()]) -> StopEvent[int]:
            return StopEvent(result=len(answers))

    run = Late().run()
    assert await run == 1
    assert [(shown(each.event), text(each.reason)) for each in run.dead_letters] == [
        ("Answer()", "Late.join (here) had enough before it came"),
        ("Ask(number=1)", "the join of its fork had enough before Fork.ask (here) took it"),
        ("Answer()", "Late.join (here) had enough before it came"),
    ]


async def test_a_pair_that_stays_alone_and_many_forks_are_told():
    class Alone(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(number=1)] * 7

        @step(num_workers=7)
        async def ask(self, ctx: Context, ev: Ask) -> AskMore | Answer | None:
            ctx.send_event(AskMore())
            ctx.send_event(AskMore())
            await anyio.sleep(3 if ev.number else 0)

        @step
        async def pair(self, ask: AskMore, answer: Answer) -> StopEvent[int]: ...

    with pytest.raises(WorkflowTimeoutError) as late:
        await Alone(timeout=1).run()
    has = "Alone.pair (here) has 2 x AskMore and still waits for a Answer"
    assert text(late.value) == (
        "Alone timed out after 1 s; active: Alone.ask (here) x7 for 1 s; "
        f"{'; '.join([has] * 5)}; 2 more forks have not been joined"
    )
    with pytest.raises(WorkflowStalledError) as stalled:
        await Alone().run()
    assert "Alone.pair (here) has 14 x AskMore and still waits for a Answer" in text(stalled.value)


# -- the start -----------------------------------------------------------------------------------------------------


class Tea(Workflow[str]):
    @step
    async def begin(self, ev: Topic) -> StopEvent[str]:
        return StopEvent(result=ev.topic)


class Other(StartEvent):
    pass


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Tea().run(), "Topic misses 'topic'; write Topic(topic=…)"),
        (
            lambda: Tea().run(topik="tea"),
            "Topic takes no 'topik', it takes: topic, depth; did you mean 'topic'?",
        ),
        (lambda: Tea().run("tea"), "Tea.run() begins with Topic, not 'tea'; give it, or its fields by name"),  # pyright: ignore[reportArgumentType]
        (
            lambda: Tea().run(Ask()),  # pyright: ignore[reportArgumentType]
            "Tea.run() begins with Topic, not Ask(number=0); give it, or its fields by name",
        ),
        (lambda: Tea().run(Other()), "no step of Tea takes Other(); it begins with Topic"),
        (
            lambda: Tea().run(Topic(topic="tea"), depth=2),
            "run() takes a start event or its fields, not both: Topic(topic='tea', depth=1) and depth",
        ),
        (lambda: Ask(3), "Ask.__init__() takes 1 positional argument but 2 were given"),  # pyright: ignore[reportCallIssue]
        (lambda: Ask(nunber=3), "Ask takes no 'nunber', it takes: number; did you mean 'number'?"),  # pyright: ignore[reportCallIssue]
    ],
)
def test_a_wrong_start_is_told_where_it_is_made(call: Callable[[], object], says: str):
    with pytest.raises(TypeError) as caught:
        call()
    assert text(caught.value) == says


def test_a_context_given_to_another_run_is_refused():
    with pytest.raises(DefinitionError) as caught:
        Fine().run(ctx=3)  # pyright: ignore[reportArgumentType]
    assert text(caught.value) == (
        "run(ctx=3): a Context belongs to one run and cannot be given to another; send events to a run by its "
        "handler, run.send_event(…), and to another workflow in an Application; to go on with a run write "
        "run(ctx=Context.from_dict(workflow, data)) with the data of its ctx.to_dict()"
    )


# -- snapshots -----------------------------------------------------------------------------------------------------


class Slow(Workflow[int]):
    @step
    async def wait(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
        await ctx.sleep(1)
        return StopEvent(result=1)


async def of_slow(**changes: Any) -> dict[str, Any]:
    """A snapshot of a run that has begun, changed."""
    async with Slow().run(topic="tea") as run:
        await anyio.sleep(0.5)
        data = run.ctx.to_dict()
    return {**data, **changes}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stretto": 2}, "stretto: this is format 2, of a newer stretto, and this one reads format 1; update stretto"),
        ({"stretto": "1"}, "stretto: this should be a whole number from 1 to 2147483648, and is '1'"),
        (
            {"workflow": "Fast"},
            "workflow: this is a snapshot of Fast, and Slow was given; read it with that workflow",
        ),
        ({"run_id": None}, "run_id: this should be a text, and is None"),
        ({"finished": 1}, "finished: this should be true or false, and is 1"),
        ({"age": None}, "age: this should be a time in seconds, and is None"),
        (
            {"active": [{"step": "wiat", "event": 0}]},
            "active[0].step: Slow has no step 'wiat'; its steps: wait; did you mean 'wait'?",
        ),
        (
            {"active": [{"step": "wait", "event": 1}]},
            "active[0].event: this should be a whole number from 0 to 0, and is 1",
        ),
        ({"events": [{"$type": "Ask", "fields": {}}]}, "active[0].event: Slow.wait (here) does not take Ask"),
        ({"events": ["tea"]}, "events[0]: this should be an event, and is 'tea'"),
        ({"state": [1]}, "state: this should be an object, since no step names a class for the state, and is [1]"),
        ({"once": []}, "once: this should be an object, and is []"),
    ],
)  # fmt: skip
async def test_a_snapshot_that_does_not_fit_is_told_where(changes: dict[str, Any], says: str):
    data = await of_slow(**changes)
    with pytest.raises(SnapshotError) as caught:
        Context.from_dict(Slow(), data, types=[Ask])
    assert text(caught.value) == says
    assert caught.value.path == says.partition(": ")[0]


async def test_a_snapshot_with_another_state_than_the_steps_name_is_told():
    @attrs.define
    class Cart:
        total: int = 0

    class Shop(Workflow[int]):
        @step
        async def wait(self, ctx: Context[Cart], ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=await ctx.store.get("total"))

    run = Shop().run()
    await run
    with pytest.raises(SnapshotError) as caught:
        Context.from_dict(Shop(), {**run.ctx.to_dict(), "state": {"total": 1}})
    assert (
        text(caught.value)
        == "state: this should be a Cart, the state that the steps name, and is {'total': 1}"
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "the snapshot: this should be an object, and is None"),
        ({}, "the snapshot: 'stretto' is missing"),
    ],
)
def test_what_is_no_snapshot_is_told(data: Any, says: str):
    with pytest.raises(SnapshotError) as caught:
        Context.from_dict(Slow(), data)
    assert (text(caught.value), caught.value.path) == (says, "")


async def test_what_cannot_be_written_is_told_where_it_stands():
    class Hold(Event):
        items: object

    class Keep(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Hold]:
            return [Hold(items=[1]), Hold(items=[1, lock])]

        @step
        async def keep(self, ctx: Context, ev: Hold) -> StopEvent[int]:
            await ctx.sleep(1)
            return StopEvent(result=1)

    class Lock:
        def __repr__(self) -> str:
            return "<Lock>"

    lock = Lock()
    async with Keep().run() as run:
        await anyio.sleep(0.5)
        with pytest.raises(SnapshotError) as caught:
            run.ctx.to_dict()
        with pytest.raises(DefinitionError) as refused:
            run.ctx.to_dict(types=[Lock])
    assert text(caught.value) == (
        "active[1].event.items[1]: <Lock> cannot be written: Lock is no plain data, attrs class, dataclass, pydantic "
        "model, enum or named tuple; keep in its place what it is made of"
    )
    assert caught.value.path == "active[1].event.items[1]"
    assert text(refused.value) == (
        "types= is a list of event classes, attrs classes, dataclasses, pydantic models, enums and named tuples, as in "
        f"types=[Receipt], not {Lock!r}"
    )


async def test_what_a_snapshot_is_not_for_is_told():
    data = await of_slow()
    ctx = Context.from_dict(Slow(), data)
    cases: list[tuple[Callable[[], Any], str]] = [
        (
            lambda: Slow().run(ctx=ctx, topic="tea"),
            (
                "run(ctx=…) goes on with a run of Slow that has begun, and takes no start event or fields: topic; "
                "leave them out, or start a run without ctx"
            ),
        ),
        (
            lambda: Slow().run(StartEvent(), ctx=ctx),
            (
                "run(ctx=…) goes on with a run of Slow that has begun, and takes no start event or fields: "
                "StartEvent(); "
                "leave them out, or start a run without ctx"
            ),
        ),
        (
            lambda: Fine().run(ctx=ctx),
            "run(ctx=…): it was read from a snapshot of Slow, and this is Fine; run that",
        ),
        (
            lambda: Context.from_dict("Slow", data),
            "Context.from_dict takes a workflow and the data, as in Context.from_dict(Poll(), data), not 'Slow'",
        ),
        (
            lambda: ctx.run_id and ctx.send_event(Ask()),
            "this Context was read from a snapshot of Slow and belongs to no run yet; give it to Slow(…).run(ctx=…)",
        ),
        (
            lambda: snapshot_type(3),  # pyright: ignore[reportArgumentType]
            (
                "snapshot_type takes an event class, an attrs class, a dataclass, a pydantic model, an enum or a named "
                "tuple, not 3"
            ),
        ),
    ]
    for call, says in cases:
        with pytest.raises((TypeError, WorkflowError)) as caught:
            call()
        assert text(caught.value) == says


@pytest.mark.parametrize(
    ("event", "name", "says"),
    [
        (StartEvent(topic="tea"), "topik", "StartEvent has no 'topik', it has: topic; did you mean 'topic'?"),
        (Topic(topic="tea"), "dept", "Topic has no 'dept', it has: topic, depth; did you mean 'depth'?"),
        (Answer(), "text", "Answer has no 'text', it has no field"),
    ],
)
def test_a_misspelt_field_is_told_with_the_near_one(event: Event, name: str, says: str):
    with pytest.raises(AttributeError) as caught:
        getattr(event, name)
    assert text(caught.value) == says
    assert caught.value.name == name
    assert "".join(traceback.format_exception(caught.value)).count("did you mean") == says.count(
        "did you mean"
    )
    assert "Did you mean" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("event", "instead"),
    [
        (Topic(topic="tea"), "attrs.evolve(ev, topic=…)"),
        (StartEvent(topic="tea"), "StartEvent(…)"),
        (Answer(), "Answer(…)"),
    ],
)
def test_who_assigns_to_an_event_is_told_to_make_another(event: Event, instead: str):
    kind = type(event).__name__
    before = f"an event is not changed, and 'topic' of this {kind} cannot be"
    with pytest.raises(attrs.exceptions.FrozenInstanceError) as caught:
        event.topic = "milk"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert str(caught.value) == (
        f"{before} set: others may have been given it too; send a new one: {instead}"
    )
    with pytest.raises(attrs.exceptions.FrozenInstanceError) as caught:
        del event.topic  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert str(caught.value) == f"{before} deleted"
    assert event == type(event)(**vars(event))


def _check_count(event: object, _: object, value: int) -> None:
    if value < 0:
        raise ValueError(f"no {value} in {event!r}")


class Checked(Event):
    sku: str
    count: int = attrs.field(validator=_check_count)
    size: int = 1


class Own(Checked):
    def __repr__(self) -> str:
        return f"<{self.sku}>"


def test_an_event_that_is_being_made_has_a_repr_of_what_is_there():
    assert repr(Checked(sku="tea", count=1)) == "Checked(sku='tea', count=1, size=1)"
    assert repr(Own(sku="tea", count=1)) == "<tea>"
    assert repr(Checked.__new__(Checked)) == "Checked()"
    half = Checked.__new__(Checked)
    half.__dict__["sku"] = "tea"
    assert repr(half) == "Checked(sku='tea')"
    with pytest.raises(ValueError, match=r"no -1 in Checked\(sku='tea', count=-1"):
        Checked(sku="tea", count=-1)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: RetryPolicy(attempt=3),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
            "RetryPolicy takes no 'attempt', it takes: attempts, total, on, wait, stop; did you mean 'attempts'?",
        ),
        (
            lambda: Limit(5, mots=3),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
            "Limit takes no 'mots', it takes: most, key; did you mean 'most'?",
        ),
        (
            lambda: Resource(dict, scop="run"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
            "Resource takes no 'scop', it takes: factory, scope, enter; did you mean 'scope'?",
        ),
        (
            lambda: ResourceConfig("a.toml", paht="db"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
            "ResourceConfig takes no 'paht', it takes: file, path; did you mean 'path'?",
        ),
    ],
)
def test_a_policy_a_limit_and_a_resource_say_what_they_take(call: Callable[[], object], says: str):
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == says


# -- what a step returns -------------------------------------------------------------------------------------------


class Gives(Workflow):
    """Its first step gives back whatever it is told to."""

    def __init__(self, make: Callable[[], object], **options: Any) -> None:
        self.make = make
        super().__init__(**options)

    @step
    async def begin(self, ev: StartEvent) -> Ask | StopEvent | None:
        return self.make()  # pyright: ignore[reportReturnType]

    @step
    async def answer(self, ev: Ask) -> StopEvent | None: ...


class Loud:
    """A generator whose repr has no address."""

    def __init__(self, each: Iterator[Ask]) -> None:
        self.each = each

    def __iter__(self) -> Iterator[Ask]:
        return self

    def __next__(self) -> Ask:
        return next(self.each)

    def __repr__(self) -> str:
        return "<loud>"


async def look_up() -> int:
    return 3


class Lists(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(), Answer()]  # pyright: ignore[reportReturnType]

    @step
    async def answer(self, ev: Ask) -> StopEvent | None: ...


@pytest.mark.parametrize(
    ("workflow", "says"),
    [
        (
            Gives(Answer),
            "Gives.begin (here) returned Answer but declares -> Ask | StopEvent; add Answer to the return annotation",
        ),
        (
            Gives(lambda: "text"),
            (
                "Gives.begin (here) returned 'text', which is no event; it declares -> Ask | StopEvent; to end the "
                "run with it write return StopEvent(result=…)"
            ),
        ),
        (
            Gives(lambda: [Ask(), Ask()]),
            (
                "Gives.begin (here) returned [Ask(number=0), Ask(number=0)], which is no event; it declares -> Ask | "
                "StopEvent; to return several events declare -> list[…], and return a list"
            ),
        ),
        (
            Gives(lambda: {Ask()}),
            (
                "Gives.begin (here) returned {Ask(number=0)}, which is no event; it declares -> Ask | StopEvent; to "
                "return several events declare -> list[…], and return a list"
            ),
        ),
        (
            Gives(lambda: Loud(Ask() for _ in range(2))),
            (
                "Gives.begin (here) returned <loud>, which is no event; it declares -> Ask | StopEvent; for the events "
                "that it gives declare -> list[…], and write return list(…)"
            ),
        ),
        (
            Gives(lambda: Ask),
            (
                "Gives.begin (here) returned <class 'tests.test_messages.Ask'>, which is no event; it declares -> Ask "
                "| StopEvent; make one: return Ask(…)"
            ),
        ),
        (
            Gives(look_up),
            "Gives.begin (here) returned the coroutine look_up(), which nobody awaited; write return await look_up(…)",
        ),
        (
            Gives(lambda: StopEvent(result=look_up())),
            (
                "Gives.begin (here) returned StopEvent whose field 'result' holds the coroutine look_up(), which "
                "nobody awaited; write result=await look_up(…)"
            ),
        ),
        (
            Lists(),
            (
                "Lists.begin (here) returned a list with Answer() in it, but declares -> list[Ask]; each element is "
                "an event that the annotation names"
            ),
        ),
    ],
)
async def test_a_return_value_that_was_not_declared_is_told_at_once(workflow: Workflow, says: str):
    with pytest.raises(UndeclaredEventError) as caught:
        await workflow.run()
    assert text(caught.value) == says
    name = type(workflow).__name__
    assert [text(note) for note in caught.value.__notes__] == [
        f"in {name}.begin (here), which handled StartEvent(), attempt 1"
    ]


# -- a run that is stuck -------------------------------------------------------------------------------------------

WAY_OUT = (
    ". Return a StopEvent to end the run; if an event is to come from outside by run.send_event, declare its class "
    "so: class Go(Event, external=True)"
)


class Joins(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
        for number in range(3):
            ctx.send_event(Ask(number=number))

    @step
    async def join(self, ctx: Context, ev: Ask | Answer) -> StopEvent | None:
        ctx.collect_events(ev, [Ask, Ask, Answer], buffer_id="both")


class Sends(Workflow):
    def __init__(self, *events: Event) -> None:
        self.events = events
        super().__init__(timeout=10)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> None:
        for event in self.events:
            ctx.send_event(event)

    @step
    async def answer(self, ev: Ask) -> StopEvent | None: ...


class ListsNothing(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return []

    @step
    async def answer(self, ev: Ask) -> StopEvent | None: ...


@pytest.mark.parametrize(
    ("workflow", "says"),
    [
        (
            Gives(lambda: None),
            (
                "Gives is stuck, nothing is left to run: Gives.begin (here) returned nothing although it declares Ask "
                "| StopEvent"
            ),
        ),
        (
            Joins(),
            (
                "Joins is stuck, nothing is left to run: collect_events in Joins.join (here) (buffer 'both') still "
                "waits for 1 x Answer (has 0 of 1); Joins.begin (here) returned nothing although it declares Ask; "
                "Joins.join (here) returned nothing 3 times although it declares StopEvent"
            ),
        ),
        (
            Sends(Answer(), AskMore(number=1)),
            (
                "Sends is stuck, nothing is left to run: Answer() was not taken: no step of Sends takes exactly "
                "Answer; AskMore(number=1) was not taken: no step of Sends takes exactly AskMore"
            ),
        ),
        (
            Sends(*[Answer()] * 7),
            "Sends is stuck, nothing is left to run: "
            + "Answer() was not taken: no step of Sends takes exactly Answer; " * 5
            + "2 more events were not taken",
        ),
        (Sends(), "Sends is stuck, nothing is left to run: no step returned an event"),
        (
            Sends(InputRequiredEvent(question="sure?")),
            (
                "Sends is stuck, nothing is left to run: InputRequiredEvent(question='sure?') went to the "
                "stream, and no step takes an answer: add one with ev: HumanResponseEvent"
            ),
        ),
        (
            ListsNothing(),
            (
                "ListsNothing is stuck, nothing is left to run: ListsNothing.begin (here) returned nothing, or "
                "an empty list, although it declares Ask"
            ),
        ),
    ],
    ids=[
        "a return forgotten",
        "a collect never complete",
        "nobody takes it",
        "nor these seven",
        "nothing sent",
        "nobody answers",
        "an empty list",
    ],
)
async def test_a_stuck_run_is_told_at_once_with_what_it_misses(workflow: Workflow, says: str):
    began = anyio.current_time()
    with pytest.raises(WorkflowStalledError) as caught:
        await workflow.run()
    assert text(caught.value) == says + WAY_OUT
    assert anyio.current_time() == began


async def test_an_event_that_no_step_takes_is_told_when_it_is_sent(caplog: pytest.LogCaptureFixture):
    with pytest.raises(WorkflowStalledError):
        await Sends(Answer()).run()
    told_of = [text(record) for record in caplog.records]
    nobody = "no step of Sends takes exactly Answer"
    assert told_of[-2:] == [
        f"Sends: Answer() from Sends.begin (here) is kept in case that a step waits for it: {nobody}",
        f"Sends: dead letter Answer(): {nobody}, and nobody waited for it",
    ]
    assert caplog.records[-1].levelname == "WARNING"


async def test_an_event_that_is_sent_too_late_says_why_the_run_is_over(caplog: pytest.LogCaptureFixture):
    class W(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | StopEvent:
            ctx.send_event(Ask())
            await anyio.sleep(1)
            return StopEvent()

        @step
        async def answer(self, ctx: Context, ev: Ask) -> None:
            try:
                await anyio.sleep(9)
            finally:
                ctx.send_event(Ask(number=2))

    await W().run()
    assert [text(record) for record in caplog.records] == [
        "W: dead letter Ask(number=2) from W.answer (here): the run was over, it had a result"
    ]


# -- time ----------------------------------------------------------------------------------------------------------


async def test_a_timeout_names_who_was_at_work_what_was_queued_and_what_is_missing():
    class Slow(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | Answer | None:
            for number in range(5):
                ctx.send_event(Ask(number=number))
            ctx.send_event(Answer())
            await anyio.sleep(1)

        @step(num_workers=2)
        async def work(self, ev: Ask) -> None:
            await anyio.sleep(100)

        @step
        async def join(self, ctx: Context, ev: Answer) -> StopEvent | None:
            ctx.collect_events(ev, [Answer, Answer])

    with pytest.raises(WorkflowTimeoutError) as caught:
        await Slow(timeout=2.5).run()
    assert text(caught.value) == (
        "Slow timed out after 2.5 s; active: Slow.work (here) x2 for 2.5 s; queued: 3 for Slow.work (here); "
        "collect_events in Slow.join (here) still waits for 1 x Answer (has 1 of 2); time went into Slow.work (here) "
        "5 s, Slow.begin (here) 1 s"
    )
    assert caught.value.timeout == 2.5
    assert {name: count for name, (count, _) in caught.value.active.items()} == {"work": 2}
    assert caught.value.queued == {"work": 3}


async def test_a_timeout_says_what_went_before_and_what_nested_runs_used():
    class Nested(Workflow):
        @step
        async def work(self, ev: StartEvent) -> StopEvent:
            await anyio.sleep(60)
            return StopEvent()

    class Late(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask:
            await anyio.sleep(3)
            return Ask(number=1)

        @step
        async def end(self, ev: Ask, nested: Nested) -> StopEvent:
            await nested.run()
            return StopEvent()

    with pytest.raises(WorkflowTimeoutError) as caught:
        await Late(timeout=5, nested=Nested()).run()
    assert text(caught.value) == (
        "Late timed out after 5 s; active: Late.end (here) x1 for 2 s; time went into Late.begin (here) 3 s, Late.end "
        "(here) 2 s"
    )
    assert caught.value.__notes__ == ["of that, nested runs of Late used: Nested.work 2 s"]


async def test_a_timeout_of_a_run_that_waits_names_what_it_waits_for():
    class Go(Event, external=True):
        pass

    class Waits(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> None: ...
        @step
        async def go(self, ev: Go | HumanResponseEvent) -> StopEvent: ...

    with pytest.raises(WorkflowTimeoutError) as caught:
        await Waits(timeout=3).run()
    assert text(caught.value) == (
        "Waits timed out after 3 s; no step was active; it waited for events from outside: Go, HumanResponseEvent"
    )


class Orders(Workflow[None]):
    """It waits for the answer to one order, for a while or as long as it takes."""

    def __init__(self, how: dict[str, Any], **options: Any) -> None:
        self.how = how
        super().__init__(**options)

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
        await ctx.wait_for_event(Ask, **self.how)
        return StopEvent(result=None)

    @step
    async def note(self, ctx: Context, ev: StartEvent) -> None:
        ctx.send_event(Ask(number=2))


NOT_TWO = "Ask(number=2) was not taken: no step of Orders takes exactly Ask, and Orders.ask (here) waited for"


@pytest.mark.parametrize(
    ("how", "lacks"),
    [
        ({"requirements": {"number": 1}}, "number=1, not 2"),
        ({"where": lambda ev: ev.number == 1}, "one of which its where= is true"),
    ],
)
async def test_an_event_that_does_not_fit_a_wait_is_told_with_the_field(how: dict[str, Any], lacks: str):
    """It was told that no step takes it, while a step waited for its very type."""
    with pytest.raises(WorkflowTimeoutError) as late:
        await Orders(how, timeout=3).run()
    assert text(late.value) == (
        f"Orders timed out after 3 s; no step was active; waiting: Orders.ask (here) for Ask; {NOT_TWO} {lacks}"
    )
    with pytest.raises(WaitTimeoutError) as vain:
        await Orders({**how, "timeout": 2}).run()
    assert text(vain.value) == (
        "Orders.ask (here) waited 2 s for Ask, and none came that fits: Ask(number=2) came, but it waited for "
        f"{lacks}"
    )
    async with Orders(how).run() as run:
        await anyio.sleep(1)
        await run.cancel()
    assert [text(letter.reason) for letter in run.dead_letters] == [
        f"no step of Orders takes exactly Ask, and Orders.ask (here) waited for {lacks}"
    ]


async def test_a_step_that_does_not_end_is_named_after_the_grace(caplog: pytest.LogCaptureFixture):
    class Stubborn(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            try:
                await anyio.sleep(9)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(9)
            return StopEvent()

    with pytest.raises(WorkflowTimeoutError) as caught:
        await Stubborn(timeout=1, grace=2).run()
    assert text(caught.value) == "Stubborn timed out after 1 s; active: Stubborn.begin (here) x1 for 1 s"
    assert [text(record) for record in caplog.records] == [
        (
            "Stubborn: 2 s after the run was cancelled these steps have not ended: Stubborn.begin (here); the run "
            "waits for them"
        )
    ]


# -- what a step calls ---------------------------------------------------------------------------------------------


class Calls(Workflow[Any]):
    """Its step calls something on its Context."""

    def __init__(self, call: Callable[[Any, Event], object], **options: Any) -> None:
        self.call = call
        super().__init__(**options)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Ask | StopEvent:
        done = self.call(ctx, ev)
        return StopEvent(result=await done if isinstance(done, Awaitable) else done)

    @step
    async def answer(self, ev: Ask) -> StopEvent | None: ...


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda ctx, ev: ctx.send_event("text"),
            TypeError,
            "send_event takes an event, not 'text'; write class Name(Event) with its fields",
        ),
        (
            lambda ctx, ev: ctx.send_event(Ask(), step="anser"),
            RoutingError,
            "Calls has no step 'anser'; its steps: begin, answer; did you mean 'answer'?",
        ),
        (
            lambda ctx, ev: ctx.send_event(Answer(), step="answer"),
            RoutingError,
            (
                "Calls.answer (here) does not take Answer, it takes: Ask; leave out step= to send it to the steps "
                "that take it"
            ),
        ),
        (
            lambda ctx, ev: ctx.collect_events(ev, [Ask, Answer]),
            CollectError,
            (
                "collect_events in Calls.begin (here) was given StartEvent() and expects only Ask, Answer; it was "
                "not stored; name its type in the list, or collect it in a step of its own"
            ),
        ),
        (
            lambda ctx, ev: ctx.collect_events(ev, StartEvent),
            CollectError,
            (
                "collect_events in Calls.begin (here) expects a list of event classes, as in collect_events(ev, "
                "[Opinion] * 3), not <class 'stretto.StartEvent'>"
            ),
        ),
        (
            lambda ctx, ev: ctx.write_event_to_stream(StopEvent()),
            TypeError,
            (
                "the stream of a run takes an event that is no StopEvent, not StopEvent(result=None); it ends with the "
                "StopEvent that a step returns"
            ),
        ),
        (
            lambda ctx, ev: ctx.sent_event(ev),
            AttributeError,
            "Context has no 'sent_event'; did you mean 'send_event'?",
        ),
        (
            lambda ctx, ev: ctx.check_cancelled(),
            WorkflowError,
            (
                "ctx.check_cancelled is for a plain def step, in its thread; an async step is cancelled where it "
                "awaits: write await anyio.lowlevel.checkpoint()"
            ),
        ),
        (lambda ctx, ev: ctx.session, AttributeError, "Context has no 'session'; write ctx.run_id"),
        (lambda ctx, ev: ctx.is_running, AttributeError, "Context has no 'is_running'; write handler.done"),
    ],
)
async def test_a_wrong_call_in_a_step_is_told_where_it_is_made(
    call: Callable[[Any, Event], object], error: type[Exception], says: str
):
    with pytest.raises(error) as caught:
        await Calls(call).run()
    assert text(caught.value) == says
    assert [text(note) for note in caught.value.__notes__] == [
        "in Calls.begin (here), which handled StartEvent(), attempt 1"
    ]


async def test_a_full_buffer_says_how_to_make_it_larger():
    class Hoard(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(number=number) for number in range(4)]

        @step
        async def join(self, ctx: Context, ev: Ask) -> StopEvent | None:
            ctx.collect_events(ev, [Ask] * 9)

    with pytest.raises(CollectError) as caught:
        await Hoard(collect_limit=3).run()
    assert text(caught.value) == (
        "collect_events in Hoard.join (here) holds 3 events, the collect_limit of this workflow, and was given one "
        "more, which was not stored; it still waits for 6 x Ask (has 3 of 9); if it must hold more, write "
        "Workflow(collect_limit=…)"
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda ctx: ctx.sleep(1),
            "ctx.sleep needs an async step; in a plain def step use time.sleep, or write async def",
        ),
        (
            lambda ctx: ctx.wait_for_event(Ask),
            "ctx.wait_for_event needs an async step; write async def, or let a step of its own take the event",
        ),
        (
            lambda ctx: ctx.send(Ask()),
            "ctx.send needs an async step; in a plain def step use ctx.send_event, or write async def",
        ),
        (
            lambda ctx: ctx.write(Ask()),
            "ctx.write needs an async step; in a plain def step use ctx.write_event_to_stream, or write async def",
        ),
    ],
)
async def test_a_step_in_a_thread_is_told_that_it_cannot_await(call: Callable[[Any], object], says: str):
    """It was told only when the call was awaited, which is what such a step cannot do."""

    class Threaded(Workflow):
        @step
        def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            call(ctx)
            return StopEvent()

    with pytest.raises(WorkflowError) as caught:
        await Threaded().run()
    assert text(caught.value) == says


@pytest.mark.parametrize(
    ("late", "level", "says"),
    [
        (lambda ctx: None, "INFO", "Left.sit (here), which was abandoned, has ended in its thread"),
        (
            lambda ctx: Ask(number=1),
            "WARNING",
            "Left.sit (here) returned Ask(number=1) in its thread, when nobody waited for it any more",
        ),
        (
            lambda ctx: ctx.remaining,
            "WARNING",
            (
                "Left.sit (here) raised RunEndedError('Left: Left.sit (here) is over, and nothing is taken from its "
                "thread any more') in its thread, when nobody waited for it any more"
            ),
        ),
        (
            lambda ctx: ctx.send_event(Ask(number=1)),
            "WARNING",
            "dead letter Ask(number=1) from Left.sit (here): the step that sent it was over, and its thread was not",
        ),
    ],
    ids=["nothing", "value", "error", "event"],
)
async def test_what_becomes_of_a_thread_that_was_abandoned_is_told(
    late: Callable[[Any], Any], level: str, says: str, caplog: pytest.LogCaptureFixture
):
    class Left(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | StopEvent:
            ctx.send_event(Ask())
            while not began.is_set():  # noqa: ASYNC110 - a thread sets it
                await anyio.sleep(0.001)
            return StopEvent()

        @step(abandon=True)
        def sit(self, ctx: Context, ev: Ask) -> Ask:
            began.set()
            free.wait(5)
            return late(ctx)

    began, free = threading.Event(), threading.Event()
    caplog.set_level(logging.INFO, "stretto")
    await Left(disable_validation=True).run()
    free.set()
    until = time.monotonic() + 5
    while len(caplog.records) < 2 and time.monotonic() < until:
        time.sleep(0.0005)  # noqa: ASYNC251 - a thread that no loop waits for
    abandoned, then = caplog.records[:2]
    assert text(abandoned) == "Left: Left.sit (here) was abandoned in its thread, which goes on"
    assert (abandoned.levelname, then.levelname) == ("WARNING", level)
    assert text(then) == f"Left: {says}"


async def test_a_step_that_raises_the_loops_cancellation_is_named():
    async def cancel(ctx: Context, ev: Event) -> None:
        raise anyio.get_cancelled_exc_class().__new__(anyio.get_cancelled_exc_class())

    with pytest.raises(WorkflowError) as caught:
        await Calls(cancel).run()
    name = anyio.get_cancelled_exc_class().__name__
    assert text(caught.value) == (
        f"Calls.begin (here) raised {name}, the cancellation of the event loop, although nothing was "
        "cancelled; let only the loop raise it, and end a step by return or by an error of yours"
    )
    assert isinstance(caught.value.__cause__, anyio.get_cancelled_exc_class())


# -- the state of a run --------------------------------------------------------------------------------------------


class Keeping(Workflow):
    """Calls this with its context, for what the store says."""

    def __init__(self, body: Callable[[Context[Cart]], Awaitable[object]]) -> None:
        self.body = body
        super().__init__()

    @step
    async def keep(self, ctx: Context[Cart], ev: StartEvent) -> StopEvent:
        return StopEvent(result=await self.body(ctx))


async def set_within_an_edit(ctx: Context[Cart]) -> None:
    async with ctx.store.edit_state():
        await ctx.store.set("total", 1)


async def edit_within_an_edit(ctx: Context[Cart]) -> None:
    async with ctx.store.edit_state(), ctx.store.edit_state():
        pass


async def enter_twice(ctx: Context[Cart]) -> None:
    block = ctx.store.edit_state()
    async with block:
        pass
    async with block:
        pass


async def call_another_word(ctx: Context[Cart], name: str) -> None:
    getattr(ctx.store, name)


async def enter_without_async(ctx: Context[Cart]) -> None:
    with ctx.store.edit_state():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


async def edit_what_is_too_deep(ctx: Context[Cart]) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    await ctx.store.set("items", nested)
    async with ctx.store.edit_state() as state:
        assert state.items


STORE: list[tuple[Callable[[Context[Cart]], Awaitable[object]], type[BaseException], str]] = [
    (
        set_within_an_edit,
        StateError,
        (
            "ctx.store.set(…) within an edit_state() block of the same step would wait for itself; set it on the "
            "state that the block was given"
        ),
    ),
    (
        edit_within_an_edit,
        StateError,
        (
            "ctx.store.edit_state() within an edit_state() block of the same step would wait for itself; change the "
            "state that the outer block was given"
        ),
    ),
    (
        enter_twice,
        StateError,
        "this edit_state() block was entered before; call ctx.store.edit_state() again",
    ),
    (
        edit_what_is_too_deep,
        StateError,
        (
            "'items' in the state is nested too deep for an edit, which copies it; keep it flat, or as text, or make "
            "it anew and write await ctx.store.set('items', …), which copies nothing below"
        ),
    ),
    (
        enter_without_async,
        TypeError,
        (
            "ctx.store.edit_state() waits for its turn; in an async step write async with ctx.store.edit_state() as "
            "state"
        ),
    ),
    (
        lambda ctx: ctx.store.get("totl"),
        StateError,
        (
            "ctx.store.get('totl'): the state (Cart) has no 'totl', it has: total, items; write "
            "ctx.store.get('totl', None) if it may be missing; did you mean 'total'?"
        ),
    ),
    (
        lambda ctx: ctx.store.get("items.0"),
        StateError,
        (
            "ctx.store.get('items.0'): 'items' (list of 0) has no '0'; write ctx.store.get('items.0', None) if it "
            "may be missing"
        ),
    ),
    (
        lambda ctx: ctx.store.set("totl", 1),
        StateError,
        (
            "ctx.store.set('totl', …): the state (Cart) has no 'totl', it has: total, items; did you mean 'total'?"
        ),
    ),
    (
        lambda ctx: ctx.store.set("total.cents", 1),
        StateError,
        (
            "ctx.store.set('total.cents', …): 'total' is 0, which cannot be written into; set 'total' as a whole"
        ),
    ),
    (
        lambda ctx: ctx.store.get(""),
        StateError,
        (
            "'' is no path; write 'cart.items.0', a tuple of keys if one has a dot, or ctx.store.get_state() for "
            "the whole"
        ),
    ),
    (
        partial(call_another_word, name="set_state"),
        AttributeError,
        (
            "the store has no 'set_state'; write ctx.store.edit_state(), and change the state that the block is "
            "given"
        ),
    ),
    (
        partial(call_another_word, name="to_dict"),
        AttributeError,
        "the store has no 'to_dict'; write ctx.store.get_state()",
    ),
    (
        partial(call_another_word, name="edit_stat"),
        AttributeError,
        "the store has no 'edit_stat'; did you mean 'edit_state'?",
    ),
    (
        partial(call_another_word, name="total"),
        AttributeError,
        "the store has no 'total'; write ctx.store.get('total')",
    ),
]


@pytest.mark.parametrize(("body", "error", "says"), STORE, ids=range(len(STORE)))
async def test_the_store_says_what_to_write(
    body: Callable[[Context[Cart]], Awaitable[object]], error: type[BaseException], says: str
):
    with pytest.raises(error) as caught:
        await Keeping(body).run()
    assert text(caught.value) == says


async def test_a_block_that_edits_the_state_in_a_thread_takes_no_async():
    async def enter(block: Any) -> None:
        async with block:
            pass

    class W(Workflow[object]):
        @step
        def keep(self, ctx: ThreadContext[Cart], ev: StartEvent) -> StopEvent[object]:
            return StopEvent(result=ctx.store.edit_state())

    block = await W().run()
    with pytest.raises(TypeError) as caught:
        await enter(block)
    assert text(caught.value) == (
        "ctx.store.edit_state() in a plain def step blocks its thread alone; write with ctx.store.edit_state() as "
        "state, without async"
    )


async def test_a_write_to_the_state_of_a_run_that_is_over_says_that_it_can_be_read():
    async with Keeping(lambda ctx: ctx.store.get("total")).run() as run:
        await run
    with pytest.raises(RunEndedError) as caught:
        await run.ctx.store.set("total", 1)
    assert text(caught.value) == (
        "the state of a run of Keeping is written too late: the run is over, it had a result; it can still be read"
    )


# -- resources and turns -------------------------------------------------------------------------------------------


async def fails() -> None:
    raise ValueError("no way")


@contextlib.contextmanager
def fails_late() -> Iterator[int]:
    try:
        yield 1
    finally:
        raise ValueError("no way")


@contextlib.asynccontextmanager
async def breaks() -> AsyncGenerator[int]:
    with anyio.move_on_after(1):
        yield 1


@contextlib.asynccontextmanager
async def ends_late() -> AsyncGenerator[int]:
    yield 1
    await anyio.sleep(3)


def uses(need: Any, **options: Any) -> Workflow[Any]:
    """A workflow with a step that asks for it and takes two seconds."""

    class W(Workflow[Any]):
        @step
        async def use(self, ev: StartEvent, it: Any) -> StopEvent:
            await anyio.sleep(2)
            return StopEvent()

        use.__annotations__["it"] = Annotated[Any, need]

    return W(**options)


NOT_ENTERED = (
    "W.use (here) asks for dict, which lives as long as its workflow, and this W was not entered; write async with "
    "W(…) as wf, and run it within that block"
)


@pytest.mark.parametrize(
    ("need", "says"),
    [
        (
            Resource(dict, scope="workflow"),
            [
                NOT_ENTERED,
                "in W.use (here), which handled StartEvent(), attempt 1",
            ],
        ),
        (
            Resource(dict, enter=True),
            [
                "dict gave {}, which cannot be entered; leave out enter=True",
                "while dict was made",
                "in W.use (here), which handled StartEvent(), attempt 1",
            ],
        ),
        (
            Resource(fails),
            [
                "no way",
                "while fails (here) was made",
                "in W.use (here), which handled StartEvent(), attempt 1",
            ],
        ),
        (Resource(fails_late), ["no way", "while fails_late (here) was torn down"]),
        (
            Resource(breaks),
            ["breaks (here) was left while it was in use", "while breaks (here) was in use"],
        ),
    ],
)
async def test_what_is_wrong_with_a_resource_is_told(need: Resource, says: list[str]):
    with pytest.raises(Exception) as caught:
        await uses(need).run()
    assert [text(caught.value), *map(text, caught.value.__notes__)] == says


async def test_a_resource_that_takes_its_time_to_end_is_named(caplog: pytest.LogCaptureFixture):
    await uses(Resource(ends_late), grace=1).run()
    assert [text(record) for record in caplog.records] == [
        "W: after 1 s ends_late (here) has not been torn down; it is waited for"
    ]


async def test_a_block_whose_resource_fails_has_a_note_of_it():
    with pytest.raises(KeyError) as caught:
        async with uses(Resource(fails_late, scope="workflow")) as flow:
            await flow.run()
            raise KeyError
    assert caught.value.__notes__ == ["a resource of W failed too: ValueError('no way')"]
    with pytest.raises(ValueError, match="no way") as failed:
        async with uses(Resource(fails_late, scope="workflow")) as flow:
            await flow.run()
    assert list(map(text, failed.value.__notes__)) == ["while fails_late (here) was torn down"]


async def test_a_workflow_that_was_entered_says_so():
    async with uses(Resource(dict)) as flow:
        with pytest.raises(WorkflowError) as caught:
            await flow.__aenter__()
    assert text(caught.value) == (
        "this W has been entered already; make another, or run it within that block"
    )


async def test_a_run_that_would_wait_for_its_own_ancestor_is_told_so():
    class Deep(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=await self.run())

    with pytest.raises(WorkflowError) as caught:
        await Deep(num_concurrent_runs=1).run()
    assert text(caught.value) == (
        "a run of Deep is nested in another one of the same workflow object, whose num_concurrent_runs are all at "
        "work: it would wait for its own ancestor; raise that number, or make another Deep(…)"
    )


# -- failures ------------------------------------------------------------------------------------------------------


async def test_the_error_of_a_step_comes_out_as_it_was_raised_with_a_note():
    with pytest.raises(ValueError, match="boom") as caught:
        await Calls(lambda ctx, ev: int("boom")).run(topic="tea")
    assert text(caught.value) == "invalid literal for int() with base 10: 'boom'"
    assert [text(note) for note in caught.value.__notes__] == [
        "in Calls.begin (here), which handled StartEvent(topic='tea'), attempt 1"
    ]


async def test_failures_that_follow_are_noted_on_the_first():
    class Both(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(number=1), Ask(number=2)]

        @step
        async def work(self, ev: Ask) -> StopEvent:
            try:
                await anyio.sleep(ev.number)
                raise ValueError("first")
            finally:
                if ev.number == 2:
                    raise KeyError("second")

    with pytest.raises(ValueError, match="first") as caught:
        await Both().run()
    assert [text(note) for note in caught.value.__notes__] == [
        "in Both.work (here), which handled Ask(number=1), attempt 1",
        "while the run was being ended, another step failed: KeyError('second')",
    ]


async def test_a_block_and_its_run_that_both_fail_are_both_told():
    with pytest.raises(OSError, match="mine") as caught:
        async with Calls(lambda ctx, ev: int("boom")).run():
            await anyio.sleep(1)
            raise OSError("mine")
    assert [text(note) for note in caught.value.__notes__] == [
        (
            'the run of Calls that this block was for failed too: ValueError("invalid literal for int() with base 10: '
            "'boom'\")"
        )
    ]


async def test_a_nested_run_that_fails_unheard_says_whose_it_was():
    class Outer(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            run = Calls(lambda ctx, ev: int("boom")).run()
            await anyio.sleep(1)
            return StopEvent(result=run)

    with pytest.raises(ValueError, match="boom") as caught:
        await Outer().run()
    assert [text(note) for note in caught.value.__notes__] == [
        "in Calls.begin (here), which handled StartEvent(), attempt 1",
        "in a run nested in Outer that nobody awaited",
    ]


# -- attempts ------------------------------------------------------------------------------------------------------


NOT_BEFORE_THE_DEADLINE = (
    "not tried again after attempt 1, 0 s after the first one began: the next attempt, 1 s later, would begin at or "
    "after the deadline of the run"
)


class Tried(Workflow[None]):
    """Fails in each of two attempts."""

    retry_policy = RetryPolicy(attempts=2, wait=fixed(1))

    @step(retry_policy=retry_policy, timeout=2)
    async def begin(self, ev: StartEvent) -> StopEvent[None]:
        if ev.how == "late":
            await anyio.sleep(5)
        raise ValueError("no")


@pytest.mark.parametrize(
    ("how", "limit", "says"),
    [
        (
            "wrong",
            9,
            [
                "no",
                "not tried again after attempt 2, 1 s after the first one began: its retry policy gave up",
            ],
        ),
        (
            "wrong",
            1,
            [
                "no",
                NOT_BEFORE_THE_DEADLINE,
            ],
        ),
        (
            "late",
            9,
            [
                "W.begin (here) passed its time limit of 2 s in attempt 2",
                "not tried again after attempt 2, 5 s after the first one began: its retry policy gave up",
            ],
        ),
    ],
)
async def test_a_step_that_is_given_up_says_how_often_it_was_tried(how: str, limit: float, says: list[str]):
    with pytest.raises((ValueError, StepTimeoutError)) as caught:
        await Tried(timeout=limit).run(how=how)
    number = 2 if limit == 9 else 1
    where = f"in Tried.begin (here), which handled StartEvent(how={how!r}), attempt {number}"
    told_of = [text(caught.value), *map(text, caught.value.__notes__)]
    assert told_of == [*(each.replace("W.begin", "Tried.begin") for each in says), where]


@pytest.mark.parametrize(
    ("works", "spent"),
    [
        (1.5, "; 1.5 s of it went into waiting for a turn of Limit(1), which counts"),
        (9, "; what was left of it went into waiting for a turn of Limit(1), which counts"),
        (0, ""),
    ],
)
async def test_a_step_that_waited_for_its_turn_until_it_was_late_is_told_so(works: float, spent: str):
    """It was told as if it had worked all the time."""
    one = Limit(1)

    class Shares(Workflow[None]):
        @step(limiter=one)
        async def hold(self, ev: StartEvent) -> None:
            await anyio.sleep(works)

        @step(limiter=one, timeout=2)
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            await anyio.sleep(1 if works else 3)
            return StopEvent(result=None)

    with pytest.raises(StepTimeoutError) as caught:
        await Shares().run()
    assert text(caught.value) == (f"Shares.begin (here) passed its time limit of 2 s in attempt 1{spent}")


async def test_a_policy_that_breaks_says_whose_it_is():
    class W(Workflow[None]):
        @step(retry_policy=RetryPolicy(on=lambda error: error.no_such))
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            raise ValueError("no")

    with pytest.raises(AttributeError) as caught:
        await W().run()
    assert [text(note) for note in caught.value.__notes__] == [
        "raised by the retry policy of W.begin (here), which was asked about ValueError('no')",
        "in W.begin (here), which handled StartEvent(), attempt 1",
    ]


async def test_a_recovery_that_is_not_to_be_had_or_fails_is_told():
    class W(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent | Ask) -> StopEvent[None]:
            raise ValueError("no")

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> Ask:
            if ev.event.fails:  # pyright: ignore[reportAttributeAccessIssue]
                raise LookupError("nor this")
            return Ask(number=1)

    with pytest.raises(ValueError) as caught:
        await W().run(fails=False)
    assert [text(note) for note in caught.value.__notes__] == [
        "not recovered: W.rescue (here) did so 1 x on the way to this event already",
        "in W.begin (here), which handled Ask(number=1), attempt 1",
    ]
    with pytest.raises(LookupError) as failed:
        await W().run(fails=True)
    assert text(failed.value.__notes__[-1]) == "while it recovered step 'begin' from ValueError('no')"


async def test_what_was_held_back_and_not_sent_says_why(caplog: pytest.LogCaptureFixture):
    class W(Workflow[None]):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | StopEvent[None]:
            ctx.send_event(Ask(number=1))
            await anyio.sleep(5)
            return StopEvent()

        @step
        async def end(self, ev: Ask) -> StopEvent[None]:
            return StopEvent()

    with anyio.move_on_after(1):
        await W().run()
    assert [text(record) for record in caplog.records] == [
        "W: dead letter Ask(number=1): W.begin (here) held it back and was cancelled"
    ]


# -- the handler ---------------------------------------------------------------------------------------------------


class Naps(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent[str]:
        await anyio.sleep(1)
        return StopEvent(result="awake")

    @step
    async def ask(self, ev: HumanResponseEvent) -> InputRequiredEvent: ...


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("is_done", "; write handler.done"),
        ("cancel_run", "; write await handler.cancel()"),
        ("result", "; write await handler"),
        ("exception", "; write handler.failures"),
        ("get_stop_event", "; write await handler, or read its stream_events() to the last"),
        ("stop_event_result", "; write await handler"),
        ("cancelled", "; write handler.done"),
        ("stream_event", "; did you mean 'stream_events'?"),
        ("nothing_of_that_kind", ""),
    ],
)
async def test_another_engines_word_on_a_handler_is_answered_with_ours(name: str, says: str):
    run = Naps().run()
    with pytest.raises(AttributeError) as caught:
        getattr(run, name)
    assert text(caught.value) == f"Handler has no {name!r}{says}"
    await run


@pytest.mark.parametrize(
    ("use", "what"), [(lambda run: run.send_event(Ask()), "send_event"), (lambda run: run.ctx, "ctx")]
)
async def test_a_run_that_has_not_started_says_how_to_start_it(
    use: Callable[[Handler[str]], object], what: str
):
    run = Naps().run()
    with pytest.raises(WorkflowError) as caught:
        use(run)
    assert text(caught.value) == (
        f"{what}: the run of Naps has not started; write async with wf.run(…) as run, or start it with run.start()"
    )
    await run


async def test_a_run_that_is_over_says_that_the_event_came_too_late():
    run = Naps().run()
    await run
    with pytest.raises(RunEndedError) as caught:
        run.send_event(Ask())
    assert text(caught.value) == "Ask(number=0) came too late: the run of Naps is over, it had a result"


async def test_a_cancelled_run_says_by_whom():
    never, begun, left = Naps().run(), Naps().run().start(), Naps().run()
    await never.cancel()
    await begun.cancel()
    with pytest.raises(OSError, match="mine"):
        async with left:
            raise OSError("mine")
    for run, says in [
        (never, "Naps was cancelled before it started"),
        (begun, "Naps was cancelled by its handler"),
        (left, "Naps was cancelled because its block was left by OSError"),
    ]:
        with pytest.raises(WorkflowCancelledError) as caught:
            await run
        assert text(caught.value) == says


@pytest.mark.parametrize(("does", "verb"), [("await", "awaits"), ("cancel", "cancels")])
async def test_a_step_that_would_wait_for_itself_is_told_so(does: str, verb: str):
    runs: list[Handler[Any]] = []

    async def wait(ctx: Context, ev: Event) -> object:
        return await (runs[0] if does == "await" else runs[0].cancel())

    runs.append(Calls(wait).run())
    with pytest.raises(WorkflowError) as caught:
        async with runs[0]:
            pass
    assert text(caught.value) == (
        f"a step of Calls {verb} the run it belongs to, and would wait for itself; return a StopEvent to end the run"
    )


async def test_a_block_that_is_entered_twice_is_told():
    async with Naps().run() as run:
        with pytest.raises(WorkflowError) as caught:
            await run.__aenter__()
    assert text(caught.value) == "this run of Naps has been entered by a block already; make another run"


async def test_a_clean_up_that_starts_a_run_is_told():
    async def starts(ctx: Context, ev: Event) -> None:
        try:
            await anyio.sleep(9)
        finally:
            Naps().run().start()

    with pytest.raises(WorkflowTimeoutError) as caught:
        await Calls(starts, timeout=1).run()
    assert text(caught.value.__cause__) == (
        "a step that is being ended starts a run of Naps, and nothing would wait for it; await it there instead"
    )


@pytest.mark.parametrize(
    ("what", "instead"),
    [("send_event", "run_sync(run.send_event, ev)"), ("cancel", "run(run.cancel)")],
)
async def test_a_run_that_is_used_in_another_thread_says_what_to_write(what: str, instead: str):
    def elsewhere(run: Handler[Any]) -> None:
        if what == "send_event":
            run.send_event(Ask())
        else:
            run.cancel().send(None)

    async with Naps().run() as run:
        with pytest.raises(WorkflowError) as caught:
            await anyio.to_thread.run_sync(elsewhere, run)
    assert text(caught.value) == (
        f"{what} for a run of Naps in another thread; write anyio.from_thread.{instead}"
    )


async def test_a_fault_of_stretto_is_told_as_one():
    """A filter of the user's that raises comes out in the middle of the engine, as no step's doing."""

    def broken(record: logging.LogRecord) -> bool:
        if "is kept" in record.getMessage():
            raise ValueError("filter")
        return True

    class Astray(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Answer | StopEvent:
            return Answer()

    logger = logging.getLogger("stretto")
    logger.addFilter(broken)
    try:
        with pytest.raises(InternalError) as caught:
            await Astray(disable_validation=True).run()
    finally:
        logger.removeFilter(broken)
    assert text(caught.value) == "stretto failed while it ran Astray; please report this"
    assert repr(caught.value.__cause__) == "ValueError('filter')"


class Floods(Workflow[None]):
    @step(num_workers=1)
    async def begin(self, ctx: Context, ev: StartEvent | Ask) -> Ask | StopEvent[None]:
        ctx.send_event(Ask(number=1))
        if isinstance(ev, StartEvent) and ev.waits:
            await ctx.send(Ask(number=2))
        ctx.send_event(Ask(number=3))
        return StopEvent()


@pytest.mark.parametrize(
    ("waits", "says"),
    [
        (
            False,
            (
                "there is no room for Ask(number=3) in the queue of Floods (1 queued, queue_size=1); wait for some "
                "with await ctx.send(…), or await run.send(…)"
            ),
        ),
        (
            True,
            (
                "Floods.begin (here) waits for room for Ask(number=2) in the queue of Floods (1 queued, queue_size=1), "
                "and all steps at work wait for room as well; raise it, give the steps more workers, or return events "
                "in place of sending them"
            ),
        ),
    ],
)
async def test_a_queue_that_is_full_is_told(waits: bool, says: str):
    with pytest.raises(QueueFullError) as caught:
        await Floods(queue_size=1).run(waits=waits)
    assert text(caught.value) == says


class Sheds(Workflow[None]):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask | StopEvent[None]]:
        return [*(Ask(number=number) for number in range(3)), StopEvent()]

    @step(num_workers=1)
    async def work(self, ev: Ask) -> None: ...


@pytest.mark.parametrize(
    ("overflow", "letter"),
    [
        (
            "drop_oldest",
            (
                "Sheds: dead letter Ask(number=1): the queue of Sheds was full (queue_size=1), and it had waited "
                "longest, for Sheds.work (here)"
            ),
        ),
        (
            "drop_newest",
            (
                "Sheds: dead letter Ask(number=2): the queue of Sheds was full (queue_size=1) when it came for "
                "Sheds.work (here)"
            ),
        ),
    ],
)
async def test_what_a_run_drops_is_told(overflow: Any, letter: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "stretto")
    await Sheds(queue_size=1, overflow=overflow).run()
    assert [text(record) for record in caplog.records] == [letter]


class Dawdles(Workflow[None]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent[None]:
        await anyio.sleep(1)
        return StopEvent()


@pytest.mark.parametrize(
    ("most", "says"), [(1, "a run of this Dawdles is at work"), (2, "2 runs of this Dawdles are at work")]
)
async def test_a_run_for_which_there_is_no_place_is_told(most: int, says: str):
    dawdles = Dawdles(num_concurrent_runs=most, run_overflow="fail")
    async with dawdles.run(), dawdles.run() if most > 1 else contextlib.nullcontext():
        with pytest.raises(QueueFullError) as caught:
            await dawdles.run()
    assert text(caught.value) == (
        f"{says}, which is all that num_concurrent_runs={most} lets, and with run_overflow='fail' no other waits; run "
        "it when that is over, raise the number, or write Dawdles(run_overflow='wait')"
    )
    assert caught.value.why == says


async def test_a_run_that_has_given_way_is_told():
    dawdles = Dawdles(num_concurrent_runs=1, run_overflow="cancel_oldest")
    with pytest.raises(WorkflowCancelledError) as caught:
        async with dawdles.run():
            await dawdles.run()
    assert text(caught.value) == (
        "Dawdles was cancelled because a later run of the same Dawdles has taken its place, and it was the oldest of "
        "those that went on (num_concurrent_runs=1, run_overflow='cancel_oldest')"
    )


class Urgent(Workflow[None]):
    @step(priority=lambda ev: 1)
    async def begin(self, ev: StartEvent) -> StopEvent[None]:
        return StopEvent()


async def test_a_run_whose_oldest_would_be_dropped_where_a_step_has_priorities_is_refused():
    with pytest.raises(DefinitionError) as caught:
        await Urgent(queue_size=1, overflow="drop_oldest").run()
    assert text(caught.value) == (
        "Urgent(overflow='drop_oldest') would drop what has waited longest in all of a run, and with the priority= of "
        "Urgent.begin (here) that may be the most urgent; write Urgent(overflow='drop_newest') or 'fail', or give the "
        "other steps a queue_size of their own"
    )


async def test_a_queue_that_is_full_is_told_to_a_step_in_a_thread_in_words_that_help_there():
    """It was told to await ctx.send, which a step in a thread cannot."""

    class Floods(Workflow[None]):
        @step(num_workers=1)
        def begin(self, ctx: ThreadContext, ev: StartEvent | Ask) -> StopEvent[None]:
            ctx.send_event(Ask(number=1))
            ctx.send_event(Ask(number=2))
            return StopEvent()

    with pytest.raises(QueueFullError) as caught:
        await Floods(queue_size=1).run()
    assert text(caught.value) == (
        "there is no room for Ask(number=2) in the queue of Floods (1 queued, queue_size=1); a plain def step cannot "
        "wait for some: return the event, in a list if there are several, which always finds room, or write async def "
        "and await ctx.send(…)"
    )
    assert (
        caught.value.why
        == "there is no room for Ask(number=2) in the queue of Floods (1 queued, queue_size=1)"
    )


class Topical(Event):
    topic: str
    number: int


class Writes(Workflow[None]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
        for number in range(3):
            ctx.write_event_to_stream(Ask(number=number))
        return StopEvent()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"overflow": "drop_oldest"},
            (
                "a reader of the stream (overflow='drop_oldest') was more than stream_buffer=1 events behind; "
                "read faster, raise stream_buffer, or write with await ctx.write(…) and read with "
                "overflow='wait'"
            ),
        ),
        (
            {"overflow": "drop_newest"},
            (
                "a reader of the stream (overflow='drop_newest') had stream_buffer=1 events to read already; read "
                "faster, raise stream_buffer, or write with await ctx.write(…) and read with overflow='wait'"
            ),
        ),
        (
            {"latest": "number"},
            (
                "a reader of the stream (latest='number') was more than stream_buffer=1 events behind; "
                "read faster, raise stream_buffer, or write with await ctx.write(…) and read with "
                "overflow='wait'"
            ),
        ),
        (
            {"latest": "topic"},
            (
                "a reader of the stream (latest='topic') had not read it when a later one of its key came; read "
                "faster, or without latest="
            ),
        ),
    ],
)
async def test_what_a_reader_declares_to_do_without_is_a_dead_letter_with_the_reason(
    options: dict[str, Any], reason: str
):
    class Tells(Writes):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
            for number in range(3):
                ctx.write_event_to_stream(Topical(topic="tea", number=number))
            return StopEvent()

    async with Tells(stream_buffer=1).run() as run:
        stream = run.stream_events(**options)
        await run
        stream.close()
    assert [letter.reason for letter in run.dead_letters] == [reason] * 2


async def test_a_reader_that_would_rather_fail_is_told_how_far_it_is_behind():
    async with Writes(stream_buffer=1).run() as run:
        stream = run.stream_events(overflow="fail")
        await run
        assert await anext(stream) == Ask(number=0)
        with pytest.raises(StreamOverflowError) as caught:
            await anext(stream)
    assert text(caught.value) == (
        "a reader with overflow='fail' was more than stream_buffer=1 events behind, and has missed 3 by "
        "now; read faster, raise stream_buffer, or let it do without some by overflow='drop_newest' or 'drop_oldest'; "
        "where the step may wait, write with await ctx.write(…) and read with overflow='wait'"
    )
    assert caught.value.missed == 3


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (
            {"overflow": "drop_new"},
            ValueError,
            (
                "overflow= is one of 'drop_oldest', 'drop_newest', 'fail', 'wait', not 'drop_new'; did you mean "
                "'drop_newest'?"
            ),
        ),
        (
            {"overflow": True},
            ValueError,
            "overflow= is one of 'drop_oldest', 'drop_newest', 'fail', 'wait', not True",
        ),
        (
            {"overflow": ["fail"]},
            ValueError,
            "overflow= is one of 'drop_oldest', 'drop_newest', 'fail', 'wait', not ['fail']",
        ),
        (
            {"latest": 3},
            TypeError,
            "latest= is the name of a field, as in latest='symbol', not 3",
        ),
        (
            {"latest": "topic", "overflow": "wait"},
            ValueError,
            (
                "latest='topic' keeps one event of each key, and leaves out the oldest if there are more keys than "
                "stream_buffer; it does not go together with overflow='wait': leave out one of the two"
            ),
        ),
    ],
)
async def test_what_is_no_policy_of_a_reader_is_told(
    options: dict[str, Any], error: type[Exception], says: str
):
    async with Writes().run() as run:
        with pytest.raises(error) as caught:
            run.stream_events(**options)
        assert text(caught.value) == says


async def test_collecting_from_outside_is_refused():
    async with Naps().run() as run:
        with pytest.raises(WorkflowError) as caught:
            run.ctx.collect_events(Ask(), [Ask])
        assert text(caught.value) == (
            "collect_events belongs to a step: call it on the Context that the step was given"
        )


@pytest.mark.parametrize("use", [lambda run: run.start(), lambda run: run.stream_events()])
async def test_a_scoped_workflow_refuses_a_run_that_nobody_owns(use: Callable[[Handler[str]], object]):
    run = Naps(scoped_only=True).run()
    with pytest.raises(WorkflowError) as caught:
        use(run)
    assert text(caught.value) == (
        "Naps was made with scoped_only=True: start this run with await wf.run(…) or async with wf.run(…) as run"
    )
    assert await run == "awake"


async def test_a_handler_that_is_never_used_warns_with_the_line_that_made_it():
    with pytest.warns(RuntimeWarning) as caught:
        Naps().run()
        gc.collect()
    assert [text(warning.message) for warning in caught] == [
        (
            "the handler that Naps.run() made at here was never used; write await Naps().run(…) in an async function, "
            "and where a function or a coroutine is wanted anyio.run(Naps().execute), asyncio.run(Naps().execute(…)) "
            "or tg.start_soon(Naps().execute, …)"
        )
    ]


async def test_a_handler_that_is_used_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await Naps().run()
        async with Naps().run():
            pass
        gc.collect()


async def test_runs_awaited_one_after_the_other_are_told_how_to_overlap(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    from stretto import handler

    monkeypatch.setattr(handler, "overlap", type(handler.overlap)())  # it says so once a process
    for _ in range(2):
        one, other = Naps().run(), Naps().run()
        await one
        await other
    assert [text(record) for record in caplog.records if "awaited another" in text(record)] == [
        (
            "a run of Naps had not started while its task awaited another: await a, then await b, runs them in turn; "
            "to let them overlap, start each in a task group: tg.start_soon(wf.execute)"
        )
    ]


async def test_a_run_that_failed_and_was_dropped_unheard_is_logged(caplog: pytest.LogCaptureFixture):
    run = Calls(lambda ctx, ev: int("boom")).run().start()
    await anyio.sleep(1)
    assert run.done
    del run
    gc.collect()
    await anyio.sleep(1)
    assert [(record.levelname, text(record)) for record in caplog.records] == [
        (
            "ERROR",
            (
                'a run of Calls failed and nobody awaited it: ValueError("invalid literal for int() with base 10: '
                "'boom'\")"
            ),
        )
    ]


# -- a loop, or none -----------------------------------------------------------------------------------------------


async def test_run_sync_inside_a_loop_says_what_to_write():
    with pytest.raises(WorkflowError) as caught:
        Naps().run_sync()
    assert (
        text(caught.value)
        == "run_sync starts an event loop, and one runs already here; write await wf.run(…)"
    )


@pytest.mark.parametrize("use", [lambda run: run.start(), lambda run: run.stream_events()])
def test_a_run_started_outside_a_loop_says_what_to_write(use: Callable[[Handler[str]], object]):
    """It came out as `KeyError: 'trio'`, from the search for the loop."""
    run = Naps().run()
    with pytest.raises(WorkflowError) as caught:
        use(run)
    assert text(caught.value) == (
        "no event loop runs here; write await wf.run(…) in an async function, or wf.run_sync(…) in a script"
    )
    with pytest.warns(RuntimeWarning, match="never used"):
        del run, caught  # the traceback has the handler too
        gc.collect()


def test_a_handler_in_place_of_a_coroutine_says_what_is_one():
    """Asyncio shows in its error only what it was given, which said no more than that it had not started."""
    run: Any = asyncio.run
    if sys.version_info >= (3, 14):  # there it takes whatever can be awaited
        assert run(Fine().run()) == 3
        return
    with pytest.raises(ValueError, match="a coroutine was expected") as caught:
        run(Fine().run())
    assert text(caught.value) == (
        "a coroutine was expected, got <Handler of Fine: not started; await it, or write Fine().execute(…), which is "
        "a coroutine>"
    )
    with pytest.warns(RuntimeWarning, match=re.escape("asyncio.run(Fine().execute(…))")):
        del caught
        gc.collect()
    assert asyncio.run(Fine().execute()) == anyio.run(Fine().execute) == 3


# -- how values are shown ------------------------------------------------------------------------------------------


def test_a_value_in_a_message_is_short_and_never_an_error_itself():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    assert shown("x" * 1000) == "'" + "x" * 199 + "…"
    assert shown(Broken()) == "<Broken whose repr raised RuntimeError>"
