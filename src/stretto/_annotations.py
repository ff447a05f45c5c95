"""What the annotations of a step mean: which events, and in a list or not."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import AsyncIterable, Iterable
from typing import Any

from .events import Event

__all__ = ["arms", "instead_of_container", "is_event", "listed", "may_be_nothing", "members", "told"]


def arms(hint: object) -> tuple[Any, ...]:
    """The members of a union without None, as they are written; a hint that is no union is its only member."""
    if hint is type(None) or hint is None:
        return ()
    if (named := getattr(hint, "__value__", None)) is not None:  # since Python 3.12: type AB = A | B
        return arms(named)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(arm for each in typing.get_args(hint) for arm in arms(each))
    return (hint,)


def may_be_nothing(hint: object) -> bool:
    """Whether None is one of the members of a union, or the only one."""
    if (named := getattr(hint, "__value__", None)) is not None:
        return may_be_nothing(named)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(may_be_nothing(each) for each in typing.get_args(hint))
    return hint is type(None) or hint is None


def members(hint: object) -> tuple[Any, ...]:
    """As `arms`, each as a class: of ``StopEvent[int]`` it is ``StopEvent``. A list stays what it is."""
    return tuple(_bare(arm) for arm in arms(hint))


def _bare(arm: Any) -> Any:  # noqa: ANN401
    origin = typing.get_origin(arm)
    return arm if origin is None or (origin is list and typing.get_args(arm)) else origin


def listed(kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """The events of a parameter that takes a list of them; nothing for any other."""
    if len(kinds) != 1 or typing.get_origin(kinds[0]) is not list:
        return ()
    inner = members(typing.get_args(kinds[0])[0])
    return inner if all(is_event(kind) for kind in inner) else ()


def is_event(kind: object) -> bool:
    """Whether it is a class of events."""
    return isinstance(kind, type) and issubclass(kind, Event)


def instead_of_container(hint: object) -> str | None:
    """``list[Ask]`` for ``set[Ask]`` and whatever else holds several events; None for any other."""
    origin = typing.get_origin(hint)
    if not (isinstance(origin, type) and issubclass(origin, (Iterable, AsyncIterable))) or origin is list:
        return None
    held = [each for each in typing.get_args(hint) if each not in (..., None, type(None))]
    kinds = [kind for each in held for kind in members(each)]
    if not kinds or not all(is_event(kind) for kind in kinds):
        return None
    return f"list[{' | '.join(dict.fromkeys(kind.__name__ for kind in kinds))}]"


def told(hint: object) -> str:
    """An annotation as messages have it, without the modules that its names are from."""
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__name__
    return re.sub(r"(?:[\w<>]+\.)+(?=\w)", "", str(hint)).replace("NoneType", "None")
