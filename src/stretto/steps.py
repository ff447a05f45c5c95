"""``@step``, and what the signature of a step declares.

The decorator only marks the function and remembers the names that its annotations may mean. The signature is
read when the workflow class is defined (or at once, for a step that is added to a class by ``workflow=``), so
that a mistake is told with the name of the class, at the line where the class stands.
"""

from __future__ import annotations

import ast
import enum
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, final, overload

from ._core.recovering import Recovery
from ._fields import Fields
from ._options import count, flag, seconds
from ._signatures import hints, place
from ._state_class import state_named
from .context import Context, ThreadContext
from .errors import DefinitionError, near, shown
from .events import Event, StopEvent
from .nesting import Nested, Nests, is_workflow_class

if typing.TYPE_CHECKING:
    from ._core.gathering import Join
    from .limits import Limit
    from .resources import Need
    from .retry import Policy

__all__ = [
    "Mark",
    "Shape",
    "StepSpec",
    "leave_mark",
    "mark_of",
    "names_around",
    "names_for",
    "read_step",
    "step",
]

F = TypeVar("F", bound=Callable[..., Any])
Emit: TypeAlias = Literal["now", "on_success"]
_MARK = "__stretto_step__"
_CONTEXTS = ((Context,), (ThreadContext,))
_THREAD_CONTEXT = "takes a ThreadContext, which is for a plain def step; write ctx: Context"
_FRAMES = 8  # how many enclosing functions' local names an annotation may use


class StepHolder(Protocol):
    """A workflow class, as far as an unbound step needs it."""

    def add_step(self, function: Callable[..., Any]) -> None:
        """Takes in a function that is marked as a step."""


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
        returns_bare: Whether it may send off an event that is in no list.
        join: For a step that joins: what it waits for.
        in_scope: Whether it is called in a cancel scope of its own, since a join may cut its work short.
        nested: The workflows that it is handed.
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
    returns_list: bool
    returns_bare: bool
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
    nested: tuple[Nested, ...] = ()

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


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    *,
    num_workers: int = 4,
    accept_event_subclasses: bool = False,
    retry_policy: Policy | None = None,
    timeout: float | None = None,
    emit: Emit = "now",
    abandon: bool = False,
    workflow: StepHolder | None = None,
    limiter: Limit | None = None,
) -> Callable[[F], F]: ...
def step(
    function: Any = None,
    /,
    *,
    num_workers: int = 4,
    accept_event_subclasses: bool = False,
    retry_policy: Policy | None = None,
    timeout: float | None = None,
    emit: Emit = "now",
    abandon: bool = False,
    workflow: StepHolder | None = None,
    limiter: Limit | None = None,
) -> Any:
    """Makes a method a step of its workflow, bare or with options.

    The annotations say which event it takes and which it may return: an event class, a union of them, or
    None. One that takes a list joins what a fork has sent, see `stretto.joins`; one with several parameters for events
    joins one of each type. A parameter annotated `Context` is given the run, one annotated with a `Resource` the
    resource, and one annotated with a workflow class the workflow that `Workflow.add_workflows` was given under that
    name. A plain ``def`` runs in a thread, which cannot be cancelled: a run waits for it at its end. A long one
    looks now and then at `Context.check_cancelled`.

    Args:
        function: The method, where the decorator is used bare.
        num_workers: How many events one run may work on in this step at once.
        accept_event_subclasses: Whether subclasses of the annotated events are taken too; else types are
            exact.
        retry_policy: When an attempt that raised is followed by another, see `stretto.retry`; None for never.
            Between two attempts the event holds no worker. A returned value that the annotation does not name is a
            mistake in the program: it fails the run at once.
        timeout: Seconds that one attempt may take, waits for events included; past them it has failed with a
            `StepTimeoutError`, whatever it returns. A step in a thread is waited for, unless it has `abandon`, and has
            failed then. None for no limit.
        emit: ``"on_success"`` holds back what an attempt sends and writes to the stream until it has returned;
            if it raises, that is discarded.
        abandon: For a plain ``def`` that may sit for long where nothing can wake it: neither the end of its run nor
            its `timeout` waits for the thread, which goes on, the one thing that outlives its run. The logger
            ``stretto`` names the step then, and says what the thread returns or raises later. On trio the thread
            keeps its place among those that anyio lets run at once.
        workflow: Adds a plain function (without ``self``) to this workflow class, from any module.
        limiter: The body of the step waits for a turn of this limit, and has it until it ends. While it waits, it has
            its resources and one of the `num_workers` already, and its time counts; steps of other kinds go on.

    Raises:
        DefinitionError: If an option or, when the class is defined, the signature makes no sense.
    """
    if workflow is not None and not hasattr(workflow, "add_step"):
        raise DefinitionError(
            f"workflow= is a Workflow class, not {shown(workflow)}; write @step(workflow=MyWorkflow)"
        )
    workers = count(num_workers, "num_workers")
    subclasses = flag(accept_event_subclasses, "accept_event_subclasses")
    policy = _policy(retry_policy)
    limit = seconds(timeout, "timeout", none="no limit")
    holds = _holds(emit)
    _check_limiter(limiter)
    abandons = flag(abandon, "abandon")
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    around = names_around(frame)
    before = frame.f_locals if "__qualname__" in frame.f_locals else {}  # of the class that is being defined

    def decorate(function: F) -> F:
        plain = getattr(function, "__func__", function)
        if not inspect.isfunction(plain):
            raise DefinitionError(
                f"@step decorates a function, not {shown(function)}; put it right above the def, with its "
                "options by name: @step(num_workers=4)"
            )
        if mark_of(before.get(plain.__name__)) is not None:
            raise DefinitionError(
                f"{before['__qualname__']} defines the step {plain.__name__!r} twice, and the second would take "
                "the place of the first; give one another name"
            )
        mark = Mark(
            num_workers=workers,
            accept_event_subclasses=subclasses,
            abandon=abandons,
            retry=policy,
            timeout=limit,
            holds=holds,
            names=names_for(plain, around),
            bound=workflow is None,
            limiter=limiter,
        )
        leave_mark(plain, mark)
        if workflow is not None:
            workflow.add_step(plain)
        return function

    return decorate if function is None else decorate(function)


def _policy(value: object) -> Policy | None:
    if value is None:
        return None
    from .retry import Policy  # noqa: PLC0415 - loaded by who uses it, here and below

    if not isinstance(value, Policy):
        raise DefinitionError(
            f"retry_policy is a RetryPolicy, not {shown(value)}; write retry_policy=RetryPolicy(attempts=3)"
        )
    return value


def _holds(emit: object) -> bool:
    if emit not in ("now", "on_success"):
        hint = near(emit, ["now", "on_success"]) if isinstance(emit, str) else ""
        raise DefinitionError(f"emit is 'now' or 'on_success', not {shown(emit)}{hint}")
    return emit == "on_success"


def _check_limiter(value: object) -> None:
    if value is None:
        return
    from .limits import Limit  # noqa: PLC0415

    if not isinstance(value, Limit):
        raise DefinitionError(
            f"limiter is a Limit, as in @step(limiter=Limit(5)), not {shown(value)}; a limiter of anyio belongs to "
            "one event loop, and a class to all of them"
        )


def leave_mark(function: Callable[..., Any], mark: Mark) -> None:
    """Makes a function a step."""
    setattr(function, _MARK, mark)


def mark_of(value: object) -> Mark | None:
    """What ``@step`` left on this attribute of a class, if it is a step."""
    mark = getattr(getattr(value, "__func__", value), _MARK, None)
    return mark if isinstance(mark, Mark) else None


def names_for(function: Callable[..., Any], around: dict[str, Any]) -> dict[str, Any]:
    """What the names in the annotations mean, also in those of the factories that they name; the rest may be large."""
    meant: dict[str, Any] = {}
    words = _words(function)
    while words:
        name = words.pop()
        if name in around and name not in meant:
            meant[name] = around[name]
            if inspect.isfunction(meant[name]):
                words |= _words(meant[name])
    return meant


def _words(function: Callable[..., Any]) -> set[str]:
    return {word for hint in function.__annotations__.values() for word in re.findall(r"\w+", str(hint))}


def names_around(frame: types.FrameType) -> dict[str, Any]:
    """The local names of the functions that the step is defined in, for annotations that are text."""
    frames: list[types.FrameType] = []
    at: types.FrameType | None = frame
    while (
        at is not None
        and at.f_globals is frame.f_globals
        and at.f_code.co_name != "<module>"
        and len(frames) < _FRAMES
    ):
        frames.append(at)
        at = at.f_back
    names: dict[str, Any] = {}
    for each in reversed(frames):
        names.update(each.f_locals)
    return names


def read_step(name: str, value: object, mark: Mark, owner: str, names: dict[str, Any]) -> StepSpec:
    """Reads the signature of a step.

    Args:
        name: The attribute of the class that it is.
        value: The attribute of the class: a function, or a staticmethod with one inside.
        mark: What ``@step`` left on it.
        owner: The class, for messages.
        names: More names that annotations may mean, such as the class itself.

    Raises:
        DefinitionError: Saying what is wrong with it, where, and what to write.
    """
    return _Reader(name, value, mark, owner, names).read()


@final
class _Reader:
    """Reads one signature; an object only so that each question has a name."""

    def __init__(self, name: str, value: object, mark: Mark, owner: str, names: dict[str, Any]) -> None:
        self.mark = mark
        self.name = name
        self.function: Any = getattr(value, "__func__", value)
        self.plain: Any = inspect.unwrap(self.function)  # what a decorator under @step was put on
        code = self.plain.__code__
        self.label = place(f"{owner}.{name}", code)
        self.is_classmethod = isinstance(value, classmethod)
        self.has_self = mark.bound and not isinstance(value, staticmethod)
        self.names = {**names, **mark.names}
        self.hints = self._hints(extras=False)
        self.annotated = self._hints(extras=True)
        self.nested: list[Nested] = []

    def read(self) -> StepSpec:
        if self.is_classmethod:
            raise self._error("is a class method; a step is a method of the workflow, or a static method")
        if inspect.isasyncgenfunction(self.function):
            raise self._error(
                "is an async generator; write to the stream with ctx.write_event_to_stream, or return list[E]"
            )
        if inspect.isgeneratorfunction(self.function):
            raise self._error("is a generator; return the event instead of yielding it")
        parameters = list(inspect.signature(self.function).parameters.values())
        self_name = self._take_self(parameters)
        needs = self._read_needs(parameters)
        context_name, taken = self._read_parameters([each for each in parameters if each.name not in needs])
        accepts = tuple(dict.fromkeys(kind for each in taken for kind in each.kinds))
        self._check_accepted(accepts)
        join = self._read_join(taken)
        returns, returns_list, returns_bare = self._read_return()
        threaded = not inspect.iscoroutinefunction(self.function)
        if self.mark.abandon and not threaded:
            raise self._error(
                "is async, and abandon=True is for a plain def, which runs in a thread; leave it out: an async step is "
                "cancelled where it awaits"
            )
        code: types.CodeType = self.plain.__code__
        limited = self.mark.timeout is not None or self.mark.limiter is not None
        special = threaded or limited or self.mark.holds or join is not None
        shape = self._shape(parameters, self_name, context_name, special=special)
        return StepSpec(
            name=self.name,
            label=self.label,
            call=self.function,
            shape=shape,
            threaded=threaded,
            in_lane=shape is Shape.EVENT and not returns_list and self.mark.retry is None,
            self_name=self_name,
            context_name=context_name,
            event_names=tuple(each.name for each in taken),
            accepts=accepts,
            returns=returns,
            returns_list=returns_list,
            returns_bare=returns_bare or context_name is not None,
            num_workers=self.mark.num_workers,
            accept_event_subclasses=self.mark.accept_event_subclasses,
            abandon=self.mark.abandon,
            awaits=_names_beside_a_wait(code),
            retry=self.mark.retry,
            timeout=self.mark.timeout,
            holds=self.mark.holds,
            recovers=self.mark.recovers,
            join=join,
            state=None if context_name is None else state_named(self.hints[context_name], self._error),
            needs=needs,
            limiter=self.mark.limiter,
            nested=tuple(self.nested),
        )

    def _take_self(self, parameters: list[inspect.Parameter]) -> str | None:
        if not self.has_self:
            return None
        if (
            not parameters
            or (parameters[0].name != "self" and parameters[0].name in self.hints)
            or parameters[0].name in {"ev", "event", "ctx"}
        ):
            takes = ", ".join(["self", *map(_written, parameters)])
            raise self._error(f"has no self; write async def {self.name}({takes}), or add @staticmethod")
        return parameters.pop(0).name

    def _shape(
        self,
        parameters: list[inspect.Parameter],
        self_name: str | None,
        context_name: str | None,
        *,
        special: bool,
    ) -> Shape:
        plain = all(each.kind is each.POSITIONAL_OR_KEYWORD for each in parameters)
        if special or self_name is None or not plain:
            return Shape.OTHER
        match [each.name for each in parameters]:
            case [_] if context_name is None:
                return Shape.EVENT
            case [first, _] if first == context_name:
                return Shape.CONTEXT_EVENT
            case _:
                return Shape.OTHER

    def _read_needs(self, parameters: list[inspect.Parameter]) -> dict[str, Need]:
        needs: dict[str, Need] = {}
        if all(typing.get_origin(hint) is not typing.Annotated for hint in self.annotated.values()):
            return needs
        from .resources import read_need  # noqa: PLC0415

        for each in parameters:
            need = read_need(self.annotated.get(each.name), self.label, self.names)
            if need is not None:
                self._check_filled(each, "resources")
                needs[each.name] = need
        return needs

    def _read_parameters(self, parameters: list[inspect.Parameter]) -> tuple[str | None, list[Taken]]:
        context_name: str | None = None
        taken: list[Taken] = []
        for each in parameters:
            if each.name not in self.hints:
                raise self._error(self._bare_parameter(each.name))
            members = _members(self.hints[each.name])
            listed = _listed(members)
            if members in _CONTEXTS:
                if members == (ThreadContext,) and inspect.iscoroutinefunction(self.function):
                    raise self._error(_THREAD_CONTEXT)
                self._check_filled(each, "Contexts", context_name)
                context_name = each.name
            elif listed or (members and all(_is_event(member) for member in members)):
                self._check_filled(each, "events")
                extras = getattr(self.annotated[each.name], "__metadata__", ())
                taken.append(Taken(each.name, listed or members, bool(listed), extras))
            elif members and all(is_workflow_class(member) for member in members):
                self._check_filled(each, "workflows")
                self.nested.append(Nested(each.name, members, optional=each.default is not each.empty))
            elif each.default is each.empty and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}:
                raise self._error(self._strange_parameter(each.name))
        return context_name, taken

    def _read_join(self, taken: list[Taken]) -> Join | None:
        if len(taken) == 1 and not taken[0].listed and not taken[0].extras:
            return None
        from .joined import read_join  # noqa: PLC0415 - only for who joins

        join, odd = read_join(taken, subclasses=self.mark.accept_event_subclasses)
        if odd:
            raise self._error(odd)
        return join

    def _check_filled(self, given: inspect.Parameter, what: str, before: str | None = None) -> None:
        """Raises if stretto cannot fill the parameter by its name, or fills another one with the same."""
        if given.kind is given.POSITIONAL_ONLY:
            raise self._error(f"has a positional-only parameter {given.name!r}; leave out the slash")
        if given.kind in {given.VAR_POSITIONAL, given.VAR_KEYWORD}:
            raise self._error(f"takes any number of {what} as {_written(given)}; take one, without the stars")
        if before:
            raise self._error(f"takes two {what}, {before!r} and {given.name!r}; one is enough")

    def _check_accepted(self, accepts: tuple[type[Event], ...]) -> None:
        if not accepts:
            raise self._error(
                "takes no event; annotate a parameter with an event class, such as ev: StartEvent"
            )
        for kind in accepts:
            if issubclass(kind, StopEvent):
                raise self._error(
                    f"takes {kind.__name__}, which ends the run, so no step can take it; use another event"
                )

    def _strange_parameter(self, name: str) -> str:
        hint = self.hints[name]
        return (
            f"has a parameter {name!r} of type {_told(hint)}, which stretto cannot fill; a step takes an event, "
            "a Context, resources, workflows, or parameters with a default"
        )

    def _bare_parameter(self, name: str) -> str:
        if name == "self":
            return "is called without self, as all static methods and steps added by workflow=; leave it out"
        guess = "Context" if name in {"ctx", "context"} else "StartEvent"
        return f"has no annotation for its parameter {name!r}; write {name}: {guess}"

    def _read_return(self) -> tuple[tuple[type[Event], ...], bool, bool]:
        """The events, and whether they are in a list, and whether any are not."""
        if "return" not in self.hints:
            seen = " | ".join(_returned_in_source(self.plain))
            instead = f"-> {seen}" if seen else "-> StopEvent, the events it returns, or -> None"
            raise self._error(f"does not say what it returns; write {instead}")
        kinds: list[type[Event]] = []
        returns_list = returns_bare = False
        for member in _members(self.hints["return"]):
            if typing.get_origin(member) is list:
                returns_list = True
                inner = _members(typing.get_args(member)[0])
            else:
                returns_bare = True
                inner = (member,)
            for kind in inner:
                if not _is_event(kind):
                    raise self._error(
                        f"declares -> {_told(member)}, which is no event; a step returns an event, a list of "
                        "events or None, and StopEvent(result=…) carries any other value"
                    )
                kinds.append(kind)
        return tuple(dict.fromkeys(kinds)), returns_list, returns_bare

    def _hints(self, *, extras: bool) -> dict[str, Any]:
        """The annotations; with what `Annotated` adds to a type, or the types alone."""
        instead = "where the step is; define it above the workflow"
        return hints(self.plain, self.names, self._error, instead=instead, extras=extras)

    def _error(self, what: str) -> DefinitionError:
        return DefinitionError(f"{self.label} {what}")


def _returned_in_source(function: Callable[..., Any]) -> list[str]:
    """What the return statements of a function make, as far as its source can be read and shows it."""
    try:
        source = inspect.getsource(function)
        tree = ast.parse(f"if True:\n{source}" if source[:1].isspace() else source)
    except (OSError, SyntaxError):
        return []
    made = [each.value for each in ast.walk(tree) if isinstance(each, ast.Return)]
    names = [each.func.id for each in made if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)]
    nothing = any(each is None or (isinstance(each, ast.Constant) and each.value is None) for each in made)
    return list(dict.fromkeys([*names, "None"] if nothing and names else names))


def _members(hint: object) -> tuple[Any, ...]:
    """The members of a union without None, each as a class; a hint that is no union is its only member."""
    if hint is type(None) or hint is None:
        return ()
    if (named := getattr(hint, "__value__", None)) is not None:  # since Python 3.12: type AB = A | B
        return _members(named)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(member for each in typing.get_args(hint) for member in _members(each))
    origin = typing.get_origin(hint)
    return (hint,) if origin is None or origin is list else (origin,)


def _listed(members: tuple[Any, ...]) -> tuple[Any, ...]:
    """The events of a parameter that takes a list of them; nothing for any other."""
    if len(members) != 1 or typing.get_origin(members[0]) is not list:
        return ()
    inner = _members(typing.get_args(members[0])[0])
    return inner if all(_is_event(member) for member in inner) else ()


def _is_event(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Event)


def _told(hint: object) -> str:
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__name__
    return re.sub(r"(?:[\w<>]+\.)+(?=\w)", "", str(hint))  # without the modules that the names are from


def _written(parameter: inspect.Parameter) -> str:
    return str(parameter).replace("'", "")  # an annotation that is text


def _names_beside_a_wait(code: types.CodeType) -> frozenset[str]:
    """The names in a function that calls ``wait_for_event``, or has one inside that does; else none."""
    names: set[str] = set()
    codes = [code]
    while codes:
        each = codes.pop()
        names.update(each.co_names, each.co_freevars, each.co_cellvars)
        codes += [inner for inner in each.co_consts if isinstance(inner, types.CodeType)]
    return frozenset(names) if "wait_for_event" in names else frozenset()
