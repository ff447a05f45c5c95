"""A run that is written at any moment goes on elsewhere as if it had never stopped."""

from __future__ import annotations

import json
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pydantic
import pytest

import stretto.events
from stretto import (
    Context,
    Event,
    Handler,
    HumanResponseEvent,
    InputRequiredEvent,
    RetryPolicy,
    SnapshotError,
    StartEvent,
    StopEvent,
    ThreadContext,
    Workflow,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    catch_error,
    step,
)
from stretto.errors import RestoredError
from stretto.events import StepFailedEvent
from stretto.retry import fixed

pytestmark = pytest.mark.anyio

seen: list[str] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


class Ask(Event):
    n: int


class Answer(Event):
    n: int


class Reply(HumanResponseEvent):
    n: int


class Poll(Workflow[int]):
    """Asks six, two at once, a second each; the sum comes after three."""

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(n=n) for n in range(6)]

    @step(num_workers=2)
    async def ask(self, ctx: Context, ev: Ask) -> Answer:
        await ctx.sleep(1)
        seen.append(f"ask {ev.n}")
        return Answer(n=10 * ev.n)

    @step
    async def add(self, ctx: Context, ev: Answer) -> StopEvent[int] | None:
        answers = ctx.collect_events(ev, [Answer] * 6)
        return StopEvent(result=sum(answer.n for answer in answers)) if answers else None


async def cut(run: Handler[Any], after: float) -> str:
    """The snapshot of a run after some seconds, when it is cut off; as text."""
    async with run:
        await anyio.sleep(after)
        data = json.dumps(run.ctx.to_dict(), allow_nan=False)
        await run.cancel()
    return data


def again(workflow: Workflow[Any], data: str) -> Handler[Any]:
    return workflow.run(ctx=Context.from_dict(workflow, json.loads(data)))


@pytest.mark.parametrize("after", [0.0, 0.5, 1.5, 2.5])
async def test_a_run_that_is_cut_at_any_moment_comes_to_what_it_would_have(after: float):
    data = await cut(Poll().run(), after)
    began = anyio.current_time()
    assert await again(Poll(), data) == 150
    assert anyio.current_time() - began == pytest.approx(3 - int(after))
    assert len(seen) == 6


async def test_a_run_may_be_cut_again_and_again():
    data = await cut(Poll().run(), 1.5)
    data = await cut(again(Poll(), data), 1.5)
    assert await again(Poll(), data) == 150


async def test_a_snapshot_may_be_gone_on_with_more_than_once_and_shares_nothing():
    data = json.loads(await cut(Poll().run(), 1.5))
    ctx = Context.from_dict(Poll, data)
    assert [await Poll().run(ctx=ctx), await Poll().run(ctx=ctx)] == [150, 150]


async def test_a_run_goes_on_under_its_own_name_in_all_its_forms():
    run = Poll().run()
    data = await cut(run, 1.5)
    ctx = Context.from_dict(Poll(), json.loads(data))
    assert ctx.run_id == run.run_id
    async with Poll().run(ctx=ctx) as other:
        events = [type(ev).__name__ async for ev in other.stream_events()]
        assert other.run_id == run.run_id
    assert events == ["StopEvent"]
    handler = Poll().run(ctx=ctx).start()
    assert await handler == 150


async def test_a_step_may_write_its_own_run_and_is_at_work_in_it():
    class Noting(Workflow[str]):
        @step
        async def note(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            seen.append(json.dumps(ctx.to_dict()))
            return StopEvent(result=ev.name)

    assert await Noting().run(name="Ada") == "Ada"
    data = json.loads(seen[0])
    assert data["active"] == [{"step": "note", "event": 0}]
    assert data["events"] == [{"$type": "StartEvent", "fields": {"name": "Ada"}}]
    assert await again(Noting(), seen[0]) == "Ada"


async def test_a_step_in_a_thread_may_too(real_time: None):
    class Noting(Workflow[str]):
        @step
        def note(self, ctx: ThreadContext, ev: StartEvent) -> StopEvent[str]:
            seen.append(json.dumps(ctx.to_dict()))
            return StopEvent(result="done")

    await Noting().run()
    assert await again(Noting(), seen[0]) == "done"


# -- time ------------------------------------------------------------------------------------------------------


async def test_the_time_that_is_left_is_the_time_that_was_left():
    class Long(Workflow[int]):
        @step
        async def rest(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            await anyio.sleep(8)
            return StopEvent(result=1)

    data = await cut(Long(timeout=10).run(), 4)
    await anyio.sleep(100)
    began = anyio.current_time()
    with pytest.raises(
        WorkflowTimeoutError, match=r"^Long timed out after 10 s; active: Long.rest .* for 6 s$"
    ):
        await again(Long(timeout=1000), data)
    assert anyio.current_time() - began == 6


async def test_a_run_without_a_limit_has_none_when_it_goes_on():
    data = await cut(Poll(timeout=None).run(), 1.5)
    assert json.loads(data)["left"] is None
    assert await again(Poll(timeout=0.1), data) == 150


async def test_a_retry_keeps_its_number_and_what_is_left_of_its_wait():
    class Flaky(Workflow[int]):
        @step(retry_policy=RetryPolicy(attempts=3, wait=fixed(10)))
        async def work(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            attempt = ctx.attempt
            seen.append(f"{attempt.number} after {attempt.elapsed}: {attempt.error!r}")
            if attempt.number < 3:
                raise ConnectionError("no route")
            return StopEvent(result=attempt.number)

    data = await cut(Flaky().run(), 4)
    assert (
        json.loads(data)["retrying"]
        == [
            {
                "left": 6.0,
                "step": "work",
                "event": 0,
                "attempt": 1,
                "age": 4.0,
                "error": {"$": "error", "type": "ConnectionError", "of": "no route"},
            }
        ]
        or json.loads(data)["retrying"][0]["left"] == 6.0
    )
    began = anyio.current_time()
    assert await again(Flaky(), data) == 3
    assert anyio.current_time() - began == pytest.approx(16)
    assert seen == [
        "1 after 0.0: None",
        "2 after 10.0: RestoredError('no route')",
        "3 after 20.0: ConnectionError('no route')",
    ]


async def test_a_retry_that_nobody_waits_for_any_more_leaves_nothing_behind():
    class Flaky(Workflow[int]):
        @step(retry_policy=RetryPolicy(attempts=3, wait=fixed(10)))
        async def work(self, ev: StartEvent) -> StopEvent[int]:
            raise ConnectionError("no route")

    data = await cut(Flaky().run(), 4)
    handler = again(Flaky(), data)
    await handler.cancel()
    with pytest.raises(WorkflowError):
        await handler


async def test_what_a_handler_recovers_from_is_its_name_and_its_text():
    class Recovering(Workflow[str]):
        @step
        async def work(self, ev: StartEvent) -> StopEvent[str]:
            raise ConnectionError("no route")

        @catch_error
        async def rescue(self, ctx: Context, ev: StepFailedEvent) -> StopEvent[str]:
            await ctx.sleep(1)
            assert isinstance(ev.exception, (RestoredError, ConnectionError))
            return StopEvent(result=f"{type(ev.exception).__name__} {ev.exception} {vars(ev.event)['topic']}")

    data = await cut(Recovering().run(topic="tea"), 0.5)
    assert await again(Recovering(), data) == "RestoredError no route tea"


# -- which classes are known ------------------------------------------------------------------------------------


class AskTwice(Ask):
    pass


class AskThrice(AskTwice):
    pass


async def test_subclasses_of_what_a_step_takes_are_known_and_so_is_what_stands_in_a_module_that_it_names():
    class Taking(Workflow[str]):
        @step(accept_event_subclasses=True)
        async def take(self, ctx: Context, ev: Ask) -> StopEvent[str]:
            await ctx.sleep(1)
            return StopEvent(result=f"{ev} {await ctx.once('moment', lambda: None)}")

        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask:
            await ctx.once("error", lambda: stretto.events.StreamGap(missed=3))
            return kinds[0](n=1)

    kinds = [AskThrice]
    data = await cut(Taking().run(), 0.5)
    assert [each["$type"] for each in json.loads(data)["events"]] == ["AskThrice"]
    assert json.loads(data)["once"]["error"]["$type"] == "StreamGap"
    assert await again(Taking(), data) == "AskThrice(n=1) None"


# -- the state -------------------------------------------------------------------------------------------------


@attrs.define
class Basket:
    items: list[str] = attrs.Factory(list)


class Model(pydantic.BaseModel):
    items: list[str] = []


@pytest.mark.parametrize("kind", [Basket, Model])
async def test_the_state_goes_on_as_it_was_committed(kind: Any):
    class Shop(Workflow[Any]):
        @step
        async def buy(self, ctx: Context[kind], ev: StartEvent) -> StopEvent[Any]:  # pyright: ignore[reportInvalidTypeForm]
            async with ctx.store.edit_state() as basket:
                basket.items.append("tea")
            async with ctx.store.edit_state() as basket:
                basket.items.append("salt")
                await ctx.sleep(1)
            return StopEvent(result=await ctx.store.get_state())

    data = await cut(Shop().run(), 0.5)
    assert await again(Shop(), data) == kind(items=["tea", "tea", "salt"])


async def test_a_new_run_begins_on_the_state_of_one_that_is_over():
    class Count(Workflow[int]):
        @step
        async def count(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            await ctx.once("counted", lambda: seen.append("counted"))
            count = await ctx.store.get("count", 0) + ev.by
            await ctx.store.set("count", count)
            return StopEvent(result=count)

    run = Count().run(by=1)
    assert await run == 1
    data = run.ctx.to_dict()
    assert data == {"stretto": 1, "workflow": "Count", "finished": True, "state": {"count": 1}}
    other = Count().run(ctx=Context.from_dict(Count(), data), by=5)
    assert await other == 6
    assert other.run_id != run.run_id
    assert await Count().run(StartEvent(by=2), ctx=Context.from_dict(Count(), other.ctx.to_dict())) == 8
    assert seen == ["counted"] * 3


async def test_a_run_that_is_over_and_had_no_state_gives_nothing_to_the_next():
    run = Poll().run()
    await run
    data = run.ctx.to_dict()
    assert data == {"stretto": 1, "workflow": "Poll", "finished": True}
    assert await Poll().run(ctx=Context.from_dict(Poll(), data)) == 150


# -- waits -----------------------------------------------------------------------------------------------------


class Order(Workflow[str]):
    """Asks two questions in one step, and takes its time after each."""

    @step
    async def order(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        said: list[int] = []
        for n in range(2):
            reply = await ctx.wait_for_event(
                Reply, waiter_event=InputRequiredEvent(n=n), requirements={"n": n}, waiter_id=f"no {n}"
            )
            said.append(reply.n)
            await ctx.sleep(1)
        return StopEvent(result=f"{said} {ctx.attempt.number}")


async def test_a_wait_in_the_middle_begins_again_and_the_step_with_it():
    data = await cut(Order().run(), 0.5)
    assert [each["step"] for each in json.loads(data)["waits"]] == ["order"]
    async with again(Order(), data) as run:
        await anyio.sleep(1)
        assert [(each.step, each.waiter_id) for each in run.waiting_for] == [("order", "no 0")]
        run.send_event(Reply(n=0))
        run.send_event(Reply(n=1))
        assert await run == "[0, 1] 1"


async def test_a_wait_that_was_answered_is_answered_again():
    run = Order().run()
    async with run:
        run.send_event(Reply(n=0))
        await anyio.sleep(0.5)
        data = json.dumps(run.ctx.to_dict())
        await run.cancel()
    assert json.loads(data)["active"][0]["given"] == [[1, True]]
    async with again(Order(), data) as run:
        run.send_event(Reply(n=1))
        asked = [event.n async for event in run.stream_events() if isinstance(event, InputRequiredEvent)]
        assert (asked, await run) == ([1], "[0, 1] 1")


async def test_what_came_before_its_wait_is_kept():
    run = Order().run()
    async with run:
        run.send_event(Reply(n=1))
        data = json.dumps(run.ctx.to_dict())
        await run.cancel()
    async with again(Order(), data) as run:
        run.send_event(Reply(n=0))
        assert await run == "[0, 1] 1"


async def test_a_run_that_only_waits_for_the_outside_goes_on_waiting():
    class Go(Event, external=True):
        n: int

    class Idle(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> None: ...

        @step
        async def end(self, ev: Go) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    data = await cut(Idle().run(), 1)
    assert "active" not in json.loads(data)
    async with again(Idle(), data) as run:
        await anyio.sleep(1)
        run.send_event(Go(n=3))
        assert await run == 3


async def test_a_nested_run_that_nobody_awaited_is_not_there_any_more():
    class Child(Workflow[int]):
        @step
        async def rest(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            await ctx.sleep(5)
            return StopEvent(result=1)

    class Parent(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int] | None:
            Child().run().start()
            return None

    data = await cut(Parent().run(), 1)
    with pytest.raises(WorkflowStalledError):
        await again(Parent(), data)


async def test_a_nested_run_begins_again_with_the_step_that_awaits_it():
    class Parent(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=await Poll().run())

    data = await cut(Parent().run(), 1.5)
    assert json.loads(data)["active"] == [{"step": "begin", "event": 0}]
    assert await again(Parent(), data) == 150


# -- turns -----------------------------------------------------------------------------------------------------


async def test_the_time_of_a_run_that_waits_for_its_turn_stands_still_also_across_a_restart():
    class Rest(Workflow[int]):
        @step
        async def rest(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            await ctx.sleep(8)
            return StopEvent(result=1)

    resting = Rest(timeout=10, num_concurrent_runs=1)
    async with resting.run(), resting.run() as second:
        await anyio.sleep(6)
        waiting = json.dumps(second.ctx.to_dict())
        await anyio.sleep(4)
        working = json.dumps(second.ctx.to_dict())
    assert [json.loads(each)["left"] for each in (waiting, working)] == [10, 8]
    async with resting.run(), again(resting, working) as second:
        await anyio.sleep(6)
        assert second.ctx.to_dict()["left"] == 8
        await anyio.sleep(3)
        assert second.ctx.to_dict()["left"] == 7
        with pytest.raises(WorkflowTimeoutError, match="Rest timed out after 10 s"):
            await second


# -- cost ------------------------------------------------------------------------------------------------------


async def test_a_snapshot_does_not_grow_with_what_the_run_has_done():
    class Tick(Event):
        n: int

    class Loop(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> Tick:
            return Tick(n=1000)

        @step
        async def tick(self, ctx: Context, ev: Tick) -> Tick | StopEvent[list[int]]:
            sizes.append(len(json.dumps(ctx.to_dict())) - len(str(ctx.to_dict()["age"])))
            return Tick(n=ev.n + 1) if ev.n < 2000 else StopEvent(result=sizes)

    sizes: list[int] = []
    await Loop(timeout=None).run()
    assert len(set(sizes)) == 1


# -- what is refused -------------------------------------------------------------------------------------------


async def test_what_was_not_begun_cannot_be_written():
    handler = Poll().run()
    with pytest.raises(WorkflowError, match="the run of Poll has not started"):
        handler.ctx.to_dict()
    await handler


async def test_a_context_of_a_snapshot_is_no_run():
    data = json.loads(await cut(Poll().run(), 1.5))
    ctx = Context.from_dict(Poll(), data)
    assert repr(ctx) == "<Context of a snapshot of Poll>"
    for use in (
        lambda: ctx.send_event(Ask(n=1)),
        ctx.to_dict,
        lambda: ctx.store,
        lambda: ctx.remaining,
    ):
        with pytest.raises(WorkflowError, match="belongs to no run yet"):
            use()


async def test_what_does_not_fit_is_told_when_it_is_read_and_leaves_the_workflow_as_it_was():
    data = json.loads(await cut(Poll().run(), 1.5))
    data["active"][0]["step"] = "gone"
    with pytest.raises(SnapshotError) as caught:
        Context.from_dict(Poll(), data)
    assert caught.value.path == "active[0].step"
    assert await Poll().run() == 150
