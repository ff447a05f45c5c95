"""What a step may do about its cancellation, for tests that no time limit is talked out of."""

from __future__ import annotations

import anyio


async def sleeps() -> None:
    await anyio.sleep(1000)


async def swallows_once() -> None:
    try:
        await anyio.sleep(1000)
    except anyio.get_cancelled_exc_class():
        pass


async def swallows_by_a_scope_of_its_own() -> None:
    with anyio.move_on_after(2000):
        try:
            await anyio.sleep(1000)
        finally:
            return  # noqa: B012
