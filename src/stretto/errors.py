"""The one tree of errors, and how their texts name a step, an event and a near name.

Every message says what happened (values by ``repr``, a step with its ``file:line``), why, and what to write
instead; what a program may want to look at is kept as attributes. Whose fault it was is in the class:
`DefinitionError` is the author's of a workflow, `InternalError` is ours, the rest happened at run time.
An exception of your own step is never wrapped: it comes out as it was raised, with notes.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeGuard, final

__all__ = [
    "CollectError",
    "ConfigError",
    "DeadLetterError",
    "DefinitionError",
    "InternalError",
    "QueueFullError",
    "RestoredError",
    "RoutingError",
    "RunEndedError",
    "SnapshotError",
    "StateError",
    "StepTimeoutError",
    "StreamOverflowError",
    "UndeclaredEventError",
    "WaitTimeoutError",
    "WorkflowCancelledError",
    "WorkflowError",
    "WorkflowStalledError",
    "WorkflowTimeoutError",
]

_LONGEST_REPR = 200


def near(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'topic'?`` if one of `names` is near `name`, else an empty string."""
    import difflib  # noqa: PLC0415 - a tenth of the import of stretto, and only for who has made a mistake

    hits = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {hits[0]!r}?" if hits else ""


def names(kinds: Iterable[type], beside: Iterable[type] = ()) -> list[str]:
    """The names of classes for a message; of those that would read alike, with what tells them apart.

    That is the module, ``shop.Order``, or the line where that is the same, ``Order (shop.py:7)``, as of a class that
    was made anew when its cell of a notebook ran again.

    Args:
        kinds: The classes.
        beside: Others that the message names.
    """
    kinds = tuple(kinds)
    every = dict.fromkeys((*kinds, *beside))
    return [_name(kind, [each for each in every if each.__name__ == kind.__name__]) for kind in kinds]


def name_of(kind: type, beside: Iterable[type]) -> str:
    """The name of one class, see `names`."""
    return names((kind,), beside)[0]


def shown_beside(value: object, kinds: Iterable[type]) -> str:
    """As `shown`, with the class of the value where one of these has the same name."""
    told = name_of(type(value), kinds)
    return shown(value) if told == type(value).__name__ else f"{shown(value)} of {told}"


def _name(kind: type, alike: list[type]) -> str:
    if len(alike) == 1:
        return kind.__name__
    for tell in (_in_module, _at_line):
        if len({tell(each) for each in alike}) == len(alike):
            return tell(kind)
    return f"{_at_line(kind)} at {id(kind):#x}"  # made twice by one line


def _in_module(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _at_line(kind: type) -> str:
    try:
        file = inspect.getsourcefile(kind) or ""
        return f"{kind.__name__} ({os.path.basename(file)}:{inspect.getsourcelines(kind)[1]})"  # noqa: PTH119
    except (OSError, TypeError):  # no source
        return _in_module(kind)


def shown(value: object) -> str:
    """The `repr` of a value for a message: never longer than a few lines, and never an error itself."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a broken __repr__ must not hide the error being told
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}…"


def told(error: BaseException) -> str:
    """An error in a line of another one: ours whole, since its end says what to write."""
    return f"{type(error).__name__}: {error}" if isinstance(error, WorkflowError) else shown(error)


class WorkflowError(Exception):
    """Root of what stretto raises."""


def leaves(error: BaseException) -> list[BaseException]:
    """The exceptions in a group, however deep, in order; one that is no group is its own leaf."""
    return [leaf for each in error.exceptions for leaf in leaves(each)] if _is_group(error) else [error]


def without(error: BaseException, kind: type[BaseException]) -> BaseException:
    """What is left when those of one kind are taken out of a group; what is no group is left alone.

    trio puts a cancellation and the error of a clean-up into one group. If nothing else is in it, the first of that
    kind is given; Ctrl-C and its like come out bare.
    """
    if not _is_group(error):
        return error
    bare = next((leaf for leaf in leaves(error) if not isinstance(leaf, (Exception, kind))), None)
    if bare is not None:
        return bare
    taken, rest = error.split(kind)
    if taken is None:
        return error
    return leaves(taken)[0] if rest is None else rest


def _is_group(error: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)


def add_note(error: BaseException, note: str) -> None:
    """Adds a note that the error does not have yet; a frozen exception takes none, and comes out as it is."""
    with contextlib.suppress(Exception):
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)


def add_context(error: BaseException, original: BaseException) -> None:
    """Makes it look as if `error` was raised while `original` was handled, unless it has a context already."""
    if error.__context__ is None and error is not original:
        error.__context__ = original


@final
class DefinitionError(WorkflowError):
    """A workflow is declared wrongly: a signature, an option, or a graph that cannot start or stop.

    Raised where the class is defined (signatures), where the workflow is made (options) and at its first run
    (the graph, since steps may be added to a class until then). The fault is the author's of the workflow.

    Attributes:
        problems: What is wrong, one by one, where several things may be.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)

    def __reduce__(self) -> tuple[type[DefinitionError], tuple[object, ...]]:
        return type(self), (*self.args, self.problems)


@final
class WorkflowTimeoutError(WorkflowError, TimeoutError):
    """The run passed its deadline; every step has ended nonetheless when this comes out.

    If the clean-up of a step failed meanwhile, that error is the ``__cause__`` and in ``run.failures``.

    Attributes:
        timeout: The time limit in seconds.
        active: For each step that was at work, how many of it and since how many seconds the longest.
        queued: For each step, how many events waited for one of its workers, or to be tried again.
        held_up: For each active step of which some waited for a turn or for room: what for, and how many did.
        used: For each step, the seconds that its attempts of a millisecond or more took, with their waits and with
            those still at work, of all its workers; the largest first. Steps of nested runs and of requests stand there
            as ``Class.step``.
    """

    def __init__(  # noqa: PLR0917 - what is pickled is given back by position
        self,
        message: str,
        timeout: float = 0.0,
        active: dict[str, tuple[int, float]] | None = None,
        queued: dict[str, int] | None = None,
        held_up: dict[str, dict[str, int]] | None = None,
        used: dict[str, float] | None = None,
    ) -> None:
        used = {} if used is None else used
        super().__init__(message, timeout, active, queued, held_up, used)
        self.timeout = timeout
        self.active = active or {}
        self.queued = queued or {}
        self.held_up = held_up or {}
        self.used = used

    def __str__(self) -> str:
        return str(self.args[0])


@final
class StepTimeoutError(WorkflowError, TimeoutError):
    """One attempt of a step passed the limit of ``@step(timeout=…)``.

    If the step raised an error of its own past the limit, that is the ``__cause__``.

    Attributes:
        step: The name of the step.
        timeout: The time limit in seconds.
        attempt: Which attempt it was, from 1.
    """

    def __init__(self, message: str, step: str = "", timeout: float = 0.0, attempt: int = 1) -> None:
        super().__init__(message)
        self.step = step
        self.timeout = timeout
        self.attempt = attempt

    def __reduce__(self) -> tuple[type[StepTimeoutError], tuple[object, ...]]:
        return type(self), (*self.args, self.step, self.timeout, self.attempt)


@final
class WaitTimeoutError(WorkflowError, TimeoutError):
    """`Context.wait_for_event` was given a time limit, and no event came that fits."""


@final
class WorkflowStalledError(WorkflowError):
    """Nothing is left to run and nobody outside may send: the run can never end by itself.

    The message says which collect misses what, which step returned nothing and which event nobody took.
    """


@final
class WorkflowCancelledError(WorkflowError):
    """The run was cancelled: by `Handler.cancel`, or because its scope or its caller was."""


@final
class UndeclaredEventError(WorkflowError):
    """A step returned something that its return annotation does not name.

    Attributes:
        value: What the step returned.
    """

    def __init__(self, message: str, value: object = None) -> None:
        super().__init__(message)  # and not the value, whose repr may be long, or an error
        self.value = value

    def __reduce__(self) -> tuple[type[UndeclaredEventError], tuple[object, ...]]:
        return type(self), (*self.args, self.value)


@final
class RoutingError(WorkflowError, ValueError):
    """``send_event(event, step=...)`` names a step that is not there or does not accept the event."""


@final
class CollectError(WorkflowError, ValueError):
    """`Context.collect_events` was given an event it does not expect, no event types, or too many events.

    The event was not stored.
    """


@final
class StateError(WorkflowError, ValueError):
    """``ctx.store`` was given a path that leads nowhere, or was used in a way in which it would wait for itself.

    Nothing was written.
    """


@final
class ConfigError(WorkflowError, ValueError):
    """A file does not hold what the class of a `ResourceConfig` wants."""


@final
class DeadLetterError(WorkflowError):
    """An event of an application made with ``dead_letters="error"`` was taken by nobody.

    Attributes:
        event: The event.
    """

    def __init__(self, message: str, event: object = None) -> None:
        super().__init__(message)  # and not the event, whose repr may be long, or an error
        self.event = event

    def __reduce__(self) -> tuple[type[DeadLetterError], tuple[object, ...]]:
        return type(self), (*self.args, self.event)


@final
class RunEndedError(WorkflowError):
    """Something was sent or written from outside to a run that is over; it came too late."""


@final
class QueueFullError(WorkflowError):
    """The queue of a run is full; or all places for the runs of a workflow are taken, with ``run_overflow="fail"``.

    Attributes:
        why: What there is no room for and where, without what to write instead, which a step in a thread is told in
            other words.
        refused_by: In an application: the run of the other member that has no room, and the context variables with
            which the event would be handled there.
        receivers: Of a broadcast, which nobody was sent: what sends it to each of its receivers.
    """

    refused_by: tuple[Any, Any] | None = None
    receivers: Sequence[Callable[[], None]] = ()

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why or message

    def __reduce__(self) -> tuple[type[QueueFullError], tuple[object, ...]]:
        return type(self), (*self.args, self.why)


@final
class StreamOverflowError(WorkflowError):
    """A reader of a stream was further behind than `stream_buffer`, and had said ``overflow="fail"``.

    The run goes on; another reader may too, with what is kept.

    Attributes:
        missed: How many events have been written since, when it was told.
    """

    def __init__(self, message: str, missed: int = 0) -> None:
        super().__init__(message)
        self.missed = missed

    def __reduce__(self) -> tuple[type[StreamOverflowError], tuple[object, ...]]:
        return type(self), (*self.args, self.missed)


@final
class SnapshotError(WorkflowError):
    """A snapshot cannot be made, or read: it is malformed, of another version, or of another workflow.

    Attributes:
        path: Where in the snapshot, such as ``active[2].event.items[0]``; empty if it is about the whole.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[type[SnapshotError], tuple[object, ...]]:
        return type(self), (*self.args, self.path)


@final
class RestoredError(WorkflowError):
    """Stands for what a step had raised before, in a run that goes on from a snapshot: its text, and its class by name.

    Attributes:
        kind: The name of the class.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[RestoredError], tuple[object, ...]]:
        return type(self), (*self.args, self.kind)


@final
class InternalError(WorkflowError):
    """stretto itself is wrong: please report it, with the traceback of the cause."""
