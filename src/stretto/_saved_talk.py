"""The snapshot of a conversation: its runs as plain data, and on whose behalf each of their steps works.

What is between the runs stands in them, because an event is delivered when it is sent: so a conversation is its runs,
and a few words about each. Conversations below, which its steps opened by requests, are left out: a step that asks runs
again from its first line, and asks again. So is whatever such a conversation had begun in a run of this one: that goes
on, and works for nobody.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from contextvars import Context as VarContext, copy_context
from typing import TYPE_CHECKING, Any, cast, final

from ._among import Among, behalf
from ._board import Board, Seat
from ._codec import SnapshotReader, SnapshotWriter
from ._core.completed import Completed, Entry
from ._core.effects import Effects
from ._core.machine import Machine
from ._core.places import Place
from ._core.returning import is_stop
from ._core.saving import Restoring, Saving
from ._core.state import Ended
from ._core.undo_parts import read_completed, write_completed
from ._known_types import KnownTypes, known_to
from ._ways import Ways
from .errors import SnapshotError, near
from .events import Event
from .snapshots import FORMAT, SavedRun, SnapshotPort, format_of, write_run

if TYPE_CHECKING:
    from ._party import Supervising

__all__ = ["SavedTalk", "write_talk"]


def write_talk(talk: Ways, types: Iterable[type]) -> dict[str, Any]:
    """A conversation as plain data.

    Raises:
        SnapshotError: If it is over, or being ended, or was opened by a request; or if something in it cannot be
            written.
    """
    _check_goes_on(talk)
    writer = SnapshotWriter(_known(talk.board, types))
    numbers = _Numbers(talk)
    owners = [numbers.of_completed(entry) for entry in _completed(talk)]
    runs: list[dict[str, Any]] = []
    for number, run in enumerate(numbers.runs):  # which grows
        writer.within = f"runs[{number}]."
        runs.append(_write(talk, run, writer, numbers))
    writer.within = ""
    undos = [
        {"run": number, **write_completed(_saving(talk, number, numbers, writer), entry, f"undos[{at}]")}
        for at, (number, entry) in enumerate(zip(owners, _completed(talk), strict=True))
    ]
    members = {name: seat.blueprint.name for name, seat in talk.board.seats.items()}
    restarts = {} if talk.supervisor is None else talk.supervisor.write()
    data = {"stretto": FORMAT, "application": members, "runs": runs, "events": writer.events}
    more = {"restarts": restarts, "undos": undos}
    return data | {name: what for name, what in more.items() if what}


def _completed(talk: Ways) -> list[Entry]:
    """What can be undone in it, oldest first."""
    return [entry for entry in talk.undo_log if entry != []]


def _saving(talk: Ways, number: int | None, numbers: _Numbers, writer: SnapshotWriter) -> Saving:
    """The snapshot of the run of an entry; one without a number is refused, as that of the run that was called."""
    run = talk.root if number is None else numbers.runs[number]
    return Saving(run.machine, run.clock(), writer, None)


def _check_goes_on(talk: Ways) -> None:
    machine = talk.root.machine
    if talk.conversation.asks:
        raise SnapshotError(
            f"this conversation was opened by app.request, and after a restart nobody would be there for the reply "
            f"of {talk.name}; take snapshots of what app.run(…) began"
        )
    if talk.over or talk.conversation.closing or machine.errors or machine.ended not in {None, Ended.STOPPED}:
        raise SnapshotError(
            f"the conversation of {talk.name} is over, or about to be, and nothing is left that could go on; take "
            "its snapshots before that"
        )
    cleaning = None if talk.supervisor is None else talk.supervisor.cleaning
    if cleaning is not None:
        member = talk.told(cast("str", cleaning.member))
        raise SnapshotError(
            f"{member} is being restarted, and its steps still clean up, so what becomes of their events is not "
            "decided; take the snapshot when they have ended"
        )


def _known(board: Board, types: Iterable[type]) -> KnownTypes:
    blueprints = [seat.blueprint for seat in board.seats.values()]
    return known_to(f"the application of {', '.join(board.seats)}", blueprints, types, read_by="app.resume")


def _write(talk: Ways, run: Among, writer: SnapshotWriter, numbers: _Numbers) -> dict[str, Any]:
    member = cast("str", run.member)
    data: dict[str, Any] = {"member": member}
    key = talk.key_of(run)
    if key is not None:
        data["key"] = writer.value(key, "key")
    if run is not talk.root and talk.conversation.runs.get((member, key)) is not run:
        data["past"] = True
    if run.machine.closed:
        data["closed"] = True
    if talk.supervisor is not None:
        data |= talk.supervisor.write_hold(run)
    if run.machine.ended is not None:
        return data | _write_stopped(run, writer)
    return data | write_run(cast("SnapshotPort", run), writer, numbers.of_behalf)


def _write_stopped(run: Among, writer: SnapshotWriter) -> dict[str, Any]:
    """The run that was called has its result, and the others finish what they have begun."""
    machine = run.machine
    unused = [event for event in machine.leftovers() if isinstance(event, Event)]
    return {
        "run_id": run.run_id,
        "age": max(0.0, run.clock() - machine.begun),
        "left": run.remaining(),
        "stopped": [writer.event(machine.terminal_event(), "stopped")],
        "unused": [writer.event(event, f"unused[{number}]") for number, event in enumerate(unused)],
    }


@final
class _Numbers:
    """The runs by number, in the order in which they come up: one may be over, and somebody still work for it."""

    def __init__(self, talk: Ways) -> None:
        self.runs: list[Among] = [talk.root, *talk.opened_runs()]
        self._talk: object = talk
        self._numbers = {run: number for number, run in enumerate(self.runs)}

    def of_completed(self, entry: Entry) -> int | None:
        """The number of the run that has completed something, which may be over; None for one that is not written."""
        if not isinstance(entry, Completed) or entry.inner:
            return None
        run = cast("Among", cast("Any", self.runs[0]).run_of(entry.carry))
        if run not in self._numbers:
            self._numbers[run] = len(self.runs)
            self.runs.append(run)
        return self._numbers[run]

    def of_behalf(self, carry: VarContext) -> int | None:
        """The number of the run on whose behalf something is on its way."""
        run = carry.get(behalf)
        run = None if run is None else run.latest()
        if run is None or run.around is not self._talk:
            return None
        if run not in self._numbers:
            if run.machine.ended is not None:
                return None
            self._numbers[run] = len(self.runs)
            self.runs.append(run)
        return self._numbers[run]


@final
class _SavedMember(SavedRun):
    """A run of a conversation that was read."""

    def __init__(self, talk: SavedTalk, seat: Seat, place: Place) -> None:
        self._talk = talk
        self.member = seat.name
        self.behalf = talk.set_behalf
        self.current = place.get("past") is None
        closed = place.get("closed")
        self.closed = closed is not None and closed.flag()
        held, discards = place.get("held"), place.get("discards")
        self.held = None if held is None else held.seconds()
        self.discards = discards is not None and discards.flag()
        self.key = self._read_key(place.get("key"))
        super().__init__(seat.blueprint, place, talk.known, seat.options.collect_limit)

    def _reader(self) -> SnapshotReader:
        """What reads the events of all runs: the same one is the same object in each."""
        return self._talk.reader

    def _read_key(self, place: Place | None) -> Hashable:
        if place is None:
            return None
        value = self._talk.reader.value(place)
        try:
            hash(value)
        except TypeError:
            raise place.wants("something that can be hashed") from None
        return value

    def restore(self, machine: Machine, at: float, carry: VarContext) -> Effects:
        """Makes a fresh machine the one of the snapshot, and stops it once more if it had its result."""
        machine.closed = self.closed
        effects = super().restore(machine, at, carry)
        stopped = self._place.get("stopped")
        if stopped is None:
            return effects
        (number,) = stopped.exactly(1)
        stop = self._talk.reader.event(number)
        if not is_stop(stop):
            raise number.wants("the number of a StopEvent")
        machine.late = [self._talk.reader.event(each) for each in self._place.listed("unused")] or None
        return [*effects, *machine.event_sent(stop, carry, at=machine.begun)]


@final
class SavedTalk:
    """A conversation of a snapshot that was read, and fits the application.

    Attributes:
        known: The classes that it may name.
        reader: Reads its events.
        root: The run that was called.

    Raises:
        SnapshotError: If the data does not fit.
    """

    def __init__(self, board: Board, data: object, types: Iterable[type]) -> None:
        place = Place(data)
        format_of(place)
        self._check_members(board, place.part("application"))
        self.known = _known(board, types)
        self.reader = SnapshotReader(self.known, place.part("events").items())
        parts = list(place.part("runs").items())
        self._count = len(parts)
        self._runs: list[Among] = []
        members = [self._member(board, each) for each in parts]
        if not members:
            raise place.part("runs").wants("a list of at least one run")
        self.root, *self._others = members
        restarts = place.get("restarts")
        self._restarts = {} if restarts is None else dict(self._read_restarts(board, restarts))
        self._undos = [(part, part.part("run").whole(0, len(members) - 1)) for part in place.listed("undos")]
        for part, number in self._undos:  # all of it is looked at now
            plan = board.seats[members[number].member].blueprint.plan
            self._read_completed(Machine(plan, 0.0, 0.0, 1), part, VarContext())

    @staticmethod
    def _check_members(board: Board, place: Place) -> None:
        for name, part in place.entries():
            seat = board.seats.get(name)
            if seat is None:
                raise part.error(
                    f"the application has no member {name!r}, it has: {', '.join(board.seats)}{near(name, board.seats)}"
                )
            if part.text() != seat.blueprint.name:
                raise part.error(
                    f"the member {name} was a {part.value}, and is a {seat.blueprint.name} here; resume it in an "
                    "application with the same members"
                )

    def _member(self, board: Board, place: Place) -> _SavedMember:
        part = place.part("member")
        seat = board.seats.get(part.text())
        if seat is None:
            raise part.wants(f"a member: {', '.join(board.seats)}")
        return _SavedMember(self, seat, place)

    @staticmethod
    def _read_restarts(board: Board, place: Place) -> Iterator[tuple[str, list[float]]]:
        for name, part in place.entries():
            if name not in board.seats:
                raise part.error(f"the application has no member {name!r}, it has: {', '.join(board.seats)}")
            yield name, [each.seconds() for each in part.items()]

    def set_behalf(self, place: Place, carry: VarContext) -> None:
        """Sets the run with that number; before they go on, looks whether there is one."""
        number = place.whole(0, self._count - 1)
        if self._runs:
            carry.run(behalf.set, self._runs[number])

    def go_on(self, talk: Ways) -> None:
        """Puts the runs into a conversation, all but the one that was called: its handler does that next."""
        others = [(talk.bring_in(each.member, each.key, current=each.current), each) for each in self._others]
        self._runs = [talk.root, *(run for run, _ in others)]
        policies = talk.board.supervise
        if policies is not None and (self._restarts or any(each.held is not None for each in self._others)):
            self._supervise(talk.supervised(policies), others)
        for part, number in self._undos:
            run, context = self._runs[number], copy_context()
            run.make_ambient(context)
            talk.undo_log.append(self._read_completed(run.machine, part, context))
        for run, saved in others:
            talk.go_on(run, saved)

    def _supervise(self, supervisor: Supervising, others: list[tuple[Among, _SavedMember]]) -> None:
        """What had failed goes on to count, and what was held is held; if nobody supervises it now, it is not."""
        for member, ages in self._restarts.items():
            supervisor.take_up(member, ages)
        for run, saved in others:
            if saved.held is not None:
                supervisor.take_up_hold(run, saved.held, discards=saved.discards)

    def _read_completed(self, machine: Machine, place: Place, carry: VarContext) -> Completed:
        return read_completed(Restoring(machine, 0.0, self.reader, carry, None), place)
