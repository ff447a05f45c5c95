"""What a step may do while it runs: send, collect, write to the stream, sleep.

A `Context` is made for each delivery of a step that asks for one, by a parameter annotated ``Context``. It
sits below the driver and is handed what it needs (`RunPort`), so that steps, tests and drivers share one
definition.
"""

from __future__ import annotations

import math
from _thread import get_ident  # as threading has it, without the import
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import Context as VarContext, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeGuard, TypeVar, cast, overload

import anyio
import attrs

from ._core.effects import Effects
from ._core.inputs import SendBegan, SendCancelled, Strayed, WaitBegan, WaitCancelled, WaitTimedOut
from ._core.past import Held
from ._core.room import Sender
from ._core.state import DeadLetter, Delivery
from ._core.waiting import Waiter
from ._gate import Gate
from ._options import seconds
from ._threads import Work
from ._trace import Trace
from ._types import S_co
from .errors import (
    DefinitionError,
    QueueFullError,
    RunEndedError,
    WaitTimeoutError,
    WorkflowError,
    near,
    shown,
)
from .events import Event, StopEvent

if TYPE_CHECKING:
    from ._core.machine import Machine
    from ._editor import Editor
    from ._once import Once
    from .retry import Attempt
    from .snapshots import SavedRun
    from .store import Store, ThreadStore

__all__ = [
    "Context",
    "HoldingContext",
    "HoldingThreadContext",
    "OutsideContext",
    "RunPort",
    "SavedContext",
    "ThreadContext",
]

E = TypeVar("E", bound=Event)
T = TypeVar("T")

_ANY_TIME = -math.inf

# What users of LlamaIndex Workflows may look for, and what it is called here.
_OTHER_WORDS = {"session": "ctx.run_id", "is_running": "handler.done"}


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

    def spread(self, event: Event, step: str | None) -> None:
        """Writes to the merged streams."""

    def is_fed_by(self, kind: type[Event], limit: float | None) -> bool:
        """Whether a step that waits for such events keeps the run from being stuck."""
        ...

    async def request(self, delivery: Delivery, event: Event, reply: type[E], limit: float | None) -> E:
        """Asks another run, and gives its reply."""
        ...


class Context(Generic[S_co]):
    """The run as one of its steps sees it. Make none yourself: annotate a parameter of the step with it.

    ``Context[Cart]`` names the class of the run's state, see `store`: an attrs class, a dataclass or a pydantic model
    whose fields have defaults. All steps of a workflow that name one name the same, or classes that derive from one
    another: the state is of the most derived. Where none does, it is a dict.
    """

    __slots__ = ("_delivery", "_run")

    def __init__(
        self, run: RunPort | None = None, delivery: Delivery | None = None, *, workflow: object = None
    ) -> None:
        if workflow is not None:
            raise _no_shared_context(workflow)
        if delivery is None or run is None:
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

    @property
    def attempt(self) -> Attempt:
        """Which attempt of its step this is: its number, the time since the first began, the last error."""
        from .retry import Attempt  # noqa: PLC0415 - loaded by who uses it

        delivery = self._delivery
        past = delivery.past
        if past is None or past.began is None or delivery.started is None:
            return Attempt()
        return Attempt(number=delivery.attempt, elapsed=delivery.started - past.began, error=past.error)

    @property
    def store(self) -> Store[S_co]:
        """The state of the run, which its steps share; it belongs to this run alone.

        ``await ctx.store.get("total", 0)``, ``await ctx.store.set("total", 5)``, and to change what depends on
        what it was, ``async with ctx.store.edit_state() as state``. It is made when it is first asked for.
        """
        from ._editor import Access  # noqa: PLC0415 - loaded by who uses it, as below
        from .store import Store  # noqa: PLC0415

        return Store(Access(self._run, self._delivery, outside=False))

    @staticmethod
    def from_dict(
        workflow: object,
        data: Mapping[str, Any],
        *,
        types: Iterable[type] = (),
    ) -> Context[Any]:
        """What ``workflow.run(ctx=...)`` goes on with: the run of a snapshot.

        Loading data never runs code that it names: its classes are looked up among those that the steps of the
        workflow accept, return and name in their code, and those that were registered. Nothing else is imported, or
        unpickled. All of it is read now, and once more for each run.

        Args:
            workflow: The workflow that will run, or its class.
            data: What `to_dict` gave, also by way of JSON.
            types: More classes that the snapshot may name.

        Raises:
            SnapshotError: If the data is malformed, is of a newer version or of another workflow, or names a step or
                a class that is not there; it has the path.
        """
        from .snapshots import read_snapshot  # noqa: PLC0415 - loaded by who uses it, as below

        return SavedContext(read_snapshot(workflow, data, types))

    def to_dict(self, *, types: Iterable[type] = ()) -> dict[str, Any]:
        """A snapshot of the run, at this moment: plain data that `json.dumps` takes, and that shares nothing with it.

        It has what is on its way to steps and what they have half collected, what is to be tried again and when, the
        state, the time that is left and the results of `once`. It costs as much as the run keeps, and nothing for what
        it has done. What is at work, the step that asks included, or waits in its middle will run again from its first
        line, and is given again what it was given. Resources, nested runs, the stream and context variables are made
        anew. Of a run that is over it has the state alone.

        Args:
            types: More classes that it may name, see `stretto.snapshots.snapshot_type`.

        Raises:
            SnapshotError: If something in it cannot be written; it has the path, names the type and says what to do.
        """
        from .snapshots import write_snapshot  # noqa: PLC0415

        return write_snapshot(self._run, types)

    @overload
    async def once(self, key: str, fn: Callable[[], Awaitable[T]]) -> T: ...
    @overload
    async def once(self, key: str, fn: Callable[[], T]) -> T: ...
    async def once(self, key: str, fn: Callable[[], Any]) -> Any:
        """An effect that happens once in this run, also if its step runs again: gives what it gave.

        The result is kept by the run and is in its snapshots. Who asks for a key that is under way waits for it. One
        that fails or is cancelled is not remembered, and the next who asks, or already waits, calls its own. A process
        that dies between the effect and the next snapshot has not remembered it either: hand `key` on, where whoever
        does it can tell that it was done.

        Args:
            key: Names the effect within the run: ``f"charge {ev.order}"``.
            fn: A function without arguments, sync or async. What it gives must be fit for a snapshot.

        Raises:
            WorkflowError: Within the effect of the same key: it would wait for itself.
            TypeError: If `key` is no text, or `fn` no function.
        """
        return await self._run.once().call(key, fn, self._delivery)

    def send_event(self, ev: Event, step: str | None = None) -> None:
        """Sends an event to the steps that take it, or to one of them by name. Never waits.

        The steps start as soon as a worker is free, while this one goes on. An event that no step takes is
        kept in ``run.dead_letters`` and logged; so is one that is sent after the run was decided. What an attempt
        sent before it failed stays sent, unless the step says ``@step(emit="on_success")``.

        Raises:
            RoutingError: If there is no step of that name, or it does not take the event.
            TypeError: If `ev` is no event, or a StopEvent with a coroutine in it that nobody awaited.
            QueueFullError: If the workflow has a `queue_size` and there is no room; nothing was sent.
        """
        run = self._run
        if run.thread != get_ident():
            run.refuse_elsewhere("send_event")
        at = (
            run.clock() if issubclass(type(ev), StopEvent) else _ANY_TIME
        )  # nothing else asks when it was sent
        effects = run.machine.event_sent(ev, copy_context(), step, at=at, cause=self._delivery)
        if run.trace is not None:
            run.trace.sent(self._delivery, ev)
        for effect in effects:
            if type(effect) is Delivery:
                run.push(effect)
            else:
                run.perform((effect,), self._delivery.step.label)

    async def send(self, ev: Event, step: str | None = None) -> None:
        """As `send_event`, and waits for room where the workflow has a `queue_size`.

        It is to `send_event` what ``send`` is to ``send_nowait`` of anyio's memory object streams. Who waits longest is
        let in first. The step keeps its worker meanwhile. One that is cancelled while it waits has sent nothing, unless
        room was made in the same instant.

        Raises:
            QueueFullError: If all steps that could make room wait for some themselves, or no queue of that size could
                ever take the event.
            RoutingError: As `send_event`.
            TypeError: As `send_event`.
        """
        try:
            self.send_event(ev, step)
        except QueueFullError:
            await _send_when_there_is_room(self._run, self._delivery, ev, step, copy_context())
        else:
            await anyio.lowlevel.checkpoint()

    def collect_events(
        self, ev: E, expected: Sequence[type[E]], buffer_id: Hashable = None
    ) -> list[E] | None:
        """Keeps the event, and gives a batch once there is one of each expected; None until then.

        A batch holds, in the order of `expected`, the earliest events of exactly these types; what is left
        over stays for the next batch. ``[Opinion] * 3`` expects three of one type. Buffers are the step's
        own, one for each `buffer_id`. The call is atomic and never re-runs a step; called twice with one
        event it adds it once, also in another attempt, and a batch that a failed attempt was given is kept for
        the same call of the next.

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
        _check_for_the_stream(ev)
        self._publish(ev)

    def _publish(self, ev: Event) -> None:
        run = self._run
        run.publish(ev)
        if run.parent is not None or run.merged is not None:
            run.spread(ev, self._delivery.step.name)

    async def request(
        self,
        ev: Event,
        reply: type[E],
        timeout: float | None = None,  # noqa: ASYNC109 - known under this name
    ) -> E:
        """Asks another member of the `Application`, and waits, here in the middle of the step, for its reply.

        The member that takes the event answers in a run of its own, which no other request meets. The reply is the
        first event of exactly the type `reply` that this run sends, now or many steps later; it comes here and goes
        nowhere else. The time limit of the caller is one for the request too. If this step is cancelled, so is the
        request, and its end is waited for.

        Args:
            ev: What to ask.
            reply: The class of the reply.
            timeout: Seconds to wait at most; None leaves it to the time limits of the run and of the member.

        Raises:
            WorkflowTimeoutError: The reply did not come in time.
            WorkflowStalledError: The reply cannot come: nothing that would lead to it is left to run.
            UndeclaredEventError: The return annotations of the class do not name the type of `ev`.
            WorkflowError: The run is in no application, or the requests are too deep.

        What a step raises that works for the request comes out here too, bare.
        """
        limit = _check_request(ev, reply, timeout)
        return await self._run.request(self._delivery, ev, reply, limit)

    async def wait_for_event(  # noqa: PLR0917 - known in this order
        self,
        event_type: type[E],
        waiter_event: Event | None = None,
        waiter_id: str | None = None,
        requirements: Mapping[str, object] | None = None,
        where: Callable[[E], object] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - known under this name
    ) -> E:
        """Waits, here in the middle of the step, for an event of exactly this type, and gives it.

        The step goes on where it stands; nothing of it is run again. Its worker is free meanwhile. The event may come
        from a step, from outside by ``run.send_event``, or have come before: one that no step takes is kept until
        somebody waits for it. It goes to the one who has waited longest of those whom it fits, to nobody else, and to
        no step. A run with a step that waits is not stuck. A task that the step has started may wait too; then the step
        keeps its worker.

        >>> from stretto import HumanResponseEvent, InputRequiredEvent, StartEvent, Workflow, step
        >>> class Order(Workflow[str]):
        ...     @step
        ...     async def buy(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        ...         question = InputRequiredEvent(question="buy tea?")
        ...         answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=question)
        ...         return StopEvent(result=answer.text)

        Args:
            event_type: The class of the event.
            waiter_event: Written to the stream as the wait begins, so that somebody may answer.
            waiter_id: A name for this wait, in `Handler.waiting_for`.
            requirements: Fields that the event must have, and their values.
            where: What else must be true of the event. It is called as events are sent: let it only look.
            timeout: Seconds to wait at most; None leaves it to the deadline of the run.

        Raises:
            WaitTimeoutError: It did not come in time. It is a `TimeoutError` too.
            TypeError: If `event_type` is no class of events that can be waited for, or a requirement names no field.
            RunEndedError: If the run is over.

        What `where` raises comes out here too; the event then goes to somebody else.
        """
        run, machine = self._run, self._run.machine
        limit = _check_wait(event_type, waiter_event, requirements, where, timeout)
        if machine.ended is not None:
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise RunEndedError(
                f"{self._delivery.step.label} waits for {event_type.__name__}, but the run is over, "
                f"{machine.ended.value}"
            )
        if waiter_event is not None:
            self._publish(waiter_event)  # also where what is sent is held back, or nobody would answer
        woken = anyio.Event()
        waiter = Waiter(
            delivery=self._delivery,
            kind=event_type,
            waiter_id=waiter_id,
            requirements=requirements,
            where=where,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - it is asked of that type alone
            wake=woken.set,
            feeds=run.is_fed_by(event_type, limit),
        )
        if run.trace is not None:
            run.trace.waits(self._delivery, event_type, run.clock())
        run.perform(machine.receive(WaitBegan(waiter=waiter, parks=run.inside)))
        try:
            with anyio.move_on_after(limit):
                await woken.wait()
            if not woken.is_set():
                run.perform(machine.receive(WaitTimedOut(waiter=waiter)))
                await woken.wait()
            if run.gate is not None:
                await run.gate(run, self._delivery, "resume", waiter.event)
        except BaseException:  # cancelled: what it may have been given is somebody else's
            run.perform(machine.receive(WaitCancelled(waiter=waiter)))
            raise
        if waiter.error is not None:
            raise waiter.error
        if waiter.event is None:
            raise WaitTimeoutError(
                f"{self._delivery.step.label} waited {timeout:.6g} s for {event_type.__name__}, and none came that fits"
            )
        given: Any = waiter.event
        event: E = given
        return event

    async def sleep(self, seconds: float) -> None:
        """Sleeps; in tests time is virtual and this is where a schedule is chosen."""
        if self._run.gate is None:
            await anyio.sleep(seconds)
        else:
            await self._run.gate(self._run, self._delivery, "sleep", seconds)

    def check_cancelled(self) -> None:
        """Ends a plain ``def`` step in the middle of its thread, if its run is over or being cancelled.

        No cancellation reaches a thread, so a long computation asks now and then. What is raised then is the
        cancellation of the event loop, as in an async step: let it pass, and the step counts as cancelled, not as
        failed. It costs about a microsecond, and is called in the thread that the step was started in.

        >>> from stretto import StartEvent, Workflow, step
        >>> class Search(Workflow[int]):
        ...     @step
        ...     def search(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
        ...         for number in range(10**9):
        ...             ctx.check_cancelled()
        ...             if number**2 == ev.square:
        ...                 break
        ...         return StopEvent(result=number)

        Raises:
            WorkflowError: In an async step, which is cancelled wherever it awaits.
        """
        raise WorkflowError(
            "ctx.check_cancelled is for a plain def step, in its thread; an async step is cancelled where it awaits: "
            "write await anyio.lowlevel.checkpoint()"
        )

    def __getattr__(self, name: str) -> object:
        ours = _OTHER_WORDS.get(name)
        names = [known for known in dir(type(self)) if not known.startswith("_")]
        hint = f"; write {ours}" if ours else near(name, names)
        # No `obj`: with it Python adds a hint of its own.
        raise AttributeError(f"Context has no {name!r}{hint}", name=name)

    def __repr__(self) -> str:
        return f"<Context of {self._delivery.step.label} in run {self.run_id}>"


async def _send_when_there_is_room(
    run: RunPort, delivery: Delivery | None, ev: Event, step: str | None, carry: VarContext
) -> None:
    admitted = anyio.Event()
    sender = Sender(
        delivery, ev, step, carry=carry, wake=admitted.set, parks=delivery is not None and run.inside
    )
    run.perform(run.machine.receive(SendBegan(sender=sender)))
    try:
        await admitted.wait()
    except BaseException:
        run.perform(run.machine.receive(SendCancelled(sender=sender)))
        raise
    if sender.error is not None:
        raise sender.error


def _check_wait(
    event_type: object,
    waiter_event: object,
    requirements: object,
    where: object,
    timeout: object,
) -> float | None:
    """The time limit, if what is asked for makes sense."""
    if not (isinstance(event_type, type) and issubclass(event_type, Event)):
        raise TypeError(
            f"wait_for_event takes a class of events, as in wait_for_event(HumanResponseEvent), not {shown(event_type)}"  # pyright: ignore[reportUnknownArgumentType]
        )
    if issubclass(event_type, StopEvent):
        raise TypeError(
            f"wait_for_event cannot wait for {event_type.__name__}, which ends the run; wait for another event"
        )
    if waiter_event is not None and (
        isinstance(waiter_event, StopEvent) or not isinstance(waiter_event, Event)
    ):
        raise TypeError(
            f"waiter_event is an event for the stream and no StopEvent, such as InputRequiredEvent(…), not "
            f"{shown(waiter_event)}"  # pyright: ignore[reportUnknownArgumentType]
        )
    if not (requirements is None or _is_mapping(requirements)):
        raise TypeError(
            f"requirements are fields and their values, as in {{'topic': 'tea'}}, not {shown(requirements)}"
        )
    _check_required(event_type, [str(name) for name in requirements or ()])
    if where is not None and not callable(where):
        raise TypeError(f"where is a function of the event, such as lambda ev: ev.n > 1, not {shown(where)}")
    return seconds(timeout, "timeout", none="no limit")


def _no_shared_context(workflow: object) -> DefinitionError:
    """Somebody wants two workflows to share a Context, so that one may send to the other."""
    name = type(workflow).__name__
    return DefinitionError(
        f"Context(workflow={name}(…)): a Context belongs to one step of one run, and cannot join two workflows; an "
        "Application does, by the events that their steps name:\n"
        f"    from stretto import Application\n"
        f"    async with Application(main=…, other={name}(…)) as app:\n"
        "        result = await app.run('main', …)"
    )


def _check_request(event: object, reply: object, timeout: object) -> float | None:
    if not isinstance(event, Event):
        raise TypeError(
            f"request takes an event to ask with, as in request(Ask(…), reply=Answer), not {shown(event)}"
        )
    if not (isinstance(reply, type) and issubclass(reply, Event)) or issubclass(reply, StopEvent):
        raise TypeError(
            f"reply= is the class of an event that is no StopEvent, as in request(Ask(…), reply=Answer), not "
            f"{shown(reply)}"  # pyright: ignore[reportUnknownArgumentType]
        )
    return seconds(timeout, "timeout", none="no limit")


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _check_required(event_type: type[Event], required: list[str]) -> None:
    names = [field.name for field in attrs.fields(event_type)] if attrs.has(event_type) else required
    for name in required:
        if name not in names:
            raise TypeError(
                f"{event_type.__name__} has no {name!r} to require, it has: {', '.join(names)}{near(name, names)}"
            )


def _check_for_the_stream(given: object) -> None:
    if isinstance(given, StopEvent) or not isinstance(given, Event):
        raise TypeError(
            f"write_event_to_stream takes an event that is no StopEvent, not {shown(given)}; the stream ends "  # pyright: ignore[reportUnknownArgumentType]
            "with the StopEvent that a step returns"
        )


class HoldingContext(Context[S_co]):
    """The context of a step with ``emit="on_success"``: what it sends waits until the attempt has succeeded."""

    __slots__ = ()

    def send_event(self, ev: Event, step: str | None = None) -> None:
        """As `Context.send_event`, once the step returns; if it raises, never."""
        self._run.refuse_elsewhere("send_event")
        self._hold(Held(ev, copy_context(), step))
        if self._run.trace is not None:
            self._run.trace.sent(self._delivery, ev)

    def write_event_to_stream(self, ev: Event) -> None:
        """As `Context.write_event_to_stream`, once the step returns; if it raises, never."""
        _check_for_the_stream(ev)
        self._hold(Held(ev, None, None))

    def _hold(self, held: Held) -> None:
        run = self._run
        run.perform(run.machine.hold(self._delivery, held, run.clock()), self._delivery.step.label)


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

    def send_event(self, ev: Event, step: str | None = None) -> None:
        """As `Context.send_event`, from a thread; a dead letter if the step is over."""
        self._ask_or_stray(partial(super().send_event, ev, step), ev)

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

    def check_cancelled(self) -> None:  # noqa: D102 - as it is told there
        self._work.check_cancelled()

    def to_dict(self, *, types: Iterable[type] = ()) -> dict[str, Any]:
        """As `Context.to_dict`, from a thread."""
        return self._work.ask(partial(super().to_dict, types=types))

    def once(self, key: str, fn: Callable[[], T]) -> T:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """As `Context.once`, without ``await``: `fn` is called in this thread."""
        value: Any = self._run.once().call_in_thread(key, fn, self._delivery, self._work)
        return cast("T", value)

    def send(self, ev: Event, step: str | None = None) -> NoReturn:  # noqa: ARG002 - refused whatever it is
        """Not to be had in a thread: a plain ``def`` step cannot await.

        Raises:
            WorkflowError: Always, and when it is called: who cannot await would never see it later.
        """
        raise WorkflowError(
            "ctx.send needs an async step; in a plain def step use ctx.send_event, or write async def"
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

    def send_event(self, ev: Event, step: str | None = None) -> None:
        """As ``handler.send_event``."""
        self._run.send_from_outside(ev, step)

    async def send(self, ev: Event, step: str | None = None) -> None:
        """As ``handler.send``."""
        try:
            self._run.send_from_outside(ev, step)
        except QueueFullError:
            await _send_when_there_is_room(self._run, None, ev, step, self._run.outside_context())
        else:
            await anyio.lowlevel.checkpoint()

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


class SavedContext(Context[S_co]):
    """What `Context.from_dict` gives: a run that nobody goes on with yet. ``workflow.run(ctx=...)`` does."""

    __slots__ = ("saved",)

    def __init__(self, saved: SavedRun) -> None:
        self.saved = saved

    @property
    def _run(self) -> Any:  # type: ignore[override]  # noqa: ANN401
        raise WorkflowError(
            f"this Context was read from a snapshot of {self.saved.workflow} and belongs to no run yet; give it to "
            f"{self.saved.workflow}(…).run(ctx=…)"
        )

    @property
    def run_id(self) -> str:
        """The identity of the run that goes on; empty if one begins on the state of another."""
        return self.saved.run_id

    def __repr__(self) -> str:
        return f"<Context of a snapshot of {self.saved.workflow}>"
