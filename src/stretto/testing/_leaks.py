"""Sees what a program left behind: tasks, threads, open async generators.

`Before()` is made where the program begins, in the loop; `left_behind()` says afterwards, in words, what is
there that was not there then. Nothing is given time to go away: the promise is that it is gone when the
caller goes on.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable
from types import AsyncGeneratorType
from typing import Any

import anyio

from ._virtual import threads_at_work

__all__ = ["Before", "BeforeLoop", "tasks_left"]

_POOLED = ("AnyIO worker thread", "Trio thread", "trio.", "asyncio_")
"""Names of threads that loops keep for later; whether one is at work is `threads_at_work`'s business."""


def tasks_left(before: Iterable[anyio.TaskInfo]) -> list[str]:
    """The names of the running tasks that are not among those `before`."""
    known = {id(info.coro) for info in before}
    return [str(info.name) for info in anyio.get_running_tasks() if id(info.coro) not in known]


class Before:
    """What was there before, in a running loop."""

    def __init__(self) -> None:
        # The TaskInfo objects are kept, and with them the coroutines: an id would be used again.
        self._tasks = anyio.get_running_tasks()
        self._busy = threads_at_work()
        self._rest = BeforeLoop()

    def left_behind(self, *, look_for_generators: bool = True) -> list[str]:
        """One line for each thing that is left; an empty list is what one wants."""
        found = [f"task {name}" for name in tasks_left(self._tasks)]
        if (busy := threads_at_work() - self._busy) > 0:
            found.append(f"{busy} worker threads at work")
        return found + self._rest.left_behind(look_for_generators=look_for_generators)

    def check(self) -> None:
        """Fails if anything is left."""
        found = self.left_behind()
        assert not found, f"left behind: {', '.join(found)}"


class BeforeLoop:
    """The same without a running loop: threads and async generators only."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._generators = _open_generators()

    def left_behind(self, *, look_for_generators: bool = True) -> list[str]:
        """One line for each thing that is left."""
        found = [
            f"thread {thread.name}"
            for thread in threading.enumerate()
            if thread not in self._threads and not thread.name.startswith(_POOLED)
        ]
        if look_for_generators:
            known = {id(generator) for generator in self._generators}
            new = [generator for generator in _open_generators() if id(generator) not in known]
            found += [f"open async generator {generator.__qualname__}" for generator in new]
        return found


def _open_generators() -> list[Any]:
    """Async generators that have begun and neither ended nor been closed."""
    return [
        thing
        for thing in gc.get_objects()
        if type(thing) is AsyncGeneratorType  # isinstance() would ask dead weakref proxies for their class
        if thing.ag_frame is not None and thing.ag_frame.f_lasti > 0
    ]
