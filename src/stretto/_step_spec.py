"""What a step is, once its signature has been read, and what ``@step`` leaves on a function until then."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, final

from ._core.recovering import Recovery
from ._fields import Fields
from .context import Context
from .events import Event
from .nesting import Nested, Nests

if typing.TYPE_CHECKING:
    from ._core.gathering import Join
    from ._overload import Overload
    from ._undo_spec import UndoSpec
    from .limits import Limit
    from .resources import Need
    from .retry import Policy

__all__ = ["Mark", "Shape", "StepSpec", "Taken", "leave_mark", "mark_of"]

_MARK = "__stretto_step__"


@final
class Shape(enum.Enum):
    """How a step is called; the two common ones are called without building anything."""

    EVENT = "async def step(self, ev)"
    CONTEXT_EVENT = "async def step(self, ctx, ev)"
    OTHER = "any other"


class Taken(NamedTuple):
    """A parameter that takes events: of these kinds, a list of them, and what `Annotated` adds to that."""

    name: str
    kinds: tuple[type[Event], ...]
    listed: bool
    extras: tuple[Any, ...]


@final
class Mark(Fields):
    """What ``@step`` leaves on a function, and with `recovers` what ``@catch_error`` does."""

    num_workers: int
    accept_event_subclasses: bool = False
    abandon: bool = False
    retry: Policy | None = None
    timeout: float | None = None
    holds: bool = False
    recovers: Recovery | None = None
    names: dict[str, Any]
    bound: bool
    limiter: Limit | None = None
    undo: Callable[..., Any] | str | None = None
    overload: Overload | None = None


@final
class StepSpec(Fields):
    """One step: the function, and what its signature declares.

    Attributes:
        awaits: Names in its code, if it seems to wait for an event in its middle.
        abandon: Whether its thread is left behind when its run ends, or its time.
        in_lane: Whether it can neither send, fan out nor be tried again, so that one worker is enough for it.
        holds: Whether what it sends waits until it has succeeded.
        recovers: For a handler of failures: what it recovers, and how often.
        state: The class that it names for the state of its run, as in ``Context[Cart]``.
        needs: The resources that it is handed, by parameter.
        limiter: What its body waits for a turn of.
        overload: How much it takes, and how often.
        returns: What its annotation names: `bare`, what it returns as it is, and `lists`, what stands in a list.
        join: For a step that joins: what it waits for.
        in_scope: Whether it is called in a cancel scope of its own, since a join, or a later event, may cut its work
            short.
        nested: The workflows that it is handed.
        optional: Whether it may return nothing.
        undo: What undoes it, as it was given; `undoing` is that once it was read, for the class that runs.
        makes: Whether nested runs that it makes are known for its, since they are undone with it.
    """

    name: str
    label: str
    call: Callable[..., Any]
    shape: Shape
    threaded: bool
    in_lane: bool
    self_name: str | None
    context_name: str | None
    event_names: tuple[str, ...]
    accepts: tuple[type[Event], ...]
    returns: tuple[type[Event], ...]
    bare: tuple[type[Event], ...]
    lists: tuple[type[Event], ...]
    num_workers: int
    accept_event_subclasses: bool
    abandon: bool
    awaits: frozenset[str]
    retry: Policy | None
    timeout: float | None
    holds: bool
    recovers: Recovery | None
    join: Join | None
    in_scope: bool = False
    state: type | None = None
    needs: dict[str, Need]
    limiter: Limit | None = None
    overload: Overload | None = None
    nested: tuple[Nested, ...] = ()
    optional: bool = False
    undo: Callable[..., Any] | str | None = None
    undoing: UndoSpec | None = None
    makes: bool = False

    def arguments(self, workflow: object, context: Context | None, event: Event) -> dict[str, Any]:
        """The arguments of a call, by name."""
        arguments: dict[str, Any] = {self.event_names[0]: event}
        if self.join is not None:
            arguments = self._joined_arguments(event)
        if self.self_name is not None:
            arguments[self.self_name] = workflow
        if self.context_name is not None:
            arguments[self.context_name] = context
        if self.nested:
            given = typing.cast("Nests", workflow).nested_workflows
            arguments.update((each.name, given[each.name]) for each in self.nested if each.name in given)
        return arguments

    def _joined_arguments(self, joined: Any) -> dict[str, Any]:  # noqa: ANN401 - a Joined, which few need to load
        first, *others = self.event_names
        if others:
            return dict(zip(self.event_names, joined.events, strict=True))
        return {first: [*joined.events]}  # the step may change it


def leave_mark(function: Callable[..., Any], mark: Mark) -> None:
    """Makes a function a step."""
    setattr(function, _MARK, mark)


def mark_of(value: object) -> Mark | None:
    """What ``@step`` left on this attribute of a class, if it is a step."""
    mark = getattr(getattr(value, "__func__", value), _MARK, None)
    return mark if isinstance(mark, Mark) else None
