"""The lines that somebody types, or that a program writes into a pipe, read so that whoever waits can be cancelled.

No thread sits in `input()`, for one would outlive the run and hold up the end of the process.
"""

from __future__ import annotations

import os
import sys
from typing import final

import anyio

__all__ = ["Lines", "stdin"]

_PIECE = 65_536


@final
class Lines:
    """The lines of a file descriptor, in order.

    Args:
        descriptor: What is read; without one there is no line.

    Attributes:
        ended: Whether there are no more.
        number: Which line was the last, from 1.
        typed: Whether somebody types them, in a terminal.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = -1 if descriptor is None else descriptor
        self._kept = bytearray()
        self.ended = descriptor is None
        self.number = 0
        self.typed = descriptor is not None and os.isatty(descriptor)

    async def next(self) -> str | None:
        """The next line without its end; None if there is none. Who is cancelled meanwhile has taken nothing."""
        while b"\n" not in self._kept and not self.ended:
            try:
                await anyio.wait_readable(self._descriptor)
            except (OSError, ValueError):  # a plain file is always readable, and no loop can watch it
                await anyio.lowlevel.checkpoint()
            piece = self._read()
            self._kept += piece
            self.ended = not piece
        if not self._kept:
            return None
        line, _, kept = self._kept.partition(b"\n")
        self._kept = kept
        self.number += 1
        return line.decode("utf-8", "replace").rstrip("\r")

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _PIECE)
        except OSError:  # the terminal is gone
            return b""

    def forget(self) -> None:
        """What somebody has typed of a line so far is no answer to what is asked next."""
        if self.typed:
            import termios  # noqa: PLC0415 - where there are terminals

            termios.tcflush(self._descriptor, termios.TCIFLUSH)
            self._kept.clear()


def stdin() -> Lines:
    """The lines of the process, if it has any."""
    try:
        return Lines(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        return Lines(None)
