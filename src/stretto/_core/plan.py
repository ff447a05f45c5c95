"""What the machine may know of a workflow: names, types, limits and routes. No steps.

A `Plan` belongs to one workflow class and is shared by all of its runs; nothing in it changes after it was
made, but for the cache of routes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import attrs

from ..errors import names, near
from ..events import Event, InputRequiredEvent, StopEvent, is_external
from .recovering import Recovery, handler_for
from .routing import Routes

if TYPE_CHECKING:
    from ..retry import Policy
    from .gathering import Join
    from .policies import Policies
    from .run_state import StateKind

__all__ = ["OUTSIDE", "Plan", "StepPlan"]

OUTSIDE = -1  # in place of the index of a step: what no step has sent


@final
@attrs.define(eq=False, repr=False)
class StepPlan:
    """One step of one workflow class.

    Attributes:
        label: The step as messages name it: ``Poll.ask (poll.py:20)``.
        index: Its place in the order of definition, base class first.
        limit: How many deliveries of it may be at work at once in a run.
        awaits: Names in the code of a step that waits in its middle: among them the classes that it waits for.
        retry: When a failed attempt is followed by another; None for never.
        timeout: Seconds that one attempt may take.
        holds: Whether what an attempt sends waits until it has succeeded.
        lists: What stands in a list that it returns; empty if it returns none.
        bare: What it may send off that is in no list; None: all that it `returns`.
        join: For a step that joins: what it waits for.
        policies: How much it takes, and how often; None for all that comes.
        recovers: For a handler of failures: what it recovers, and how often.
        undo: The name of its undo; None if it has none.
        handler: Who recovers the step.
        may: The joins that a branch of this step may come to.
        calls: The joins of a list that it returns: they are called even if nothing arrives.
        further: For a join whose calls go on in the fork: the joins that they may come to.
        plain: Whether nothing but its return or its failure matters: it has no policy, no limit, no undo, holds nothing
            back, nobody recovers and no join settles its failures. Others take the longer way through the machine.
        stops: Whether it is plain and may return a StopEvent as it is.
        direct: For a returned type: the one step that takes it, where that is all there is to decide, and the number
            of this way in the plan.
        leads_out: For any other returned type, such as a StopEvent or what another run takes: the number of its way.
    """

    name: str
    label: str
    index: int
    limit: int
    accepts: tuple[type[Event], ...]
    accepts_subclasses: bool
    returns: tuple[type[Event], ...]
    lists: tuple[type[Event], ...] = ()
    awaits: frozenset[str] = frozenset()
    retry: Policy | None = None
    timeout: float | None = None
    holds: bool = False
    recovers: Recovery | None = None
    bare: tuple[type[Event], ...] | None = None
    join: Join | None = None
    undo: str | None = None
    policies: Policies | None = None
    handler: StepPlan | None = attrs.field(default=None, init=False)
    may: tuple[int, ...] = attrs.field(default=(), init=False)
    calls: tuple[int, ...] = attrs.field(default=(), init=False)
    further: tuple[int, ...] = attrs.field(default=(), init=False)
    plain: bool = attrs.field(default=True, init=False)
    stops: bool = attrs.field(default=False, init=False)
    direct: dict[type, tuple[StepPlan, int]] = attrs.field(
        factory=dict[type, tuple["StepPlan", int]], init=False
    )
    leads_out: dict[type, int] = attrs.field(factory=dict[type, int], init=False)

    def takes(self, kind: type) -> bool:
        """Whether an event of exactly this type is delivered to the step."""
        return kind in self.accepts or (self.accepts_subclasses and issubclass(kind, self.accepts))

    def declares(self, value: object) -> bool:
        """Whether the return annotation names this value's type or a base of it."""
        return isinstance(value, self.returns)


@final
class Plan:
    """The steps of a workflow class and the routes between them.

    Attributes:
        name: The class, for messages.
        single: For an event type: the one step that takes it, where that is all there is to decide, and the number of
            its way from outside.
        ways: What is counted by number: from a step, or from outside, by an event type to the step that takes it;
            None where that is counted by itself, or nobody does.
        joins: Whether a step joins. Then no event takes the short way.
        fed: Whether a step takes events that come from outside, so that a run may wait for them.
        state: What the state of a run is, if a step names its class.
        undoes: Whether a step has an undo.
    """

    __slots__ = ("fed", "joins", "name", "routes", "single", "state", "steps", "undoes", "ways")

    def __init__(self, name: str, steps: Sequence[StepPlan], state: StateKind | None = None) -> None:
        self.name = name
        self.state = state
        self.steps = tuple(steps)
        self.routes: Routes[StepPlan] = Routes([step for step in self.steps if step.recovers is None])
        self._look_at_failures()
        self.joins = any(step.join is not None for step in self.steps)
        self.undoes = any(step.undo is not None for step in self.steps)
        if self.joins:
            self._look_at_joins()
        self.fed = any(_is_fed(step, kind) for step in self.steps for kind in step.accepts)
        self.single: dict[type, tuple[StepPlan, int]] = {}
        self.ways: list[tuple[int, type[Event], int | None]] = []
        for step in self.steps:
            self._keep_single(OUTSIDE, step.accepts, self.single)
            if step.plain:
                self._keep_single(step.index, step.returns, step.direct)
            self._keep_others(step)

    def _look_at_failures(self) -> None:
        recovers = any(step.recovers is not None for step in self.steps)
        for step in self.steps:
            step.handler = handler_for(step, self.steps)
            policies = (step.retry, step.timeout, step.undo, step.policies)
            step.plain = all(each is None for each in policies) and not step.holds and not recovers
            step.stops = step.plain and StopEvent in step.returns

    def _look_at_joins(self) -> None:
        from ..joins import ByKey, Settle, Window  # noqa: PLC0415 - only for who joins
        from .reaching import reaches  # noqa: PLC0415 - only for who joins

        settles = any(isinstance(step.join, Settle) for step in self.steps)  # failures in forks inside, too
        handlers = [None if step.handler is None else step.handler.index for step in self.steps]
        for at, (may, calls) in enumerate(reaches(self.steps, handlers)):
            step = self.steps[at]
            step.may, step.calls = may, calls
            if isinstance(step.join, (ByKey, Window)):
                step.further = tuple(join for join in may if join != at)
            if settles:
                step.plain = step.stops = False

    def _keep_single(
        self, source: int, kinds: Sequence[type[Event]], into: dict[type, tuple[StepPlan, int]]
    ) -> None:
        for kind in kinds:
            takers = self.routes.find(kind)
            if len(takers) == 1 and takers[0].plain and not issubclass(kind, (StopEvent, InputRequiredEvent)):
                into[kind] = takers[0], len(self.ways)
                self.ways.append((source, kind, takers[0].index))

    def _keep_others(self, step: StepPlan) -> None:
        kinds = [kind for kind in step.returns if kind not in step.direct]
        step.leads_out.update({kind: len(self.ways) + at for at, kind in enumerate(kinds)})
        self.ways += [(step.index, kind, None) for kind in kinds]

    def may_await(self, kind: type[Event]) -> bool:
        """Whether a step seems to wait for such events in its middle. Only what is told depends on it."""
        return any(kind.__name__ in step.awaits for step in self.steps)

    def meant(self, kind: type[Event]) -> str:
        """For a message about events that no step takes: what to write, if that can be guessed; begins with a ``;``."""
        steps = [step for step in self.steps if step.recovers is None]
        for step in steps:
            if issubclass(kind, step.accepts):
                return f"; {step.label} would with @step(accept_event_subclasses=True)"
            for each in step.accepts:
                if each.__name__ == kind.__name__:
                    return f"; {step.label} takes {' and not '.join(names((each, kind)))}, another class"
        return near(kind.__name__, [each.__name__ for step in steps for each in step.accepts])

    def step_named(self, name: str) -> StepPlan | None:
        """The step of that name, if there is one."""
        return next((step for step in self.steps if step.name == name), None)


def _is_fed(step: StepPlan, kind: type[Event]) -> bool:
    """Whether such events may come from outside, or those of a subclass that the step takes too."""
    if is_external(kind):
        return True
    return step.accepts_subclasses and any(_is_fed(step, each) for each in kind.__subclasses__())
