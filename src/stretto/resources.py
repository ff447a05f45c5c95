"""Resources: what a step is handed beside its event, made by a factory and torn down when its scope ends.

A parameter annotated ``Annotated[T, Resource(factory)]`` asks for one, in a step and in a factory alike. What a class
asks for is read when it is defined, into a tree of `Recipe`; `_stock` makes what the tree says. The idea of a factory
that is asked for by annotation is LlamaIndex Workflows', that of one whose clean-up is a context manager is svcs'.
"""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Literal, TypeAlias, TypeGuard, final

import attrs

from ._options import flag, teaches
from ._signatures import label, parameters, unbound
from .context import Context
from .errors import DefinitionError, shown

__all__ = ["ConfigRecipe", "Given", "Need", "Recipe", "Resource", "ResourceConfig", "overridden", "read_need"]

_SUFFIXES = (".json", ".toml")


@final
@teaches
@attrs.frozen(repr=False)
class Resource:
    """``Annotated[T, Resource(factory)]``: a step, or another factory, is handed what the factory makes.

    >>> from contextlib import asynccontextmanager
    >>> from typing import Annotated
    >>> @asynccontextmanager
    ... async def open_shop():
    ...     yield "an open shop"
    ...     print("closed")
    >>> class Buy(Workflow[str]):
    ...     @step
    ...     async def buy(self, ev: StartEvent, shop: Annotated[str, Resource(open_shop)]) -> StopEvent[str]:
    ...         return StopEvent(result=shop)
    >>> Buy().run_sync()
    closed
    'an open shop'

    A factory is a function or a class. A coroutine that it gives is awaited. A context manager that it gives is entered
    if it is one of `contextlib.contextmanager` or `contextlib.asynccontextmanager`, or with ``enter=True``; else it is
    handed on as it is, for a lock is one too. A factory may take resources itself, by the same annotation, and nothing
    else without a default. A plain function runs on the loop: one that blocks belongs in ``anyio.to_thread``.

    A resource is known by its factory and its options: wherever the same ones are asked for, it is the same one. It is
    made when it is first asked for, once however many steps ask at once. A factory that fails is asked again by who
    comes next. It is entered and left in one task of its own, so it may hold a task group.

    Its scope is the run: when all steps have ended, and before ``await run`` returns, what was made is torn down in
    reverse order, whatever ended the run and whoever cancels meanwhile. A run that failed or was cancelled leaves
    a context manager by that error, so that a transaction is rolled back; what becomes of the error in there changes
    nothing. A teardown that fails makes the run fail.

    Args:
        factory: What makes it.
        scope: ``"run"``, or ``"workflow"`` for one that all runs of one workflow share, from its first use until
            ``async with MyWorkflow() as wf`` is left, or ``"application"`` for one that all members and conversations
            of an application share, until ``async with Application(...) as app`` is left.
        enter: Whether a context manager that the factory gives is entered, whoever made it.

    Raises:
        DefinitionError: If an option makes no sense; what the factory asks for is checked with the class of the step.
    """

    factory: Callable[..., Any]
    scope: Literal["run", "workflow", "application"] = attrs.field(default="run", kw_only=True)
    enter: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not callable(self.factory):
            raise DefinitionError(
                f"Resource takes a factory, a function that makes the resource, not {shown(self.factory)}"
            )
        if type(self.factory).__hash__ is None:
            raise DefinitionError(
                f"Resource knows a factory by its hash, and {shown(self.factory)} has none; give it a function"
            )
        if self.scope not in {"run", "workflow", "application"}:
            raise DefinitionError(f"scope is 'run', 'workflow' or 'application', not {shown(self.scope)}")
        flag(self.enter, "enter")

    @staticmethod
    @contextmanager
    def override(
        factory: Callable[..., Any], value: object = None, *, by: Callable[..., Any] | None = None
    ) -> Generator[None]:
        """Within the block, steps are handed something else than what the factory makes; made for tests.

        >>> from typing import Annotated
        >>> def today() -> str:
        ...     return "a day like any other"
        >>> class Date(Workflow[str]):
        ...     @step
        ...     async def date(self, ev: StartEvent, day: Annotated[str, Resource(today)]) -> StopEvent[str]:
        ...         return StopEvent(result=day)
        >>> with Resource.override(today, "doomsday"):
        ...     Date().run_sync()
        'doomsday'

        It is kept in a context variable, so it holds for the runs that the block makes and for nobody beside it. What
        a workflow has made before, and what was made with that, stays as it is.

        Args:
            factory: The factory to pass over, in whatever scope it is asked for.
            value: What is handed out in its place. It is yours: it is neither entered nor torn down.
            by: A factory that makes it instead of `value`, in the same scope.

        Raises:
            DefinitionError: If `factory` is none, or `by` asks for what it cannot have, such as `factory` itself.
        """
        Resource(factory)
        if by is not None:
            _check_replacement(factory, label(by), Recipe.of(Resource(by), {}))
        token = _overrides.set({**_overrides.get(), factory: Given(value=value, by=by)})
        try:
            yield
        finally:
            _overrides.reset(token)

    def __repr__(self) -> str:
        scope = "" if self.scope == "run" else f", scope={self.scope!r}"
        return f"Resource({label(self.factory)}{scope}{', enter=True' if self.enter else ''})"


@final
@teaches
@attrs.frozen
class ResourceConfig:
    """``Annotated[Settings, ResourceConfig("app.toml", "db.main")]``: a step is handed a part of a file.

    The file is JSON or TOML, read once for each workflow, at first use, from the working directory of that moment if
    it is no absolute path. The annotated class is filled with it: an attrs class, a dataclass, or a model with
    ``model_validate`` as pydantic's, which then decides itself what is unknown, missing or wrong. For others each field
    of the class must be there or have a default, and have the type that is annotated; so must those of the classes
    within.

    Args:
        file: The path, ending in ``.json`` or ``.toml``.
        path: The way to the part, keys joined by dots; None for the whole file.

    Raises:
        DefinitionError: If the file is of another kind.
        ConfigError: When a step asks for it, if the file does not hold what the class wants; says which file, path
            and field.
    """

    file: str | os.PathLike[str]
    path: str | None = None

    def __attrs_post_init__(self) -> None:
        _check_file(self.file)
        _check_path(self.path)


def _is_path(value: object) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, (str, os.PathLike))


def _check_file(file: object) -> None:
    if not _is_path(file) or not str(os.fspath(file)).endswith(_SUFFIXES):
        raise DefinitionError(
            f"ResourceConfig reads a file whose name ends in .json or .toml, not {shown(file)}"
        )


def _check_path(path: object) -> None:
    if path is not None and not (isinstance(path, str) and all(path.split("."))):
        raise DefinitionError(
            f"path is keys joined by dots, as in 'db.main', or None for the whole file, not {shown(path)}"
        )


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Recipe:
    """What it takes to make one resource.

    Attributes:
        label: The factory as messages name it: ``open_shop (shop.py:7)``.
        needs: What it is handed, by parameter.
    """

    resource: Resource
    label: str
    needs: Mapping[str, Need]

    @classmethod
    def of(cls, resource: Resource, names: dict[str, Any], above: tuple[Resource, ...] = ()) -> Recipe:
        """Reads what a factory asks for, and what that asks for.

        Args:
            resource: Whose factory it is.
            names: More names that annotations may mean.
            above: Who asks for it, from the outermost on.

        Raises:
            DefinitionError: If it cannot be made: a circle, a parameter that stretto cannot fill.
        """
        named = label(resource.factory)
        if resource in above:
            circle = [*above[above.index(resource) :], resource]
            way = " asks for ".join(label(each.factory) for each in circle)
            raise DefinitionError(f"resources ask for each other in a circle: {way}; break it at one of them")
        needs = _needs_of(resource, named, names, (*above, resource))
        return cls(resource=resource, label=named, needs=needs)


@final
@attrs.frozen(kw_only=True)
class ConfigRecipe:
    """A part of a file, and the class to fill with it."""

    config: ResourceConfig
    kind: Any


Need: TypeAlias = Recipe | ConfigRecipe


@final
@attrs.frozen(kw_only=True, eq=False)
class Given:
    """What is handed out in place of a resource: a value, or what another factory makes."""

    value: object
    by: Callable[..., Any] | None


_overrides: ContextVar[dict[Callable[..., Any], Given]] = ContextVar("stretto_overrides", default={})  # noqa: B039 - never changed in place


def overridden(recipe: Recipe) -> Recipe | Given:
    """The recipe, the one that stands in for it, or the value that does."""
    given = _overrides.get().get(recipe.resource.factory)
    if given is None:
        return recipe
    if given.by is None:
        return given
    return Recipe.of(Resource(given.by, scope=recipe.resource.scope), {})


def _check_replacement(factory: Callable[..., Any], by: str, recipe: Recipe) -> None:
    """Raises if what is put in the place of a factory asks for it, itself or through what stands in for others."""
    for need in recipe.needs.values():
        if not isinstance(need, Recipe):
            continue
        if need.resource.factory == factory:
            raise DefinitionError(
                f"{recipe.label} asks for {need.label}, in whose place {by} is put; call that factory in it instead"
            )
        asked = overridden(need)
        if isinstance(asked, Recipe):
            _check_replacement(factory, by, asked)


def read_need(
    hint: object, asker: str, names: dict[str, Any], above: tuple[Resource, ...] = ()
) -> Need | None:
    """What a parameter with this annotation asks for; None if for no resource.

    Raises:
        DefinitionError: If it asks for something that cannot be made.
    """
    if typing.get_origin(hint) is not Annotated:
        return None
    kind, *told = typing.get_args(hint)
    for each in told:
        if each is Resource or each is ResourceConfig:
            raise DefinitionError(
                f"{asker} asks for {each.__name__} itself; write {each.__name__}(…) in the annotation"
            )
        if isinstance(each, Resource):
            return Recipe.of(each, names, above)
        if isinstance(each, ResourceConfig):
            return ConfigRecipe(config=each, kind=kind)
    return None


def _needs_of(
    resource: Resource, named: str, names: dict[str, Any], above: tuple[Resource, ...]
) -> dict[str, Need]:
    factory, _ = unbound(resource.factory)
    if inspect.isgeneratorfunction(factory) or inspect.isasyncgenfunction(factory):
        manager = "contextmanager" if inspect.isgeneratorfunction(factory) else "asynccontextmanager"
        raise DefinitionError(f"{named} is a generator; write @contextlib.{manager} above it")

    def error(what: str) -> DefinitionError:
        return DefinitionError(f"{named} {what}")

    needs: dict[str, Need] = {}
    instead = "where the factory is; define both at the top of a module"
    for each, hint in parameters(resource.factory, names, error, instead=instead):
        need = read_need(hint, named, names, above)
        if need is not None and each.kind is not each.POSITIONAL_ONLY:
            _check_scope(resource, named, need)
            needs[each.name] = need
        elif each.default is each.empty and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}:
            raise error(_not_filled(each, hint))
    return needs


def _not_filled(parameter: inspect.Parameter, hint: object) -> str:
    if hint is Context:
        return (
            "takes a Context, which belongs to one step, while a resource is shared by several; give the step the "
            "Context, and the factory none"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return f"has a positional-only parameter {parameter.name!r}; leave out the slash"
    return (
        f"has a parameter {parameter.name!r}, which stretto cannot fill; a factory takes other resources, "
        "Annotated[T, Resource(factory)], or parameters with a default"
    )


def _check_scope(resource: Resource, named: str, need: Need) -> None:
    """A run ends before what is around it; which of a workflow and an application ends first nobody knows."""
    if resource.scope == "run" or not isinstance(need, Recipe) or need.resource.scope == resource.scope:
        return
    end = "each run" if need.resource.scope == "run" else f"its {need.resource.scope}"
    raise DefinitionError(
        f"{named} lives as long as its {resource.scope} and asks for {need.label}, which ends with {end}; write "
        f"scope={resource.scope!r} for that one too"
    )
