"""What a test sees of one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import attrs

from .._core.state import DeadLetter
from ..errors import WorkflowError
from ..events import Event
from ._delivered import Coverage, Delivered
from ._place import Taken

__all__ = ["TestRun"]


@final
@attrs.frozen(eq=False, repr=False, kw_only=True)
class TestRun:
    """One run that is over, under one schedule.

    Attributes:
        start: The event that it began with.
        error: What it raised, if it did.
        faults: What went wrong, by the names in `Faults`.
        stream: What it wrote to its stream, up to the event that ended it. If its process has died, that of the one
            which went on follows.
        deliveries: What its steps took, and those of the runs nested in it, in the order in which they began.
        leftovers: Events that were taken in and not used, see `Handler.leftovers`.
        dead_letters: Events that nobody took, each with the reason.
        lost_events: Events that were sent and of which nothing is known. There are none, or stretto is wrong.
        leaked_tasks: The names of tasks that were left when it was over.
        elapsed: How long it took, in virtual seconds.
        token: Its schedule, to be given to ``explore(replay=…)``.
        backend: ``"asyncio"`` or ``"trio"``.
        workflow: The workflow that was run, or the application; of several lives, that of the last.
        moves: What happened, one after the other.
    """

    __test__ = False  # pytest: it is no test

    start: Event | None
    value: object
    error: Exception | None
    faults: tuple[str, ...]
    stream: tuple[Event, ...]
    deliveries: tuple[Delivered, ...]
    leftovers: tuple[Event, ...]
    dead_letters: tuple[DeadLetter, ...]
    lost_events: tuple[Event, ...]
    leaked_tasks: tuple[str, ...]
    elapsed: float
    token: str
    backend: str
    workflow: Any
    moves: Sequence[Taken]

    @property
    def result(self) -> Any:  # noqa: ANN401 - of any workflow
        """The result.

        Raises:
            Exception: What the run raised, if it did.
        """
        if self.error is not None:
            raise self.error
        return self.value

    @property
    def coverage(self) -> Coverage:
        """Which steps ran, and who sent to whom."""
        return Coverage(
            frozenset(each.step for each in self.deliveries),
            frozenset(
                (None if each.cause is None else each.cause.step, each.step) for each in self.deliveries
            ),
        )

    def steps(self, name: str) -> list[Delivered]:
        """The deliveries to one step, in the order in which they began."""
        return [each for each in self.deliveries if each.step == name]

    def happens_before(self, first: Delivered | str, second: Delivered | str) -> bool:
        """Whether the second delivery takes in something that came of the first, in whatever schedule.

        Two deliveries that merely ran one after the other are not ordered. What comes of one is what its step sent,
        what a step collected or waited for with it, and what came of that.

        Args:
            first: A delivery, or the name of a step that ran once.
            second: The same.
        """
        return self._one(second).comes_of(self._one(first))

    def _one(self, which: Delivered | str) -> Delivered:
        if isinstance(which, Delivered):
            return which
        found = self.steps(which)
        if len(found) != 1:
            raise WorkflowError(
                f"happens_before({which!r}): that step ran {len(found)} times; give one of run.steps({which!r})"
            )
        return found[0]

    def explain(self) -> str:
        """The schedule in words: a line for each move; where the normal order was left, what would have come there."""
        width = len(str(len(self.moves)))
        lines: list[str] = []
        for number, move in enumerate(self.moves, 1):
            mark = ">" if move.instead else " "
            lines.append(f"{mark} {number:>{width}}. {move.at:.6g} s  {move.words}")
            if move.instead:
                lines.append(f"  {'':>{width}}          (and not yet: {move.instead})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        came = f"error={self.error!r}" if self.error is not None else f"result={self.value!r}"
        return f"<TestRun of {type(self.workflow).__name__} on {self.backend}: {came}, token={self.token}>"
