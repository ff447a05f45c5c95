"""How often each step was given an event, and each event was sent: bounded by the graph, and kept for every run.

The common case is one addition: a *way*, from a step by an event to the one step that takes it, has a number in the
plan. What goes another way is counted by name. Types that nothing declares may be made without end, so of those only
the first thousand are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..events import Event, InputRequiredEvent
from .delivery import Delivery
from .plan import OUTSIDE, StepPlan
from .state import RunState

if TYPE_CHECKING:
    from .counts import Counts

__all__ = ["Counting", "Passage"]

Passage: TypeAlias = tuple[int | None, type[Event], int | None]
"""An event class with the step that sent it, -1 for none; or with the step that was given it. The other is None."""

_TYPES_TOLD_APART = 1_000


class Counting(RunState):
    """Counts what is sent and taken, all but the common case, which `Machine` has in place."""

    def count_asked(self, step: StepPlan, question: Event) -> None:
        """A step that waits has written its question to the stream, which no machine sees."""
        if isinstance(question, InputRequiredEvent):  # another event says something, and asks nobody
            self._count((step.index, type(question), None))

    def _count_sent(self, cause: Delivery | None, event: Event, takers: Sequence[StepPlan]) -> None:
        kind = type(event)
        if cause is None:
            self._count((OUTSIDE, kind, None))
        elif (number := cause.step.leads_out.get(kind)) is not None:
            self.tally[number] += 1
        else:
            self._count((cause.step.index, kind, None))
        for taker in takers:
            self._count((None, kind, taker.index))

    def _count_taken(self, step: StepPlan, event: Event, count: int = 1) -> None:
        self._count((None, type(event), step.index), count)

    def _count_called(self, step: StepPlan) -> None:
        """A step that joins is called with what has arrived, which was counted when it did."""
        self._unequal()[step.index] += 1

    def _count_answered(self, step: StepPlan, event: Event) -> None:
        """A step is given an event in its middle, which begins nothing; of one that joins, only calls are counted."""
        self._count_taken(step, event)
        if step.join is None:
            self._unequal()[step.index] -= 1

    def _unequal(self) -> list[int]:
        if self.unequal is None:
            self.unequal = [0] * len(self.plan.steps)
        return self.unequal

    def _count(self, passage: Passage, count: int = 1) -> None:
        if self.passages is None:
            self.passages = {}
        if passage not in self.passages and len(self.passages) >= _TYPES_TOLD_APART:
            sender, _, taker = passage
            passage = sender, Event, taker
        self.passages[passage] = self.passages.get(passage, 0) + count

    def counts(self) -> Counts:
        """What was counted so far."""
        from .counts import Counts  # noqa: PLC0415 - for who looks

        names = {OUTSIDE: None} | {step.index: step.name for step in self.plan.steps}
        sent: dict[tuple[str | None, type[Event]], int] = {}
        taken: dict[tuple[type[Event], str], int] = {}
        begun = dict.fromkeys((step.name for step in self.plan.steps), 0)
        for (sender, kind, taker), count in self._passages():
            if sender is not None:
                sent[names[sender], kind] = sent.get((names[sender], kind), 0) + count
            if taker is not None:
                name = self.plan.steps[taker].name
                taken[kind, name] = taken.get((kind, name), 0) + count
                begun[name] += count if self.plan.steps[taker].join is None else 0
        for index, count in enumerate(self.unequal or ()):
            begun[self.plan.steps[index].name] += count
        for step in self._never_begun():
            begun[step.name] -= 1
        return Counts(begun=begun, sent=sent, taken=taken)

    def _passages(self) -> Iterator[tuple[Passage, int]]:
        for way, count in zip(self.plan.ways, self.tally, strict=True):
            if count:
                yield way, count
        yield from (self.passages or {}).items()

    def _never_begun(self) -> Iterator[StepPlan]:
        """The steps of deliveries that were never begun: that wait for a worker, or for their turn."""
        for delivery in self.active:
            lost = self.flows is not None and delivery in self.flows.lost  # it was taken back already
            if not self.has_begun(delivery) and delivery.attempt == 1 and not lost:
                yield delivery.step
        for waiting in self.in_queues():
            if type(waiting) is Delivery and waiting.attempt == 1:
                yield waiting.step
