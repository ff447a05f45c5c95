"""The handler: what ``workflow.run(...)`` returns, and who owns the run.

A run always has an owner that outlives it. Which one depends on what is done with the handler first:

- ``await wf.run(...)``: the awaiting task; the run happens inside it.
- ``async with wf.run(...) as run``: the block; it starts on entry, and leaving waits, or cancels and waits.
- made in a step: the run of that step, unless the step awaits it at once; it starts when the step next
  suspends.
- ``stream_events()`` or ``start()`` before any of these: the event loop, linked to the handler. A
  cancellation that reaches ``await handler`` or a loop over its stream cancels the run and waits for it;
  dropping the handler cancels it. ``Workflow(scoped_only=True)`` forbids this form, because code that neither
  awaits nor iterates is not linked.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextvars import Context as VarContext, copy_context
from functools import partial
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, cast, final

import anyio

from ._block import Block
from ._core.state import DeadLetter
from ._driver import Driver, ambient, surrounding
from ._log import logger
from ._loop import RootTask, call_soon, outlast
from ._nesting import Nesting, making, racing
from ._options import Options
from ._overlap import overlap
from ._types import R
from .blueprint import Blueprint
from .context import Context, send_from_outside
from .errors import RunEndedError, WorkflowError, near
from .events import Event

if TYPE_CHECKING:
    import anyio.lowlevel

    from ._core.counts import Counts
    from ._core.reporting import Waiting
    from ._stream import EventStream
    from .journal import Journal
    from .snapshots import SavedRun
    from .undo import UndoRecord

__all__ = ["Handler"]

# What users of LlamaIndex Workflows may look for, and what it is called here.
_OTHER_WORDS = {
    "is_done": "handler.done",
    "cancel_run": "await handler.cancel()",
    "result": "await handler",
    "exception": "handler.failures",
    "get_stop_event": "await handler, or read its stream_events() to the last",
    "stop_event_result": "await handler",
    "cancelled": "handler.done",
}


@final
class Handler(Generic[R]):
    """One run of a workflow: await it, enter it, stream it, send to it, cancel it.

    Awaiting gives the result, as often as you like, and raises what a step raised, bare; a failed run has all
    its failures in `failures`.

    Raises:
        WorkflowTimeoutError: From ``await``: the deadline passed.
        WorkflowStalledError: From ``await``: nothing was left to run.
        WorkflowCancelledError: From ``await``: somebody called `cancel`.
    """

    # Defaults stand here and not in __init__, because every run makes a handler.
    _driver: Driver | None = None
    _linked = False
    _nested = False
    _cancelled = False
    _saved: SavedRun | None = None
    _block: Block | None = None
    opens: Callable[[Driver], None] | None = None  # puts a run into its application

    def __init__(  # noqa: PLR0917 - made by Workflow.run alone, in every run
        self,
        workflow: object,
        options: Options,
        blueprint: Blueprint,
        event: Event | None,
        code: CodeType,
        line: int,
    ) -> None:
        self._workflow = workflow
        self._options = options
        self._blueprint = blueprint
        self._event = event
        self._code = code  # where the handler was made
        self._line = line
        overlap.made = self._serial = overlap.made + 1

    # -- await run -------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, R]:
        if self._driver is not None:
            return self._join().__await__()
        if self._serial != overlap.made or overlap.before is not None:
            overlap.awaited(self._serial, self._name)
        parent = None if ambient.get() is None else surrounding()
        lane = self._saved is None
        driver = self._begin(copy_context(), parent, streamed=False)
        driver.observed = True
        return driver.execute(lane=lane).__await__()

    async def _join(self) -> R:
        driver = self._started("await")
        driver.refuse_elsewhere("await")
        driver.followed = True
        self._refuse_inside(driver, "awaits")
        if driver.outcome is None:
            driver.pause_reading()
            try:
                await driver.wait()
            except BaseException:  # a cancellation, or Ctrl-C on trio
                await self._cancel_if_linked()  # noqa: ASYNC102 - it shields itself
                raise
        else:
            await anyio.lowlevel.checkpoint()
        driver.observe()
        result, error = cast("tuple[R, BaseException | None]", driver.outcome)
        if error is not None:
            raise error
        return result

    # -- async with run --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Handler[R]:
        if self._block is not None:
            raise WorkflowError(
                f"this run of {self._name} has been entered by a block already; make another run"
            )
        starts = self._driver is None
        driver = self._driver or self._begin(copy_context(), surrounding(), streamed=True)
        self._block = Block(driver)
        if starts:
            await self._block.host()
        return self

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Coroutine[Any, Any, bool | None]:
        block = self._block or Block(self._started("async with"))
        return block.leave((kind, error, trace), cancelled=self._cancelled)

    # -- made in a step, or started by itself ----------------------------------------------------------------

    def start(self) -> Handler[R]:
        """Starts the run in the background, if it has not started, and returns the handler.

        Raises:
            WorkflowError: If the workflow was made with ``scoped_only=True`` and no run is around.
        """
        if self._driver is not None:
            return self
        host = surrounding()
        if host is not None and host.machine.ended is None:
            self.start_in(host, copy_context())
        elif host is not None and host.outcome is None:
            self._nested = True
            raise RunEndedError(
                f"a step that is being ended starts a run of {self._name}, and nothing would wait for it; "
                "await it there instead"
            )
        elif self._options.scoped_only:
            self._nested = True  # it was told what to write; it need not be told that it was never used
            raise WorkflowError(
                f"{self._name} was made with scoped_only=True: start this run with await wf.run(…) or "
                "async with wf.run(…) as run"
            )
        else:
            self._linked = True
            driver = self._begin(copy_context(), None, streamed=True)
            RootTask(driver.settle)
            weakref.finalize(self, _dropped, driver, call_soon()).atexit = False
        return self

    def start_in(self, host: Driver, context: VarContext) -> None:
        """Starts the run as a nested one of `host`, if it has not started and that has not ended."""
        self._nested = True
        if self._driver is None and host.machine.ended is None:
            self._linked = True
            where = f"{os.path.basename(self._code.co_filename)}:{self._line}"  # noqa: PTH119 - 50 times as fast
            host.adopt(self._begin(context, host, streamed=True), where, context.get(racing))

    def goes_on_from(self, saved: SavedRun) -> None:
        """The run does not begin with its event alone."""
        self._saved = saved

    def _begin(
        self, context: VarContext, parent: Driver | None, *, streamed: bool, works: bool = True
    ) -> Driver:
        driver = Driver(self._workflow, self._blueprint, self._options, parent, streamed=streamed)
        self._driver = driver
        if parent is not None and parent.machine.plan.undoes:
            driver.made_by = context.get(making)
        if self.opens is not None:
            self.opens(driver)
        event, self._event = self._event, None
        self._serial = self._line = 0  # only one that is never used needs them
        saved = self._saved
        if saved is not None:  # to set it in every handler would cost each of them memory
            del self._saved
        driver.begin(event, context, saved, works=works)
        return driver

    # -- while it runs ---------------------------------------------------------------------------------------

    def stream_events(
        self,
        expose_internal: bool = False,  # noqa: FBT001, FBT002 - its known name
        *,
        origins: bool = False,
        latest: str | None = None,
        overflow: Literal["drop_oldest", "drop_newest", "fail", "wait"] | None = None,
    ) -> EventStream:
        """Iterates over what the steps write, up to the terminal event; starts the run if need be.

        Readers at the same time each see the run from its start, as far as `stream_buffer` reaches; what was
        pushed out is told as a `StreamGap`. Leaving a loop by ``break`` cancels nothing, and the next loop
        goes on there.

        Args:
            expose_internal: Whether to tell also when a step begins and ends, by `StepStateChanged`.
            origins: Whether to tell also what nested runs write, and each event in a `Streamed` that says which run
                and which step wrote it. What was written before somebody asks for it is told as a `StreamGap`.
            latest: The name of a field, for a reader who may be slow: of the events of one class that have the same
                value there, and that it has not read, it is given the latest. ``stream.superseded`` counts the others.
            overflow: What becomes of more than `stream_buffer` events that this reader has not read: ``"drop_oldest"``
                or ``"drop_newest"`` leaves these out, told as a `StreamGap` in their place; ``"fail"`` raises there;
                for ``"wait"``, ``await ctx.write(…)`` waits. What is left out by one of the first two, or by `latest`,
                is a dead letter; the oldest that is left out unasked is not.

        Raises:
            ValueError: If there is no such policy, or it does not go together with `latest`.
            TypeError: If `latest` is no name.
            StreamOverflowError: From the loop, with ``overflow="fail"``, after what it could keep.
        """
        from ._stream import EventStream, Subscription  # noqa: PLC0415

        declared = None
        if latest is not None or overflow is not None:
            from ._overflow import declared_reader  # noqa: PLC0415 - for who declares something

            declared = declared_reader(latest, overflow)
        self.start()
        driver = self._started("stream_events")
        driver.followed = True
        hub = driver.keep_merged() if origins else driver.keep_stream()
        if expose_internal:
            driver.trace_on()
        if declared is None:
            subscription: Callable[[], Subscription] = partial(Subscription, internal=expose_internal)
        else:
            subscription = declared(driver, hub, expose_internal)
        return EventStream(hub, subscription, on_cancel=self._cancel_if_linked, keep=self)

    def send_event(self, ev: Event, step: str | None = None, *, to: str | None = None) -> None:
        """Sends an event into the run, to the steps that take it or to one by name. Never waits.

        An event that no step takes is kept for the run to wait for, and is a leftover in the end. In an `Application`
        it reaches any run of the conversation: the one that waits for such an event, else the one that takes it.

        Args:
            ev: The event.
            step: The name of a step.
            to: The name of a member, in an `Application`.

        Raises:
            RunEndedError: If the run is over.
            RoutingError: If there is no step of that name, or it does not take the event; if there is no such member,
                or several runs would take it.
            QueueFullError: If the workflow has a `queue_size` and there is no room; nothing was sent.
            WorkflowError: If the run has not started.
        """
        self._started("send_event").send_from_outside(ev, step, to)

    async def send(self, ev: Event, step: str | None = None, *, to: str | None = None) -> None:
        """As `send_event`, and waits for room where the workflow has a `queue_size`, or that member has.

        Raises:
            RunEndedError: If the run is over, or ends while it waits; the event was not sent then.
            QueueFullError: If no queue of that size could ever take the event.
            RoutingError: As `send_event`.
            WorkflowError: If the run has not started.
        """
        await send_from_outside(self._started("send"), ev, step, to)

    async def cancel(self) -> None:
        """Cancels the run and waits until its steps have ended; ``await handler`` then raises.

        Raises:
            WorkflowError: If a step of this very run calls it: it would wait for itself.
        """
        if self._driver is None:
            self._cancelled = True
            await self._begin(copy_context(), None, streamed=False, works=False).abandon_and_undo(
                "before it started"
            )
            await anyio.lowlevel.checkpoint()
            return
        self._refuse_inside(self._driver, "cancels")
        self._driver.refuse_elsewhere("cancel")
        self._cancelled = True
        self._driver.cancel("by its handler")
        await outlast(self._driver.wait)

    # -- what can be seen ------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """The identity of the run; empty until it has started."""
        return "" if self._driver is None else self._driver.run_id

    @property
    def done(self) -> bool:
        """Whether the run is over and nothing of it is left."""
        return self._driver is not None and self._driver.outcome is not None

    @property
    def ctx(self) -> Context:
        """The run as a Context: ``run.ctx.send_event(...)`` sends from outside, ``run.ctx.store`` is its state.

        ``run.ctx.to_dict()`` is its snapshot, at any moment, see `Context.to_dict`.

        Raises:
            WorkflowError: If the run has not started.
        """
        from ._outside_context import OutsideContext  # noqa: PLC0415 - loaded by who uses it

        return OutsideContext(self._started("ctx"))

    @property
    def leftovers(self) -> tuple[Event, ...]:
        """Events that were taken in and not used: queued, half collected, kept, or returned too late."""
        return (
            () if self._driver is None else cast("tuple[Event, ...]", tuple(self._driver.machine.leftovers()))
        )

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Events that nobody took, each with the reason; of more than a thousand the last ones.

        In an `Application` those of all of its conversation, each with the member.
        """
        driver = self._driver
        if driver is None:
            return ()
        return tuple(driver.machine.dead_letters or ()) if driver.around is None else driver.around.letters()

    @property
    def failures(self) -> tuple[BaseException, ...]:
        """What steps raised, the first failure first; not what was tried again or recovered."""
        return () if self._driver is None else tuple(self._driver.machine.errors or ())

    @property
    def undone(self) -> tuple[UndoRecord, ...]:
        """What became of the undos of a run that has failed, last completed step first, see ``@step(undo=…)``.

        In an `Application` those of all of its conversation.
        """
        undos = None if self._driver is None else self._driver.machine.undos
        return () if undos is None else tuple(undos.records)

    @property
    def workflow(self) -> Any:  # noqa: ANN401 - a Workflow, which stands above
        """The workflow that runs."""
        return self._workflow

    @property
    def counts(self) -> Counts:
        """How often each step was given an event and each event was sent so far.

        They are kept for every run, and what `stretto.drawing.draw_most_recent_execution` draws. A run that goes on
        from a snapshot counts from there.
        """
        from ._core.counts import Counts  # noqa: PLC0415 - for who looks, as below

        driver = self._driver
        return Counts(begun={}, sent={}, taken={}) if driver is None else driver.machine.counts()

    @property
    def journal(self) -> Journal:
        """What happened so far, with times and causes, if the workflow was made with ``journal=10_000``.

        Raises:
            WorkflowError: If it was not, or the run has not started.
        """
        trace = self._started("journal").trace
        if trace is None or trace.journal is None:
            raise WorkflowError(
                f"this run of {self._name} keeps no journal; make the workflow with {self._name}(journal=10_000), "
                "and its runs keep so many entries"
            )
        return trace.journal

    def report(self, filename: str | os.PathLike[str]) -> None:
        """Writes what happened so far as a page: one HTML file that asks no host for anything and runs no script.

        With ``journal=10_000`` it has a line for each worker of each step, what waited for how long, and each event
        with its cause. What it shows of values is their `repr`, cut at a few lines.

        Args:
            filename: Where to; it ends in ``.html``.

        Raises:
            WorkflowError: If the run has not started.
            ValueError: If the file is not to be a page.
        """
        from .report import write_report  # noqa: PLC0415 - for who asks for one

        write_report(self, self._started("report"), self._blueprint, filename)

    @property
    def queued(self) -> Mapping[str, int]:
        """For each step, how many events wait for one of its workers, or to be tried again; steps of which some do."""
        from ._core.reporting import queued_in  # noqa: PLC0415

        driver = self._driver
        return {} if driver is None or driver.machine.ended else queued_in(driver.machine)

    @property
    def waiting_for(self) -> tuple[Waiting, ...]:
        """What the run waits for: steps in `Context.wait_for_event`, then steps that take events from outside.

        In an `Application` that of all runs of its conversation, each with the member.
        """
        driver = self._driver
        if driver is None or driver.outcome is not None:
            return ()
        if driver.around is not None:
            return tuple(driver.around.waiting_for())
        from ._core.reporting import awaited  # noqa: PLC0415

        return () if driver.machine.ended else tuple(awaited(driver.machine))

    @property
    def idle(self) -> bool:
        """Whether nothing can happen in it but by its deadline, unless somebody outside sends it an event.

        No step is at work or about to be, and no wait ends by a timeout of its own. `waiting_for` says which events
        would help. In an `Application` it is said of all runs of its conversation.
        """
        driver = self._driver
        if driver is None or driver.outcome is not None:
            return False
        from ._core.reporting import is_idle  # noqa: PLC0415

        return is_idle(driver.machine) if driver.around is None else driver.around.is_idle()

    # -- helpers ---------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self._blueprint.name

    def _started(self, what: str) -> Driver:
        if self._driver is None:
            raise WorkflowError(
                f"{what}: the run of {self._name} has not started; write async with wf.run(…) as run, or start it "
                "with run.start()"
            )
        return self._driver

    def _refuse_inside(self, driver: Driver, does: str) -> None:
        around: Nesting | None = surrounding()
        while around is not None:
            if around is driver and driver.outcome is None:
                raise WorkflowError(
                    f"a step of {self._name} {does} the run it belongs to, and would wait for itself; "
                    "return a StopEvent to end the run"
                )
            around = around.parent

    async def _cancel_if_linked(self) -> None:
        driver = self._driver
        if self._linked and driver is not None:
            driver.cancel("because who waited for it was cancelled")
            await outlast(driver.wait)

    def __getattr__(self, name: str) -> object:
        ours = _OTHER_WORDS.get(name)
        names = [known for known in dir(type(self)) if not known.startswith("_")]
        hint = f"; write {ours}" if ours else near(name, names)
        # No `obj`: with it Python adds a hint of its own.
        raise AttributeError(f"Handler has no {name!r}{hint}", name=name)

    def __repr__(self) -> str:
        driver = self._driver
        if driver is None:  # as asyncio.run(wf.run()) and create_task(wf.run()) show it in their errors
            return (
                f"<Handler of {self._name}: not started; await it, or write {self._name}().execute(…), which is a "
                "coroutine>"
            )
        undos = driver.machine.undos
        state = "running" if undos is None or not undos.going_on else "undoing"
        return f"<Handler of {self._name}: {state if driver.outcome is None else 'done'}>"

    def __del__(self) -> None:
        if self._driver is None and "_serial" in self.__dict__ and not self._nested:
            warnings.warn_explicit(
                f"the handler that {self._name}.run() made at {self._code.co_filename}:{self._line} was never "
                f"used; write await {self._name}().run(…) in an async function, and where a function or a coroutine is "
                f"wanted anyio.run({self._name}().execute), asyncio.run({self._name}().execute(…)) or "
                f"tg.start_soon({self._name}().execute, …)",
                RuntimeWarning,
                self._code.co_filename,
                self._line,
            )


def _dropped(driver: Driver, soon: Callable[[Callable[[], object]], object]) -> None:
    """The handler of a run that the loop hosts is gone."""
    if driver.outcome is None:
        try:
            soon(lambda: driver.cancel("because its handler was dropped"))
        except RuntimeError:  # the loop is closed, and with it the run has ended
            return
    elif driver.outcome[1] is not None and not driver.observed and not driver.was_cancelled:
        logger().error(
            "a run of %s failed and nobody awaited it: %r", driver.machine.plan.name, driver.outcome[1]
        )
