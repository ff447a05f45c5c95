"""Resources and turns under a cancellation at every turn of the loop: what was opened is closed, no turn is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated

import anyio
import pytest

from stretto import Context, Event, Limit, Resource, StartEvent, StopEvent, Workflow, step
from tests.engine.ledger import Ledger
from tests.sweep import HOWS, Ending, sweep

pytestmark = pytest.mark.anyio

LEDGER = Ledger()
LIMIT = Limit(1)
CLEANUP = 0.25


class Job(Event):
    number: int


class Got(Event):
    number: int


@asynccontextmanager
async def slow() -> AsyncGenerator[int]:
    await anyio.sleep(0.5)
    async with LEDGER.signed("slow", cleanup=CLEANUP):
        yield 1


@contextmanager
def quick(below: Annotated[int, Resource(slow)]) -> Generator[int]:
    LEDGER.enter("quick")
    try:
        yield below + 1
    finally:
        LEDGER.leave("quick")


@asynccontextmanager
async def group(shared: Annotated[int, Resource(slow, scope="workflow")]) -> AsyncGenerator[int]:
    async with anyio.create_task_group() as tg, LEDGER.signed("group"):
        tg.start_soon(anyio.sleep, 1000)
        yield shared
        tg.cancel_scope.cancel()


class Three(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(number=number) for number in range(3)]

    @step(limiter=LIMIT)
    async def work(self, ev: Job, it: Annotated[int, Resource(quick)]) -> Got:
        await anyio.sleep(0.25)
        return Got(number=it)

    @step
    async def add(self, ctx: Context, ev: Got, it: Annotated[int, Resource(group)]) -> StopEvent[int] | None:
        got = ctx.collect_events(ev, [Got] * 3)
        return None if got is None else StopEvent(result=sum(each.number for each in got) + it)


async def awaited(flow: Three) -> object:
    async with flow:
        return await flow.run()


async def in_a_block(flow: Three) -> object:
    async with flow, flow.run() as run:
        return await run


async def like_the_article(flow: Three) -> object:
    async with flow:
        handler = flow.run()
        async for _ in handler.stream_events():
            pass
        return await handler


async def two_in_turn(flow: Three) -> object:
    async with flow, flow.run() as one, flow.run() as other:
        assert await one == 7
        return await other


@pytest.mark.parametrize(("backend", "how"), HOWS)
@pytest.mark.parametrize("form", [awaited, in_a_block, like_the_article, two_in_turn])
def test_a_cancellation_at_any_turn_leaves_nothing(
    form: Callable[[Three], Awaitable[object]], backend: str, how: str
):
    async def program() -> object:
        LEDGER.__init__()
        flow = Three(num_concurrent_runs=1)
        try:
            return await form(flow)
        finally:
            for line in (LIMIT.line(), flow._stretto_runs.line()):  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
                assert line.join("the next"), "a turn was kept"
                line.leave("the next")

    def check(ending: Ending) -> None:
        assert not LEDGER.inside, "a resource was not closed when the caller went on"
        if ending.fired and ending.cancelled:
            return
        assert ending.error is None
        assert ending.result == 7
        assert ending.overrun <= 3 * CLEANUP

    assert sweep(program, backend=backend, how=how, check=check) > 10
