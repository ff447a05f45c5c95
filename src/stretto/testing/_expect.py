"""Waits in a test for what a run writes to its stream."""

from __future__ import annotations

from typing import Any, TypeVar

import anyio

from ..errors import WorkflowError, shown
from ..events import Event
from ..handler import Handler

__all__ = ["UnexpectedError", "expect"]

E = TypeVar("E", bound=Event)

_SHOWN = 10


class UnexpectedError(WorkflowError, AssertionError):
    """What was expected of a run did not come."""


async def expect(run: Handler[Any], kind: type[E], *, within: float) -> E:
    """Reads the stream of a run up to the next event of a class, and gives it.

    What was written before it is skipped; a second call goes on after it. In virtual time `within` takes no time.

    Args:
        run: A run that has begun: the name after ``as`` of its block.
        kind: The class of the event; a subclass is as good.
        within: How many seconds to wait at most.

    Raises:
        UnexpectedError: It did not come in time, or the stream ended; the message says what came instead.
    """
    came: list[Event] = []
    with anyio.move_on_after(within):
        async for ev in run.stream_events():
            if isinstance(ev, kind):
                return ev
            came.append(ev)
        raise UnexpectedError(f"no {kind.__name__} came before the run was over; {_told(came)}")
    raise UnexpectedError(f"no {kind.__name__} came within {within:.6g} s; {_told(came)}")


def _told(came: list[Event]) -> str:
    more = f" and {len(came) - _SHOWN} more" if len(came) > _SHOWN else ""
    return f"what came: {', '.join(map(shown, came[:_SHOWN]))}{more}" if came else "nothing came"
