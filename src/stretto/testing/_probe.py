"""Runs a workflow once, in virtual time, under a schedule that a chooser makes up as it goes."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, final

import anyio

from .. import _driver
from ._choosers import Chooser
from ._lives import Lives
from ._subject import Subject
from ._test_run import TestRun
from ._turns import Turns
from ._virtual import current_world, virtual_run

__all__ = ["run_once"]


def run_once(subject: Subject, chooser: Chooser, backend: str) -> TestRun | None:
    """One run; None if its chooser gave the schedule up."""
    return virtual_run(_in_a_loop, subject, chooser, backend, backend=backend)


async def _in_a_loop(subject: Subject, chooser: Chooser, backend: str) -> TestRun | None:
    world = current_world()
    assert world is not None, "virtual_run has one"
    world.frozen = True
    with ExitStack() as stack:
        real_sleep = stack.enter_context(_sleeping(backend))
        if backend == "trio":
            stack.enter_context(import_module("stretto.testing._trio_time").in_order())
        turns = Turns(
            world, chooser, durations=subject.durations, faults=subject.faults, most_moves=subject.most_moves,
            real_sleep=real_sleep.original, clock=anyio.current_time,
        )  # fmt: skip
        real_sleep.turns = turns
        stack.enter_context(_gate(turns))
        return await Lives(subject, chooser, turns, backend).run()


@contextmanager
def _gate(turns: Turns) -> Generator[None]:
    before, _driver.gate = _driver.gate, turns
    try:
        yield
    finally:
        _driver.gate = before


@final
class _Sleep:
    """What `anyio.sleep`, `asyncio.sleep` and `trio.sleep` mean meanwhile."""

    turns: Turns | None = None

    def __init__(self, original: Callable[..., Awaitable[Any]]) -> None:
        self.original = original

    async def __call__(self, delay: float, result: object = None) -> object:
        if self.turns is None:
            return await self.original(delay)
        return await self.turns.sleep(delay, result)

    async def until(self, deadline: float) -> None:
        """What `anyio.sleep_until` means: that of asyncio would not come by here, and that of trio would."""
        await self(max(deadline - anyio.current_time(), 0.0))


@contextmanager
def _sleeping(backend: str) -> Generator[_Sleep]:
    modules = [anyio, sys.modules[backend]]
    sleep = _Sleep(sys.modules[backend].sleep)
    before = [module.sleep for module in modules]
    until, anyio.sleep_until = anyio.sleep_until, sleep.until
    for module in modules:
        module.sleep = sleep  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield sleep
    finally:
        anyio.sleep_until = until
        for module, original in zip(modules, before, strict=True):
            module.sleep = original  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
