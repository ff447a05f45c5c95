"""llama-index-workflows: steps, events, `send_event` and `collect_events`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

PACKAGE = "llama-index-workflows"
CANNOT: Mapping[str, str] = {}
MANY = 20_000


class Number(StartEvent):
    number: int


class Smallest(Workflow):
    @step
    async def begin(self, ev: Number) -> StopEvent:
        return StopEvent(result=ev.number)


class Hop(Event):
    turn: int
    turns: int


class Loop(Workflow):
    @step
    async def begin(self, ev: Number) -> Hop:
        return Hop(turn=0, turns=ev.number)

    @step
    async def hop(self, ev: Hop) -> Hop | StopEvent:
        if ev.turn < ev.turns:
            return Hop(turn=ev.turn + 1, turns=ev.turns)
        return StopEvent(result=ev.turn)


class Work(Event):
    number: int


class Done(Event):
    number: int


class Fan(Workflow):
    """Its `list[Work]` way of fanning out grows with the square of the number; this one is the faster."""

    def __init__(self, pieces: int, seconds: float | None = None) -> None:
        self.expected = [Done] * pieces
        self.seconds = seconds
        super().__init__(timeout=None)

    @step
    async def begin(self, ctx: Context, ev: Number) -> Work | None:
        for number in range(ev.number):
            ctx.send_event(Work(number=number))
        return None

    @step(num_workers=MANY)
    async def work(self, ev: Work) -> Done:
        if self.seconds is not None:
            await asyncio.sleep(self.seconds)
        return Done(number=ev.number * 2)

    @step
    async def join(self, ctx: Context, ev: Done) -> StopEvent | None:
        batch = ctx.collect_events(ev, self.expected)
        if batch is None:
            return None
        return StopEvent(result=sum(piece.number for piece in batch))


class Middle(Event):
    number: int


class Last(Event):
    number: int


class Three(Workflow):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(timeout=None)

    @step
    async def begin(self, ev: Number) -> Middle:
        return Middle(number=ev.number + 1)

    @step
    async def middle(self, ev: Middle) -> Last:
        await asyncio.sleep(self.seconds)
        return Last(number=ev.number + 1)

    @step
    async def end(self, ev: Last) -> StopEvent:
        return StopEvent(result=ev.number)


SMALLEST = Smallest(timeout=None)


async def run(number: int) -> int:
    return await SMALLEST.run(start_event=Number(number=number))


async def loop(turns: int) -> int:
    return await Loop(timeout=None).run(start_event=Number(number=turns))


async def fan(pieces: int) -> int:
    return await Fan(pieces).run(start_event=Number(number=pieces))


async def asleep(naps: int, seconds: float) -> int:
    return await Fan(naps, seconds).run(start_event=Number(number=naps))


async def three(number: int, seconds: float) -> int:
    return await Three(seconds).run(start_event=Number(number=number))
