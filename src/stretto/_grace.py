"""Names the steps that do not end after their run was cancelled.

Nothing is abandoned but a thread whose step says so, so somebody must say why a run goes on.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import final

import anyio

from ._core.state import RunState
from ._log import logger

__all__ = ["Grace"]


@final
class Grace:
    """Watches the workers of one run once it is being cancelled.

    A cancellation seen by a step may be one of a scope of its own, which is nobody else's business; so the
    watch first looks whether the run is cancelled, which it can because it stands in the run's task group.
    """

    _gone: anyio.Event | None = None

    def __init__(
        self, state: RunState, seconds: float, spawn: Callable[[Callable[[], Awaitable[None]]], None]
    ) -> None:
        self._state = state
        self._seconds = seconds
        self._spawn = spawn
        self._named: set[str] = set()

    def watch(self) -> None:
        """Begins to watch, if nobody does."""
        if self._gone is None:
            self._gone = anyio.Event()
            self._spawn(self._watch)

    def all_ended(self) -> None:
        """The last worker has ended, and with it the watch, so that a quick end is not held up."""
        if self._gone is not None:
            self._gone.set()

    async def attend(self, ended: anyio.Event) -> None:
        """Stands beside a step in a thread, which no cancellation reaches."""
        try:
            await ended.wait()
        except anyio.get_cancelled_exc_class():
            await self._name_the_slow(ended)  # noqa: ASYNC102 - it shields itself
            raise

    async def _watch(self) -> None:
        gone = self._gone
        if gone is None or (self._state.ended is None and anyio.current_effective_deadline() != -math.inf):
            self._gone = None
            return
        await self._name_the_slow(gone)

    async def _name_the_slow(self, ended: anyio.Event) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(self._seconds) as waited:
            await ended.wait()
        active = dict.fromkeys(each.step.label for each in self._state.active if each.started is not None)
        slow = [label for label in active if label not in self._named]
        if waited.cancelled_caught and slow:
            self._named.update(slow)
            logger().warning(
                "%s: %.3g s after the run was cancelled these steps have not ended: %s; the run waits for them",
                self._state.plan.name,
                self._seconds,
                ", ".join(slow),
            )
