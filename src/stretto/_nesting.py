"""Runs that are nested in a run: made by its steps, hosted in its tasks, and ended with it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from ._core.inputs import FeederClosed, FeederOpened
from ._core.state import Delivery, Ended
from ._log import logger
from ._loop import RootTask, outlast
from ._tasks import Tasks

if TYPE_CHECKING:
    from ._core.completed import Entry

__all__ = ["Nesting", "making", "racing"]

# The step that is at work here, if a join may cut its work short.
racing: ContextVar[Delivery | None] = ContextVar("stretto_racing", default=None)

# The step that is at work here, if its workflow has undos.
making: ContextVar[Delivery | None] = ContextVar("stretto_making", default=None)


class Nesting(Tasks):
    """A run as far as others are nested in it, and it in another.

    Attributes:
        parent: The run that it is nested in.
        outcome: The result and the error, once the run is over and nothing of it is left.
        fresh: What starts the nested runs that the present step made and has not awaited.
        observed: Whether somebody was told of the outcome.
        followed: Whether somebody awaits it, or reads its stream.
        abortable: The scopes of steps whose work a join may cut short.
        made: The nested runs that these have made, while they are at work.
        made_by: The step that has made this one, if its workflow has undos.
        undoes: Whether it undoes what its steps have done, if it fails.
    """

    parent: Nesting | None
    outcome: tuple[Any, BaseException | None] | None = None
    fresh: list[Callable[[], None]] | None = None
    observed = False
    followed = False
    abortable: dict[Delivery, anyio.CancelScope] | None = None
    made: dict[Delivery, list[Nesting]] | None = None
    made_by: Delivery | None = None
    undoes = True
    _children: dict[Nesting, None] | None = None

    @abstractmethod
    async def settle(self) -> BaseException | None:
        """Runs to the end in a task of its own; what failed is not raised but kept, and returned."""

    @abstractmethod
    def cancel(self, why: str) -> None:
        """Cancels the run; its steps may still clean up."""

    @abstractmethod
    async def wait(self) -> None:
        """Waits until the outcome is settled."""

    @abstractmethod
    def take_in_undos(self, log: list[Entry], maker: Delivery | None) -> None:
        """What a nested run has done is undone with this one."""

    @property
    def was_cancelled(self) -> bool:
        """Whether the run ended because it was cancelled, and by nothing else."""
        return self.machine.ended is Ended.CANCELLED and not self.machine.errors and not self.is_half_undone

    @property
    def is_half_undone(self) -> bool:
        """Whether not all that its steps had done could be undone."""
        undos = self.machine.undos
        return undos is not None and undos.incomplete

    def start_later(self, start: Callable[[], None]) -> None:
        """A step made a nested run; it starts when the step suspends or ends, if not awaited by then."""
        if self.fresh is None:
            self.fresh = []
        self.fresh.append(start)

    def start_fresh(self) -> None:
        """Starts the nested runs that a step made and has not awaited."""
        fresh, self.fresh = self.fresh, None
        for start in fresh or ():
            start()

    def adopt(self, child: Nesting, where: str, maker: Delivery | None) -> None:
        """A nested run, made at `where`, starts in this run's task group, and never outlives it.

        Args:
            child: The run.
            where: The line, for messages.
            maker: The step that has made it, if that is in a race.
        """
        if maker is not None and self.abortable is not None and maker in self.abortable:
            if self.made is None:
                self.made = {}
            self.made.setdefault(maker, []).append(child)
        if self._children is None:
            self._children = {}
        self._children[child] = None
        self.machine.receive(FeederOpened())
        self._spawn(partial(self._host, child, where))

    async def _host(self, child: Nesting, where: str) -> None:
        try:
            failure = await child.settle()
        except anyio.get_cancelled_exc_class():
            if self.machine.ended is Ended.STOPPED and not child.followed:
                logger().warning(
                    "a run of %s made at %s was cancelled, because %s had its result and nobody awaited that run; "
                    "write await in front of it",
                    child.machine.plan.name,
                    where,
                    self.machine.plan.name,
                )
            raise
        if failure is None or child.observed or child.was_cancelled:
            self.forget(child)
        told = None if failure is None or isinstance(failure, Exception) else failure  # Ctrl-C does not wait
        self.perform(self.machine.receive(FeederClosed(error=told, at=self.clock())))

    async def end_lost(self, made: Sequence[Nesting]) -> None:
        """Cancels the nested runs of a step that has lost a race, and waits for them."""
        for child in made:
            child.cancel(f"by {self.machine.plan.name}: the step that made it has lost a race")
        await outlast(partial(_wait_for_all, made))

    def forget(self, child: Nesting) -> None:
        """The outcome of a nested run is nobody's business any more."""
        if self._children is not None:
            self._children.pop(child, None)

    def observe(self) -> None:
        """Somebody was told of the outcome."""
        self.observed = True
        if self.parent is not None:
            self.parent.forget(self)

    async def _end_nested(self) -> None:
        """Cancels what the run hosts, waits for it, and takes up the failures that nobody was told of."""
        hosted = tuple(self._hosted or ())
        for task in hosted:
            task.cancel()
        try:
            await outlast(partial(_wait_for_all, hosted))
        finally:
            children, self._children = self._children or (), None
            for child in children:
                _, error = child.outcome or (None, None)
                if error is not None and not child.was_cancelled:
                    self.machine.receive(FeederClosed(error=error))


async def _wait_for_all(tasks: Sequence[RootTask | Nesting]) -> None:
    for task in tasks:
        await task.wait()
