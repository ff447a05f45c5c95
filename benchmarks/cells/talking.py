"""What it costs that workflows send to each other, beside the same steps in one workflow."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import anyio

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Scale, Spec, sampled
from benchmarks.contenders.native import Backend
from stretto import Application, Context, Event, StartEvent, StopEvent, Workflow, step

ACROSS, GROWTH = "crossing / local", "growth"
MEMBERS = 10


class Job(Event):
    """Goes to whoever works."""

    n: int


class Done(Event):
    """Comes back."""

    n: int


class Boss(Workflow[int]):
    """Sends jobs and collects what comes back."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
        for n in range(ev.number):
            ctx.send_event(Job(n=n))
        return None

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent[int] | Job | None:
        batch = ctx.collect_events(ev, self.expected)
        return None if batch is None else StopEvent(result=sum(each.n for each in batch))

    def __init__(self, number: int) -> None:
        self.expected = [Done] * number
        super().__init__(timeout=None)


class Works(Workflow[None]):
    """Does a job."""

    @step
    async def work(self, ev: Job) -> Done:
        return Done(n=ev.n)


class Alone(Boss):
    """The same steps in one workflow."""

    @step
    async def work(self, ev: Job) -> Done:
        return Done(n=ev.n)


class Bounces(Workflow[int]):
    """One event at a time, there and back."""

    @step
    async def begin(self, ev: StartEvent) -> Job:
        return Job(n=ev.number)

    @step
    async def again(self, ev: Done) -> Job | StopEvent[int]:
        return Job(n=ev.n - 1) if ev.n else StopEvent(result=0)


class BouncesAlone(Bounces):
    """The same steps in one workflow."""

    @step
    async def work(self, ev: Job) -> Done:
        return Done(n=ev.n)


def fan(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """Many events to another member and back."""
    total = scale.size * (scale.size - 1) // 2

    async def local() -> None:
        expect(await Alone(scale.size).run(number=scale.size), total)

    async def across() -> None:
        async with Application(boss=Boss(scale.size), works=Works(timeout=None)) as app:
            expect(await app.run("boss", number=scale.size), total)

    work = f"{scale.size:,} events to another member and back"
    return compared(work, local, across, scale.size, limit=2.0)


def bounce(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """One event at a time, where each has to wake the other run."""

    async def local() -> None:
        expect(await BouncesAlone(timeout=None).run(number=scale.size), 0)

    async def across() -> None:
        async with Application(bounces=Bounces(timeout=None), works=Works(timeout=None)) as app:
            expect(await app.run("bounces", number=scale.size), 0)

    return compared("one event to another member and back, in turn", local, across, scale.size, limit=None)


def compared(
    work: str,
    local: Callable[[], Awaitable[None]],
    across: Callable[[], Awaitable[None]],
    operations: int,
    *,
    limit: float | None,
) -> AbstractContextManager[Cell]:
    contenders = {
        "in one workflow": sampled("cpu", local, operations=operations),
        "between two members": sampled("cpu", across, operations=operations),
    }
    bound = None if limit is None else Bound(limit=limit)
    reading = Reading(label=ACROSS, of="between two members", to="in one workflow", bound=bound)
    return nullcontext(
        Cell(work=work, unit="event", measure="cpu", contenders=contenders, readings=(reading,))
    )


def _link(number: int) -> type[Event]:
    return type(f"Link{number}", (Event,), {})


LINKS = [_link(number) for number in range(MEMBERS)]


def _member(number: int) -> Any:  # noqa: ANN401 - a class made of data
    """A member that passes on what the one before it has sent; the first begins the round, and ends it."""
    takes, gives = LINKS[number - 1], LINKS[number]

    async def begin(self: object, ev: Event) -> Event:  # noqa: ASYNC124 - as a step is
        return gives()

    async def go(self: object, ev: Event) -> Event:  # noqa: ASYNC124 - as a step is
        return gives() if number else StopEvent(result="round")

    begin.__annotations__ = {"ev": StartEvent, "return": gives}
    go.__annotations__ = {"ev": takes, "return": gives if number else StopEvent}
    steps = {"go": step(go)} if number else {"begin": step(begin), "go": step(go)}
    return type(f"Member{number}", (Workflow,), steps)


def conversations(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """A conversation costs the same among ten times as many that are open at once.

    Python's garbage collector is off meanwhile: what it costs grows with all that lives, whoever made it.
    """
    few, many = max(1, scale.size // 10), scale.size
    members = [_member(number) for number in range(MEMBERS)]

    def at_once(count: int) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            results: list[str] = []
            gc.disable()
            made: Any = {f"m{number}": member(timeout=None) for number, member in enumerate(members)}
            async with Application(**made) as app, anyio.create_task_group() as tg:

                async def one() -> None:
                    results.append(await app.run("m0"))

                for _ in range(count):
                    tg.start_soon(one)
            gc.enable()
            expect(results, ["round"] * count)

        return work

    small, large = f"stretto, {few:,}", f"stretto, {many:,}"
    contenders = {
        small: sampled("cpu", at_once(few), operations=few),
        large: sampled("cpu", at_once(many), operations=many),
    }
    reading = Reading(label=GROWTH, of=large, to=small, bound=Bound(limit=1.2))
    work = f"{MEMBERS} members, a conversation of {many:,} at once / of {few:,}, collector off"
    return nullcontext(
        Cell(
            work=work,
            unit="conversation",
            measure="cpu",
            contenders=contenders,
            readings=(reading,),
            rounds=3,
        )
    )


TALKING: tuple[Spec, ...] = (
    Spec(key="talk-fan", part="engine", full=Scale(size=1_000), tiny=Scale(size=10), prepare=fan),
    Spec(key="talk-bounce", part="engine", full=Scale(size=1_000), tiny=Scale(size=10), prepare=bounce),
    Spec(key="talk-many", part="engine", full=Scale(size=10_000), tiny=Scale(size=10), prepare=conversations),
)
