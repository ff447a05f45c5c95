"""One run from its beginning to its end, however often its process dies meanwhile, and who is beside it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, cast, final

import anyio

from .. import _driver
from ..application import Application
from ..context import Context
from ..events import Event, StartEvent
from ..handler import Handler
from ..workflow import Workflow
from ._choosers import Chooser
from ._footprint import Footprint
from ._heap import tracked
from ._leaks import tasks_left
from ._schedule import Token
from ._subject import Subject
from ._test_run import TestRun
from ._trouble import Life
from ._turns import Turns
from ._virtual import guarded

__all__ = ["Lives"]


@final
class Lives:
    """One run, and what was seen of it."""

    def __init__(self, subject: Subject, chooser: Chooser, turns: Turns, backend: str) -> None:
        self._subject = subject
        self._chooser = chooser
        self._turns = turns
        self._backend = backend
        self._value: object = None
        self._error: Exception | None = None
        self._workflow: Workflow[Any] | Application = subject.make()
        self._start: Event | None = None
        self._handler: Handler[Any] | None = None
        self._elapsed = 0.0
        self._left: tuple[str, ...] = ()

    async def run(self) -> TestRun | None:
        """Runs it to its end; None if its chooser gave the schedule up."""
        turns = self._turns
        self._start = self._choose_start()
        async with anyio.create_task_group() as tg:
            tg.start_soon(turns.direct)
            before = anyio.get_running_tasks()
            turns.begun = anyio.current_time()
            try:
                with anyio.CancelScope() as scope:
                    turns.cancel = scope.cancel
                    await guarded(self._in_its_block)
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
        return self._seen()

    def _choose_start(self) -> Event | None:
        events: tuple[Event | None, ...] = self._subject.starts.events
        if len(events) == 1:
            return events[0]
        number = self._chooser.choose(self._subject.starts.moves())
        self._turns.settle()
        return events[number or 0]

    # -- its lives -------------------------------------------------------------------------------------------

    async def _in_its_block(self) -> None:
        """An application is entered; a workflow needs nothing around it."""
        async with AsyncExitStack() as stack:
            if isinstance(self._workflow, Application):
                await stack.enter_async_context(self._workflow)
            saved = await self._live(None)
            while saved is not None:
                self._workflow = self._subject.make()
                saved = await self._live(saved)

    async def _live(self, saved: Any) -> Any:  # noqa: ANN401 - plain data
        """The run, or its next life; gives what is left of it if its process has died."""
        self._handler = handler = self._made(saved)
        if self._subject.track is not None:
            self._track(self._workflow)
        scope = anyio.CancelScope()
        life = Life(scope.cancel)
        self._turns.lives.append(life)
        with scope:
            try:
                async with handler as run:
                    if self._subject.beside is not None:
                        await self._subject.beside(run)
                    self._value = await run
            except Exception:
                if life.saved is None:  # else it was the clean-up of a process that is dead
                    raise
        if scope.cancelled_caught and life.saved is None:
            self._value = await handler
        return life.saved

    def _made(self, saved: Any) -> Handler[Any]:  # noqa: ANN401 - plain data
        workflow, start = self._workflow, self._start
        if isinstance(workflow, Application):
            assert self._subject.member is not None, "an application was checked"
            return workflow.run(self._subject.member, start)
        if saved is not None:
            return workflow.run(ctx=Context.from_dict(workflow, saved))
        return workflow.run() if start is None else workflow.run(cast("StartEvent", start))

    def _track(self, workflow: object) -> None:
        cls, known = type(workflow), self._subject.track
        assert known is not None
        if cls not in known:
            known[cls] = tracked(cls, _footprint)
        workflow.__class__ = known[cls]

    # -- what was seen ---------------------------------------------------------------------------------------

    def _seen(self) -> TestRun:
        turns, handler = self._turns, self._handler
        letters = () if handler is None else handler.dead_letters
        if isinstance(self._workflow, Application):
            letters = tuple(self._workflow.dead_letters)
        return TestRun(
            start=self._start,
            value=self._value,
            error=self._error,
            faults=turns.faults,
            stream=turns.streamed(),
            deliveries=tuple(each.seen for each in turns.order),
            leftovers=() if handler is None else handler.leftovers,
            dead_letters=letters,
            lost_events=turns.lost(cast("Event", letter.event) for letter in letters),
            leaked_tasks=self._left,
            elapsed=self._elapsed,
            token=str(
                Token.of(self._subject.fingerprint, self._subject.durations[0], self._chooser.decisions)
            ),
            backend=self._backend,
            workflow=self._workflow,
            moves=tuple(turns.taken),
        )


def _footprint() -> Footprint:
    gate = _driver.gate
    return gate.footprint if isinstance(gate, Turns) else Footprint()
