"""How a command ends: its exit code, and what it says of an error."""

from __future__ import annotations

import enum
import sys
from typing import TextIO, final

from .._shortened import shortened
from ..errors import DefinitionError, WorkflowCancelledError, WorkflowError, WorkflowTimeoutError
from .targets import BrokenModuleError, UsageError

__all__ = ["Exit", "code_of", "tell"]


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
        print(shortened(error.__cause__), file=file)
    elif isinstance(error, WorkflowError):
        said = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        print(f"stretto: {said}{notes}", file=file)
    else:
        print(shortened(error), file=file)
