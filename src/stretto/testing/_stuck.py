"""Says what each task of a program that is stuck for good was waiting at."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import FrameType
from typing import Any

from .. import _carry
from ..errors import WorkflowError

__all__ = ["Deadlock", "who_waits"]

_ENGINE = os.path.join(os.path.dirname(_carry.__file__), "")  # noqa: PTH118, PTH120 - a prefix of texts


class Deadlock(WorkflowError, AssertionError):  # noqa: N818 - it is what happened
    """Every task of the program waits for something that can never come.

    The message names for each task the lines where it waits, the outermost first.
    """


def who_waits(tasks: Iterable[tuple[str, Any]]) -> str:
    """The tasks by name, each with where its coroutine is suspended."""
    lines = [
        f"  {name}: {_where(coro)}" for name, coro in tasks if not name.startswith("stretto.testing._turns")
    ]
    return "\n".join(["every task waits, no timer is set and no thread is at work:", *sorted(lines)])


def _where(coro: Any) -> str:  # noqa: ANN401 - a coroutine, a generator, or what asyncio wrapped round it
    """The innermost frame of a suspended coroutine, and the ones that are no library's, if there are any."""
    frames: list[str] = []
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is not None:
            frames.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        inner = None if frame is None else _carried_in(frame)
        coro = inner or getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    own = [text for text in frames if "site-packages" not in text and not text.startswith(_ENGINE)]
    return " > ".join(own[-3:] or frames[-1:] or ["has not begun"])


def _carried_in(frame: FrameType) -> Any:  # noqa: ANN401 - a coroutine
    """The coroutine of a worker, whose steps the engine resumes by hand."""
    return frame.f_locals.get("coroutine") if frame.f_code.co_filename == _carry.__file__ else None
