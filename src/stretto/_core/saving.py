"""How what is on its way is written as plain data, and read again.

The events and values are opaque here: a `Writer` and a `Reader` know how they look in plain data.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextvars import Context
from typing import Protocol, TypeAlias, final

from ..errors import SnapshotError, name_of, near
from ..events import Event, StepFailedEvent
from .delivery import Delivery
from .joined import Joined
from .machine import Machine
from .mail import Mail
from .past import NOTHING_SPENT, Mark, Past
from .places import Place
from .plan import StepPlan

__all__ = ["MOST", "OfBehalf", "Reader", "Restoring", "Saving", "ToBehalf", "Writer"]

MOST = 2**31

# In a snapshot of several runs: the number of the one on whose behalf something is done, from the context variables and
# back.
ToBehalf: TypeAlias = Callable[[Context], int | None]
OfBehalf: TypeAlias = Callable[[Place, Context], None]


class Writer(Protocol):
    """How events and values look in plain data."""

    @abstractmethod
    def event(self, event: Event, path: str) -> int:
        """The number under which an event is kept; the same one for the same object."""

    @abstractmethod
    def value(self, value: object, path: str) -> object:
        """Any other value."""

    @abstractmethod
    def kind(self, kind: type, path: str) -> str:
        """The name of a class of events."""


class Reader(Protocol):
    """What a `Writer` wrote, read again."""

    @abstractmethod
    def event(self, place: Place) -> Event:
        """The event with that number; the same object each time."""

    @abstractmethod
    def value(self, place: Place) -> object:
        """Any other value."""

    @abstractmethod
    def kind(self, place: Place) -> type[Event]:
        """The class of events with that name."""


@final
class Saving:
    """A snapshot that is being made."""

    def __init__(self, run: Machine, at: float, writer: Writer, behalf: ToBehalf | None) -> None:
        self.run = run
        self.at = at
        self.writer = writer
        self._behalf = behalf
        self.numbers: dict[Delivery, int] = {}  # of what was written, in order

    def name(self, index: int) -> str:
        """The step with that index, which may be another one in the next program."""
        return self.run.plan.steps[index].name

    def by_name(self, counts: Mapping[int, int]) -> dict[str, int]:
        """Counts for steps."""
        return {self.name(index): count for index, count in counts.items()}

    def events(self, events: Sequence[Event], path: str) -> list[int]:
        """The numbers of these events."""
        return [self.writer.event(event, f"{path}[{number}]") for number, event in enumerate(events)]

    def mail(self, mail: Sequence[Mail], path: str) -> list[object]:
        """The numbers of these events, and where they came from."""
        return [
            [self.writer.event(each.event, f"{path}[{number}][0]"), each.outside]
            for number, each in enumerate(mail)
        ]

    def deliveries(self, deliveries: Sequence[Delivery], path: str) -> list[object]:
        """What is on its way to steps."""
        return [self.delivery(each, f"{path}[{number}]") for number, each in enumerate(deliveries)]

    def behalf(self, carry: Context) -> dict[str, object]:
        """The run on whose behalf something is on its way, if it is not alone in the snapshot."""
        number = None if self._behalf is None else self._behalf(carry)
        return {} if number is None else {"behalf": number}

    def delivery(self, delivery: Delivery, path: str) -> dict[str, object]:
        """What is on its way to one step, and what it and its earlier attempts were given."""
        self.numbers[delivery] = len(self.numbers)
        data: dict[str, object] = {"step": delivery.step.name, **self.behalf(delivery.carry)}
        if isinstance(delivery.event, Joined):
            data["joined"] = self.events(delivery.event.events, f"{path}.joined")
        else:
            data["event"] = self.writer.event(delivery.event, f"{path}.event")
        if delivery.collected:
            data["collected"] = [
                self._collected(delivery.past, mark, event, f"{path}.collected[{number}]")
                for number, (mark, event) in enumerate(delivery.collected.items())
            ]
        if delivery.past is not None:
            data |= self._past(delivery, delivery.past, path)
        return data

    def _collected(self, past: Past | None, mark: Mark, event: Event, path: str) -> dict[str, object]:
        (_, buffer_id), _ = mark
        data: dict[str, object] = {"event": self.writer.event(event, f"{path}.event")}
        if buffer_id is not None:
            data["id"] = self.writer.value(buffer_id, f"{path}.id")
        batches = [] if past is None else [*past.taken.get(mark, ()), *past.kept.get(mark, ())]
        if batches:
            data["batches"] = [
                self.events(batch, f"{path}.batches[{number}]") for number, batch in enumerate(batches)
            ]
        return data

    def _past(self, delivery: Delivery, past: Past, path: str) -> Iterator[tuple[str, object]]:
        if past.attempt > 1:
            yield "attempt", past.attempt
        if past.began is not None:
            yield "age", max(0.0, self.at - past.began)
        if past.error is not None:
            yield "error", self.writer.value(past.error, f"{path}.error")
        if past.spent:
            yield "spent", self.by_name(past.spent)
        given = [*(past.given or ()), *(past.again or ())]
        if len(given) > self.run.collect_limit:
            raise SnapshotError(
                f"{path}: {delivery.step.label} was given more than {self.run.collect_limit} events in its middle, the "
                "collect_limit of this workflow, and they are not kept for it to run again; let a step of its own take "
                "them",
                path,
            )
        if given:
            yield "given", self.mail(given, f"{path}.given")


@final
class Restoring:
    """A run that is being restored into a fresh machine."""

    def __init__(
        self, run: Machine, at: float, reader: Reader, carry: Context, behalf: OfBehalf | None
    ) -> None:
        self.run = run
        self.at = at
        self.reader = reader
        self._carry = carry
        self._behalf = behalf
        self.deliveries: list[Delivery] = []  # what was read, in order

    def step(self, place: Place) -> StepPlan:
        """The step of that name."""
        name = place.text()
        step = self.run.plan.step_named(name)
        if step is None:
            names = [other.name for other in self.run.plan.steps]
            raise place.error(
                f"{self.run.plan.name} has no step {name!r}; its steps: {', '.join(names)}{near(name, names)}"
            )
        return step

    def carry(self, place: Place) -> Context:
        """The context variables of what stands there."""
        carry = self._carry.copy()
        number = place.get("behalf")
        if number is not None and self._behalf is not None:
            self._behalf(number, carry)
        return carry

    def mail(self, place: Place) -> Mail:
        """An event, and where it came from."""
        event, outside = place.exactly(2)
        return Mail(self.reader.event(event), outside.flag())

    def delivery(self, place: Place) -> Delivery:
        """What is on its way to a step."""
        step = self.step(place.part("step"))
        delivery = Delivery(step, self.event(step, place), self.carry(place))
        self.deliveries.append(delivery)
        past = self._past(place, Past(delivery.carry.copy()))
        for each in place.listed("collected"):
            self._collected(each, delivery, past)
        if not step.plain or past.kept or past.again or past.began is not None:
            delivery.past = past
            self._resumed(delivery)
        return delivery

    def event(self, step: StepPlan, place: Place) -> Event:
        """What the step takes: an event, or several that it joins."""
        if step.join is None:
            return self.taken(step, place.part("event"))
        return Joined(events=tuple(self.taken(step, each) for each in place.part("joined").items()))

    def taken(self, step: StepPlan, place: Place) -> Event:
        """An event that the step takes."""
        event = self.reader.event(place)
        if not step.takes(type(event)) and not (type(event) is StepFailedEvent and _settles(step)):
            raise place.error(f"{step.label} does not take {name_of(type(event), step.accepts)}")
        return event

    def spent(self, place: Place | None) -> Mapping[int, int]:
        """What was spent on recoveries."""
        if place is None:
            return NOTHING_SPENT
        return {
            self.step(Place(name, name, place)).index: count.whole(0, MOST) for name, count in place.entries()
        }

    def _resumed(self, delivery: Delivery) -> None:
        assert self.run.resumed is not None  # `restore` begins with that
        self.run.resumed.append(delivery)

    def _past(self, place: Place, past: Past) -> Past:
        if (attempt := place.get("attempt")) is not None:
            past.attempt = attempt.whole(1, MOST)
        if (age := place.get("age")) is not None:
            past.began = self.at - age.seconds()
        if (error := place.get("error")) is not None:
            value = self.reader.value(error)
            if not isinstance(value, Exception):
                raise error.wants("an error")
            past.error = value
        past.spent = self.spent(place.get("spent"))
        past.again = [self.mail(each) for each in place.listed("given")] or None
        return past

    def _collected(self, place: Place, delivery: Delivery, past: Past) -> None:
        event = self.reader.event(place.part("event"))
        mark = ((delivery.step.index, self.buffer_id(place)), id(event))
        delivery.collected = delivery.collected or {}
        delivery.collected[mark] = event
        batches = [[self.reader.event(each) for each in batch.items()] for batch in place.listed("batches")]
        if batches:
            past.kept[mark] = batches

    def buffer_id(self, place: Place) -> Hashable:
        """What tells the buffers of a step apart."""
        part = place.get("id")
        return None if part is None else self.hashable(part)

    def hashable(self, place: Place) -> Hashable:
        """A value that something is looked up by."""
        value = self.reader.value(place)
        try:
            hash(value)
        except TypeError:
            raise place.wants("something that can be hashed") from None
        return value


def _settles(step: StepPlan) -> bool:
    """Whether a step is given failures in its list."""
    from ..joins import Settle  # noqa: PLC0415 - only for who joins

    return isinstance(step.join, Settle)
