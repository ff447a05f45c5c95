"""A plain function in a thread, whose end is waited for whatever happens to the task that waits.

anyio shields that wait from its own cancellations. `asyncio.Task.cancel` goes through a shield, and would leave the
thread at work while its caller goes on; so what comes meanwhile is held back until the thread has ended.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar, final

import anyio

from ._loop import call_soon, outlast

if TYPE_CHECKING:
    import anyio.to_thread

__all__ = ["in_thread"]

T = TypeVar("T")


@final
class _Work(Generic[T]):
    """One call. It is either called off before it begins, or it ends; the lock decides which."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._over = anyio.Event()
        self._soon = call_soon()
        self._lock = allocate_lock()
        self._begun = self._called_off = False

    def __call__(self) -> T:
        with self._lock:
            self._begun = not self._called_off
        if not self._begun:
            raise RuntimeError("called off")
        try:
            return self._call()
        finally:
            self._soon(self._over.set)

    async def ended(self) -> None:
        with self._lock:
            self._called_off = not self._begun
        if self._begun:
            await outlast(self._over.wait)


async def in_thread(call: Callable[[], T]) -> T:
    """Calls a function in a thread and gives what it returns; when this is over, so is the call."""
    work = _Work(call)
    try:
        return await anyio.to_thread.run_sync(work)
    except BaseException:
        await work.ended()  # noqa: ASYNC102 - it shields itself
        raise
