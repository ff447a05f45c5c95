"""Whose turn it is to edit the state of a run.

One edits at a time and the others wait in order of asking; who reads never waits. There is no await between taking a
turn and giving it back but the user's own, so a cancellation leaves no turn taken.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol, final

import anyio

from ._core.run_state import Edit, RunState, StateKind
from ._core.state import Delivery
from ._holds import HoldPort, held_up
from .errors import RunEndedError, StateError

__all__ = ["Access", "Editor", "StorePort"]


@final
class Editor:
    """The state of a run, and whose turn it is to edit it. Made when the state is first asked for."""

    def __init__(self, kind: StateKind, owner: str) -> None:
        self.state = RunState(kind, owner)
        self._turn: anyio.Semaphore | None = None  # a lock wants to be released by the task that took it

    async def take(self, waiting: Callable[[], AbstractContextManager[None]]) -> None:
        """Waits for a turn, first come, first served; does not suspend if nobody has it.

        Args:
            waiting: What a wait stands in.
        """
        if self._turn is None:
            self._turn = anyio.Semaphore(1, max_value=1, fast_acquire=True)
        try:
            self._turn.acquire_nowait()
        except anyio.WouldBlock:
            with waiting():
                await self._turn.acquire()

    def give_back(self) -> None:
        """The next in the row has its turn."""
        assert self._turn is not None, "nobody has the turn"
        self._turn.release()


class StorePort(HoldPort, Protocol):
    """What a store needs of its run."""

    @property
    def outcome(self) -> tuple[Any, BaseException | None] | None:
        """The result and the error, once the run is over."""
        ...

    def editor(self) -> Editor:
        """The state of the run; made at the first call."""
        ...


@final
class _Mark:
    """Stands in the context variables of who edits; a task that it starts inherits it.

    So an edit within the edit is seen also from a task that the step waits for. The step that handles an event sent
    from within inherits the mark too, and is another owner.
    """

    __slots__ = ("around", "owner")

    def __init__(self, owner: object, around: _Mark | None) -> None:
        self.owner = owner  # None when the edit is over
        self.around = around


_marks: ContextVar[_Mark | None] = ContextVar("stretto_edit", default=None)


@final
class Access:
    """The state of a run for one of its users: a delivery of a step, or somebody outside.

    Attributes:
        owner: Who may not wait for itself: the delivery; for those outside the run.
    """

    __slots__ = ("outside", "owner", "run")

    def __init__(self, run: StorePort, owner: object, *, outside: bool) -> None:
        self.run = run
        self.owner = owner
        self.outside = outside

    @property
    def state(self) -> RunState:
        """The state itself."""
        return self.run.editor().state

    def _waiting(self) -> AbstractContextManager[None]:
        if isinstance(self.owner, Delivery):
            return held_up(self.run, self.owner, "a turn to edit the state")
        return nullcontext()

    async def write(self, path: object, value: object) -> None:
        """Commits one value in a turn of its own."""
        editor = self.run.editor()
        await editor.take(self._waiting)
        try:
            self.refuse_late()
            editor.state.set(path, value)
        finally:
            editor.give_back()

    async def begin(self) -> Edit:
        """Takes a turn and makes a working copy."""
        editor = self.run.editor()
        await editor.take(self._waiting)
        try:
            self.refuse_late()
            return editor.state.edit()
        except BaseException:
            editor.give_back()
            raise

    def finish(self, edit: Edit, *, commit: bool) -> None:
        """Commits or drops a working copy, and gives the turn back, if that was not taken from it."""
        editor = self.run.editor()
        try:
            if commit:
                self.refuse_late()
                _refuse_dropped(edit)
                editor.state.commit(edit)
        finally:
            edit.end()
            self.drop(edit)

    def drop(self, edit: Edit) -> None:
        """Takes the turn from an edit, if it has it. Who still works on its copy goes on to be watched there.

        For what it reaches for must not be what the others share.
        """
        if not edit.dropped:
            edit.dropped = True
            self.run.editor().give_back()

    def refuse(self, what: str, instead: str) -> None:
        """Raises if the run is over, or if whoever calls would wait for itself."""
        self.refuse_late()
        mark = _marks.get()
        while mark is not None:
            if mark.owner is self.owner:
                whose = "caller" if self.outside else "step"
                raise StateError(
                    f"{what} within an edit_state() block of the same {whose} would wait for itself; {instead}"
                )
            mark = mark.around

    def refuse_late(self) -> None:
        """Raises if the run is over. Its own steps may write until the last of them has ended."""
        machine = self.run.machine
        if machine.ended is not None and (self.outside or self.run.outcome is not None):
            raise RunEndedError(
                f"the state of a run of {machine.plan.name} is written too late: the run is over, "
                f"{machine.ended.value}; it can still be read"
            )

    def mark(self) -> _Mark:
        """Whoever calls begins to edit."""
        around = _marks.get()
        mark = _Mark(self.owner, None if around is None or around.owner is None else around)
        _marks.set(mark)
        return mark

    def unmark(self, mark: _Mark) -> None:
        """Whoever calls edits no more; copies of the mark, in what it has sent, mean nothing from now on."""
        _marks.set(mark.around)
        mark.owner = None


def _refuse_dropped(edit: Edit) -> None:
    if edit.dropped:
        raise RunEndedError(
            "this edit_state() block was left behind by its step, which is over: it changes nothing"
        )
