"""What a run has besides its events: its state, its resources, and its turn among the runs of its workflow."""

from __future__ import annotations

from abc import abstractmethod
from contextvars import Context
from typing import TYPE_CHECKING

from ._core.effects import Effects, Retry
from ._core.inputs import Admitted, Interrupted, Roused
from ._nesting import Nesting
from ._step_spec import StepSpec
from .errors import WorkflowError

if TYPE_CHECKING:
    from ._core.permits import Lane
    from ._editor import Editor
    from ._once import Once
    from ._stock import Stock
    from ._undo_spec import UndoSpec
    from .events import Event
    from .limits import Line
    from .snapshots import SavedRun

__all__ = ["Supplies"]


class Supplies(Nesting):
    """A run as far as something is made for it, or it waits for something.

    Attributes:
        line: Where it waits for its turn among the runs of its workflow, or has it; None if these are not limited.
    """

    workflow: object
    specs: tuple[StepSpec, ...]

    line: Line | None = None
    made_editor: Editor | None = None
    made_once: Once | None = None
    _stock: Stock | None = None
    _run_id: str | None = None
    # Of a run that goes on from a snapshot: how old it was, and what waits for its time once there is a task group.
    _age = 0.0
    _due: Effects = ()

    @abstractmethod
    async def wait(self) -> None:
        """Waits until the outcome is settled."""

    @abstractmethod
    def cancel(self, why: str) -> None:
        """Cancels the run."""

    @property
    @abstractmethod
    def is_among_others(self) -> bool:
        """Whether it is one of several runs of an application."""

    @abstractmethod
    def stock_of_application(self) -> Stock | None:
        """The resources of the application that it belongs to, if it belongs to one."""

    def _stock_around(self, scope: str) -> Stock | None:
        if scope == "application":
            return self.stock_of_application()
        stock: Stock | None = getattr(self.workflow, "_stretto_stock", None)
        return stock

    def editor(self) -> Editor:
        """The state of the run; made when somebody first asks for it."""
        if self.made_editor is None:
            from ._core.run_state import StateKind  # noqa: PLC0415 - loaded by who uses it, as all below
            from ._editor import Editor  # noqa: PLC0415

            plan = self.machine.plan
            self.made_editor = Editor(plan.state or StateKind(), plan.name)
        return self.made_editor

    def once(self) -> Once:
        """The effects that happen once in the run; made when somebody first asks for it."""
        if self.made_once is None:
            from ._once import Once  # noqa: PLC0415

            self.made_once = Once()
        return self.made_once

    async def supply(self, spec: StepSpec | UndoSpec) -> dict[str, object]:
        """The resources that a step, or its undo, asks for, by parameter."""
        if self._stock is None:
            from ._config import Configs  # noqa: PLC0415
            from ._stock import Stock  # noqa: PLC0415

            self._stock = Stock(
                self.machine.plan.name,
                self._options.grace,
                vars(self.workflow).setdefault("_stretto_configs", Configs()),
                self._resource_failed,
                self,
                self._stock_around,
            )
        return await self._stock.fill(spec.needs, spec.label)

    def restock(self) -> bool:
        """For the undos of a run whose resources are torn down: they are given new ones. Whether that is needed."""
        stock = self._stock
        if (stock is None and self.outcome is None) or (stock is not None and not stock.closed):
            return False
        self._stock = None
        return True

    async def clear_stock(self) -> None:
        """Tears these down."""
        if self._stock is not None:
            await self._stock.close(self.machine.error)

    def _resource_failed(self, error: BaseException) -> None:
        self.perform(self.machine.receive(Interrupted(error=error)))

    # -- a run that goes on from a snapshot --------------------------------------------------------------------

    def take_up(self, saved: SavedRun, event: Event | None, context: Context) -> Effects:
        """Goes on where the snapshot was made, or begins on its state; gives what is to be done."""
        machine, state, once = self.machine, saved.state(), saved.once()
        if state is not None:
            self.editor().state.committed = state
        if event is not None:
            return machine.event_sent(event, context, at=machine.begun)
        if once:
            self.once().results = once
        self._run_id, self._age = saved.run_id, saved.age
        effects = saved.restore(machine, self.clock(), context)
        self._due = [effect for effect in effects if isinstance(effect, Retry)]
        return [effect for effect in effects if not isinstance(effect, Retry)]

    def time(self) -> float:
        """The time that counts for the run: none passes while it waits for its turn."""
        waits = self.line is not None and not self.line.has(self)
        return self.machine.begun + self._age if waits else self.clock()

    # -- what is held back -------------------------------------------------------------------------------------

    def hold_back(self) -> None:
        """Steps that say how much they take share their rates and limits with other runs of the loop."""
        from ._overload import hold_back  # noqa: PLC0415 - loaded by who uses it

        hold_back(self.machine, self.specs, self._roused)

    def _roused(self, lane: Lane) -> None:
        self.perform(self.machine.receive(Roused(lane=lane, at=self.clock())))

    # -- its turn --------------------------------------------------------------------------------------------

    def _queue_up(self, line: Line) -> None:
        """Joins the runs of its workflow that are at work; one that would wait for its own ancestor has failed."""
        self.line = line
        at_once = line.join(self)
        if self._options.run_overflow is not None:
            from ._crowding import make_way  # noqa: PLC0415 - loaded by who uses it

            make_way(self, line, self._options.run_overflow, at_once=at_once)
        elif not at_once and self.runs_in_line(line):
            self.refuse(self.waits_for_an_ancestor())

    def runs_in_line(self, line: Line) -> list[Supplies]:
        """The runs that it is nested in, as far as they are in this line."""
        found: list[Supplies] = []
        around = self.parent
        while around is not None:
            if isinstance(around, Supplies) and around.line is line:
                found.append(around)
            around = around.parent
        return found

    def waits_for_an_ancestor(self) -> WorkflowError:
        """The error of a run whose place would only be free when it has ended."""
        name = self.machine.plan.name
        return WorkflowError(
            f"a run of {name} is nested in another one of the same workflow object, whose num_concurrent_runs are all "
            f"at work: it would wait for its own ancestor; raise that number, or make another {name}(…)"
        )

    def refuse(self, error: WorkflowError) -> None:
        """There is no place for it: it ends before it has begun, and what was done before a restart stays done."""
        self.undoes = False
        if not self.is_among_others:
            self.machine.undos = None
        if self.line is not None:
            self.line.leave(self)
        self.perform(self.machine.receive(Interrupted(error=error)))

    async def _await_turn(self, line: Line) -> None:
        """Waits until fewer runs of the workflow are at work than may be, or until this one is over."""
        if self.machine.ended is None:
            await line.wait(self)
            self.perform(self.machine.receive(Admitted(at=self.clock() - self._age)))
