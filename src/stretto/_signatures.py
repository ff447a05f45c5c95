"""What a function or a class says of itself: its name and place, its parameters, what its annotations mean."""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .errors import near, shown

__all__ = ["hints", "label", "parameters", "place", "unbound"]


def place(name: str, code: types.CodeType) -> str:
    """A name as messages have it: ``open_shop (shop.py:7)``."""
    return f"{name} ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"  # noqa: PTH119 - 50 times as fast


def hints(
    owner: Any,  # noqa: ANN401 - a function or a class
    names: Mapping[str, Any],
    error: Callable[[str], Exception],
    *,
    instead: str,
    extras: bool = True,
) -> dict[str, Any]:
    """What the annotations mean, by name.

    Args:
        owner: What is annotated.
        names: More names that annotations may mean.
        error: Makes the error of what is wrong.
        instead: What to do about a name that is not defined.
        extras: Whether what `Annotated` adds to a type is kept.

    Raises:
        Exception: What `error` makes, if they cannot be read.
    """
    try:
        return typing.get_type_hints(owner, localns=dict(names) or None, include_extras=extras)
    except NameError as missing:
        known = {**getattr(owner, "__globals__", {}), **names}
        classes = [name for name, value in known.items() if isinstance(value, type)]
        raise error(
            f"is annotated with {str(missing.name)!r}, which is not defined {instead}{near(str(missing.name), classes)}"
        ) from None
    except Exception as unreadable:
        raise error(
            f"has an annotation that cannot be read, {unreadable}; write classes, joined by |"
        ) from unreadable


# -- of whatever can be called: a function, a method, a class, an object, a partial of one --------------------------


def label(factory: Callable[..., Any]) -> str:
    """Its name, with file and line as far as it has them."""
    inner, _ = unbound(factory)
    name = getattr(inner, "__name__", None) or shown(inner)
    code = getattr(_annotated(inner), "__code__", None)
    if code is None or code.co_filename.startswith("<"):  # made by attrs, or not by Python
        return str(name)
    return place(str(name), code)


def parameters(
    factory: Callable[..., Any], names: Mapping[str, Any], error: Callable[[str], Exception], *, instead: str
) -> list[tuple[inspect.Parameter, Any]]:
    """The parameters that are not filled yet, each with its annotation, None for one without.

    The arguments are those of `hints`.
    """
    inner, bound = unbound(factory)
    annotated = _annotated(inner)
    meant: dict[str, Any] = {}
    if getattr(annotated, "__annotations__", None):
        meant = hints(annotated, names, error, instead=instead)
    try:
        takes = inspect.signature(factory).parameters.values()
    except ValueError:  # of a class in C, which says nothing
        return []
    return [(each, meant.get(each.name)) for each in takes if each.name not in bound]


def unbound(factory: Callable[..., Any]) -> tuple[Any, set[str]]:
    """The function, class or object within partials, and the parameters that these fill."""
    bound: set[str] = set()
    while isinstance(factory, partial):
        bound |= set(factory.keywords)
        factory = factory.func
    return getattr(factory, "__func__", factory), bound


def _annotated(factory: Any) -> Any:  # noqa: ANN401
    """Where the annotations of the parameters stand."""
    if isinstance(factory, type):
        annotated: Any = factory.__init__  # type: ignore[misc]
    else:
        annotated = factory if inspect.isroutine(factory) else type(factory).__call__
    return inspect.unwrap(annotated)
