"""Faults that a schedule may have: each is one more thing that can happen next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import attrs

from ..errors import DefinitionError, shown

__all__ = ["Faults"]

_OF_RUN = ("cancel", "timeout", "leave", "crash")
_SWITCHES = ("hangs", "cancel_step", "blocks", "doubles", *_OF_RUN)


def _names(steps: str | Iterable[str]) -> tuple[str, ...]:
    return (steps,) if isinstance(steps, str) else tuple(steps)


@final
@attrs.frozen(kw_only=True, repr=False)
class Faults:
    """What may go wrong in a run, for `explore` to try at each point where it could, until the run is decided.

    A fault is a choice as any other, and one off the normal order: a failure that needs none is told without. Those
    that happened in a run are in `TestRun.faults`, by the names that they have here.

    Attributes:
        raises: What a step raises: an exception class that takes no arguments, or one made by a function. It comes in
            place of the first line of the step, or in place of returning, when all that the step does is done.
        hangs: Whether a step may never get to its first line.
        cancel_step: Whether a step may be cancelled in its middle, and nothing else, as by a library that it uses: its
            clean-up runs, and a cancellation that comes out of it is an error of the step.
        blocks: Whether a step may keep the loop busy until the time limit of the run is over, and go on then.
        doubles: Whether an event may come to its step once more.
        cancel: Whether the run may be cancelled, at any point.
        timeout: Whether its time limit may pass, at any point.
        leave: Whether who awaits the run may be cancelled, at any point.
        crash: Whether the process may die, at any point. Another one then goes on from the snapshot of that moment:
            with a new workflow object, which knows nothing of what the old one had in its attributes. What was at work
            runs again, as after any crash, and nothing is undone in the old one. What a death leaves out, and no test
            can, is the clean-up of the old steps.
        undos: Whether what `raises`, `hangs` and `cancel_step` say of steps may happen to undos too: one raises in
            place of its first line or when it has done all, hangs until the time for the undoing is over, or is
            cancelled in its middle.
        steps: The names of the steps, and undos, that the first five are for; all, if it is empty.
        most: How many faults one schedule may have.
    """

    raises: type[Exception] | None = None
    hangs: bool = False
    cancel_step: bool = False
    blocks: bool = False
    doubles: bool = False
    cancel: bool = False
    timeout: bool = False
    leave: bool = False
    crash: bool = False
    undos: bool = False
    steps: tuple[str, ...] = attrs.field(default=(), converter=_names)
    most: int = 1

    def __attrs_post_init__(self) -> None:
        raised: Any = self.raises
        if raised is not None and not (isinstance(raised, type) and issubclass(raised, Exception)):
            raise DefinitionError(
                f"raises is an exception class that takes no arguments, not {shown(self.raises)}"
            )
        if self.undos and raised is None and not (self.hangs or self.cancel_step):
            raise DefinitionError(
                "undos=True lets what happens to steps happen to undos, and that is nothing; add raises=OSError, "
                "hangs=True or cancel_step=True"
            )
        count: Any = self.most
        if not isinstance(count, int) or count < 1:
            raise DefinitionError(f"most is a number of faults, 1 or more, not {shown(count)}")

    def may_hit(self, step: str) -> bool:
        """Whether what happens to steps may happen to this one."""
        return not self.steps or step in self.steps

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return self.raises is not None or any(getattr(self, name) for name in _SWITCHES)

    @property
    def of_run(self) -> tuple[str, ...]:
        """What may happen to the run, by name."""
        return tuple(name for name in _OF_RUN if getattr(self, name))

    @property
    def letters(self) -> str:
        """What is on, for a fingerprint."""
        switches = "".join(f"{getattr(self, name):d}" for name in _SWITCHES)
        return f"{self.raises is not None:d}{switches}{self.most}{self.steps}{'u' * self.undos}"

    def __repr__(self) -> str:
        """As it is written in a program."""
        on = [f"{name}=True" for name in _SWITCHES if getattr(self, name)]
        raises = [] if self.raises is None else [f"raises={self.raises.__name__}"]
        rest = ["undos=True"] * self.undos + [f"steps={self.steps}"] * bool(self.steps)
        rest += [f"most={self.most}"] * (self.most > 1)
        return f"Faults({', '.join([*raises, *on, *rest])})"
