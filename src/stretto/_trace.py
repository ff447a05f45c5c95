"""Tells what a run does: the lines of ``verbose=True``, the internal events of a stream, and the journal.

A run has a trace only while one of the three is asked for, so that it costs a hop nothing otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeGuard, final

from ._core.state import Delivery
from ._log import show_line
from ._stream import Hub
from .events import Event, StepStateChanged

if TYPE_CHECKING:
    from .journal import Journal

__all__ = ["Trace"]


@final
class Trace:
    """Writes down the begin and the end of each step, and what it sent.

    Args:
        run_id: Called for the identity of the run when a line is written.
        clock: Gives the time.
        hub: Where internal events go, if anybody reads them.
        verbose: Whether lines are logged.
        journal: Where it is written down, if it is.
    """

    def __init__(
        self,
        run_id: Callable[[], str],
        begun: float,
        clock: Callable[[], float],
        hub: Hub | None,
        *,
        verbose: bool,
        journal: Journal | None,
    ) -> None:
        self._run_id = run_id
        self._begun = begun
        self._clock = clock
        self.hub = hub
        self._verbose = verbose
        self.journal = journal
        self._sent: dict[Delivery, list[Event]] = {}

    def began(self, delivery: Delivery) -> None:
        """A step body is about to run."""
        if self.journal is not None:
            self.journal.began(delivery, self._clock())
        self._publish(delivery, "running", None)

    def came(self, event: Event) -> None:
        """Somebody outside sent an event."""
        if self.journal is not None:
            self.journal.came(event, self._clock())

    def sent(self, delivery: Delivery | None, event: Event) -> None:
        """A step sent an event; it is told when the step ends."""
        if self.journal is not None and delivery is not None:
            self.journal.sent(delivery, event, self._clock())
        if self._verbose and delivery is not None:
            self._sent.setdefault(delivery, []).append(event)

    def waits(self, delivery: Delivery, kind: type[Event], at: float) -> None:
        """A step waits in its middle."""
        if self.journal is not None:
            self.journal.waits(delivery, kind, at)
        if self._verbose:
            show_line(f"{self._begin(delivery, at)}  waits for {kind.__name__}")

    def resumed(self, delivery: Delivery, event: Event | None) -> None:
        """It goes on, with an event or because it waited too long."""
        if self.journal is not None:
            self.journal.resumed(delivery, event, self._clock())

    def ended(self, delivery: Delivery, value: object, at: float) -> None:
        """A step body returned."""
        self._publish(delivery, "ended", value)
        returned = [] if value is None else value if _is_list(value) else [value]
        if self.journal is not None:
            for each in returned:
                self.journal.sent(delivery, each, at)
            self.journal.ended(delivery, at)
        out = [*self._sent.pop(delivery, ()), *returned]
        self._log(delivery, at, _named(out) or "nothing")

    def failed(self, delivery: Delivery, error: BaseException, at: float, *, cancelled: bool) -> None:
        """A step body raised, or was cancelled."""
        self._publish(delivery, "ended", None)
        if self.journal is not None:
            self.journal.failed(delivery, error, at, cancelled=cancelled)
        out = _named(self._sent.pop(delivery, ()))
        self._log(delivery, at, f"{out}{', ' if out else ''}raised {type(error).__name__}")

    def undid(self, step: str, undo: str, how: str, began: float, at: float) -> None:
        """The undo of a step has ended."""
        if self.journal is not None:
            self.journal.undid(step, undo, how, at)
        if self._verbose:
            ms = (at - began) * 1e3
            show_line(
                f"{self._run_id()} {began - self._begun:9.3f}s  undoing {step}: {undo}  {how}  {ms:.1f} ms"
            )

    def _publish(self, delivery: Delivery, state: str, output: object) -> None:
        if self.hub is not None and self.hub.watched:
            self.hub.publish_internal(
                StepStateChanged(name=delivery.step.name, state=state, event=delivery.event, output=output)
            )

    def _log(self, delivery: Delivery, at: float, out: str) -> None:
        if not self._verbose:
            return
        started = at if delivery.started is None else delivery.started
        taken = type(delivery.event).__name__
        show_line(f"{self._begin(delivery, started)}  <- {taken}  -> {out}  {(at - started) * 1e3:.1f} ms")

    def _begin(self, delivery: Delivery, at: float) -> str:
        return f"{self._run_id()} {at - self._begun:9.3f}s  {delivery.step.name} #{delivery.attempt}"


def _named(events: Iterable[object]) -> str:
    """The types of these events, each once: a step may send a hundred thousand of one."""
    names = Counter(type(event).__name__ for event in events)
    return ", ".join(name if count == 1 else f"{name} x{count}" for name, count in names.items())


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
