"""The floor on trio: its own nursery, cancel scope and memory channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import trio

T = TypeVar("T")


class TrioFloor:
    """Satisfies `native.Native`."""

    def run(self, job: Callable[[], Coroutine[Any, Any, T]], /) -> T:
        return trio.run(job)

    async def each(self, job: Callable[[T], Coroutine[Any, Any, None]], items: Iterable[T], /) -> None:
        async with trio.open_nursery() as nursery:
            for item in items:
                nursery.start_soon(job, item)

    async def in_time(self, seconds: float, job: Callable[[], Coroutine[Any, Any, None]], /) -> bool:
        with trio.move_on_after(seconds) as scope:
            await job()
        return not scope.cancelled_caught

    async def relay(self, count: int, make: Callable[[int], object], /) -> int:
        put, get = trio.open_memory_channel[object](math.inf)
        received = 0

        async def read() -> None:
            nonlocal received
            while await get.receive() is not None:
                received += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for number in range(count):
                put.send_nowait(make(number))
            put.send_nowait(None)
        return received


FLOOR = TrioFloor()
