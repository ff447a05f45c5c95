"""What a context needs of its run, whichever driver runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import Context as VarContext
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from ._core.effects import Effects
from ._core.state import Delivery
from ._gate import Gate
from ._stream import Hub
from ._trace import Trace
from .events import Event

if TYPE_CHECKING:
    from ._core.machine import Machine
    from ._editor import Editor
    from ._once import Once
    from .snapshots import Together

__all__ = ["RunPort"]

E = TypeVar("E", bound=Event)


class RunPort(Protocol):
    """What a context needs of its run."""

    machine: Machine
    clock: Callable[[], float]
    trace: Trace | None
    gate: Gate | None
    inside: bool
    thread: int

    @property
    def run_id(self) -> str:
        """The identity of the run."""
        ...

    @property
    def outcome(self) -> tuple[Any, BaseException | None] | None:
        """The result and the error, once the run is over."""
        ...

    def editor(self) -> Editor:
        """The state of the run."""
        ...

    def once(self) -> Once:
        """The effects that happen once in the run."""
        ...

    # What a snapshot needs.
    workflow: Any
    made_editor: Editor | None
    made_once: Once | None

    @property
    def is_among_others(self) -> bool:
        """Whether it is one of several runs of an application."""
        ...

    @property
    def around(self) -> Together | None:
        """What it belongs to, if it is one of several runs of an application."""
        ...

    def latest(self) -> Self:
        """The run that stands in its place now: itself, unless it was restarted."""
        ...

    def time(self) -> float:
        """The time that counts for the run."""
        ...

    def publish(self, event: Event, /) -> None:
        """Writes to the stream."""

    def push(self, delivery: Delivery) -> None:
        """Starts a delivery when its turn comes."""

    def perform(self, effects: Effects, sender: str | None = None) -> None:
        """Does what the machine asks for."""

    def remaining(self) -> float | None:
        """Seconds to the deadline."""

    def refuse_elsewhere(self, what: str) -> None:
        """Raises in another thread than that of the run's loop."""

    def outside_context(self) -> VarContext:
        """The context variables of what somebody outside sends now."""
        ...

    def send_from_outside(self, event: Event, step: str | None, to: str | None = None) -> None:
        """Sends as one who is no step of the run."""

    @property
    def parent(self) -> object:
        """The run around it."""
        ...

    @property
    def merged(self) -> object:
        """Its stream with those of the runs nested in it, if somebody keeps it."""
        ...

    def streams(self) -> Iterable[Hub]:
        """The streams that what its steps write goes to."""
        ...

    def spread(self, event: Event, step: str | None) -> None:
        """Writes to the merged streams."""

    def is_fed_by(self, kind: type[Event], limit: float | None) -> bool:
        """Whether a step that waits for such events keeps the run from being stuck."""
        ...

    async def request(self, delivery: Delivery, event: Event, reply: type[E], limit: float | None) -> E:
        """Asks another run, and gives its reply."""
        ...
