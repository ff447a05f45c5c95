"""What the completed steps of a run have done, in order, and how far it is undone: the log of a saga.

The idea is Garcia-Molina's and Salem's (1987): what was done in steps is undone step by step, last first. Each step
that completes is one entry, and so is each nested run that ends with a result, with its own entries within. If the run
fails, the entries become the agenda, and each undo that has ended asks for the next. There is one time limit for all.

An undo never comes up twice: what is put on the agenda leaves the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import cast, final

from ..errors import WorkflowTimeoutError, add_note, told
from ..events import Event
from ..undo import Outcome, UndoError, UndoRecord
from .completed import Completed, Entry, in_reverse
from .delivery import Delivery
from .effects import NOTHING, Effects, Undo
from .joined import Joined

__all__ = ["Undos"]

_TOLD = 10  # entries in one message; run.undone has them all


@final
class Undos:
    """The log of one run, and how far it is undone.

    Attributes:
        log: What can be undone, oldest first; several runs that are undone together have one.
        records: What became of it, once that has begun.
        deadline: When the undoing must be over; None before it begins.
        limit: The seconds that it has.
    """

    __slots__ = ("_agenda", "_error", "_failure", "_made", "at_work", "deadline", "limit", "log", "records")

    def __init__(self, log: list[Entry] | None = None) -> None:
        self.log: list[Entry] = [] if log is None else log
        self.records: list[UndoRecord] = []
        self.deadline: float | None = None
        self.limit = 0.0
        self.at_work: Completed | None = None
        self._agenda: deque[Completed] = deque()
        self._made: dict[Delivery, list[list[Entry]]] = {}
        self._failure: Exception | None = None
        self._error: UndoError | None = None

    # -- while the run goes on ---------------------------------------------------------------------------------

    def completed(self, delivery: Delivery, result: object) -> None:
        """A step has returned; what its nested runs have done has its place from now on."""
        returned = cast("Event | list[Event] | None", result)  # its annotation names it
        entry = Completed(delivery.step, delivery.event, returned, delivery.carry.copy())
        for group in self._made.pop(delivery, ()):
            entry.inner.append(group[:])
            group.clear()
        self.log.append(entry)

    def take_in(self, log: list[Entry], maker: Delivery | None) -> None:
        """A nested run has a result; `maker` is the step that has made it, if that has an undo of its own."""
        self.log.append(log)
        if maker is not None:
            self._made.setdefault(maker, []).append(log)

    # -- when it has failed ------------------------------------------------------------------------------------

    def begin(self, at: float, limit: float) -> Effects:
        """The undoing begins; it may take so many seconds."""
        self._agenda.extend(in_reverse(self.log))
        self.log.clear()
        self.limit = limit
        self.deadline = at + limit
        return self._next(at)

    def ended(self, at: float, error: BaseException | None, *, cut: bool) -> Effects:
        """The undo at work has returned, raised, or was cut off; one of Ctrl-C and its like ends all of it."""
        entry, self.at_work = self.at_work, None
        assert entry is not None, "no undo was at work"
        self._note(entry, "cut off" if cut else "done" if error is None else "failed", error)
        if error is not None and not isinstance(error, Exception):
            return self._give_up()
        return self._next(at)

    def _next(self, at: float) -> Effects:
        if not self._agenda:
            return NOTHING
        if self.deadline is not None and at >= self.deadline:
            return self._give_up()
        self.at_work = self._agenda.popleft()
        return (Undo(entry=self.at_work),)

    def _give_up(self) -> Effects:
        while self._agenda:
            self._note(self._agenda.popleft(), "not reached")
        return NOTHING

    def _note(self, entry: Completed, outcome: Outcome, error: BaseException | None = None) -> None:
        step, event = entry.step, entry.event
        taken = event.events if isinstance(event, Joined) else event
        self.records.append(
            UndoRecord(
                step=step.name,
                label=step.label,
                undo=step.undo or "",
                event=taken,
                result=entry.result,
                outcome=outcome,
                error=error,
            )
        )

    # -- what comes of it --------------------------------------------------------------------------------------

    @property
    def going_on(self) -> bool:
        """Whether something is being undone."""
        return self.at_work is not None

    @property
    def incomplete(self) -> bool:
        """Whether something was to be undone and is not."""
        return any(record.outcome != "done" for record in self.records)

    def told(self) -> str:
        """What is not undone, and why, as a line."""
        missing = [record for record in self.records if record.outcome != "done"]
        names = ", ".join(map(str, missing[:_TOLD]))
        more = f", and {len(missing) - _TOLD} more" if len(missing) > _TOLD else ""
        return f"not undone: {names}{more}"

    def verdict(self, failure: BaseException | None, name: str) -> BaseException | None:
        """What comes out of a run that has failed so: the failure itself, unless not all of it could be undone."""
        if failure is None or not self.records or self.going_on:
            return failure
        if not self.incomplete:
            add_note(
                failure, f"undone, last first: {', '.join(map(str, self.records[:_TOLD]))}{self._more()}"
            )
            return failure
        if not isinstance(failure, Exception):
            add_note(failure, self.told())
            return failure
        if self._error is None or self._failure is not failure:
            self._failure = failure
            raised = [each.error for each in self.records if isinstance(each.error, Exception)]
            self._error = UndoError(
                f"{name} failed with {told(failure)}, and not all that it did was undone; {self.told()}",
                [failure, *raised, *self._overdue(name)],
                self.records,
            )
        return self._error

    def _more(self) -> str:
        return f", and {len(self.records) - _TOLD} more" if len(self.records) > _TOLD else ""

    def _overdue(self, name: str) -> Iterator[WorkflowTimeoutError]:
        late = [each for each in self.records if each.outcome in {"cut off", "not reached"}]
        if late:
            yield WorkflowTimeoutError(
                f"undoing {name} passed its time limit of {self.limit:.6g} s, which is on top of that of the run, with "
                f"{len(late)} left; raise it with {name}(undo_timeout=…), or give the undo that hangs a time limit of "
                "its own",
                self.limit,
            )
