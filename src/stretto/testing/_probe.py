"""Runs a workflow once, in virtual time, under a schedule that a chooser makes up as it goes."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, final

import anyio

from .. import _driver
from ..events import StartEvent
from ..handler import Handler
from ..workflow import Workflow
from ._choosers import Chooser
from ._footprint import Footprint
from ._heap import tracked
from ._leaks import tasks_left
from ._schedule import Move, Token
from ._subject import Subject
from ._test_run import TestRun
from ._turns import Turns
from ._virtual import current_world, guarded, virtual_run

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
        return await _Once(subject, chooser, turns, backend).run()


@final
class _Once:
    """One run, and who is beside it."""

    def __init__(self, subject: Subject, chooser: Chooser, turns: Turns, backend: str) -> None:
        self._subject = subject
        self._chooser = chooser
        self._turns = turns
        self._backend = backend
        self._value: object = None
        self._error: Exception | None = None
        self._handler: Handler[Any] | None = None
        self._elapsed = 0.0
        self._left: tuple[str, ...] = ()

    async def run(self) -> TestRun | None:
        turns = self._turns
        workflow, start = self._subject.make(), self._choose_start()
        async with anyio.create_task_group() as tg:
            tg.start_soon(turns.direct)
            before = anyio.get_running_tasks()
            turns.begun = anyio.current_time()
            try:
                with anyio.CancelScope() as scope:
                    turns.cancel = scope.cancel
                    await guarded(self._in_a_block, (workflow, start))
            except Exception as error:  # noqa: BLE001 - it is what the test looks at
                self._error = turns.error or error
            self._elapsed = anyio.current_time() - turns.begun
            self._left = tuple(tasks_left(before))
            tg.cancel_scope.cancel()
        if turns.failure is not None:
            raise turns.failure
        turns.settle()
        if turns.given_up:
            return None
        self._error = self._error or turns.error
        return self._seen(workflow, start)

    def _choose_start(self) -> StartEvent | None:
        starts = self._subject.starts
        if len(starts) == 1:
            return starts[0]
        number = self._chooser.choose(
            [Move(f"start{at}", f"the run begins with {each!r}") for at, each in enumerate(starts)]
        )
        self._turns.settle()
        return starts[number or 0]

    async def _in_a_block(self, workflow: Workflow[Any], start: StartEvent | None) -> None:
        self._handler = handler = workflow.run() if start is None else workflow.run(start)
        if self._subject.track is not None:
            self._track(workflow)
        async with handler as run:
            if self._subject.beside is not None:
                await self._subject.beside(run)
            self._value = await run

    def _track(self, workflow: Workflow[Any]) -> None:
        cls, known = type(workflow), self._subject.track
        assert known is not None
        if cls not in known:
            known[cls] = tracked(cls, _footprint)
        workflow.__class__ = known[cls]

    def _seen(self, workflow: Workflow[Any], start: StartEvent | None) -> TestRun:
        turns, handler = self._turns, self._handler
        return TestRun(
            start=start,
            value=self._value,
            error=self._error,
            stream=turns.observers[0].streamed() if turns.observers else (),
            deliveries=tuple(each.seen for each in turns.order),
            leftovers=() if handler is None else handler.leftovers,
            dead_letters=() if handler is None else handler.dead_letters,
            lost_events=turns.lost(),
            leaked_tasks=self._left,
            elapsed=self._elapsed,
            token=str(
                Token.of(self._subject.fingerprint, self._subject.durations[0], self._chooser.decisions)
            ),
            backend=self._backend,
            workflow=workflow,
            moves=tuple(turns.taken),
        )


def _footprint() -> Footprint:
    gate = _driver.gate
    return gate.footprint if isinstance(gate, Turns) else Footprint()


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


@contextmanager
def _sleeping(backend: str) -> Generator[_Sleep]:
    modules = [anyio, sys.modules[backend]]
    sleep = _Sleep(sys.modules[backend].sleep)
    before = [module.sleep for module in modules]
    for module in modules:
        module.sleep = sleep  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield sleep
    finally:
        for module, original in zip(modules, before, strict=True):
            module.sleep = original  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
