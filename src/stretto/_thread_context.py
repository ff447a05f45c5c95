"""The context of a plain ``def`` step, which runs in a thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from ._core.inputs import Strayed
from ._core.state import DeadLetter, Delivery
from ._holding_context import HoldingContext
from ._threads import Work
from ._types import S_co
from .context import Context
from .errors import QueueFullError, RunEndedError, WorkflowError
from .events import Event

if TYPE_CHECKING:
    from ._run_port import RunPort
    from .store import ThreadStore

__all__ = ["HoldingThreadContext", "ThreadContext"]

E = TypeVar("E", bound=Event)
T = TypeVar("T")


class ThreadContext(Context[S_co]):
    """The context of a step that runs in a thread: each call goes to the loop's thread and back.

    A plain ``def`` step is given one also if it asks for a `Context`; to type checkers, `ThreadContext` says that its
    `store` is used without ``await``.
    """

    __slots__ = ("_work",)

    def __init__(self, run: RunPort, delivery: Delivery, work: Work) -> None:
        super().__init__(run, delivery)
        self._work = work

    @property
    def remaining(self) -> float | None:
        """As `Context.remaining`, from a thread."""
        return self._work.ask(self._run.remaining)

    @property
    def store(self) -> ThreadStore[S_co]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """As `Context.store`, without ``await``: ``with ctx.store.edit_state() as state``."""
        from ._editor import Access  # noqa: PLC0415
        from .store import ThreadStore  # noqa: PLC0415

        return ThreadStore(Access(self._run, self._delivery, outside=False), self._work)

    def send_event(self, ev: Event, step: str | None = None, to: str | None = None) -> None:
        """As `Context.send_event`, from a thread; a dead letter if the step is over."""
        try:
            self._ask_or_stray(partial(super().send_event, ev, step, to), ev)
        except QueueFullError as full:
            raise QueueFullError(
                f"{full.why}; a plain def step cannot wait for some: return the event, in a list if there are several, "
                "which always finds room, or write async def and await ctx.send(…)",
                full.why,
            ) from None

    def collect_events(
        self, ev: E, expected: Sequence[type[E]], buffer_id: Hashable = None
    ) -> list[E] | None:
        """As `Context.collect_events`, from a thread."""
        return self._work.ask(partial(super().collect_events, ev, expected, buffer_id))

    def write_event_to_stream(self, ev: Event) -> None:
        """As `Context.write_event_to_stream`, from a thread; a dead letter if the step is over."""
        self._ask_or_stray(partial(super().write_event_to_stream, ev), ev)

    def _ask_or_stray(self, call: Callable[[], None], ev: Event) -> None:
        run = self._run
        letter = DeadLetter(ev, "the step that sent it was over, and its thread was not")
        try:
            self._work.ask(call, instead=partial(run.machine.receive, Strayed(letter=letter)))
        except RunEndedError:
            run.perform((letter,), self._delivery.step.label)  # logged from here: the loop may be gone

    def check_cancelled(self) -> None:
        self._work.check_cancelled()

    def to_dict(self, *, types: Iterable[type] = ()) -> dict[str, Any]:
        """As `Context.to_dict`, from a thread."""
        return self._work.ask(partial(super().to_dict, types=types))

    def once(self, key: str, fn: Callable[[], T]) -> T:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """As `Context.once`, without ``await``: `fn` is called in this thread."""
        value: Any = self._run.once().call_in_thread(key, fn, self._delivery, self._work)
        return cast("T", value)

    def send(self, ev: Event, step: str | None = None, to: str | None = None) -> NoReturn:  # noqa: ARG002 - refused whatever it is
        """Not to be had in a thread: a plain ``def`` step cannot await.

        Raises:
            WorkflowError: Always, and when it is called: who cannot await would never see it later.
        """
        raise WorkflowError(
            "ctx.send needs an async step; in a plain def step use ctx.send_event, or write async def"
        )

    def write(self, ev: Event) -> NoReturn:  # noqa: ARG002 - refused whatever it is
        """Not to be had in a thread: a plain ``def`` step cannot await.

        Raises:
            WorkflowError: Always, and when it is called, as above.
        """
        raise WorkflowError(
            "ctx.write needs an async step; in a plain def step use ctx.write_event_to_stream, or write async def"
        )

    def wait_for_event(self, *_: object, **__: object) -> NoReturn:
        """Not to be had in a thread: a plain ``def`` step cannot await.

        Raises:
            WorkflowError: Always, and when it is called, as above.
        """
        raise WorkflowError(
            "ctx.wait_for_event needs an async step; write async def, or let a step of its own take the event"
        )

    async def request(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - refused whatever it is
        """Not to be had in a thread: a plain ``def`` step cannot await.

        Raises:
            WorkflowError: Always.
        """
        raise WorkflowError(
            "ctx.request needs an async step; write async def, or send the event and take the answer"
        )

    def sleep(self, seconds: float) -> NoReturn:  # noqa: ARG002 - refused whatever it is
        """Not to be had in a thread: a plain ``def`` step cannot await.

        Raises:
            WorkflowError: Always, and when it is called, as above.
        """
        raise WorkflowError(
            "ctx.sleep needs an async step; in a plain def step use time.sleep, or write async def"
        )


class HoldingThreadContext(ThreadContext[S_co], HoldingContext[S_co]):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Both: each call goes to the loop's thread, and what is sent waits."""

    __slots__ = ()
