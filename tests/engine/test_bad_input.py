"""Wrong values at run time: each is a clear error where it is given, or does what is written here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from stretto import Context, DefinitionError, Event, StartEvent, StopEvent, Workflow, WorkflowError, step

pytestmark = pytest.mark.anyio


class Ask(StartEvent):
    topic: str
    depth: int = 1


class Job(Event):
    number: int


class Other(Event):
    pass


class Typed(Workflow[str]):
    @step
    async def begin(self, ev: Ask) -> StopEvent:
        return StopEvent(result=ev.topic)


class Plain(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result="done")


@pytest.mark.parametrize("timeout", [0, -1, -0.5, math.nan, -math.inf, "10", True, [], object()])
def test_a_timeout_that_is_no_positive_number_is_refused_when_the_workflow_is_made(timeout: Any):
    with pytest.raises(DefinitionError, match="timeout"):
        Plain(timeout=timeout)


@pytest.mark.parametrize("seconds", [None, math.inf, 1, 0.001, 10**9])
async def test_any_positive_timeout_and_none_and_infinity_are_taken(seconds: float | None):
    assert await Plain(timeout=seconds).run() == "done"


@pytest.mark.parametrize("option", ["stream_buffer", "collect_limit"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "8", None, True])
def test_a_size_that_is_no_positive_whole_number_is_refused(option: str, value: Any):
    with pytest.raises(DefinitionError, match=option):
        Plain(**{option: value})


@pytest.mark.parametrize("grace", [-1, math.nan, "5", True])
def test_a_grace_that_is_no_number_of_seconds_is_refused(grace: Any):
    with pytest.raises(DefinitionError, match="grace"):
        Plain(grace=grace)


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="timeuot"):
        Plain(timeuot=3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("workers", [0, -1, True, "4", 2.0, None])
def test_a_number_of_workers_that_is_no_positive_whole_number_is_refused_at_the_step(workers: Any):
    with pytest.raises(DefinitionError, match="num_workers"):

        class Wrong(Workflow[str]):
            @step(num_workers=workers)
            async def begin(self, ev: StartEvent) -> StopEvent:
                return StopEvent()


@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda wf: wf.run(topik="tea"), "topic"),
        (lambda wf: wf.run(), "topic"),
        (lambda wf: wf.run("tea"), "begins with"),
        (lambda wf: wf.run(Ask), "begins with"),
        (lambda wf: wf.run(Job(number=1)), "begins with"),
        (lambda wf: wf.run(StopEvent()), "begins with"),
        (lambda wf: wf.run(Ask(topic="tea"), depth=2), "not both"),
        (lambda wf: wf.run(StartEvent()), "Ask"),
    ],
)
def test_a_wrong_start_is_refused_where_run_is_called(give: Callable[[Workflow[str]], object], says: str):
    with pytest.raises(TypeError, match=says):
        give(Typed())


def test_an_event_takes_its_own_fields_only():
    with pytest.raises(TypeError, match="number"):
        Job()  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="did you mean 'number'"):
        Job(nubmer=1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError):
        Job(1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(AttributeError):
        Job(number=1).number = 2  # pyright: ignore[reportAttributeAccessIssue]


class Tries(Workflow[str]):
    """Calls a function of its Context with something wrong, and goes on."""

    def __init__(self, attempt: Callable[[Context, Job], object], error: type[Exception]) -> None:
        self.attempt, self.error = attempt, error
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> Job:
        return Job(number=1)

    @step
    async def work(self, ctx: Context, ev: Job) -> StopEvent:
        with pytest.raises(self.error):
            self.attempt(ctx, ev)
        return StopEvent(result="went on")

    @step
    async def other(self, ev: Other) -> None:
        raise AssertionError


WRONG: list[tuple[str, Callable[[Any, Job], object], type[Exception]]] = [
    ("no event", lambda ctx, ev: ctx.send_event("text"), TypeError),
    ("an event class", lambda ctx, ev: ctx.send_event(Job), TypeError),
    ("nothing", lambda ctx, ev: ctx.send_event(None), TypeError),
    ("no such step", lambda ctx, ev: ctx.send_event(ev, step="wrok"), ValueError),
    ("a step of another event", lambda ctx, ev: ctx.send_event(ev, step="other"), ValueError),
    ("an event not expected", lambda ctx, ev: ctx.collect_events(ev, [Other]), ValueError),
    ("expected is no list", lambda ctx, ev: ctx.collect_events(ev, Job), WorkflowError),
    ("expected has a value", lambda ctx, ev: ctx.collect_events(ev, [Job, 3]), WorkflowError),
    ("a number to collect", lambda ctx, ev: ctx.collect_events(3, [Job]), WorkflowError),
]


@pytest.mark.parametrize(("attempt", "error"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_a_wrong_call_is_an_error_there_and_changes_nothing(
    attempt: Callable[[Context, Job], object], error: type[Exception]
):
    run = Tries(attempt, error).run()
    assert await run == "went on"
    assert run.leftovers == ()
    assert run.dead_letters == ()


async def test_an_empty_list_expects_nothing_and_stores_nothing():
    class Empty(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            assert ctx.collect_events(ev, []) == []
            return StopEvent(result="done")

    run = Empty().run()
    assert await run == "done"
    assert run.leftovers == ()


async def test_more_than_the_limit_to_collect_is_an_error_of_the_step():
    class Hoard(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(5):
                ctx.send_event(Job(number=number))

        @step(num_workers=1)
        async def gather(self, ctx: Context, ev: Job) -> StopEvent | None:
            ctx.collect_events(ev, [Job] * 9)
            return None

    with pytest.raises(WorkflowError, match="collect_limit") as caught:
        await Hoard(collect_limit=3).run()
    assert "Hoard.gather" in "\n".join(caught.value.__notes__)


async def test_a_field_of_the_wrong_type_is_the_events_own_business():
    """Events check their fields by attrs' validators where they have any; annotations alone check nothing."""
    assert await Typed().run(topic=3) == 3


async def test_a_start_event_whose_converter_fails_fails_where_run_is_called():
    import attrs

    class Strict(StartEvent):
        depth: int = attrs.field(converter=int)

    class Uses(Workflow[int]):
        @step
        async def begin(self, ev: Strict) -> StopEvent:
            return StopEvent(result=ev.depth)

    assert await Uses().run(depth="7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        Uses().run(depth="seven")


async def test_a_broken_repr_hides_no_error():
    class Broken(Event):
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    class BoomError(Exception):
        pass

    class Fails(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Broken:
            ctx.send_event(Unheard())
            return Broken()

        @step
        async def boom(self, ev: Broken) -> StopEvent:
            raise BoomError

    class Unheard(Broken):
        pass

    run = Fails().run()
    with pytest.raises(BoomError):
        await run
    assert len(run.dead_letters) == 1


async def test_a_workflow_that_forgets_to_call_the_constructor_of_its_base_has_the_defaults():
    class Forgets(Workflow[str]):
        def __init__(self) -> None:
            self.topic = "tea"

        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=self.topic)

    assert await Forgets().run() == "tea"


async def test_attributes_may_be_set_before_and_after_the_constructor_of_the_base():
    class Around(Workflow[str]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.before = "a"
            super().__init__(*args, **kwargs)
            self.after = "b"

        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            await anyio.lowlevel.checkpoint()
            return StopEvent(result=self.before + self.after)

    assert await Around(timeout=10, verbose=False).run() == "ab"
    assert await Around(10).run() == "ab"
