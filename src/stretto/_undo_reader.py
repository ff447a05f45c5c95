"""Reads the undo of a step: what it is called with, and what is wrong with it.

An undo asks by annotation, as a step does: for the event that the step took, for what it returned, for a Context and
for resources. It must take all that the step may have taken and returned, which is looked at when the class is defined:
an undo is called when something has gone wrong already, and nobody wants to learn then that it cannot be.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, final

from ._annotations import told
from ._signatures import hints, place
from ._step_spec import Shape, StepSpec, mark_of
from ._thread_context import ThreadContext
from ._undo_spec import UndoSpec
from .context import Context
from .errors import DefinitionError, near
from .resources import Need, read_need

__all__ = ["read_undo", "read_undos"]

_WHOLE = (Any, object)


def read_undos(cls: type, specs: Iterable[StepSpec]) -> list[StepSpec]:
    """The steps of a class with their undos read, a name as that of a method of this class.

    Raises:
        DefinitionError: Saying what is wrong with one, where, and what to write.
    """
    names = {each.__name__: each for each in cls.__mro__}
    read: list[StepSpec] = []
    for spec in specs:
        fields: dict[str, Any] = {**vars(spec), "shape": Shape.OTHER, "in_lane": False, "makes": True}
        if spec.undo is not None:
            undo = _method(cls, spec, spec.undo) if isinstance(spec.undo, str) else spec.undo
            fields["undoing"] = read_undo(spec, undo, cls.__name__, names)
        read.append(StepSpec(**fields))
    return read


def read_undo(
    spec: StepSpec, undo: Callable[..., Any], owner: str, names: dict[str, Any] | None = None
) -> UndoSpec:
    """Reads the signature of one undo.

    Args:
        spec: Its step.
        undo: A function, or a staticmethod with one inside.
        owner: The class, for messages.
        names: More names that annotations may mean.

    Raises:
        DefinitionError: As above.
    """
    return _Reader(spec, undo, owner, names or {}).read()


def _method(cls: type, spec: StepSpec, name: str) -> Any:  # noqa: ANN401 - whatever stands there
    known = {each: value for base in reversed(cls.__mro__[:-1]) for each, value in vars(base).items()}
    if name not in known:
        raise DefinitionError(
            f"{spec.label} is undone by {name!r}, which {cls.__name__} does not have; write a method of that name"
            f"{near(name, known)}"
        )
    value = known[name]
    if not inspect.isfunction(getattr(value, "__func__", value)):
        raise DefinitionError(
            f"{spec.label} is undone by {name!r}, and {cls.__name__}.{name} is no method; write async def {name}(self, "
            "…)"
        )
    if mark_of(value) is not None:
        raise DefinitionError(
            f"{spec.label} is undone by {name!r}, which is a step itself; an undo is a method without @step above it"
        )
    return value


@final
class _Reader:
    """Reads one signature, beside that of its step."""

    def __init__(self, spec: StepSpec, undo: Callable[..., Any], owner: str, names: dict[str, Any]) -> None:
        self.spec = spec
        self.function: Any = getattr(undo, "__func__", undo)
        self.plain: Any = inspect.unwrap(self.function)
        self.name: str = self.plain.__name__
        self.label = place(f"{owner}.{self.name}", self.plain.__code__)
        self.kind = type(undo)
        mark = mark_of(spec.call)
        self.names = {**names, **({} if mark is None else mark.names)}
        self.annotated = hints(
            self.plain, self.names, self.error, instead="where the undo is; define it above the workflow"
        )
        self.hints = {name: _bare(hint) for name, hint in self.annotated.items()}
        of_step = inspect.unwrap(spec.call)
        declared = hints(of_step, self.names, self.error, instead="where the step is", extras=False)
        self.taken = {name: _kinds(declared[name]) for name in spec.event_names}
        self.returned = _kinds(declared.get("return"))
        self.returns = told(declared.get("return"))

    def read(self) -> UndoSpec:
        self._check_function()
        parameters = list(inspect.signature(self.function).parameters.values())
        self_name = self._take_self(parameters)
        needs: dict[str, Need] = {}
        events: dict[str, str] = {}
        context_name = result_name = None
        for each in parameters:
            kinds = self._kinds_of(each)
            need = read_need(self.annotated[each.name], self.label, self.names)
            if need is not None:
                needs[each.name] = need
            elif kinds and all(kind in {Context, ThreadContext} for kind in kinds):
                context_name = each.name
            elif each.default is not each.empty and each.name not in {*self.taken, "result"}:
                continue
            elif (own := self._own(each.name, kinds)) is None:
                result_name = each.name
            else:
                events[each.name] = own
        return UndoSpec(
            name=self.name,
            label=self.label,
            call=self.function,
            threaded=not inspect.iscoroutinefunction(self.function),
            self_name=self_name,
            context_name=context_name,
            event_names=events,
            result_name=result_name,
            needs=needs,
        )

    def _check_function(self) -> None:
        if issubclass(self.kind, classmethod):
            raise self.error("is a class method; write a method of the workflow, or a static method")
        if inspect.isasyncgenfunction(self.function) or inspect.isgeneratorfunction(self.function):
            raise self.error("is a generator, and nobody would iterate over it; write one without yield")
        if _kinds(self.hints.get("return")) not in {(None,), ()} and "return" in self.hints:
            raise self.error(
                f"declares -> {told(self.hints['return'])}, and what it returns goes nowhere; write -> None"
            )

    def _take_self(self, parameters: list[inspect.Parameter]) -> str | None:
        if issubclass(self.kind, staticmethod):
            return None
        first = parameters[0].name if parameters else ""
        if first == "self" or (self.spec.self_name is not None and first and first not in self.hints):
            return parameters.pop(0).name
        if self.spec.self_name is not None:
            raise self.error(f"has no self; write {self.name}(self, …), or add @staticmethod")
        return None

    def _kinds_of(self, each: inspect.Parameter) -> tuple[Any, ...]:
        if each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY}:
            written = str(each).replace("'", "")  # an annotation that is text
            raise self.error(f"has a parameter {written}, and is called by name; name each parameter")
        if each.name not in self.hints:
            taken = " | ".join(kind.__name__ for kind in self.spec.accepts)
            guess = self.returns if each.name == "result" else taken
            raise self.error(f"has no annotation for its parameter {each.name!r}; write {each.name}: {guess}")
        return _kinds(self.hints[each.name])

    def _own(self, name: str, kinds: tuple[Any, ...]) -> str | None:
        """What the step calls what a parameter takes; None if that is what the step returned."""
        if name in self.taken:
            self._check(name, kinds, self.taken[name], "takes")
            return name
        if name == "result":
            self._check(name, kinds, self.returned, "returns")
            return None
        fits = [own for own, taken in self.taken.items() if _covers(kinds, taken)]
        if _covers(kinds, self.returned):
            if fits:
                raise self.error(
                    f"has a parameter {name!r} for what {self.spec.label} takes, or for what it returns; call it "
                    f"{fits[0]!r} for the first, or 'result' for the second"
                )
            return None
        if len(fits) != 1:
            raise self.error(self._strange(name))
        return fits[0]

    def _check(self, name: str, kinds: tuple[Any, ...], given: tuple[Any, ...], does: str) -> None:
        if not _covers(kinds, given):
            wanted = " | ".join(map(_told, given))
            raise self.error(
                f"takes {name}: {told(self.hints[name])}, and {self.spec.label} {does} {wanted}; write "
                f"{name}: {wanted}"
            )

    def _strange(self, name: str) -> str:
        own, kinds = next(iter(self.taken.items()))
        return (
            f"has a parameter {name!r} of type {told(self.hints[name])}, which is neither what {self.spec.label} takes "
            f"nor all that it may return; write {own}: {' | '.join(map(_told, kinds))} for the event, or result: "
            f"{' | '.join(map(_told, self.returned))}"
        )

    def error(self, what: str) -> DefinitionError:
        return DefinitionError(f"{self.label} {what}")


def _bare(hint: Any) -> Any:  # noqa: ANN401 - whatever is annotated
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _kinds(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """The members of a union, None included, each as a class; a list of something stays what it is."""
    if hint is None or hint is type(None):
        return (None,)
    if (named := getattr(hint, "__value__", None)) is not None:  # since Python 3.12: type AB = A | B
        return _kinds(named)
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        return tuple(kind for each in typing.get_args(hint) for kind in _kinds(each))
    return (hint,) if origin is None or origin is list else (origin,)


def _covers(wide: tuple[Any, ...], narrow: tuple[Any, ...]) -> bool:
    """Whether each of the one may be given where the other is asked for."""
    return all(any(_takes(into, each) for into in wide) for each in narrow)


def _takes(wide: Any, narrow: Any) -> bool:  # noqa: ANN401
    if wide in _WHOLE:
        return True
    if wide is None or narrow is None:
        return wide is narrow
    inner = typing.get_args(narrow) if typing.get_origin(narrow) is list else ()
    if inner:
        outer = typing.get_args(wide) if typing.get_origin(wide) is list else ()
        return wide is list or bool(outer and _covers(_kinds(outer[0]), _kinds(inner[0])))
    return isinstance(wide, type) and isinstance(narrow, type) and issubclass(narrow, wide)


def _told(kind: Any) -> str:  # noqa: ANN401
    return "None" if kind is None else told(kind)
