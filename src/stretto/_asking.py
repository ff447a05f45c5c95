"""A request: one step asks, and waits in its middle for the reply.

It opens a conversation below that of the step, in whose task group it runs, because it may outlast both the step and
the reply. The step waits as for any event, for one of a class that no event has; so it is the request alone that wakes
it, with the reply or with what went wrong.
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, cast, final
from weakref import WeakKeyDictionary

import anyio

from ._among import Among
from ._core.inputs import WaitAnswered, WaitBegan, WaitCancelled
from ._core.state import Delivery
from ._core.waiting import Waiter
from ._loop import outlast
from ._party import make_run
from ._ways import Ways
from .errors import (
    DefinitionError,
    RunEndedError,
    UndeclaredEventError,
    WorkflowError,
    WorkflowTimeoutError,
    name_of,
)
from .events import Event

if TYPE_CHECKING:
    import anyio.lowlevel

__all__ = ["Request", "told_late"]

E = TypeVar("E", bound=Event)
X = TypeVar("X", bound=BaseException)

_DEEPEST = 50  # requests within requests; deeper ones are a cycle
_TOLD = 6
_HAIR = 1e-6  # seconds; a deadline is a sum of floats

_kinds: WeakKeyDictionary[type[Event], type[Event]] = WeakKeyDictionary()


@final
class Request(Generic[E]):
    """One request of one step.

    Attributes:
        member: The member that is asked.

    Raises:
        DefinitionError: If not exactly one member takes such events.
        UndeclaredEventError: If the class of the step does not name them.
        WorkflowError: If it is the fifty-first within others.
    """

    def __init__(
        self, around: Ways, run: Among, delivery: Delivery, kind: type[Event], reply: type[E]
    ) -> None:
        self._around = around
        self._run = run
        self._reply = reply
        self._label = delivery.step.label
        self._limit: float | None = None
        self._source = next(each for each in (run, *run.runs_around()) if each.member is not None)
        self.member = self._find(kind)
        self._woken = anyio.Event()
        self._ended = anyio.Event()
        self._waiter = Waiter(
            delivery=delivery, kind=_kind_of(reply), wake=self._woken.set, feeds=run.around is None
        )

    def _find(self, kind: type[Event]) -> str:
        """The member that is asked, if all is well."""
        around, label = self._around, self._label
        source = cast("str", self._source.member)
        to = around.wiring.receivers(source, kind)
        if len(to) != 1:
            name = name_of(kind, around.wiring.taken())
            who = ", ".join(around.told(each) for each in to) or "no member"
            raise DefinitionError(
                f"{label} requests {self._reply.__name__} with {name}, which is taken by {who}; a request goes to one "
                f"member: write app.connect({name}, to=…), or add a step with ev: {name} to one"
            )
        if not around.wiring.declares(source, kind):
            name = name_of(kind, around.wiring.taken())
            raise UndeclaredEventError(
                f"{label} asks {around.told(to[0])} with {name}, but no step of {around.told(source)} names it in its "
                f"return annotation; add {name} to that of {label}"
            )
        if around.conversation.depth >= _DEEPEST:
            chain = [to[0], source, *(each for each, _ in around.conversation.callers())][: _TOLD + 1]
            raise WorkflowError(
                f"{label} asks {around.told(to[0])}, {_DEEPEST} requests deep: {' <- '.join(chain)} <- …; let one of "
                "them answer without asking"
            )
        return to[0]

    def make_root(self, limit: float | None) -> Among:
        """The run that is asked; its time is what the caller has left, or less."""
        self._limit = limit
        limits = [each for each in (limit, self._run.remaining()) if each is not None]
        root = make_run(self._around.board, self.member, self._run, min(limits, default=None))
        root.caller = self._source
        root.made_by = self._waiter.delivery
        return root

    async def refuse_late(self) -> None:
        """Raises if its run is over, as in a clean-up.

        Raises:
            RunEndedError: It is.
        """
        if self._around.tg is None or self._run.machine.ended is not None:
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise RunEndedError(
                f"{self._label} requests {self._reply.__name__}, but its run is over, and nothing would wait for it"
            )

    async def ask(self, below: Ways, event: Event) -> E:
        """Opens the conversation, and waits for the reply."""
        run, waiter = self._run, self._waiter
        parks = run.inside
        below.asks(self._reply, self._give)
        self._around.conversation.ask()
        below.root.begin(event, copy_context())
        self._around.spawn(partial(self._host, below))
        run.perform(run.machine.receive(WaitBegan(waiter=waiter, parks=parks, at=run.clock())))
        try:
            await self._woken.wait()
        except BaseException:
            run.perform(run.machine.receive(WaitCancelled(waiter=waiter)))
            if below.answer is None:
                below.leave("because who asked was cancelled")
            await outlast(self._ended.wait)  # noqa: ASYNC102 - it shields itself
            raise
        if waiter.error is not None:
            raise waiter.error
        return cast("E", waiter.event)

    def _give(self, event: Event | None) -> None:
        self._run.perform(self._run.machine.receive(WaitAnswered(waiter=self._waiter, event=event)))

    async def _host(self, below: Ways) -> None:
        """Runs it; what fails it is raised where it was asked, or around it once it was answered."""
        failure: BaseException | None = None
        try:
            failure = await below.root.settle()
        finally:
            self._ended.set()
            self._around.conversation.answered(below.conversation)
            if failure is not None:
                self._tell(below, failure)
            self._around.judge()

    def _tell(self, below: Ways, failure: BaseException) -> None:
        if below.answer is None and isinstance(failure, Exception):
            self._waiter.error = told_late(failure, below, self._limit, f"{self._label} asked")
            self._give(None)
        elif not below.root.was_cancelled:  # Ctrl-C does not wait for who asked
            self._around.fail(failure)


def told_late(failure: X, asked: Ways, limit: float | None, who: str) -> X | WorkflowTimeoutError:
    """The failure of a request; if it is that the time which was given to it has passed, that is said of the request.

    Otherwise the run that was asked would seem to have a time limit that its class does not have.
    """
    if (
        limit is None
        or asked.reply is None
        or not isinstance(failure, WorkflowTimeoutError)
        or failure is not asked.root.machine.verdict
        or abs(failure.timeout - limit) > _HAIR
    ):
        return failure
    active = [f"{step} x{count} for {age:.3g} s" for step, (count, age) in failure.active.items()]
    return WorkflowTimeoutError(
        f"{who} {asked.name}, and no {asked.reply.__name__} came within the {limit:.6g} s of the request; "
        f"{'active: ' if active else ''}{', '.join(active) or 'no step was active'}",
        failure.timeout,
        failure.active,
        failure.queued,
    )


def _kind_of(reply: type[Event]) -> type[Event]:
    """A class that no event has."""
    kind = _kinds.get(reply)
    if kind is None:
        kind = _kinds[reply] = type(f"the reply {reply.__name__}", (Event,), {})
    return kind
