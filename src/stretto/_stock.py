"""The stock: the resources of one run, or of one workflow, that are there or are being made.

Each is kept by a task of its own, hosted by the loop: what is entered in a task must be left in that task, and two
that hold cancel scopes must not share one. A stock belongs to somebody who closes it and waits, so no keeper outlives
the run or the block; a creation for which nobody waits any more is cancelled and waited for. What is made, waited for
and torn down when is for `Inventory` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast, final

import anyio

from ._config import Configs
from ._core.inventory import Entry, Inventory, Stage
from ._log import logger
from ._loop import RootTask, outlast
from ._making import make
from .errors import WorkflowCancelledError, WorkflowError, add_note, leaves, shown, without
from .resources import ConfigRecipe, Need, Recipe, Resource, overridden

if TYPE_CHECKING:
    import anyio.lowlevel

__all__ = ["Stock", "User"]


class User(Protocol):
    """A run that is handed resources."""

    def cancel(self, why: str) -> None:
        """Cancels it."""

    async def wait(self) -> None:
        """Waits for its end."""


@final
class _Keeper:
    """A resource and the task that keeps it.

    Attributes:
        opened: Whether something was entered that must be left.
        error: What it is left by.
        broken_off: Whether its making was cancelled, for nobody waited any more.
        late: Whether the log has named it.
    """

    task: RootTask
    opened = broken_off = late = False
    error: BaseException | None = None

    def __init__(self, recipe: Recipe, entry: Entry[Resource]) -> None:
        self.recipe = recipe
        self.entry = entry
        self.settled = anyio.Event()
        self.closing = anyio.Event()


_NOT_ENTERED = {
    "workflow": "which lives as long as its workflow, and this {name} was not entered; write async with {name}(…) as "
    "wf, and run it within that block",
    "application": "which lives as long as its application, and this run of {name} is in none; write async with "
    "Application(…) as app, and app.run(…) within that block",
}


@final
class Stock:
    """The resources of one scope; whoever makes a stock closes it.

    Attributes:
        users: The runs that were handed resources of it and have not ended, where it is not the stock of a run.
        closed: Whether nothing is made any more.
        failures: What went wrong while nobody waited for it.
    """

    def __init__(  # noqa: PLR0917 - made in two places
        self,
        name: str,
        grace: float,
        configs: Configs,
        tell: Callable[[BaseException], object] | None = None,
        user: User | None = None,
        around: Callable[[str], Stock | None] | None = None,
        set_apart: Callable[[], object] | None = None,
    ) -> None:
        """The stock of a run, the `user`, or without one that of a workflow or an application.

        Args:
            name: The workflow, or the application, for messages.
            grace: Seconds until a resource that is not torn down is named by the logger.
            configs: The files that were read.
            tell: Told what goes wrong while nobody waits: at teardown, or in a resource that is in use; without one
                it is kept in `failures`.
            user: The run.
            around: For a run, what gives the stock of what is around it, by the scope; None for what was not entered.
            set_apart: Called in the task of each resource, which begins with the context variables of who asked first
                and may outlive it.
        """
        self._name = name
        self._grace = grace
        self._configs = configs
        self.failures: list[BaseException] = []
        self._tell = tell or self.failures.append
        self._user = user
        self._around = around
        self._uses: dict[Stock, None] = {}
        self._set_apart = set_apart
        self.closed = False
        self._inventory: Inventory[Resource] = Inventory()
        self._keepers: dict[Entry[Resource], _Keeper] = {}
        self.users: dict[User, None] = {}

    # -- asking ----------------------------------------------------------------------------------------------

    async def fill(self, needs: Mapping[str, Need], asker: str) -> dict[str, object]:
        """The arguments that these parameters ask for; makes what is not there yet.

        Raises:
            WorkflowError: If it belongs to a workflow or an application that was not entered.
        """
        return {name: await self._get(need, asker) for name, need in needs.items()}

    async def _get(self, need: Need, asker: str) -> object:
        if isinstance(need, ConfigRecipe):
            return self._configs.read(need)
        recipe = overridden(need)
        if not isinstance(recipe, Recipe):
            return recipe.value
        scope = recipe.resource.scope
        if self._user is None or self._around is None or scope == "run":
            return await self.take(recipe)
        stock = self._around(scope)
        if stock is None or stock.closed:
            raise WorkflowError(
                f"{asker} asks for {recipe.label}, {_NOT_ENTERED[scope].format(name=self._name)}"
            )
        stock.users[self._user] = self._uses[stock] = None
        return await stock.take(recipe)

    async def take(self, recipe: Recipe) -> object:
        """What the recipe makes; if its making is broken off meanwhile, it is asked for again."""
        while True:
            entry, new = self._inventory.ask(recipe.resource)
            if new:
                keeper = self._keepers[entry] = _Keeper(recipe, entry)
                keeper.task = RootTask(partial(self._keep, keeper))
            if entry.stage is Stage.MAKING:
                await self._wait(self._keepers[entry])
            if entry.stage is Stage.READY:
                return entry.value
            if entry.stage is Stage.FAILED:
                raise cast("BaseException", entry.value)

    async def _wait(self, keeper: _Keeper) -> None:
        try:
            await keeper.settled.wait()
        except BaseException:
            if self._inventory.give_up(keeper.entry):
                await outlast(partial(self._break_off, keeper))  # noqa: ASYNC102 - it shields itself
            raise
        self._inventory.give_up(keeper.entry)

    # -- one task for each -----------------------------------------------------------------------------------

    async def _keep(self, keeper: _Keeper) -> None:
        """Makes a resource, keeps it open, and leaves it; raises cancellations alone, see `RootTask`."""
        if self._set_apart is not None:
            self._set_apart()
        try:
            async with AsyncExitStack() as stack:
                arguments = await self.fill(keeper.recipe.needs, keeper.recipe.label)
                value, keeper.opened = await make(keeper.recipe, arguments, stack)
                await anyio.lowlevel.checkpoint_if_cancelled()
                self._inventory.ready(keeper.entry, value)
                keeper.settled.set()
                if not keeper.opened:
                    return
                await keeper.closing.wait()
                if keeper.error is not None:
                    raise keeper.error
        except BaseException as error:  # noqa: ASYNC103 - it is told to who waits; a cancellation goes on
            self._failed(keeper, error)
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
        else:
            if not keeper.closing.is_set():
                self._broke(keeper, WorkflowError(f"{keeper.recipe.label} was left while it was in use"))
        finally:
            if keeper.entry.stage is not Stage.READY:
                self._keepers.pop(keeper.entry, None)
            keeper.settled.set()

    def _failed(self, keeper: _Keeper, error: BaseException) -> None:
        """Something came out of the task of a resource: while it was made, was in use, or was torn down."""
        error = without(error, anyio.get_cancelled_exc_class())
        if keeper.entry.stage is not Stage.MAKING:
            self._left_by(keeper, error)
        elif not isinstance(error, anyio.get_cancelled_exc_class()):
            add_note(error, f"while {keeper.recipe.label} was made")
            self._inventory.failed(keeper.entry, error)
            if keeper.broken_off:
                self._tell(error)
        elif keeper.broken_off:
            self._inventory.dropped(keeper.entry)
        else:
            stray = WorkflowError(
                f"{keeper.recipe.label} raised {type(error).__name__}, the cancellation of the event loop, although "
                "nothing was cancelled; raise an error of yours"
            )
            stray.__cause__ = error
            self._inventory.failed(keeper.entry, stray)

    def _left_by(self, keeper: _Keeper, error: BaseException) -> None:
        """A resource was left by errors: that of its scope, which is known, and those of its own."""
        for leaf in leaves(error):
            if leaf is keeper.error or isinstance(leaf, anyio.get_cancelled_exc_class()):
                continue
            if not keeper.closing.is_set():
                self._broke(keeper, leaf)
            else:
                add_note(leaf, f"while {keeper.recipe.label} was torn down")
                self._tell(leaf)

    def _broke(self, keeper: _Keeper, error: BaseException) -> None:
        """A resource ended by itself; who asks next gets a new one."""
        add_note(error, f"while {keeper.recipe.label} was in use")
        if keeper.entry.stage is Stage.READY:
            self._inventory.gone(keeper.entry)
        self._tell(error)

    # -- the end ---------------------------------------------------------------------------------------------

    async def close(self, error: Callable[[], BaseException | None]) -> None:
        """Tears down what there is, last made first; nothing of it is left then, whoever cancels meanwhile.

        Args:
            error: What the context managers are left by; asked for each of them.
        """
        try:
            await outlast(partial(self._close, error))
        finally:
            for stock in self._uses:
                stock.users.pop(cast("User", self._user), None)

    async def leave(self, error: BaseException | None) -> None:
        """The block that it belongs to ends: waits for the runs that have its resources, and tears these down.

        Raises:
            BaseException: What failed first; it is a note on `error`, if that is one of the user.
        """
        again: BaseException | None = None
        if error is None:
            try:
                await self._wait_for_users()
            except BaseException as hit:  # noqa: ASYNC103, BLE001 - raised below
                error = again = hit
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        if error is not None:
            for user in tuple(self.users):
                user.cancel(f"because the block of {self._name} was left by {type(error).__name__}")
        left_by = WorkflowCancelledError(f"the block of {self._name} was cancelled") if cancelled else error
        for end in (self._wait_for_users, partial(self._close, lambda: left_by)):
            try:
                await outlast(end)
            except BaseException as hit:  # noqa: ASYNC103, BLE001 - raised below
                again = hit
        self._raise_failures(None if cancelled else error)
        if again is not None:
            raise again

    async def _wait_for_users(self) -> None:
        while self.users:
            await next(iter(self.users)).wait()

    def _raise_failures(self, error: BaseException | None) -> None:
        if not self.failures:
            return
        first, *others = self.failures
        for other in others:
            add_note(first, f"after that another resource failed: {shown(other)}")
        if error is None:
            raise first
        add_note(error, f"a resource of {self._name} failed too: {shown(first)}")

    async def _close(self, error: Callable[[], BaseException | None]) -> None:
        self.closed = True
        while (last := self._inventory.last()) is not None:
            await self._tear_down(self._keepers[last], error)

    async def _tear_down(self, keeper: _Keeper, error: Callable[[], BaseException | None]) -> None:
        if keeper.opened:
            if not keeper.closing.is_set():
                keeper.error = error()
                keeper.closing.set()
            trace = None if keeper.error is None else keeper.error.__traceback__
            await self._end_of(keeper, "torn down")
            if keeper.error is not None:
                keeper.error.__traceback__ = trace  # it is to show where it was raised first
        self._inventory.gone(keeper.entry)
        del self._keepers[keeper.entry]

    async def _break_off(self, keeper: _Keeper) -> None:
        keeper.broken_off = True
        keeper.task.cancel()
        await self._end_of(keeper, "broken off")

    async def _end_of(self, keeper: _Keeper, what: str) -> None:
        """Waits for the end of a task; one that takes its time is named, and never abandoned."""
        with anyio.move_on_after(self._grace) as waited:
            await keeper.task.wait()
        if waited.cancelled_caught and not keeper.late:
            keeper.late = True
            logger().warning(
                "%s: after %.3g s %s has not been %s; it is waited for",
                self._name,
                self._grace,
                keeper.recipe.label,
                what,
            )
        await keeper.task.wait()
