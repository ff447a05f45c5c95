"""The ways of events between the runs of a conversation.

An event goes, at once and in the order of sending, to the step that asked, if it is the reply; to the run that sent it,
if its class takes it; to the run of the member that takes it; if no member does, to the run on whose behalf it was
sent, which may wait for it; else it is a dead letter. On whose behalf a step works is a context variable, so all that
an event causes inside a run inherits it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextvars import Context as VarContext, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio
import attrs

from ._among import Among, Around, behalf
from ._board import Board
from ._core.conversation import Conversation
from ._core.effects import Outward
from ._core.inputs import WaitAnswered
from ._core.reporting import Waiting, awaited, is_idle
from ._core.returning import is_stop
from ._core.state import DeadLetter, Delivery
from ._core.waiting import Waiter
from ._driver import Driver, ambient
from ._options import Options
from .errors import QueueFullError, RoutingError, UndeclaredEventError, near, shown
from .events import Event

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from .snapshots import SavedRun

__all__ = ["Ways", "accepts", "make_run"]


_ANY_TIME = 0.0


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


class Ways(ABC):
    """The runs of one conversation, and who of them gets what.

    Attributes:
        root: The run that was called.
        within: The conversation around it, if a step of that asked for it.
        reply: The class of the reply, if it is a request.
        answer: The reply, once it was given.
        below: The conversations that requests of its runs have opened.
        kept_letters: The last dead letters; None if there were none.
    """

    reply: type[Event] | None = None
    answer: Event | None = None
    give: Callable[[Event], object] | None = None
    tg: TaskGroup | None = None
    over = False
    kept_letters: deque[DeadLetter] | None = None
    _tasks = 0
    _none_left: anyio.Event | None = None

    def __init__(self, board: Board, root: Among, member: str, within: Ways | None) -> None:
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
        self.below: dict[Ways, None] = {}
        if within is not None:
            within.below[self] = None
        self._runs: dict[Among, Hashable] = {}
        self._at_work: dict[Among, None] = {root: None}
        self._early: list[Among] = []
        self._join(root, member, opened=False)

    def asks(self, reply: type[Event], give: Callable[[Event], object] | None = None) -> None:
        """It is a request, and done with the first event of this type."""
        self.reply = reply
        self.give = give
        self.conversation.asks = True
        self._ask_first(self.root)

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
        run.machine.join_others(opened=opened, closes=opened and self.board.drains)
        self._ask_first(run)

    def _ask_first(self, run: Among) -> None:
        kinds = self.wiring.crossing(cast("str", run.member))
        if self.reply is not None and self.answer is None:
            kinds |= {self.reply}
        if kinds:
            run.machine.ask_others_first(kinds)

    # -- the way of an event ---------------------------------------------------------------------------------

    def route(self, run: Among, what: Outward, sender: str | None) -> bool:
        """Takes an event that a run has sent to those that it is for; whether there are any."""
        event, carry, claims = what.event, what.carry, what.claims
        kind = type(event)
        if self.reply is kind and self.answer is None and (run is self.root or not accepts(self.root, kind)):
            self.answered(event)
            return True
        member: str = run.member  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - it joined
        back = carry.get(behalf)
        single = self.wiring.single(member, kind)
        if single is not None:
            self._cross(self._target(single, None, back), event, carry, run, claims=claims)
            return True
        to = self.wiring.receivers(member, kind)
        if not to:
            return self._to_behalf(run, event, carry, back)
        if any(name != member for name in to) and not self.wiring.declares(member, kind):
            raise self._undeclared(run, kind, to, sender)
        for name in to:
            if name == member:
                self.take(run, event, carry, back, claims=claims)
            else:
                self._cross(self._target(name, self._key(event), back), event, carry, run, claims=claims)
        return True

    def has_receiver(self, run: Among, kind: type[Event]) -> bool:
        """Whether a member gets such events of this run."""
        return bool(self.wiring.receivers(cast("str", run.member), kind))

    def _to_behalf(self, run: Among, event: Event, carry: VarContext, back: Among | None) -> bool:
        """What no member takes may be waited for by the run on whose behalf it was sent, now or later."""
        if back is None or back is run or back.around is None or back.machine.ended is not None:
            return False
        self._cross(back, event, carry, run)
        return True

    def _key(self, event: Event) -> Hashable:
        key_of = self.wiring.keys.get(type(event))
        return None if key_of is None else key_of(event)

    def _target(self, name: str, key: Hashable, back: Among | None) -> Among:
        """The run of the member, which may have to be opened."""
        known = None if back is None or back.member is None else (back.member, back)
        target = self.conversation.find(name, key, known)
        if target is None or (target.machine.ended is not None and target in self._runs):
            return self._open(name, key)
        return target

    def _cross(
        self, target: Among, event: Event, carry: VarContext, sender: Among | None, *, claims: bool = True
    ) -> None:
        talk = cast("Ways", target.around)
        if talk is not self:
            self.conversation.left = True
        talk.take(target, event, carry, sender, claims=claims)

    def take(
        self, run: Among, event: Event, carry: VarContext, back: Among | None, *, claims: bool = True
    ) -> None:
        """A run of this conversation is sent an event on behalf of another: the one door into it.

        Raises:
            QueueFullError: If it claims room and there is none.
        """
        if self.over:
            self.dead(DeadLetter(event, f"the conversation of {self.name} is over"), run)
            return
        context = carry.copy()
        context.run(_enter, run, back)
        machine = run.machine
        rests = run not in self._at_work and run is not self.root and machine.ended is None
        if rests:
            self._runs.setdefault(run, None)
            run.wake_up()
        at = run.clock() if is_stop(event) else _ANY_TIME  # nothing else asks when it was sent
        try:
            effects = machine.event_sent(event, context, at=at, outside=True, claims=claims)
        except QueueFullError as full:
            full.refused_by = run, context
            raise
        for effect in effects:
            if type(effect) is Delivery:
                run.push(effect)
            else:
                run.perform((effect,))
        if rests and run.has_work and not self.conversation.closing:
            self._at_work[run] = None
            if self.tg is None:
                self._early.append(run)
            else:
                self.spawn(partial(self._host, run))
        self.note(run)

    def _open(self, member: str, key: Hashable) -> Among:
        return self.bring_in(member, key, current=True)

    def bring_in(self, member: str, key: Hashable, *, current: bool) -> Among:
        """A run of a snapshot, before it goes on: the member's, or an earlier one that has been closed."""
        run = make_run(self.board, member, self.root)
        self._join(run, member, opened=True)
        self._runs[run] = key
        if current:
            self.conversation.open(member, key, run)
        return run

    def go_on(self, run: Among, saved: SavedRun) -> None:
        """A run of a snapshot goes on."""
        run.go_on(saved, copy_context())
        if run.has_work:
            self._at_work[run] = None
            self._early.append(run)
        self.note(run)

    def send_from_outside(self, event: Event, step: str | None, to: str | None) -> None:
        """Sends an event from outside to the run that waits for it, else to the one that accepts it."""
        kind = type(event)
        if to is not None and to not in self.board.seats:
            names = list(self.board.seats)
            raise RoutingError(
                f"the application has no member {to!r}, it has: {', '.join(names)}{near(to, names)}"
            )
        runs = [run for run in self.all_runs() if to is None or run.member == to]
        found = [run for run in runs if run.machine.waiters and run.machine.waiters.wanted(kind)]
        found = found or [run for run in runs if accepts(run, kind) and not run.machine.closed]
        if len(found) > 1:
            names = [f"{run.member} (run {run.run_id})" for run in found]
            raise RoutingError(
                f"{shown(event)} would be taken by several runs: {', '.join(names)}; say which member is meant: "
                f"run.send_event(ev, to={found[0].member!r})"
            )
        if found:
            cast("Ways", found[0].around).take_from_outside(found[0], event, step)
            return
        members = self.wiring.receivers(None, kind) if to is None else (to,)
        if len(members) > 1:
            raise RoutingError(
                f"{shown(event)} would be taken by several members: {', '.join(members)}; say which one is meant: "
                f"run.send_event(ev, to={members[0]!r})"
            )
        if not members or members[0] == self.root.member:
            self.take_from_outside(self.root, event, step)
        else:
            self._cross(self._target(members[0], self._key(event), None), event, copy_context(), None)

    def take_from_outside(self, run: Among, event: Event, step: str | None) -> None:
        """A run is sent an event by nobody in the conversation."""
        if step is None:
            self.take(run, event, copy_context(), None)
            return
        context = copy_context()
        run.make_ambient(context)
        run.perform(run.machine.event_sent(event, context, step, at=run.clock(), outside=True))

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

    def outermost(self) -> Ways:
        """The conversation that no request has opened, or that one from outside has."""
        talk = self
        while talk.within is not None:
            talk = talk.within
        return talk

    # -- what waits ----------------------------------------------------------------------------------------------

    def waits(self, run: Among, waiter: Waiter) -> None:
        """A step waits: it is given what came from outside before and nobody has waited for."""
        event = self.outermost().root.machine.hand_over(waiter)
        if event is not None:
            self.take(run, event, copy_context(), None)
        elif waiter.error is not None:  # its own condition has failed
            run.perform(run.machine.receive(WaitAnswered(waiter=waiter, event=None)))

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

    def _undeclared(
        self, run: Among, kind: type[Event], to: tuple[str, ...], sender: str | None
    ) -> UndeclaredEventError:
        name = kind.__name__
        who = sender or run.machine.plan.name
        return UndeclaredEventError(
            f"{who} sends {name} to {', '.join(self.told(each) for each in to)}, but no step of "
            f"{run.machine.plan.name} names it in its return annotation; add {name} to that of {who}"
        )


def _enter(run: Among, back: Among | None) -> None:
    """What runs in this context belongs to the run, and works for the other."""
    ambient.set(cast("Driver", run))
    behalf.set(back)


def accepts(run: Among, kind: type[Event]) -> bool:
    """Whether a step of the run takes such events."""
    return bool(run.machine.plan.routes.find(kind))
