"""stretto's programs, on either backend."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from benchmarks.contenders import flows

PACKAGE = "stretto"
CANNOT: Mapping[str, str] = {}

SMALLEST = flows.Smallest()


async def run(number: int) -> int:
    return await SMALLEST.run(number=number)


async def loop(turns: int) -> int:
    return await flows.Loop().run(number=turns)


async def fan(pieces: int) -> int:
    return await flows.Fan(pieces).run(number=pieces)


async def asleep(naps: int, seconds: float) -> int:
    return await flows.Sleepers(naps, seconds).run(number=naps)


async def three(number: int, seconds: float) -> int:
    async def nap() -> None:
        await anyio.sleep(seconds)

    return await flows.Three(nap).run(number=number)
