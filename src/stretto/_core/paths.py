"""Dotted paths into the state of a run: read without a copy, written by rebuilding what lies on the way.

A key is looked for in a mapping, an index in a list or a tuple, a name among the attributes of anything else. To
write, each container on the way is copied, one level deep, and nothing beside it: who holds the old state goes on
seeing the old state. clojure's `assoc-in` works so.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeGuard, cast, final

from ..errors import StateError, near, shown
from .shapes import attributes, raw, replaced

__all__ = ["MISSING", "Path", "contents", "find", "parsed", "rebuild"]

Path = str | tuple[str | int, ...]

_TOLD = 10
_COMPARED = 1_000  # so many keys of a large mapping are looked at for one that is near


@final
class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class _WrongTargetError(Exception):
    """A path cannot be written; it says why."""


def parsed(path: object) -> tuple[str | int, ...]:
    """The keys of a path: text is split at its dots, a tuple is taken as it is.

    Raises:
        StateError: If it is no path, or has an empty part.
    """
    told = path  # to pyright the other name is known too well below
    if isinstance(path, str):
        keys: tuple[object, ...] = tuple(path.split("."))
    else:
        keys = cast("tuple[object, ...]", path) if isinstance(path, tuple) else ()
    if not keys or not all(isinstance(key, (str, int)) and key != "" for key in keys):
        raise StateError(
            f"{shown(told)} is no path; write 'cart.items.0', a tuple of keys if one has a dot, or "
            "ctx.store.get_state() for the whole"
        )
    return cast("tuple[str | int, ...]", keys)


def find(root: object, path: object, default: object = MISSING) -> object:
    """What stands at a path, itself and no copy; the default where nothing does.

    Raises:
        StateError: If nothing stands there and no default was given.
    """
    keys = parsed(path)
    at = root
    for depth, key in enumerate(keys):
        inside = _inside(at, key)
        if inside is MISSING:
            if default is not MISSING:
                return default
            raise StateError(
                f"ctx.store.get({path!r}): {_lacks(at, keys[:depth], key)}; write "
                f"ctx.store.get({path!r}, None) if it may be missing{_near(at, key)}"
            )
        at = inside
    return at


def rebuild(root: object, path: object, value: object) -> object:
    """The state with a value set at a path; what stands beside the path is shared with the old one.

    Missing mappings are made within mappings.

    Raises:
        StateError: If something on the way is no container, or has no such field or index.
    """
    try:
        return _rebuilt(root, parsed(path), 0, value)
    except _WrongTargetError as error:
        raise StateError(f"ctx.store.set({path!r}, …): {error}") from None
    except RecursionError:
        raise StateError(
            f"ctx.store.set({shown(path)}, …): a path of {len(parsed(path))} keys is too long; keep the state flat, or "
            "set a value nearer to the top"
        ) from None


def _inside(at: object, key: str | int) -> object:
    if isinstance(at, Mapping):
        mapping = cast("Mapping[object, object]", at)
        return mapping.get(key, MISSING)
    if _is_sequence(at):
        index = _index(key)
        if index is not None:
            return at[index] if -len(at) <= index < len(at) else MISSING
        if key not in getattr(at, "_fields", ()):  # a named tuple has names too
            return MISSING
    if isinstance(key, int) or key.startswith("__"):
        return MISSING
    return cast("object", getattr(at, key, MISSING))


def _is_sequence(at: object) -> TypeGuard[Sequence[object]]:
    return isinstance(at, Sequence) and not isinstance(at, (str, bytes))


def _index(key: str | int) -> int | None:
    if isinstance(key, int):
        return key
    return int(key) if key.isascii() and key.removeprefix("-").isdigit() else None


def _rebuilt(at: object, keys: tuple[str | int, ...], depth: int, value: object) -> object:
    key = keys[depth]

    def inner(old: object) -> object:
        return value if depth == len(keys) - 1 else _rebuilt(old, keys, depth + 1, value)

    if isinstance(at, dict):
        mapping = cast("dict[object, object]", copy.copy(cast("object", at)))
        mapping[key] = inner(mapping.get(key, {}))
        return mapping
    if type(at) in (list, tuple):
        items = list(cast("Sequence[object]", at))
        index = _index(key)
        if index is None or not -len(items) <= index < len(items):
            raise _WrongTargetError(f"{_lacks(at, keys[:depth], key)}{_near(at, key)}")
        items[index] = inner(items[index])
        return items if type(at) is list else tuple(items)
    names = attributes(at)
    if names is None:
        place = _joined(keys[:depth])
        raise _WrongTargetError(
            f"{place!r} is {shown(at)}, which cannot be written into; set {place!r} as a whole"
        )
    if not isinstance(key, str) or key not in names:
        raise _WrongTargetError(f"{_lacks(at, keys[:depth], key)}{_near(at, key)}")
    return replaced(at, key, inner(raw(at, key)))


def _joined(keys: Iterable[str | int]) -> str:
    return ".".join(str(key) for key in keys)


def _lacks(at: object, before: tuple[str | int, ...], key: str | int) -> str:
    """That something has no such key, and what it has."""
    place = repr(_joined(before)) if before else "the state"
    if isinstance(at, Mapping):
        return f"{place} has no {key!r}, {contents(cast('Mapping[object, object]', at))}"
    if _is_sequence(at):
        return f"{place} ({type(at).__name__} of {len(at)}) has no {key!r}"
    if attributes(at) is None:
        return f"{place} is {shown(at)}, which has no {key!r}"
    return f"{place} ({type(at).__name__}) has no {key!r}, {contents(attributes(at) or {})}"


def _near(at: object, key: str | int) -> str:
    names = cast("Mapping[object, object]", at if isinstance(at, Mapping) else attributes(at) or {})
    return near(str(key), [str(name) for name in islice(names, _COMPARED)])


def contents(names: Mapping[Any, object]) -> str:
    """What a mapping has, for messages: its keys, or the first of many."""
    if not names:
        return "it is empty"
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return f"it has: {', '.join([str(name) for name in islice(names, _TOLD)])}{more}"
