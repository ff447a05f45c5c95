"""The queues with policies of one run, by their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, final

from .backlog import Backlog
from .delivery import Delivery
from .flow import Flow
from .permits import Lane, Permits

if TYPE_CHECKING:
    from .plan import StepPlan
    from .room import Room
    from .shedding import Shedding

__all__ = ["Flows"]


@final
class Flows(Backlog):
    """All queues with policies of one run.

    Attributes:
        by_step: The queue of each step that has policies, by its index.
        cancels: Whether one of them may have a step cancelled, so that what that sends comes too late.
    """

    __slots__ = ("by_step", "cancels")

    def __init__(
        self,
        steps: Sequence[StepPlan],
        sources: Mapping[int, Sequence[Permits]],
        at: float,
        *,
        room: Room | None,
        shedding: Shedding | None,
        wake: Callable[[Lane], object],
    ) -> None:
        super().__init__(at, room=room, shedding=shedding, wake=wake)
        self.by_step = {
            step.index: Flow(self, step, step.policies, sources.get(step.index, ()))
            for step in steps
            if step.policies is not None
        }
        self.cancels = any(flow.cancels for flow in self.by_step.values())

    def of(self, delivery: Delivery) -> Flow:
        """The queue of its step."""
        return self.by_step[delivery.step.index]
