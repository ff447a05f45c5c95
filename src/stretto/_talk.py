"""A conversation at work: the runs that one call causes, and their common end.

The run that was called has an owner, as any run has: the task that awaits it, or its block. Around it stands one task
group for the runs that its events open. Such a run has a task only while it has something to do: one period of work is
one execution of its driver, so it costs nothing while it is idle, and does not age.

What is decided, and not done, is in `_core.conversation` and `_core.wiring`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, final

import anyio

from ._among import Among
from ._asking import Request
from ._board import Board
from ._core.conversation import Verdict
from ._core.inputs import Interrupted
from ._core.reporting import at_work
from ._core.state import DEAD_LETTERS_KEPT, DeadLetter, Delivery, Ended
from ._loop import outlast
from ._party import Supervising
from ._ways import Ways, accepts
from .errors import DeadLetterError, WorkflowStalledError, add_note, shown
from .events import Event

if TYPE_CHECKING:
    from ._stock import Stock
    from .supervision import Restart

__all__ = ["Talk"]

E = TypeVar("E", bound=Event)

_TOLD = 6
_FAILURES = {Ended.FAILED, Ended.TIMED_OUT}


@final
class Talk(Ways):
    """One conversation of an application, see the module."""

    _held = False

    def __init__(self, board: Board, root: Among, member: str, *, within: Ways | None = None) -> None:
        super().__init__(board, root, member, within)
        self._over = anyio.Event()
        board.enter(self)

    def to_dict(self, types: Iterable[type]) -> dict[str, Any]:
        """A snapshot of all of it; a request has none of its own, because it is dropped with a restart."""
        if self.within is not None:
            return cast("Talk", self.within).to_dict(types)
        from ._saved_talk import write_talk  # noqa: PLC0415 - loaded by who uses it

        return write_talk(self, types)

    def hold(self) -> None:
        """It is not judged before it is at work: its runs come in one by one."""
        self._held = True
        self.conversation.below += 1

    async def request(
        self, run: Among, delivery: Delivery, event: Event, reply: type[E], limit: float | None
    ) -> E:
        """Asks another member on behalf of a step, which waits here for the reply."""
        request = Request(self, run, delivery, type(event), reply)
        await request.refuse_late()
        if self.supervisor is not None:
            limit = await self.supervisor.admit(request.member, limit, delivery.step.label)
        below = Talk(self.board, request.make_root(limit), request.member, within=self)
        return await request.ask(below, event)

    def answered(self, event: Event) -> None:
        """The reply is there: who asked goes on, and its time limit is one no more."""
        machine = self.root.machine
        if (now := self.root.clock()) >= machine.deadline:
            self.root.perform((DeadLetter(event, f"the request to {self.name} had timed out, {now:.6g}"),))
            return
        self.answer = event
        self.conversation.done = True
        if self.give is not None:
            self.give(event)
        if self.within is not None:
            machine.limit(self.within.root.machine.deadline)
            if self.root.scope is not None:
                self.root.scope.deadline = machine.deadline
        if not self.board.drains:
            self.finish()
            self._cut()

    def stock(self) -> Stock:
        """The resources of the application."""
        return self.board.make_stock()

    # -- what has happened -----------------------------------------------------------------------------------

    def note(self, run: Among) -> None:
        """Something has happened in a run: it may have begun to work, or have nothing to do."""
        machine = run.machine
        if run.works and machine.active and machine.ended is None:
            return  # as most of the time
        if machine.ended is not None:
            works, fed = run in self._at_work, False
        else:
            works = bool(machine.active or machine.is_timed)
            fed = machine.feeders > (not machine.opened) or (machine.plan.fed and not machine.closed)
            fed = fed or (not machine.closed and self._is_fed(run))
        run.works = works
        self.conversation.note(run, works=works, fed=fed)
        if not works:
            self.judge()

    def _is_fed(self, run: Among) -> bool:
        """Whether a type that the application takes from outside is accepted by it."""
        external = self.wiring.external
        return bool(external) and any(accepts(run, kind) for kind in external)

    def judge(self) -> None:
        who, verdict = self.conversation.judge()
        if verdict is Verdict.GOES_ON or anyio.current_effective_deadline() == -math.inf:
            return  # what a cancellation empties is not stuck
        talk = cast("Talk", who.root.around)
        if verdict is Verdict.STUCK:
            talk.fail_stuck()
        else:
            talk.finish()

    def finish(self) -> None:
        self._over.set()
        if self.conversation.asks and self.root.machine.ended is None:
            self.root.cancel("because its request was answered")

    def fail_stuck(self) -> None:
        runs = [self.root, *self._runs]
        why = [f"{run.member}: {reason}" for run in runs for reason in run.machine.why_stuck()]
        missing = "" if self.reply is None else f"no {self.reply.__name__} came, and "
        stuck = WorkflowStalledError(
            f"the conversation of {self.name} is stuck: {missing}nothing is left to run; "
            f"{'; '.join(why[:_TOLD]) or 'no step returned an event'}. Return a StopEvent to end the run that was "
            "called; if an event is to come from outside, declare its class so: class Go(Event, external=True)"
        )
        self._note_restarts(stuck)
        self.fail(stuck)

    def feeds(self, kind: type[Event]) -> bool:
        """Whether a wait for such events is one for somebody outside: for a type that no member sends."""
        return self.wiring.comes_from_outside(kind) or not self.wiring.is_sent(kind)

    def closed(self, run: Among) -> None:
        """A run without a caller has returned a StopEvent: the next event for its member opens another."""
        self.conversation.close(cast("str", run.member), self._runs.get(run), run)

    def keep_letter(self, letter: DeadLetter, run: Among) -> DeadLetter:
        """Keeps a dead letter of one of its runs where it is looked for."""
        letter = letter.of(run.member)
        self.board.letters.add(letter)
        around = self.outermost()
        if around.kept_letters is None:
            around.kept_letters = deque(maxlen=DEAD_LETTERS_KEPT)
        around.kept_letters.append(letter)
        return letter

    def dead(self, letter: DeadLetter, run: Among) -> None:
        """Nobody took an event of this conversation."""
        letter = self.keep_letter(letter, run)
        machine = self.root.machine
        if self.board.strict and machine.ended in {None, Ended.STOPPED} and not machine.errors:
            self.fail(
                DeadLetterError(
                    f"{shown(letter.event)} of {run.member} is a dead letter: {letter.reason}; this application was "
                    'made with dead_letters="error"',
                    letter.event,
                )
            )

    def fail(self, error: BaseException) -> None:
        """Ends the conversation with an error."""
        machine = self.root.machine
        if machine.ended is Ended.STOPPED:
            add_note(error, f"{self.name} had its result already: {shown(machine.result)}")
        self.root.perform(machine.receive(Interrupted(error=error)))
        self._over.set()
        self._cut()

    def leave(self, why: str) -> None:
        """Ends the conversation without one."""
        self.root.cancel(why)

    def decided(self, run: Among) -> None:
        """If the run that was called has failed, the others do not go on while it cleans up."""
        ended = run.machine.ended
        if run is not self.root and self.board.supervise is not None and ended in _FAILURES:
            self.supervised(self.board.supervise).failed(run)
        if run is not self.root or ended is Ended.STOPPED:
            return
        self._note_restarts(run.machine.verdict)
        self._over.set()
        self.conversation.closing = True
        for other in tuple(self._at_work):
            if other is not run:
                other.cancel(f"because {self.name} was over")

    def supervised(self, policies: Mapping[str, Restart]) -> Supervising:
        """What restarts its members; made when it first has to."""
        if self.supervisor is None:
            from ._supervisor import Supervisor  # noqa: PLC0415 - loaded by who uses it

            self.supervisor = Supervisor(self, policies)
        return self.supervisor

    def _note_restarts(self, error: BaseException | None) -> None:
        """What has failed before may be why this conversation comes to nothing."""
        if self.supervisor is not None and error is not None and not self.conversation.closing:
            for note in self.supervisor.notes():
                add_note(error, note)

    def cancelled(self, run: Among) -> None:
        """Somebody cancels a run; if it is the one that was called, nothing is waited for any more."""
        if run is self.root:
            self._over.set()

    # -- its life --------------------------------------------------------------------------------------------

    async def enclose(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs the run that was called, and whatever it causes; when this is over, nothing of it is left."""
        late: BaseException | None = None
        try:
            async with anyio.create_task_group() as tg:
                self.tg = tg
                for run in self._early:
                    self.spawn(partial(self._host, run))
                if self.conversation.closing:
                    tg.cancel_scope.cancel()
                if self._held:
                    self.conversation.below -= 1
                    self.judge()
                try:
                    await work()
                except BaseException:
                    self._cut()
                    raise
                await self._after_root()
                self._cut()
                try:
                    await outlast(self.none_left)
                except (anyio.get_cancelled_exc_class(), KeyboardInterrupt) as error:  # noqa: ASYNC103 - raised below
                    late = error  # the group, which is cancelled, would take a native one for its own
        finally:
            self.over = True
            self.tg = None
            self._tidy()
        if late is not None:
            raise late

    async def _after_root(self) -> None:
        """The run that was called is over: the others finish what they have begun, or are cut."""
        machine = self.root.machine
        self._at_work.pop(self.root, None)
        if machine.ended is not Ended.STOPPED or machine.errors:
            return
        if self.board.drains:
            self.conversation.done = not self.conversation.asks or self.answer is not None
            self.note(self.root)
            with anyio.CancelScope(deadline=machine.deadline):
                await self._over.wait()
            if (now := self.root.clock()) >= machine.deadline and not machine.errors:
                self.fail(machine.overdue(now))
        elif self.conversation.asks and self.answer is None:
            self.fail_stuck()

    def _cut(self) -> None:
        self.conversation.closing = True
        if self.tg is not None:
            self.tg.cancel_scope.cancel()

    async def _host(self, run: Among) -> None:
        """One period of work of a run that nobody called, or several that follow at once."""
        failure: BaseException | None = None
        replaced = False
        try:
            if self.supervisor is not None:
                await self.supervisor.hold(run)
            while failure is None and run.has_work and run.machine.ended is None:
                failure = await run.settle()
                if failure is None and run.has_work and run.machine.ended is None:
                    run.wake_up()
        finally:
            self._at_work.pop(run, None)
            self._retire(run)
            if self.supervisor is not None:
                replaced = self.supervisor.left(run)
        if replaced and isinstance(failure, Exception):
            failure = None
        if failure is not None and self.conversation.closing and run.was_cancelled:
            failure = None  # it was cut
        if failure is not None:
            add_note(failure, f"in {self.told(cast('str', run.member))}, which works for {self.name}")
            if not self.conversation.closing:
                self._note_at_work(failure, run)
            self.fail(failure)
        self.note(run)

    def _retire(self, run: Among) -> None:
        """Forgets a run that has been closed, if nothing is left in it; what comes back to it wakes it once more."""
        machine = run.machine
        run.queue.close()  # it gets another when it works again
        if machine.ended is not None:
            self.conversation.close(cast("str", run.member), self._runs.get(run), run)
            if machine.ended is Ended.STOPPED:
                self._tell_leftovers(run)
                self._runs.pop(run, None)
        else:
            self.forget_idle(run)

    def _note_at_work(self, error: BaseException, failed: Among) -> None:
        now = self.root.clock()
        for run in [self.root, *self._runs][:_TOLD]:
            if run is not failed and (told := at_work(run.machine, now)):
                add_note(error, f"meanwhile in {run.member}: {told}")

    def concluded(self) -> None:
        """The run that was called is over, and with it all others: what they have not used is told."""
        if not self.over:  # it was never at work
            self._tidy()
        self.over = True
        if self.within is not None:
            self.within.below.pop(self, None)
        self.board.leave(self)

    def _tidy(self) -> None:
        """What its runs have not used is told."""
        self.conversation.closing = True
        for run in tuple(self._runs):
            if run.outcome is None:
                run.abandon(f"because the conversation of {self.name} is over")
            self._tell_leftovers(run)
        self._tell_leftovers(self.root)
        self._runs.clear()

    def _tell_leftovers(self, run: Among) -> None:
        for event in tuple(run.machine.leftovers()):
            self.dead(DeadLetter(event, f"{run.member} had not used it when its conversation ended"), run)
