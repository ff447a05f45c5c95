"""P1 at its sharpest: cancel at every turn of the loop, and nothing is ever left of the run.

A six-way fan-out with clean-ups that take time, in each of the five ways to run a workflow. Each shot asserts
that the cancellation came out (or came too late to matter), that it cost no more virtual time than the clean-
ups need, that every `finally` ran before the caller went on, and that no task, thread, generator or coroutine
was left then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from stretto import (
    Context,
    Event,
    RunEndedError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    step,
)
from tests import leaks
from tests.engine.ledger import Ledger
from tests.sweep import HOWS, Ending, sweep

pytestmark = pytest.mark.anyio

CLEANUP = 0.25


class Ask(Event):
    number: int


class Got(Event):
    number: int


class Six(Workflow[int]):
    """Six at once; each takes its time, and some take time to clean up."""

    def __init__(self, ledger: Ledger, timeout: float | None = 10.0) -> None:
        self.ledger = ledger
        super().__init__(timeout=timeout)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
        for number in range(6):
            ctx.send_event(Ask(number=number))

    @step(num_workers=6)
    async def ask(self, ctx: Context, ev: Ask) -> Got:
        async with self.ledger.signed(f"ask {ev.number}", cleanup=CLEANUP * (ev.number % 2)):
            ctx.write_event_to_stream(ev)
            await anyio.sleep(1 + ev.number % 3)
            return Got(number=ev.number)

    @step
    async def decide(self, ctx: Context, ev: Got) -> StopEvent | None:
        async with self.ledger.signed("decide"):
            await anyio.sleep(0.125)
            got = ctx.collect_events(ev, [Got] * 6)
            return None if got is None else StopEvent(result=sum(each.number for each in got))


class Around(Workflow[int]):
    """A run within a run, made in a step that takes no Context."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(timeout=10)

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        async with self.ledger.signed("around"):
            return StopEvent(result=await Six(self.ledger).run())


class Beside(Workflow[int]):
    """A run within a run that is not awaited at once: it runs beside the step that made it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(timeout=10)

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        async with self.ledger.signed("beside", cleanup=CLEANUP):
            inner = Six(self.ledger).run()
            await anyio.sleep(0.5)
            return StopEvent(result=await inner)


class LeaveError(Exception):
    """What the body of an `async with` raises to leave it early."""


async def awaited(ledger: Ledger) -> object:
    return await Six(ledger).run()


async def in_a_block(ledger: Ledger) -> object:
    async with Six(ledger).run() as run:
        seen = [ev async for ev in run.stream_events()]
        assert len(seen) == 7
        return await run


async def in_a_block_left_early(ledger: Ledger) -> object:
    async with Six(ledger).run() as run:
        async for ev in run.stream_events():
            assert isinstance(ev, Ask)
            await anyio.sleep(0.5)
            raise LeaveError
    raise AssertionError("an exception in the body goes on")


async def like_the_article(ledger: Ledger) -> object:
    handler = Six(ledger).run()
    async for ev in handler.stream_events():
        assert isinstance(ev, Ask | StopEvent)
    return await handler


async def nested(ledger: Ledger) -> object:
    return await Around(ledger).run()


async def nested_beside(ledger: Ledger) -> object:
    return await Beside(ledger).run()


FORMS = [awaited, in_a_block, in_a_block_left_early, like_the_article, nested, nested_beside]


@pytest.mark.parametrize(("backend", "how"), HOWS)
@pytest.mark.parametrize("form", FORMS)
def test_a_cancellation_at_any_turn_leaves_nothing(
    form: Callable[[Ledger], Awaitable[object]], backend: str, how: str
):
    ledger = Ledger()

    def program() -> Awaitable[object]:
        ledger.__init__()
        return form(ledger)

    def check(ending: Ending) -> None:
        assert not ledger.inside, "a clean-up had not run when the caller went on"
        if ending.fired and ending.cancelled:
            assert ending.overrun <= 2 * CLEANUP, "nothing but the clean-ups may take time"
            return
        if form is in_a_block_left_early:
            assert isinstance(ending.error, LeaveError)
        else:
            assert ending.error is None
            assert ending.result == 15
        assert ending.overrun == 0, "the cancellation was lost"

    assert sweep(program, backend=backend, how=how, check=check) > 10


class Race(Workflow[int]):
    """The first of four stops the others; one of them takes its first cancellation for itself."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(timeout=10)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
        for number in range(4):
            ctx.send_event(Ask(number=number))

    @step
    async def race(self, ctx: Context, ev: Ask) -> StopEvent:
        async with self.ledger.signed(f"race {ev.number}", cleanup=CLEANUP * (ev.number % 2)):
            try:
                await anyio.sleep(1 + ev.number)
            except anyio.get_cancelled_exc_class():
                if ev.number != 2:
                    raise
        return StopEvent(result=15)


class Swallows(Workflow[int]):
    """A single step in the caller's own task that takes its first cancellation for itself."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(timeout=10)

    @step
    async def begin(self, ev: StartEvent) -> Got:
        async with self.ledger.signed("begin"):
            for _ in range(6):
                with suppress(anyio.get_cancelled_exc_class()):
                    await anyio.sleep(0.125)
            return Got(number=1)

    @step
    async def end(self, ev: Got) -> StopEvent:
        async with self.ledger.signed("end"):
            for _ in range(6):
                with suppress(anyio.get_cancelled_exc_class()):
                    await anyio.lowlevel.checkpoint()
        return StopEvent(result=15)


async def awaited_by(make: Callable[[Ledger], Workflow[int]], ledger: Ledger) -> object:
    return await make(ledger).run()


async def in_a_block_by(make: Callable[[Ledger], Workflow[int]], ledger: Ledger) -> object:
    async with make(ledger).run() as run:
        return await run


async def like_the_article_by(make: Callable[[Ledger], Workflow[int]], ledger: Ledger) -> object:
    handler = make(ledger).run()
    async for _ in handler.stream_events():
        pass
    return await handler


@pytest.mark.parametrize(("backend", "how"), [row for row in HOWS if row[1] != "interrupt"])
@pytest.mark.parametrize("form", [awaited_by, in_a_block_by, like_the_article_by])
@pytest.mark.parametrize("make", [Race, Swallows])
def test_a_cancellation_at_any_turn_is_never_lost_in_a_step_that_swallows_it(
    make: Callable[[Ledger], Workflow[int]],
    form: Callable[[Callable[[Ledger], Workflow[int]], Ledger], Awaitable[object]],
    backend: str,
    how: str,
):
    ledger = Ledger()

    def program() -> Awaitable[object]:
        ledger.__init__()
        return form(make, ledger)

    def check(ending: Ending) -> None:
        assert not ledger.inside, "a clean-up had not run when the caller went on"
        if not (ending.fired and ending.cancelled):
            assert ending.error is None
            assert ending.result == 15
            assert ending.overrun == 0, "the cancellation became a result"

    assert sweep(program, backend=backend, how=how, check=check) > 10


async def act_after(turns: int, act: Callable[[], Awaitable[object]]) -> bool:
    """Wait for so many turns of the loop, and no time, then act."""
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    await act()
    return True


ACTS = ["cancel", "cancel twice", "stop from outside", "drop", "fail beside"]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("seconds", [0, 1, 2.125, 3.375])
async def test_whatever_is_done_to_a_run_at_any_turn_leaves_nothing(act: str, seconds: float):
    for turns in range(12):
        ledger = Ledger()
        before = leaks.Before()
        if act == "drop":
            await dropped(ledger, seconds, turns)
        else:
            await acted_on(act, ledger, seconds, turns)
        assert not ledger.inside, f"at turn {turns}"
        assert before.left_behind(look_for_generators=False) == [], f"at turn {turns}"


async def dropped(ledger: Ledger, seconds: float, turns: int) -> None:
    handler = Six(ledger).run().start()
    await anyio.sleep(seconds)
    await act_after(turns, anyio.lowlevel.checkpoint)
    del handler
    await anyio.sleep(2 * CLEANUP + 0.001)


async def acted_on(act: str, ledger: Ledger, seconds: float, turns: int) -> None:
    with suppress(WorkflowCancelledError):
        try:
            async with anyio.create_task_group() as tg, Six(ledger).run() as run:
                await anyio.sleep(seconds)

                async def do() -> None:
                    match act:
                        case "cancel":
                            await run.cancel()
                        case "cancel twice":
                            tg.start_soon(run.cancel)
                            await run.cancel()
                        case "stop from outside":
                            with suppress(RunEndedError):
                                run.send_event(StopEvent(result=15))
                        case "fail beside":
                            raise LeaveError
                        case _:
                            pass

                tg.start_soon(act_after, turns, do)
                assert await run == 15
        except* LeaveError:
            assert act == "fail beside"
        except* WorkflowCancelledError:
            assert act.startswith("cancel")


@pytest.mark.parametrize(
    "milliseconds", [1, 125, 999, 1000, 1001, 1125, 1126, 2000, 2126, 3125, 3374, 3375, 3376]
)
async def test_a_timeout_at_any_moment_leaves_nothing(milliseconds: int):
    for form in (awaited, in_a_block, like_the_article):
        ledger = Ledger()
        before = leaks.Before()
        workflow = Six(ledger, timeout=milliseconds / 1000)
        began = anyio.current_time()
        try:
            assert await form_of(form, workflow) == 15
        except WorkflowTimeoutError:
            assert anyio.current_time() - began >= milliseconds / 1000 - 1e-6
        else:
            assert milliseconds >= 3375
        assert anyio.current_time() - began <= milliseconds / 1000 + 2 * CLEANUP
        assert not ledger.inside
        assert before.left_behind(look_for_generators=False) == []


async def form_of(form: Callable[[Ledger], Awaitable[object]], workflow: Six) -> object:
    if form is awaited:
        return await workflow.run()
    if form is in_a_block:
        async with workflow.run() as run:
            return await run
    handler = workflow.run().start()
    return await handler
