"""How a command ends: its exit code, and what it says of an error."""

from __future__ import annotations

import enum
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO, final

import anyio

from ..errors import DefinitionError, WorkflowCancelledError, WorkflowError, WorkflowTimeoutError
from .targets import BrokenModuleError, UsageError

__all__ = ["Exit", "code_of", "tell"]

_OURS = tuple(str(Path(file).parent) for file in (__file__.replace("/cli/", "/"), anyio.__file__))


@final
class Exit(enum.IntEnum):
    """The exit codes, as other commands have them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 124  # as `timeout` has it
    INTERRUPTED = 130  # 128 and the signal, as shells have it
    TERMINATED = 143


def code_of(error: BaseException) -> Exit:
    """The exit code for what came out of a run, or of what came before it."""
    match error:
        case UsageError() | DefinitionError():
            return Exit.USAGE
        case WorkflowTimeoutError():
            return Exit.TIMED_OUT
        case KeyboardInterrupt() | WorkflowCancelledError():
            return Exit.INTERRUPTED
        case _:
            return Exit.FAILED


def tell(error: BaseException, file: TextIO | None = None) -> None:
    """Says what went wrong: an error of ours in its own words, any other with where it was raised.

    The frames of stretto and of the event loop are left out.
    """
    file = sys.stderr if file is None else file
    if isinstance(error, BrokenModuleError) and error.__cause__ is not None:
        print(f"stretto: {error}:", file=file)
        print(_traceback(error.__cause__), file=file)
    elif isinstance(error, WorkflowError):
        said = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        print(f"stretto: {said}{notes}", file=file)
    else:
        print(_traceback(error), file=file)


def _traceback(error: BaseException) -> str:
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
    path = Path(filename)
    libraries = {"asyncio", "trio", "importlib", "concurrent"}
    return filename.startswith(("<frozen importlib", *_OURS)) or path.parent.name in libraries
