"""How a step waits until those who read its stream, and want to be waited for, have room."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.lowlevel

from ._holds import HoldPort, held_up
from ._stream import Hub

if TYPE_CHECKING:
    from ._core.delivery import Delivery
    from ._line import Line

__all__ = ["write_when_there_is_room"]


class WritingRun(HoldPort, Protocol):
    """What this needs of a run."""

    def streams(self) -> Iterable[Hub]:
        """Where what it writes goes to."""
        ...


async def write_when_there_is_room(
    run: WritingRun, delivery: Delivery | None, write: Callable[[], object]
) -> None:
    """Waits for the readers, and writes then; who is cancelled has written nothing."""
    await anyio.lowlevel.checkpoint_if_cancelled()
    if _blocking(run, None) is None:
        write()
        await anyio.lowlevel.cancel_shielded_checkpoint()
        return
    try:
        if delivery is None:
            await _wait(run)
        else:
            with held_up(run, delivery, "a reader of the stream"):
                await _wait(run)
        write()
    finally:
        for line in _lines(run):
            line.resume(anyio.get_current_task().id)


def _lines(run: WritingRun) -> list[Line]:
    return [hub.line for hub in run.streams() if hub.line is not None]


def _blocking(run: WritingRun, passed: Line | None) -> Line | None:
    """Where it has to wait: readers have no room, or others have waited longer, unless its turn there has come."""
    if run.machine.ended is not None:  # a clean-up is at nobody's mercy
        return None
    return next(
        (line for line in _lines(run) if not line.has_room or (line.writers and line is not passed)), None
    )


async def _wait(run: WritingRun) -> None:
    """Has its turn in one line after the other, and no place in any while it stands in another."""
    passed: Line | None = None
    while (line := _blocking(run, passed)) is not None:
        writer = object()
        try:
            while True:
                woken = anyio.Event()
                line.enter(writer, woken.set)
                line.pause(anyio.get_current_task().id)  # what it reads itself it does not read meanwhile
                if line.is_turn_of(writer):
                    break
                await woken.wait()
        finally:
            line.leave(writer)
        passed = line
