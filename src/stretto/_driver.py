"""The driver of one run: it performs what the machine decides, on anyio.

The shape is leader/followers. The task that runs the run is its first worker, the leader. While more is ready
than its workers take, one spare task that has not begun stands by: a step that blocks is overtaken by the
spare, and steps that never block cost no task. A leader with nothing to do waits in the queue and is the
spare meanwhile.

A run of steps that can neither send nor fan out needs one worker only, so it is run *in the lane*: without a
task group, in the one cancel scope that holds the deadline. The first delivery that does not fit there opens
the group.
"""

from __future__ import annotations

import math
import os
from _thread import get_ident  # as threading has it, without the import
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context as VarContext, ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, final

import anyio

from ._carry import carried
from ._config import Configs
from ._core.effects import Effects, EndRun, Kept, Publish, Resume
from ._core.inputs import (
    Admitted,
    Begun,
    CancelAsked,
    Concluded,
    DeadlinePassed,
    Ending,
    FeederClosed,
    FeederOpened,
    Interrupted,
)
from ._core.machine import Machine
from ._core.state import DeadLetter, Delivery, Ended
from ._editor import Editor
from ._grace import Grace
from ._log import logger
from ._loop import RootTask, loop_port, native_cancellations_before, outlast
from ._options import Options
from ._queue import ReadyQueue
from ._stock import Stock
from ._stream import Hub
from ._trace import Trace
from ._worker import Worker
from .blueprint import Blueprint
from .errors import InternalError, RunEndedError, WorkflowError, leaves, shown, without
from .events import Event
from .limits import Limit, Line
from .steps import StepSpec

if (
    TYPE_CHECKING
):  # anyio loads its parts when they are used, and importing all of them takes longer than stretto
    from anyio.abc import TaskGroup

__all__ = ["Driver", "ambient", "gate", "surrounding"]

# The run whose step is on the stack, for a nested run to belong to.
ambient: ContextVar[Driver | None] = ContextVar("stretto_ambient", default=None)


def surrounding() -> Driver | None:
    """The run whose step is on the stack, if it is one of this thread's loop; see if `ambient` has one first."""
    host = ambient.get()
    return host if host is not None and host.thread == get_ident() else None


# The one seam for tests: awaited before a step body, before its result is dispatched, and in ctx.sleep.
gate: Callable[[str], Awaitable[None]] | None = None


@final
class Driver:
    """One run: its machine, its workers, its queue and its stream.

    Attributes:
        outcome: The result and the error, once the run is over and nothing of it is left.
        inside: Whether code of its steps is on the stack.
        fresh: What starts the nested runs that the present step made and has not awaited.
        observed: Whether somebody was told of the outcome.
        followed: Whether somebody awaits it, or reads its stream.
        unstreamed: How many events were written while nobody kept a stream.
        line: Where it waits for its turn among the runs of its workflow, or has it; None if these are not limited.
    """

    # What few runs need is set when it is needed: a smallest run takes no longer than to fill in a dozen
    # fields.
    inside = False
    observed = False
    followed = False
    outcome: tuple[Any, BaseException | None] | None = None
    scope: anyio.CancelScope | None = None
    hub: Hub | None = None
    trace: Trace | None = None
    fresh: list[Callable[[], None]] | None = None
    unstreamed = 0
    _run_id: str | None = None
    _tg: TaskGroup | None = None
    _first: Delivery | None = None
    _working = False
    _workers = 0
    _grace: Grace | None = None
    _left_by_cancellation = False
    _finished: anyio.Event | None = None
    _hosted: dict[RootTask, None] | None = None
    _children: dict[Driver, None] | None = None
    _editor: Editor | None = None
    _stock: Stock | None = None
    line: Line | None = None

    def __init__(
        self,
        workflow: object,
        blueprint: Blueprint,
        options: Options,
        parent: Driver | None,
        *,
        streamed: bool,
    ) -> None:
        self.workflow = workflow
        self.specs = blueprint.specs
        self.parent = parent
        self.thread = get_ident()
        self.gate = gate
        self.queue = ReadyQueue()
        self.clock, self.checkpoint, self.cancelled = loop_port()
        self._options = options
        begun = self.clock()
        self.timed = options.timeout is not None
        deadline = math.inf if options.timeout is None else begun + options.timeout
        self.machine = Machine(blueprint.plan, begun, deadline, options.collect_limit)
        if streamed:
            self.keep_stream()
        if options.verbose:
            self.trace_on()

    @property
    def run_id(self) -> str:
        """Twelve hexadecimal digits."""
        if self._run_id is None:
            self._run_id = os.urandom(6).hex()
        return self._run_id

    @property
    def was_cancelled(self) -> bool:
        """Whether the run ended because it was cancelled, and by nothing else."""
        return self.machine.ended is Ended.CANCELLED and not self.machine.errors

    def remaining(self) -> float | None:
        """Seconds to the deadline, or None."""
        deadline = self.machine.deadline
        return None if deadline == math.inf else deadline - self.clock()

    # -- the life of a run -----------------------------------------------------------------------------------

    def begin(self, event: Event, context: VarContext) -> None:
        """Gives the machine its first event; nothing runs yet."""
        context.run(ambient.set, self)
        for effect in self.machine.event_sent(event, context, at=self.machine.begun):
            if type(effect) is not Delivery:
                self.perform((effect,))
            elif self._first is None:
                self._first = effect
            else:
                self.push(effect)
        if not self.machine.active:
            self.perform(self.machine.receive(Begun()))
        runs: Limit | None = getattr(self.workflow, "_stretto_runs", None)
        if runs is not None:
            self._queue_up(runs.line())

    async def execute(self, *, lane: bool = False) -> Any:  # noqa: ANN401 - the result of the workflow
        """Runs to the end inside the present task. When it returns or raises, nothing of the run is left.

        Args:
            lane: Whether a run of steps that cannot send may go without a task group.
        """
        try:
            if self.line is not None:
                await self._await_turn(self.line)
            self._working = True
            first, self._first = self._first, None
            leader = Worker(
                self, copy_context() if first is None else first.carry, native_cancellations_before()
            )
            if lane and first is not None and not self.queue.ready and self.specs[first.step.index].in_lane:
                first = await self._in_lane(leader, first)
            if self.machine.ended is None:
                await self._in_group(leader, first)
            if self._hosted or self._children:
                await self._end_nested()
                leader.suspended = True
            if leader.ever_hit or (leader.suspended and anyio.current_effective_deadline() == -math.inf):
                await leader.pass_on_cancellation()
            if self._stock is not None:
                await self._stock.close(self.machine.error)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - told to the machine, or raised again
            await self._cut_short(error)  # noqa: ASYNC102 - it shields what it waits for
        result, failure = self._conclude()
        if failure is not None:
            raise failure
        return result

    async def settle(self) -> BaseException | None:
        """As `execute` in a task of its own: what failed is not raised but kept, and returned."""
        try:
            await self.execute()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - the owner of the task decides who is told
            if self.outcome is None:  # Ctrl-C, before it could be told to the machine
                self.machine.receive(Interrupted(error=error))
                self._conclude()
            return error
        return None

    async def _in_lane(self, leader: Worker, delivery: Delivery) -> Delivery | None:
        """Runs steps that can neither send nor fan out; gives the first delivery that does not fit."""
        # Cheaper than CancelScope(), which anyio initialises twice, and than a deadline that is set inside.
        scope = anyio.move_on_after(None)  # noqa: ASYNC122
        if self.timed:
            scope.deadline = self.machine.deadline
        with scope:
            self.scope = scope
            leader.in_lane = True
            await self.checkpoint()
            self._workers += 1
            try:
                following: Delivery | None = await carried(leader, leader.work(delivery))
            finally:
                self._worker_left()
            leader.in_lane = False
            return following
        self.note_deadline()
        return None

    async def _in_group(self, leader: Worker, delivery: Delivery | None) -> None:
        async with anyio.create_task_group() as tg:
            self._tg, self.scope = tg, tg.cancel_scope
            if self.timed:
                tg.cancel_scope.deadline = self.machine.deadline
            if self.queue.ready:
                self.spawn_spare()
            self._workers += 1
            try:
                await carried(leader, leader.work(delivery))
            except self.cancelled:
                self._leave_by_cancellation()
                self.cancel("by its caller")
                raise
            finally:
                self._worker_left()
        self._tg = None
        self.note_deadline()

    async def _cut_short(self, error: BaseException) -> None:
        """Something came out that is no end of a run: the caller's cancellation, Ctrl-C, or a bug of ours."""
        self._tg = None
        try:
            await self._end_nested()
        except anyio.get_cancelled_exc_class() as again:  # noqa: ASYNC103 - raised below
            error = again
        self._interrupted(error)
        if self._stock is not None:
            try:
                await self._stock.close(self.machine.error)
            except anyio.get_cancelled_exc_class() as again:  # noqa: ASYNC103 - raised below
                error = again
        if isinstance(error, self.cancelled) and not self.machine.errors:
            self._conclude()
            raise error

    def _interrupted(self, error: BaseException) -> None:
        if isinstance(error, self.cancelled):
            self.machine.receive(CancelAsked(why="by its caller", at=self.clock(), by_caller=True))
            return
        causes = leaves(without(error, self.cancelled))
        broken = next((leaf for leaf in causes if not isinstance(leaf, Exception)), None)
        if broken is None:
            broken = InternalError(
                f"stretto failed while it ran {self.machine.plan.name}; please report this"
            )
            broken.__cause__ = causes[0]
        self.machine.receive(Interrupted(error=broken))

    def _conclude(self) -> tuple[Any, BaseException | None]:
        """The outcome is settled: the stream gets its last event, and who waits is told."""
        machine = self.machine
        if machine.mailbox is not None or machine.waiters is not None:
            self.perform(machine.receive(Concluded()))
        error = machine.error()
        self.outcome = (machine.result, None) if error is None else (None, error)
        if self.hub is not None:
            self.hub.close(machine.terminal_event())
            self.publish = self._publish_late  # type: ignore[method-assign]
        self.queue.close()
        if self._finished is not None:
            self._finished.set()
        if self.line is not None:
            self.line.leave(self)
        self._tg = self.scope = None
        self._working = False
        return self.outcome

    async def wait(self) -> None:
        """Waits until the outcome is settled."""
        if self.outcome is None:
            if self._finished is None:
                self._finished = anyio.Event()
            await self._finished.wait()

    def cancel(self, why: str) -> None:
        """Cancels the run; its steps may still clean up."""
        if self.outcome is None:
            self.perform(self.machine.receive(CancelAsked(why=why, at=self.clock())))

    def abandon(self, why: str) -> None:
        """Cancels a run that was never executed."""
        self.cancel(why)
        self._conclude()

    # -- effects ---------------------------------------------------------------------------------------------

    def perform(self, effects: Effects) -> None:
        """Does what the machine asks for; never awaits."""
        for effect in effects:
            match effect:
                case EndRun():
                    self.end()
                case Delivery():
                    self.push(effect)
                case Publish(event=event):
                    self.publish(event)
                case Kept(event=event, reason=reason):
                    logger().warning(
                        "%s: %s is kept in case that a step waits for it: %s",
                        self.machine.plan.name,
                        shown(event),
                        reason,
                    )
                case Resume(waiter=waiter):
                    waiter.wake()
                case DeadLetter(event=event, reason=reason):
                    logger().warning("%s: dead letter %s: %s", self.machine.plan.name, shown(event), reason)

    def push(self, delivery: Delivery) -> None:
        """A delivery is ready: it starts when its turn comes."""
        if not self._working and self._first is None:
            self._first = delivery
        elif self.queue.put(delivery) and self._working:
            self.spawn_spare()

    def end(self) -> None:
        """The run is decided: what still works is cancelled; a spare that has not begun ends by itself."""
        self.queue.wake()
        if self.machine.waiters is not None:
            self.perform(self.machine.receive(Ending()))
        if self.line is not None:
            self.line.wake(self)
        active = self.machine.active
        at_work = active and any(each.started is not None for each in active)
        if at_work or self._children or self._hosted or self.machine.waiters:
            if self.scope is not None:
                self.scope.cancel()
            for task in self._hosted or ():
                task.cancel()
            self.watch()

    def refuse_elsewhere(self, what: str) -> None:
        """Raises unless this is the thread of the run's loop.

        Raises:
            WorkflowError: If it is another.
        """
        if self.thread != get_ident():
            how = "run_sync(run.send_event, ev)" if what == "send_event" else "run(run.cancel)"
            raise WorkflowError(
                f"{what} for a run of {self.machine.plan.name} in another thread; write anyio.from_thread.{how}"
            )

    def send_from_outside(self, event: Event, step: str | None) -> None:
        """Sends an event as one who is no step of the run.

        Raises:
            RunEndedError: If the run is over.
            WorkflowError: From another thread than that of its loop.
        """
        self.refuse_elsewhere("send_event")
        ended = self.machine.ended
        if ended is not None:
            name = self.machine.plan.name
            raise RunEndedError(f"{shown(event)} came too late: the run of {name} is over, {ended.value}")
        context = copy_context()
        context.run(ambient.set, self)
        self.perform(self.machine.event_sent(event, context, step, at=self.clock(), outside=True))

    # -- the stream and the trace ----------------------------------------------------------------------------

    def keep_stream(self) -> Hub:
        """The stream, kept from now on if it was not before."""
        if self.hub is None:
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
            self.trace = Trace(
                lambda: self.run_id, self.machine.begun, self.hub, verbose=self._options.verbose
            )

    # -- its state -------------------------------------------------------------------------------------------

    def editor(self) -> Editor:
        """The state of the run; made when somebody first asks for it."""
        if self._editor is None:
            plan = self.machine.plan
            self._editor = Editor(plan.state, plan.name)
        return self._editor

    # -- tasks -----------------------------------------------------------------------------------------------

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """A task of this run: in its task group, or at the root of the loop while none is open."""
        if self._tg is not None:
            self._tg.start_soon(self._member, work)
        else:
            if self._hosted is None:
                self._hosted = {}
            self._hosted[RootTask(work, self._hosted)] = None

    async def _member(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except self.cancelled:
            self._leave_by_cancellation()
            raise

    def _leave_by_cancellation(self) -> None:
        """A task of the group is about to end by a cancellation: looks at it before the group does.

        For the group cancels its own scope then, and afterwards that would look as if the deadline had passed.
        """
        self.note_deadline()
        self._left_by_cancellation = True

    def spawn_spare(self) -> None:
        """Starts one more worker."""
        self.queue.spare = True
        self._spawn(self._follow)

    async def _follow(self) -> None:
        """One more worker. It begins nothing in a run that is over or being cancelled."""
        queue = self.queue
        queue.spare = False
        if (
            not queue.ready
            or self.machine.ended is not None
            or anyio.current_effective_deadline() == -math.inf
        ):
            return
        delivery = queue.ready.popleft()
        worker = Worker(self, delivery.carry)
        self._workers += 1
        try:
            await carried(worker, worker.work(delivery))
        except self.cancelled:
            raise
        except BaseException as error:  # noqa: ASYNC103, BLE001 - Ctrl-C between two steps, or a bug; both end the run
            self.perform(self.machine.receive(Interrupted(error=error)))
        finally:
            self._worker_left()

    def _worker_left(self) -> None:
        self._workers -= 1
        if not self._workers and self._grace is not None:
            self._grace.all_ended()

    def attend(self, ended: anyio.Event) -> None:
        """Names a step in a thread that does not end after the run was cancelled."""
        self._spawn(partial(self._patience().attend, ended))

    def watch(self) -> None:
        """Sees to it that steps which do not end after a cancellation are named."""
        if self._workers and (self._tg is not None or self.machine.ended is not None):
            self._patience().watch()

    def _patience(self) -> Grace:
        if self._grace is None:
            self._grace = Grace(self.machine, self._options.grace, self._spawn)
        return self._grace

    def note_cancellation(self, *, idle: bool) -> None:
        """A worker is about to be hit by a cancellation; an idle one only by one of the whole run."""
        self.note_deadline()
        if idle:
            self.watch()

    def note_deadline(self) -> None:
        """If our own scope was cancelled, and not by us, the deadline has passed."""
        scope = self.scope
        if scope is None or self.machine.ended is not None or self._left_by_cancellation:
            return
        if scope.cancel_called and (now := self.clock()) >= self.machine.deadline:
            self.perform(self.machine.receive(DeadlinePassed(at=now)))

    # -- resources, and the turns of runs --------------------------------------------------------------------

    async def supply(self, spec: StepSpec) -> dict[str, object]:
        """The resources that a step asks for, by parameter."""
        if self._stock is None:
            self._stock = Stock(
                self.machine.plan.name,
                self._options.grace,
                vars(self.workflow).setdefault("_stretto_configs", Configs()),
                self._resource_failed,
                self,
                getattr(self.workflow, "_stretto_stock", None),
            )
        return await self._stock.fill(spec.needs, spec.label)

    def _resource_failed(self, error: BaseException) -> None:
        self.perform(self.machine.receive(Interrupted(error=error)))

    def _queue_up(self, line: Line) -> None:
        """Joins the runs of its workflow that are at work; one that would wait for its own ancestor has failed."""
        self.line = line
        if line.join(self):
            return
        around = self.parent
        while around is not None:
            if around.line is line:
                name = self.machine.plan.name
                self.machine.receive(Interrupted(error=WorkflowError(
                    f"a run of {name} is nested in another one of the same workflow object, whose num_concurrent_runs "
                    f"are all at work: it would wait for its own ancestor; raise that number, or make another {name}(…)"
                )))  # fmt: skip
                return
            around = around.parent

    async def _await_turn(self, line: Line) -> None:
        """Waits until fewer runs of the workflow are at work than may be, or until this one is over."""
        if self.machine.ended is None:
            await line.wait(self)
            self.machine.receive(Admitted(at=self.clock()))

    # -- nested runs -----------------------------------------------------------------------------------------

    def start_later(self, start: Callable[[], None]) -> None:
        """A step made a nested run; it starts when the step suspends or ends, if not awaited by then."""
        if self.fresh is None:
            self.fresh = []
        self.fresh.append(start)

    def start_fresh(self) -> None:
        """Starts the nested runs that a step made and has not awaited."""
        fresh, self.fresh = self.fresh, None
        for start in fresh or ():
            start()

    def adopt(self, child: Driver, where: str) -> None:
        """A nested run, made at `where`, starts in this run's task group, and never outlives it."""
        if self._children is None:
            self._children = {}
        self._children[child] = None
        self.machine.receive(FeederOpened())
        self._spawn(partial(self._host, child, where))

    async def _host(self, child: Driver, where: str) -> None:
        try:
            failure = await child.settle()
        except anyio.get_cancelled_exc_class():
            if self.machine.ended is Ended.STOPPED and not child.followed:
                logger().warning(
                    "a run of %s made at %s was cancelled, because %s had its result and nobody awaited that run; "
                    "write await in front of it",
                    child.machine.plan.name,
                    where,
                    self.machine.plan.name,
                )
            raise
        if failure is None or child.observed or child.was_cancelled:
            self.forget(child)
        told = None if failure is None or isinstance(failure, Exception) else failure  # Ctrl-C does not wait
        self.perform(self.machine.receive(FeederClosed(error=told, at=self.clock())))

    def forget(self, child: Driver) -> None:
        """The outcome of a nested run is nobody's business any more."""
        if self._children is not None:
            self._children.pop(child, None)

    def observe(self) -> None:
        """Somebody was told of the outcome."""
        self.observed = True
        if self.parent is not None:
            self.parent.forget(self)

    async def _end_nested(self) -> None:
        """Cancels what the run hosts, waits for it, and takes up the failures that nobody was told of."""
        hosted = tuple(self._hosted or ())
        for task in hosted:
            task.cancel()
        try:
            await outlast(partial(_wait_for_all, hosted))
        finally:
            children, self._children = self._children or (), None
            for child in children:
                _, error = child.outcome or (None, None)
                if error is not None and not child.was_cancelled:
                    self.machine.receive(FeederClosed(error=error))


async def _wait_for_all(tasks: Sequence[RootTask]) -> None:
    for task in tasks:
        await task.wait()
