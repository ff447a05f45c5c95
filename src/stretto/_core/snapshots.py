"""The snapshot of a run, as plain data, and the run that goes on from one.

Each structure of a run has a part of its own in `PARTS`: what it writes, and how that is read into a fresh machine.
What is at work, or waits in its middle, becomes ready once more and is given again what it was given; what waits for a
worker, for its time or for others to arrive goes on waiting. Times are kept as seconds before and after the snapshot.
To write costs as much as the run keeps, and nothing for what it has done.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from itertools import groupby
from typing import Protocol, final

from ..events import Event
from .alarms import Alarms
from .collecting import Buffer, Buffers
from .delivery import DeadLetter, Delivery
from .effects import Effect, Retry
from .fork_parts import read_forks, write_forks
from .inputs import Begun
from .machine import Machine
from .places import Place
from .saving import MOST, OfBehalf, Reader, Restoring, Saving, ToBehalf, Writer
from .state import DEAD_LETTERS_KEPT
from .undo_parts import read_undos, write_undos
from .waiting import Mailbox, Waiter

__all__ = ["PARTS", "Part", "restore", "snapshot"]

_MOST_EXPECTED = 10**7  # in one list; a few characters of the data must not fill the memory


class Part(Protocol):
    """One structure of a run. What it writes is left out if it is empty, and then nothing is read."""

    @abstractmethod
    def write(self, out: Saving, path: str) -> object:
        """Its plain data."""

    @abstractmethod
    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        """Puts it into the machine; gives what is to be done."""


@final
class _Deliveries:
    """What is at work, waits for a worker, or waits in its middle."""

    def __init__(self, found: Callable[[Machine], Iterator[Delivery]]) -> None:
        self._found = found

    def write(self, out: Saving, path: str) -> object:
        found = dict.fromkeys(self._found(out.run))
        return out.deliveries([each for each in found if not out.run.is_lost(each)], path)

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        return [delivery for delivery in map(into.delivery, place.items()) if into.run.take_up(delivery)]


def _in_their_middle(run: Machine) -> Iterator[Delivery]:
    """Steps that wait in their middle, or have and now wait for a worker: they began before all others."""
    yield from (waiter.delivery for waiter in run.waiters or () if waiter.parked)
    yield from (each.delivery for each in run.in_queues() if isinstance(each, Waiter))


def _at_work(run: Machine) -> Iterator[Delivery]:
    in_line = run.in_line or ()
    yield from (each for each in run.active if each not in in_line)


def _queued(run: Machine) -> Iterator[Delivery]:
    """What waits for a worker; before that what has one, and waits for a turn before it begins."""
    yield from run.in_line or ()
    quiet = () if run.flows is None else run.flows.quiet
    queued = (each for each in run.in_queues() if isinstance(each, Delivery) and each not in quiet)
    yield from queued if run.shedding is None else run.shedding.by_age(queued)


@final
class _Retrying:
    """What waits to be tried again."""

    def write(self, out: Saving, path: str) -> object:
        return [
            {"left": max(0.0, due - out.at), **out.delivery(delivery, f"{path}[{number}]")}
            for number, (due, delivery) in enumerate(out.run.retrying.times() if out.run.retrying else ())
        ]

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        into.run.retrying = Alarms()
        effects: list[Effect] = []
        for each in place.items():
            delivery = into.delivery(each)
            if delivery.past is None:
                raise each.error("'age' is missing")
            due = into.at + each.part("left").seconds()
            into.run.retrying.set(due, delivery)
            into.run.take_up_paused(delivery)
            effects.append(Retry(at=due))
        return effects


@final
class _Debounced:
    """What waits until nothing more of its key comes."""

    def write(self, out: Saving, path: str) -> object:
        flows = out.run.flows
        if flows is None:
            return []
        return [
            {
                "left": max(0.0, due - out.at),
                "waits": max(0.0, out.at - flows.of(delivery).since(delivery)),
                **out.delivery(delivery, f"{path}[{number}]"),
            }
            for number, (due, delivery) in enumerate(flows.quiet.times())
        ]

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        begun: list[Effect] = []
        for each in place.items():
            delivery = into.delivery(each)
            since, due = into.at - each.part("waits").seconds(), into.at + each.part("left").seconds()
            if into.run.take_up_quiet(delivery, since, due):
                begun.append(delivery)
        return begun


@final
class _Rates:
    """What was taken from the buckets of rates, as the seconds until each is full again."""

    def write(self, out: Saving, path: str) -> object:
        flows = out.run.flows
        spent: list[object] = []
        for index, flow in () if flows is None else flows.by_step.items():
            for number, key, full_at in flow.spent(out.at):
                value = None if key is None else out.writer.value(key, f"{path}[{len(spent)}][2]")
                spent.append([out.name(index), number, value, full_at - out.at])
        return spent

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        for each in place.items():
            name, number, key, left = each.exactly(4)
            step, full_at = into.step(name), into.at + left.seconds()
            if into.run.flows is not None and step.policies is not None:
                value = None if key.value is None else into.hashable(key)
                into.run.flows.by_step[step.index].spend(number.whole(0, MOST), value, full_at)
        return ()


@final
class _Buffers:
    """What steps have half collected."""

    def write(self, out: Saving, path: str) -> object:
        by_key = {} if out.run.buffers is None else out.run.buffers.by_key
        return [
            self._buffer(out, index, buffer_id, buffer, f"{path}[{number}]")
            for number, ((index, buffer_id), buffer) in enumerate(by_key.items())
        ]

    @staticmethod
    def _buffer(out: Saving, index: int, buffer_id: object, buffer: Buffer, path: str) -> object:
        arrived = [event for queue in buffer.arrived.values() for event in queue]
        data: dict[str, object] = {
            "step": out.run.plan.steps[index].name,
            "expected": [
                [out.writer.kind(kind, f"{path}.expected[{number}][0]"), len(list(same))]
                for number, (kind, same) in enumerate(groupby(buffer.kinds))
            ],
            "arrived": out.events(arrived, f"{path}.arrived"),
        }
        if buffer_id is not None:
            data["id"] = out.writer.value(buffer_id, f"{path}.id")
        return data

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        buffers = into.run.buffers = Buffers(into.run.collect_limit)
        for each in place.items():
            expected: list[type[Event]] = []
            for kinds in each.part("expected").items():
                kind, count = kinds.exactly(2)
                most = max(1, _MOST_EXPECTED - len(expected))
                expected += [into.reader.kind(kind)] * count.whole(1, most)
            arrived = [into.reader.event(event) for event in each.part("arrived").items()]
            buffer = Buffer(expected, arrived)
            buffers.by_key[into.step(each.part("step")).index, into.buffer_id(each)] = buffer
        return ()


@final
class _Mailbox:
    """What nobody has waited for yet."""

    def write(self, out: Saving, path: str) -> object:
        return out.mail(tuple(out.run.mailbox or ()), path)

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        mailbox = into.run.mailbox = Mailbox(into.run.collect_limit)
        for each in place.items():
            mailbox.append(into.mail(each))
        return ()


@final
class _GivenUp:
    """Events of batches that nobody will be given again."""

    def write(self, out: Saving, path: str) -> object:
        return out.events(out.run.given_up or (), path)

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        into.run.given_up = [into.reader.event(each) for each in place.items()]
        return ()


@final
class _DeadLetters:
    """What nobody took."""

    def write(self, out: Saving, path: str) -> object:
        return [
            [out.writer.value(letter.event, f"{path}[{number}][0]"), letter.reason]
            for number, letter in enumerate(out.run.dead_letters or ())
        ]

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        into.run.dead_letters = deque(maxlen=DEAD_LETTERS_KEPT)
        for each in place.items():
            event, reason = each.exactly(2)
            into.run.dead_letters.append(DeadLetter(into.reader.value(event), reason.text()))
        return ()


@final
class _Silent:
    """How often a step returned nothing; told when a run is stuck."""

    def write(self, out: Saving, path: str) -> object:  # noqa: ARG002 - numbers cannot fail
        silent = out.run.silent
        if silent is None:
            return {}
        return {step.name: silent[step.index] for step in out.run.plan.steps if silent[step.index]}

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        into.run.silent = [0] * len(into.run.plan.steps)
        for name, count in place.entries():
            into.run.silent[into.step(Place(name, name, place)).index] = count.whole(0, MOST)
        return ()


@final
class _Asked:
    """The last question that no step takes; told when a run is stuck."""

    def write(self, out: Saving, path: str) -> object:
        return None if out.run.asked is None else [out.writer.event(out.run.asked, f"{path}[0]")]

    def read(self, into: Restoring, place: Place) -> Sequence[Effect]:
        (number,) = place.exactly(1)
        into.run.asked = into.reader.event(number)
        return ()


# A structure of the machine that keeps events adds its part here. They are read in this order: who waited in the middle
# of a step began first and is the first to run again, so that it waits again before somebody sends what it waits for.
# Before all of them come the rates, since what begins takes from these.
PARTS: dict[str, Part] = {
    "rates": _Rates(),
    "waits": _Deliveries(_in_their_middle),
    "active": _Deliveries(_at_work),
    "queued": _Deliveries(_queued),
    "retrying": _Retrying(),
    "debounced": _Debounced(),
    "buffers": _Buffers(),
    "mailbox": _Mailbox(),
    "given_up": _GivenUp(),
    "dead_letters": _DeadLetters(),
    "silent": _Silent(),
    "asked": _Asked(),
}


def snapshot(run: Machine, at: float, writer: Writer, behalf: ToBehalf | None = None) -> dict[str, object]:
    """A run that is not over, as plain data.

    Args:
        run: The machine.
        at: The time now.
        writer: Writes events and values.
        behalf: Gives the number of the run on whose behalf something is done, if the snapshot has several.

    Raises:
        SnapshotError: If the writer cannot write something in it.
    """
    assert run.ended is None, "nothing goes on"
    out = Saving(run, at, writer, behalf)
    data: dict[str, object] = {
        "age": max(0.0, at - run.begun),
        "left": None if run.deadline == math.inf else max(0.0, run.deadline - at),
    }
    for name, part in PARTS.items():
        written = part.write(out, name)
        if written:
            data[name] = written
    if run.forks is not None:
        data["forks"] = write_forks(out, run.forks, "forks")
    if run.undos is not None and behalf is None:  # several runs share one log, which is none of theirs
        done = write_undos(out, run.undos.log, "undos")
        if done:
            data["undos"] = done
    return data


def restore(
    run: Machine, place: Place, at: float, reader: Reader, carry: Context, *, behalf: OfBehalf | None = None
) -> list[Effect]:
    """Makes a fresh machine the one that was written, and gives what is to be done.

    Args:
        run: The machine; its plan must have the steps that the snapshot names.
        place: What `snapshot` gave.
        at: The time now.
        reader: Reads what the writer wrote.
        carry: The context variables that all deliveries begin with; those before the restart are gone.
        behalf: Sets the run with that number in the context variables.

    Raises:
        SnapshotError: If something in it is not what it should be.
    """
    run.resumed = []
    run.begun = at - place.part("age").seconds()
    left = place.get("left")
    run.limit(math.inf if left is None else at + left.seconds())
    into = Restoring(run, at, reader, carry, behalf)
    effects: list[Effect] = []
    for name, part in PARTS.items():
        written = place.get(name)
        if written is not None:
            effects += part.read(into, written)
    if run.plan.joins:
        effects += read_forks(into, place.get("forks"))
    done = place.get("undos")
    if done is not None:
        read_undos(into, done)
    return [*effects, *run.receive(Begun())]
