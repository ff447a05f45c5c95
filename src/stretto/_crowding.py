"""A run for which there is no place among those of its workflow, and which does not simply wait for one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ._core.crowd import Crowd
from .errors import QueueFullError, WorkflowError

if TYPE_CHECKING:
    from ._core.machine import Machine
    from .limits import Line

__all__ = ["Comer", "make_way"]


class Comer(Protocol):
    """A run, as far as this needs it."""

    machine: Machine

    @abstractmethod
    def runs_in_line(self, line: Line) -> Sequence[object]:
        """The runs that it is nested in, as far as they are in this line."""

    @abstractmethod
    def waits_for_an_ancestor(self) -> WorkflowError:
        """The error of a run whose place would only be free when it has ended."""

    @abstractmethod
    def refuse(self, error: WorkflowError) -> None:
        """There is no place for it."""

    @abstractmethod
    def cancel(self, why: str) -> None:
        """Cancels the run; its steps may still clean up."""


def make_way(run: Comer, line: Line, how: str, *, at_once: bool) -> None:
    """Refuses the run, or has the oldest one cancelled, whose place it waits for then.

    Args:
        run: It has joined the line.
        line: The runs of its workflow.
        how: ``"fail"`` or ``"cancel_oldest"``.
        at_once: Whether there was a place.
    """
    if how == "fail":
        if not at_once:
            run.refuse(_full(run, line))
        return
    crowd = line.crowd
    if crowd is None:
        crowd = line.crowd = Crowd(line.most)
    crowd.join(run)
    if at_once:
        return
    kin = run.runs_in_line(line)
    if any(each not in crowd for each in kin):
        run.refuse(run.waits_for_an_ancestor())  # which is being ended, and waits for it
        return
    if not crowd.is_too_large:
        return
    oldest = crowd.oldest((run, *kin))
    if oldest is None:
        run.refuse(run.waits_for_an_ancestor())
        return
    oldest.cancel(
        f"because a later run of the same {run.machine.plan.name} has taken its place, and it was the oldest of those "
        f"that went on (num_concurrent_runs={line.most}, run_overflow='cancel_oldest')"
    )


def _full(run: Comer, line: Line) -> QueueFullError:
    name, most = run.machine.plan.name, line.most
    full = f"{most} runs of this {name} are at work" if most > 1 else f"a run of this {name} is at work"
    return QueueFullError(
        f"{full}, which is all that num_concurrent_runs={most} lets, and with run_overflow='fail' no other waits; run "
        f"it when that is over, raise the number, or write {name}(run_overflow='wait')",
        full,
    )
