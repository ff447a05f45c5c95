"""Cancelled at every turn of the loop, a run has undone exactly what had completed, once, and leaves nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from stretto import Application, Event, Handler, StartEvent, StopEvent, Workflow, step
from tests.sweep import HOWS, Ending, sweep


class A(Event):
    pass


class B(Event):
    pass


class C(Event):
    pass


class Reply(Event):
    pass


class World:
    """What was done and undone, in order. A step does what it does in its last line."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.undone: list[str] = []
        self.run: Handler[Any] | None = None

    @property
    def has_result(self) -> bool:
        """Whether the run is over, and gave its result."""
        driver: Any = None if self.run is None else self.run._driver
        return driver is not None and driver.outcome is not None and driver.outcome[1] is None

    async def do(self, what: str) -> None:
        await anyio.sleep(0.1)
        self.done.append(what)

    async def undo(self, what: str) -> None:
        await anyio.sleep(0.1)
        self.undone.append(what)


class Inner(Workflow[str]):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    async def undo_inner(self) -> None:
        await self.world.undo("inner")

    @step(undo=undo_inner)
    async def inner(self, ev: StartEvent) -> A:
        await self.world.do("inner")
        return A()

    @step
    async def end(self, ev: A) -> StopEvent[str]:
        return StopEvent(result="inner")


class Outer(Workflow[str]):
    """Does one thing, another in a nested run, and a third in a thread; then it fails, or not."""

    def __init__(self, world: World, *, fails: bool = False) -> None:
        super().__init__()
        self.world = world
        self.fails = fails

    async def undo_first(self) -> None:
        await self.world.undo("first")

    def undo_third(self) -> None:
        self.world.undone.append("third")

    @step(undo=undo_first)
    async def first(self, ev: StartEvent) -> A:
        await self.world.do("first")
        return A()

    @step
    async def second(self, ev: A) -> B:
        await Inner(self.world).run()
        return B()

    @step(undo=undo_third)
    async def third(self, ev: B) -> C:
        await self.world.do("third")
        return C()

    @step
    async def last(self, ev: C) -> StopEvent[str]:
        await anyio.sleep(0.1)
        if self.fails:
            raise KeyError("last")
        return StopEvent(result="all is done")


class Asker(Outer):
    """As a member: the second thing is done by another one."""

    @step
    async def second(self, ev: A) -> Reply:
        return Reply()


class Helper(Workflow[None]):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    async def undo_help(self) -> None:
        await self.world.undo("help")

    @step(undo=undo_help)
    async def help(self, ev: Reply) -> B:
        await self.world.do("help")
        return B()


async def awaited(world: World, *, fails: bool) -> object:
    world.run = Outer(world, fails=fails).run()
    return await world.run


async def entered(world: World, *, fails: bool) -> object:
    world.run = Outer(world, fails=fails).run()
    async with world.run as run:
        return await run


async def started(world: World, *, fails: bool) -> object:
    world.run = Outer(world, fails=fails).run().start()
    return await world.run


async def called(world: World, *, fails: bool) -> object:
    async with Application(asker=Asker(world, fails=fails), helper=Helper(world)) as app:
        world.run = app.run("asker")
        return await world.run


@pytest.mark.parametrize(("backend", "how"), HOWS)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("form", [awaited, entered, started, called])
def test_what_completed_is_undone_once_at_whatever_turn_the_end_comes(
    form: Callable[..., Awaitable[object]], fails: bool, backend: str, how: str
):
    worlds: list[World] = []

    async def program() -> Any:
        worlds.append(World())
        return await form(worlds[-1], fails=fails)

    def check(ending: Ending) -> None:
        world, completed = worlds[-1], worlds[-1].done
        if world.has_result:  # the caller may be cancelled when it is there, and before it is handed on
            assert world.undone == []
            assert len(completed) == 3
            return
        if how == "interrupt" and len(world.undone) < len(completed):
            completed = completed[:-1]  # on trio it may come between the two last lines of a step
        assert world.undone == completed[::-1]
        assert ending.cancelled or isinstance(ending.error, KeyError)

    assert sweep(program, backend=backend, how=how, check=check) > 9
