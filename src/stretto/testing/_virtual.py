"""Virtual time on both backends, so that a test of a week takes a millisecond and is exact.

asyncio gets a loop of ours, trio its `MockClock`. Both jump to the next timer when nobody can do anything but
wait. Two things that such clocks usually get wrong are held here:

* **Threads.** A worker thread of anyio is work, though no task runs. While one is in flight nothing jumps:
  time passes as it does outside.
* **Deadlock.** When every task waits, no timer is set and no thread is in flight, the program is stuck for
  good. It is then cancelled and `Deadlock` names what each task was waiting at, in place of a run that hangs.

The module for trio is imported when trio is asked for, so that nobody else needs it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, cast

import anyio

from .._loop import is_running
from ..errors import DefinitionError, WorkflowError, shown
from ._asyncio_time import VirtualLoop
from ._stuck import Deadlock
from ._world import World

__all__ = ["backends", "current_world", "guarded", "threads_at_work", "virtual_backend", "virtual_run"]

T = TypeVar("T")

_BACKENDS = ("asyncio", "trio")
_run = anyio.run
_watched: set[str] = set()  # backends whose threads are counted


def backends() -> tuple[str, ...]:
    """The backends that are installed here."""
    return _BACKENDS if find_spec("trio") is not None else _BACKENDS[:1]


def virtual_backend(name: str) -> tuple[str, dict[str, Any]]:
    """A backend with a fresh virtual time, as anyio's pytest plugin and `anyio.run` want it.

    A fixture `anyio_backend` may return it, for tests in virtual time that anyio's own plugin runs.

    Args:
        name: ``"asyncio"`` or ``"trio"``.

    Raises:
        DefinitionError: If it is neither.
    """
    if name not in _BACKENDS:
        raise DefinitionError(f"a backend is 'asyncio' or 'trio', not {shown(name)}")
    if name not in _watched:
        _watched.add(name)
        _watch_threads(name)
    if name == "asyncio":
        return name, {"loop_factory": VirtualLoop}
    return name, import_module("stretto.testing._trio_time").clock_options()


def virtual_run(fn: Callable[..., Awaitable[T]], *args: object, backend: str = "asyncio") -> T:
    """`anyio.run` in virtual time: sleeps, timeouts and retries of a week pass at once, in their order.

    >>> import anyio
    >>> async def week() -> float:
    ...     await anyio.sleep(7 * 24 * 3600)
    ...     return anyio.current_time()
    >>> virtual_run(week)
    604800.0

    While a worker thread of anyio is at work, time passes as outside. The idea is that of trio's `MockClock`.

    Args:
        fn: An async function.
        *args: Its arguments.
        backend: ``"asyncio"`` or ``"trio"``.

    Raises:
        Deadlock: Every task waits, and nothing can ever wake one. The program was cancelled.
        WorkflowError: It is called in an event loop.
    """
    name, options = virtual_backend(backend)
    _refuse_inside()
    return _run(guarded, fn, args, backend=name, backend_options=options)


def _refuse_inside() -> None:
    if is_running():
        raise WorkflowError(
            "virtual time has an event loop of its own, and one is running here; call virtual_run, or a test of "
            "explore, outside of async functions: in a plain def test_…, or at the top of a file"
        )


async def guarded(
    fn: Callable[..., Awaitable[T]], args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> T:
    """Awaits ``fn(*args)``; in virtual time, one that deadlocks is cancelled and told.

    Raises:
        Deadlock: Every task waits, and nothing can ever wake one.
    """
    world = current_world()
    if world is None:
        return await fn(*args, **(kwargs or {}))
    around = world.guard
    with anyio.CancelScope() as scope:
        world.guard, world.stuck = scope, None
        try:
            return await fn(*args, **(kwargs or {}))
        finally:
            world.guard = around
            if (report := world.stuck) is not None:
                world.stuck = None
                raise Deadlock(report) from None
    raise AssertionError("only a deadlock cancels this scope")


def current_world() -> World | None:
    """What keeps virtual time for the running loop; None where time is real."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        return loop if isinstance(loop, VirtualLoop) else None
    module = sys.modules.get("stretto.testing._trio_time")
    return None if module is None else cast("World | None", module.current_watch())


def threads_at_work() -> int:
    """How many of anyio's worker threads the running program waits for; 0 where time is real."""
    world = current_world()
    return 0 if world is None else world.threads


def _watch_threads(name: str) -> None:
    """Wraps the one function through which anyio starts worker threads on a backend.

    The limiters of `anyio.to_thread` count threads too, but a program may bring limiters of its own, and an
    abandoned thread gives its token back on asyncio and keeps it on trio.
    """
    backend: Any = import_module(f"anyio._backends._{name}").backend_class
    original = backend.run_sync_in_worker_thread.__func__

    async def run_sync_in_worker_thread(cls: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        with _one_thread_more():
            return await original(cls, *args, **kwargs)

    backend.run_sync_in_worker_thread = classmethod(run_sync_in_worker_thread)


@contextmanager
def _one_thread_more() -> Generator[None]:
    world = current_world()
    if world is None:
        yield
        return
    world.count(1)
    try:
        yield
    finally:
        world.count(-1)
