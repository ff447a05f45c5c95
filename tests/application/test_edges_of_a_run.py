"""What counts as alive: for the join of a fork, and for the conversation, work in another run does not (ADR 24)."""

from __future__ import annotations

import anyio
import pytest

from stretto import (
    Application,
    Context,
    Event,
    Handler,
    HumanResponseEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowTimeoutError,
    step,
)
from tests.application.programs import Answer, Ask, Oracle

pytestmark = pytest.mark.anyio


class Branch(Event):
    n: int


class Part(Event):
    n: int


async def test_a_branch_that_asks_is_joined_with_the_answer_of_the_other_member():
    class Forks(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Branch]:
            return [Branch(n=n) for n in range(3)]

        @step
        async def ask(self, ctx: Context, ev: Branch) -> Part | Ask:
            answer = await ctx.request(Ask(n=ev.n, seconds=3 - ev.n), reply=Answer)
            return Part(n=answer.n)

        @step
        async def join(self, parts: list[Part]) -> StopEvent[list[int]]:
            return StopEvent(result=[part.n for part in parts])

    async with Application(a=Forks(), b=Oracle()) as app:
        assert sorted(await app.run("a")) == [0, 10, 20]


async def test_a_branch_ends_where_its_event_crosses_and_what_comes_back_is_of_no_fork():
    class Forks(Workflow[list[int]]):
        def __init__(self) -> None:
            self.late: list[int] = []
            super().__init__()

        @step
        async def begin(self, ev: StartEvent) -> list[Branch]:
            return [Branch(n=n) for n in range(3)]

        @step
        async def branch(self, ev: Branch) -> Part | Ask:
            return Ask(n=ev.n, seconds=2) if ev.n else Part(n=ev.n)

        @step
        async def join(self, parts: list[Part]) -> None:
            self.joined = [part.n for part in parts]

        @step
        async def answered(self, ctx: Context, ev: Answer) -> StopEvent[list[int]] | None:
            batch = ctx.collect_events(ev, [Answer] * 2)
            return StopEvent(result=sorted(each.n for each in batch)) if batch else None

    forks = Forks()
    async with Application(a=forks, b=Oracle()) as app:
        assert await app.run("a") == [10, 20]
    assert forks.joined == [0]
    assert len(app.dead_letters) == 0


class Inner(Workflow[str]):
    @step
    async def wait(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        answer = await ctx.wait_for_event(Answer)
        return StopEvent(result=f"told {answer.n}")


async def test_who_has_the_handle_of_a_nested_run_may_send_to_it_and_the_conversation_waits_for_that():
    class Nests(Workflow[str]):
        nested: Handler[str]

        @step
        async def begin(self, ctx: Context, ev: StartEvent, inner: Inner) -> StopEvent[str] | Ask:
            ctx.send_event(Ask(n=4, seconds=5))
            async with inner.run() as self.nested:
                return StopEvent(result=await self.nested)

        @step
        async def told(self, ev: Answer) -> None:
            self.nested.send_event(ev)

    async with Application(a=Nests(inner=Inner()), b=Oracle()) as app:
        assert await app.run("a") == "told 40"


async def test_a_nested_run_that_waits_for_what_nobody_sends_ends_with_the_deadline_around_it():
    class Nests(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent, inner: Inner) -> StopEvent[str] | Ask:
            return StopEvent(result=await inner.run())

        @step
        async def never(self, ev: HumanResponseEvent) -> None: ...

    async with Application(a=Nests(inner=Inner(), timeout=7), b=Oracle()) as app:
        began = anyio.current_time()
        with pytest.raises(WorkflowTimeoutError, match=r"^Nests timed out after 7 s"):
            await app.run("a")
        assert anyio.current_time() - began == pytest.approx(7)
