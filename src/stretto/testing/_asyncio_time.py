"""Virtual time on asyncio: an event loop that jumps to its next timer when nothing is left to do."""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Awaitable, Callable
from typing import final

import anyio

from ._stuck import Deadlock, who_waits
from ._world import PATIENCE, PULSE

__all__ = ["VirtualLoop"]


@final
class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock stands still while somebody works and jumps when nobody does.

    Attributes:
        on_turn: Called before each turn of the loop.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = 0
        self.frozen = False
        self.guard: anyio.CancelScope | None = None
        self.stuck: str | None = None
        self.on_turn: Callable[[], None] | None = None
        self.idle_waiters: list[asyncio.Future[None]] = []
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        # The loop rounds deadlines up by this much. Nanoseconds would be lost in a float of 1e7 seconds, and
        # the timer that is due "now" would never be.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now

    def _run_once(self) -> None:
        PULSE.turns += 1
        if self.on_turn is not None:
            self.on_turn()
        super()._run_once()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    def count(self, change: int) -> None:
        """A thread began (1) or ended (-1)."""
        self.threads += change

    def idle(self) -> Awaitable[None]:
        """Done when nobody can do anything but wait."""
        waiter = self.create_future()
        self.idle_waiters.append(waiter)
        return waiter

    def jump(self, seconds: float) -> None:
        """Time passes at once."""
        self.now += seconds

    def next_timer(self) -> float:
        """When the next timer is due. anyio's `sleep_forever()` is a timer at infinity."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
        return scheduled[0].when() if scheduled else math.inf  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]

    def give_up(self) -> None:
        """Nothing can happen any more: cancel the program, or stop the loop if it did not let go of that."""
        report = who_waits((task.get_name(), task.get_coro()) for task in asyncio.all_tasks(self))
        if self.guard is None or self.stuck is not None:
            raise Deadlock(report)
        self.stuck = report
        self.call_soon(self.guard.cancel)


@final
class _JumpingSelector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if loop.threads:
            return self._wait_for_a_thread(timeout)
        if loop.idle_waiters:
            waiter = loop.idle_waiters.pop()
            if not waiter.done():
                waiter.set_result(None)
            return events
        when = loop.next_timer()
        if when < math.inf:
            loop.now = max(loop.now, when)
            return events
        if len(self.get_map()) > 1:  # more than the loop's own self-pipe: a socket may still speak up
            events = super().select(PATIENCE)
        if not events:
            loop.give_up()
        return events

    def _wait_for_a_thread(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.loop.frozen:
            return super().select(None)
        began = time.monotonic()
        events = super().select(timeout)
        self.loop.now += time.monotonic() - began
        return events
