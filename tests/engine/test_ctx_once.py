"""`ctx.once`: an effect happens once in a run, also if its step runs again, fails, or is asked for by several."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    RetryPolicy,
    StartEvent,
    StopEvent,
    ThreadContext,
    Workflow,
    WorkflowError,
    step,
)
from stretto.retry import no_wait

pytestmark = pytest.mark.anyio

Body = Callable[..., Any]


class Job(Event):
    n: int


class Done(Event):
    value: object


def workflow(body: Body, **options: Any) -> Workflow[Any]:
    class One(Workflow[Any]):
        @step(**options)
        async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=await body(ctx))

    return One()


def many(body: Body, count: int = 3, **options: Any) -> Workflow[list[Any]]:
    """So many deliveries of one step at once; what each gives, in order."""

    class Many(Workflow[list[Any]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(count)]

        @step(num_workers=9, **options)
        async def work(self, ctx: Context, ev: Job) -> Done:
            return Done(value=await body(ctx, ev.n))

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[list[Any]] | None:
            done = ctx.collect_events(ev, [Done] * count)
            return StopEvent(result=[each.value for each in done]) if done else None

    return Many()


async def test_the_effect_happens_once_and_gives_what_it_gave():
    calls: list[str] = []

    async def charge() -> int:
        await anyio.sleep(1)
        calls.append("charged")
        return len(calls)

    async def body(ctx: Context) -> list[int]:
        return [await ctx.once("charge", charge), await ctx.once("charge", charge)]

    assert await workflow(body).run() == [1, 1]


async def test_a_plain_function_will_do_and_what_it_gives_may_be_nothing():
    calls: list[int] = []

    async def body(ctx: Context) -> list[Any]:
        return [await ctx.once("note", lambda: calls.append(1)) for _ in range(3)]

    assert await workflow(body).run() == [None] * 3
    assert calls == [1]


async def test_other_keys_and_other_runs_have_effects_of_their_own():
    calls: list[str] = []

    async def body(ctx: Context) -> None:
        for key in "ab":
            await ctx.once(key, lambda key=key: calls.append(key))

    made = workflow(body)
    await made.run()
    await made.run()
    assert calls == ["a", "b", "a", "b"]


async def test_who_asks_at_the_same_time_waits_for_the_one_call():
    calls: list[int] = []

    async def body(ctx: Context, n: int) -> int:
        async def effect() -> int:
            calls.append(n)
            await anyio.sleep(2)
            return n

        return await ctx.once("effect", effect)

    began = anyio.current_time()
    values = await many(body).run()
    assert values == calls * 3
    assert len(calls) == 1
    assert anyio.current_time() - began == 2


async def test_keys_do_not_wait_for_one_another():
    async def body(ctx: Context, n: int) -> int:
        async def effect() -> int:
            await anyio.sleep(2)
            return n

        return await ctx.once(f"effect {n}", effect)

    began = anyio.current_time()
    assert sorted(await many(body).run()) == [0, 1, 2]
    assert anyio.current_time() - began == 2


async def test_what_failed_is_not_remembered_and_the_next_in_line_tries():
    calls: list[int] = []

    async def body(ctx: Context, n: int) -> str:
        async def effect() -> str:
            calls.append(n)
            await anyio.sleep(1)
            if len(calls) < 3:
                raise ConnectionError("no route")
            return f"by call {len(calls)}"

        try:
            return await ctx.once("effect", effect)
        except ConnectionError:
            return "failed"

    values = await many(body, 4).run()
    assert sorted(values) == ["by call 3", "by call 3", "failed", "failed"]
    assert len(calls) == 3


async def test_a_failed_attempt_does_not_repeat_what_it_had_done():
    calls: list[int] = []

    async def body(ctx: Context) -> list[int]:
        value = await ctx.once("charge", lambda: calls.append(1) or len(calls))
        if ctx.attempt.number < 3:
            raise ConnectionError
        return [value, ctx.attempt.number]

    assert await workflow(body, retry_policy=RetryPolicy(attempts=3, wait=no_wait())).run() == [1, 3]
    assert calls == [1]


async def test_who_is_cancelled_in_its_effect_gives_its_turn_to_the_next():
    calls: list[int] = []

    async def body(ctx: Context, n: int) -> str:
        async def effect() -> str:
            calls.append(n)
            await anyio.sleep(2)
            return "done"

        await ctx.sleep(n / 10)
        with anyio.move_on_after([1, 0.5, None][n]):
            return await ctx.once("effect", effect)
        return "cancelled"

    assert sorted(await many(body).run()) == ["cancelled", "cancelled", "done"]
    assert calls == [0, 2]  # the second gave up while it waited


async def test_tasks_of_one_step_wait_for_one_another():
    calls: list[int] = []

    async def body(ctx: Context) -> int:
        async def effect() -> None:
            await anyio.sleep(1)
            calls.append(1)

        async with anyio.create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(ctx.once, "effect", effect)
        return len(calls)

    assert await workflow(body).run() == 1


async def test_what_would_wait_for_itself_is_told():
    async def body(ctx: Context) -> None:
        async def outer() -> None:
            await ctx.once("other", lambda: None)
            await ctx.once("key", lambda: None)

        await ctx.once("key", outer)

    with pytest.raises(WorkflowError, match="within the effect of that key would wait for itself"):
        await workflow(body).run()


async def test_a_step_that_handles_what_was_sent_within_an_effect_may_ask_for_the_same_key():
    class Sending(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> None:
            async def effect() -> str:
                ctx.send_event(Job(n=1))
                await ctx.sleep(1)
                return "theirs"

            await ctx.once("key", effect)

        @step
        async def work(self, ctx: Context, ev: Job) -> StopEvent[str]:
            return StopEvent(result=await ctx.once("key", lambda: "mine"))

    assert await Sending().run() == "theirs"


@pytest.mark.parametrize(
    ("key", "fn", "says"),
    [
        (3, print, "once takes a text as its key, as in ctx.once('charge', charge), not 3"),
        (
            "key",
            "charge",
            "once takes a function, which it calls once at most, not 'charge'; write ctx.once('key', lambda: …)",
        ),
    ],
)
async def test_what_makes_no_sense_is_told(key: Any, fn: Any, says: str):
    async def body(ctx: Context) -> None:
        await ctx.once(key, fn)

    with pytest.raises(TypeError) as caught:
        await workflow(body).run()
    assert str(caught.value) == says


async def test_it_is_not_for_who_is_outside():
    async def body(ctx: Context) -> None: ...

    async with workflow(body).run() as run:
        with pytest.raises(
            WorkflowError, match="once belongs to a step: call it on the Context that the step"
        ):
            await run.ctx.once("key", print)


# -- in a thread -----------------------------------------------------------------------------------------------


def in_threads(body: Body, count: int = 1) -> Workflow[list[Any]]:
    class Threads(Workflow[list[Any]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(n=n) for n in range(count)]

        @step(num_workers=9)
        def work(self, ctx: ThreadContext, ev: Job) -> Done:
            return Done(value=body(ctx))

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[list[Any]] | None:
            done = ctx.collect_events(ev, [Done] * count)
            return StopEvent(result=[each.value for each in done]) if done else None

    return Threads()


async def test_a_step_in_a_thread_calls_its_effect_there(real_time: None):
    calls: list[int] = []

    def effect() -> int:
        time.sleep(0.05)  # a step in a thread may block
        calls.append(1)
        return len(calls)

    assert await in_threads(lambda ctx: ctx.once("effect", effect), 3).run() == [1, 1, 1]
    assert calls == [1]


async def test_an_effect_in_a_thread_that_fails_is_not_remembered(real_time: None):
    def body(ctx: Any) -> list[Any]:
        def broken() -> int:
            raise ConnectionError

        with pytest.raises(ConnectionError):
            ctx.once("effect", broken)
        with pytest.raises(WorkflowError, match="would wait for itself"):
            ctx.once("outer", lambda: ctx.once("outer", broken))
        return [ctx.once("effect", lambda: "done"), ctx.once("effect", broken)]

    assert await in_threads(body).run() == [["done", "done"]]


async def test_an_effect_that_outlives_its_step_is_remembered_for_the_next_attempt(real_time: None):
    calls: list[int] = []

    class Slow(Workflow[list[int]]):
        @step(abandon=True, timeout=0.2, retry_policy=RetryPolicy(attempts=9, wait=no_wait()))
        def work(self, ctx: ThreadContext, ev: StartEvent) -> StopEvent[list[int]]:
            def effect() -> int:
                time.sleep(0.5)
                calls.append(1)
                return len(calls)

            return StopEvent(result=[ctx.once("effect", effect), ctx.attempt.number])

    value, attempt = await Slow().run()
    assert value == 1
    assert attempt > 1
    assert calls == [1]


# -- after a restart -------------------------------------------------------------------------------------------


async def test_what_it_gave_is_given_again_when_its_step_runs_again_elsewhere():
    calls: list[str] = []

    class Paying(Workflow[list[Any]]):
        @step
        async def pay(self, ctx: Context, ev: StartEvent) -> StopEvent[list[Any]]:
            async def charge(what: str) -> Job:
                calls.append(what)
                return Job(n=len(calls))

            first = await ctx.once("first", lambda: charge("first"))
            await ctx.sleep(1)
            second = await ctx.once("second", lambda: charge("second"))
            return StopEvent(result=[first, second])

    async with Paying().run() as run:
        await anyio.sleep(0.5)
        data = json.dumps(run.ctx.to_dict())
        await run.cancel()
    assert json.loads(data)["once"] == {"first": {"$type": "Job", "fields": {"n": 1}}}
    result = await Paying().run(ctx=Context.from_dict(Paying(), json.loads(data)))
    assert result == [Job(n=1), Job(n=2)]
    assert calls == ["first", "second"]
