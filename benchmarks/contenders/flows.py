"""stretto's side: workflows that do what `steps.py` does, written as a user would write them."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence

import anyio
import attrs
from anyio.lowlevel import checkpoint

from stretto import Context, Event, RetryPolicy, StartEvent, StopEvent, Workflow, step
from stretto.retry import no_wait

MANY = 20_000
"""More workers than any cell has events: nothing waits for a worker."""

Wait = Callable[[], Awaitable[None]]
Call = Callable[[int], Awaitable[int]]


class Start(StartEvent):
    number: int


class Smallest(Workflow[int]):
    """One step, nothing else."""

    @step
    async def begin(self, ev: Start) -> StopEvent[int]:
        return StopEvent(result=ev.number)


class Hop(Event):
    turn: int
    turns: int


class Loop(Workflow[int]):
    """A step that returns its own event until it has had enough."""

    @step
    async def begin(self, ev: Start) -> Hop:
        return Hop(turn=0, turns=ev.number)

    @step
    async def turn(self, ev: Hop) -> Hop | StopEvent[int]:
        if ev.turn < ev.turns:
            return Hop(turn=ev.turn + 1, turns=ev.turns)
        return StopEvent(result=ev.turn)


class WatchedLoop(Loop):
    """The loop, with a look from outside at every turn."""

    def __init__(self, look: Callable[[int], None], *, timeout: float | None = None) -> None:
        self.look = look
        super().__init__(timeout=timeout)

    @step
    async def turn(self, ev: Hop) -> Hop | StopEvent[int]:
        self.look(ev.turn)
        if ev.turn < ev.turns:
            return Hop(turn=ev.turn + 1, turns=ev.turns)
        return StopEvent(result=ev.turn)


class Work(Event):
    number: int


class Done(Event):
    number: int


class Fan(Workflow[int]):
    """Sends pieces, handles them at once, joins them.

    With `rebuild` the list of what is expected is built anew in each call, as most programs do.
    """

    def __init__(self, pieces: int, *, rebuild: bool = False, timeout: float | None = None) -> None:
        self.pieces = pieces
        self.kept: Sequence[type[Done]] | None = None if rebuild else [Done] * pieces
        super().__init__(timeout=timeout)

    @step
    async def begin(self, ctx: Context, ev: Start) -> Work | None:
        for number in range(ev.number):
            ctx.send_event(Work(number=number))
        return None

    @step(num_workers=MANY)
    async def work(self, ev: Work) -> Done:
        return Done(number=ev.number * 2)

    @step
    async def join(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
        batch = ctx.collect_events(ev, self.kept or [Done] * self.pieces)
        if batch is None:
            return None
        return StopEvent(result=sum([piece.number for piece in batch]))


class Sleepers(Fan):
    """The fan whose pieces sleep: I/O of a known length."""

    def __init__(self, pieces: int, seconds: float, *, timeout: float | None = None) -> None:
        self.seconds = seconds
        super().__init__(pieces, timeout=timeout)

    @step(num_workers=MANY)
    async def work(self, ev: Work) -> Done:
        await anyio.sleep(self.seconds)
        return Done(number=ev.number * 2)


class Tick(Event):
    number: int


class Ticking(Workflow[int]):
    """Writes to its stream and ends."""

    @step
    async def begin(self, ctx: Context, ev: Start) -> StopEvent[int]:
        for number in range(ev.number):
            ctx.write_event_to_stream(Tick(number=number))
        return StopEvent(result=ev.number)


class Middle(Event):
    number: int


class Last(Event):
    number: int


class Three(Workflow[int]):
    """Three steps in a row, the second of which waits as it is told."""

    def __init__(self, wait: Wait = checkpoint, *, timeout: float | None = None) -> None:
        self.wait = wait
        super().__init__(timeout=timeout)

    @step
    async def begin(self, ev: Start) -> Middle:
        return Middle(number=ev.number + 1)

    @step
    async def middle(self, ev: Middle) -> Last:
        await self.wait()
        return Last(number=ev.number + 1)

    @step
    async def end(self, ev: Last) -> StopEvent[int]:
        return StopEvent(result=ev.number)


class Backlog(Workflow[int]):
    """Sends everything at once to one worker.

    `look` is called while the first piece is at work and all others wait.
    """

    def __init__(self, look: Callable[[], None], *, timeout: float | None = None) -> None:
        self.look = look
        self.handled = 0
        super().__init__(timeout=timeout)

    @step
    async def begin(self, ctx: Context, ev: Start) -> Work | None:
        self.pieces = ev.number
        for number in range(ev.number):
            ctx.send_event(Work(number=number))
        return None

    @step(num_workers=1)
    async def slow(self, ev: Work) -> StopEvent[int] | None:
        if ev.number == 0:
            self.look()
        await checkpoint()
        self.handled += 1
        return StopEvent(result=self.handled) if self.handled == self.pieces else None


class Ask(Event):
    number: int


class Answer(Event):
    number: int


class Asks(Workflow[int]):
    """One step that asks another again and again, and waits for each answer where it stands."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @step
    async def begin(self, ctx: Context, ev: Start) -> Ask | StopEvent[int]:
        answered = 0
        for number in range(ev.number):
            ctx.send_event(Ask(number=number))
            answer = await ctx.wait_for_event(Answer)
            answered += answer.number == number
        return StopEvent(result=answered)

    @step
    async def answer(self, ev: Ask) -> Answer:
        return Answer(number=ev.number)


class Joins(Workflow[int]):
    """Returns a list, handles each of it at once, and joins what is left of it."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @step
    async def begin(self, ev: Start) -> list[Work]:
        return [Work(number=number) for number in range(ev.number)]

    @step(num_workers=MANY)
    async def work(self, ev: Work) -> Done:
        return Done(number=ev.number)

    @step
    async def join(self, done: list[Done]) -> StopEvent[int]:
        return StopEvent(result=len({each.number for each in done}))


class Tries(Workflow[int]):
    """One step that fails again and again, and is tried again at once."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @step(retry_policy=RetryPolicy(attempts=None, wait=no_wait()))
    async def begin(self, ctx: Context, ev: Start) -> StopEvent[int]:
        if ctx.attempt.number < ev.number:
            raise ConnectionError
        return StopEvent(result=ctx.attempt.number)


class Turn(Event):
    number: int
    total: int


class InSequence(Workflow[int]):
    """Calls in a row: a loop of events."""

    def __init__(self, call: Call, *, timeout: float | None = 600) -> None:
        self.call = call
        super().__init__(timeout=timeout)

    @step
    async def begin(self, ev: Start) -> Turn:
        self.calls = ev.number
        return Turn(number=0, total=0)

    @step
    async def turn(self, ev: Turn) -> Turn | StopEvent[int]:
        total = ev.total + await self.call(ev.number)
        if ev.number + 1 < self.calls:
            return Turn(number=ev.number + 1, total=total)
        return StopEvent(result=total)


class AtOnce(Fan):
    """Calls at once: fan out, collect."""

    def __init__(self, pieces: int, call: Call, *, timeout: float | None = 600) -> None:
        self.call = call
        super().__init__(pieces, timeout=timeout)

    @step(num_workers=MANY)
    async def work(self, ev: Work) -> Done:
        return Done(number=await self.call(ev.number))


Parts = list[dict[str, int]]


def parts(size: int) -> Parts:
    return [{"number": number} for number in range(size)]


@attrs.define
class AttrsState:
    beside: Parts = attrs.Factory(Parts)
    done: list[int] = attrs.Factory(list[int])
    total: int = 0


@dataclasses.dataclass
class DataclassState:
    beside: Parts = dataclasses.field(default_factory=Parts)
    done: list[int] = dataclasses.field(default_factory=list[int])
    total: int = 0


class Edits(Workflow[int]):
    """Edits its state many times, each time a number and a short list; what is beside these is not touched."""

    def __init__(self, beside: Parts) -> None:
        self.beside = beside
        super().__init__(timeout=None)


class MappingEdits(Edits):
    @step
    async def begin(self, ctx: Context, ev: Start) -> StopEvent[int]:
        await ctx.store.set("beside", self.beside)
        for number in range(ev.number):
            async with ctx.store.edit_state() as state:
                state["total"] = state.get("total", 0) + 1
                state["done"] = [number]
                state["done"].append(number)
        return StopEvent(result=await ctx.store.get("total"))


class AttrsEdits(Edits):
    @step
    async def begin(self, ctx: Context[AttrsState], ev: Start) -> StopEvent[int]:
        await ctx.store.set("beside", self.beside)
        for number in range(ev.number):
            async with ctx.store.edit_state() as state:
                state.total += 1
                state.done = [number]
                state.done.append(number)
        return StopEvent(result=await ctx.store.get("total"))


class DataclassEdits(Edits):
    @step
    async def begin(self, ctx: Context[DataclassState], ev: Start) -> StopEvent[int]:
        await ctx.store.set("beside", self.beside)
        for number in range(ev.number):
            async with ctx.store.edit_state() as state:
                state.total += 1
                state.done = [number]
                state.done.append(number)
        return StopEvent(result=await ctx.store.get("total"))
