"""What a worker needs of its run: for type checkers, no program loads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import anyio

from ._carry import Host
from ._core.machine import Machine
from ._core.state import Delivery
from ._nesting import Nesting
from ._queue import ReadyQueue
from ._run_port import RunPort
from ._step_spec import StepSpec

__all__ = ["Crew"]


class Crew(Host, RunPort, Protocol):
    """The run, as far as its workers need it."""

    workflow: object
    specs: tuple[StepSpec, ...]
    machine: Machine
    queue: ReadyQueue
    scope: anyio.CancelScope | None
    timed: bool
    abortable: dict[Delivery, anyio.CancelScope] | None
    made: dict[Delivery, list[Nesting]] | None
    checkpoint: Callable[[], Awaitable[object]]
    cancelled: type[BaseException]

    def spawn_spare(self) -> None:
        """Starts one more worker."""

    async def supply(self, spec: StepSpec) -> dict[str, object]:
        """The resources that a step asks for, by parameter."""
        ...

    async def end_lost(self, made: Sequence[Nesting]) -> None:
        """Cancels the nested runs of a step that has lost a race, and waits for them."""
        ...

    def attend(self, ended: anyio.Event) -> None:
        """Names a step in a thread that does not end after the run was cancelled."""

    def note_deadline(self) -> None:
        """Tells the machine if the deadline has passed."""

    def note_cancellation(self, *, idle: bool) -> None:
        """A worker is about to be hit by a cancellation."""

    def watch(self) -> None:
        """Sees to it that steps which do not end are named."""

    def end(self) -> None:
        """The run is decided."""

    def cancel(self, why: str) -> None:
        """Cancels the run."""
