"""Tells what a run does: the lines of ``verbose=True`` and the internal events of a stream.

A run has a trace only while one of the two is asked for, so that it costs a hop nothing otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeGuard, final

from ._core.state import Delivery
from ._log import show_line
from ._stream import Hub
from .events import Event, StepStateChanged

__all__ = ["Trace"]


@final
class Trace:
    """Writes down the begin and the end of each step, and what it sent.

    Args:
        run_id: Called for the identity of the run when a line is written.
        hub: Where internal events go, if anybody reads them.
        verbose: Whether lines are logged.
    """

    def __init__(self, run_id: Callable[[], str], begun: float, hub: Hub | None, *, verbose: bool) -> None:
        self._run_id = run_id
        self._begun = begun
        self.hub = hub
        self._verbose = verbose
        self._sent: dict[Delivery, list[Event]] = {}

    def began(self, delivery: Delivery) -> None:
        """A step body is about to run."""
        self._publish(delivery, "running", None)

    def sent(self, delivery: Delivery | None, event: Event) -> None:
        """A step sent an event; it is told when the step ends."""
        if self._verbose and delivery is not None:
            self._sent.setdefault(delivery, []).append(event)

    def waits(self, delivery: Delivery, kind: type[Event], at: float) -> None:
        """A step waits in its middle."""
        if self._verbose:
            show_line(f"{self._begin(delivery, at)}  waits for {kind.__name__}")

    def ended(self, delivery: Delivery, value: object, at: float) -> None:
        """A step body returned."""
        self._publish(delivery, "ended", value)
        out: list[object] = [*self._sent.pop(delivery, ())]
        if value is not None:
            out += value if _is_list(value) else [value]
        self._log(delivery, at, _named(out) or "nothing")

    def failed(self, delivery: Delivery, error: BaseException, at: float) -> None:
        """A step body raised, or was cancelled."""
        self._publish(delivery, "ended", None)
        out = _named(self._sent.pop(delivery, ()))
        self._log(delivery, at, f"{out}{', ' if out else ''}raised {type(error).__name__}")

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
