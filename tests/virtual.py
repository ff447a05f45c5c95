"""Virtual time on both backends, so that a test of an hour takes a millisecond and is exact.

asyncio gets a loop of ours (`VirtualLoop`), trio its `MockClock`. Both jump to the next timer when nobody can
do anything but wait. Two things such clocks usually get wrong are held here:

* **Threads.** A worker thread of anyio is work, though no task runs. While one is in flight nothing jumps:
  time passes as it does outside.
* **Deadlock.** When every task waits, no timer is set and no thread is in flight, the program is stuck for
  good. It is then cancelled and `Deadlock` names what each task was waiting at, in place of a run that hangs.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
import trio
from anyio._backends._asyncio import AsyncIOBackend
from anyio._backends._trio import TrioBackend
from trio.testing import MockClock

T = TypeVar("T")

BACKENDS = ("asyncio", "trio")

PATIENCE = 5.0
"""Real seconds to wait for a socket before a program whose tasks all wait is called stuck."""


class Deadlock(AssertionError):  # noqa: N818 - it is what happened
    """Every task of the program waits for something that can never come."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock stands still while somebody works and jumps when nobody does."""

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = 0
        self.guard: anyio.CancelScope | None = None
        self.stuck: str | None = None
        self.on_turn: Callable[[], None] | None = None
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        # The loop rounds deadlines up by this much. Nanoseconds would be lost in a float of 1e7 seconds, and
        # the timer that is due "now" would never be.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if self.on_turn is not None:
            self.on_turn()
        super()._run_once()  # pyright: ignore[reportAttributeAccessIssue]

    def next_timer(self) -> float:
        """When the next timer is due. anyio's `sleep_forever()` is a timer at infinity."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # pyright: ignore[reportAttributeAccessIssue]
        return scheduled[0].when() if scheduled else math.inf

    def give_up(self) -> None:
        """Nothing can happen any more: cancel the program, or stop the loop if it did not let go of that."""
        report = _who_waits((task.get_name(), task.get_coro()) for task in asyncio.all_tasks(self))
        if self.guard is None or self.stuck is not None:
            raise Deadlock(report)
        self.stuck = report
        self.call_soon(self.guard.cancel)


class _JumpingSelector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self.loop.threads:
            began = time.monotonic()
            events = super().select(timeout)
            self.loop.now += time.monotonic() - began
            return events
        when = self.loop.next_timer()
        if when < math.inf:
            self.loop.now = max(self.loop.now, when)
            return events
        if len(self.get_map()) > 1:  # more than the loop's own self-pipe: a socket may still speak up
            events = super().select(PATIENCE)
        if not events:
            self.loop.give_up()
        return events


class _TrioWatch(trio.abc.Instrument):
    """Sees the deadlocks of a trio run: with a MockClock they would spin for ever."""

    def __init__(self, clock: MockClock) -> None:
        self.clock = clock
        self.threads = 0
        self.guard: anyio.CancelScope | None = None
        self.stuck: str | None = None
        self.idle_turns = 0
        self.idle_since = 0.0

    def count(self, change: int) -> None:
        """A thread began (1) or ended (-1): while there is one, time is real and does not jump."""
        self.threads += change
        self.clock.rate = 1.0 if self.threads else 0.0
        self.clock.autojump_threshold = math.inf if self.threads else 0.0

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        self.idle_turns = 0

    def before_io_wait(self, timeout: float) -> None:
        self.idle_turns += 1
        if self.idle_turns == 2:
            self.idle_since = time.monotonic()
        if self.idle_turns < 3 or self.threads or self.guard is None:
            return
        statistics = trio.lowlevel.current_statistics()
        if statistics.seconds_to_next_deadline < math.inf:
            return
        if _sockets(statistics.io_statistics) and time.monotonic() - self.idle_since < PATIENCE:
            return
        self.give_up()

    def give_up(self) -> None:
        report = _who_waits((task.name, task.coro) for task in _trio_tasks())
        self.idle_turns = 0
        if self.stuck is None and self.guard is not None:
            self.stuck = report
            trio.lowlevel.current_trio_token().run_sync_soon(self.guard.cancel)
        else:  # it did not let go of the cancellation either: the interpreter's own way out
            print(f"still stuck after it was cancelled:\n{report}", file=sys.stderr)
            self.guard = None
            signal.raise_signal(signal.SIGINT)


_watches: WeakKeyDictionary[MockClock, _TrioWatch] = WeakKeyDictionary()


def virtual_backend(name: str) -> tuple[str, dict[str, Any]]:
    """The backend `name` with fresh virtual time, as anyio's pytest plugin and `anyio.run` want it."""
    if name == "asyncio":
        return name, {"loop_factory": VirtualLoop}
    clock = MockClock(autojump_threshold=0)
    watch = _watches[clock] = _TrioWatch(clock)
    return name, {"clock": clock, "instruments": [watch]}


def run(fn: Callable[..., Awaitable[T]], *args: Any, backend: str) -> T:
    """`anyio.run` in virtual time; a program that is stuck for good raises `Deadlock`."""
    name, options = virtual_backend(backend)
    return anyio.run(guarded, fn, args, backend=name, backend_options=options)


async def guarded(
    fn: Callable[..., Awaitable[T]], args: Iterable[Any], kwargs: Mapping[str, Any] | None = None
) -> T:
    """Await `fn(*args)`; if it deadlocks, cancel it and raise `Deadlock`. In real time it is a plain call."""
    world = current_world()
    if world is None:
        return await fn(*args, **(kwargs or {}))
    with anyio.CancelScope() as scope:
        world.guard, world.stuck = scope, None
        try:
            return await fn(*args, **(kwargs or {}))
        finally:
            world.guard = None
            if world.stuck is not None:
                raise Deadlock(world.stuck) from None
    raise AssertionError("only a deadlock cancels this scope")


def current_world() -> VirtualLoop | _TrioWatch | None:
    """What keeps virtual time for the running loop; None where time is real."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        return loop if isinstance(loop, VirtualLoop) else None
    if not trio.lowlevel.in_trio_run():
        return None
    clock = trio.lowlevel.current_clock()
    return _watches.get(clock) if isinstance(clock, MockClock) else None


def threads_at_work() -> int:
    """How many of anyio's worker threads the running program is waiting for. Needs virtual time."""
    world = current_world()
    return world.threads if world is not None else 0


@contextmanager
def _one_thread_more() -> Generator[None]:
    world = current_world()
    if world is None:
        yield
        return
    count = world.count if isinstance(world, _TrioWatch) else lambda change: _count(world, change)
    count(1)
    try:
        yield
    finally:
        count(-1)


def _count(loop: VirtualLoop, change: int) -> None:
    loop.threads += change


def _watch_threads(backend: Any) -> None:
    """Wrap the one function through which anyio starts worker threads on `backend`.

    The limiters of `anyio.to_thread` count threads too, but a program may bring limiters of its own, and an
    abandoned thread gives its token back on asyncio and keeps it on trio.
    """
    original = backend.run_sync_in_worker_thread.__func__

    async def run_sync_in_worker_thread(cls: Any, *args: Any, **kwargs: Any) -> Any:
        with _one_thread_more():
            return await original(cls, *args, **kwargs)

    backend.run_sync_in_worker_thread = classmethod(run_sync_in_worker_thread)


_watch_threads(AsyncIOBackend)
_watch_threads(TrioBackend)


def _sockets(io: Any) -> int:
    """How many tasks wait for a socket, beside the one that waits for trio's own wake-up socket."""
    return int(io.tasks_waiting_read + io.tasks_waiting_write) - 1


def _trio_tasks() -> Generator[trio.lowlevel.Task]:
    todo = [root] if (root := trio.lowlevel.current_root_task()) is not None else []
    while todo:
        task = todo.pop()
        yield task
        for nursery in task.child_nurseries:
            todo.extend(nursery.child_tasks)


def _who_waits(tasks: Iterable[tuple[str, Any]]) -> str:
    lines = [f"  {name}: {_where(coro)}" for name, coro in tasks]
    return "\n".join(["every task waits, no timer is set and no thread is at work:", *sorted(lines)])


def _where(coro: Any) -> str:
    """The innermost frame of a suspended coroutine, and the one that is not a library's, if there is one."""
    frames = []
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is not None:
            frames.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    own = [text for text in frames if "site-packages" not in text]
    return " > ".join(own[-3:] or frames[-1:] or ["has not begun"])
