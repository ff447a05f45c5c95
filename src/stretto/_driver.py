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
from contextvars import Context as VarContext, ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, final

import anyio

from ._among import behalf
from ._carry import carried
from ._concluding import Concluding
from ._core.effects import (
    Abort,
    Belated,
    Closed,
    Effects,
    EndRun,
    Kept,
    Outward,
    Publish,
    Quiet,
    Resume,
    Retry,
    Rouse,
    Undo,
)
from ._core.inputs import Begun, Interrupted, RetryDue
from ._core.machine import Machine
from ._core.state import DeadLetter, Delivery
from ._log import logger
from ._loop import loop_port, native_cancellations_before
from ._options import Options
from ._queue import ReadyQueue
from ._worker import Worker
from .blueprint import Blueprint
from .errors import RoutingError, RunEndedError, WorkflowError, shown
from .events import Event

if TYPE_CHECKING:
    from ._gate import Gate
    from .snapshots import SavedRun

__all__ = ["Driver", "ambient", "gate", "surrounding"]

# The run whose step is on the stack, for a nested run to belong to.
ambient: ContextVar[Driver | None] = ContextVar("stretto_ambient", default=None)


def surrounding() -> Driver | None:
    """The run whose step is on the stack, if it is one of this thread's loop; see if `ambient` has one first."""
    host = ambient.get()
    return host if host is not None and host.thread == get_ident() else None


# How what cannot be done in another thread is done from there.
_FROM_A_THREAD = {
    "send_event": "run_sync(run.send_event, ev)",
    "to_dict": "run_sync(run.ctx.to_dict)",
    "await": "run(run.cancel)",
    "cancel": "run(run.cancel)",
}


gate: Gate | None = None  # the one seam for tests


@final
class Driver(Concluding):
    """One run: its machine, its workers, its queue and its stream.

    Attributes:
        inside: Whether code of its steps is on the stack.
    """

    # What few runs need is set when it is needed: a smallest run takes no longer than to fill in a dozen
    # fields.
    inside = False
    scope: anyio.CancelScope | None = None

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
        self.clock, self.checkpoint, self.cancelled, self._new_scope = loop_port()
        self._options = options
        begun = self.clock()
        self.timed = options.timeout is not None or blueprint.timed
        deadline = math.inf if options.timeout is None else begun + options.timeout
        self.machine = Machine(blueprint.plan, begun, deadline, options.collect_limit)
        if options.queue_size is not None:
            self._bound(options.queue_size, options.overflow)
        if blueprint.overloaded:
            self.hold_back()
        if parent is not None:
            self.machine.outlet = True
            self.timed = self.timed or parent.timed  # its times count for a deadline around it
        if streamed:
            self.keep_stream()
        if options.traced:
            self.trace_on()
        if self.gate is not None:
            self.gate.opened(self)

    def _bound(self, queue_size: int, overflow: str | None) -> None:
        if overflow is None:
            self.machine.bound(queue_size)
        else:
            self.machine.shed(queue_size, newest=overflow == "drop_newest")

    @property
    def run_id(self) -> str:
        """Twelve hexadecimal digits."""
        if self._run_id is None:  # threads ask too: what came first stays
            return str(vars(self).setdefault("_run_id", os.urandom(6).hex()))
        return self._run_id

    # -- the life of a run -----------------------------------------------------------------------------------

    def begin(
        self, event: Event | None, context: VarContext, saved: SavedRun | None = None, *, works: bool = True
    ) -> None:
        """Gives the machine its first event, or what a snapshot of it has; nothing runs yet.

        Args:
            event: Its first event; None if the snapshot has what it goes on with.
            context: The context variables that it begins with.
            saved: The snapshot.
            works: Whether it is to be at work at all, and so in need of a place among the runs of its workflow.
        """
        context.run(ambient.set, self)
        if self.parent is not None:
            self.join_journals(context)
        if self.around is not None:
            context.run(behalf.set, self.caller)
        runs: Any = getattr(self.workflow, "_stretto_runs", None)  # a Limit
        if runs is not None:
            self.machine.await_turn()
        if saved is not None:
            effects = self.take_up(saved, event, context)
            self.timed = self.timed or self.machine.deadline < math.inf
        else:
            assert event is not None, "begun twice"
            effects = self.machine.event_sent(event, context, at=self.machine.begun)
        self._take_first(effects)
        if not self.machine.active:
            self.perform(self.machine.receive(Begun()))
        if runs is not None and works:
            self._queue_up(runs.line())
        if self.around is not None:
            self.around.note(self)

    def _take_first(self, effects: Effects) -> None:
        """Does what is to be done before anything runs; the first that is ready is for the leader."""
        for effect in effects:
            if type(effect) is not Delivery:
                self.perform((effect,))
            elif self._first is None:
                self._first = effect
            else:
                self.push(effect)

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
            if self.around is not None and self.around.root is self:
                await self.around.enclose(partial(self._to_its_end, leader, first))
                await leader.pass_on_cancellation()  # one that came while the others were waited for
            else:
                if lane and first is not None and self._fits_lane(first):
                    first = await self._in_lane(leader, first)
                if self.machine.ended is None:
                    await self._in_group(leader, first)
                if leader.suspended or self._hosted or self._children or self._stock:
                    await self._settle_rest(leader)
            if (self.machine.undos is not None or self.around is not None) and self.machine.ended is not None:
                await self._undo()  # also what a resource has broken as it was torn down
        except BaseException as error:  # noqa: ASYNC103, BLE001 - told to the machine, or raised again
            await self._cut_short(error)  # noqa: ASYNC102 - it shields what it waits for
        if self.machine.ended is None:
            self.scope = None
            return None  # it has nothing to do for now, and goes on when another run sends to it
        result, failure = self._conclude()
        if failure is not None:
            raise failure
        return result

    def _fits_lane(self, first: Delivery) -> bool:
        return self.specs[first.step.index].in_lane and not self.queue.ready and self.around is None

    async def _to_its_end(self, leader: Worker, first: Delivery | None) -> None:
        if self.machine.ended is None:
            await self._in_group(leader, first)
        await self._settle_rest(leader)

    async def _settle_rest(self, leader: Worker) -> None:
        if self._hosted or self._children:
            await self._end_nested()
            leader.suspended = True
        if leader.ever_hit or (leader.suspended and anyio.current_effective_deadline() == -math.inf):
            await leader.pass_on_cancellation()
        if self._stock is not None:
            if self.machine.undos is not None and self.around is None:
                await self._undo()  # while the resources are there
            await self._stock.close(self.machine.error)
            if self.machine.ended is None:
                self._stock = None  # when it works again, it is handed new ones

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
        with self._new_scope(deadline=self.machine.deadline) as self.scope:
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
            if self._due:
                due, self._due = self._due, ()
                self.perform(due)
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

    # -- effects ---------------------------------------------------------------------------------------------

    def perform(  # noqa: C901, PLR0912, PLR0915 - one branch for each effect there is
        self, effects: Effects, sender: str | None = None
    ) -> None:
        """Does what the machine asks for; never awaits. If a step has sent or returned what it is about, says so."""
        for effect in effects:
            match effect:
                case EndRun():
                    self.end()
                case Delivery():
                    self.push(effect)
                case Outward():
                    self._send_outward(effect, sender)
                    if len(effects) == 1:
                        return  # what it lets out changes nothing in it
                case Publish(event=event):
                    self.publish(event)
                    if self.parent is not None or self.merged is not None:
                        self.spread(event, None if sender is None else _name_in(sender))
                case Kept(event=event, reason=reason):
                    logger().warning(
                        "%s: %s%s is kept in case that a step waits for it: %s",
                        self.machine.plan.name,
                        shown(event),
                        _from(sender),
                        reason,
                    )
                case Resume(waiter=waiter):
                    waiter.wake()
                case Abort(delivery=delivery):
                    if self.abortable is not None and delivery in self.abortable:
                        self.abortable[delivery].cancel()
                case Retry():
                    self._set_timer(effect)
                case Rouse(lane=lane):
                    lane.wake(lane)
                case DeadLetter(event=event, reason=reason, just_sent=just_sent, meant=meant):
                    tell = logger().info if meant else logger().warning
                    tell(
                        "%s: dead letter %s%s: %s",
                        self.machine.plan.name,
                        shown(event),
                        _from(sender if just_sent else None),
                        reason,
                    )
                    if self.around is not None:
                        self.around.dead(effect, self)
                case Belated(effect=later, by=by):
                    self.perform((later,), by)
                case Closed():
                    if self.around is not None:
                        self.around.closed(self)
                case Quiet():
                    if self.idle_for_good:
                        self.queue.wake()
                case Undo():
                    pass  # who undoes has asked for it, and does it
        if self.around is not None:
            self.around.note(self)

    def push(self, delivery: Delivery) -> None:
        """A delivery is ready: it starts when its turn comes."""
        queue = self.queue
        if queue.spare and queue.ready and self._working:  # as ReadyQueue.put
            queue.ready.append(delivery)
        elif not self._working and self._first is None:
            self._first = delivery
        elif queue.put(delivery) and self._working:
            self.spawn_spare()

    def refuse_elsewhere(self, what: str) -> None:
        """Raises unless this is the thread of the run's loop.

        Raises:
            WorkflowError: If it is another.
        """
        if self.thread != get_ident():
            how = _FROM_A_THREAD[what]
            raise WorkflowError(
                f"{what} for a run of {self.machine.plan.name} in another thread; write anyio.from_thread.{how}"
            )

    def make_ambient(self, context: VarContext) -> None:
        """What runs in this context belongs to the run."""
        context.run(ambient.set, self)

    def send_from_outside(self, event: Event, step: str | None, to: str | None = None) -> None:
        """Sends an event as one who is no step of the run.

        Raises:
            RunEndedError: If the run is over.
            RoutingError: If nobody can be meant by `to`.
            WorkflowError: From another thread than that of its loop.
        """
        self.refuse_elsewhere("send_event")
        ended = self.machine.ended
        if ended is not None:
            name = self.machine.plan.name
            raise RunEndedError(f"{shown(event)} came too late: the run of {name} is over, {ended.value}")
        if self.around is not None:
            self.around.send_from_outside(event, step, to)
            return
        if to is not None:
            raise RoutingError(
                f"{shown(event)} was sent to={shown(to)}, and this run of {self.machine.plan.name} is no member of an "
                "Application; leave out to=, or name a step: step='…'"
            )
        context = self.outside_context()
        effects = self.machine.event_sent(event, context, step, at=self.clock(), outside=True)
        if self.trace is not None:
            self.trace.came(event)
        self.perform(effects)

    def run_of(self, carry: VarContext) -> Driver | None:
        """The run that something with these context variables was a step of."""
        return carry.get(ambient)

    def outside_context(self) -> VarContext:
        """The context variables of what somebody outside sends now; a step that it starts belongs to this run."""
        context = copy_context()
        context.run(ambient.set, self)
        return context

    # -- workers ---------------------------------------------------------------------------------------------

    def spawn_spare(self) -> None:
        """Starts one more worker."""
        self.queue.spare = True
        self._spawn(self._follow)

    def _set_timer(self, alarm: Retry) -> None:
        """Now, or when there is a task group for it: the run does not work yet, or rests."""
        if self._tg is None or not self._working:
            self._due = [*self._due, alarm]
        else:
            self._timers += 1
            self._spawn(partial(self._try_again, alarm.at))

    async def _try_again(self, at: float) -> None:
        """Waits until a step is to be tried again, or a window ends; at the end of the run the wait is cancelled."""
        try:
            await anyio.sleep_until(at)
        finally:
            self._timers -= 1
        self.perform(
            self.machine.receive(RetryDue(at=max(at, self.clock())))
        )  # a timer may be early by a hair

    async def _follow(self) -> None:
        """One more worker. It begins nothing in a run that is over or being cancelled."""
        queue = self.queue
        queue.spare = False
        if (
            not queue.ready
            or self.machine.ended is not None
            or anyio.current_effective_deadline() == -math.inf
        ):
            if self.machine.opened:
                self._rest()
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


def _name_in(label: str) -> str:
    """The name of a step in what messages call it: ``Poll.ask (poll.py:20)``."""
    return label.partition(" ")[0].rpartition(".")[2]


def _from(sender: str | None) -> str:
    return "" if sender is None else f" from {sender}"
