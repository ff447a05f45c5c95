"""What functions of the user's say that are asked between two steps: predicates, keys and priorities.

Nothing can wait there, so that an answer which is to be awaited is none; taken as it is, it would be true, or a key
unlike all others.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeGuard, TypeVar

from .errors import shown

__all__ = ["answering", "ask", "called", "raisable"]

T = TypeVar("T")


def called(function: object) -> str:
    """A function of the user's as messages have it: ``majority (poll.py:7)``."""
    name = getattr(function, "__qualname__", None)
    code = getattr(function, "__code__", None)
    if name is None or code is None:
        return shown(function)
    name = str(name).rpartition("<locals>.")[2]
    return f"{name} ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"  # noqa: PTH119 - as in _signatures


def ask(function: Callable[[Any], T], about: object) -> T:
    """What the function says about something.

    Raises:
        TypeError: If that is to be awaited; a coroutine is closed, so that it does not warn too.
        RuntimeError: If it raises StopIteration, see `raisable`.
    """
    try:
        answer = function(about)
    except StopIteration as error:
        raise raisable(error, called(function)) from error
    if _is_awaitable(answer):
        raise TypeError(_unawaited(function, answer))
    return answer


def answering(function: Callable[[Any], T]) -> Callable[[Any], T]:
    """The function, with what `ask` does."""
    return partial(ask, function)


def raisable(error: BaseException, whose: str) -> BaseException:
    """The error; in place of a StopIteration one that has it as its cause, for no coroutine can raise that.

    Python would put another in its place by itself (PEP 479), which has none of the notes.
    """
    if not isinstance(error, StopIteration):
        return error
    other = RuntimeError(
        f"{whose} raised StopIteration, which means the end of an iteration to whoever is asked next; write "
        "next(…, None) for the first of what may be empty, or raise an error of another class"
    )
    other.__cause__ = error
    return other


def _is_awaitable(answer: object) -> TypeGuard[Awaitable[object]]:
    return isinstance(answer, Awaitable)


def _is_coroutine(answer: object) -> TypeGuard[Coroutine[object, object, object]]:
    return isinstance(answer, Coroutine)


def _unawaited(function: object, answer: object) -> str:
    what = shown(answer)
    if _is_coroutine(answer):
        answer.close()
        what = f"the coroutine {getattr(answer, '__name__', what)}()"
    return (
        f"{called(function)} gave {what}, and it is asked between two steps, where nothing can be awaited; let a step "
        "before it find out, and write a plain function that looks at its event"
    )
