"""A traceback as the author of a workflow wants it: his own lines, without those of stretto and of the event loop."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

import anyio

__all__ = ["shortened"]

_OURS = tuple(str(Path(file).parent) for file in (__file__, str(anyio.__file__)))
_LIBRARIES = {"asyncio", "trio", "importlib", "concurrent"}


def shortened(error: BaseException) -> str:
    """The traceback of an error, with its causes and notes."""
    told = traceback.TracebackException.from_exception(error)
    _shorten(told, set())
    return "".join(told.format()).rstrip("\n")


def _shorten(told: traceback.TracebackException, seen: set[int]) -> None:
    if id(told) in seen:
        return
    seen.add(id(told))
    kept = [frame for frame in told.stack if not _is_inside(frame.filename)]
    told.stack = traceback.StackSummary.from_list(kept)
    for each in _around(told):
        _shorten(each, seen)


def _around(told: traceback.TracebackException) -> Iterable[traceback.TracebackException]:
    linked = [told.__cause__, told.__context__]
    return [*[each for each in linked if each is not None], *(told.exceptions or ())]


def _is_inside(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", *_OURS)) or Path(filename).parent.name in _LIBRARIES
