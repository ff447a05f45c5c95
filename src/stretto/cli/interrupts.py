"""Ctrl-C and SIGTERM: the first cancels the run, so that its steps clean up; a second ends the process at once.

The handlers are Python's own and not the event loop's: they are called also while a step blocks the loop, and a second
Ctrl-C then still works.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import final

from .._loop import call_soon
from .endings import Exit

__all__ = ["Interrupts", "interrupts"]

_CODES = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}


@final
class Interrupts:
    """Which signal has come, if one has.

    Attributes:
        code: The exit code that it asks for.
    """

    def __init__(self, cancel: Callable[[], object]) -> None:
        self.code: Exit | None = None
        self._cancel = cancel
        self._soon = call_soon()

    def handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as handlers are called
        """What the signal calls, in the middle of anything."""
        if self.code is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.code = _CODES[signal.Signals(number)]
        with suppress(OSError, ValueError, AttributeError):  # whoever reads has gone, or nobody ever did
            os.write(
                sys.stderr.fileno(), b"\nstretto: cancelling the run; once more ends it without clean-up\n"
            )
        self._soon(self._cancel)


@contextmanager
def interrupts(cancel: Callable[[], object]) -> Generator[Interrupts]:
    """Calls `cancel` in the running loop when the process is interrupted, within this block."""
    interrupted = Interrupts(cancel)
    if threading.current_thread() is not threading.main_thread():  # only that one is told of signals
        yield interrupted
        return
    before = {number: signal.signal(number, interrupted.handle) for number in _CODES}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
