"""The floor on asyncio: its own task group, timeout and queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class AsyncioFloor:
    """Satisfies `native.Native`."""

    def run(self, job: Callable[[], Coroutine[Any, Any, T]], /) -> T:
        return asyncio.run(job())

    async def each(self, job: Callable[[T], Coroutine[Any, Any, None]], items: Iterable[T], /) -> None:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(job(item))

    async def in_time(self, seconds: float, job: Callable[[], Coroutine[Any, Any, None]], /) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await job()
        except TimeoutError:
            return False
        return True

    async def relay(self, count: int, make: Callable[[int], object], /) -> int:
        queue: asyncio.Queue[object] = asyncio.Queue()
        received = 0

        async def read() -> None:
            nonlocal received
            while await queue.get() is not None:
                received += 1

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            for number in range(count):
                queue.put_nowait(make(number))
            queue.put_nowait(None)
        return received


FLOOR = AsyncioFloor()
