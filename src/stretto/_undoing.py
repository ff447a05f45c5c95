"""The undoing of a run that has failed: the undos of its completed steps, one after the other, last completed first.

What is due is for `_core.undoing` to say. Each undo has a task of its own at the root of the loop, so no scope around
the run cancels it, and the context variables that its step ended with, among them the run that this was a step of.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast, final

import anyio

from ._core.completed import Completed
from ._core.delivery import Delivery
from ._core.effects import Undo
from ._core.inputs import UndoEnded, UndoingBegan
from ._core.undoing import Undos
from ._log import logger
from ._loop import RootTask, outlast
from ._options import Options
from ._run_port import RunPort
from ._thread_context import ThreadContext
from ._threads import Work
from .context import Context
from .errors import WorkflowError, without

if TYPE_CHECKING:
    from collections.abc import Callable

    import anyio.lowlevel

    from ._step_spec import StepSpec
    from ._undo_spec import UndoSpec

__all__ = ["Undone", "undo"]


class Undone(RunPort, Protocol):
    """A run that is undone, or one whose steps are undone with it."""

    specs: tuple[StepSpec, ...]
    cancelled: type[BaseException]

    def restock(self) -> bool:
        """Lets the undos of a run whose resources are torn down have new ones; whether that is needed."""
        ...

    async def clear_stock(self) -> None:
        """Tears these down."""

    async def supply(self, spec: UndoSpec) -> dict[str, object]:
        """The resources that an undo asks for, by parameter."""
        ...


async def undo(run: Undone, undos: Undos, options: Options, whose: Callable[[Any], Undone | None]) -> None:
    """Undoes what is in the log of a run whose steps have ended.

    Args:
        run: The run.
        undos: The log.
        options: How long it may take, among others.
        whose: Gives the run that something was a step of, from the context variables: it may be nested in this one.

    Raises:
        BaseException: A cancellation that came meanwhile, when all is over.
    """
    machine = run.machine
    late: BaseException | None = None
    restocked: list[Undone] = []
    effects = machine.receive(UndoingBegan(at=run.clock(), limit=options.undo_timeout))
    while effects:
        (effect,) = effects
        assert isinstance(effect, Undo), "nothing else is due"
        owner = whose(effect.entry.carry) or run
        if owner.restock():
            restocked.append(owner)
        one = _One(owner, effect.entry, undos, options.grace)
        task = effect.entry.carry.run(partial(RootTask, one.work))
        try:
            await outlast(partial(one.wait, task))
        except (run.cancelled, KeyboardInterrupt) as error:  # noqa: ASYNC103 - raised below
            late = error
        one.tell(run)
        effects = machine.receive(UndoEnded(at=run.clock(), error=one.error, cut=one.cut))
    for owner in restocked:
        try:
            await owner.clear_stock()
        except (run.cancelled, KeyboardInterrupt) as error:  # noqa: ASYNC103 - raised below
            late = error
    if late is not None:
        raise late
    await anyio.lowlevel.checkpoint_if_cancelled()


@final
class _One:
    """One undo at work.

    Attributes:
        error: What it raised.
        cut: Whether it was cancelled, because its time was over.
    """

    def __init__(self, run: Undone, entry: Completed, undos: Undos, grace: float) -> None:
        spec = run.specs[entry.step.index].undoing
        assert spec is not None, "only what has one is undone"
        self._run = run
        self._entry = entry
        self._spec = spec
        self._deadline = cast("float", undos.deadline)
        self._grace = grace
        self._began = run.clock()
        self._named = False
        self.error: BaseException | None = None
        self.cut = False

    async def work(self) -> None:
        """Calls it; does not raise."""
        with anyio.CancelScope(deadline=self._deadline) as scope:
            try:
                await self._call()
            except self._run.cancelled as stray:  # noqa: ASYNC103 - it is the scope's, or told
                if not scope.cancel_called:
                    self.error = WorkflowError(
                        f"{self._spec.label} raised {type(stray).__name__}, the cancellation of the event loop, "
                        "although nothing was cancelled; end an undo by return or by an error of yours"
                    )
                    self.error.__cause__ = stray
                else:
                    raise
            except BaseException as error:  # noqa: ASYNC103, BLE001 - it is told
                rest = without(error, self._run.cancelled)
                self.error = None if isinstance(rest, self._run.cancelled) else rest
        late = scope.cancelled_caught or (not self._spec.threaded and self._run.clock() >= self._deadline)
        self.cut = late and self.error is None

    async def _call(self) -> None:
        run, entry, spec = self._run, self._entry, self._spec
        supplied = await run.supply(spec) if spec.needs else {}
        delivery = Delivery(entry.step, entry.event, entry.carry)
        if run.gate is not None:
            await run.gate(run, delivery, "undo", (spec.name, self._deadline))
        await self._call_with(delivery, supplied)
        if run.gate is not None:
            await run.gate(run, delivery, "undone", (spec.name, self._deadline))

    async def _call_with(self, delivery: Delivery, supplied: dict[str, object]) -> None:
        run, entry, spec = self._run, self._entry, self._spec
        taken = run.specs[entry.step.index].arguments(run.workflow, None, entry.event)
        if not spec.threaded:
            context = _UndoContext(run, delivery) if spec.context_name is not None else None
            await spec.call(**supplied, **spec.arguments(run.workflow, context, taken, entry.result))
            return
        work = Work(f"{run.machine.plan.name}: {spec.label}", run.cancelled, abandon=False)
        in_thread = ThreadContext(run, delivery, work) if spec.context_name is not None else None
        arguments = spec.arguments(run.workflow, in_thread, taken, entry.result)
        await work.run(partial(spec.call, **supplied, **arguments))

    async def wait(self, task: RootTask) -> None:
        """Waits for its end, and names it if it goes on past its time."""
        patience = max(0.0, self._deadline - self._run.clock()) + self._grace
        with anyio.move_on_after(patience) as waited:
            await task.wait()
        if waited.cancelled_caught and not self._named:
            self._named = True
            logger().warning(
                "%s: %.3g s after the time limit of the undoing %s has not ended; the run waits for it",
                self._run.machine.plan.name,
                self._grace,
                self._spec.label,
            )
        await task.wait()

    def tell(self, run: Undone) -> None:
        """Tells it to who reads what the run does."""
        if run.trace is not None:
            how = (
                "cut off"
                if self.cut
                else "done"
                if self.error is None
                else f"raised {type(self.error).__name__}"
            )
            run.trace.undid(self._entry.step.name, self._spec.name, how, self._began, run.clock())


class _UndoContext(Context[Any]):
    """The context of an undo, which no gate of a test knows."""

    __slots__ = ()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
