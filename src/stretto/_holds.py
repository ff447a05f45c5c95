"""What a step waits for before it goes on, told to the machine: a deadline that passes meanwhile says so."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from ._core.delivery import Delivery, Hold
from ._core.effects import Effects
from ._core.inputs import GoesOn, HeldUp
from ._core.machine import Machine

__all__ = ["HoldPort", "held_up"]


class HoldPort(Protocol):
    """What this needs of a run."""

    machine: Machine

    def perform(self, effects: Effects, sender: str | None = None) -> None:
        """Does what the machine asks for."""


@contextmanager
def held_up(run: HoldPort, delivery: Delivery, by: str, *, begun: bool = True) -> Generator[None]:
    """Around a wait of a step that is at work, for its turn of something; its body may not have `begun`."""
    hold = Hold(delivery, by, begun=begun)
    run.perform(run.machine.receive(HeldUp(hold=hold)))
    try:
        yield
    finally:
        run.perform(run.machine.receive(GoesOn(hold=hold)))
