"""Virtual time on trio: its `MockClock`, and an eye on the deadlocks that spin under it for ever."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, final
from weakref import WeakKeyDictionary

import anyio
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ._stuck import who_waits
from ._world import PATIENCE, PULSE

__all__ = ["TrioWatch", "clock_options", "current_watch", "in_order"]


@final
class TrioWatch(trio.abc.Instrument):
    """Sees the deadlocks of a trio run, counts its threads, and says when it is idle."""

    def __init__(self, clock: MockClock) -> None:
        self.clock = clock
        self.threads = 0
        self.frozen = False
        self.guard: anyio.CancelScope | None = None
        self.stuck: str | None = None
        self.idle_turns = 0
        self.idle_since = 0.0
        self._quiet: trio.Event | None = None
        self._idlers = 0

    def count(self, change: int) -> None:
        """A thread began (1) or ended (-1): while there is one, time is real and does not jump."""
        self.threads += change
        self.clock.rate = 1.0 if self.threads and not self.frozen else 0.0
        self.clock.autojump_threshold = math.inf if self.threads else 0.0
        if not self.threads and self._quiet is not None:
            self._quiet.set()
            self._quiet = None

    async def idle(self) -> None:
        """Returns when nobody can do anything but wait."""
        await self._all_blocked()
        while self.threads:
            if self._quiet is None:
                self._quiet = trio.Event()
            await self._quiet.wait()
            await self._all_blocked()

    async def _all_blocked(self) -> None:
        self._idlers += 1  # who waits for that will be woken: nothing is stuck until then
        try:
            await wait_all_tasks_blocked()
        finally:
            self._idlers -= 1

    def jump(self, seconds: float) -> None:
        """Time passes at once."""
        self.clock.jump(seconds)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's interface
        """Somebody can go on."""
        self.idle_turns = 0

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's interface
        """Nothing is ready; if that stays so and no timer is set, nothing ever will be."""
        PULSE.turns += 1
        self.idle_turns += 1
        if self.idle_turns == 2:  # noqa: PLR2004 - the first may come before a jump of the clock
            self.idle_since = time.monotonic()
        if self.idle_turns < 3 or self.threads or self._idlers or self.guard is None:  # noqa: PLR2004
            return
        statistics = trio.lowlevel.current_statistics()
        if statistics.seconds_to_next_deadline < math.inf:
            return
        if _sockets(statistics.io_statistics) and time.monotonic() - self.idle_since < PATIENCE:
            return
        self.give_up()

    def give_up(self) -> None:
        """Nothing can happen any more: cancel the program, or interrupt it if it did not let go of that."""
        report = who_waits((task.name, task.coro) for task in _all_tasks())
        self.idle_turns = 0
        if self.stuck is None and self.guard is not None:
            self.stuck = report
            trio.lowlevel.current_trio_token().run_sync_soon(self.guard.cancel)
        else:  # the interpreter's own way out
            sys.stderr.write(f"still stuck after it was cancelled:\n{report}\n")
            self.guard = None
            signal.raise_signal(signal.SIGINT)


_watches: WeakKeyDictionary[MockClock, TrioWatch] = WeakKeyDictionary()


def clock_options() -> dict[str, Any]:
    """What `trio.run` needs for a fresh virtual time."""
    clock = MockClock(autojump_threshold=0)
    watch = _watches[clock] = TrioWatch(clock)
    return {"clock": clock, "instruments": [watch]}


def current_watch() -> TrioWatch | None:
    """The one of the running loop; None where no trio runs, or its time is real."""
    if not trio.lowlevel.in_trio_run():
        return None
    clock = trio.lowlevel.current_clock()
    return _watches.get(clock) if isinstance(clock, MockClock) else None


@final
class _InOrder:
    """In place of the random numbers with which trio shuffles the tasks that are ready at one instant."""

    def random(self) -> float:
        return 1.0

    def shuffle(self, batch: list[Any]) -> None:
        """Leaves it as it is."""


@contextmanager
def in_order() -> Generator[None]:
    """Tasks that are ready at one instant run in the order in which they became so, that a schedule can be repeated."""
    run: Any = sys.modules["trio._core._run"]
    before = run._r, run._ALLOW_DETERMINISTIC_SCHEDULING  # noqa: SLF001 - private, and there is no other way
    run._r, run._ALLOW_DETERMINISTIC_SCHEDULING = _InOrder(), False  # noqa: SLF001
    try:
        yield
    finally:
        run._r, run._ALLOW_DETERMINISTIC_SCHEDULING = before  # noqa: SLF001


def _sockets(io: Any) -> int:  # noqa: ANN401 - its class differs by platform
    """How many tasks wait for a socket, beside the one that waits for trio's own wake-up socket."""
    return int(io.tasks_waiting_read + io.tasks_waiting_write) - 1


def _all_tasks() -> Generator[trio.lowlevel.Task]:
    todo = [root] if (root := trio.lowlevel.current_root_task()) is not None else []
    while todo:
        task = todo.pop()
        yield task
        for nursery in task.child_nurseries:
            todo.extend(nursery.child_tasks)
