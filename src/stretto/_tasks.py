"""The tasks of one run: in its task group, or at the root of the loop while none is open.

And what ends them: the one cancel scope that holds the deadline, and who names the steps that do not end.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio

from ._core.effects import Effects
from ._core.inputs import DeadlinePassed
from ._core.machine import Machine
from ._grace import Grace
from ._loop import RootTask
from ._options import Options

if (
    TYPE_CHECKING
):  # anyio loads its parts when they are used, and importing all of them takes longer than stretto
    from anyio.abc import TaskGroup

__all__ = ["Tasks"]


class Tasks:
    """A run as far as it has tasks.

    Attributes:
        scope: What holds the deadline, and is cancelled when the run ends.
    """

    machine: Machine
    clock: Callable[[], float]
    cancelled: type[BaseException]
    _options: Options

    scope: anyio.CancelScope | None = None
    _tg: TaskGroup | None = None
    _hosted: dict[RootTask, None] | None = None
    _workers = 0
    _timers = 0  # of steps that will be tried again
    _grace: Grace | None = None
    _left_by_cancellation = False

    @abstractmethod
    def perform(self, effects: Effects, sender: str | None = None) -> None:
        """Does what the machine asks for; never awaits."""

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """A task of this run: in its task group, or at the root of the loop while none is open."""
        if self._tg is not None:
            self._tg.start_soon(self._member, work)
        else:
            if self._hosted is None:
                self._hosted = {}
            self._hosted[RootTask(work, self._hosted)] = None

    async def _member(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except self.cancelled:
            self._leave_by_cancellation()
            raise

    def _leave_by_cancellation(self) -> None:
        """A task of the group is about to end by a cancellation: looks at it before the group does.

        For the group cancels its own scope then, and afterwards that would look as if the deadline had passed.
        """
        self.note_deadline()
        self._left_by_cancellation = True

    def note_deadline(self) -> None:
        """If our own scope was cancelled, and not by us, the deadline has passed."""
        scope = self.scope
        if scope is None or self.machine.ended is not None or self._left_by_cancellation:
            return
        if scope.cancel_called and (now := self.clock()) >= self.machine.deadline:
            self.perform(self.machine.receive(DeadlinePassed(at=now)))

    def note_cancellation(self, *, idle: bool) -> None:
        """A worker is about to be hit by a cancellation; an idle one only by one of the whole run."""
        self.note_deadline()
        if idle:
            self.watch()

    # -- who does not end ------------------------------------------------------------------------------------

    def attend(self, ended: anyio.Event) -> None:
        """Names a step in a thread that does not end after the run was cancelled."""
        self._spawn(partial(self._patience().attend, ended))

    def watch(self) -> None:
        """Sees to it that steps which do not end after a cancellation are named."""
        if self._workers and (self._tg is not None or self.machine.ended is not None):
            self._patience().watch()

    def _patience(self) -> Grace:
        if self._grace is None:
            self._grace = Grace(self.machine, self._options.grace, self._spawn)
        return self._grace

    def _worker_left(self) -> None:
        self._workers -= 1
        if not self._workers and self._grace is not None:
            self._grace.all_ended()
