"""Tells what a run does: the lines of ``verbose=True``, the internal events of a stream, and the journal.

A run has a trace only while one of the three is asked for, so that it costs a hop nothing otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeGuard, final

from ._core.state import Delivery
from ._log import show_line
from ._stream import Hub
from .events import Event, StepStateChanged

if TYPE_CHECKING:
    from .journal import Journal, Ran

__all__ = ["Trace", "at_work"]

# In the context of a step that is told of: the number of its piece of work, by the identity of each journal.
at_work: ContextVar[Mapping[int, int]] = ContextVar("stretto_at_work", default=MappingProxyType({}))


@final
class Trace:
    """Writes down the begin and the end of each step, and what it sent.

    Args:
        run_id: Called for the identity of the run when a line is written.
        clock: Gives the time.
        hub: Where internal events go, if anybody reads them.
        verbose: Whether lines are logged.
        journal: Where it is written down, if it is.

    Attributes:
        books: All journals that it is written down in, those of the runs around it too, each with the number of the run
            there.
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
        self.books: list[tuple[Journal, int]] = [] if journal is None else [(journal, 0)]
        self._sent: dict[Delivery, list[Event]] = {}

    def began(self, delivery: Delivery) -> None:
        """A step body is about to run."""
        if self.books:
            now = self._clock()
            at_work.set({id(journal): journal.began(delivery, now, run) for journal, run in self.books})
        self._publish(delivery, "running", None)

    def joins(self, above: Trace, ran: Callable[[int, int], Ran], works: Mapping[int, int]) -> None:
        """From now on it is written down too where the run around it is.

        Args:
            above: What tells of that run.
            ran: Gives what is told of this one, for the number of that one and of the work that has made this one.
            works: The number of that work in each journal.
        """
        for journal, run in above.books:
            self.books.append((journal, journal.opened(ran(run, works.get(id(journal), 0)))))

    def came(self, event: Event) -> None:
        """Somebody outside sent an event."""
        for journal, run in self.books:
            journal.came(event, self._clock(), run, at_work.get().get(id(journal), 0) if run else 0)

    def sent(self, delivery: Delivery | None, event: Event) -> None:
        """A step sent an event; it is told when the step ends."""
        if delivery is not None:
            for journal, run in self.books:
                journal.sent(delivery, event, self._clock(), run)
        if self._verbose and delivery is not None:
            self._sent.setdefault(delivery, []).append(event)

    def waits(self, delivery: Delivery, kind: type[Event], at: float) -> None:
        """A step waits in its middle."""
        for journal, run in self.books:
            journal.waits(delivery, kind, at, run)
        if self._verbose:
            show_line(f"{self._begin(delivery, at)}  waits for {kind.__name__}")

    def resumed(self, delivery: Delivery, event: Event | None) -> None:
        """It goes on, with an event or because it waited too long."""
        for journal, run in self.books:
            journal.resumed(delivery, event, self._clock(), run)

    def ended(self, delivery: Delivery, value: object, at: float) -> None:
        """A step body returned."""
        self._publish(delivery, "ended", value)
        returned = [] if value is None else value if _is_list(value) else [value]
        for journal, run in self.books:
            for each in returned:
                journal.sent(delivery, each, at, run)
            journal.ended(delivery, at, run)
        out = [*self._sent.pop(delivery, ()), *returned]
        self._log(delivery, at, _named(out) or "nothing")

    def failed(self, delivery: Delivery, error: BaseException, at: float, *, cancelled: bool) -> None:
        """A step body raised, or was cancelled."""
        self._publish(delivery, "ended", None)
        for journal, run in self.books:
            journal.failed(delivery, error, at, run, cancelled=cancelled)
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
