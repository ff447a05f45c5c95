"""The stock: the resources of one run, or of one workflow, that are there or are being made.

Each is kept by a task of its own, hosted by the loop: what is entered in a task must be left in that task, and two
that hold cancel scopes must not share one. A stock belongs to somebody who closes it and waits, so no keeper outlives
the run or the block; a creation for which nobody waits any more is cancelled and waited for. What is made, waited for
and torn down when is for `Inventory` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast, final

import anyio

from ._config import Configs
from ._core.inventory import Entry, Inventory, Stage
from ._log import logger
from ._loop import RootTask, outlast
from .errors import WorkflowCancelledError, WorkflowError, add_note, leaves, shown, without
from .resources import ConfigRecipe, Need, Recipe, Resource, overridden

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import anyio.lowlevel

__all__ = ["Stock", "User"]


def _is_coroutine(value: object) -> TypeGuard[Coroutine[Any, Any, object]]:
    return isinstance(value, Coroutine)


@contextmanager
def _plain() -> Generator[None]:
    yield


@asynccontextmanager
async def _waiting() -> AsyncGenerator[None]:
    yield


_OF_CONTEXTLIB = (type(_plain()), type(_waiting()))  # their classes have no public name


class User(Protocol):
    """A run that is handed resources."""

    def cancel(self, why: str) -> None:
        """Cancels it."""

    async def wait(self) -> None:
        """Waits for its end."""


@final
class _Kept:
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


@final
class Stock:
    """The resources of one scope; whoever makes a stock closes it.

    Attributes:
        users: The runs that were handed resources of it and have not ended, where it is the stock of a workflow.
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
        outer: Stock | None = None,
    ) -> None:
        """The stock of the run `user` in a workflow whose stock is `outer`, or without a user that of a workflow.

        Args:
            name: The workflow, for messages.
            grace: Seconds until a resource that is not torn down is named by the logger.
            configs: The files that the workflow has read.
            tell: Told what goes wrong while nobody waits: at teardown, or in a resource that is in use; without one
                it is kept in `failures`.
            user: The run.
            outer: None too if the workflow was not entered.
        """
        self._name = name
        self._grace = grace
        self._configs = configs
        self.failures: list[BaseException] = []
        self._tell = tell or self.failures.append
        self._user = user
        self._outer = outer
        self.closed = False
        self._inventory: Inventory[Resource] = Inventory()
        self._kept: dict[Entry[Resource], _Kept] = {}
        self.users: dict[User, None] = {}

    # -- asking ----------------------------------------------------------------------------------------------

    async def fill(self, needs: Mapping[str, Need], asker: str) -> dict[str, object]:
        """The arguments that these parameters ask for; makes what is not there yet.

        Raises:
            WorkflowError: If it belongs to a workflow that was not entered.
        """
        return {name: await self._get(need, asker) for name, need in needs.items()}

    async def _get(self, need: Need, asker: str) -> object:
        if isinstance(need, ConfigRecipe):
            return self._configs.read(need)
        recipe = overridden(need)
        if not isinstance(recipe, Recipe):
            return recipe.value
        if self._user is None or recipe.resource.scope == "run":
            return await self.take(recipe)
        if self._outer is None or self._outer.closed:
            raise WorkflowError(
                f"{asker} asks for {recipe.label}, which lives as long as its workflow, and this {self._name} was not "
                f"entered; write async with {self._name}(…) as wf, and run it within that block"
            )
        self._outer.users[self._user] = None
        return await self._outer.take(recipe)

    async def take(self, recipe: Recipe) -> object:
        """What the recipe makes; if its making is broken off meanwhile, it is asked for again."""
        while True:
            entry, new = self._inventory.ask(recipe.resource)
            if new:
                kept = self._kept[entry] = _Kept(recipe, entry)
                kept.task = RootTask(partial(self._keep, kept))
            if entry.stage is Stage.MAKING:
                await self._wait(self._kept[entry])
            if entry.stage is Stage.READY:
                return entry.value
            if entry.stage is Stage.FAILED:
                raise cast("BaseException", entry.value)

    async def _wait(self, kept: _Kept) -> None:
        try:
            await kept.settled.wait()
        except BaseException:
            if self._inventory.give_up(kept.entry):
                await outlast(partial(self._break_off, kept))  # noqa: ASYNC102 - it shields itself
            raise
        self._inventory.give_up(kept.entry)

    # -- one task for each -----------------------------------------------------------------------------------

    async def _keep(self, kept: _Kept) -> None:
        """Makes a resource, keeps it open, and leaves it; raises cancellations alone, see `RootTask`."""
        try:
            async with AsyncExitStack() as stack:
                value = await self._make(kept, stack)
                await anyio.lowlevel.checkpoint_if_cancelled()
                self._inventory.ready(kept.entry, value)
                kept.settled.set()
                if not kept.opened:
                    return
                await kept.closing.wait()
                if kept.error is not None:
                    raise kept.error
        except BaseException as error:  # noqa: ASYNC103 - it is told to who waits; a cancellation goes on
            self._failed(kept, error)
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
        else:
            if not kept.closing.is_set():
                self._broke(kept, WorkflowError(f"{kept.recipe.label} was left while it was in use"))
        finally:
            if kept.entry.stage is not Stage.READY:
                self._kept.pop(kept.entry, None)
            kept.settled.set()

    async def _make(self, kept: _Kept, stack: AsyncExitStack) -> object:
        recipe = kept.recipe
        made = recipe.resource.factory(**await self.fill(recipe.needs, recipe.label))
        if _is_coroutine(made):
            made = await made
        if not recipe.resource.enter and not isinstance(made, _OF_CONTEXTLIB):
            return cast("object", made)
        kept.opened = True
        if isinstance(made, AbstractAsyncContextManager):
            return await stack.enter_async_context(cast("AbstractAsyncContextManager[object]", made))
        if isinstance(made, AbstractContextManager):
            return stack.enter_context(cast("AbstractContextManager[object]", made))
        raise WorkflowError(
            f"{recipe.label} gave {shown(made)}, which cannot be entered; leave out enter=True"
        )

    def _failed(self, kept: _Kept, error: BaseException) -> None:
        """Something came out of the task of a resource: while it was made, was in use, or was torn down."""
        error = without(error, anyio.get_cancelled_exc_class())
        if kept.entry.stage is not Stage.MAKING:
            self._left_by(kept, error)
        elif not isinstance(error, anyio.get_cancelled_exc_class()):
            add_note(error, f"while {kept.recipe.label} was made")
            self._inventory.failed(kept.entry, error)
            if kept.broken_off:
                self._tell(error)
        elif kept.broken_off:
            self._inventory.dropped(kept.entry)
        else:
            stray = WorkflowError(
                f"{kept.recipe.label} raised {type(error).__name__}, the cancellation of the event loop, although "
                "nothing was cancelled; raise an error of yours"
            )
            stray.__cause__ = error
            self._inventory.failed(kept.entry, stray)

    def _left_by(self, kept: _Kept, error: BaseException) -> None:
        """A resource was left by errors: that of its scope, which is known, and those of its own."""
        for leaf in leaves(error):
            if leaf is kept.error or isinstance(leaf, anyio.get_cancelled_exc_class()):
                continue
            if not kept.closing.is_set():
                self._broke(kept, leaf)
            else:
                add_note(leaf, f"while {kept.recipe.label} was torn down")
                self._tell(leaf)

    def _broke(self, kept: _Kept, error: BaseException) -> None:
        """A resource ended by itself; who asks next gets a new one."""
        add_note(error, f"while {kept.recipe.label} was in use")
        if kept.entry.stage is Stage.READY:
            self._inventory.gone(kept.entry)
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
            if self._outer is not None and self._user is not None:
                self._outer.users.pop(self._user, None)

    async def leave(self, error: BaseException | None) -> None:
        """The block of a workflow ends: waits for the runs that have its resources, and tears these down.

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
                user.cancel(f"because the block of its workflow was left by {type(error).__name__}")
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
            await self._tear_down(self._kept[last], error)

    async def _tear_down(self, kept: _Kept, error: Callable[[], BaseException | None]) -> None:
        if kept.opened:
            if not kept.closing.is_set():
                kept.error = error()
                kept.closing.set()
            trace = None if kept.error is None else kept.error.__traceback__
            await self._end_of(kept, "torn down")
            if kept.error is not None:
                kept.error.__traceback__ = trace  # it is to show where it was raised first
        self._inventory.gone(kept.entry)
        del self._kept[kept.entry]

    async def _break_off(self, kept: _Kept) -> None:
        kept.broken_off = True
        kept.task.cancel()
        await self._end_of(kept, "broken off")

    async def _end_of(self, kept: _Kept, what: str) -> None:
        """Waits for the end of a task; one that takes its time is named, and never abandoned."""
        with anyio.move_on_after(self._grace) as waited:
            await kept.task.wait()
        if waited.cancelled_caught and not kept.late:
            kept.late = True
            logger().warning(
                "%s: after %.3g s %s has not been %s; it is waited for",
                self._name,
                self._grace,
                kept.recipe.label,
                what,
            )
        await kept.task.wait()
