"""A workflow with other steps in place of some of its own: for tests that need no network."""

from __future__ import annotations

import inspect
from types import GenericAlias
from typing import Any, TypeGuard, TypeVar, cast

from ..errors import DefinitionError, near
from ..steps import step
from ..workflow import Workflow

__all__ = ["faked"]

W = TypeVar("W", bound=Workflow[Any])


def faked(workflow: type[W], **steps: Any) -> type[W]:
    """A subclass with fakes for some of its steps, which take and return what these did.

    A fake is what its step returns (an event, a list, None), an exception that it raises, an iterator that gives one of
    these for each delivery, or a function of the event, async or not, that does. The subclass has the name of the
    class, so that messages read the same.

    >>> import anyio
    >>> from stretto import StartEvent, StopEvent, Workflow, step
    >>> class Weather(Workflow[int]):
    ...     @step
    ...     async def ask(self, ev: StartEvent) -> StopEvent[int]:
    ...         raise NotImplementedError("asks the network")
    >>> anyio.run(faked(Weather, ask=StopEvent(result=21))().run)
    21

    Args:
        workflow: The class.
        **steps: A fake for each step, by name.

    Raises:
        DefinitionError: If there is no step of a name, or it joins.
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
        mark = step(num_workers=spec.num_workers, accept_event_subclasses=spec.accept_event_subclasses)
        names[name] = mark(body)
    return cast("type[W]", type(workflow.__name__, (workflow,), names))


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
