"""A resource of an application: made once for all members and conversations, torn down when its block is left."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest

from stretto import (
    Application,
    DefinitionError,
    Event,
    Resource,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowError,
    step,
)

pytestmark = pytest.mark.anyio

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


class Ask(Event):
    pass


class Told(Event):
    name: str


@asynccontextmanager
async def open_till() -> AsyncGenerator[str]:
    await anyio.sleep(1)
    LOG.append("open")
    try:
        yield "till"
    except BaseException as error:
        LOG.append(type(error).__name__)
        raise
    finally:
        await anyio.sleep(1)
        LOG.append("closed")


Till = Annotated[str, Resource(open_till, scope="application")]


class Clerk(Workflow[str]):
    @step
    async def ask(self, ev: StartEvent, till: Till) -> Ask:
        LOG.append(f"clerk has the {till}")
        return Ask()

    @step
    async def end(self, ev: Told) -> StopEvent[str]:
        return StopEvent(result=ev.name)


class Keeper(Workflow):
    @step
    async def tell(self, ev: Ask, till: Till) -> Told:
        LOG.append(f"keeper has the {till}")
        return Told(name=till)


def shop() -> Application:
    return Application(clerk=Clerk(), keeper=Keeper())


async def test_members_and_conversations_share_what_was_made_once():
    async with shop() as app:

        async def call() -> None:
            await app.run("clerk")

        async with anyio.create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(call)
        LOG.append("last call is over")
    clerks, keepers = ["clerk has the till"] * 3, ["keeper has the till"] * 3
    assert LOG == ["open", *clerks, *keepers, "last call is over", "closed"]  # noqa: SIM300 - it is no constant


async def test_each_application_has_its_own_and_an_application_without_a_use_has_none():
    for _ in range(2):
        async with shop() as app:
            await app.run("clerk")
    async with shop():
        pass
    assert LOG.count("open") == LOG.count("closed") == 2


async def test_a_run_within_a_member_has_it_too():
    class Outer(Workflow[str]):
        @step
        async def nest(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result=await Alone().run())

    class Alone(Workflow[str]):
        @step
        async def take(self, ev: StartEvent, till: Till) -> StopEvent[str]:
            return StopEvent(result=till)

    async with Application(outer=Outer()) as app:
        assert await app.run("outer") == "till"
        assert LOG == ["open"]
    assert LOG == ["open", "closed"]


async def test_without_an_application_it_is_told_what_to_write():
    with pytest.raises(WorkflowError) as caught:
        await Clerk(disable_validation=True).run()
    assert (
        "which lives as long as its application, and this run of Clerk is in none; write async with "
        in str(caught.value)
    )
    assert LOG == []


@pytest.mark.parametrize("how", ["error", "cancelled"])
async def test_however_the_block_is_left_it_is_torn_down_after_the_calls(how: str):
    class Slow(Workflow):
        @step
        async def take(self, ev: StartEvent, till: Till) -> StopEvent:
            try:
                await anyio.sleep_forever()
            finally:
                LOG.append("step over")
            return StopEvent()

    async def block() -> None:
        async with Application(slow=Slow()) as app, app.run("slow"):
            await anyio.sleep(5)
            if how == "error":
                raise ZeroDivisionError
            await anyio.sleep_forever()

    if how == "error":
        with pytest.raises(ZeroDivisionError):
            await block()
        assert LOG == ["open", "step over", "ZeroDivisionError", "closed"]
    else:
        with anyio.move_on_after(6) as scope:
            await block()
        assert scope.cancelled_caught
        assert LOG == ["open", "step over", "WorkflowCancelledError", "closed"]


async def test_a_teardown_that_fails_comes_out_of_the_block():
    @asynccontextmanager
    async def broken() -> AsyncGenerator[int]:
        yield 1
        raise OSError("no paper left")

    class One(Workflow[int]):
        @step
        async def one(
            self, ev: StartEvent, it: Annotated[int, Resource(broken, scope="application")]
        ) -> StopEvent[int]:
            return StopEvent(result=it)

    with pytest.raises(OSError, match="no paper left"):
        async with Application(one=One()) as app:
            assert await app.run("one") == 1


def outer_of(inner: Any, outer: Any) -> Any:
    def below() -> int:
        return 1

    def above(it: Annotated[int, Resource(below, scope=inner)]) -> int:
        return it

    class Flow(Workflow):
        @step
        async def take(
            self, ev: StartEvent, it: Annotated[int, Resource(above, scope=outer)]
        ) -> StopEvent: ...

    return Flow


@pytest.mark.parametrize(
    ("inner", "outer", "end"),
    [
        ("run", "application", "each run"),
        ("workflow", "application", "its workflow"),
        ("application", "workflow", "its application"),
    ],
)
def test_one_that_may_outlive_what_it_asks_for_is_refused(inner: str, outer: str, end: str):
    with pytest.raises(
        DefinitionError, match=f"as long as its {outer} and asks for .*, which ends with {end}"
    ):
        outer_of(inner, outer)
