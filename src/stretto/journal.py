"""The journal of a run: what its steps took, sent, waited for and raised, with times and causes.

A run keeps one if its workflow asks for it, ``Workflow(journal=10_000)``. What the runs nested in it do is in there
too, and in an application what the other members do on its behalf. It holds texts and numbers and no event: what
an event looked like when it was seen, cut at a few lines, as messages have it. So it can be written to a file as it is,
and what a class leaves out of its `repr`, ``password: str = attrs.field(repr=False)``, is not in it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias, final

from ._core.state import Delivery
from .errors import shown
from .events import Event

__all__ = ["Entry", "Journal", "Ran"]

Kind: TypeAlias = Literal[
    "came", "began", "sent", "waits", "resumed", "ended", "failed", "cancelled", "undone"
]

_LONGEST = 500  # of what an error says, which may be long


class Entry(NamedTuple):
    """One thing that happened.

    Attributes:
        at: When, in seconds since the run began.
        kind: ``"came"``: an event from outside; ``"began"``: a step took an event; ``"sent"``: it sent or returned one;
            ``"waits"`` and ``"resumed"``: around a wait in its middle; ``"ended"``, ``"failed"`` or ``"cancelled"``.
            ``"undone"``: the undo of the step named by `name` has ended, as `text` says.
        step: The name of the step; empty for what came from outside.
        work: The number of that piece of work: one attempt of a step at one event. 0 for what came from outside.
        attempt: Which attempt it is, from 1.
        event: The number of the event that it is about; 0 if it is about none.
        name: The class of that event, or of what was raised.
        text: What it looked like.
        causes: For a step that began: the pieces of work that sent what it took; none for what came from outside.
        run: Which run it was in: 0 for that of the journal, and else a key of `Journal.runs`.
    """

    at: float
    kind: Kind
    step: str
    work: int
    attempt: int
    event: int
    name: str
    text: str
    causes: tuple[int, ...] = ()
    run: int = 0


class Ran(NamedTuple):
    """A run below that of the journal, or beside it in its application.

    Attributes:
        workflow: The class of its workflow.
        member: What that is called, in an application.
        steps: The names of its steps.
        within: The run that it is nested in.
        work: The piece of work that has made it, or has sent what has opened it; 0 if none has.
    """

    workflow: str
    member: str | None
    steps: tuple[str, ...]
    within: int
    work: int


class _Seen(NamedTuple):
    """An event that was sent; it is kept, lest another one gets its identity."""

    event: Event
    number: int
    work: int


@final
class Journal:
    """What happened in a run, oldest first; iterating gives each `Entry`.

    Attributes:
        limit: How many entries it keeps.
        missed: How many older ones were pushed out.
        runs: The other runs that are told of in it; of very many the last ones.
    """

    def __init__(self, limit: int, begun: float) -> None:
        self.limit = limit
        self.missed = 0
        self._begun = begun
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._events: OrderedDict[int, _Seen] = OrderedDict()  # by identity: the engine never hashes an event
        self._works: dict[Delivery, int] = {}
        self._last_event = self._last_work = self._last_run = 0
        self.runs: OrderedDict[int, Ran] = OrderedDict()
        self._makers: dict[int, int] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Journal of {len(self)} entries, {self.missed} missed>"

    def to_list(self) -> list[dict[str, Any]]:
        """The entries as dicts of what JSON can hold."""
        return [{**entry._asdict(), "causes": [*entry.causes]} for entry in self]

    # -- written by the run ------------------------------------------------------------------------------------

    def opened(self, ran: Ran) -> int:
        """Another run is about to begin; its number."""
        self._last_run += 1
        self.runs[self._last_run] = ran
        self._makers[self._last_run] = ran.work
        if len(self.runs) > self.limit:
            oldest, _ = self.runs.popitem(last=False)
            self._makers.pop(oldest, None)
        return self._last_run

    def came(self, event: Event, at: float, run: int = 0, work: int = 0) -> None:
        """An event came from outside of a run; if that is nested, from a piece of work in a run around it."""
        self._add(at, "came", None, number=self._new(event, work), event=event, run=run)

    def began(self, delivery: Delivery, at: float, run: int = 0) -> int:
        """A step begins with an event, or with several that it joins; the number of this piece of work."""
        self._last_work += 1
        self._works[delivery] = self._last_work
        maker = self._makers.pop(run, 0)
        taken = (
            getattr(delivery.event, "events", (delivery.event,))
            if _is_joined(delivery)
            else (delivery.event,)
        )
        known = [seen for each in taken if (seen := self._seen(each)) is not None]
        sent_by = [seen.work for seen in known] if known else [maker]
        causes = tuple(dict.fromkeys(work for work in sent_by if work))
        number = known[-1].number if known else self._new(delivery.event, maker)
        self._add(at, "began", delivery, number=number, event=delivery.event, causes=causes, run=run)
        return self._last_work

    def sent(self, delivery: Delivery, event: object, at: float, run: int = 0) -> None:
        """A step sent or returned an event."""
        if isinstance(event, Event):
            number = self._new(event, self._works.get(delivery, 0))
            self._add(at, "sent", delivery, number=number, event=event, run=run)

    def waits(self, delivery: Delivery, kind: type[Event], at: float, run: int = 0) -> None:
        """A step waits in its middle."""
        self._add(at, "waits", delivery, name=kind.__name__, run=run)

    def resumed(self, delivery: Delivery, event: Event | None, at: float, run: int = 0) -> None:
        """It goes on, with an event or because it waited too long."""
        seen = None if event is None else self._seen(event)
        self._add(at, "resumed", delivery, number=0 if seen is None else seen.number, event=event, run=run)

    def ended(self, delivery: Delivery, at: float, run: int = 0) -> None:
        """A step returned."""
        self._add(at, "ended", delivery, run=run)
        self._works.pop(delivery, None)

    def failed(
        self, delivery: Delivery, error: BaseException, at: float, run: int = 0, *, cancelled: bool
    ) -> None:
        """A step raised, or was cancelled."""
        kind: Kind = "cancelled" if cancelled else "failed"
        text = "" if cancelled else shown(error)[:_LONGEST]
        self._add(at, kind, delivery, name=type(error).__name__, text=text, run=run)
        self._works.pop(delivery, None)

    def undid(self, step: str, undo: str, how: str, at: float) -> None:
        """The undo of a step has ended."""
        self.missed += len(self._entries) == self.limit
        self._entries.append(
            Entry(
                at=at - self._begun, kind="undone", step=step, work=0, attempt=1, event=0, name=undo, text=how
            )
        )

    def _add(
        self,
        at: float,
        kind: Kind,
        delivery: Delivery | None,
        *,
        number: int = 0,
        event: Event | None = None,
        causes: tuple[int, ...] = (),
        name: str | None = None,
        text: str | None = None,
        run: int = 0,
    ) -> None:
        self.missed += len(self._entries) == self.limit
        self._entries.append(
            Entry(
                at=at - self._begun,
                kind=kind,
                step="" if delivery is None else delivery.step.name,
                work=0 if delivery is None else self._works.get(delivery, 0),
                attempt=1 if delivery is None else delivery.attempt,
                event=number,
                name=name or ("" if event is None else type(event).__name__),
                text=text or ("" if event is None else shown(event)),
                causes=causes,
                run=run,
            )
        )

    def _new(self, event: Event, work: int) -> int:
        """Gives an event its number. One that is sent twice has two, and its steps are told of the later."""
        self._last_event += 1
        self._events.pop(id(event), None)
        self._events[id(event)] = _Seen(event, self._last_event, work)
        if len(self._events) > self.limit:
            self._events.popitem(last=False)
        return self._last_event

    def _seen(self, event: Event) -> _Seen | None:
        return self._events.get(id(event))


def _is_joined(delivery: Delivery) -> bool:
    """Whether the step joins: what it takes then stands for several events."""
    return delivery.step.join is not None
