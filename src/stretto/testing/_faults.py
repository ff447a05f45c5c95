"""Faults that a schedule may have: each is one more thing that can happen next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import attrs

__all__ = ["Fault", "Faults"]


def _names(steps: str | Iterable[str]) -> tuple[str, ...]:
    return (steps,) if isinstance(steps, str) else tuple(steps)


@final
@attrs.frozen(kw_only=True)
class Faults:
    """What may go wrong in a run, for `explore` to try at each point where it could.

    A fault is a choice as any other, and one off the normal order: a failure that needs none is told without.

    Attributes:
        raises: What a step raises: an exception class that takes no arguments, or one made by a function. It comes in
            place of the first line of the step, or in place of returning, when all that the step does is done.
        hangs: Whether a step may never get to its first line.
        cancel: Whether the run may be cancelled, at any point.
        timeout: Whether its time limit may pass, at any point.
        steps: The names of the steps that may raise and hang; all, if it is empty.
        most: How many faults one schedule may have.
    """

    raises: type[Exception] | None = None
    hangs: bool = False
    cancel: bool = False
    timeout: bool = False
    steps: tuple[str, ...] = attrs.field(default=(), converter=_names)
    most: int = 1

    def of_step(self, step: str, point: str) -> list[Fault]:
        """What may happen to a step instead of going on there."""
        if (self.steps and step not in self.steps) or point not in {"start", "end"}:
            return []
        found = [Fault("raise")] if self.raises is not None else []
        return found + ([Fault("hang")] if self.hangs and point == "start" else [])

    def of_run(self) -> list[Fault]:
        """What may happen to the run at any point."""
        return [Fault(kind) for kind, on in (("cancel", self.cancel), ("timeout", self.timeout)) if on]

    @property
    def letters(self) -> str:
        """What is on, for a fingerprint."""
        return (
            f"{self.raises is not None:d}{self.hangs:d}{self.cancel:d}{self.timeout:d}{self.most}{self.steps}"
        )


@final
@attrs.frozen
class Fault:
    """One of them: "raise", "hang", "cancel" or "timeout"."""

    kind: str
