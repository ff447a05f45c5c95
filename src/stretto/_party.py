"""The runs of one conversation: who is in it, who takes whose place, and the tasks in which they work.

The run that was called has an owner; each other one has a task of the conversation while it is at work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio
import attrs

from ._among import Among, Around
from ._board import Board
from ._core.conversation import Conversation
from ._core.reporting import Waiting, awaited, is_idle
from ._core.state import DeadLetter
from ._driver import Driver
from ._options import Options
from .events import Event

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from ._core.completed import Entry
    from .snapshots import SavedRun
    from .supervision import Restart

__all__ = ["Party", "Supervising", "make_run"]


class Supervising(Protocol):
    """What restarts the runs of a conversation, see `_supervisor`."""

    def failed(self, run: Among) -> None:
        """A run that an event has opened has failed: another takes its place, or the error says why not."""

    def left(self, run: Among) -> bool:
        """A run has ended and cleaned up; whether another is in its place, so that its failure is nobody's."""
        ...

    def refuses(self, run: Among, event: Event) -> bool:
        """Whether an event comes for a run that is not there yet and does not wait; then it is told."""
        ...

    async def hold(self, run: Among) -> None:
        """Waits until a run may work, if it is held."""

    async def admit(self, member: str, limit: float | None, who: str) -> float | None:
        """Waits until a member that is asked may work; gives what is left of the seconds of the request."""
        ...

    def notes(self) -> Iterator[str]:
        """What to say of it where the conversation has failed by itself."""
        ...

    @property
    def cleaning(self) -> Among | None:
        """A run that was replaced, and whose steps still clean up."""
        ...

    def write(self) -> dict[str, list[float]]:
        """For how many seconds each restart of each member counts already."""
        ...

    def write_hold(self, run: Among) -> dict[str, object]:
        """How long it is until a run works, if it is held."""
        ...

    def take_up(self, member: str, ages: Iterable[float]) -> None:
        """The restarts of a member before the snapshot."""

    def take_up_hold(self, run: Among, wait: float, *, discards: bool) -> None:
        """A run of the snapshot that was held."""


def make_run(
    board: Board, member: str, parent: Among | None, timeout: float | None = None, *, streamed: bool = False
) -> Among:
    """A run of a member that was not begun; its time is limited by the shorter of its own limit and this one."""
    seat = board.seats[member]
    options = seat.options
    if timeout is not None and (options.timeout is None or timeout < options.timeout):
        fields: dict[str, Any] = {**vars(options), "timeout": timeout}
        options = Options(**fields)
    return Driver(seat.workflow, seat.blueprint, options, cast("Driver | None", parent), streamed=streamed)


class Party(ABC):
    """The runs of one conversation, and who of them gets what.

    Attributes:
        root: The run that was called.
        within: The conversation around it, if a step of that asked for it.
        reply: The class of the reply, if it is a request.
        answer: The reply, once it was given.
        below: The conversations that requests of its runs have opened.
        kept_letters: The last dead letters; None if there were none.
        supervisor: What restarts its members; None while it has not had to.
        undo_log: What the steps of its runs have done and can be undone.
    """

    reply: type[Event] | None = None
    answer: Event | None = None
    give: Callable[[Event], object] | None = None
    tg: TaskGroup | None = None
    over = False
    kept_letters: deque[DeadLetter] | None = None
    supervisor: Supervising | None = None
    _tasks = 0
    _none_left: anyio.Event | None = None

    def __init__(self, board: Board, root: Among, member: str, within: Party | None) -> None:
        self.board = board
        self.wiring = board.wiring
        self.root = root
        self.within = within
        caller = root.caller
        self.conversation: Conversation[Among] = Conversation(
            root,
            member,
            parent=None if within is None else within.conversation,
            asker=None if caller is None else (cast("str", caller.member), caller),
        )
        self.below: dict[Party, None] = {}
        if within is not None:
            within.below[self] = None
        self._runs: dict[Among, Hashable] = {}
        self._at_work: dict[Among, None] = {root: None}
        self._early: list[Among] = []
        self.undo_log: list[Entry] = []
        self._join(root, member, opened=False)

    def asks(self, reply: type[Event], give: Callable[[Event], object] | None = None) -> None:
        """It is a request, and done with the first event of this type."""
        self.reply = reply
        self.give = give
        self.conversation.asks = True
        self._ask_first(self.root)

    @property
    def is_answered(self) -> bool:
        """Whether it is a request, and its reply was given."""
        return self.answer is not None

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """A task of the conversation."""
        assert self.tg is not None, "the conversation was over"
        self._tasks += 1
        self.tg.start_soon(self._member, work)

    async def _member(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            self._tasks -= 1
            if not self._tasks and self._none_left is not None:
                self._none_left.set()

    async def none_left(self) -> None:
        """Waits until its tasks have ended."""
        if self._tasks:
            self._none_left = anyio.Event()
            await self._none_left.wait()

    @abstractmethod
    async def _host(self, run: Among) -> None:
        """One period of work of a run that nobody called."""

    @abstractmethod
    def note(self, run: Among) -> None:
        """Something has happened in a run."""

    @abstractmethod
    def supervised(self, policies: Mapping[str, Restart]) -> Supervising:
        """What restarts its members; made when it first has to."""

    @abstractmethod
    def keep_letter(self, letter: DeadLetter, run: Among) -> DeadLetter:
        """Keeps a dead letter of one of its runs where it is looked for."""

    @abstractmethod
    def dead(self, letter: DeadLetter, run: Among) -> None:
        """Nobody took an event."""

    @abstractmethod
    def judge(self) -> None:
        """Looks whether the conversation goes on."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Ends the conversation with an error."""

    @abstractmethod
    def leave(self, why: str) -> None:
        """Ends the conversation without one."""

    def pause_reading(self) -> None:
        """The present task waits for its end, and does not read meanwhile."""
        self.root.pause_reading()

    @abstractmethod
    def answered(self, event: Event) -> None:
        """The reply is there."""

    @property
    def name(self) -> str:
        """The member and the class that were called, for messages."""
        return self.told(cast("str", self.root.member))

    def told(self, member: str) -> str:
        """A member as messages name it: ``orders (OrderStation)``."""
        return f"{member} ({self.board.seats[member].blueprint.name})"

    def _join(self, run: Among, member: str, *, opened: bool) -> None:
        run.around, run.member = cast("Around", self), member
        machine = run.machine
        machine.join_others(opened=opened, closes=opened and self.board.drains)
        if machine.plan.undoes:
            machine.keep_undos(self.undo_log)
        if opened and self.board.supervise is not None:
            run.machine.unfinished = []
        self._ask_first(run)

    def _ask_first(self, run: Among) -> None:
        kinds = self.wiring.crossing(cast("str", run.member))
        if self.reply is not None and self.answer is None:
            kinds |= {self.reply}
        if kinds:
            run.machine.ask_others_first(kinds)

    # -- its runs --------------------------------------------------------------------------------------------

    def _open(self, member: str, key: Hashable) -> Among:
        return self.bring_in(member, key, current=True)

    def bring_in(self, member: str, key: Hashable, *, current: bool) -> Among:
        """A run of a snapshot, before it goes on: the member's, or an earlier one that has been closed."""
        run = make_run(self.board, member, self.root)
        self._join(run, member, opened=True)
        cast("Driver", run).join_journals(copy_context())
        self._runs[run] = key
        if current:
            self.conversation.open(member, key, run)
        return run

    def replace(self, run: Among) -> Among:
        """A fresh run in the place of one that an event has opened: what is for that one is for this."""
        member, key = cast("str", run.member), self._runs.pop(run, None)
        current = self.conversation.runs.get((member, key)) is run
        heir = self.bring_in(member, key, current=current)
        heir.machine.closed = run.machine.closed
        run.successor = heir
        return heir

    def forget_idle(self, run: Among) -> bool:
        """Forgets a run that has been closed and has nothing left; what comes back to it wakes it once more."""
        machine = run.machine
        if not machine.closed or machine.waiters or any(machine.leftovers()):
            return False
        self._runs.pop(run, None)
        return True

    def is_at_work(self, run: Among) -> bool:
        """Whether it has a task."""
        return run in self._at_work

    def go_on(self, run: Among, saved: SavedRun) -> None:
        """A run of a snapshot goes on."""
        run.go_on(saved, copy_context())
        if run.has_work:
            self._at_work[run] = None
            self._early.append(run)
        self.note(run)

    def opened_runs(self) -> Iterator[Among]:
        """The runs that its events have opened and that have not ended."""
        return (run for run in tuple(self._runs) if run.machine.ended is None)

    def key_of(self, run: Among) -> Hashable:
        """The key of such a run; None if it has none."""
        return self._runs.get(run)

    def all_runs(self) -> Iterator[Among]:
        """The runs of this conversation and of those below that have not ended."""
        yield from (run for run in (self.root, *self._runs) if run.machine.ended is None)
        for talk in tuple(self.below):
            yield from talk.all_runs()

    def outermost(self) -> Party:
        """The conversation that no request has opened, or that one from outside has."""
        talk = self
        while talk.within is not None:
            talk = talk.within
        return talk

    def waiting_for(self) -> Iterator[Waiting]:
        """What its runs wait for, and those below."""
        for run in self.all_runs():
            yield from (attrs.evolve(each, member=run.member) for each in awaited(run.machine))

    def is_idle(self) -> bool:
        """Whether nothing can happen in its runs, and those below, unless somebody outside sends an event."""
        runs = [*self.all_runs()]
        return bool(runs) and all(is_idle(run.machine) for run in runs)

    def letters(self) -> tuple[DeadLetter, ...]:
        """The last dead letters of it and of those below, oldest first."""
        return tuple(self.outermost().kept_letters or ())
