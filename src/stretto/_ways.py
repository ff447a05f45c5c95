"""The ways of events between the runs of a conversation.

An event goes, at once and in the order of sending, to the step that asked, if it is the reply; to the run that sent it,
if its class takes it; to the run of the member that takes it; if no member does, to the run on whose behalf it was
sent, which may wait for it; else it is a dead letter. On whose behalf a step works is a context variable, so all that
an event causes inside a run inherits it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from contextvars import Context as VarContext, copy_context
from functools import partial
from typing import TYPE_CHECKING, cast

from ._among import Among, behalf
from ._core.effects import Outward
from ._core.inputs import Interrupted, Roused, WaitAnswered
from ._core.returning import is_stop
from ._core.state import DeadLetter, Delivery
from ._core.waiting import Waiter
from ._driver import Driver, ambient
from ._party import Party
from .errors import QueueFullError, RoutingError, UndeclaredEventError, add_note, name_of, near, shown
from .events import Event

if TYPE_CHECKING:
    from ._core.permits import Lane
    from ._core.succession import Estate

__all__ = ["Ways", "accepts"]

_ANY_TIME = 0.0


class Ways(Party):
    """Who of the runs of a conversation gets what."""

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
        try:
            key = self._key(event, to)
        except BaseException as error:  # noqa: ASYNC103 - told where it is sent, or to the run, which it ends
            if claims:
                raise
            self._not_told(run, event, error)
            return True  # noqa: ASYNC104
        if claims and len(to) > 1:
            self._claim_all(run, event, carry, back, to, key)
        for name in to:
            self._give_to(name, run, event, carry, back, key, claims=claims)
        return True

    def _give_to(  # noqa: PLR0917 - of one event
        self,
        name: str,
        run: Among,
        event: Event,
        carry: VarContext,
        back: Among | None,
        key: Hashable,
        *,
        claims: bool,
    ) -> None:
        if name == run.member:
            self.take(run, event, carry, back, claims=claims)
        else:
            self._cross(self._target(name, key, back), event, carry, run, claims=claims)

    def _claim_all(  # noqa: PLR0917 - of one event
        self,
        run: Among,
        event: Event,
        carry: VarContext,
        back: Among | None,
        to: tuple[str, ...],
        key: Hashable,
    ) -> None:
        """Raises unless all receivers of a broadcast have room for it."""
        for name in to:
            target = run if name == run.member else self._known(name, key, back)
            if target is None:
                continue
            try:
                target.machine.check_room(event)
            except QueueFullError as full:
                full.receivers = tuple(
                    partial(self._give_to, each, run, event, carry, back, key, claims=True) for each in to
                )
                raise

    def has_receiver(self, run: Among, kind: type[Event]) -> bool:
        """Whether a member gets such events of this run."""
        return bool(self.wiring.receivers(cast("str", run.member), kind))

    def _to_behalf(self, run: Among, event: Event, carry: VarContext, back: Among | None) -> bool:
        """What no member takes may be waited for by the run on whose behalf it was sent, now or later."""
        back = None if back is None else back.latest()
        if back is None or back is run or back.around is None or back.machine.ended is not None:
            return False
        self._cross(back, event, carry, run)
        return True

    def _key(self, event: Event, to: Iterable[str]) -> Hashable:
        """The key of an event, as far as there are keys, for the members that it goes to.

        Raises:
            BaseException: What the function of the user raises that gives it, or a key when it is hashed or compared.
        """
        key_of = self.wiring.keys.get(type(event))
        if key_of is None:
            return None
        from ._answers import ask, called, raisable  # noqa: PLC0415 - for who has keys

        try:
            key = ask(key_of, event)
            for name in to:
                self.conversation.knows(name, key)
        except BaseException as error:  # noqa: BLE001 - it is raised again, or another for it
            whose = f"connect({type(event).__name__}, key={called(key_of)})"
            other = raisable(error, whose)
            add_note(other, f"raised by {whose}, asked about {shown(event)}")
            raise other  # noqa: ASYNC104, B904 - it is the error, or has it as its cause
        return key

    def _not_told(self, run: Among, event: Event, error: BaseException) -> None:
        """Nobody can be told of what was returned by the one who sends it: that ends the run, and the event is told."""
        self.dead(DeadLetter(event, "its key could not be told"), run)
        if run.machine.ended is None:
            run.perform(run.machine.receive(Interrupted(error=error)))

    def _target(self, name: str, key: Hashable, back: Among | None) -> Among:
        """The run of the member, which may have to be opened."""
        known = None if back is None or back.member is None else (back.member, back)
        target = self.conversation.find(name, key, known)
        if target is not None and target.machine.ended is None:  # as most of the time
            return target
        return self._known(name, key, back) or self._open(name, key)

    def _known(self, name: str, key: Hashable, back: Among | None) -> Among | None:
        """The run of the member that takes an event; None if a new one is to be opened."""
        known = None if back is None or back.member is None else (back.member, back)
        target = self.conversation.find(name, key, known)
        if target is not None and target.machine.ended is not None:
            target = target.latest()
            if target in self._runs and target.machine.ended is not None:
                return None
        return target

    def _cross(
        self, target: Among, event: Event, carry: VarContext, sender: Among | None, *, claims: bool = True
    ) -> None:
        talk = cast("Ways", target.around)
        if talk is not self:
            self.conversation.left = True
        talk.take(target, event, carry, sender, claims=claims)

    def take(
        self,
        run: Among,
        event: Event,
        carry: VarContext,
        back: Among | None,
        *,
        claims: bool = True,
        step: str | None = None,
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
        rests = self._rests(run)
        if rests:
            if self.supervisor is not None and self.supervisor.refuses(run, event):
                return
            self._runs.setdefault(run, None)
            run.wake_up()
        timed = machine.plan.joins or machine.flows is not None or is_stop(event)
        at = run.clock() if timed else _ANY_TIME  # nothing else asks when it was sent
        try:
            effects = machine.event_sent(event, context, step, at=at, outside=True, claims=claims)
        except QueueFullError as full:
            full.refused_by = run, context
            raise
        for effect in effects:
            if type(effect) is Delivery:
                run.push(effect)
            else:
                run.perform((effect,))
        if rests:
            self._begin(run)
        self.note(run)

    def rouse(self, run: Among, lane: Lane) -> None:
        """What another run held back from a run of this conversation may begin now."""
        rests = self._rests(run)
        if rests:
            run.wake_up()
        run.perform(run.machine.receive(Roused(lane=lane, at=run.clock())))
        if rests:
            self._begin(run)
        self.note(run)

    def _rests(self, run: Among) -> bool:
        """Whether it was opened, has nothing to do, and has no task."""
        return run not in self._at_work and run is not self.root and run.machine.ended is None

    def _begin(self, run: Among) -> None:
        """A run that rested begins to work, if there is something to do."""
        if not run.has_work or self.conversation.closing:
            return
        self._at_work[run] = None
        if self.tg is None:
            self._early.append(run)
        else:
            self.spawn(partial(self._host, run))

    def hand_on(self, heir: Among, estate: Estate) -> None:
        """Gives it what the run before it had not begun with."""
        heir.wake_up()
        heir.perform(estate.hand_on(heir.machine, partial(_enter_copy, heir), heir.clock()))
        self._begin(heir)

    def send_from_outside(self, event: Event, step: str | None, to: str | None) -> None:
        """Sends an event from outside to the run that waits for it, else to the one that accepts it."""
        kind = type(event)
        if to is not None:
            self._check_member(to)
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
            self._give(found[0], event, step)
            return
        members = self.wiring.receivers(None, kind) if to is None else (to,)
        if len(members) > 1:
            raise RoutingError(
                f"{shown(event)} would be taken by several members: {', '.join(members)}; say which one is meant: "
                f"run.send_event(ev, to={members[0]!r})"
            )
        if not members or members[0] == self.root.member:
            self._give(self.root, event, step)
        else:
            self._give(self._target(members[0], self._key(event, members[:1]), None), event, step)

    def _check_member(self, to: object) -> None:
        if not isinstance(to, str):
            raise RoutingError(f"to= is the name of a member, as in to={self.root.member!r}, not {shown(to)}")
        if to not in self.board.seats:
            names = list(self.board.seats)
            raise RoutingError(
                f"the application has no member {to!r}, it has: {', '.join(names)}{near(to, names)}"
            )

    @staticmethod
    def _give(run: Among, event: Event, step: str | None) -> None:
        """A run is sent an event by nobody in the conversation."""
        cast("Ways", run.around).take(run, event, copy_context(), None, step=step)

    # -- what waits ----------------------------------------------------------------------------------------------

    def waits(self, run: Among, waiter: Waiter) -> None:
        """A step waits: it is given what came from outside before and nobody has waited for."""
        event = self.outermost().root.machine.hand_over(waiter)
        if event is not None:
            self.take(run, event, copy_context(), None)
        elif waiter.error is not None:  # its own condition has failed
            run.perform(run.machine.receive(WaitAnswered(waiter=waiter, event=None)))

    def _undeclared(
        self, run: Among, kind: type[Event], to: tuple[str, ...], sender: str | None
    ) -> UndeclaredEventError:
        name = name_of(kind, (each for step in run.machine.plan.steps for each in step.returns))
        who = sender or run.machine.plan.name
        return UndeclaredEventError(
            f"{who} sends {name} to {', '.join(self.told(each) for each in to)}, but no step of "
            f"{run.machine.plan.name} names it in its return annotation; add {name} to that of {who}"
        )


def _enter(run: Among, back: Among | None) -> None:
    """What runs in this context belongs to the run, and works for the other."""
    ambient.set(cast("Driver", run))
    behalf.set(back)


def _enter_copy(run: Among, carry: VarContext) -> VarContext:
    """The context variables of what goes to another run; on whose behalf it is stays as it was."""
    context = carry.copy()
    run.make_ambient(context)
    return context


def accepts(run: Among, kind: type[Event]) -> bool:
    """Whether a step of the run takes such events."""
    return bool(run.machine.plan.routes.find(kind))
