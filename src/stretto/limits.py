"""Limits: at most so many step bodies, or runs, at once.

Who waits for a turn waits on an event of the loop; whose turn it is, `Turns` decides.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, final

import anyio

from ._core.turns import Turns
from ._options import count, teaches

if TYPE_CHECKING:
    import anyio.lowlevel  # anyio loads it with its backend, and a limit is used in a loop alone

__all__ = ["Limit", "Line"]


@final
@teaches
class Limit:
    """At most `most` step bodies at once, in all steps, workflows and runs that are given this very object.

    >>> api = Limit(5)
    >>> class Fetch(Workflow[str]):
    ...     @step(limiter=api)
    ...     async def fetch(self, ev: StartEvent) -> StopEvent[str]:
    ...         return StopEvent(result="one of five at most")

    A body has its turn until it has ended, its clean-up and its thread included. A thread that is abandoned gives it
    back at that moment, once: it is over for its run, and may still be at work beside as many others.

    It may stand at the top of a module: each event loop counts for itself, which a semaphore of a loop cannot.

    Args:
        most: How many at once, at least 1.

    Raises:
        DefinitionError: If that is no such number.
    """

    def __init__(self, most: int) -> None:
        self._most = count(most, "Limit")
        self._lines: anyio.lowlevel.RunVar[Line] | None = None

    @property
    def most(self) -> int:
        """How many at once."""
        return self._most

    def line(self) -> Line:
        """Who has a turn in the running loop, and who waits for one there."""
        if self._lines is None:
            self._lines = anyio.lowlevel.RunVar("stretto.Limit")
        line = self._lines.get(None)
        if line is None:
            line = Line(self._most)
            self._lines.set(line)
        return line

    def __repr__(self) -> str:
        return f"Limit({self._most})"


@final
class Line:
    """The turns of one limit in one loop.

    Whoever joins leaves, however it ends; `leave` is right for who waits, who has a turn and who has left.
    """

    __slots__ = ("_turns", "_waking")

    def __init__(self, most: int) -> None:
        self._turns: Turns[Hashable] = Turns(most)
        self._waking: dict[Hashable, anyio.Event] = {}

    def join(self, who: Hashable) -> bool:
        """Comes in last; whether it has a turn at once."""
        return self._turns.join(who)

    def has(self, who: Hashable) -> bool:
        """Whether it is its turn."""
        return self._turns.has(who)

    async def wait(self, who: Hashable) -> None:
        """Waits until it is its turn, or until it is woken."""
        if self._turns.has(who):
            return
        woken = self._waking[who] = anyio.Event()
        try:
            await woken.wait()
        finally:
            self._waking.pop(who, None)

    def wake(self, who: Hashable) -> None:
        """It need not wait any more."""
        woken = self._waking.get(who)
        if woken is not None:
            woken.set()

    def leave(self, who: Hashable) -> None:
        """Goes, and gives its turn to the first that waits."""
        following = self._turns.leave(who)
        if following is not None:
            self.wake(following)
