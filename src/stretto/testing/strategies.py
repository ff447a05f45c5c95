"""Strategies for hypothesis: events, runs under a schedule, and whole workflows.

Only this module of stretto imports hypothesis; `pip install 'stretto[testing]'` brings it.
"""

from __future__ import annotations

import inspect
import operator
import re
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import anyio
import attrs
from hypothesis import assume, reject, strategies as st

from ..context import Context
from ..errors import DefinitionError, shown
from ..events import Event, StartEvent, StopEvent
from ..steps import step
from ..workflow import Workflow
from ._choosers import Given
from ._faults import Faults
from ._probe import run_once
from ._subject import subject_of
from ._test_run import TestRun
from ._turns import Durations

__all__ = ["events", "events_for", "schedules", "workflows"]

E = TypeVar("E", bound=Event)

_MOST_CHOICES, _LONGEST = 5, 60

# -- events --------------------------------------------------------------------------------------------------------


def events(kind: type[E], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[E]:
    """Events of exactly one class, with fields by their annotations.

    The validators of attrs for numbers, lengths, choices and patterns narrow down what is drawn; what any other
    validator refuses is drawn anew. A field with a converter is drawn by the annotation of what that takes, if it has
    one. A field with a default is left out in some events.

    >>> from stretto import Event
    >>> class Ask(Event):
    ...     shop: str
    ...     pieces: int = 1
    >>> events(Ask).example().pieces >= 0  # doctest: +SKIP
    True

    An event shrinks as its fields do: to small numbers, short texts, and defaults.

    Args:
        kind: The class.
        **fields: Strategies for fields that need one of their own, or for those of a class that takes any.

    Raises:
        DefinitionError: If `kind` is no class of events.
    """
    if not (isinstance(kind, type) and issubclass(kind, Event)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"events() takes a class of events, not {shown(kind)}")
    hints = typing.get_type_hints(kind)
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    described: tuple[Any, ...] = getattr(kind, "__attrs_attrs__", ())
    for field in described:
        if field.init and field.alias not in fields:
            of = required if field.default is attrs.NOTHING else optional
            of[field.alias] = _of_field(field, hints.get(field.name, field.type))
    drawn = st.fixed_dictionaries(required | fields, optional=optional)
    return drawn.map(lambda values: _made(kind, values))


def _made(kind: type[E], values: dict[str, Any]) -> E:
    try:
        return kind(**values)
    except (ValueError, TypeError):  # a validator does not want it
        reject()


def _of_field(field: Any, annotation: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - an attribute of attrs
    if field.converter is not None:
        function = getattr(field.converter, "converter", field.converter)
        parameters = [*_parameters(function)]
        if parameters and parameters[0] is not inspect.Parameter.empty:
            annotation = parameters[0]
    return _narrowed(annotation, list(_validators(field.validator)))


def _parameters(function: Callable[..., Any]) -> list[Any]:
    try:
        hints = typing.get_type_hints(function)
        return [hints.get(name, inspect.Parameter.empty) for name in inspect.signature(function).parameters]
    except (TypeError, ValueError, NameError):  # a class in C, say
        return [function] if isinstance(function, type) else []


def _validators(validator: Any) -> list[Any]:  # noqa: ANN401 - attrs keeps its classes private
    if validator is None:
        return []
    many = getattr(validator, "_validators", None)
    return [each for one in many for each in _validators(one)] if many is not None else [validator]


def _narrowed(annotation: Any, validators: Sequence[Any]) -> st.SearchStrategy[Any]:  # noqa: ANN401
    bounds: dict[str, Any] = {}
    for each in validators:
        if hasattr(each, "options"):
            options: list[Any] = [*each.options]
            return st.sampled_from(options)
        if hasattr(each, "pattern") and hasattr(each, "match_func"):
            pattern: re.Pattern[str] = each.pattern
            return st.from_regex(pattern, fullmatch=each.match_func.__name__ == "fullmatch")
        bounds |= _bounds(each)
    sizes = {f"{name}_size": bounds[name] for name in ("min", "max") if name in bounds}
    values = {name: bounds[name] for name in ("min_value", "max_value") if name in bounds}
    match annotation:
        case _ if annotation is int and values:
            return st.integers(**values)
        case _ if annotation is float and values:
            return st.floats(**values, allow_nan=False)
        case _ if annotation is str and sizes:
            return st.text(**sizes)
        case _ if typing.get_origin(annotation) is list and sizes:
            return st.lists(st.from_type(typing.get_args(annotation)[0]), **sizes)
        case _ if annotation is Any or annotation is object or annotation is None:
            return st.none() | st.booleans() | st.integers() | st.text()
        case _:
            return st.from_type(annotation)


def _bounds(validator: Any) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = {}
    if (compare := getattr(validator, "compare_func", None)) is not None:
        bound = validator.bound
        step_off = 1 if isinstance(bound, int) else 0
        found |= {
            operator.ge: {"min_value": bound},
            operator.gt: {"min_value": bound + step_off},
            operator.le: {"max_value": bound},
            operator.lt: {"max_value": bound - step_off},
        }.get(compare, {})
    for name in ("min", "max"):
        if (length := getattr(validator, f"{name}_length", None)) is not None:
            found[name] = length
    return found


def events_for(workflow: type[Workflow[Any]], step: str) -> st.SearchStrategy[Event]:
    """Events that a step takes, of each class that it names.

    Raises:
        DefinitionError: If there is no step of that name.
    """
    found = next((each for each in workflow.blueprint().plan.steps if each.name == step), None)
    if found is None:
        names = ", ".join(each.name for each in workflow.blueprint().plan.steps)
        raise DefinitionError(f"{workflow.__name__} has no step {step!r}; its steps: {names}")
    return st.one_of(*[events(kind) for kind in found.accepts])


# -- runs ----------------------------------------------------------------------------------------------------------


@st.composite
def schedules(
    draw: st.DrawFn,
    workflow: Callable[[], Workflow[Any]],
    start: StartEvent | st.SearchStrategy[StartEvent] | None = None,
    *,
    durations: Durations = "virtual",
    faults: Faults | None = None,
    backend: str = "asyncio",
    most_moves: int = 1_000,
) -> TestRun:
    """Runs of a workflow under drawn schedules, each as a `TestRun` that is over.

    A list of numbers is drawn, one for each point where there is a choice; from its end on the order is the normal one.
    So a schedule shrinks to the normal order as far as it can. A number beyond what there is to choose from means the
    last of that. Options are those of `explore`; the start event may be drawn too.
    """
    begin = draw(start) if isinstance(start, st.SearchStrategy) else start
    subject = subject_of(workflow, start=begin, durations=durations, faults=faults, most_moves=most_moves)
    chosen = draw(st.lists(st.integers(0, _MOST_CHOICES), max_size=_LONGEST))
    run = run_once(subject, Given(dict(enumerate(chosen))), backend)
    assert run is not None, "hypothesis gives nothing up"
    return run


# -- workflows -----------------------------------------------------------------------------------------------------


class Piece(Event):
    """What a random workflow has done."""

    seen: tuple[int, ...]


_NAMES = ("Red", "Green", "Blue")
_KINDS: tuple[type[Event], ...] = tuple(
    cast("type[Event]", type(name, (Event,), {"__module__": __name__})) for name in _NAMES
)
_Act = tuple[str, str, int]


@st.composite
def workflows(draw: st.DrawFn, *, most_pieces: int = 3, most_acts: int = 3) -> type[Workflow[Any]]:
    """Random workflow classes that are well formed, for tests of an engine or of a tool.

    A workflow sends up to `most_pieces` events to one to three steps, of one to three workers each. A step looks at
    attributes of the workflow, sets them, adds to them across a sleep, sleeps and writes to the stream, up to
    `most_acts` times. A last step collects what they return, and ends the run with what was seen and with the
    attributes. It shrinks to one event and one step that does nothing.
    """
    kinds = _KINDS[: draw(st.integers(1, len(_KINDS)))]
    sent = draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=most_pieces))
    acts = st.tuples(
        st.sampled_from(["look", "set", "add", "sleep", "tell"]),
        st.sampled_from(["x", "y"]),
        st.integers(1, 2),
    )
    steps: dict[str, Any] = {"x": 0, "y": 0}
    steps["begin"] = _begin(kinds, tuple(sent))
    for kind in kinds:
        todo = tuple(draw(st.lists(acts, max_size=most_acts)))
        steps[f"do_{kind.__name__.lower()}"] = _work(kind, todo, draw(st.integers(1, 3)))
    steps["gather"] = _gather(len(sent), ordered=draw(st.booleans()))
    assume(all(number in sent for number in range(len(kinds))))
    return cast("type[Workflow[Any]]", type("Random", (Workflow,), steps))


def _begin(kinds: tuple[type[Event], ...], sent: tuple[int, ...]) -> Any:  # noqa: ANN401
    async def begin(self: Any, ev: Any) -> Any:  # noqa: ANN401, ARG001, ASYNC124 - a step
        return [kinds[number]() for number in sent]

    returned = kinds[0]
    for kind in kinds[1:]:
        returned = returned | kind  # type: ignore[assignment]
    begin.__annotations__ = {"ev": StartEvent, "return": list[returned]}  # type: ignore[valid-type]
    return step(begin)


def _work(kind: type[Event], acts: tuple[_Act, ...], workers: int) -> Any:  # noqa: ANN401
    async def work(self: Any, ctx: Context, ev: Any) -> Any:  # noqa: ANN401, ARG001
        return Piece(seen=await _do(self, ctx, acts))

    work.__name__ = f"do_{kind.__name__.lower()}"
    work.__annotations__ = {"ctx": Context, "ev": kind, "return": Piece}
    return step(num_workers=workers)(work)


async def _do(self: Any, ctx: Context, acts: tuple[_Act, ...]) -> tuple[int, ...]:  # noqa: ANN401
    seen: list[int] = []
    for act, name, number in acts:
        match act:
            case "look":
                seen.append(getattr(self, name))
            case "set":
                setattr(self, name, number)
            case "add":
                before = getattr(self, name)
                await anyio.sleep(number)
                setattr(self, name, before + number)
            case "sleep":
                await anyio.sleep(number)
            case _:
                ctx.write_event_to_stream(Piece(seen=(number,)))
    return tuple(seen)


def _gather(count: int, *, ordered: bool) -> Any:  # noqa: ANN401
    async def gather(self: Any, ctx: Context, ev: Piece) -> Any:  # noqa: ANN401, ASYNC124 - a step
        pieces = ctx.collect_events(ev, [Piece] * count)
        if pieces is None:
            return None
        seen = [piece.seen for piece in pieces]
        return StopEvent(result=(self.x, self.y, tuple(seen if ordered else sorted(seen))))

    gather.__annotations__ = {"ctx": Context, "ev": Piece, "return": StopEvent | None}
    return step(gather)
