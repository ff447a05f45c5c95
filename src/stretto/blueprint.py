"""The blueprint of a workflow class: its steps, the plan for the machine, what a check of the graph finds.

Made once for a class, at its first run, because until then steps may still be added to it. A subclass has one
of its own and shares the specs of the steps it inherits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set as AbstractSet
from typing import Any, final

from ._core.plan import Plan, StepPlan
from ._state_class import agreed_state
from ._step_spec import Shape, StepSpec
from .errors import name_of, names
from .events import Event, InputRequiredEvent, StartEvent, StopEvent, is_external

__all__ = ["Blueprint", "Finding", "spread"]


@final
class Finding:
    """Something about the graph that its author should know.

    Attributes:
        kind: What sort of thing, in a word or two: ``"dead-end"``.
        step: The step that it is about; None if it is about the whole.
        fatal: Whether the workflow cannot start or cannot stop; other findings are warnings.
    """

    def __init__(self, kind: str, message: str, step: StepSpec | None = None, *, fatal: bool = False) -> None:
        self.kind = kind
        self.message = message
        self.step = step
        self.fatal = fatal


@final
class Blueprint:
    """What a workflow class declares.

    Attributes:
        specs: The steps in order of definition, base class first; ``plan.steps`` runs parallel to it.
        starts: The start events that its steps take.
        start: The class that ``run(**fields)`` makes; None if there are several and StartEvent is none of
            them.
        told: Whether the findings have been logged.
        nests: Whether a step asks for a workflow.
        timed: Whether times matter to it beside those of the run.
        overloaded: Whether a step says how much it takes, and how often.
    """

    def __init__(self, name: str, specs: Sequence[StepSpec]) -> None:
        self.name = name
        self.specs = tuple(_in_scopes(specs))
        self.plan = Plan(
            name,
            [_plan(spec, index) for index, spec in enumerate(self.specs)],
            agreed_state(name, self.specs),
        )
        self.timed = any(not step.plain for step in self.plan.steps) or _has_timed_windows(self.specs)
        self.starts: tuple[type[StartEvent], ...] = tuple(
            dict.fromkeys(
                kind for spec in self.specs for kind in spec.accepts if issubclass(kind, StartEvent)
            )
        )
        self.start = self._only_start()
        self._ways = _Ways(self.specs)
        self.findings = tuple(self._check())
        self.told = False
        self.nests = any(spec.nested for spec in self.specs)
        self.overloaded = any(spec.overload is not None for spec in self.specs)

    def _only_start(self) -> type[StartEvent] | None:
        if len(self.starts) == 1:
            return self.starts[0]
        return StartEvent if not self.starts or StartEvent in self.starts else None

    def takers(self, made: type[Event]) -> Iterator[StepSpec]:
        """The steps that may take what is declared as `made`; a declared base may turn out to be any subclass."""
        return iter(self._ways.takers(made))

    def leads_to(self, before: StepSpec) -> Iterator[StepSpec]:
        """The steps that may take what this one returns, its declared sends included."""
        return iter(dict.fromkeys(after for made in before.returns for after in self._ways.takers(made)))

    def forks_to(self, join: StepSpec) -> bool:
        """Whether what leads to a join may be several: a list, sends, or an event that several steps take."""
        index = self.specs.index(join)
        to = [
            spec
            for spec, step in zip(self.specs, self.plan.steps, strict=True)
            if spec is join or index in {*step.may, *step.calls}
        ]
        kinds = {kind for spec in self.specs for kind in (*spec.accepts, *spec.returns)}
        return (
            len(to) == 1
            or any(self._forks(spec, index) for spec in to if spec is not join)
            or any(len({*self.takers(kind)} & {*to}) > 1 for kind in kinds)
        )

    def _forks(self, spec: StepSpec, join: int) -> bool:
        """Whether what a step returns in a list, or sends, may come to this join as several events."""
        step = self.plan.steps[self.specs.index(spec)]
        return join in step.calls or (spec.context_name is not None and join in step.may)

    # -- checks ----------------------------------------------------------------------------------------------

    def findings_among(
        self, comes: AbstractSet[type[Event]], goes: AbstractSet[type[Event]]
    ) -> Iterator[Finding]:
        """The findings about a workflow that has others around it.

        Args:
            comes: The types that others send to it.
            goes: The types that others take from it.
        """
        yield from self._check_graph(comes, goes)

    def _check(self) -> Iterator[Finding]:
        yield from self._check_ends()
        yield from self._check_graph(frozenset(), frozenset())

    def _check_graph(
        self, comes: AbstractSet[type[Event]], goes: AbstractSet[type[Event]]
    ) -> Iterator[Finding]:
        yield from self._check_events(comes, goes)
        reached = self.reached(comes)
        for spec in self.specs:
            if spec not in reached and any(self.makers(kind) for kind in spec.accepts):
                yield Finding(
                    "unreachable",
                    f"{spec.label} cannot be reached from a start event or one from outside; name "
                    f"{_names(spec.accepts)} in the return annotation of a step that can be",
                    spec,
                )
        for spec in self.specs:
            if spec.join is not None and len(spec.event_names) == 1 and self._is_alone(spec):
                kinds = _names(spec.accepts)
                yield Finding(
                    "lone-join",
                    f"{spec.label} joins a list of {kinds}, and nothing that leads to it forks, so that each list has "
                    f"one event; let a step return a list, or take ev: {kinds}",
                    spec,
                )
        for spec in self._dead_ends(goes):
            made = _names(spec.returns)
            yield Finding(
                "dead-end",
                f"{spec.label} is a dead end: nothing that follows from {made} ends the run; let a step that "
                "follows return a StopEvent",
                spec,
            )

    def _is_alone(self, join: StepSpec) -> bool:
        """Whether each of its lists has one event; a window waits for more also where nothing forks."""
        from .joins import Window  # noqa: PLC0415 - only for who joins

        return not isinstance(join.join, Window) and not self.forks_to(join)

    def _check_ends(self) -> Iterator[Finding]:
        found = ", ".join(f"{spec.label} takes {_names(spec.accepts)}" for spec in self.specs)
        found = found or "none (is @step missing above its methods?)"
        if not self.starts:
            yield Finding(
                "no-start",
                f"{self.name} cannot start: none of its steps takes a StartEvent; its steps: {found}; "
                "annotate the first step with ev: StartEvent",
                fatal=True,
            )
        if not any(issubclass(kind, StopEvent) for spec in self.specs for kind in spec.returns):
            yield Finding(
                "no-stop",
                f"{self.name} cannot stop: none of its steps returns a StopEvent; its steps: {found}; "
                "annotate the last step with -> StopEvent, also if it only sends it",
                fatal=True,
            )

    def _check_events(
        self, comes: AbstractSet[type[Event]], goes: AbstractSet[type[Event]]
    ) -> Iterator[Finding]:
        every = {kind: None for spec in self.specs for kind in (*spec.accepts, *spec.returns)}
        for spec in self.specs:
            for kind in spec.returns:
                if not _is_free(kind, goes) and not any(self.takers(kind)) and not self.plan.may_await(kind):
                    yield Finding(
                        "nobody-takes",
                        f"{spec.label} returns {name_of(kind, every)}, which no step of {self.name} takes; add a "
                        f"step with ev: {kind.__name__}, or leave it out of the annotation",
                        spec,
                    )
            for kind in spec.accepts:
                if not (
                    spec.recovers is not None
                    or self.arrives(kind, comes)
                    or self.makers(kind, subclasses=spec.accept_event_subclasses)
                ):
                    yield Finding(
                        "nobody-makes",
                        f"{spec.label} takes {name_of(kind, every)}, which no step of {self.name} returns; name it in "
                        "the return annotation of the step that sends it, or, if it comes from outside, declare it so: "
                        f"class {kind.__name__}(Event, external=True)",
                        spec,
                    )

    @staticmethod
    def arrives(kind: type[Event], comes: AbstractSet[type[Event]]) -> bool:
        """Whether such events come from outside, or from others."""
        return _comes_from_outside(kind) or kind in comes

    def makers(self, kind: type[Event], *, subclasses: bool = False) -> list[StepSpec]:
        """The steps that may return such events, or send them."""
        return self._ways.makers(kind, subclasses=subclasses)

    def reached(self, comes: AbstractSet[type[Event]] = frozenset()) -> set[StepSpec]:
        """The steps that something may come to; `comes` are the types that others send."""
        begin = {
            spec
            for spec in self.specs
            if spec.recovers is not None or any(self.arrives(kind, comes) for kind in spec.accepts)
        }
        return spread(begin, self.leads_to)

    def _dead_ends(self, goes: AbstractSet[type[Event]]) -> Iterator[StepSpec]:
        """Steps that return events of which none leads to an end; to return nothing is an end too."""
        good = {
            spec
            for spec in self.specs
            if any(_is_free(kind, goes) or self.plan.may_await(kind) for kind in spec.returns)
        }
        before: dict[StepSpec, list[StepSpec]] = {}
        for spec in self.specs:
            for after in self.leads_to(spec):
                before.setdefault(after, []).append(spec)
        ends = spread(good, lambda spec: before.get(spec, ()))
        yield from (spec for spec in self.specs if spec.returns and spec not in ends)


@final
class _Ways:
    """Which steps may take and make what: looked up by the bases of a type, and not by asking each step."""

    def __init__(self, specs: Sequence[StepSpec]) -> None:
        self._order = {spec: at for at, spec in enumerate(specs)}
        self._below: dict[type, dict[StepSpec, None]] = {}
        self._open: dict[type, dict[StepSpec, None]] = {}
        self._made: dict[type, dict[StepSpec, None]] = {}
        self._made_below: dict[type, dict[StepSpec, None]] = {}
        for spec in specs:
            for kind in spec.accepts:
                if spec.accept_event_subclasses:
                    self._open.setdefault(kind, {})[spec] = None
                for base in kind.__mro__:
                    self._below.setdefault(base, {})[spec] = None
            for kind in spec.returns:
                self._made.setdefault(kind, {})[spec] = None
                for base in kind.__mro__:
                    self._made_below.setdefault(base, {})[spec] = None

    def takers(self, made: type[Event]) -> list[StepSpec]:
        """The steps that may take what is declared as `made`."""
        return self._sorted(self._below.get(made, ()), *(self._open.get(base, ()) for base in made.__mro__))

    def makers(self, kind: type[Event], *, subclasses: bool) -> list[StepSpec]:
        """The steps that may make such events."""
        below = self._made_below.get(kind, ()) if subclasses else ()
        return self._sorted(below, *(self._made.get(base, ()) for base in kind.__mro__))

    def _sorted(self, *several: Iterable[StepSpec]) -> list[StepSpec]:
        """Each once, in order of definition."""
        found = dict.fromkeys(spec for each in several for spec in each)
        return sorted(found, key=self._order.__getitem__)


def _is_free(kind: type[Event], goes: AbstractSet[type[Event]]) -> bool:
    """Whether no step has to take such events: they end the run, go to the stream, or to others."""
    return issubclass(kind, (StopEvent, InputRequiredEvent)) or kind in goes


def spread(begin: set[StepSpec], on: Callable[[StepSpec], Iterable[StepSpec]]) -> set[StepSpec]:
    """These steps, those that `on` gives for them, and so on."""
    reached, edge = set(begin), list(begin)
    while edge:
        for after in on(edge.pop()):
            if after not in reached:
                reached.add(after)
                edge.append(after)
    return reached


def _plan(spec: StepSpec, index: int) -> StepPlan:
    return StepPlan(
        name=spec.name,
        label=spec.label,
        index=index,
        limit=spec.num_workers,
        accepts=spec.accepts,
        accepts_subclasses=spec.accept_event_subclasses,
        returns=spec.returns,
        lists=spec.lists,
        awaits=spec.awaits,
        retry=spec.retry,
        timeout=spec.timeout,
        holds=spec.holds,
        recovers=spec.recovers,
        bare=spec.returns if spec.context_name is not None else spec.bare,
        join=spec.join,
        undo=None if spec.undoing is None else spec.undoing.name,
        policies=None if spec.overload is None else spec.overload.policies,
    )


def _in_scopes(specs: Sequence[StepSpec]) -> Sequence[StepSpec]:
    """Where a join may cut work short, each step is called in a scope of its own, the longer way.

    Where a step is held back, none is run in the lane, in which there are no timers.
    """
    if any(spec.overload is not None for spec in specs):
        no_lane: dict[str, Any] = {"in_lane": False}
        specs = [StepSpec(**{**vars(spec), **no_lane}) for spec in specs]
    if all(spec.join is None for spec in specs):
        return specs
    from .joins import First, Quorum, Settle, Until  # noqa: PLC0415 - only for who joins

    races = (spec.join for spec in specs if isinstance(spec.join, (First, Quorum, Until)))
    settles = any(isinstance(spec.join, Settle) for spec in specs)
    if not settles and all(race.losers != "cancel" for race in races):
        return specs
    longer: dict[str, Any] = {"shape": Shape.OTHER, "in_lane": False, "in_scope": True}
    return [StepSpec(**{**vars(spec), **longer}) for spec in specs]


def _has_timed_windows(specs: Sequence[StepSpec]) -> bool:
    if all(spec.join is None for spec in specs):
        return False
    from .joins import Window  # noqa: PLC0415 - only for who joins

    return any(isinstance(spec.join, Window) and spec.join.seconds is not None for spec in specs)


def _comes_from_outside(kind: type[Event]) -> bool:
    return issubclass(kind, StartEvent) or is_external(kind)


def _names(kinds: Sequence[type]) -> str:
    return " | ".join(names(kinds))
