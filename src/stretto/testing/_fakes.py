"""Fakes for tests that need no network: in place of a step, of a resource, or of a member of an application."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import GenericAlias
from typing import Any, TypeGuard, TypeVar, cast

from .._step_spec import StepSpec
from .._undo_spec import UndoSpec
from ..blueprint import Blueprint
from ..errors import DefinitionError, near, shown
from ..events import StartEvent
from ..resources import Need, Recipe, Resource
from ..steps import step
from ..workflow import Workflow

__all__ = ["faked", "faked_member"]

W = TypeVar("W", bound=Workflow[Any])


def faked(
    workflow: type[W], resources: Mapping[Callable[..., Any], object] | None = None, /, **steps: Any
) -> type[W]:
    """A subclass with fakes for some of its resources and steps.

    A fake for a resource is handed out in place of what the factory makes, to steps, undos and other factories; it is
    yours, and neither entered nor torn down. A fake for a step takes and returns what the step did, and is tried again
    and timed as that was; it does nothing, and so has no undo. It is what its step returns (an event, a list, None), an
    exception that it raises, an iterator that gives one of these for each delivery, or a function of the event, async
    or not, that does. The subclass has the name of the class, so that messages read the same.

    >>> import anyio
    >>> from stretto import StartEvent, StopEvent, Workflow, step
    >>> class Weather(Workflow[int]):
    ...     @step
    ...     async def ask(self, ev: StartEvent) -> StopEvent[int]:
    ...         raise NotImplementedError("asks the network")
    >>> anyio.run(faked(Weather, ask=StopEvent(result=21))().run)
    21

    >>> from typing import Annotated
    >>> from stretto import Resource
    >>> def network() -> str:
    ...     raise NotImplementedError("is slow")
    >>> class News(Workflow[str]):
    ...     @step
    ...     async def read(self, ev: StartEvent, net: Annotated[str, Resource(network)]) -> StopEvent[str]:
    ...         return StopEvent(result=f"read by {net}")
    >>> anyio.run(faked(News, {network: "nobody"})().run)
    'read by nobody'

    Args:
        workflow: The class.
        resources: A fake for each resource, by its factory.
        **steps: A fake for each step, by name.

    Raises:
        DefinitionError: If there is no step of a name, or it joins; if no step asks for such a resource.
    """
    known = {spec.name: spec for spec in workflow.blueprint().specs}
    names: dict[str, Any] = {"__module__": workflow.__module__, "__qualname__": workflow.__qualname__}
    for name, fake in steps.items():
        if name not in known:
            raise DefinitionError(
                f"{workflow.__name__} has no step {name!r}; its steps: {', '.join(known)}{near(name, known)}"
            )
        spec = known[name]
        if spec.join is not None:
            raise DefinitionError(
                f"{spec.label} joins; faked() has no fakes for that, override the step in a subclass"
            )
        body = _body(name, fake)
        returns = _union(spec.bare) if spec.bare else None
        if spec.lists:
            listed = GenericAlias(list, (_union(spec.lists),))
            returns = listed if returns is None else returns | listed
        body.__annotations__ = {
            "ev": _union(spec.accepts),
            "return": None if returns is None else returns | None,
        }
        mark = step(
            num_workers=spec.num_workers,
            accept_event_subclasses=spec.accept_event_subclasses,
            retry_policy=spec.retry,
            timeout=spec.timeout,
        )
        names[name] = mark(body)
    if resources:
        names["_new_blueprint"] = classmethod(_StandIns(workflow, resources).new_blueprint)
    return cast("type[W]", type(workflow.__name__, (workflow,), names))


class _StandIns:
    """What is handed out in place of some resources."""

    def __init__(self, workflow: type[Workflow[Any]], resources: Mapping[Callable[..., Any], object]) -> None:
        self._workflow = workflow
        self._by = {factory: _gives(value) for factory, value in resources.items()}
        specs = workflow.blueprint().specs
        undos = [spec.undoing for spec in specs if spec.undoing is not None]
        users: list[StepSpec | UndoSpec] = [*specs, *undos]
        asked = [need for user in users for need in _all_needs(user.needs)]
        for factory in resources:
            if all(need.resource.factory != factory for need in asked):
                labels = ", ".join(dict.fromkeys(need.label for need in asked)) or "none"
                raise DefinitionError(
                    f"no step of {workflow.__name__} asks for {shown(factory)}; its resources: {labels}"
                )

    def new_blueprint(self, cls: Any) -> Blueprint:  # noqa: ANN401 - a subclass of the workflow
        above = cast("Any", super(self._owner(cls), cls))
        specs: tuple[StepSpec, ...] = above._new_blueprint().specs  # noqa: SLF001 - of a workflow
        blueprint = Blueprint(cls.__name__, [self._handed(spec) for spec in specs])
        cls._blueprint = blueprint
        return blueprint

    def _owner(self, cls: type) -> Any:  # noqa: ANN401 - for super()
        """The class that was made with these."""
        return next(each for each in cls.__mro__ if self._workflow in each.__bases__)

    def _handed(self, spec: StepSpec) -> StepSpec:
        fields: dict[str, Any] = {**vars(spec), "needs": self._needs(spec.needs)}
        if spec.undoing is not None:
            of_undo: dict[str, Any] = {**vars(spec.undoing), "needs": self._needs(spec.undoing.needs)}
            fields["undoing"] = UndoSpec(**of_undo)
        return StepSpec(**fields)

    def _needs(self, needs: Mapping[str, Need]) -> dict[str, Need]:
        return {name: self._need(need) if isinstance(need, Recipe) else need for name, need in needs.items()}

    def _need(self, need: Recipe) -> Recipe:
        gives = self._by.get(need.resource.factory)
        if gives is None:
            return Recipe(resource=need.resource, label=need.label, needs=self._needs(need.needs))
        return Recipe(resource=Resource(gives), label=need.label, needs={})


def _gives(value: object) -> Callable[[], object]:
    return lambda: value


def _all_needs(needs: Mapping[str, Need]) -> Iterator[Recipe]:
    for need in needs.values():
        if isinstance(need, Recipe):
            yield need
            yield from _all_needs(need.needs)


def faked_member(workflow: type[W], **answers: Any) -> W:
    """A member for an `Application` that stands in for a workflow: it takes the events that this takes from others.

    What it does with them is told by event class; what is not told is taken, and nothing comes of it. It is a fake as
    for a step, see `faked`: an event that it sends, an exception, an iterator, a function of the event.

    >>> import anyio
    >>> from stretto import Application, Event, StartEvent, StopEvent, Workflow, step
    >>> class Ask(Event):
    ...     city: str
    >>> class Told(Event):
    ...     degrees: int
    >>> class Walk(Workflow[bool]):
    ...     @step
    ...     async def plan(self, ev: StartEvent) -> Ask:
    ...         return Ask(city=ev.city)
    ...     @step
    ...     async def go(self, ev: Told) -> StopEvent[bool]:
    ...         return StopEvent(result=ev.degrees > 10)
    >>> class Weather(Workflow):
    ...     @step
    ...     async def ask(self, ev: Ask) -> Told:
    ...         raise NotImplementedError("asks the network")
    >>> async def walk() -> bool:
    ...     async with Application(walk=Walk(), weather=faked_member(Weather, Ask=Told(degrees=21))) as app:
    ...         return await app.run("walk", city="Oslo")
    >>> anyio.run(walk)
    True

    Args:
        workflow: The class that it stands in for. It is not made, so its arguments do not matter.
        **answers: A fake for each event class, by its name.

    Raises:
        DefinitionError: If no step of the class takes an event of a name.
    """
    specs = workflow.blueprint().specs
    taken = {kind.__name__: kind for spec in specs for kind in spec.accepts}
    for name in answers:
        if name not in taken:
            raise DefinitionError(
                f"no step of {workflow.__name__} takes {name!r}; they take: {', '.join(taken)}{near(name, taken)}"
            )
    made = {kind for spec in specs for kind in spec.returns}
    returns = _union(tuple(made)) if made else None
    names: dict[str, Any] = {"__module__": workflow.__module__, "__qualname__": workflow.__qualname__}
    for name, kind in taken.items():
        if name in answers or not (kind in made or issubclass(kind, StartEvent)):
            body = _body(f"take_{name}", answers.get(name))
            body.__annotations__ = {"ev": kind, "return": None if returns is None else returns | None}
            names[f"take_{name}"] = step(body)
    made_class: Any = type(workflow.__name__, (Workflow,), names)
    member: W = made_class(timeout=None, disable_validation=True)
    return member


def _union(kinds: tuple[type, ...]) -> Any:  # noqa: ANN401 - an annotation
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union |= kind
    return union


def _body(name: str, fake: object) -> Any:  # noqa: ANN401 - a function, to be marked as a step
    async def body(self: Any, ev: Any) -> Any:  # noqa: ANN401, ARG001
        return await _given(fake, ev)

    body.__name__ = name
    return body


async def _given(fake: Any, event: object) -> object:  # noqa: ANN401
    given: Any = next(fake, None) if hasattr(fake, "__next__") else fake
    if _is_raised(given):
        raise given
    function: Any = given
    value: Any = function(event) if callable(given) else given
    result: object = (await value) if inspect.isawaitable(value) else value
    return result


def _is_raised(given: object) -> TypeGuard[BaseException]:
    return isinstance(given, BaseException) or (isinstance(given, type) and issubclass(given, BaseException))
