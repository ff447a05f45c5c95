"""Undos and nested runs: one that fails undoes itself at once, one with a result is undone with the run around it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest

from stretto import Context, Event, Resource, StartEvent, StopEvent, Workflow, step
from stretto.undo import UndoError

pytestmark = pytest.mark.anyio

log: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    log.clear()


class BoomError(Exception):
    pass


class Next(Event):
    n: int = 0


class Last(Event):
    pass


class Leaf(Workflow[str]):
    """Two steps that can be undone; `fails` in its last."""

    def __init__(self, name: str = "leaf", *, fails: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.name = name
        self.fails = fails

    async def undo_first(self) -> None:
        await anyio.sleep(0.5)
        log.append(f"undo {self.name} 1")

    async def undo_second(self) -> None:
        log.append(f"undo {self.name} 2")

    @step(undo=undo_first)
    async def first(self, ev: StartEvent) -> Next:
        return Next()

    @step(undo=undo_second)
    async def second(self, ev: Next) -> Last:
        return Last()

    @step
    async def last(self, ev: Last) -> StopEvent[str]:
        if self.fails:
            raise BoomError(self.name)
        return StopEvent(result=self.name)


class Outer(Workflow[str]):
    """One step before, one that nests a run, one after, which fails."""

    def __init__(self, leaf: Workflow[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.leaf = leaf or Leaf()

    async def undo_before(self) -> None:
        log.append("undo before")

    async def undo_nests(self, ev: Next, result: Last) -> None:
        log.append("undo nests")

    @step(undo=undo_before)
    async def before(self, ev: StartEvent) -> Next:
        return Next()

    @step(undo=undo_nests)
    async def nests(self, ev: Next) -> Last:
        log.append(await self.leaf.run())
        return Last()

    @step
    async def fails(self, ev: Last) -> StopEvent[str]:
        raise BoomError("outer")


async def test_what_a_nested_run_has_done_is_undone_before_the_step_that_made_it():
    run = Outer().run()
    with pytest.raises(BoomError):
        await run
    assert log == ["leaf", "undo leaf 2", "undo leaf 1", "undo nests", "undo before"]
    assert [each.label.partition(" ")[0] for each in run.undone] == [
        "Leaf.second",
        "Leaf.first",
        "Outer.nests",
        "Outer.before",
    ]


async def test_a_nested_run_that_fails_is_undone_before_its_step_goes_on_and_never_again():
    class Catches(Outer):
        @step(undo=Outer.undo_nests)
        async def nests(self, ev: Next) -> Last:
            with pytest.raises(BoomError, match="leaf"):
                await Leaf(fails=True).run()
            log.append("caught")
            return Last()

    with pytest.raises(BoomError, match="outer"):
        await Catches().run()
    assert log == ["undo leaf 2", "undo leaf 1", "caught", "undo nests", "undo before"]


async def test_a_nested_run_that_fails_its_parent_is_undone_first():
    with pytest.raises(BoomError, match="leaf"):
        await Outer(Leaf(fails=True)).run()
    assert log == ["undo leaf 2", "undo leaf 1", "undo before"]


async def test_a_nested_run_of_a_step_that_fails_or_has_no_undo_has_its_own_place():
    class Mixed(Outer):
        @step
        async def nests(self, ev: Next) -> Last:
            await Leaf("one").run()
            return Last()

        @step
        async def fails(self, ev: Last) -> StopEvent[str]:
            await Leaf("two").run()
            raise BoomError("outer")

    with pytest.raises(BoomError, match="outer"):
        await Mixed().run()
    assert log == ["undo two 2", "undo two 1", "undo one 2", "undo one 1", "undo before"]


async def test_a_workflow_without_undos_of_its_own_undoes_what_is_nested_in_it():
    class Bare(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            await Leaf().run()
            raise BoomError("bare")

    with pytest.raises(BoomError, match="bare"):
        await Bare().run()
    assert log == ["undo leaf 2", "undo leaf 1"]


async def test_what_is_nested_two_deep_is_undone_with_the_outermost():
    class Middle(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result=await Leaf().run())

    with pytest.raises(BoomError, match="outer"):
        await Outer(Middle()).run()
    assert log == ["leaf", "undo leaf 2", "undo leaf 1", "undo nests", "undo before"]


async def test_nothing_is_undone_if_all_have_a_result():
    class Fine(Outer):
        @step
        async def fails(self, ev: Last) -> StopEvent[str]:
            return StopEvent(result="fine")

    assert await Fine().run() == "fine"
    assert log == ["leaf"]


async def test_nested_runs_at_once_stay_with_the_steps_that_made_them():
    class Wide(Workflow[str]):
        async def undo_nests(self, ev: Next) -> None:
            log.append(f"undo nests {ev.n}")

        @step
        async def begin(self, ev: StartEvent) -> list[Next]:
            return [Next(n=1), Next(n=2)]

        @step(undo=undo_nests)
        async def nests(self, ctx: Context, ev: Next) -> Last:
            await anyio.sleep(ev.n * 0.1)
            await Leaf(f"of {ev.n}").run()
            await anyio.sleep(5 - ev.n)
            return Last()

        @step
        async def ends(self, ctx: Context, ev: Last) -> StopEvent[str] | None:
            if ctx.collect_events(ev, [Last, Last]) is not None:
                raise BoomError("wide")
            return None

    with pytest.raises(BoomError, match="wide"):
        await Wide().run()
    assert log == [
        "undo of 1 2", "undo of 1 1", "undo nests 1", "undo of 2 2", "undo of 2 1", "undo nests 2"
    ]  # fmt: skip


async def test_a_nested_run_that_was_not_awaited_is_undone_too():
    class Started(Outer):
        @step
        async def nests(self, ev: Next) -> Last:
            Leaf("started").run().start()
            await anyio.sleep(1)
            return Last()

    with pytest.raises(BoomError, match="outer"):
        await Started().run()
    assert log == ["undo started 2", "undo started 1", "undo before"]


async def test_a_nested_run_at_work_when_its_parent_ends_undoes_itself_first():
    class Busy(Outer):
        @step
        async def fails(self, ev: Last) -> StopEvent[str]:
            Stuck().run().start()
            await anyio.sleep(1)
            raise BoomError("outer")

    class Stuck(Leaf):
        @step
        async def last(self, ev: Last) -> StopEvent[str]:
            await anyio.sleep_forever()
            return StopEvent(result="never")

    with pytest.raises(BoomError, match="outer"):
        await Busy(timeout=5).run()
    assert log[:3] == ["leaf", "undo leaf 2", "undo leaf 1"]
    assert log[3:] == ["undo leaf 2", "undo leaf 1", "undo nests", "undo before"]


async def test_an_undo_may_run_a_workflow_and_that_is_not_undone():
    class Helped(Outer):
        async def undo_by_a_run(self) -> None:
            log.append(f"helped by {await Leaf().run()}")

        @step(undo=undo_by_a_run)
        async def nests(self, ev: Next) -> Last:
            return Last()

    with pytest.raises(BoomError, match="outer"):
        await Helped().run()
    assert log == ["helped by leaf", "undo before"]


async def test_a_nested_run_that_could_not_be_undone_fails_its_step_with_that():
    class Broken(Leaf):
        async def refuse(self) -> None:
            raise KeyError

        @step(undo=refuse)
        async def first(self, ev: StartEvent) -> Next:
            return Next()

    run = Outer(Broken(fails=True)).run()
    with pytest.raises(UndoError) as caught:
        await run
    assert [type(each) for each in caught.value.exceptions] == [BoomError, KeyError]
    assert [f"{each.step} {each.outcome}" for each in run.undone] == ["before done"]
    assert log == ["undo leaf 2", "undo before"]


@asynccontextmanager
async def open_client() -> AsyncGenerator[str]:
    log.append("open")
    try:
        yield "client"
    finally:
        log.append("close")


class Buys(Workflow[str]):
    """Its step and its undo share a resource of the run."""

    async def unbuy(self, client: Annotated[str, Resource(open_client)]) -> None:
        log.append(f"unbuy by {client}")

    @step(undo=unbuy)
    async def buy(self, ev: StartEvent, client: Annotated[str, Resource(open_client)]) -> Last:
        return Last()

    @step
    async def end(self, ev: Last) -> StopEvent[str]:
        return StopEvent(result="bought")


async def test_the_undos_of_a_nested_run_that_is_over_are_given_resources_of_their_own():
    with pytest.raises(BoomError):
        await Outer(Buys()).run()
    assert log == ["open", "close", "bought", "open", "unbuy by client", "undo nests", "undo before", "close"]


async def test_a_resource_whose_teardown_fails_the_run_has_it_undone():
    @asynccontextmanager
    async def open_breaking() -> AsyncGenerator[str]:
        log.append("open")
        yield "client"
        if log.count("open") == 1:
            raise BoomError("teardown")

    class Breaks(Workflow[str]):
        async def unbuy(self, client: Annotated[str, Resource(open_breaking)]) -> None:
            log.append(f"unbuy by {client}")

        @step(undo=unbuy)
        async def buy(
            self, ev: StartEvent, client: Annotated[str, Resource(open_breaking)]
        ) -> StopEvent[str]:
            return StopEvent(result="bought")

    with pytest.raises(BoomError, match="teardown"):
        await Breaks().run()
    assert log == ["open", "open", "unbuy by client"]
