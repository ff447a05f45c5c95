"""The one seam for tests: who stands between the steps of a run and its loop.

A run takes the gate that is there when it is made (`stretto._driver.gate`) and asks it before a step begins, before
what it returned is handed on, in `Context.sleep`, as it goes on after `Context.wait_for_event`, and before and after
each undo. There is none but in tests; else a run only looks whether there is one.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

from ._core.state import Delivery

__all__ = ["Gate", "Point"]

Point: TypeAlias = Literal["start", "end", "sleep", "resume", "undo", "undone"]


class Gate(Protocol):
    """Holds each step until it is its turn."""

    def opened(self, run: Any, /) -> None:  # noqa: ANN401 - the driver, which is above
        """A run was made and has no event yet."""

    async def __call__(self, run: Any, delivery: Delivery, point: Point, what: object, /) -> None:  # noqa: ANN401
        """Returns when the step may go on. What it raises, the step raises.

        Args:
            run: The driver of the run.
            delivery: What the step is about.
            point: Where the step is.
            what: What it returned (``"end"``), for how many seconds it sleeps (``"sleep"``: this is the sleep), or what
                it waited for, None if that did not come (``"resume"``), or the name of what undoes the step, and when
                the time for that is over (``"undo"``, ``"undone"``).
        """
