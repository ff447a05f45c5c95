"""Sees a step that blocks the loop: a thread looks now and then whether the loop has turned."""

from __future__ import annotations

import sys
import threading
from types import FrameType, TracebackType
from typing import final

from .. import _worker
from ..errors import WorkflowError
from ._world import PULSE

__all__ = ["BlockedLoopError", "Watchdog"]

_WORKER = _worker.__file__


@final
class BlockedLoopError(WorkflowError, AssertionError):
    """A step has blocked the loop for too long: it computed, or waited for something without ``await``."""


@final
class Watchdog:
    """A block in which no step may block the loop of this thread; needs virtual time.

    >>> with Watchdog(limit=1.0):
    ...     pass

    Args:
        limit: For how many real seconds at once a step may keep the loop.

    Raises:
        BlockedLoopError: On leaving, if one has; the message names its line.
    """

    def __init__(self, limit: float = 0.5) -> None:
        self._limit = limit
        self._thread = threading.get_ident()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="stretto watchdog", daemon=True)
        self._caught: str | None = None

    def __enter__(self) -> Watchdog:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watcher.join()
        if self._caught is not None and error is None:
            raise BlockedLoopError(
                f"{self._caught} has blocked the loop for more than {self._limit:.6g} s; await what it waits for, or "
                "let it be a plain def step, which runs in a thread"
            )

    def _watch(self) -> None:
        turns = -1
        while not self._over.wait(self._limit):
            if turns == PULSE.turns and self._caught is None:
                self._caught = _step_on(sys._current_frames().get(self._thread))  # noqa: SLF001 - documented  # pyright: ignore[reportPrivateUsage]
            turns = PULSE.turns


def _step_on(frame: FrameType | None) -> str | None:
    """The line of the step that is on a stack, and where in it the program is; None if no step is."""
    inner = frame
    while frame is not None:
        around = frame.f_back
        if around is not None and around.f_code.co_name == "work" and around.f_code.co_filename == _WORKER:
            return f"{frame.f_code.co_qualname} ({_line(frame)}{'' if inner is frame else f', at {_line(inner)}'})"
        frame = around
    return None


def _line(frame: FrameType | None) -> str:
    return "" if frame is None else f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
