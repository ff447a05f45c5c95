"""The restarts of the members in one conversation: which run takes whose place, and from when on it works.

The new run is there as soon as the old one has failed, and takes in what comes. It is held until all that it replaces
have cleaned up and its backoff is over, in the task that will run it: while it has nothing to do there is no task, and
nobody waits for its time.

What is decided, and not done, is in `_core.supervision` and `_core.succession`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast, final

import anyio
import attrs

from ._among import Among
from ._core.inputs import Interrupted
from ._core.state import DeadLetter, Ended
from ._core.succession import in_flight, take_estate
from ._core.supervision import Again, GivesUp, Restarts
from ._draw import draw
from ._log import logger
from .errors import InternalError, WorkflowError, WorkflowTimeoutError, add_note, shown
from .events import Event
from .supervision import Restart

if TYPE_CHECKING:
    from ._ways import Ways

__all__ = ["Supervisor"]

_TOLD = 6


@final
@attrs.define(eq=False, kw_only=True)
class _Pause:
    """What the runs wait for that take the places of others.

    Attributes:
        due: When they begin to work.
        left: How many of the old ones have not cleaned up.
        over: Set when none is left.
    """

    due: float
    left: int = 0
    over: anyio.Event = attrs.field(factory=anyio.Event)

    def wait(self, now: float) -> float:
        """Seconds until it is over, if the old ones clean up in time."""
        return max(0.0, self.due - now)


@final
@attrs.frozen(eq=False)
class _Hold:
    """A run that does not work yet."""

    pauses: list[_Pause]
    discards: bool

    def lasts(self, now: float) -> bool:
        """Whether it may not begin yet, whatever there is to do."""
        return any(pause.left or pause.due > now for pause in self.pauses)

    def wait(self, now: float) -> float:
        """Seconds until its backoff is over."""
        return max(pause.wait(now) for pause in self.pauses)

    async def end(self) -> None:
        """Waits until it may begin."""
        for pause in self.pauses:  # of which there may be more by then
            if pause.left:
                await pause.over.wait()
            await anyio.sleep_until(pause.due)


@final
@attrs.frozen(eq=False)
class _Leaving:
    """An old run that cleans up: what its successor waits for, and why it has ended."""

    pause: _Pause
    why: str


@final
class Supervisor:
    """What supervises one conversation, see the module; made when a supervised run has failed."""

    def __init__(self, talk: Ways, policies: Mapping[str, Restart]) -> None:
        self._talk = talk
        self._policies = policies
        self._records: dict[str, Restarts] = {}
        self._held: dict[Among, _Hold] = {}
        self._leaving: dict[Among, _Leaving] = {}
        self._told: deque[str] = deque(maxlen=_TOLD)
        self._given_up: set[Among] = set()

    # -- a failure -------------------------------------------------------------------------------------------

    def failed(self, run: Among) -> None:
        """A run that an event has opened has failed: another takes its place, or the error says why not."""
        policy = self._policies.get(cast("str", run.member))
        machine = run.machine
        if (
            policy is None
            or run in self._given_up
            or run.successor is not None
            or self._talk.conversation.closing
        ):
            return
        if machine.ended is Ended.FAILED and anyio.current_effective_deadline() == -math.inf:
            return  # it has failed in the clean-up of a cancellation, which is not to be outlived
        error = machine.error()
        if not isinstance(error, Exception) or isinstance(error, InternalError):
            return
        try:
            decided = self._ask(run, policy, error)
        except Exception as broken:  # noqa: BLE001 - of the user's predicate or wait
            self._not_told(run, error, broken)
        except BaseException as broken:  # noqa: ASYNC103, BLE001 - it ends the conversation
            add_note(broken, f"raised when a restart of {self._name(run)} was asked about {shown(error)}")
            machine.receive(Interrupted(error=broken))
        else:
            if decided is not None:
                self._decide(run, policy, error, decided)

    def _ask(self, run: Among, policy: Restart, error: Exception) -> Again | GivesUp | None:
        """What the policy says; None if the error is not worth a restart."""
        if not policy.on.holds(error):
            return None
        record = self._record(cast("str", run.member), policy)
        return record.failed(run.clock(), draw(), self._talk.root.machine.deadline)

    def _not_told(self, run: Among, error: Exception, broken: Exception) -> None:
        """The predicate or the wait has failed, which is no failure of a step: the member fails as without a policy."""
        self._given_up.add(run)
        name = self._name(run)
        add_note(
            error, f"{name} is not restarted: its Restart was asked about this, and raised {shown(broken)}"
        )
        logger().error(
            "%s: %s is not restarted: its Restart was asked about %s, and raised %s",
            self._talk.name,
            name,
            shown(error),
            shown(broken),
            exc_info=broken,
        )

    def _decide(self, run: Among, policy: Restart, error: Exception, decided: Again | GivesUp) -> None:
        at = run.clock()
        if not isinstance(decided, Again):
            self._given_up.add(run)
            add_note(error, f"{self._name(run)} is not restarted: {decided.why}")
            for line in self._told:
                add_note(error, f"before that, {line}")
            return
        self._told.append(f"{self._name(run)} was restarted after {shown(error)}")
        logger().warning(
            "%s: %s failed with %s and is restarted in %.3g s, restart %d of %d in %.6g s",
            self._talk.name,
            self._name(run),
            shown(error),
            decided.due - at,
            decided.number,
            policy.limit,
            policy.period,
            exc_info=error,
        )
        pause = _Pause(due=decided.due)
        why = f"{self._name(run)} failed with {shown(error)} and was restarted"
        rest = list(self._rest(run)) if policy.strategy == "rest_for_one" else []
        self._replace(run, _Leaving(pause, why), policy)
        for other in rest:
            self._cancel(
                other, pause, policy, f"{self._name(other)} was restarted, because {self._name(run)} failed"
            )

    def _record(self, member: str, policy: Restart) -> Restarts:
        if member not in self._records:
            self._records[member] = Restarts(limit=policy.limit, period=policy.period, backoff=policy.backoff)
        return self._records[member]

    def _rest(self, run: Among) -> Iterator[Among]:
        """The opened runs of the members that were declared after that of this one."""
        members = list(self._talk.board.seats)
        after = members[members.index(cast("str", run.member)) + 1 :]
        return (each for each in self._talk.opened_runs() if each.member in after)

    def _cancel(self, run: Among, pause: _Pause, policy: Restart, why: str) -> None:
        held = self._held.get(run)
        if held is not None:  # it has not begun
            held.pauses.append(pause)
            return
        self._replace(run, _Leaving(pause, why), self._policies.get(cast("str", run.member), policy))
        if self._talk.is_at_work(run):
            run.cancel(f"because {why}")
        else:
            run.abandon(f"because {why}")
            self.left(run)

    # -- one in the place of another -------------------------------------------------------------------------

    def _replace(self, run: Among, leaving: _Leaving, policy: Restart) -> None:
        talk, pause = self._talk, leaving.pause
        pause.left += 1
        self._leaving[run] = leaving
        self._held.pop(run, None)
        heir = talk.replace(run)
        discards = policy.mailbox == "discard"
        self._held[heir] = _Hold([pause], discards)
        estate = take_estate(run.machine)
        if discards:
            reason = f"it was queued when {leaving.why}, and its mailbox was discarded"
            self._tell(run, estate.events(), reason)
            estate = attrs.evolve(estate, queued=[], mail=[])
        talk.hand_on(heir, estate)
        if talk.forget_idle(heir):
            del self._held[heir]

    def left(self, run: Among) -> bool:
        """A run has ended and cleaned up; whether another is in its place, so that its failure is nobody's."""
        leaving = self._leaving.pop(run, None)
        if leaving is None:
            return False
        self._tell(run, in_flight(run.machine), f"it was being handled when {leaving.why}")
        self._tell(
            run, cast("Iterator[Event]", run.machine.leftovers()), f"it was not used when {leaving.why}"
        )
        leaving.pause.left -= 1
        if not leaving.pause.left:
            leaving.pause.over.set()
        return True

    def _tell(self, run: Among, events: Iterable[Event], reason: str) -> None:
        for event in tuple(events):
            logger().warning("%s: dead letter %s: %s", run.machine.plan.name, shown(event), reason)
            self._talk.keep_letter(DeadLetter(event, reason), run)

    # -- one that is held ------------------------------------------------------------------------------------

    def refuses(self, run: Among, event: Event) -> bool:
        """Whether an event comes for a run that is not there yet and does not wait; then it is told."""
        held = self._held.get(run)
        if held is None or not held.discards:
            return False
        now = run.clock()
        if not held.lasts(now):
            return False
        self._tell(run, (event,), self._discarded(run, held, now))
        return True

    def _discarded(self, run: Among, held: _Hold, now: float) -> str:
        return f"{self._name(run)} is to be restarted in {held.wait(now):.3g} s, and its mailbox is discarded"

    async def hold(self, run: Among) -> None:
        """Waits until a run may work, if it is held."""
        held = self._held.get(run)
        if held is None:
            return
        await held.end()
        del self._held[run]
        run.wake_up()

    async def admit(self, member: str, limit: float | None, who: str) -> float | None:
        """Waits until a member that is asked may work; gives what is left of the seconds of the request.

        Raises:
            WorkflowTimeoutError: If nothing is left.
            WorkflowError: If what comes before the restart is discarded.
        """
        clock = self._talk.root.clock
        began = clock()
        for run, held in [(run, held) for run, held in self._held.items() if run.member == member]:
            if not held.lasts(clock()):
                continue
            if held.discards:
                raise WorkflowError(
                    f"{who} asks a member that is not there: {self._discarded(run, held, clock())}"
                )
            with anyio.CancelScope(deadline=math.inf if limit is None else began + limit):
                await held.end()
            if limit is not None and clock() >= began + limit:
                raise WorkflowTimeoutError(
                    f"{who} asked {self._name(run)}, which was to be restarted first, and the {limit:.6g} s of the "
                    "request passed before",
                    limit,
                )
        return None if limit is None else limit - (clock() - began)

    # -- for snapshots ---------------------------------------------------------------------------------------

    @property
    def cleaning(self) -> Among | None:
        """A run that was replaced, and whose steps still clean up."""
        return next(iter(self._leaving), None)

    def write(self) -> dict[str, list[float]]:
        """For how many seconds each restart of each member counts already."""
        now = self._talk.root.clock()
        written = {member: list(record.ages(now)) for member, record in self._records.items()}
        return {member: ages for member, ages in written.items() if ages}

    def write_hold(self, run: Among) -> dict[str, object]:
        """How long it is until a run works, if it is held."""
        held = self._held.get(run)
        if held is None:
            return {}
        now = run.clock()
        return {"held": held.wait(now), "discards": held.discards}

    def take_up(self, member: str, ages: Iterable[float]) -> None:
        """The restarts of a member before the snapshot."""
        policy = self._policies.get(member)
        if policy is not None:
            self._record(member, policy).take_up(ages, self._talk.root.clock())

    def take_up_hold(self, run: Among, wait: float, *, discards: bool) -> None:
        """A run of the snapshot that was held."""
        self._held[run] = _Hold([_Pause(due=run.clock() + wait)], discards)

    # -- what can be seen ------------------------------------------------------------------------------------

    def notes(self) -> Iterator[str]:
        """What to say of it where the conversation has failed by itself."""
        yield from self._told
        now = self._talk.root.clock()
        for run, held in self._held.items():
            wait = held.wait(now)
            if wait:
                queued = sum(1 for _ in run.machine.leftovers())
                yield f"{self._name(run)} is to be restarted in {wait:.3g} s, and {queued} events wait for it"

    def _name(self, run: Among) -> str:
        return self._talk.told(cast("str", run.member))
