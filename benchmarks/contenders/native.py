"""The floor: a backend's own primitives, with no engine and no anyio in between.

Nothing that routes events can be cheaper than bare tasks of the loop itself, so "direct" is built on these.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from importlib import import_module
from typing import Any, Literal, Protocol, TypeVar, cast

Backend = Literal["asyncio", "trio"]
BACKENDS: tuple[Backend, ...] = ("asyncio", "trio")

T = TypeVar("T")


class Native(Protocol):
    """What the floor needs of a backend."""

    def run(self, job: Callable[[], Coroutine[Any, Any, T]], /) -> T:
        """Runs the job in a loop of its own."""
        ...

    async def each(self, job: Callable[[T], Coroutine[Any, Any, None]], items: Iterable[T], /) -> None:
        """Runs the job on all items at once, a task each, and waits for all of them."""
        ...

    async def in_time(self, seconds: float, job: Callable[[], Coroutine[Any, Any, None]], /) -> bool:
        """Runs the job; False when it was cancelled because the time was over."""
        ...

    async def relay(self, count: int, make: Callable[[int], object], /) -> int:
        """Sends `count` values from one task to another and gives how many arrived."""
        ...


def native(backend: Backend) -> Native:
    """The floor of one backend. The other's library is not imported, else its weight would be measured."""
    return cast(Native, import_module(f"benchmarks.contenders.native_{backend}").FLOOR)
