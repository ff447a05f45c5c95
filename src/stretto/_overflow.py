"""The readers of a stream that say what becomes of more than they have read, for the few that do.

What they have declared to do without is a dead letter with its reason, as with a queue that drops; what is left out
unasked is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, final

from ._core.delivery import BY_A_READER, DeadLetter
from ._core.effects import Effects
from ._core.inputs import Strayed
from ._latest import LatestEvents
from ._line import Line
from ._stream import Hub, Subscription
from ._unread import AwaitedEvents, FirstEvents
from .errors import near, shown
from .events import Event, StepStateChanged, Streamed

if TYPE_CHECKING:
    from ._core.machine import Machine

__all__ = ["declared_reader"]

_POLICIES = ("drop_oldest", "drop_newest", "fail", "wait")
_ADVICE = "read faster, raise stream_buffer, or write with await ctx.write(…) and read with overflow='wait'"


class StreamedRun(Protocol):
    """What this needs of a run."""

    machine: Machine

    def perform(self, effects: Effects, sender: str | None = None) -> None:
        """Does what the machine asks for."""


def declared_reader(
    latest: object, overflow: object
) -> Callable[[StreamedRun, Hub, bool], Callable[[], Subscription]]:
    """What makes the place of a reader with this policy in a stream of a run, again each time it comes back.

    Raises:
        TypeError: If `latest` is no name.
        ValueError: If there is no such policy, or the two do not go together.
    """
    if latest is not None and not isinstance(latest, str):
        raise TypeError(f"latest= is the name of a field, as in latest='symbol', not {shown(latest)}")
    if overflow is not None and overflow not in _POLICIES:
        hint = near(overflow, _POLICIES) if isinstance(overflow, str) else ""
        raise ValueError(
            f"overflow= is one of {', '.join(map(repr, _POLICIES))}, not {shown(overflow)}{hint}"
        )
    if latest is not None and overflow not in {None, "drop_oldest"}:
        raise ValueError(
            f"latest={latest!r} keeps one event of each key, and leaves out the oldest if there are more keys than "
            f"stream_buffer; it does not go together with overflow={overflow!r}: leave out one of the two"
        )

    def of(run: StreamedRun, hub: Hub, internal: bool) -> Callable[[], Subscription]:  # noqa: FBT001 - called once
        drop = partial(_let_fall, run)
        if latest is not None:
            return partial(LatestReader, latest, drop, internal=internal)
        if overflow == "drop_newest":
            return partial(FirstReader, drop, internal=internal)
        if overflow == "fail":
            return partial(FailingReader, hub, internal=internal)
        if overflow == "wait":
            return partial(AwaitedReader, hub, internal=internal)
        return partial(LastReader, drop, internal=internal)

    return of


Drop: TypeAlias = Callable[[str, Event], None]


def _let_fall(run: StreamedRun, reason: str, event: Event) -> None:
    """A reader does without an event, as it has declared."""
    told = event.event if isinstance(event, Streamed) else event
    if type(told) is not StepStateChanged:
        letter = DeadLetter(told, f"{BY_A_READER} {reason}", just_sent=False, meant=True)
        run.perform(run.machine.receive(Strayed(letter=letter)))


class Declared(Subscription):
    """A reader that has declared a policy: the terminal event has a place of its own."""

    __slots__ = ()

    def give_last(self, event: Event, size: int) -> None:
        """The terminal event, for which nothing is left out."""
        self.give(event, size + 1)


class LastReader(Declared):
    """A reader that does without the oldest."""

    __slots__ = ("_drop", "_policy")

    def __init__(self, drop: Drop, *, internal: bool, policy: str = "overflow='drop_oldest'") -> None:
        super().__init__(internal=internal)
        self._drop = drop
        self._policy = policy

    def push_out(self) -> Event:
        """The oldest has no room."""
        size = len(self.events) - 1
        oldest = super().push_out()
        self._drop(f"({self._policy}) was more than stream_buffer={size} events behind; {_ADVICE}", oldest)
        return oldest


@final
class LatestReader(LastReader):
    """A reader that wants of each key the latest, and if there are too many keys does without the oldest."""

    __slots__ = ("_latest",)

    def __init__(self, field: str, drop: Drop, *, internal: bool) -> None:
        policy = f"latest={field!r}"
        super().__init__(drop, internal=internal, policy=policy)
        reason = (
            f"({policy}) had not read it when a later one of its key came; read faster, or without latest="
        )
        self.events = self._latest = LatestEvents(field, partial(drop, reason))

    @property
    def superseded(self) -> int:
        """How many it was not given, since a later one of their key had come."""
        return self._latest.superseded

    @property
    def behind(self) -> int:
        """As of any reader; it begins again before what it has passed over."""
        return super().behind + self._latest.passed


@final
class FirstReader(Declared):
    """A reader that does without the newest."""

    __slots__ = ("_drop", "_first")

    def __init__(self, drop: Drop, *, internal: bool) -> None:
        super().__init__(internal=internal)
        self._drop = drop
        self.events = self._first = FirstEvents()

    def give(self, event: Event, size: int) -> None:
        """It comes in, or is missing where it would have stood."""
        if len(self._first) < size:
            super().give(event, size)
            return
        self._first.miss(event)
        self._drop(
            f"(overflow='drop_newest') had stream_buffer={size} events to read already; {_ADVICE}", event
        )

    @property
    def behind(self) -> int:
        """As of any reader, and what is missing in between."""
        return super().behind + self._first.lost


@final
class FailingReader(Declared):
    """A reader that would rather fail than do without one."""

    __slots__ = ("_hub", "overrun")

    def __init__(self, hub: Hub, *, internal: bool) -> None:
        super().__init__(internal=internal)
        self._hub = hub
        self.overrun: int | None = None

    def give(self, event: Event, size: int) -> None:
        """It comes in; or it has no room, and nothing else does."""
        if len(self.events) < size:
            super().give(event, size)
        else:
            self.overrun = self._hub.written - (type(event) is not StepStateChanged)
            self._hub.give_up(self)


@final
class AwaitedReader(Declared):
    """A reader for whom who writes may wait; who does not leaves out the oldest."""

    __slots__ = ("_awaited", "_line", "_size")

    def __init__(self, hub: Hub, *, internal: bool) -> None:
        super().__init__(internal=internal)
        if hub.line is None:
            hub.line = Line()
        self._line = hub.line
        self._size = hub.size
        self.events = self._awaited = AwaitedEvents(self._line.look)
        self._line.readers[self] = None

    @property
    def has_room(self) -> bool:
        """Whether nobody need wait for it."""
        return self._awaited.away or len(self._awaited) < self._size

    def push_out(self) -> Event:
        """The oldest has no room, which is no reading."""
        return self.miss(self._awaited.drop_first())

    def pause(self, task: int) -> None:
        """If this task reads, it does not for now."""
        if self._awaited.task == task:
            self._awaited.away = True

    def resume(self, task: int) -> None:
        """If this task reads, it is back."""
        if self._awaited.task == task:
            self._awaited.away = False

    def wake(self) -> None:
        """The reader waits, and so is back."""
        self._awaited.away = False
        super().wake()

    def end(self) -> None:
        """Nothing follows, so nobody waits for it."""
        super().end()
        self._line.discard(self)

    def close(self) -> None:
        """The reader is gone, and nobody waits for it."""
        super().close()
        self._line.discard(self)
