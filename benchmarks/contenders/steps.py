"""The step functions that the floor and the mini-engine share.

The floor awaits them by hand and passes None for the run: only those that send take any notice of it. Their
values are plain attrs classes, not frozen and not checked; a program without an engine would pay no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import attrs

from benchmarks.contenders.mini import MiniRun, MiniStep, Stop

MANY = 20_000
"""More workers than any cell has events: nothing waits for a worker."""

Wait = Callable[[], Awaitable[None]]
Table = dict[type, MiniStep]


@attrs.define(kw_only=True, eq=False)
class Start:
    """What a run is given."""

    number: int = 0


@attrs.define(kw_only=True, eq=False)
class Hop:
    """One turn of the loop."""

    turn: int
    turns: int


@attrs.define(kw_only=True, eq=False)
class Work:
    """One piece of a fan-out."""

    number: int


@attrs.define(kw_only=True, eq=False)
class Done:
    """What became of one piece."""

    number: int


@attrs.define(kw_only=True, eq=False)
class Tick:
    """One event of a stream."""

    number: int


@attrs.define(kw_only=True, eq=False)
class Middle:
    """Between the first and the second of three steps."""

    number: int


@attrs.define(kw_only=True, eq=False)
class Last:
    """Between the second and the third of three steps."""

    number: int


class Smallest:
    """One step, nothing else."""

    async def begin(self, run: MiniRun | None, event: Start) -> Stop:
        return Stop(event.number)


class Loop:
    """A step that returns its own event until it has had enough."""

    async def begin(self, run: MiniRun | None, event: Start) -> Hop:
        return Hop(turn=0, turns=event.number)

    async def turn(self, run: MiniRun | None, event: Hop) -> Hop | Stop:
        if event.turn < event.turns:
            return Hop(turn=event.turn + 1, turns=event.turns)
        return Stop(event.turn)


class Fan:
    """Sends pieces, handles them at once, joins them."""

    def __init__(self, pieces: int) -> None:
        self.expected: Sequence[type[Done]] = [Done] * pieces

    async def begin(self, run: MiniRun, event: Start) -> None:
        for number in range(event.number):
            run.send(Work(number=number))

    async def work(self, run: MiniRun | None, event: Work) -> Done:
        return Done(number=event.number * 2)

    async def join(self, run: MiniRun, event: Done) -> Stop | None:
        batch = run.collect(event, self.expected)
        if batch is None:
            return None
        return Stop(sum([piece.number for piece in batch]))


class Sleepers(Fan):
    """The fan whose pieces sleep: I/O of a known length."""

    def __init__(self, pieces: int, seconds: float) -> None:
        super().__init__(pieces)
        self.seconds = seconds

    async def work(self, run: MiniRun | None, event: Work) -> Done:
        await anyio.sleep(self.seconds)
        return Done(number=event.number * 2)


class Ticking:
    """Writes to its stream and ends."""

    async def begin(self, run: MiniRun, event: Start) -> Stop:
        write = run.write
        if write is not None:
            for number in range(event.number):
                write(Tick(number=number))
        return Stop(event.number)


class Three:
    """Three steps in a row, the second of which waits as it is told."""

    def __init__(self, wait: Wait) -> None:
        self.wait = wait

    async def begin(self, run: MiniRun | None, event: Start) -> Middle:
        return Middle(number=event.number + 1)

    async def middle(self, run: MiniRun | None, event: Middle) -> Last:
        await self.wait()
        return Last(number=event.number + 1)

    async def end(self, run: MiniRun | None, event: Last) -> Stop:
        return Stop(event.number)


SMALLEST: Table = {Start: MiniStep(Smallest().begin)}
LOOP: Table = {Start: MiniStep(Loop().begin), Hop: MiniStep(Loop().turn)}
STREAM: Table = {Start: MiniStep(Ticking().begin)}


def fan(job: Fan) -> Table:
    """The mini-engine's table for a fan."""
    return {
        Start: MiniStep(job.begin, sends=True),
        Work: MiniStep(job.work, workers=MANY),
        Done: MiniStep(job.join, sends=True),
    }


def three(job: Three) -> Table:
    """The mini-engine's table for three steps in a row."""
    return {Start: MiniStep(job.begin), Middle: MiniStep(job.middle), Last: MiniStep(job.end)}
