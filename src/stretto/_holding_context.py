"""The context of a step with ``emit="on_success"``: what it sends and writes waits until the attempt has succeeded."""

from __future__ import annotations

from contextvars import copy_context

import anyio
import anyio.lowlevel

from ._arguments import names_a_member, not_for_the_stream
from ._core.past import Held
from ._types import S_co
from .context import Context
from .events import Event, StopEvent

__all__ = ["HoldingContext"]


class HoldingContext(Context[S_co]):
    """The context of a step with ``emit="on_success"``: what it sends waits until the attempt has succeeded."""

    __slots__ = ()

    def send_event(self, ev: Event, step: str | None = None, to: str | None = None) -> None:
        """As `Context.send_event`, once the step returns; if it raises, never."""
        if to is not None:
            raise names_a_member(self._delivery.step.label, ev, to)
        self._run.refuse_elsewhere("send_event")
        self._hold(Held(ev, copy_context(), step))
        if self._run.trace is not None:
            self._run.trace.sent(self._delivery, ev)

    def write_event_to_stream(self, ev: Event) -> None:
        """As `Context.write_event_to_stream`, once the step returns; if it raises, never."""
        if isinstance(ev, StopEvent) or not isinstance(ev, Event):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise not_for_the_stream(ev)  # pyright: ignore[reportUnknownArgumentType]
        self._hold(Held(ev, None, None))

    async def write(self, ev: Event) -> None:
        """As `write_event_to_stream`: when the step returns nobody waits any more."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        self.write_event_to_stream(ev)
        await anyio.lowlevel.cancel_shielded_checkpoint()

    def _hold(self, held: Held) -> None:
        run = self._run
        run.perform(run.machine.hold(self._delivery, held, run.clock()), self._delivery.step.label)
