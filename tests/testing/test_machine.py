"""`WorkflowMachine`: hypothesis starts, answers, waits and cancels, and finds what a run cannot stand."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import invariant, run_state_machine_as_test

from stretto import (
    Context,
    Event,
    HumanResponseEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowTimeoutError,
    step,
)
from stretto.testing.machine import WorkflowMachine
from stretto.testing.strategies import events

BACKENDS = ("asyncio", "trio")
RELAXED = settings(
    max_examples=25,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class Yes(HumanResponseEvent):
    n: int


class Approval(Workflow[int]):
    def __init__(self) -> None:
        super().__init__(timeout=600)
        self.begun = self.cleaned = 0

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
        self.begun += 1
        try:
            await anyio.sleep(1)
            answer = await ctx.wait_for_event(Yes, requirements={"n": 3})
            await anyio.sleep(2)
        finally:
            self.cleaned += 1
        return StopEvent(result=answer.n)


def machine(cls: Any, backend: str, **attributes: Any) -> type[WorkflowMachine]:
    names = {"workflow": staticmethod(cls), "backend": backend, **attributes}
    return type("Machine", (WorkflowMachine,), names)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sound_workflow_stands_all_of_it(backend: str):
    seen: set[str] = set()

    @invariant()
    def ends_as_it_may(self: Any) -> None:
        if hasattr(self, "run") and self.run.done:
            result, error = self.outcome()
            seen.add(str(result) if error is None else type(error).__name__)

    sound = machine(Approval, backend, sends=events(Yes), ends_as_it_may=ends_as_it_may)
    run_state_machine_as_test(sound, settings=settings(RELAXED, max_examples=60))
    assert seen >= {"3", "WorkflowCancelledError", WorkflowTimeoutError.__name__}


class Cleans(Approval):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
        made.append(self)
        self.begun += 1
        await anyio.sleep(60)
        self.cleaned += 1
        return StopEvent(result=1)


made: list[Cleans] = []


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_workflow_cannot_stand_is_found(backend: str):
    @invariant()
    def is_clean(self: Any) -> None:
        if hasattr(self, "run") and self.run.done:
            assert made[-1].begun == made[-1].cleaned, "not cleaned up"

    with pytest.raises(AssertionError, match="not cleaned up"):
        run_state_machine_as_test(machine(Cleans, backend, is_clean=is_clean), settings=RELAXED)
    made.clear()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_start_event_is_drawn_and_a_day_passes_at_once(backend: str):
    class Echo(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    results: set[int] = set()

    @invariant()
    def gives_it(self: Any) -> None:
        if hasattr(self, "run") and self.run.done:
            results.add(self.outcome()[0])

    starts = st.integers(0, 3).map(lambda n: StartEvent(n=n))
    run_state_machine_as_test(
        machine(Echo, backend, starts=starts, times=st.just(24 * 3600.0), gives_it=gives_it), settings=RELAXED
    )
    assert len(results) > 1


class Later(Event):
    pass


class Keeps(Workflow[int]):
    """Keeps a number from one step for the next, in its state."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Later:
        await self.keep(ctx)
        return Later()

    @step
    async def end(self, ctx: Context, ev: Later) -> StopEvent[int]:
        await ctx.wait_for_event(Yes)
        await ctx.sleep(5)
        return StopEvent(result=await self.kept(ctx))

    async def keep(self, ctx: Context) -> None:
        await ctx.store.set("number", 1)

    async def kept(self, ctx: Context) -> int:
        number: int = await ctx.store.get("number", 0)
        return number


class Forgets(Keeps):
    """Keeps it on itself."""

    number = 0

    async def keep(self, ctx: Context) -> None:
        self.number = 1

    async def kept(self, ctx: Context) -> int:
        return self.number


def deaths(cls: Any, backend: str) -> set[int]:
    """How often the processes of runs died that came to a result."""
    crashes: set[int] = set()
    made: list[Any] = []

    def make() -> Any:
        made.append(cls())
        return made[-1]

    def teardown(self: Any) -> None:
        WorkflowMachine.teardown(self)
        made.clear()

    @invariant()
    def has_kept_it(self: Any) -> None:
        if hasattr(self, "run") and self.run.done:
            result, error = self.outcome()
            if error is None:
                crashes.add(len(made) - 1)
                assert result == 1, "forgotten"

    sends = st.just(Yes(n=3))
    dying = machine(
        make, backend, sends=sends, crashes=True, cancel=None, teardown=teardown, has_kept_it=has_kept_it
    )
    run_state_machine_as_test(dying, settings=settings(RELAXED, max_examples=60))
    return crashes


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_may_die_and_another_one_comes_to_the_same(backend: str):
    assert {crashes > 0 for crashes in deaths(Keeps, backend)} == {False, True}


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_dead_process_kept_to_itself_is_missed(backend: str):
    with pytest.raises(AssertionError, match="forgotten"):
        deaths(Forgets, backend)


class Leaks(Workflow[None]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent[None]:
        left.append(asyncio.create_task(anyio.sleep(3600), name="a task of nobody"))
        return StopEvent()


left: list[object] = []


def test_a_task_that_outlives_the_run_is_named():
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(machine(Leaks, "asyncio"), settings=settings(RELAXED, max_examples=2))
    assert str(caught.value).startswith("the run is over, and these tasks are left: a task of nobody")
