"""Snapshots: a run as plain data, and the run that goes on from it, in this process or in another.

``handler.ctx.to_dict()``, or ``ctx.to_dict()`` in a step, gives the live state of a run as data for `json.dumps`.
``Context.from_dict(workflow, data)`` gives what ``workflow.run(ctx=...)`` goes on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import Context as VarContext
from typing import Any, Protocol, TypeVar, overload

from ._codec import SnapshotReader, SnapshotWriter
from ._core.effects import Effects
from ._core.machine import Machine
from ._core.places import Place, is_text_keyed
from ._core.run_state import FreeState, StateKind
from ._core.saving import OfBehalf, ToBehalf
from ._core.snapshots import restore, snapshot
from ._core.undo_parts import refuse_while_undone
from ._core.waiting import Waiter
from ._editor import Editor
from ._known_types import Declared, KnownTypes, known_types, register
from ._once import Once
from ._options import count
from .errors import shown

__all__ = [
    "SavedRun",
    "SnapshotPort",
    "Together",
    "format_of",
    "read_snapshot",
    "snapshot_type",
    "write_run",
    "write_snapshot",
]

FORMAT = 1

K = TypeVar("K", bound=type)


@overload
def snapshot_type(kind: K, /) -> K: ...
@overload
def snapshot_type(*, version: int = 1) -> Callable[[K], K]: ...
def snapshot_type(kind: Any = None, /, *, version: int = 1) -> Any:
    """Lets every snapshot name this class: one that no step names, for something that an event or the state holds.

    What the steps of a workflow accept, return and name in their code is known to its snapshots, and so is what the
    fields of these are annotated with.

    >>> from dataclasses import dataclass
    >>> from stretto.snapshots import snapshot_type
    >>> @snapshot_type(version=2)
    ... @dataclass
    ... class Receipt:
    ...     cents: int
    ...
    ...     @classmethod
    ...     def upgrade(cls, version, fields):  # of version 1, which had euros
    ...         return {"cents": fields["euros"] * 100}

    Args:
        kind: An event class, an attrs class, a dataclass, a pydantic model, an enum or a named tuple.
        version: The version of its fields. What was written in an older one is given to the classmethod
            ``upgrade(version, fields)``, and in a newer one is an error. Of an event class it is told by
            ``class Go(Event, version=2)``.

    Raises:
        DefinitionError: If it is no such class, or no such version.
    """
    checked = count(version, "version")

    def decorate(kind: K) -> K:
        register(kind, checked)
        return kind

    return decorate if kind is None else decorate(kind)


class Together(Protocol):
    """Several runs that belong together."""

    def to_dict(self, types: Iterable[type]) -> dict[str, Any]:
        """All of them as plain data."""
        ...

    def waits(self, run: Any, waiter: Waiter) -> None:  # noqa: ANN401 - the run of this very protocol
        """A step of one of them waits in its middle."""


class SnapshotPort(Protocol):
    """What a snapshot needs of its run."""

    workflow: Any
    machine: Machine
    made_editor: Editor | None
    made_once: Once | None

    @property
    def around(self) -> Together | None:
        """What it belongs to, if it is one of several runs of an application."""
        ...

    @property
    def run_id(self) -> str:
        """The identity of the run."""
        ...

    def refuse_elsewhere(self, what: str) -> None:
        """Raises in another thread than that of the run's loop."""

    def time(self) -> float:
        """The time that counts for the run."""
        ...


def write_snapshot(run: SnapshotPort, types: Iterable[type]) -> dict[str, Any]:
    """The run as plain data, or all of its conversation, if it is in one.

    Raises:
        SnapshotError: If something in it cannot be written; it says where, and what to do.
    """
    run.refuse_elsewhere("to_dict")
    if run.around is not None:
        return run.around.to_dict(types)
    machine = run.machine
    if machine.undos is not None:
        refuse_while_undone(machine.undos, machine.plan.name)
    writer = SnapshotWriter(known_types(run.workflow.blueprint(), types))
    data: dict[str, Any] = {"stretto": FORMAT, "workflow": machine.plan.name}
    if machine.ended is None:
        data |= write_run(run, writer)
    else:
        data |= {"finished": True, **_state_of(run, writer)}
    if writer.events:
        data["events"] = writer.events
    return data


def write_run(run: SnapshotPort, writer: SnapshotWriter, behalf: ToBehalf | None = None) -> dict[str, Any]:
    """A run that goes on: its machine, its state and what it did once."""
    data = {"run_id": run.run_id, **snapshot(run.machine, run.time(), writer, behalf)}
    if run.made_once is not None and run.made_once.results:
        data["once"] = {
            key: writer.value(value, f"once[{key!r}]") for key, value in run.made_once.results.items()
        }
    return {**data, **_state_of(run, writer)}


def _state_of(run: SnapshotPort, writer: SnapshotWriter) -> dict[str, Any]:
    if run.made_editor is None:
        return {}
    return {"state": writer.value(run.made_editor.state.committed, "state")}


def format_of(place: Place) -> int:
    """The format of a snapshot.

    Raises:
        SnapshotError: If it is none, or of a newer stretto.
    """
    written = place.part("stretto")
    number = written.whole(1, 2**31)
    if number > FORMAT:
        raise written.error(
            f"this is format {number}, of a newer stretto, and this one reads format {FORMAT}; update stretto"
        )
    return number


class SavedRun:
    """A run of a snapshot that was read, and fits the workflow.

    Attributes:
        finished: Whether the run was over, so that another one begins on its state.
        run_id: The identity of a run that goes on; empty for one that begins.
    """

    behalf: OfBehalf | None = None

    def __init__(self, blueprint: Declared, place: Place, known: KnownTypes, collect_limit: int) -> None:
        self._place = place
        self._blueprint = blueprint
        self._known = known
        finished = self._place.get("finished")
        self.finished = finished is not None and finished.flag()
        self.run_id = "" if self.finished else self._place.part("run_id").text()
        # All of it is looked at now, when somebody can still do something about it.
        self.state()
        self.once()
        if not self.finished:
            machine = Machine(blueprint.plan, 0.0, 0.0, collect_limit)
            if any(spec.overload is not None for spec in blueprint.specs):
                from ._overload import hold_back  # noqa: PLC0415 - loaded by who uses it

                hold_back(machine, blueprint.specs)
            self.restore(machine, 0.0, VarContext())

    @property
    def workflow(self) -> str:
        """The name of the workflow class."""
        return self._blueprint.name

    @property
    def age(self) -> float:
        """For how many seconds the run had been going on."""
        return 0.0 if self.finished else self._place.part("age").seconds()

    def _reader(self) -> SnapshotReader:
        """What reads its events, which are those of this run alone."""
        return SnapshotReader(self._known, self._place.listed("events"))

    def state(self) -> object:
        """The state of the run; None if nobody had asked for it."""
        place = self._place.get("state")
        if place is None:
            return None
        value = self._reader().value(place)
        declared = (self._blueprint.plan.state or StateKind()).declared
        if declared is not None:
            if type(value) is not declared:
                raise place.wants(f"a {declared.__name__}, the state that the steps name")
            return value
        if not is_text_keyed(value):
            raise place.wants("an object, since no step names a class for the state")
        return FreeState(value)

    def once(self) -> dict[str, object]:
        """What `Context.once` remembered."""
        place = self._place.get("once")
        if place is None or self.finished:
            return {}
        reader = self._reader()
        return {key: reader.value(each) for key, each in place.entries()}

    def restore(self, machine: Machine, at: float, carry: VarContext) -> Effects:
        """Makes a fresh machine the one of the snapshot; gives what is to be done."""
        return restore(machine, self._place, at, self._reader(), carry, behalf=self.behalf)


def read_snapshot(workflow: object, data: object, types: Iterable[type]) -> SavedRun:
    """What `Context.from_dict` reads.

    Raises:
        SnapshotError: If the data does not fit.
    """
    declares: Any = getattr(workflow, "blueprint", None)
    options: Any = getattr(workflow, "_options", None)
    if not callable(declares) or options is None:
        raise TypeError(
            f"Context.from_dict takes a workflow and the data, as in Context.from_dict(Poll(), data), not "
            f"{shown(workflow)}"
        )
    blueprint: Any = declares()
    place = Place(data)
    format_of(place)
    name = place.part("workflow")
    if name.text() != blueprint.name:
        raise name.error(
            f"this is a snapshot of {name.value}, and {blueprint.name} was given; read it with that workflow"
        )
    return SavedRun(blueprint, place, known_types(blueprint, types), options.collect_limit)
