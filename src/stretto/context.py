"""What a step may do while it runs: send, collect, write to the stream, sleep.

A `Context` is made for each delivery of a step that asks for one, by a parameter annotated ``Context``. It
sits below the driver and is handed what it needs (`RunPort`), so that steps, tests and drivers share one
definition.
"""

from __future__ import annotations

import math
from _thread import get_ident  # as threading has it, without the import
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import anyio

from ._arguments import (
    check_request,
    check_wait,
    names_a_member,
    no_shared_context,
    not_for_the_stream,
)
from ._core.state import Delivery
from ._types import S_co
from .errors import (
    DefinitionError,
    QueueFullError,
    RunEndedError,
    WorkflowError,
    near,
    shown,
)
from .events import Event, StepProgress, StopEvent

if TYPE_CHECKING:
    from ._run_port import RunPort
    from .retry import Attempt
    from .snapshots import SavedRun
    from .store import Store

__all__ = ["Context", "SavedContext", "send_from_outside", "written"]

E = TypeVar("E", bound=Event)
T = TypeVar("T")

_ANY_TIME = -math.inf

# What users of LlamaIndex Workflows may look for, and what it is called here.
_OTHER_WORDS = {"session": "ctx.run_id", "is_running": "handler.done"}


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
            raise no_shared_context(workflow)
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

    def send_event(self, ev: Event, step: str | None = None, to: str | None = None) -> None:
        """Sends an event to the steps that take it, or to one of them by name. Never waits.

        The steps start as soon as a worker is free, while this one goes on. An event that no step takes is
        kept in ``run.dead_letters`` and logged; so is one that is sent after the run was decided. What an attempt
        sent before it failed stays sent, unless the step says ``@step(emit="on_success")``.

        Args:
            ev: The event.
            step: The name of the one step that gets it.
            to: Only for who sends from outside: a step names no member of its application.

        Raises:
            RoutingError: If there is no step of that name, or it does not take the event; or a member is named.
            TypeError: If `ev` is no event, or a StopEvent with a coroutine in it that nobody awaited.
            QueueFullError: If the workflow has a `queue_size` and there is no room; nothing was sent.
        """
        if to is not None:
            raise names_a_member(self._delivery.step.label, ev, to)
        run = self._run
        if run.thread != get_ident():
            run.refuse_elsewhere("send_event")
        machine = run.machine
        timed = machine.detour or machine.flows is not None or issubclass(type(ev), StopEvent)
        at = run.clock() if timed else _ANY_TIME  # nothing else asks when it was sent
        effects = machine.event_sent(ev, copy_context(), step, at=at, cause=self._delivery)
        if run.trace is not None:
            run.trace.sent(self._delivery, ev)
        for effect in effects:
            if type(effect) is Delivery:
                run.push(effect)
            else:
                run.perform((effect,), self._delivery.step.label)

    async def send(self, ev: Event, step: str | None = None, to: str | None = None) -> None:
        """As `send_event`, and waits for room where the workflow has a `queue_size`.

        It is to `send_event` what ``send`` is to ``send_nowait`` of anyio's memory object streams. Who waits longest is
        let in first. The step keeps its worker meanwhile. One that is cancelled, before or while it waits, has sent
        nothing, unless room was made in the same instant; a clean-up may use `send_event`, or a shield. A broadcast
        goes to each member as soon as that has room, in their order.

        Raises:
            QueueFullError: If all steps that could make room wait for some themselves, or no queue of that size could
                ever take the event.
            RoutingError: As `send_event`.
            TypeError: As `send_event`.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        try:
            self.send_event(ev, step, to)
        except QueueFullError as full:
            from ._step_waits import send_to_each, send_when_there_is_room  # noqa: PLC0415

            if full.receivers:
                await send_to_each(self._run, self._delivery, ev, full.receivers)
            else:
                await send_when_there_is_room(self._run, self._delivery, ev, step, copy_context(), full)
        else:
            await anyio.lowlevel.cancel_shielded_checkpoint()

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
        if isinstance(ev, StopEvent) or not isinstance(ev, Event):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise not_for_the_stream(ev)  # pyright: ignore[reportUnknownArgumentType]
        run = self._run
        run.publish(ev)
        if run.parent is not None or run.merged is not None:
            run.spread(ev, self._delivery.step.name)

    async def write(self, ev: Event) -> None:
        """As `write_event_to_stream`, and waits for readers that say ``overflow="wait"`` and have no room.

        It is to `write_event_to_stream` what `send` is to `send_event`. Who waits longest writes first. The step keeps
        its worker meanwhile. One that is cancelled while it waits has written nothing.

        Raises:
            TypeError: As `write_event_to_stream`.
        """
        await written(self._run, self._delivery, self.write_event_to_stream, ev)

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Tells how far the step has come: writes a `StepProgress` to the stream. Never waits.

        ``stretto run --progress`` shows it. In a step with ``emit="on_success"`` it is told once that has succeeded.

        Args:
            done: How much is done.
            total: How much there is to do, if that is known.
            text: What it does now.

        Raises:
            TypeError: If `done` or `total` is no number.
        """
        for value in (done, total):
            if value is not None and not isinstance(value, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(
                    f"{self._delivery.step.label}: progress takes numbers, as in ctx.progress(3, 10, 'asks the mill'), "
                    f"not {shown(value)}"
                )
        self.write_event_to_stream(
            StepProgress(step=self._delivery.step.name, done=done, total=total, text=text)
        )

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
        limit = check_request(ev, reply, timeout)
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

        What an attempt was given that failed afterwards is given to the next one, in the first wait that it fits, and
        `waiter_event` is not written again: nobody is asked twice. So it is after a restart. What no attempt waits for
        again is in ``run.leftovers``.

        >>> from stretto import HumanResponseEvent, InputRequiredEvent, StartEvent, Workflow, step
        >>> class Order(Workflow[str]):
        ...     @step
        ...     async def buy(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        ...         question = InputRequiredEvent(question="buy tea?")
        ...         answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=question)
        ...         return StopEvent(result=answer.text)

        Args:
            event_type: The class of the event.
            waiter_event: Written to the stream as the wait begins, so that somebody may answer; unless the answer to
                an earlier attempt is there.
            waiter_id: A name for this wait, in `Handler.waiting_for`.
            requirements: Fields that the event must have, and their values. However many waits require other values, an
                event finds the one that requires its own at once, as long as these are text, numbers, None, enums,
                UUIDs, dates or compared by identity. What is compared by a method of its own is asked one by one.
            where: What else must be true of the event. It is called as events are sent: let it only look. All
                who wait with one, and require what the event has, are asked in the order of waiting until one takes it.
            timeout: Seconds to wait at most; None leaves it to the deadline of the run.

        Raises:
            WaitTimeoutError: It did not come in time. It is a `TimeoutError` too.
            TypeError: If `event_type` is no class of events that can be waited for, or a requirement names no field.
            WorkflowError: The step has sent what it waits for itself, and ``emit="on_success"`` holds that back.
            RunEndedError: If the run is over.

        What `where` raises comes out here too; the event then goes to somebody else.
        """
        from ._core.waiting import Waiter  # noqa: PLC0415 - for who waits, as below
        from ._step_waits import wait  # noqa: PLC0415

        run, machine = self._run, self._run.machine
        limit = check_wait(event_type, waiter_event, requirements, where, timeout)
        if machine.ended is not None:
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise RunEndedError(
                f"{self._delivery.step.label} waits for {event_type.__name__}, but the run is over, "
                f"{machine.ended.value}"
            )
        woken = anyio.Event()
        waiter = Waiter(
            delivery=self._delivery,
            kind=event_type,
            waiter_id=waiter_id,
            requirements=None if requirements is None else dict(requirements),
            where=where,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - it is asked of that type alone
            wake=woken.set,
            feeds=run.is_fed_by(event_type, limit),
            question=waiter_event,
            timed=limit is not None,
        )
        given: Any = await wait(run, waiter, woken, limit)
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


async def written(run: RunPort, delivery: Delivery | None, write: Callable[[Event], None], ev: Event) -> None:
    """As `Context.write`; the delivery is that of the step that writes."""
    if isinstance(ev, StopEvent) or not isinstance(ev, Event):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise not_for_the_stream(ev)  # pyright: ignore[reportUnknownArgumentType]
    from ._back_pressure import write_when_there_is_room  # noqa: PLC0415 - for who waits

    await write_when_there_is_room(run, delivery, partial(write, ev))


async def send_from_outside(run: RunPort, ev: Event, step: str | None, to: str | None) -> None:
    """As ``handler.send``."""
    await anyio.lowlevel.checkpoint_if_cancelled()
    try:
        run.send_from_outside(ev, step, to)
    except QueueFullError as full:
        from ._step_waits import send_when_there_is_room  # noqa: PLC0415

        await send_when_there_is_room(run, None, ev, step, run.outside_context(), full)
    else:
        await anyio.lowlevel.cancel_shielded_checkpoint()


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
