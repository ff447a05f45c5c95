"""Odd and wrong input, from what a step returns to what its class looks like: a clear error, or defined behaviour.

`tests/engine/test_bad_input.py` holds what is wrong in options, starts and calls of a Context; the texts themselves are
in `tests/test_messages.py`.
"""

from __future__ import annotations

import decimal
import functools
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn, Optional, TypeVar, Union

import anyio
import attrs
import pytest
import typing_extensions

from stretto import (
    Context,
    DefinitionError,
    Event,
    HumanResponseEvent,
    StartEvent,
    StopEvent,
    UndeclaredEventError,
    Workflow,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class Sub(Job):
    pass


class Other(Event):
    pass


class Hostile:
    """An object that can only be handed on."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    def __bool__(self) -> bool:
        raise RuntimeError("asked whether it is true")

    def __repr__(self) -> str:
        raise RuntimeError("shown")

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


@attrs.frozen
class LikeAStopEvent:
    result: int


async def look_up() -> int:
    return 3


# -- what a step returns -------------------------------------------------------------------------------------------

NO_EVENTS: dict[str, Callable[[], object]] = {
    "a string": lambda: "text",
    "an empty string": lambda: "",
    "a number": lambda: 3,
    "zero": lambda: 0,
    "false": lambda: False,
    "a list": lambda: [1, 2],
    "an empty list": list,
    "a list of events": lambda: [Job()],
    "a tuple of events": lambda: (Job(), Job()),
    "a dictionary": lambda: {"result": 3},
    "an event class": lambda: StopEvent,
    "an exception": lambda: ValueError("not raised"),
    "a function": lambda: look_up,
    "a coroutine": look_up,
    "a generator": lambda: (each for each in (Job(),)),
    "something like an event": lambda: LikeAStopEvent(result=3),
    "not implemented": lambda: NotImplemented,
    "ellipsis": lambda: ...,
}


class InTheLane(Workflow):
    """Steps without a Context: the driver runs them without a task group."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> Job | StopEvent | None:
        return self.make()  # pyright: ignore[reportReturnType]

    @step
    async def work(self, ev: Job) -> StopEvent:
        return StopEvent(result=ev.number)


class InAGroup(InTheLane):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent | None:
        await ctx.sleep(1)
        return self.make()  # pyright: ignore[reportReturnType]


class InAThread(InTheLane):
    @step
    def begin(self, ev: StartEvent) -> Job | StopEvent | None:
        return self.make()  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("workflow", [InTheLane, InAGroup, InAThread])
@pytest.mark.parametrize("make", NO_EVENTS.values(), ids=NO_EVENTS)
async def test_what_is_no_event_is_refused_by_name_whatever_the_step(
    make: Callable[[], object], workflow: type[InTheLane]
):
    made: list[object] = []

    def remember() -> object:
        made.append(make())
        return made[-1]

    run = workflow(remember).run()
    with pytest.raises(UndeclaredEventError, match=r"begin \(test_bad_input.py:\d+\) returned") as caught:
        await run
    assert caught.value.value is made[0]
    assert run.failures == (caught.value,)
    assert run.leftovers == run.dead_letters == ()


@pytest.mark.parametrize("workflow", [InTheLane, InAGroup, InAThread])
@pytest.mark.parametrize("make", [Other, HumanResponseEvent, lambda: StartEvent(again=True)])
async def test_an_event_that_is_not_declared_is_refused(make: Callable[[], Event], workflow: type[InTheLane]):
    with pytest.raises(UndeclaredEventError, match=r"add \w+ to the return annotation") as caught:
        await workflow(make).run()
    assert caught.value.value == make()


@pytest.mark.parametrize("workflow", [InTheLane, InAGroup, InAThread])
async def test_nothing_is_no_event_and_a_run_of_nothing_else_is_stuck_at_once(workflow: type[InTheLane]):
    began = anyio.current_time()
    with pytest.raises(WorkflowStalledError, match="returned nothing"):
        await workflow(lambda: None).run()
    assert anyio.current_time() - began <= 1


@pytest.mark.parametrize("make", [lambda: [Job(), 3], lambda: [Other()], lambda: [[Job()]], lambda: [None]])
async def test_a_list_is_taken_whole_or_not_at_all(make: Callable[[], list[Any]]):
    class Lists(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return make()

        @step
        async def work(self, ev: Job) -> StopEvent:
            raise AssertionError("no element of a list with a wrong one is delivered")

    with pytest.raises(UndeclaredEventError, match="a list with"):
        await Lists().run()


async def test_a_step_that_declares_a_list_may_return_one_event():
    class One(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return Job(number=7)  # pyright: ignore[reportReturnType]

        @step
        async def work(self, ev: Job) -> StopEvent:
            return StopEvent(result=ev.number)

    assert await One().run() == 7


@pytest.mark.parametrize(
    "result", [ValueError("kept"), StopEvent(result=3), [], "", NotImplemented, look_up, Hostile()]
)
async def test_a_result_is_any_object_and_comes_out_as_it_is(result: object):
    assert await InTheLane(lambda: StopEvent(result=result)).run() is result
    async with InAGroup(lambda: StopEvent(result=result)).run() as run:
        assert await run is result


async def test_an_object_that_can_only_be_handed_on_is_handed_on():
    class Passes(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            ctx.send_event(Job(number=ev.payload))
            ctx.write_event_to_stream(Job(number=ev.payload))

        @step
        async def work(self, ctx: Context, ev: Job) -> StopEvent | None:
            assert ctx.collect_events(ev, [Job]) is not None
            return StopEvent(result=ev.number)

    payload = Hostile()
    async with Passes().run(payload=payload) as run:
        assert await run is payload
        assert len([ev async for ev in run.stream_events()]) == 2


async def test_an_object_without_a_repr_is_refused_all_the_same():
    """Its error could not be shown itself: its arguments were shown with it, which asyncio does in the end."""
    with pytest.raises(UndeclaredEventError, match="<Hostile whose repr raised RuntimeError>") as caught:
        await InTheLane(Hostile).run()
    assert "Hostile" in repr(caught.value)


# -- what a step raises --------------------------------------------------------------------------------------------


class Fails(Workflow):
    def __init__(self, make: Callable[[], BaseException]) -> None:
        self.make = make
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise self.make()


class FailsInAThread(Fails):
    @step
    def begin(self, ev: StartEvent) -> StopEvent:
        raise self.make()


class Frozen(Exception):  # noqa: N818
    def __setattr__(self, name: str, value: object) -> None:
        if name == "__notes__":
            raise AttributeError(name)
        super().__setattr__(name, value)


@attrs.frozen
class FrozenByAttrs(Exception):  # noqa: N818
    number: int = 3


@pytest.mark.parametrize("workflow", [Fails, FailsInAThread])
@pytest.mark.parametrize(
    "error",
    [ValueError("x"), StopAsyncIteration("x"), ExceptionGroup("two", [ValueError("x")])],
    ids=repr,
)
async def test_an_exception_comes_out_as_it_was_raised(error: Exception, workflow: type[Fails]):
    with pytest.raises(type(error)) as caught:
        await workflow(lambda: error).run()
    assert caught.value is error
    assert workflow.__name__ in error.__notes__[0]
    del error.__notes__


@pytest.mark.parametrize("workflow", [Fails, FailsInAThread])
@pytest.mark.parametrize("error", [Frozen, FrozenByAttrs])
async def test_an_exception_that_takes_no_notes_comes_out_without_them(
    error: type[Exception], workflow: type[Fails]
):
    """It came out as an InternalError, whose cause was the failure to add a note.

    Frozen attrs classes are of that kind from Python 3.13.
    """
    with pytest.raises(error):
        await workflow(error).run()


@pytest.mark.parametrize("workflow", [Fails, FailsInAThread])
async def test_a_stop_iteration_becomes_a_runtime_error_as_in_any_coroutine(workflow: type[Fails]):
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        await workflow(StopIteration).run()
    assert isinstance(caught.value.__cause__, StopIteration)


# -- signatures ----------------------------------------------------------------------------------------------------

T = TypeVar("T", bound=Event)


def step_with(takes: object, returns: object = StopEvent) -> type[Workflow[Any]]:
    """A workflow whose one step has these annotations."""

    async def begin(self: Workflow[Any], ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev)

    begin.__annotations__ = {"ev": takes, "return": returns}
    return type("Made", (Workflow,), {"begin": step(begin)})


@pytest.mark.parametrize(
    "takes",
    [
        int,
        str,
        "StartEvnt",
        Any,
        object,
        T,
        None,
        Literal["x"],
        type[StartEvent],
        list,
        list[Job | int],
        list[Job] | None | StartEvent,
        StartEvent | int,
        StartEvent(),
    ],
    ids=str,
)
def test_a_parameter_that_no_event_can_fill_is_refused_at_the_definition(takes: object):
    with pytest.raises(DefinitionError, match=r"^Made\.begin \(test_bad_input\.py:\d+\) "):
        step_with(takes)


@pytest.mark.parametrize(
    "returns",
    [
        int,
        str,
        Any,
        object,
        NoReturn,
        list,
        list[int],
        tuple[Job, ...],
        dict[str, Job],
        Job | int,
        Workflow,
        "Jop",
    ],
    ids=str,
)
def test_a_return_annotation_that_is_no_event_is_refused_at_the_definition(returns: object):
    with pytest.raises(DefinitionError, match=r"^Made\.begin \(test_bad_input\.py:\d+\) "):
        step_with(StartEvent, returns)


@pytest.mark.parametrize(
    "takes",
    [StartEvent, "StartEvent", Annotated[StartEvent, "first"], Optional[StartEvent], Union[StartEvent, Job]],  # noqa: UP007, UP045
    ids=str,
)
@pytest.mark.parametrize(
    "returns",
    [StopEvent, "StopEvent | None", StopEvent[int], Union[StopEvent, None, Job], list[StopEvent]],  # noqa: UP007
    ids=str,
)
async def test_every_way_to_write_an_event_or_a_union_is_read(takes: object, returns: object):
    assert isinstance(await step_with(takes, returns)().run(), StartEvent)


def test_a_step_takes_one_context():
    """A run of such a step failed with Python's word on a missing argument."""
    with pytest.raises(DefinitionError, match=r"W\.begin \(.*\) takes two"):

        class W(Workflow):
            @step
            async def begin(self, ctx: Context, ev: StartEvent, other: Context) -> StopEvent: ...


def test_an_event_is_no_variable_argument():
    """A run of such a step failed with Python's word on an unexpected argument."""
    with pytest.raises(DefinitionError, match=r"W\.begin \(.*\)"):

        class W(Workflow):
            @step
            async def begin(self, *ev: StartEvent) -> StopEvent: ...

    with pytest.raises(DefinitionError, match=r"V\.begin \(.*\)"):

        class V(Workflow):
            @step
            async def begin(self, **ev: StartEvent) -> StopEvent: ...


def test_a_class_method_is_no_step():
    """It was called with the workflow for its class."""
    with pytest.raises(DefinitionError, match=r"W\.begin \(.*\).*class"):

        class W(Workflow):
            @step
            @classmethod
            async def begin(cls, ev: StartEvent) -> StopEvent: ...


@pytest.mark.parametrize("name", ["run", "execute", "run_sync", "add_step", "blueprint", "__init__"])
def test_a_step_has_no_name_that_the_workflow_needs(name: str):
    """A step called `run` hid the method, and a run failed with Python's word on a missing argument."""

    async def begin(self: Workflow[Any], ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev)

    begin.__name__ = name
    with pytest.raises(DefinitionError, match=name):
        type("Made", (Workflow,), {name: step(begin)})


async def test_the_order_and_kind_of_parameters_does_not_matter():
    class Odd(Workflow[list[object]]):
        @step
        async def begin(self, ev: StartEvent, ctx: Context, times: int = 3) -> Job:
            return Job(number=times)

        @step
        async def middle(self, *, ctx: Context, ev: Job, **more: object) -> Other:
            assert not more
            assert ev.number == 3
            return Other()

        @staticmethod
        @step
        async def end(ev: Other, *rest: object) -> StopEvent[list[object]]:
            return StopEvent(result=[ev, *rest])

    assert await Odd().run() == [Other()]


@pytest.mark.parametrize(
    "value", [4, "begin", object(), property(lambda self: 3), functools.partial(print), Job, Workflow]
)
def test_a_step_is_a_function(value: Any):
    with pytest.raises(DefinitionError, match="decorates a function"):
        step(value)


@pytest.mark.parametrize("num_workers", [0, -1, True, "4", 1.5, None, [4], 4j])
def test_a_number_of_workers_is_a_whole_number(num_workers: Any):
    with pytest.raises(DefinitionError, match="num_workers is a whole number of at least 1, not"):
        step(num_workers=num_workers)


@pytest.mark.parametrize("flag", [1, 0, "yes", None])
@pytest.mark.parametrize("name", ["accept_event_subclasses", "abandon"])
def test_a_flag_of_a_step_is_true_or_false(name: str, flag: Any):
    with pytest.raises(DefinitionError, match=f"{name} is True or False, not"):
        step(**{name: flag})


# -- classes -------------------------------------------------------------------------------------------------------


async def test_a_step_may_come_from_a_mixin_and_from_two_bases_in_order():
    class Mixin:
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=3)]

    class Base(Mixin, Workflow[int]):
        @step
        async def left(self, ev: Job) -> Other:
            return Other()

    class Twice(Base):
        @step
        async def right(self, ev: Other) -> StopEvent[int]:
            return StopEvent(result=3)

    assert await Twice().run() == 3
    assert [spec.name for spec in Twice.blueprint().specs] == ["begin", "left", "right"]


async def test_a_step_is_left_out_by_none_and_given_back_by_a_subclass():
    class Base(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result="base")

    class Without(Base):
        begin = None  # pyright: ignore[reportAssignmentType]

    class Again(Without):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result="again")

    assert await Base().run() == "base"
    assert await Again().run() == "again"
    with pytest.raises(DefinitionError, match="cannot start"):
        Without().run()


async def test_a_step_may_be_added_between_two_runs_and_subclasses_have_it_too():
    class Base(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Job | StopEvent[str]:
            return Job() if ev.further else StopEvent(result="begin")

    class Derived(Base):
        pass

    assert await Base().run(further=False) == await Derived().run(further=False) == "begin"

    @step(workflow=Base)
    async def work(ev: Job) -> StopEvent[str]:
        return StopEvent(result="work")

    assert await Base().run(further=True) == await Derived().run(further=True) == "work"


async def test_an_annotation_may_be_a_named_alias_of_a_union():
    named: Any = getattr(typing, "TypeAliasType", None) or typing_extensions.TypeAliasType
    both: Any = named("both", Job | Other)  # what `type both = Job | Other` makes since Python 3.12

    class W(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> both:  # pyright: ignore[reportInvalidTypeForm]
            return Other()

        @step
        async def end(self, ev: both) -> StopEvent[int]:  # pyright: ignore[reportInvalidTypeForm]
            return StopEvent(result=3)

    assert await W().run() == 3


async def test_a_step_can_be_called_like_any_method_and_an_attribute_does_not_replace_it():
    class W(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=ev.number)

    workflow = W()
    assert await workflow.begin(StartEvent(number=3)) == StopEvent(result=3)
    workflow.begin = None  # pyright: ignore[reportAttributeAccessIssue]
    assert await workflow.run(number=4) == 4


async def test_a_base_class_in_an_annotation_means_itself_only_until_subclasses_are_asked_for():
    class Exact(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            return Sub()

        @step
        async def work(self, ev: Job) -> StopEvent:
            return StopEvent(result=type(ev))

    class Wide(Exact):
        @step(accept_event_subclasses=True)
        async def work(self, ev: Job) -> StopEvent:
            return StopEvent(result=type(ev))

    with pytest.raises(WorkflowStalledError, match="takes exactly Sub"):
        await Exact().run()
    assert await Wide().run() is Sub


# -- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timeout",
    [decimal.Decimal(3), 3j, "3", b"3", True, False, 0, 0.0, -0.0, -1, float("nan"), -float("inf")],
)
@pytest.mark.parametrize("option", ["timeout", "grace"])
def test_a_time_is_a_number_of_seconds_above_zero(option: str, timeout: Any):
    with pytest.raises(DefinitionError, match=f"{option} is a time in seconds above 0"):
        Workflow(**{option: timeout})


@pytest.mark.parametrize("option", ["timeout", "grace", "stream_buffer"])
def test_a_number_that_the_machine_cannot_hold_is_refused_where_it_is_given(option: str):
    """It was an OverflowError, of the buffer's size only when a run was entered."""
    with pytest.raises(DefinitionError, match=option):
        Workflow(**{option: 10**400})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "seconds", [None, float("inf"), 1e308, 10**300], ids=lambda seconds: f"{seconds}"[:9]
)
async def test_a_time_limit_may_be_as_long_as_one_likes(seconds: float | None):
    workflow = InAGroup(lambda: StopEvent(result="slept"))
    Workflow.__init__(workflow, timeout=seconds)
    assert await workflow.run() == "slept"


async def test_a_time_limit_may_be_as_short_as_one_likes():
    workflow = InAGroup(lambda: StopEvent(result="slept"))
    Workflow.__init__(workflow, timeout=1e-6)
    with pytest.raises(WorkflowTimeoutError, match="timed out after 1e-06 s"):
        await workflow.run()


@pytest.mark.parametrize("seconds", [-1, "3", None, float("nan")])
async def test_a_sleep_that_is_no_time_is_an_error_of_the_step(seconds: Any):
    class Sleeps(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.sleep(seconds)
            return StopEvent()

    with pytest.raises((TypeError, ValueError)):
        await Sleeps().run()


@pytest.mark.parametrize("size", [0, -1, 1.5, "3", None, True])
@pytest.mark.parametrize("option", ["stream_buffer", "collect_limit"])
def test_a_size_is_a_whole_number(option: str, size: Any):
    with pytest.raises(DefinitionError, match=f"{option} is a whole number of at least 1"):
        Workflow(**{option: size})


# -- events --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["cls", "name", "external", "class", "__init__", "__class__", "two words", "result", "ev", "backend", ""],
)
async def test_a_bare_start_event_takes_any_name_for_a_field(name: str):
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=ev)

    assert vars(await W().run(**{name: 3})) == {name: 3}  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["start_event", "ctx"])
async def test_a_field_called_like_a_parameter_of_run_is_passed_in_a_start_event(name: str):
    class W(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=getattr(ev, name))

    with pytest.raises((TypeError, DefinitionError)):
        W().run(**{name: 3})  # pyright: ignore[reportArgumentType]
    assert await W().run(StartEvent(**{name: 3})) == 3


def test_the_fields_of_an_event_are_those_of_attrs():
    class Full(Event):
        count: int = attrs.field(converter=int)
        words: list[str] = attrs.field(factory=list[str])
        small: int = attrs.field(default=1, validator=attrs.validators.lt(10))
        spelt: int = attrs.field(default=2, alias="speled")
        made: int = attrs.field(init=False, default=5)

    event = Full(count="3", speled=4)
    assert (event.count, event.words, event.small, event.spelt, event.made) == (3, [], 1, 4, 5)
    assert Full(count=1).words is not Full(count=1).words
    with pytest.raises(ValueError, match="'small' must be < 10"):
        Full(count=1, small=10)
    with pytest.raises(TypeError, match="Full takes no 'made'"):
        Full(count=1, made=3)  # pyright: ignore[reportCallIssue]
    with pytest.raises(
        TypeError, match="Full takes no 'spelt', it takes: count, words, small, speled; did you mean 'speled'"
    ):
        Full(count=1, spelt=3)  # pyright: ignore[reportCallIssue]
    assert attrs.evolve(event, count=7).count == 7


def test_an_event_class_may_have_an_init_of_its_own():
    class Twice(Event):
        number: int

        def __init__(self, number: int) -> None:
            self.__attrs_init__(number=number * 2)  # pyright: ignore[reportAttributeAccessIssue]

    assert Twice(3).number == 6


def test_equality_is_by_value_and_by_exact_class():
    assert Job(number=1) == Job(number=1)
    assert Job(number=1) != Job(number=2)
    assert Job() != Sub()
    assert Job() != StartEvent(number=0)
    assert len({Job(), Job(), Sub(), StartEvent(number=0), StartEvent(number=0)}) == 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(StartEvent(payload=[]))


def test_an_event_shows_all_that_it_holds():
    assert repr(StartEvent(topic="tea", number=3)) == "StartEvent(topic='tea', number=3)"
    assert repr(Job(number=3)) == "Job(number=3)"
    assert str(StopEvent("done", took=2)) == "StopEvent(result='done', took=2)"


# -- the handler ---------------------------------------------------------------------------------------------------


async def test_a_handler_may_be_used_again_in_every_way_once_its_run_is_over():
    run = InTheLane(lambda: StopEvent(result=3)).run()
    assert await run == 3
    assert await run == 3
    async with run as same:
        assert same is run
        assert await same == 3
    assert run.start() is run
    await run.cancel()
    assert await run == 3
    assert [type(ev) async for ev in run.stream_events()] == [StopEvent]
    assert run.done


@pytest.mark.parametrize(
    "event", ["text", None, 3, Job, Hostile()], ids=["text", "None", "3", "Job", "hostile"]
)
async def test_what_is_no_event_is_refused_from_outside_too(event: Any):
    class Waits(Workflow):
        @step
        async def begin(self, ev: StartEvent | HumanResponseEvent) -> StopEvent | None:
            return StopEvent(result=3) if isinstance(ev, HumanResponseEvent) else None

    async with Waits().run() as run:
        for send in (run.send_event, run.ctx.send_event):
            with pytest.raises(TypeError, match="send_event takes an event, not"):
                send(event)
        with pytest.raises(TypeError, match="the stream of a run takes an event"):
            run.ctx.write_event_to_stream(event)
        with pytest.raises(WorkflowError, match="has no step 'bgin'"):
            run.send_event(HumanResponseEvent(), step="bgin")
        run.send_event(HumanResponseEvent())
        assert await run == 3
    assert run.leftovers == run.dead_letters == ()
