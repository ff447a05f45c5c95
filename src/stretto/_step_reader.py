"""Reads the signature of a step: what it takes, what it returns, what else it asks for, and what is wrong with it."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, final

from ._annotations import arms, instead_of_container, is_event, listed, may_be_nothing, members, told
from ._signatures import hints, place
from ._state_class import state_named
from ._step_spec import Mark, Shape, StepSpec, Taken
from .context import Context
from .errors import DefinitionError
from .events import Event, StopEvent
from .nesting import Nested, is_workflow_class

if typing.TYPE_CHECKING:
    from ._core.gathering import Join
    from ._overload import Overload
    from .resources import Need

__all__ = ["read_step"]

_THREAD_CONTEXT = "takes a ThreadContext, which is for a plain def step; write ctx: Context"


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
        threaded = not inspect.iscoroutinefunction(self.function)
        self._check_function(threaded=threaded)
        parameters = list(inspect.signature(self.function).parameters.values())
        self_name = self._take_self(parameters)
        needs = self._read_needs(parameters)
        context_name, taken = self._read_parameters([each for each in parameters if each.name not in needs])
        accepts = tuple(dict.fromkeys(kind for each in taken for kind in each.kinds))
        self._check_accepted(accepts)
        join = self._read_join(taken)
        if join is not None:
            accepts = self._arriving(accepts, join)
        returns, bare, lists = self._read_return()
        code: types.CodeType = self.plain.__code__
        limited = self.mark.timeout is not None or self.mark.limiter is not None
        overload = self.mark.overload
        if overload is not None:
            self._check_overload(overload, accepts, joins=join is not None)
        in_scope = overload is not None and overload.cancels
        special = threaded or limited or self.mark.holds or join is not None or in_scope
        shape = self._shape(parameters, self_name, context_name, special=special)
        return StepSpec(
            name=self.name,
            label=self.label,
            call=self.function,
            shape=shape,
            threaded=threaded,
            in_lane=shape is Shape.EVENT and not lists and self.mark.retry is None,
            self_name=self_name,
            context_name=context_name,
            event_names=tuple(each.name for each in taken),
            accepts=accepts,
            returns=returns,
            bare=bare,
            lists=lists,
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
            overload=overload,
            in_scope=in_scope,
            nested=tuple(self.nested),
            optional=may_be_nothing(self.hints["return"]),
            undo=self.mark.undo,
        )

    def _check_function(self, *, threaded: bool) -> None:
        if self.is_classmethod:
            raise self._error("is a class method; a step is a method of the workflow, or a static method")
        if inspect.isasyncgenfunction(self.function):
            raise self._error(
                "is an async generator; write to the stream with ctx.write_event_to_stream, or return list[E]"
            )
        if inspect.isgeneratorfunction(self.function):
            raise self._error("is a generator; return the event instead of yielding it")
        if self.mark.abandon and not threaded:
            raise self._error(
                "is async, and abandon=True is for a plain def, which runs in a thread; leave it out: an async step is "
                "cancelled where it awaits"
            )

    def _check_overload(self, overload: Overload, accepts: tuple[type[Event], ...], *, joins: bool) -> None:
        odd = overload.odd_for(accepts, joins=joins)
        if odd is not None:
            raise self._error(odd)

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
            kinds = members(self.hints[each.name])
            of_list = listed(kinds)
            if kinds == (Context,) or _are_thread_context(kinds):
                if kinds != (Context,) and inspect.iscoroutinefunction(self.function):
                    raise self._error(_THREAD_CONTEXT)
                self._check_filled(each, "Contexts", context_name)
                context_name = each.name
            elif of_list or (kinds and all(is_event(kind) for kind in kinds)):
                self._check_filled(each, "events")
                extras = getattr(self.annotated[each.name], "__metadata__", ())
                taken.append(Taken(each.name, of_list or kinds, bool(of_list), extras))
            elif kinds and all(is_workflow_class(kind) for kind in kinds):
                self._check_filled(each, "workflows")
                self.nested.append(Nested(each.name, kinds, optional=each.default is not each.empty))
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

    @staticmethod
    def _arriving(accepts: tuple[type[Event], ...], join: Join) -> tuple[type[Event], ...]:
        """The events that the join is sent; the failures that it settles are none."""
        from .joined import arriving  # noqa: PLC0415 - only for who joins

        return arriving(accepts, join)

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
        has = f"has a parameter {name!r} of type {told(hint)}, which"
        if hint is list or hint is typing.List:  # noqa: UP006 - as somebody may write it
            return f"{has} does not say what is in it; write {name}: list[…] with the class of the events"
        instead = instead_of_container(hint)
        if instead is not None:
            return (
                f"{has} stretto cannot fill; events that a step joins come in a list: write {name}: {instead}"
            )
        return (
            f"{has} stretto cannot fill; a step takes an event, a Context, resources, workflows, or parameters with a "
            "default"
        )

    def _bare_parameter(self, name: str) -> str:
        if name == "self":
            return "is called without self, as all static methods and steps added by workflow=; leave it out"
        takes = "StartEvent" if self.mark.recovers is None else "StepFailedEvent"
        guess = "Context" if name in {"ctx", "context"} else takes
        return f"has no annotation for its parameter {name!r}; write {name}: {guess}"

    def _read_return(self) -> tuple[tuple[type[Event], ...], ...]:
        """The events in the order of the annotation; those that are returned as they are, and those in a list."""
        if "return" not in self.hints:
            seen = " | ".join(_returned_in_source(self.plain))
            instead = f"-> {seen}" if seen else "-> StopEvent, the events it returns, or -> None"
            raise self._error(f"does not say what it returns; write {instead}")
        bare: dict[type[Event], None] = {}
        lists: dict[type[Event], None] = {}
        kinds: dict[type[Event], None] = {}
        for arm in arms(self.hints["return"]):
            is_list = typing.get_origin(arm) is list
            into, inner = (lists, members(typing.get_args(arm)[0])) if is_list else (bare, members(arm))
            for kind in inner:
                if not is_event(kind):
                    raise self._error(_strange_return(arm))
                kinds[kind] = into[kind] = None
        return tuple(kinds), tuple(bare), tuple(lists)

    def _hints(self, *, extras: bool) -> dict[str, Any]:
        """The annotations; with what `Annotated` adds to a type, or the types alone."""
        instead = "where the step is; define it above the workflow"
        return hints(self.plain, self.names, self._error, instead=instead, extras=extras)

    def _error(self, what: str) -> DefinitionError:
        return DefinitionError(f"{self.label} {what}")


def _strange_return(hint: object) -> str:
    declares = f"declares -> {told(hint)}, which"
    if hint is list or hint is typing.List:  # noqa: UP006 - as somebody may write it
        return f"{declares} does not say what is in it; write -> list[…] with the classes of the events"
    instead = instead_of_container(hint)
    if instead is not None:
        return f"{declares} is no event; several events are returned in a list: write -> {instead}"
    return (
        f"{declares} is no event; a step returns an event, a list of events or None, and StopEvent(result=…) carries "
        "any other value"
    )


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


def _are_thread_context(kinds: tuple[Any, ...]) -> bool:
    if len(kinds) != 1 or not (isinstance(kinds[0], type) and issubclass(kinds[0], Context)):
        return False
    from ._thread_context import ThreadContext  # noqa: PLC0415 - whoever has named it has loaded it

    return kinds == (ThreadContext,)
