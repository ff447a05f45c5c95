"""Copies of what can be changed: containers and data objects as deep as they go, and nothing else.

`copy.deepcopy` fails at a lock and opens a second client for the first. Here an object of which nothing is known is
shared, as a lock and a client must be, and so is what cannot change.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import MutableSequence
from typing import TypeVar, cast

from .shapes import attributes, is_frozen, raw, set_raw

__all__ = ["Memo", "copied"]

T = TypeVar("T")
Memo = dict[int, tuple[object, object]]
"""What was copied already, and its copy, by identity; the original is kept lest another gets its identity."""

_ATOMS = (str, int, float, bool, bytes, complex, type(None), frozenset)


def copied(value: T, memo: Memo) -> T:
    """A copy that shares nothing with the original that can be changed by way of it.

    What is one object in the original is one in the copy. An object of which nothing can change is given as it is.
    """
    if type(value) in _ATOMS:
        return value
    known = memo.get(id(value))
    if known is not None:
        return cast("T", known[1])
    return cast("T", _copied(value, memo))


def _copied(value: object, memo: Memo) -> object:
    original = value  # of which the checkers know no more than that it is an object
    match value:
        case dict():
            return _mapping(cast("dict[object, object]", value), memo)
        case list() | deque():
            return _sequence(cast("MutableSequence[object]", value), memo)
        case set() | bytearray():
            return _kept(original, copy.copy(original), memo)
        case tuple() if type(original) is tuple:
            return _tuple(cast("tuple[object, ...]", value), memo)
        case _:
            names = attributes(value)
            return value if names is None else _data_object(value, names, memo)


def _kept(value: object, made: T, memo: Memo) -> T:
    memo[id(value)] = (value, made)
    return made


def _mapping(value: dict[object, object], memo: Memo) -> object:
    made = _kept(value, copy.copy(value), memo)
    for key, inner in value.items():
        new = copied(inner, memo)
        if new is not inner:
            made[key] = new
    return made


def _sequence(value: MutableSequence[object], memo: Memo) -> object:
    made = _kept(value, copy.copy(value), memo)
    for index, inner in enumerate(value):
        new = copied(inner, memo)
        if new is not inner:
            made[index] = new
    return made


def _tuple(value: tuple[object, ...], memo: Memo) -> object:
    made = tuple([copied(inner, memo) for inner in value])
    same = all(new is inner for new, inner in zip(made, value, strict=True))
    return value if same else _kept(value, made, memo)


def _data_object(value: object, names: dict[str, None], memo: Memo) -> object:
    frozen = is_frozen(type(value))
    if frozen and all(type(raw(value, name)) in _ATOMS for name in names):
        return value
    made = _kept(value, copy.copy(value), memo)
    same = frozen
    for name in names:
        inner = raw(value, name)
        new = copied(inner, memo)
        if new is not inner:
            set_raw(made, name, new)
            same = False
    return _kept(value, value, memo) if same else made
