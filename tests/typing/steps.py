"""What type checkers know of steps: `@step` changes nothing about the method, and its body must keep its word."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from stretto import Context, Event, RetryPolicy, StartEvent, StopEvent, Workflow, catch_error, step
from stretto.events import StepFailedEvent
from stretto.retry import Attempt, after_attempts, after_seconds, fixed, jittered, retry_if


class Ask(Event):
    number: int


class Answer(Event):
    text: str


class Steps(Workflow[int]):
    @step
    async def bare(self, ev: StartEvent) -> Ask | None:
        return Ask(number=1) if ev.wanted else None

    @step(num_workers=2, accept_event_subclasses=True)
    async def with_options(self, ctx: Context, ev: Ask) -> list[Answer] | Answer:
        return [Answer(text="a")] * ev.number

    @step(
        retry_policy=RetryPolicy(on=(OSError, ValueError)) | RetryPolicy(on=KeyError),
        timeout=3,
        emit="on_success",
    )
    async def tried(self, ctx: Context, ev: Ask) -> Answer:
        assert_type(ctx.attempt, Attempt)
        assert_type(ctx.attempt.error, Exception | None)
        return Answer(text=str(ctx.attempt.number))

    @step(retry_policy=RetryPolicy(on=lambda error: error.errno == 2, wait=fixed(1) + jittered()))
    async def asks(self, ev: Ask) -> Answer:
        return Answer(text="a")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> Answer:
        assert_type(ev.exception, Exception)
        return Answer(text=ev.step)

    @catch_error(for_steps=["asks"], max_recoveries=2)
    def rescue_in_a_thread(self, ctx: Context, ev: StepFailedEvent) -> Answer:
        return Answer(text=ev.step)

    @step
    def in_a_thread(self, ev: Answer) -> StopEvent[int]:
        return StopEvent(result=len(ev.text))

    @step(abandon=True)
    def abandoned(self, ctx: Context, ev: Answer) -> Ask:
        assert_type(ctx.check_cancelled(), None)
        return Ask(number=len(ev.text))


@step(workflow=Steps)
async def unbound(ev: StartEvent) -> StopEvent[int]:
    return StopEvent(result=ev.number)


async def a_step_keeps_the_type_of_its_method(steps: Steps, ctx: Context) -> None:
    assert_type(await steps.tried(ctx, Ask(number=1)), Answer)
    assert_type(
        await steps.rescue(
            StepFailedEvent(step="a", event=Ask(number=1), exception=KeyError(), attempts=1, elapsed=0.0)
        ),
        Answer,
    )
    RetryPolicy(stop=after_attempts(3) | after_seconds(9), on=retry_if(OSError) & retry_if(ValueError))
    assert_type(await steps.bare(StartEvent()), Ask | None)
    assert_type(await steps.with_options(ctx, Ask(number=1)), list[Answer] | Answer)
    assert_type(steps.in_a_thread(Answer(text="a")), StopEvent[int])
    typed: Callable[[StartEvent], Coroutine[Any, Any, StopEvent[int]]] = unbound
    await steps.bare(Ask(number=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    print(typed)


class BreaksItsWord(Workflow[int]):
    @step
    async def wrong_event(self, ev: StartEvent) -> Ask:
        return Answer(text="a")  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    @step
    async def forgotten(self, ev: Ask) -> Answer:  # type: ignore[return]  # pyright: ignore[reportReturnType]
        self.counted = ev.number

    @step
    async def wrong_result(self, ev: Answer) -> StopEvent[int]:
        return StopEvent(result=ev.text)  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]


step(num_workers="4")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step(abandon="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step(nun_workers=4)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def a_context_knows_what_it_is_given(ctx: Context, ev: Ask, other: Ask | Answer) -> None:
    assert_type(ctx.collect_events(ev, [Ask] * 3), list[Ask] | None)
    assert_type(ctx.collect_events(other, [Ask, Answer]), list[Ask | Answer] | None)
    assert_type(ctx.collect_events(ev, [Ask], buffer_id="b"), list[Ask] | None)
    assert_type(ctx.run_id, str)
    assert_type(ctx.remaining, float | None)
    ctx.send_event(ev)
    ctx.send_event(ev, step="with_options")
    ctx.write_event_to_stream(ev)
    await ctx.sleep(0.5)


def a_context_takes_events(ctx: Context, ev: Ask) -> None:
    ctx.send_event("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.send_event(Ask)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.collect_events(ev, Ask)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.collect_events(ev, [Ask(number=1)])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
