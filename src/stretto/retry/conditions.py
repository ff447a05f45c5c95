"""Which errors are worth another attempt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, TypeAlias, final

import attrs

from .._answers import ask, called
from ..errors import DefinitionError, shown
from .joining import alike

__all__ = ["Condition", "Errors", "retry_if"]


class Condition:
    """Which errors are worth another attempt; `retry_if` makes one."""

    @abstractmethod
    def holds(self, error: Exception) -> bool:
        """Whether this error is one of them."""

    def __or__(self, other: Condition) -> Condition:
        return _AnyCondition(self, alike(Condition, other, "a condition", "|"))

    def __and__(self, other: Condition) -> Condition:
        return _AllConditions(self, alike(Condition, other, "a condition", "&"))


@final
@attrs.frozen
class _OfKind(Condition):
    kinds: tuple[type[Exception], ...]

    def holds(self, error: Exception) -> bool:
        return isinstance(error, self.kinds)


@final
@attrs.frozen
class _If(Condition):
    predicate: Callable[[Any], object]

    def holds(self, error: Exception) -> bool:
        return bool(ask(self.predicate, error))


@final
@attrs.frozen
class _AnyCondition(Condition):
    first: Condition
    second: Condition

    def holds(self, error: Exception) -> bool:
        return self.first.holds(error) or self.second.holds(error)


@final
@attrs.frozen
class _AllConditions(Condition):
    first: Condition
    second: Condition

    def holds(self, error: Exception) -> bool:
        return self.first.holds(error) and self.second.holds(error)


Errors: TypeAlias = (
    type[Exception] | tuple[type[Exception], ...] | Callable[[Any], object] | Condition
)  # a predicate may ask for any exception class, so what it takes is not said


def retry_if(on: Errors) -> Condition:
    """The condition that an error is of a class, of one of several, or one that a predicate is true of.

    >>> from stretto.retry import retry_if
    >>> transient = retry_if(OSError) & retry_if(lambda error: error.errno != 2)
    >>> transient.holds(OSError(2, "no such file"))
    False

    Args:
        on: An exception class, a tuple of them, or a function of the exception. An error that the function raises
            fails the run.

    Raises:
        DefinitionError: For anything else, and for classes that are no `Exception`: Ctrl-C is never tried again.
    """
    if isinstance(on, Condition):
        return on
    given: object = on
    kinds = _kinds(on)
    if kinds:
        return _OfKind(kinds)
    if isinstance(on, (type, tuple)) or not callable(on):
        raise DefinitionError(
            f"on is an Exception class, a tuple of them, or a function of the exception, not {shown(given)}; "
            "write on=(ConnectionError, TimeoutError)"
        )
    if iscoroutinefunction(on):
        raise DefinitionError(
            f"on={called(on)} is an async function, and the decision to try again cannot wait; write def"
        )
    return _If(on)


def _kinds(on: object) -> tuple[type[Exception], ...]:
    """The exception classes that it is; none if it is something else, be it in part."""
    kinds: tuple[object, ...] = on if isinstance(on, tuple) else (on,)  # pyright: ignore[reportUnknownVariableType]
    exceptions = tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))
    return exceptions if len(exceptions) == len(kinds) else ()
