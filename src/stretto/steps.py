"""``@step``: marks a function as a step, with its options.

The decorator only marks the function and remembers the names that its annotations may mean. The signature is
read when the workflow class is defined (or at once, for a step that is added to a class by ``workflow=``), so
that a mistake is told with the name of the class, at the line where the class stands.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, overload

from ._options import count, flag, refuse_unknown, seconds
from ._step_spec import Mark, leave_mark, mark_of
from .errors import DefinitionError, near, shown

if typing.TYPE_CHECKING:
    from .limits import By, Debounce, Limit, Rate
    from .retry import Policy

__all__ = ["StepHolder", "names_around", "names_for", "step"]

F = TypeVar("F", bound=Callable[..., Any])
Emit: TypeAlias = Literal["now", "on_success"]
Overflow: TypeAlias = Literal["fail", "drop_oldest", "drop_newest", "latest"]
Singleton: TypeAlias = Literal["cancel", "refuse"]
Undo: TypeAlias = Callable[..., Any] | str
# What the options are called elsewhere, and how they are written here.
_OTHER_WORDS = {
    **dict.fromkeys(("retries", "retry", "max_retries", "attempts"), "retry_policy=RetryPolicy(attempts=…)"),
    **dict.fromkeys(("workers", "max_workers", "concurrency"), "num_workers=…"),
    **dict.fromkeys(("rate_limit", "throttle"), "rate=Rate(5, per=1.0)"),
    **dict.fromkeys(("max_queue", "buffer"), "queue_size=…"),
    "pass_context": "a parameter ctx: Context, and no option",
    **dict.fromkeys(("compensate", "compensation", "on_rollback", "rollback"), "undo=…"),
}
_FRAMES = 8  # how many enclosing functions' local names an annotation may use


class StepHolder(Protocol):
    """A workflow class, as far as an unbound step needs it."""

    def add_step(self, function: Callable[..., Any]) -> None:
        """Takes in a function that is marked as a step."""


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    *,
    num_workers: int = 4,
    accept_event_subclasses: bool = False,
    retry_policy: Policy | None = None,
    timeout: float | None = None,
    emit: Emit = "now",
    abandon: bool = False,
    workflow: StepHolder | None = None,
    limiter: Limit | None = None,
    rate: Rate | None = None,
    priority: str | Callable[[Any], float] | None = None,
    queue_size: int | None = None,
    overflow: Overflow | None = None,
    singleton: Singleton | None = None,
    debounce: float | Debounce | None = None,
    key: By | None = None,
    undo: Undo | None = None,
) -> Callable[[F], F]: ...
def step(
    function: Any = None,
    /,
    *,
    num_workers: int = 4,
    accept_event_subclasses: bool = False,
    retry_policy: Policy | None = None,
    timeout: float | None = None,
    emit: Emit = "now",
    abandon: bool = False,
    workflow: StepHolder | None = None,
    limiter: Limit | None = None,
    rate: Rate | None = None,
    priority: str | Callable[[Any], float] | None = None,
    queue_size: int | None = None,
    overflow: Overflow | None = None,
    singleton: Singleton | None = None,
    debounce: float | Debounce | None = None,
    key: By | None = None,
    undo: Undo | None = None,
    **unknown: object,
) -> Any:
    """Makes a method a step of its workflow, bare or with options.

    The annotations say which event it takes and which it may return: an event class, a union of them, or
    None. One that takes a list joins what a fork has sent, see `stretto.joins`; one with several parameters for events
    joins one of each type. A parameter annotated `Context` is given the run, one annotated with a `Resource` the
    resource, and one annotated with a workflow class the workflow that `Workflow.add_workflows` was given under that
    name. A plain ``def`` runs in a thread, which cannot be cancelled: a run waits for it at its end. A long one
    looks now and then at `Context.check_cancelled`.

    Args:
        function: The method, where the decorator is used bare.
        num_workers: How many events one run may work on in this step at once.
        accept_event_subclasses: Whether subclasses of the annotated events are taken too; else types are
            exact.
        retry_policy: When an attempt that raised is followed by another, see `stretto.retry`; None for never.
            Between two attempts the event holds no worker. A returned value that the annotation does not name is a
            mistake in the program: it fails the run at once.
        timeout: Seconds that one attempt may take, waits for events included; past them it has failed with a
            `StepTimeoutError`, whatever it returns. A step in a thread is waited for, unless it has `abandon`, and has
            failed then. None for no limit.
        emit: ``"on_success"`` holds back what an attempt sends and writes to the stream until it has returned;
            if it raises, that is discarded.
        abandon: For a plain ``def`` that may sit for long where nothing can wake it: neither the end of its run nor
            its `timeout` waits for the thread, which goes on, the one thing that outlives its run. The logger
            ``stretto`` names the step then, and says what the thread returns or raises later. On trio the thread
            keeps its place among those that anyio lets run at once.
        workflow: Adds a plain function (without ``self``) to this workflow class, from any module.
        limiter: The body of the step waits for a turn of this limit, and has it until it ends. While it waits, it has
            its resources and one of the `num_workers` already, and its time counts; steps of other kinds go on. One
            with a key holds nothing back but what is of that key, see `stretto.limits`.
        rate: Each attempt of the step takes a token of this rate as it begins. While there is none, it holds no worker.
        priority: A field, or a function of the event, that gives a number: of what waits, the highest is handled first,
            and of equal ones the first that came. The lowest may wait for ever.
        queue_size: How many events may wait for this step in one run; None for no bound.
        overflow: What becomes of one more: ``"fail"``, the default, refuses who sends it, and lets ``await ctx.send``
            wait; ``"drop_oldest"`` and ``"drop_newest"`` make a dead letter of one; ``"latest"`` keeps only the
            latest of each `key`, full or not.
        singleton: At most one of each `key` is taken in at a time. ``"cancel"`` cancels the earlier one and waits for
            its end, ``"refuse"`` refuses the later one. Either is a dead letter.
        debounce: Seconds in which no other event of the `key` must have come before the last one is handled, or a
            `stretto.limits.Debounce`.
        key: What tells events apart for `singleton`, `debounce` and ``overflow="latest"``: the name of a field, or a
            function of the event. None: all are alike.
        undo: What undoes a step that has completed, when its run fails, times out or is cancelled: a method defined
            above it, or the name of one. Those of a run are called one after the other, last completed first, when all
            of its steps have ended and before its error comes out. It takes what the step took, under the same name or
            type, and what it returned, as ``result`` or under its type; both may be left out. See `UndoRecord`.
        **unknown: Any other option, which is refused with the near one.

    Raises:
        DefinitionError: If an option or, when the class is defined, the signature makes no sense.
        TypeError: If there is no such option.
    """
    if unknown:
        refuse_unknown("@step", unknown, step.__kwdefaults__ or (), _OTHER_WORDS)
    if workflow is not None and not hasattr(workflow, "add_step"):
        raise DefinitionError(
            f"workflow= is a Workflow class, not {shown(workflow)}; write @step(workflow=MyWorkflow)"
        )
    workers = count(num_workers, "num_workers")
    subclasses = flag(accept_event_subclasses, "accept_event_subclasses")
    policy = _policy(retry_policy)
    limit = seconds(timeout, "timeout", none="no limit")
    holds = _holds(emit)
    _check_limiter(limiter)
    said = (rate, priority, queue_size, overflow, singleton, debounce, key)
    overload = None
    if any(each is not None for each in said) or (limiter is not None and limiter.key is not None):
        from ._overload import declared  # noqa: PLC0415 - loaded by who uses it

        overload = declared(
            limiter=limiter,
            rate=rate,
            priority=priority,
            queue_size=queue_size,
            overflow=overflow,
            singleton=singleton,
            debounce=debounce,
            key=key,
        )
    abandons = flag(abandon, "abandon")
    undoes = _undo(undo)
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    around = names_around(frame)
    before = frame.f_locals if "__qualname__" in frame.f_locals else {}  # of the class that is being defined

    def decorate(function: F) -> F:
        plain = getattr(function, "__func__", function)
        if not inspect.isfunction(plain):
            raise DefinitionError(
                f"@step decorates a function, not {shown(function)}; put it right above the def, with its "
                "options by name: @step(num_workers=4)"
            )
        if mark_of(before.get(plain.__name__)) is not None:
            raise DefinitionError(
                f"{before['__qualname__']} defines the step {plain.__name__!r} twice, and the second would take "
                "the place of the first; give one another name"
            )
        mark = Mark(
            num_workers=workers,
            accept_event_subclasses=subclasses,
            abandon=abandons,
            retry=policy,
            timeout=limit,
            holds=holds,
            names={**names_for(plain, around), **_names_for_undo(undo, around)},
            bound=workflow is None,
            limiter=None if limiter is None or limiter.key is not None else limiter,
            overload=overload,
            undo=undoes,
        )
        leave_mark(plain, mark)
        if workflow is not None:
            workflow.add_step(plain)
        return function

    return decorate if function is None else decorate(function)


def _policy(value: object) -> Policy | None:
    if value is None:
        return None
    from .retry import Policy  # noqa: PLC0415 - loaded by who uses it, here and below

    if not isinstance(value, Policy):
        raise DefinitionError(
            f"retry_policy is a RetryPolicy, not {shown(value)}; write retry_policy=RetryPolicy(attempts=3)"
        )
    return value


def _holds(emit: object) -> bool:
    if emit not in ("now", "on_success"):
        hint = near(emit, ["now", "on_success"]) if isinstance(emit, str) else ""
        raise DefinitionError(f"emit is 'now' or 'on_success', not {shown(emit)}{hint}")
    return emit == "on_success"


def _check_limiter(value: object) -> None:
    if value is None:
        return
    from .limits import Limit  # noqa: PLC0415

    if not isinstance(value, Limit):
        raise DefinitionError(
            f"limiter is a Limit, as in @step(limiter=Limit(5)), not {shown(value)}; a limiter of anyio belongs to "
            "one event loop, and a class to all of them"
        )


def _undo(value: object) -> Undo | None:
    plain = getattr(value, "__func__", value)
    if value is None or inspect.isfunction(plain):
        mark = mark_of(value)
        if mark is not None:
            name = getattr(plain, "__name__", "")
            raise DefinitionError(f"undo={name} is a step itself; an undo is a method without @step above it")
        return typing.cast("Undo | None", value)
    if not isinstance(value, str) or not value.isidentifier():
        raise DefinitionError(
            f"undo is a method of the workflow that stands above the step, or the name of one, not {shown(value)}; "
            "write @step(undo=cancel) or @step(undo='cancel')"
        )
    return value


def _names_for_undo(undo: Undo | None, around: dict[str, Any]) -> dict[str, Any]:
    """The same for an undo, which is perhaps not defined yet: then it may name any class."""
    if undo is None or not isinstance(undo, str):
        return {} if undo is None else names_for(getattr(undo, "__func__", undo), around)
    return {name: value for name, value in around.items() if isinstance(value, type)}


def names_for(function: Callable[..., Any], around: dict[str, Any]) -> dict[str, Any]:
    """What the names in the annotations mean, also in those of the factories that they name; the rest may be large."""
    meant: dict[str, Any] = {}
    words = _words(function)
    while words:
        name = words.pop()
        if name in around and name not in meant:
            meant[name] = around[name]
            if inspect.isfunction(meant[name]):
                words |= _words(meant[name])
    return meant


def _words(function: Callable[..., Any]) -> set[str]:
    return {word for hint in function.__annotations__.values() for word in re.findall(r"\w+", str(hint))}


def names_around(frame: types.FrameType) -> dict[str, Any]:
    """The local names of the functions that the step is defined in, for annotations that are text."""
    frames: list[types.FrameType] = []
    at: types.FrameType | None = frame
    while (
        at is not None
        and at.f_globals is frame.f_globals
        and at.f_code.co_name != "<module>"
        and len(frames) < _FRAMES
    ):
        frames.append(at)
        at = at.f_back
    names: dict[str, Any] = {}
    for each in reversed(frames):
        names.update(each.f_locals)
    return names
