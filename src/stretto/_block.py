"""The block of a run, ``async with wf.run(...) as run``: it starts the run, and leaving it waits for the end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, final

import anyio

from ._driver import Driver
from ._loop import outlast
from .errors import WorkflowError, add_note, leaves, told

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["Block"]

How = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


@final
class Block:
    """A block that was entered: the run, and the task group that it has there if nobody else hosts it."""

    __slots__ = ("_driver", "_task", "_tg")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._tg: TaskGroup | None = None
        self._task = 0  # the one that entered the block

    async def host(self) -> None:
        """Starts the run in this block."""
        tg = self._tg = anyio.create_task_group()
        self._task = anyio.get_current_task().id
        await tg.__aenter__()
        tg.start_soon(_run_in, self._driver, tg.cancel_scope)

    async def leave(self, how: How, *, cancelled: bool) -> bool | None:
        """Waits for the end of the run, or cancels it and waits if an error leaves the block.

        Args:
            how: What `__aexit__` is given.
            cancelled: Whether the run was cancelled by its handler: nobody need be told of that.
        """
        driver, error = self._driver, how[1]
        driver.pause_reading()
        by_cancellation = error is not None and isinstance(error, anyio.get_cancelled_exc_class())
        if error is not None:
            driver.cancel(f"because its block was left by {type(error).__name__}")
        try:
            swallowed = await self._wait(how if by_cancellation else (None, None, None))  # noqa: ASYNC102 - it shields itself
        except anyio.get_cancelled_exc_class():
            if driver.is_half_undone and driver.outcome is not None and driver.outcome[1] is not None:
                driver.observed = True
                raise driver.outcome[1] from None  # noqa: ASYNC104 - as of a clean-up that fails, ADR 4
            raise
        failure = driver.outcome[1] if driver.outcome is not None else None
        if failure is None or driver.observed or (driver.was_cancelled and (cancelled or error is not None)):
            return swallowed
        if error is not None and not by_cancellation and isinstance(failure, Exception):
            name = driver.machine.plan.name
            add_note(error, f"the run of {name} that this block was for failed too: {told(failure)}")
            return False
        driver.observed = True
        raise failure

    async def _wait(self, how: How) -> bool:
        driver = self._driver
        tg, self._tg = self._tg, None
        if tg is not None:
            self._refuse_in_another_task()
            try:
                swallowed = await tg.__aexit__(*how)
            except BaseExceptionGroup as group:  # trio raises Ctrl-C there, and in a group
                raise leaves(group)[0] from None
            return how[0] is not None and bool(swallowed)
        if how[0] is not None:  # somebody else hosts it: the run of a step, or the loop
            await outlast(driver.wait)
            return False
        try:
            await driver.wait()
        except BaseException:
            driver.cancel("because its block was cancelled")
            await outlast(driver.wait)  # noqa: ASYNC102 - it shields itself
            raise
        return False

    def _refuse_in_another_task(self) -> None:
        if anyio.get_current_task().id != self._task:
            self._driver.cancel("because its block was left in another task")
            raise WorkflowError(
                f"the block of a run of {self._driver.machine.plan.name} was entered in one task and is left in "
                "another, as happens to an async generator that is dropped; iterate over that one inside async with "
                "contextlib.aclosing(…), or start the run in it with run.start()"
            )


async def _run_in(driver: Driver, block: anyio.CancelScope) -> None:
    failure = await driver.settle()
    if failure is not None and not isinstance(failure, Exception):
        block.cancel()  # Ctrl-C in a step does not wait until the block is done
