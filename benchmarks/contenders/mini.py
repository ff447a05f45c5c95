"""A mini-engine, the yardstick for stretto's own cost.

It keeps no promise but the result: no checks, no deadline past a blocked loop, no dead letters, no contexts.
What it does do (route by type, bound the workers, fan out, collect, time out) it does in the cheapest shape
that anyio allows, the one that stretto's driver has too: whoever ends a step goes on with the next ready
event, one spare task stands by while more is ready, and no task group is opened before a step that may send.
The distance from here to stretto is the price of the promises.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
import attrs
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

TURNS = 32
"""Steps between two checkpoints: the loop stays fair and a checkpoint's price is shared."""

E = TypeVar("E")


@attrs.define(slots=True, eq=False)
class Stop:
    """Ends a run."""

    result: object


# A table maps the type of an event to its step, so the step's parameter cannot be named more closely.
StepFunction = Callable[["MiniRun", Any], Awaitable[object]]


@attrs.define(slots=True, eq=False)
class MiniStep:
    """A step function; `sends` says that it uses the run, so a task group must be open."""

    function: StepFunction
    sends: bool = False
    workers: int = 4


class _Lane:
    """One step in one run: who is at work and who waits for a worker."""

    __slots__ = ("active", "function", "sends", "waiting", "workers")

    def __init__(self, step: MiniStep) -> None:
        self.function, self.sends, self.workers = step.function, step.sends, step.workers
        self.active = 0
        self.waiting: deque[object] = deque()


class _Batch:
    """One list of expected types, counted down instead of counted anew at every arrival."""

    __slots__ = ("expected", "missing", "needed", "seen")

    def __init__(self, expected: Sequence[type]) -> None:
        self.expected = expected  # also keeps the list's id from being used again
        self.needed = Counter(expected)
        self.seen: dict[type, deque[Any]] = {kind: deque() for kind in self.needed}
        self.missing = len(self.needed)


class MiniRun:
    """One run of one table of steps; made anew for each run."""

    __slots__ = ("_alive", "_batches", "_group", "_lanes", "_over", "_ready", "_result", "_spare", "write")

    def __init__(self, steps: Mapping[type, MiniStep], write: Callable[[object], None] | None = None) -> None:
        self._lanes = {kind: _Lane(step) for kind, step in steps.items()}
        self._ready: deque[object] = deque()
        self._batches: dict[int, _Batch] = {}
        self._group: TaskGroup | None = None
        self._result: object = None
        self._over = False
        self._spare = True  # the caller's own task is the first worker
        self._alive = 0
        self.write = write

    async def run(self, event: object, seconds: float | None = None) -> object:
        """Runs from `event` to a `Stop` and gives its result; longer than `seconds` is a TimeoutError."""
        if seconds is None:
            event = await self._chain(event)
            deadline = math.inf
        else:
            deadline = anyio.current_time() + seconds
            with anyio.CancelScope(deadline=deadline) as scope:
                event = await self._chain(event)
            if scope.cancelled_caught:
                raise TimeoutError
        if type(event) is Stop:
            return event.result
        return await self._branch(event, deadline)

    def send(self, event: object) -> None:
        """Hands an event to its step, and sees to it that somebody will take it up."""
        self._ready.append(event)
        if not self._spare:
            self._stand_by()

    def collect(self, event: E, expected: Sequence[type[E]]) -> list[E] | None:
        """Gives the batch when the last of it arrives, and forgets it."""
        batch = self._batches.get(id(expected))
        if batch is None:
            batch = self._batches[id(expected)] = _Batch(expected)
        kind = type(event)
        arrived = batch.seen[kind]
        arrived.append(event)
        if len(arrived) == batch.needed[kind]:
            batch.missing -= 1
            if not batch.missing:
                del self._batches[id(expected)]
                return [batch.seen[slot].popleft() for slot in expected]
        return None

    async def _chain(self, event: object) -> object:
        """Awaits step after step in the caller's own task, up to a `Stop` or a step that may send."""
        await checkpoint()
        left = TURNS
        while type(event) is not Stop:
            lane = self._lanes[type(event)]
            if lane.sends:
                break
            event = await lane.function(self, event)
            left -= 1
            if not left:
                left = TURNS
                await checkpoint()
        return event

    async def _branch(self, event: object, deadline: float) -> object:
        async with anyio.create_task_group() as self._group:
            if deadline != math.inf:
                self._group.cancel_scope.deadline = deadline
            self._ready.append(event)
            await self._work()
        if not self._over:
            raise TimeoutError
        return self._result

    async def _work(self) -> None:
        self._spare = False
        self._alive += 1
        ready, lanes, left = self._ready, self._lanes, TURNS
        while ready and not self._over:
            event = ready.popleft()
            if type(event) is Stop:
                self._stop(event)
                break
            lane = lanes[type(event)]
            if lane.active == lane.workers:
                lane.waiting.append(event)
                continue
            lane.active += 1
            if ready and not self._spare:
                self._stand_by()
            following = await lane.function(self, event)
            lane.active -= 1
            if following is not None:
                ready.append(following)
            if lane.waiting:
                ready.append(lane.waiting.popleft())
            left -= 1
            if not left:
                left = TURNS
                await checkpoint()
        self._alive -= 1

    def _stand_by(self) -> None:
        if self._group is not None:
            self._spare = True
            self._group.start_soon(self._work)

    def _stop(self, event: Stop) -> None:
        self._over, self._result = True, event.result
        self._ready.clear()
        # A spare that has not begun finds nothing to do; cancelling it would cost more than letting it look.
        if self._alive > 1 and self._group is not None:
            self._group.cancel_scope.cancel()


class MiniStream:
    """A deque and one wake-up: the reader is woken when it waits, and never asked for anything else."""

    __slots__ = ("_closed", "_items", "_wake")

    def __init__(self) -> None:
        self._items: deque[object] = deque()
        self._wake: anyio.Event | None = None
        self._closed = False

    def write(self, item: object) -> None:
        self._items.append(item)
        self._rouse()

    def close(self) -> None:
        self._closed = True
        self._rouse()

    def __aiter__(self) -> MiniStream:
        return self

    async def __anext__(self) -> object:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._wake = anyio.Event()
            await self._wake.wait()
        return self._items.popleft()

    def _rouse(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.set()
