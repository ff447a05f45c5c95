"""What a workflow is made with, checked once."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeGuard, TypeVar, final

from ._fields import Fields
from .errors import DefinitionError, near, shown

T = TypeVar("T")

__all__ = ["Options", "count", "duration", "flag", "refuse_unknown", "seconds", "teaches"]


def teaches(cls: type[T]) -> type[T]:
    """Lets the constructor of a class say which name is near, where it is given one that it does not take."""
    init: Any = cls.__init__
    names = [name for name in inspect.signature(init).parameters if name != "self"]

    @functools.wraps(init)
    def __init__(self: T, *args: Any, **keywords: Any) -> None:  # noqa: N807
        for name in keywords:
            if name not in names:
                raise TypeError(
                    f"{cls.__name__} takes no {name!r}, it takes: {', '.join(names)}{near(name, names)}"
                )
        init(self, *args, **keywords)

    setattr(cls, "__init__", __init__)  # noqa: B010 - to mypy it is another one
    return cls


def seconds(value: object, name: str, *, none: str) -> float | None:
    """A time in seconds, or None for no limit; infinity is no limit too.

    Raises:
        DefinitionError: If it is neither.
    """
    if value is None or value == math.inf:
        return None
    if not _is_duration(value):
        raise DefinitionError(f"{name} is a time in seconds above 0, or None for {none}, not {shown(value)}")
    return float(value)


def duration(value: object, name: str, *, hint: str = "") -> float:
    """A number above 0, such as a time in seconds.

    Raises:
        DefinitionError: If it is none.
    """
    if not _is_duration(value):
        raise DefinitionError(f"{name} is a number above 0, not {shown(value)}{hint}")
    return float(value)


def _is_duration(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def count(value: object, name: str) -> int:
    """A whole number of at least 1.

    Raises:
        DefinitionError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= sys.maxsize:
        raise DefinitionError(f"{name} is a whole number of at least 1, not {shown(value)}")
    return value


def _count_or_none(value: object, name: str) -> int | None:
    return None if value is None else count(value, name)


def flag(value: object, name: str) -> bool:
    """True or False.

    Raises:
        DefinitionError: If it is neither.
    """
    if not isinstance(value, bool):
        raise DefinitionError(f"{name} is True or False, not {shown(value)}")
    return value


def _overflow(value: object, queue_size: object) -> str | None:
    """What becomes of what is too much for a run; None if it is refused, or waits, as it does unless said.

    Raises:
        DefinitionError: If it is none of the words, or there is no bound.
    """
    if value == "latest":
        raise DefinitionError(
            "overflow='latest' keeps the latest of each key, and a key is about the events of one step; write it "
            "there, as in @step(overflow='latest', key='symbol'), and for a whole run 'fail', 'drop_oldest' or "
            "'drop_newest'"
        )
    if value is None:
        return None
    word = _word(value, "overflow", ("fail", "drop_oldest", "drop_newest"))
    if queue_size is None:
        raise DefinitionError(
            f"overflow={value!r} says what becomes of an event for which there is no room, and there always is; add "
            "queue_size=100"
        )
    return None if word == "fail" else word


def _run_overflow(value: object, num_concurrent_runs: object) -> str | None:
    """What becomes of a run that is too many; None if it waits, as it does unless said.

    Raises:
        DefinitionError: If it is none of the words, or there is no such number.
    """
    if value is None:
        return None
    word = _word(value, "run_overflow", ("wait", "fail", "cancel_oldest"))
    if num_concurrent_runs is None:
        raise DefinitionError(
            f"run_overflow={value!r} says what becomes of a run for which there is no place, and there always is; add "
            "num_concurrent_runs=4"
        )
    return None if word == "wait" else word


def _word(value: object, name: str, words: tuple[str, ...]) -> str:
    """One of these words.

    Raises:
        DefinitionError: If it is none.
    """
    if not isinstance(value, str) or value not in words:
        hint = near(value, words) if isinstance(value, str) else ""
        told = ", ".join(map(repr, words[:-1]))
        raise DefinitionError(f"{name} is {told} or {words[-1]!r}, not {shown(value)}{hint}")
    return value


def refuse_unknown(
    of: str, unknown: Iterable[str], known: Iterable[str], ours: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Refuses options that are not there.

    Args:
        of: What was called, for the message.
        unknown: The options that it does not have.
        known: Those that it has.
        ours: What to write for words that are known elsewhere.

    Raises:
        TypeError: As Python raises it, and with the near or the other word.
    """
    names = list(known)
    for name in unknown:
        hint = f"; write {ours[name]}" if name in ours else near(name, names)
        raise TypeError(f"{of} takes no {name!r}; its options: {', '.join(names)}{hint}")


@final
class Options(Fields):
    """The options of one workflow; `of` checks them.

    Attributes:
        run_overflow: ``"fail"`` or ``"cancel_oldest"``; None if runs wait.
        overflow: ``"drop_oldest"`` or ``"drop_newest"``; None if nothing is dropped.
        traced: Whether each run is told from its begin, by lines or in its journal.
    """

    timeout: float | None = 45.0
    verbose: bool = False
    disable_validation: bool = False
    scoped_only: bool = False
    stream_buffer: int = 16_384
    collect_limit: int = 100_000
    grace: float = 5.0
    num_concurrent_runs: int | None = None
    run_overflow: str | None = None
    queue_size: int | None = None
    overflow: str | None = None
    journal: int | None = None
    undo_timeout: float = 30.0
    traced: bool = False

    @classmethod
    def of(
        cls,
        *,
        timeout: float | None,
        verbose: bool,
        disable_validation: bool,
        scoped_only: bool,
        stream_buffer: int,
        collect_limit: int,
        grace: float | None,
        num_concurrent_runs: int | None = None,
        run_overflow: object = None,
        queue_size: int | None = None,
        overflow: object = None,
        journal: int | None = None,
        undo_timeout: float | None = 30.0,
    ) -> Options:
        """Checked options.

        Raises:
            DefinitionError: For a value that makes no sense, saying what would.
        """
        return cls(
            timeout=seconds(timeout, "timeout", none="no limit"),
            verbose=flag(verbose, "verbose"),
            disable_validation=flag(disable_validation, "disable_validation"),
            scoped_only=flag(scoped_only, "scoped_only"),
            stream_buffer=count(stream_buffer, "stream_buffer"),
            collect_limit=count(collect_limit, "collect_limit"),
            grace=seconds(grace, "grace", none="never") or math.inf,
            num_concurrent_runs=_count_or_none(num_concurrent_runs, "num_concurrent_runs"),
            run_overflow=_run_overflow(run_overflow, num_concurrent_runs),
            queue_size=_count_or_none(queue_size, "queue_size"),
            overflow=_overflow(overflow, queue_size),
            journal=_count_or_none(journal, "journal"),
            undo_timeout=seconds(undo_timeout, "undo_timeout", none="no limit") or math.inf,
            traced=verbose or journal is not None,
        )
