"""Watches the machine of one run: what is sent, what becomes of it, and what each piece of the run touches.

All that decides goes through a few methods of the machine, so these are put into a wrapper, on the machine of this run
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

from .._core.inputs import StepRaised
from .._core.joined import Joined
from .._core.state import Delivery
from ..events import Event
from ._actor import Actor, present
from ._footprint import Footprint
from ._heap import is_mutable, touch_heap

__all__ = ["Observer"]

_DRAW = 0.5


@final
class Observer:
    """What was seen of one run.

    Attributes:
        records: The deliveries that have begun.
        sent: Everything sent, by identity.
        taken: What a step has begun with or has waited for, or was written to the stream, by identity.
        stream: What was written to the stream.
    """

    def __init__(self, run: Any, number: int, footprint: Callable[[], Footprint]) -> None:  # noqa: ANN401
        self.run = run
        self.machine = run.machine
        self.number = number
        self.records: dict[Delivery, Actor] = {}
        self.sent: dict[int, Event] = {}
        self.taken: set[int] = set()
        self.stream: list[Event] = []
        self._senders: dict[int, Actor | None] = {}
        self._arrivals: dict[int, Actor] = {}
        self._footprint = footprint
        self._wrap()

    def _wrap(self) -> None:
        machine, run = self.machine, self.run
        event_sent, step_returned = machine.event_sent, machine.step_returned
        receive, collect, publish = machine.receive, machine.collect, run.publish

        def sent(event: Event, carry: Any, step: str | None = None, **rest: Any) -> Any:  # noqa: ANN401
            self._note((event,))
            effects = event_sent(event, carry, step, **rest)
            self._touched(self._takers(event))
            return effects

        def returned(delivery: Delivery, value: object, at: float) -> Any:  # noqa: ANN401
            self._note(each for each in _listed(value) if isinstance(each, Event))
            touched = {delivery.step.index}.union(*(self._takers(each) for each in _listed(value)))
            at_limit = self._at_limit(touched)
            effects = step_returned(delivery, value, at)
            self._touched(touched, at_limit)
            return effects

        def received(given: Any) -> Any:  # noqa: ANN401
            self._footprint().everything = True  # they are many, and seldom
            effects = receive(self._raised(given) if isinstance(given, StepRaised) else given)
            self._touched(())
            return effects

        def collected(delivery: Delivery, ev: Event, expected: Any, buffer_id: Any) -> Any:  # noqa: ANN401
            self._footprint().writes.add(("buffer", self.number, delivery.step.index, buffer_id))
            if (record := self.records.get(delivery)) is not None:
                self._arrivals[id(ev)] = record
            batch = collect(delivery, ev, expected, buffer_id)
            if record is not None:
                mates = [self._arrivals[id(each)] for each in batch or () if id(each) in self._arrivals]
                record.seen.joined += [mate.seen for mate in mates if mate is not record]
            return batch

        def published(event: Event, /) -> None:
            self._footprint().writes.add(("stream", self.number))
            self.taken.add(id(event))
            self.stream.append(event)
            publish(event)

        machine.event_sent, machine.step_returned = sent, returned
        machine.receive, machine.collect, run.publish = received, collected, published

    def _raised(self, given: StepRaised) -> StepRaised:
        """What a step raised; the pause before its next attempt is to be the same each time."""
        if given.delivery in self.records:
            self.records[given.delivery].seen.error = given.error
        draw = None if given.draw is None else _DRAW
        return StepRaised(delivery=given.delivery, error=given.error, at=given.at, draw=draw)

    def began(self, delivery: Delivery, record: Actor) -> None:
        """A step begins."""
        self.records[delivery] = record
        for event in delivery.event.events if isinstance(delivery.event, Joined) else (delivery.event,):
            self.taken.add(id(event))
            self.sent.setdefault(id(event), event)
            self._comes_of(record, self._senders.get(id(event)))

    def was_given(self, delivery: Delivery, event: Event) -> None:
        """A step waited for an event, and goes on with it."""
        self.taken.add(id(event))
        if (record := self.records.get(delivery)) is not None:
            self._comes_of(record, self._senders.get(id(event)))

    def _comes_of(self, record: Actor, sender: Actor | None) -> None:
        if sender is not None and sender.seen is not record.seen.cause:
            record.seen.joined.append(sender.seen)

    def streamed(self) -> tuple[Event, ...]:
        """The stream of a run that is over."""
        return (*self.stream, *(() if self.machine.ended is None else (self.machine.terminal_event(),)))

    def known(self) -> set[int]:
        """What was taken, kept or reported here, by identity; it may have been sent in another run."""
        machine = self.machine
        known = self.taken | {id(event) for event in machine.leftovers()}
        known |= {id(letter.event) for letter in machine.dead_letters or ()}
        return known | {id(machine._stop), id(machine.asked), id(machine.result)}  # noqa: SLF001

    def _note(self, events: Iterable[Event]) -> None:
        sender = present.get()
        for event in events:
            self.sent[id(event)] = event
            self._senders[id(event)] = sender
            if any(is_mutable(value) for value in vars(event).values()):
                touch_heap(self._footprint(), sender)

    def _takers(self, event: object) -> set[int]:
        takers = {taker.index for taker in self.machine.plan.routes.find(type(event))}
        if isinstance(event, Event) and not takers:
            self._footprint().everything = True  # a stop, or one for the mailbox
        return takers

    def _at_limit(self, steps: Iterable[int]) -> set[int]:
        machine = self.machine
        return {each for each in steps if machine.busy[each] >= machine.plan.steps[each].limit}

    def _touched(self, steps: Iterable[int], before: Iterable[int] = ()) -> None:
        """A queue matters where all workers of a step are taken, before or after."""
        footprint = self._footprint()
        footprint.writes.update(("queue", self.number, each) for each in {*before, *self._at_limit(steps)})
        machine = self.machine
        if machine.ended is not None or machine.room is not None or machine.shedding is not None:
            footprint.everything = True


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else [value]  # pyright: ignore[reportUnknownArgumentType]
