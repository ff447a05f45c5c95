"""Keeps the frames of this package out of what pytest shows of a failure that `explore` has found.

pytest leaves out a frame in whose module or function `__tracebackhide__` says so, and asks it for each failure if it
can be called; with ``--full-trace`` it shows all.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from ..errors import InternalError

__all__ = ["hide_frames"]

_MARK = "_stretto_explored"


def hide_frames(error: BaseException) -> BaseException:
    """The error: of its traceback pytest shows what is not ours. A fault of ours is shown whole."""
    if "pytest" in sys.modules and not isinstance(error, InternalError):
        with contextlib.suppress(Exception):  # it takes no attribute, or not this one
            setattr(error, _MARK, True)
        for name, module in sys.modules.copy().items():
            if name.partition(".")[0] == __name__.partition(".")[0]:
                vars(module).setdefault("__tracebackhide__", _is_hidden)
    return error


def _is_hidden(failure: Any) -> bool:  # noqa: ANN401 - pytest's ExceptionInfo, or None
    return getattr(getattr(failure, "value", None), _MARK, False)
