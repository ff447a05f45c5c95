"""A worker: one task that runs steps of a run, one after the other.

It starts a step, feeds what came of it to the machine, and goes on with the next ready delivery itself: with
the event that its step returned, if nothing was ready before that. This is the one loop that every event goes
through, so it is written as one, and looks up what it needs beforehand.
"""

from __future__ import annotations

import math
from contextvars import Context as VarContext
from functools import partial
from typing import TYPE_CHECKING, final

import anyio

from ._carry import SWITCH
from ._core.effects import Effects, EndRun
from ._core.inputs import StepCancelled, StepRaised
from ._core.retrying import overdue
from ._core.state import Delivery
from ._draw import draw
from ._loop import native_cancellations
from ._nesting import making, racing
from ._step_spec import Shape, StepSpec
from .context import Context
from .errors import WorkflowError, without

if TYPE_CHECKING:
    import anyio.lowlevel

    from ._crew import Crew
    from .limits import Line

__all__ = ["Worker"]

_NOTHING = object()
_TURNS = 32  # hops between two checkpoints: one each would cost a hop six times what it costs
_EVENT = Shape.EVENT
_CONTEXT_EVENT = Shape.CONTEXT_EVENT


@final
class Worker:
    """One task that runs steps.

    Attributes:
        carry: The context variables of the step that it runs.
        in_lane: Whether no task group is open, so that it gives back what needs one.
        was_hit: Whether a cancellation was delivered to it while its present step ran.
        ever_hit: Whether one was delivered at all.
        suspended: Whether a step of it has ever suspended, so that one may have come unseen, behind a shield.
        lingers: Whether one was delivered since its step last suspended.
    """

    # Slots, because what is set late in an instance's dict makes the whole dict one of its own, for 400 bytes a run.
    __slots__ = (
        "_closing", "_delivery", "_native", "_natively_hit", "_unwanted", "carry", "ever_hit", "host",
        "in_lane", "lingers", "suspended", "was_hit",
    )  # fmt: skip

    def __init__(self, host: Crew, carry: VarContext, native: int | None = None) -> None:
        self.host = host
        self.carry = carry
        self.in_lane = self.suspended = self.was_hit = self.ever_hit = self.lingers = False
        self._delivery: Delivery | None = None
        self._closing = False
        self._native = (
            native  # how often the leader's task was cancelled natively before the run; None: no leader
        )
        # Remembered, because anyio may take back a native cancellation that it counts as one of its own: a scope that
        # is left in a child task, within a cancelled group, is counted against the task that waits for the group.
        self._natively_hit = False
        self._unwanted: object = _NOTHING  # what a step returned although the caller was cancelled

    # -- the loop --------------------------------------------------------------------------------------------

    async def work(self, delivery: Delivery | None) -> Delivery | None:  # noqa: C901, PLR0912, PLR0915 - see above
        """Runs steps until nothing is ready; in the lane gives back the delivery that does not fit there."""
        run = self.host
        machine, queue, specs, workflow, gate, timed = (
            run.machine, run.queue, run.specs, run.workflow, run.gate, run.timed
        )  # fmt: skip
        # A run that goes on from a snapshot, or out of the lane, had begun long before. No name for it: each costs a
        # live run eight bytes.
        now = (
            machine.begun
            if not timed
            or not (self._native is None or machine.resumed is not None or self.suspended or machine.used)
            else run.clock()
        )
        turns = _TURNS
        while machine.ended is None:
            if delivery is None:
                if queue.ready:
                    delivery = queue.ready.popleft()
                else:
                    delivery = await self._wait()
                    if delivery is None or machine.ended is not None:
                        return None  # it may have ended since that was handed over
                    now = run.clock()
            spec = specs[delivery.step.index]
            if self.in_lane:
                if queue.ready or not spec.in_lane:
                    return delivery
            elif queue.ready and not queue.spare:
                run.spawn_spare()
            if delivery.carry is not self.carry:
                self.carry = delivery.carry
                await SWITCH
            self._delivery = delivery
            delivery.started = now
            if run.trace is not None:
                run.trace.began(delivery)
            try:
                if gate is not None:
                    await gate(run, delivery, "start", None)
                if spec.shape is _EVENT:
                    value = await spec.call(workflow, delivery.event)
                elif spec.shape is _CONTEXT_EVENT:
                    value = await spec.call(workflow, Context(run, delivery), delivery.event)
                else:
                    value = await self._call(spec, delivery)
                if gate is not None:
                    await gate(run, delivery, "end", value)
                if self.was_hit:
                    await self._after_hit(value)
            except BaseException as error:  # noqa: ASYNC103, BLE001 - told to the machine, or raised again
                effects = self._step_failed(delivery, error)
                if machine.ended is None:
                    turns = 1  # what fails at once may be tried again at once: let the loop turn in between
            else:
                if run.fresh:
                    run.start_fresh()
                if timed or run.trace is not None:
                    now = run.clock()
                if run.trace is not None:
                    run.trace.ended(delivery, value, now)
                effects = machine.step_returned(delivery, value, now)
            self._delivery = None
            delivery = None
            for effect in effects:
                if type(effect) is not Delivery:
                    if type(effect) is EndRun:
                        run.end()
                    else:
                        run.perform((effect,), spec.label)
                elif queue.ready:  # first come, first started
                    queue.ready.append(effect)
                elif delivery is None:
                    delivery = effect
                else:
                    run.push(effect)
            turns -= 1
            if not turns:
                turns = _TURNS
                await run.checkpoint()
                now = run.clock()
        return None

    async def _wait(self) -> Delivery | None:
        """The leader waits where nothing is ready, and is as good as a spare there; other workers end."""
        machine = self.host.machine
        if (
            self._native is None
            or self.in_lane
            or not (machine.active or machine.feeders or machine.is_timed)
        ):
            return None
        return await self.host.queue.wait()

    async def _call(self, spec: StepSpec, delivery: Delivery) -> object:
        """Calls a step of any other shape: no self, resources, a limit, held back events, or a plain function."""
        if spec.makes and making.get() is not delivery:
            making.set(delivery)
            try:
                return await self._call(spec, delivery)
            finally:
                making.set(None)  # or its context would hold the delivery that holds it
        if not spec.in_scope:
            return await self._call_limited(spec, delivery)
        run = self.host
        if run.abortable is None:
            run.abortable = {}
        value = made = None
        cut = True
        racing.set(delivery)
        with anyio.CancelScope() as run.abortable[delivery]:
            try:
                if not run.machine.is_lost(delivery):
                    value = await self._call_limited(spec, delivery)
                    cut = False
            finally:
                del run.abortable[delivery]
                racing.set(None)  # or its context would hold the delivery that holds it
                if run.made is not None:
                    made = run.made.pop(delivery, None)
        if cut and delivery.past is not None:
            delivery.past.cut = True
        if made is not None and run.machine.is_lost(delivery):
            await run.end_lost(made)
        return value

    async def _call_limited(self, spec: StepSpec, delivery: Delivery) -> object:
        if spec.timeout is None:
            return await self._call_now(spec, delivery, [])
        run = self.host
        began = delivery.started = run.clock()
        value, waited = None, [0.0]
        with anyio.CancelScope(deadline=began + spec.timeout):
            value = await self._call_now(spec, delivery, waited)
        delivery.started = began  # also if its time has passed before the body began: that is an attempt
        at = run.clock()
        late = overdue(delivery, at, _told(spec, waited[0]))
        if late is not None and run.machine.ended is None and at < run.machine.deadline:
            if self.was_hit:
                await self._after_hit(value)  # a cancellation of the caller comes first
            raise late
        return value

    async def _call_now(self, spec: StepSpec, delivery: Delivery, waited: list[float]) -> object:
        """Calls it once it has what it needs and its turn; into `waited` goes how long that took, if it took any."""
        try:
            supplied = await self.host.supply(spec) if spec.needs else {}
        except self.host.cancelled:
            delivery.started = None
            raise
        if spec.limiter is None:
            return await self._call_with(spec, delivery, supplied)
        line = spec.limiter.line()
        at_once = line.join(delivery)
        try:
            if not at_once:
                from ._holds import held_up  # noqa: PLC0415 - for who waits

                since, waited[:] = self.host.clock(), [math.inf]
                with held_up(self.host, delivery, f"a turn of {spec.limiter!r}", begun=False):
                    await self._await_turn(line, delivery)
                waited[:] = [self.host.clock() - since]
            return await self._call_with(spec, delivery, supplied)
        finally:
            line.leave(delivery)

    async def _await_turn(self, line: Line, delivery: Delivery) -> None:
        """Waits for a turn. One that is cancelled before it has not begun, and nothing of it happens elsewhere."""
        machine = self.host.machine
        try:
            await line.wait(delivery)
            if machine.ended is not None or machine.is_lost(delivery):
                # The turn has come together with a cancellation, which goes first.
                await self.host.checkpoint()
        except BaseException:
            delivery.started = None
            raise

    async def _call_with(self, spec: StepSpec, delivery: Delivery, supplied: dict[str, object]) -> object:
        run = self.host
        if spec.threaded:
            return await self._call_in_thread(spec, delivery, supplied)
        make: type[Context] = Context
        if spec.holds:
            from ._holding_context import HoldingContext  # noqa: PLC0415 - for who has such steps, as below

            make = HoldingContext
        context = make(run, delivery) if spec.context_name is not None else None
        return await spec.call(**supplied, **spec.arguments(run.workflow, context, delivery.event))

    async def _call_in_thread(
        self, spec: StepSpec, delivery: Delivery, supplied: dict[str, object]
    ) -> object:
        from ._thread_context import HoldingThreadContext, ThreadContext  # noqa: PLC0415 - for who has such steps
        from ._threads import Work, tell_limit  # noqa: PLC0415

        run = self.host
        name = f"{run.machine.plan.name}: {spec.label}"
        tell_limit(spec, name, spec.num_workers)
        work = Work(name, run.cancelled, abandon=spec.abandon)
        make = HoldingThreadContext if spec.holds else ThreadContext
        context = make(run, delivery, work) if spec.context_name is not None else None
        arguments = {**supplied, **spec.arguments(run.workflow, context, delivery.event)}
        ended = anyio.Event()
        if not spec.abandon:
            run.attend(ended)
        try:
            value, variables = await work.run(partial(spec.call, **arguments))
        finally:
            ended.set()
        for variable, set_to in variables:
            variable.set(set_to)
        return value

    # -- cancellation ----------------------------------------------------------------------------------------

    def hit(self, *, closing: bool) -> None:
        """A cancellation is about to be delivered to the step, or to the worker between two steps."""
        self._closing = closing
        if not closing:
            self.was_hit = self.ever_hit = self.lingers = True
            if self._native is not None and not self._natively_hit:
                self._natively_hit = self._is_native()
            self.host.note_cancellation(idle=self._delivery is None)

    def linger(self) -> None:
        """The step goes on although a cancellation was delivered to it."""
        self.lingers = False
        self.host.watch()

    async def _after_hit(self, value: object) -> None:
        """A step returned although a cancellation was delivered to it; whose was it?

        In this order: the deadline or an end of the run (its value is then too late), the caller's, and last
        one of the step's own scopes, which is nobody else's business.
        """
        self.was_hit = self.lingers = self._natively_hit = False
        self.host.note_deadline()
        if self.host.machine.ended is not None:
            return
        try:
            await self.pass_on_cancellation()
        except self.host.cancelled:
            self._unwanted = value
            raise

    def _step_failed(self, delivery: Delivery, error: BaseException) -> Effects:
        """A step raised: tells the machine, and raises again what was a cancellation."""
        if self._closing:
            raise error
        run = self.host
        at = run.clock()
        if run.trace is not None:
            run.trace.failed(delivery, error, at, cancelled=isinstance(error, run.cancelled))
        error = without(error, run.cancelled)
        if isinstance(error, run.cancelled):
            if not self._is_stray():
                run.note_deadline()
                run.machine.look_at(delivery, at)
                if run.is_among_others and (self._natively_hit or self._natively_cancelled()):
                    run.cancel("by its caller")  # before it looks as if nothing were left to do
                returned = self._unwanted is not _NOTHING
                value = self._unwanted if returned else None
                run.perform(
                    run.machine.receive(StepCancelled(delivery=delivery, value=value, returned=returned))
                )
                raise error
            stray = error
            error = WorkflowError(
                f"{delivery.step.label} raised {type(stray).__name__}, the cancellation of the event loop, although "
                "nothing was cancelled; let only the loop raise it, and end a step by return or by an error of yours"
            )
            error.__cause__ = stray
        draw = self._draw(delivery)
        self.was_hit = self.lingers = self._natively_hit = False
        return run.machine.receive(StepRaised(delivery=delivery, error=error, at=at, draw=draw))

    def _draw(self, delivery: Delivery) -> float | None:
        """A random number for what follows a failure; None if the run or its caller is being cancelled."""
        if delivery.step.plain or (self.was_hit and not self._is_stray()):
            return None
        return draw()

    def _is_stray(self) -> bool:
        """Whether a cancellation came out of a step although neither the run nor its caller is cancelled."""
        scope = self.host.scope
        if self.host.machine.ended is not None or (scope is not None and scope.cancel_called):
            return False
        if self._natively_hit or anyio.current_effective_deadline() == -math.inf:
            return False
        return not self._natively_cancelled()

    def _is_native(self) -> bool:
        """Whether a cancellation that is being delivered is none of an anyio scope."""
        scope = self.host.scope
        if not self._natively_cancelled() or (scope is not None and scope.cancel_called):
            return False
        return anyio.current_effective_deadline() != -math.inf

    def _natively_cancelled(self) -> bool:
        """Whether somebody called `asyncio.Task.cancel` on the task that awaits the run."""
        return self._native is not None and native_cancellations() > self._native

    async def pass_on_cancellation(self) -> None:
        """A cancellation of the caller that was seen, and perhaps swallowed by a step, goes on."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._natively_cancelled():
            raise self.host.cancelled


def _told(spec: StepSpec, waited: float) -> str:
    """What to say of an attempt that is late and has waited for a turn, which counts."""
    if not waited:
        return ""
    share = "what was left" if waited == math.inf else f"{waited:.3g} s"
    return f"; {share} of it went into waiting for a turn of {spec.limiter!r}, which counts"
