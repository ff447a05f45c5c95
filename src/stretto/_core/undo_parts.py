"""What can be undone, as plain data: the steps that have completed, what they took and what they returned."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SnapshotError
from ..events import Event
from .completed import Completed, Entry
from .joined import Joined
from .places import Place
from .saving import Restoring, Saving
from .undoing import Undos

__all__ = ["read_completed", "read_undos", "refuse_while_undone", "write_completed", "write_undos"]


def refuse_while_undone(undos: Undos, name: str) -> None:
    """Raises while a run is being undone.

    Raises:
        SnapshotError: It is.
    """
    if undos.going_on:
        raise SnapshotError(
            f"the run of {name} is being undone, and nothing would go on from there; after a crash go on from the last "
            "snapshot before, which knows what is to be undone"
        )


def write_undos(out: Saving, log: Sequence[Entry], path: str) -> list[object]:
    """What can be undone, oldest first.

    Raises:
        SnapshotError: If some of it was done by a nested run.
    """
    return [
        write_completed(out, entry, f"{path}[{number}]")
        for number, entry in enumerate(entry for entry in log if entry != [])
    ]


def write_completed(out: Saving, entry: Entry, path: str) -> dict[str, object]:
    """One completed step.

    Raises:
        SnapshotError: If it is what a nested run has completed.
    """
    if not isinstance(entry, Completed) or entry.inner:
        raise SnapshotError(
            f"{path}: a run that a step of {out.run.plan.name} has awaited or requested has completed steps that can "
            "be undone, and after a restart nobody could say how that run is made; take snapshots before, or let steps "
            f"of {out.run.plan.name} itself do what is to be undone",
            path,
        )
    data: dict[str, object] = {"step": entry.step.name}
    if isinstance(entry.event, Joined):
        data["joined"] = out.events(entry.event.events, f"{path}.joined")
    else:
        data["event"] = out.writer.event(entry.event, f"{path}.event")
    if isinstance(entry.result, Event):
        data["returned"] = out.writer.event(entry.result, f"{path}.returned")
    elif isinstance(entry.result, list):
        data["list"] = out.events(entry.result, f"{path}.list")
    return data


def read_undos(into: Restoring, place: Place) -> None:
    """Puts it into the machine."""
    into.run.keep_undos().log.extend(read_completed(into, each) for each in place.items())


def read_completed(into: Restoring, place: Place) -> Completed:
    """One completed step.

    Raises:
        SnapshotError: If it cannot be undone here.
    """
    part = place.part("step")
    step = into.step(part)
    if step.undo is None:
        raise part.error(
            f"{step.label} has completed before the snapshot, and has no undo here; give it one, @step(undo=…), that "
            "undoes what it did then"
        )
    result: Event | list[Event] | None = None
    if (returned := place.get("returned")) is not None:
        result = into.reader.event(returned)
    elif (several := place.get("list")) is not None:
        result = [into.reader.event(each) for each in several.items()]
    return Completed(step, into.event(step, place), result, into.carry(place))
