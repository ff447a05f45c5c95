"""The end of a run: decided by the machine, by a cancellation or by a bug; cleaned up after; then told."""

from __future__ import annotations

from typing import Any

import anyio

from ._core.inputs import CancelAsked, Concluded, Ending, Interrupted
from ._writing import Writing
from .errors import InternalError, leaves, without

__all__ = ["Concluding"]


class Concluding(Writing):
    """A run as far as it ends."""

    _finished: anyio.Event | None = None

    def end(self) -> None:
        """The run is decided: what still works is cancelled; a spare that has not begun ends by itself."""
        self.queue.wake()
        if self.machine.waiters is not None:
            self.perform(self.machine.receive(Ending()))
        if self.line is not None:
            self.line.wake(self)
        if self.around is not None:
            self.around.decided(self)
        active = self.machine.active
        at_work = active and any(each.started is not None for each in active)
        if at_work or self._children or self._hosted or self.machine.waiters or self._timers:
            if self.scope is not None:
                self.scope.cancel()
            for task in self._hosted or ():
                task.cancel()
            self.watch()

    async def _cut_short(self, error: BaseException) -> None:
        """Something came out that is no end of a run: the caller's cancellation, Ctrl-C, or a bug of ours."""
        self._tg = None
        try:
            await self._end_nested()
        except anyio.get_cancelled_exc_class() as again:  # noqa: ASYNC103 - raised below
            error = again
        self._interrupted(error)
        if self._stock is not None:
            try:
                await self._stock.close(self.machine.error)
            except anyio.get_cancelled_exc_class() as again:  # noqa: ASYNC103 - raised below
                error = again
        if isinstance(error, self.cancelled) and not self.machine.errors:
            self._conclude()
            raise error

    def _interrupted(self, error: BaseException) -> None:
        if isinstance(error, self.cancelled):
            self.machine.receive(CancelAsked(why="by its caller", at=self.clock(), by_caller=True))
            return
        causes = leaves(without(error, self.cancelled))
        broken = next((leaf for leaf in causes if not isinstance(leaf, Exception)), None)
        if broken is None:
            broken = InternalError(
                f"stretto failed while it ran {self.machine.plan.name}; please report this"
            )
            broken.__cause__ = causes[0]
        self.machine.receive(Interrupted(error=broken))

    def _conclude(self) -> tuple[Any, BaseException | None]:
        """The outcome is settled: the stream gets its last event, and who waits is told."""
        machine = self.machine
        unsettled = machine.mailbox is not None or machine.waiters is not None or machine.room is not None
        last = machine.receive(Concluded()) if unsettled else ()
        error = machine.error()
        self.outcome = (machine.result, None) if error is None else (None, error)
        if self.hub is not None:
            self.hub.close(machine.terminal_event())
            self.publish = self._publish_late  # type: ignore[method-assign]
        if self.merged is not None:
            self.close_merged(machine.terminal_event())
        self.queue.close()
        if self._finished is not None:
            self._finished.set()
        if self.line is not None:
            self.line.leave(self)
        self._tg = self.scope = None
        self._working = False
        self.perform(last)
        if self.around is not None and self.around.root is self:
            self.around.concluded()
        return self.outcome

    async def wait(self) -> None:
        """Waits until the outcome is settled."""
        if self.outcome is None:
            if self._finished is None:
                self._finished = anyio.Event()
            await self._finished.wait()

    def cancel(self, why: str) -> None:
        """Cancels the run; its steps may still clean up."""
        if self.outcome is None:
            self.perform(self.machine.receive(CancelAsked(why=why, at=self.clock())))
            if self.around is not None:
                self.around.cancelled(self)

    def abandon(self, why: str) -> None:
        """Cancels a run that was never executed."""
        self.cancel(why)
        self._conclude()
