"""P1 and P2 for random programs: whatever its steps do and whoever ends it, nothing is left of a run.

A program is a handful of jobs, each a random list of things that steps do to make it hard: they sleep, swallow
a cancellation, take their time to clean up, fail while they do, limit their own time, run a workflow and wait
for it, or run one beside themselves and forget it. It is run in one of five forms and ended by itself, by a
timeout, by the cancellation of its caller (a scope, or `Task.cancel`), by its handle, or by dropping that.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from stretto import (
    Context,
    Event,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from tests import leaks, virtual


@attrs.frozen
class Program:
    """Jobs, each a list of deeds, and what the nested runs do."""

    jobs: tuple[tuple[str, ...], ...]
    workers: int
    inner: Program | None

    @property
    def cleanups(self) -> float:
        """The longest that all the clean-ups in it can take, one after the other."""
        own = sum(1 for job in self.jobs for deed in job if deed in SLOW)
        nested = sum(1 for job in self.jobs for deed in job if deed in NESTED)
        return own + (nested * self.inner.cleanups if self.inner is not None else 0)


@attrs.frozen
class Attack:
    """How the program is run, and how and when it is ended."""

    form: str
    end: str
    at: float


SLOW = {"clean", "clean and fail"}
NESTED = {"run", "run beside"}
DEEDS = ["sleep", "swallow", "swallow", "clean", "clean", "clean and fail", "limit", "send", "stream"]
DEEDS += ["run", "run beside", "stop", "fail"]
FORMS = ["awaited", "block", "block left", "article", "nested"]
ENDS = ["itself", "timeout", "scope", "native", "cancel", "drop"]


class Job(Event):
    number: int


class Note(Event):
    number: int


class BoomError(Exception):
    pass


class ClumsyError(Exception):
    pass


class Chaos(Workflow[str]):
    def __init__(self, program: Program, books: list[str], timeout: float | None = None) -> None:
        self.program, self.books = program, books
        self.kept: list[object] = []
        super().__init__(timeout=timeout, grace=1000)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for number in range(len(self.program.jobs)):
            ctx.send_event(Job(number=number))

    @step(num_workers=2)
    async def job(self, ctx: Context, ev: Job) -> StopEvent | None:
        self.books.append("+")
        try:
            for deed in self.program.jobs[ev.number]:
                if await self.do(ctx, deed, ev.number):
                    return StopEvent(result="stopped")
        finally:
            self.books.append("-")
        return None

    async def do(self, ctx: Context, deed: str, number: int) -> bool:  # noqa: C901, PLR0912
        match deed:
            case "sleep":
                await anyio.sleep(1 + number / 8)
            case "swallow":
                try:
                    await anyio.sleep(2 + number / 8)
                except anyio.get_cancelled_exc_class():
                    pass
            case "clean":
                await self.clean()
            case "clean and fail":
                try:
                    await self.clean()
                except anyio.get_cancelled_exc_class() as error:
                    raise ClumsyError from error
            case "limit":
                with anyio.move_on_after(0.75):
                    await anyio.sleep(5)
            case "send":
                ctx.send_event(Note(number=number))
            case "stream":
                ctx.write_event_to_stream(Note(number=number))
            case "run" if self.program.inner is not None:
                with suppress(WorkflowStalledError, WorkflowTimeoutError):
                    await Chaos(self.program.inner, self.books, timeout=3.25).run()
            case "run beside" if self.program.inner is not None:
                self.kept.append(Chaos(self.program.inner, self.books).run())
            case "stop":
                return True
            case "fail":
                raise BoomError
            case _:
                pass
        return False

    async def clean(self) -> None:
        self.books.append("+")
        try:
            await anyio.sleep(3)
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(1)
            finally:
                self.books.append("-")

    @step
    async def note(self, ev: Note) -> None:
        self.books.append("+")
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            self.books.append("-")


class Around(Workflow[str]):
    def __init__(self, inner: Workflow[str]) -> None:
        self.inner = inner
        super().__init__(timeout=None)

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await self.inner.run())


class LeaveError(Exception):
    pass


ALLOWED = (
    BoomError,
    ClumsyError,
    LeaveError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    WorkflowCancelledError,
)


async def run_it(form: str, workflow: Chaos, hand_over: Callable[[Any], None]) -> object:
    """Run the workflow in one of the forms; `hand_over` gets the handle where there is one."""
    match form:
        case "awaited":
            return await workflow.run()
        case "block":
            async with workflow.run() as run:
                hand_over(run)
                async for _ in run.stream_events():
                    await anyio.sleep(0.25)
                return await run
        case "block left":
            async with workflow.run() as run:
                hand_over(run)
                await anyio.sleep(2.0625)
                raise LeaveError
        case "article":
            handler = workflow.run()
            hand_over(handler)
            async for _ in handler.stream_events():
                pass
            return await handler
        case _:
            return await Around(workflow).run()
    raise AssertionError(form)


@attrs.define
class Trial:
    """One run of one program under one attack."""

    program: Program
    attack: Attack
    books: list[str] = attrs.Factory(list)
    handle: Any = None
    outcome: object = None
    hit: bool = False

    async def go(self) -> None:
        attack = self.attack
        before = leaks.Before()
        began = anyio.current_time()
        limit = attack.at if attack.end == "timeout" else None
        workflow = Chaos(self.program, self.books, limit)
        if attack.end == "native":
            await self.natively(workflow)
        elif attack.end == "drop":
            await self.dropped(workflow)
        else:
            async with anyio.create_task_group() as tg:
                if attack.end == "cancel":
                    tg.start_soon(self.cancel_later)
                with anyio.CancelScope() as scope:
                    if attack.end == "scope":
                        scope.deadline = began + attack.at
                    await self.watched(workflow)
                self.hit = scope.cancel_called
                tg.cancel_scope.cancel()
        assert before.left_behind() == []
        assert self.books.count("+") == self.books.count("-"), "a clean-up had not run"
        if attack.end not in {"itself", "cancel", "native"}:
            took = anyio.current_time() - began
            assert took <= attack.at + self.program.cleanups + 2.0625, "more than the clean-ups took time"

    async def watched(self, workflow: Chaos) -> None:
        try:
            self.outcome = await run_it(self.attack.form, workflow, self.take)
        except ALLOWED as error:
            self.outcome = error

    def take(self, handle: object) -> None:
        self.handle = handle

    async def cancel_later(self) -> None:
        await anyio.sleep(self.attack.at)
        if self.handle is not None:
            await self.handle.cancel()
            assert self.books.count("+") == self.books.count("-")

    async def natively(self, workflow: Chaos) -> None:
        task = asyncio.ensure_future(self.watched(workflow))
        await asyncio.wait([task], timeout=self.attack.at)
        self.hit = not task.done()
        task.cancel()
        await asyncio.wait([task])
        if self.outcome is None and task.cancelled() is False:
            await task

    async def dropped(self, workflow: Chaos) -> None:
        handle = workflow.run().start()
        await anyio.sleep(self.attack.at)
        del handle, workflow
        gc.collect()
        await anyio.sleep(self.program.cleanups + 0.5)


def jobs(deeds: list[str]) -> st.SearchStrategy[tuple[tuple[str, ...], ...]]:
    job = st.lists(st.sampled_from(deeds), min_size=1, max_size=4).map(tuple)
    return st.lists(job, min_size=1, max_size=4).map(tuple)


flat = st.builds(
    Program, jobs=jobs([d for d in DEEDS if d not in NESTED]), workers=st.just(2), inner=st.none()
)
programs = st.builds(Program, jobs=jobs(DEEDS), workers=st.just(2), inner=flat)
attacks = st.builds(
    Attack,
    form=st.sampled_from(FORMS),
    end=st.sampled_from(ENDS),
    at=st.integers(0, 60).map(lambda eighths: eighths / 8 + 0.03125),
)


@pytest.mark.filterwarnings("ignore:the handler that Chaos")  # made in a step that then ended the run
@pytest.mark.parametrize("backend", virtual.BACKENDS)
@given(program=programs, attack=attacks)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_is_left_of_a_random_program(program: Program, attack: Attack, backend: str):
    if attack.end == "native" and backend == "trio":
        attack = attrs.evolve(attack, end="scope")
    trial = Trial(program, attack)
    virtual.run(trial.go, backend=backend)
    judged(trial)


def judged(trial: Trial) -> None:
    """What may come out, given who ended it."""
    if trial.attack.end in {"scope", "native"} and trial.hit:  # a failure of the program's own, or nothing
        failures = (BoomError, ClumsyError, LeaveError, WorkflowStalledError)
        assert trial.outcome is None or isinstance(trial.outcome, failures)
    if trial.attack.end == "timeout" and trial.attack.form in {"awaited", "block", "article"}:
        assert trial.outcome is not None
