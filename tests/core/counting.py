"""Counts calls, for tests of cost that a busy machine does not disturb."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def calls_during(program: Callable[[], object]) -> int:
    """How many functions are called."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        program()
    finally:
        sys.setprofile(before)
    return count


def steps_during(program: Callable[[], object]) -> int:
    """How many instructions of Python are run: a walk over a list calls nothing, and counts here."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return note

    before, here = sys.gettrace(), sys._getframe()
    here.f_trace_opcodes = (
        True  # Python 3.12 looks for a frame that wants them when the tracing begins, and not later
    )
    sys.settrace(note)
    try:
        program()
    finally:
        sys.settrace(before)
        here.f_trace_opcodes = False
    return count
