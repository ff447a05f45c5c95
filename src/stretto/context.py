"""What a step may do while it runs: send, collect, write to the stream, sleep.

A `Context` is made for each delivery of a step that asks for one, by a parameter annotated ``Context``. It
sits below the driver and is handed what it needs (`RunPort`), so that steps, tests and drivers share one
definition.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio

from ._core.effects import Effects
from ._core.machine import Machine
from ._core.state import Delivery
from ._trace import Trace
from .errors import DefinitionError, WorkflowError, near, shown
from .events import Event, StopEvent

if TYPE_CHECKING:
    import anyio.from_thread  # anyio loads it with its backend, and only then can a step be in a thread

__all__ = ["Context", "OutsideContext", "RunPort", "ThreadContext"]

E = TypeVar("E", bound=Event)

_ANY_TIME = -math.inf

# What users of LlamaIndex Workflows may look for, and what it is called here.
_OTHER_WORDS = {"session": "ctx.run_id", "is_running": "handler.done"}


class RunPort(Protocol):
    """What a context needs of its run."""

    machine: Machine
    clock: Callable[[], float]
    trace: Trace | None
    gate: Callable[[str], Awaitable[None]] | None

    @property
    def run_id(self) -> str:
        """The identity of the run."""
        ...

    def publish(self, event: Event, /) -> None:
        """Writes to the stream."""

    def push(self, delivery: Delivery) -> None:
        """Starts a delivery when its turn comes."""

    def perform(self, effects: Effects) -> None:
        """Does what the machine asks for."""

    def remaining(self) -> float | None:
        """Seconds to the deadline."""

    def send_from_outside(self, event: Event, step: str | None) -> None:
        """Sends as one who is no step of the run."""


class Context:
    """The run as one of its steps sees it. Make none yourself: annotate a parameter of the step with it."""

    __slots__ = ("_delivery", "_run")

    def __init__(self, run: RunPort, delivery: Delivery | None = None) -> None:
        if delivery is None:
            raise DefinitionError(
                f"Context({shown(run)}): a Context belongs to one step of one run, which makes it; annotate a "
                "parameter of the step with it: ctx: Context"
            )
        self._run = run
        self._delivery = delivery

    @property
    def run_id(self) -> str:
        """The identity of this run, the same as ``handler.run_id``."""
        return self._run.run_id

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline of the run, below zero when it has passed; None without a time limit."""
        return self._run.remaining()

    def send_event(self, ev: Event, step: str | None = None) -> None:
        """Sends an event to the steps that take it, or to one of them by name. Never waits.

        The steps start as soon as a worker is free, while this one goes on. An event that no step takes is
        kept in ``run.dead_letters`` and logged; so is one that is sent after the run was decided.

        Raises:
            RoutingError: If there is no step of that name, or it does not take the event.
            TypeError: If `ev` is no event.
        """
        run = self._run
        at = (
            run.clock() if issubclass(type(ev), StopEvent) else _ANY_TIME
        )  # nothing else asks when it was sent
        effects = run.machine.event_sent(ev, copy_context(), step, at=at)
        if run.trace is not None:
            run.trace.sent(self._delivery, ev)
        for effect in effects:
            if type(effect) is Delivery:
                run.push(effect)
            else:
                run.perform((effect,))

    def collect_events(
        self, ev: E, expected: Sequence[type[E]], buffer_id: Hashable = None
    ) -> list[E] | None:
        """Keeps the event, and gives a batch once there is one of each expected; None until then.

        A batch holds, in the order of `expected`, the earliest events of exactly these types; what is left
        over stays for the next batch. ``[Opinion] * 3`` expects three of one type. Buffers are the step's
        own, one for each `buffer_id`. The call is atomic and never re-runs a step; called twice with one
        event it adds it once.

        Raises:
            CollectError: If the type of `ev` is not expected, `expected` is no list of event classes, or the
                buffer holds `collect_limit` events already; the event was not stored.
        """
        collect: Any = self._run.machine.collect  # it gives events of the type that it was given
        batch: list[E] | None = collect(self._delivery, ev, expected, buffer_id)
        return batch

    def write_event_to_stream(self, ev: Event) -> None:
        """Writes an event to the stream of the run, for whoever reads it. Never waits.

        Raises:
            TypeError: If `ev` is no event, or a StopEvent: the stream ends with the one that a step returns.
        """
        if isinstance(ev, StopEvent) or not isinstance(ev, Event):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _not_for_the_stream(ev)  # pyright: ignore[reportUnknownArgumentType]
        self._run.publish(ev)

    async def sleep(self, seconds: float) -> None:
        """Sleeps; in tests time is virtual and this is where a schedule is chosen."""
        if self._run.gate is not None:
            await self._run.gate("sleep")
        await anyio.sleep(seconds)

    def __getattr__(self, name: str) -> object:
        ours = _OTHER_WORDS.get(name)
        names = [known for known in dir(type(self)) if not known.startswith("_")]
        hint = f"; write {ours}" if ours else near(name, names)
        # No `obj`: with it Python adds a hint of its own.
        raise AttributeError(f"Context has no {name!r}{hint}", name=name)

    def __repr__(self) -> str:
        return f"<Context of {self._delivery.step.label} in run {self.run_id}>"


def _not_for_the_stream(given: object) -> TypeError:
    return TypeError(
        f"write_event_to_stream takes an event that is no StopEvent, not {shown(given)}; the stream ends "
        "with the StopEvent that a step returns"
    )


class ThreadContext(Context):
    """The context of a step that runs in a thread: each call goes to the loop's thread and back."""

    __slots__ = ()

    def send_event(self, ev: Event, step: str | None = None) -> None:
        """As `Context.send_event`, from a thread."""
        anyio.from_thread.run_sync(super().send_event, ev, step)

    def collect_events(
        self, ev: E, expected: Sequence[type[E]], buffer_id: Hashable = None
    ) -> list[E] | None:
        """As `Context.collect_events`, from a thread."""
        return anyio.from_thread.run_sync(super().collect_events, ev, expected, buffer_id)

    def write_event_to_stream(self, ev: Event) -> None:
        """As `Context.write_event_to_stream`, from a thread."""
        anyio.from_thread.run_sync(super().write_event_to_stream, ev)

    @property
    def remaining(self) -> float | None:
        """As `Context.remaining`, from a thread."""
        return anyio.from_thread.run_sync(self._run.remaining)

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - refused whatever it is
        """Not to be had in a thread: a plain ``def`` step cannot await.

        Raises:
            WorkflowError: Always.
        """
        raise WorkflowError(
            "ctx.sleep needs an async step; in a plain def step use time.sleep, or write async def"
        )


class OutsideContext(Context):
    """What ``handler.ctx`` is: the run as somebody outside sees it."""

    __slots__ = ()

    def __init__(self, run: RunPort) -> None:
        self._run = run

    def send_event(self, ev: Event, step: str | None = None) -> None:
        """As ``handler.send_event``."""
        self._run.send_from_outside(ev, step)

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

    def __repr__(self) -> str:
        return f"<Context of run {self.run_id}, from outside>"
