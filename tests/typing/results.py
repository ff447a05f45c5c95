"""What type checkers know of a run: its result, its stream, its handler.

These files are read by mypy and pyright in their strict modes and never run. A line that must be an error carries an
ignore comment of both; if it ever passes, the comment is unused, which is an error too.
"""

from __future__ import annotations

from typing import Any, assert_type

import stretto
from stretto import Context, Event, Handler, StartEvent, StopEvent, Workflow, step


class Ask(StartEvent):
    topic: str


class Verdict(StopEvent[Any]):
    good: bool


class Counts(Workflow[int]):
    @step
    async def begin(self, ev: Ask) -> StopEvent[int]:
        return StopEvent(result=len(ev.topic))


class Judges(Workflow[Verdict]):
    @step
    async def begin(self, ev: Ask) -> Verdict:
        return Verdict(good=True)


class Untyped(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.anything)


class Wraps(Workflow[str | None]):
    async def helper(self) -> int:
        return await Counts().run(topic="tea")


async def awaiting_a_run_gives_its_result() -> None:
    assert_type(await Counts().run(topic="tea"), int)
    assert_type(await Counts().run(Ask(topic="tea")), int)
    assert_type(await Judges().run(topic="tea"), Verdict)
    assert_type(await Wraps().run(), str | None)
    assert_type(await Untyped().run(payload=1), Any)
    assert_type((await Judges().run(topic="tea")).good, bool)


async def entering_a_run_gives_its_handler() -> None:
    async with Counts().run(topic="tea") as run:
        assert_type(run, Handler[int])
        async for ev in run.stream_events():
            assert_type(ev, Event)
        assert_type(await run, int)
        assert_type(run.run_id, str)
        assert_type(run.done, bool)
        assert_type(run.ctx, Context)
        assert_type(run.leftovers, tuple[Event, ...])
        assert_type(run.failures, tuple[BaseException, ...])
        await run.cancel()


async def a_handler_is_what_run_gives() -> None:
    run = Counts().run(topic="tea")
    assert_type(run, Handler[int])
    assert_type(run.start(), Handler[int])
    stream = run.stream_events(expose_internal=True)
    assert_type([ev async for ev in stream], list[Event])


async def the_twins_of_run_give_the_same() -> None:
    assert_type(Counts().run_sync(topic="tea", backend="trio"), int)
    assert_type(await Counts().execute(topic="tea"), int)
    assert_type(Untyped().run_sync(), Any)


async def what_is_not_an_int_is_no_int() -> None:
    text: str = await Counts().run(topic="tea")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    run: Handler[str] = Counts().run(topic="tea")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(text, run)


async def a_start_event_is_a_start_event() -> None:
    await Counts().run("tea")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Counts().run(ctx=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Counts(timeout="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Counts(timeuot=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def errors_carry_what_happened(error: stretto.WorkflowTimeoutError) -> None:
    assert_type(error.timeout, float)
    assert_type(error.active, dict[str, tuple[int, float]])
    assert_type(error.queued, dict[str, int])
