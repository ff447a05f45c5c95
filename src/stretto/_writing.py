"""What a run writes: its stream, the stream that nested runs write to as well, and the trace of its steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context as VarContext, copy_context
from typing import TYPE_CHECKING, cast

import anyio

from ._among import Among
from .events import Event, StopEvent, Streamed

if TYPE_CHECKING:
    from ._stream import Hub
    from ._trace import Trace
    from .journal import Journal

__all__ = ["Writing"]


class Writing(Among):
    """A run as far as it writes.

    Attributes:
        hub: Its stream, if somebody keeps it.
        merged: Its stream with those of the runs nested in it.
        trace: What tells of its steps.
        unstreamed: How many events were written while nobody kept a stream.
    """

    hub: Hub | None = None
    merged: Hub | None = None
    trace: Trace | None = None
    unstreamed = 0

    def keep_stream(self) -> Hub:
        """The stream, kept from now on if it was not before."""
        if self.hub is None:
            from ._stream import Hub  # noqa: PLC0415 - for who streams, as below

            self.hub = Hub(self._options.stream_buffer, already_missed=self.unstreamed)
            if self.outcome is None:
                self.publish = self.hub.publish  # type: ignore[method-assign]
            if self.trace is not None:
                self.trace.hub = self.hub
            if self.outcome is not None:
                self.hub.close(self.machine.terminal_event())
        return self.hub

    def publish(self, event: Event, /) -> None:
        """Writes to the stream; an awaited run keeps none and only counts, for who reads it later."""
        if self.outcome is not None:
            self._publish_late(event)
        self.unstreamed += 1

    def _publish_late(self, event: Event, /) -> None:
        """Something of a step that is over writes on: nobody reads it, and it is not lost in silence."""
        self.perform(self.machine.event_sent(event, copy_context(), at=self.machine.deadline))

    def trace_on(self) -> None:
        """From now on steps are told, by lines or as internal events."""
        if self.trace is None:
            from ._trace import Trace  # noqa: PLC0415 - for who looks on

            self.trace = Trace(
                lambda: self.run_id,
                self.machine.begun,
                self.clock,
                self.hub,
                verbose=self._options.verbose,
                journal=self._new_journal(),
            )

    def join_journals(self, context: VarContext) -> None:
        """What it does is told too where that of the run around it is; `context` is that of who begins it."""
        trace = cast("Writing", self.parent).trace
        if trace is None or not trace.books:
            return
        from ._trace import at_work  # noqa: PLC0415 - for who asks for one, as below
        from .journal import Ran  # noqa: PLC0415

        plan = self.machine.plan
        steps = tuple(step.name for step in plan.steps)
        self.trace_on()
        assert self.trace is not None, "it is on"
        self.trace.joins(
            trace, lambda run, work: Ran(plan.name, self.member, steps, run, work), context.get(at_work) or {}
        )

    def _new_journal(self) -> Journal | None:
        if self._options.journal is None:
            return None
        from .journal import Journal  # noqa: PLC0415 - for who asks for one

        return Journal(self._options.journal, self.machine.begun)

    # -- with those of nested runs -----------------------------------------------------------------------------

    def keep_merged(self) -> Hub:
        """The stream with those of nested runs, and with origins; kept from now on if it was not before."""
        if self.merged is None:
            from ._stream import Hub  # noqa: PLC0415

            stream = self.keep_stream()
            missed = stream.written - stream.closed  # the last event is written to this one too
            self.merged = Hub(self._options.stream_buffer, already_missed=missed)
            if self.outcome is not None:
                self.close_merged(self.machine.terminal_event())
        return self.merged

    def close_merged(self, last: StopEvent[object]) -> None:
        """Writes the last event to it."""
        if self.merged is not None:
            self.merged.close(self._told(last, None))

    def streams(self) -> Iterator[Hub]:
        """The streams that what its steps write goes to, if somebody keeps them."""
        around = cast("Iterator[Writing]", self.runs_around())
        for run in (self, *around):
            mine = run is self or (run.parent is None and run.around is not None)
            yield from (hub for hub in (run.hub if mine else None, run.merged) if hub is not None)

    def pause_reading(self) -> None:
        """The present task waits for the end of the run: who writes does not wait for what it reads."""
        for hub in (self.hub, self.merged):
            if hub is not None and hub.line is not None:
                hub.line.pause(anyio.get_current_task().id)

    def spread(self, event: Event, step: str | None) -> None:
        """Writes an event to the merged streams of the run and of those around it, if somebody keeps one."""
        told = self._told(event, step)
        for run in (self, *cast("Iterator[Writing]", self.runs_around())):
            if run.merged is not None and run.outcome is None:
                run.merged.publish(told)
            if run.parent is None and run.around is not None and run is not self:
                run.publish(event)

    def _told(self, event: Event, step: str | None) -> Streamed:
        return Streamed(
            event=event, workflow=self.machine.plan.name, member=self.member, run_id=self.run_id, step=step
        )
