"""What differs between the event loops, where anyio does not say or costs too much.

What a run asks of its loop all the time, native cancellations, and a task at the root of the loop. Neither
library is imported here: the one that runs is loaded, and the other costs 20 ms (asyncio) or 160 (trio).
asyncio's loop is looked up by `_get_running_loop`, because under trio `get_running_loop` raises, for a
microsecond each.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, final

import anyio

from .errors import WorkflowError

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "LoopPort",
    "RootTask",
    "call_soon",
    "is_running",
    "loop_port",
    "name_loop",
    "native_cancellations",
    "native_cancellations_before",
    "outlast",
    "turn_before_thread",
]

_kept: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks weakly


def _asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop, if it is one of asyncio, which under trio may or may not be imported."""
    module = sys.modules.get("asyncio")
    loop: asyncio.AbstractEventLoop | None = None if module is None else module._get_running_loop()
    return loop


def _own_asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """As above, but None where trio is the guest of that loop."""
    loop = _asyncio_loop()
    if loop is not None and (trio := sys.modules.get("trio")) is not None and trio.lowlevel.in_trio_run():
        return None
    return loop


class LoopPort(NamedTuple):
    """What a run asks of its loop all the time. anyio would find out at each call which loop runs, for 0.4 µs."""

    clock: Callable[[], float]
    checkpoint: Callable[[], Awaitable[object]]
    cancelled: type[BaseException]
    scope: type[anyio.CancelScope]


def loop_port() -> LoopPort:
    """The clock of the running loop, in seconds, its checkpoint, and the classes of its cancellations and scopes.

    Raises:
        WorkflowError: If no event loop runs in this thread.
    """
    loop = _own_asyncio_loop()
    if loop is not None:
        return LoopPort(loop.time, *_of_asyncio())
    trio = sys.modules.get("trio")
    if trio is None or not trio.lowlevel.in_trio_run():
        raise WorkflowError(
            "no event loop runs here; write await wf.run(…) in an async function, or wf.run_sync(…) in a script"
        )
    return _of_trio()


@cache
def _of_asyncio() -> tuple[Callable[[], Awaitable[object]], type[BaseException], type[anyio.CancelScope]]:
    """What all loops of asyncio have in common; `anyio.CancelScope` makes a scope that is thrown away."""
    asyncio = sys.modules["asyncio"]
    return partial(asyncio.sleep, 0), asyncio.CancelledError, type(anyio.CancelScope())


@cache
def _of_trio() -> LoopPort:
    trio = _trio()
    scope = type(anyio.CancelScope())
    return LoopPort(trio.current_time, trio.lowlevel.checkpoint, trio.Cancelled, scope)


async def turn_before_thread() -> None:
    """Lets what became ready with a thread run before that begins; on asyncio anyio does, on trio nobody.

    So a thread never begins whose run, or race, is decided by a step that was ready with it and never suspends. Twice,
    because trio takes up in any order who is ready in one turn: the task of that step, and who was ready before.
    """
    if _own_asyncio_loop() is None:
        checkpoint = _trio().lowlevel.checkpoint
        await checkpoint()
        await checkpoint()


def is_running() -> bool:
    """Whether this thread is inside an event loop."""
    trio = sys.modules.get("trio")
    return _own_asyncio_loop() is not None or (trio is not None and bool(trio.lowlevel.in_trio_run()))


def native_cancellations() -> int:
    """How often `asyncio.Task.cancel` was delivered to the current task, or is about to be; always 0 on trio."""
    task = _asyncio_task()
    return 0 if task is None else task.cancelling()


def native_cancellations_before() -> int:
    """The same, without one that was asked for and will be delivered to what is awaited next.

    Nothing but a private attribute tells whether there is one; without it, that one counts as delivered.
    """
    task = _asyncio_task()
    if task is None:
        return 0
    return task.cancelling() - bool(getattr(task, "_must_cancel", False))


def _asyncio_task() -> asyncio.Task[Any] | None:
    loop = _asyncio_loop()
    if loop is None:
        return None
    task: asyncio.Task[Any] | None = sys.modules["asyncio"].current_task(loop)
    return task


def call_soon() -> Callable[[Callable[[], object]], object]:
    """What calls a function soon in the running loop, also from a finaliser or another thread."""
    loop = _own_asyncio_loop()
    if loop is not None:
        return loop.call_soon_threadsafe
    run_soon: Callable[[Callable[[], object]], object] = _trio().lowlevel.current_trio_token().run_sync_soon
    return run_soon


def name_loop() -> None:
    """Makes the loop known again to anyio in the context of a thread, where it was made to look as if there were none.

    Only asyncio's is looked up there, and only if there is a sniffio to look it up.
    """
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None and _own_asyncio_loop() is not None:
        sniffio.current_async_library_cvar.set("asyncio")


def _trio() -> Any:  # noqa: ANN401 - the module, which is imported by nobody here
    return sys.modules["trio"]  # it runs, so it is imported


async def outlast(wait: Callable[[], Awaitable[None]]) -> None:
    """Waits to the end whatever happens; a cancellation that comes meanwhile goes on afterwards.

    A shield alone is not enough: `asyncio.Task.cancel` goes through it, as often as it is called.
    """
    cancelled: BaseException | None = None
    while True:
        try:
            with anyio.CancelScope(shield=True):
                await wait()
        except (anyio.get_cancelled_exc_class(), KeyboardInterrupt) as error:  # noqa: ASYNC103 - raised below
            cancelled = error
        else:
            break
    if cancelled is not None:
        raise cancelled


@final
class RootTask:
    """A task that belongs to a run and is hosted by the loop itself, for want of an open task group.

    It must not raise: whatever came out would end the whole program on trio and be lost on asyncio. Whoever
    owns it cancels it and waits for it.
    """

    def __init__(
        self, work: Callable[[], Awaitable[object]], among: dict[RootTask, None] | None = None
    ) -> None:
        self._work = work
        self._among = among  # where it is kept until it ends
        self._scope = anyio.CancelScope()
        self._done = anyio.Event()
        loop = _own_asyncio_loop()
        if loop is None:
            _trio().lowlevel.spawn_system_task(self._main, context=copy_context())
        else:
            task = loop.create_task(self._main())
            _kept.add(task)
            task.add_done_callback(_kept.discard)

    async def _main(self) -> None:
        try:
            with self._scope:
                await self._work()
        finally:
            self._done.set()
            if self._among is not None:
                self._among.pop(self, None)

    def cancel(self) -> None:
        """Cancels it; it may still clean up."""
        self._scope.cancel()

    async def wait(self) -> None:
        """Waits for its end."""
        await self._done.wait()
