"""The context of somebody who is no step of the run: what ``handler.ctx`` is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ._arguments import not_for_the_stream
from ._types import S_co
from .context import Context, send_from_outside, written
from .errors import WorkflowError
from .events import Event, StopEvent

if TYPE_CHECKING:
    from ._run_port import RunPort
    from .retry import Attempt
    from .store import Store

__all__ = ["OutsideContext"]

E = TypeVar("E", bound=Event)


class OutsideContext(Context[S_co]):
    """What ``handler.ctx`` is: the run as somebody outside sees it."""

    __slots__ = ()

    def __init__(self, run: RunPort) -> None:
        self._run = run

    @property
    def attempt(self) -> Attempt:
        """Not to be had outside: it belongs to a step.

        Raises:
            WorkflowError: Always.
        """
        raise WorkflowError("attempt belongs to a step: read it from the Context that the step was given")

    @property
    def store(self) -> Store[S_co]:
        """As `Context.store`: it reads also when the run is over, and writes until then."""
        from ._editor import Access  # noqa: PLC0415
        from .store import Store  # noqa: PLC0415

        return Store(Access(self._run, self._run, outside=True))

    def send_event(self, ev: Event, step: str | None = None, to: str | None = None) -> None:
        """As ``handler.send_event``."""
        self._run.send_from_outside(ev, step, to)

    async def send(self, ev: Event, step: str | None = None, to: str | None = None) -> None:
        """As ``handler.send``."""
        await send_from_outside(self._run, ev, step, to)

    def write_event_to_stream(self, ev: Event) -> None:
        """As `Context.write_event_to_stream`, and as nobody's step."""
        if isinstance(ev, StopEvent) or not isinstance(ev, Event):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise not_for_the_stream(ev)  # pyright: ignore[reportUnknownArgumentType]
        run = self._run
        run.publish(ev)
        if run.parent is not None or run.merged is not None:
            run.spread(ev, None)

    async def write(self, ev: Event) -> None:
        """As `Context.write`, and as nobody's step."""
        await written(self._run, None, self.write_event_to_stream, ev)

    def collect_events(
        self,
        ev: E,  # noqa: ARG002 - refused whatever it is
        expected: Sequence[type[E]],  # noqa: ARG002
        buffer_id: Hashable = None,  # noqa: ARG002
    ) -> list[E] | None:
        """Not to be had outside: a buffer belongs to a step.

        Raises:
            WorkflowError: Always.
        """
        raise WorkflowError(
            "collect_events belongs to a step: call it on the Context that the step was given"
        )

    async def once(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - refused whatever it is
        """Not to be had outside: it is for a step, which may run again.

        Raises:
            WorkflowError: Always.
        """
        raise WorkflowError("once belongs to a step: call it on the Context that the step was given")

    def progress(self, *_: object, **__: object) -> None:
        """Not to be had outside: it says how far a step has come.

        Raises:
            WorkflowError: Always.
        """
        raise WorkflowError("progress belongs to a step: call it on the Context that the step was given")

    async def wait_for_event(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - refused whatever it is
        """Not to be had outside: what the run says is in its stream.

        Raises:
            WorkflowError: Always.
        """
        raise WorkflowError("wait_for_event belongs to a step; from outside read run.stream_events()")

    async def request(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - refused whatever it is
        """Not to be had outside: an application is asked by ``app.request``.

        Raises:
            WorkflowError: Always.
        """
        raise WorkflowError("request belongs to a step; from outside write await app.request(ev, reply=…)")

    def __repr__(self) -> str:
        return f"<Context of run {self.run_id}, from outside>"
