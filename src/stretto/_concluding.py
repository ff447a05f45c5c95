"""The end of a run: decided by the machine, by a cancellation or by a bug; cleaned up after; then told."""

from __future__ import annotations

from abc import abstractmethod
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import anyio

from ._core.inputs import CancelAsked, Concluded, Ending, Interrupted
from ._writing import Writing
from .errors import InternalError, WorkflowTimeoutError, add_note, leaves, without

if TYPE_CHECKING:
    from contextvars import Context as VarContext

    from ._core.completed import Entry
    from ._core.delivery import Delivery

__all__ = ["Concluding"]


class Concluding(Writing):
    """A run as far as it ends.

    Attributes:
        used_below: For the steps of runs nested in it that have ended, the seconds that they used; None if none did.
    """

    _finished: anyio.Event | None = None
    used_below: dict[str, float] | None = None

    @abstractmethod
    def run_of(self, carry: VarContext) -> Any:  # noqa: ANN401 - a run, which stands above
        """The run that something with these context variables was a step of."""

    def end(self) -> None:
        """The run is decided: what still works is cancelled; a spare that has not begun ends by itself."""
        self.queue.wake()
        if self.machine.waiters is not None:
            self.perform(self.machine.receive(Ending()))
        if self.line is not None:
            self.line.decided(self)
        active = self.machine.active
        at_work = active and any(each.started is not None for each in active)
        if self.around is not None:
            self.around.decided(self)  # which may hand on what has not begun
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
        try:
            await self._undo()
        except anyio.get_cancelled_exc_class() as again:  # noqa: ASYNC103 - raised below
            error = again
        if self._stock is not None:
            try:
                await self._stock.close(self.machine.error)
            except anyio.get_cancelled_exc_class() as again:  # noqa: ASYNC103 - raised below
                error = again
        if isinstance(error, self.cancelled) and not self.machine.errors and not self.is_half_undone:
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
        last = machine.receive(Concluded()) if unsettled or machine.flows is not None else ()
        error = machine.error()
        if machine.undos is not None or self.around is not None:
            self._hand_over_undos()
        self.outcome = (machine.result, None) if error is None else (None, error)
        if self.parent is not None or self.used_below is not None:
            self._tell_used()
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

    # -- what its steps have done ------------------------------------------------------------------------------

    async def _undo(self) -> None:
        """If the run has failed, undoes what its steps have completed; the second time there is nothing left to do."""
        log = self.undo_log
        if not log or not self.undoes or self.is_undone_elsewhere or self.is_answered:
            return
        if self.machine.error() is None:
            return
        from ._undoing import undo  # noqa: PLC0415 - only for who undoes

        await undo(cast("Any", self), self.machine.keep_undos(log), self._options, self.run_of)

    def _hand_over_undos(self) -> None:
        """What a nested run has done, and has not undone, is undone with the run around it, if that fails."""
        log = self.undo_log
        if not log or self.is_undone_elsewhere:
            return
        done = log[:]
        log.clear()
        if self.parent is not None:
            self.parent.take_in_undos(done, self.made_by)

    def take_in_undos(self, log: list[Entry], maker: Delivery | None) -> None:
        """What a nested run has done is undone with this one; and if this is over, with the one around it."""
        if self.outcome is None or self.is_among_others:
            shared = None if self.around is None else self.around.undo_log
            self.machine.keep_undos(shared).take_in(log, maker)
        elif self.outcome[1] is None and self.parent is not None:
            self.parent.take_in_undos(log, None)

    def _tell_used(self) -> None:
        """What used its time is told by the run around it, and what was used below by an error of its deadline."""
        from ._core.reporting import used  # noqa: PLC0415 - only where runs are nested

        machine, below, late = self.machine, self.used_below or {}, self.machine.verdict
        own = late.used if isinstance(late, WorkflowTimeoutError) else used(machine)
        if self.parent is not None and (own or below):
            around = cast("Concluding", self.parent)
            around.used_below = around.used_below or {}
            for name, took in [
                *((f"{machine.plan.name}.{step}", took) for step, took in own.items()),
                *below.items(),
            ]:
                around.used_below[name] = around.used_below.get(name, 0.0) + took
        if below and isinstance(late, WorkflowTimeoutError):
            everything = sorted({**own, **below}.items(), key=itemgetter(1), reverse=True)
            late.used.clear()
            late.used.update(everything)
            told = ", ".join(f"{name} {took:.3g} s" for name, took in everything if name in below)
            add_note(late, f"of that, nested runs of {machine.plan.name} used: {told}")

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

    async def abandon_and_undo(self, why: str) -> None:
        """As `abandon`; what a run that goes on from a snapshot has done before is undone."""
        self.cancel(why)
        try:
            await self._undo()
        finally:
            self._conclude()
