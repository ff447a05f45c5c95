"""What a step may return, and the error that teaches what it should have returned."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from types import CoroutineType
from typing import TypeGuard

from ..errors import UndeclaredEventError, WorkflowError, name_of, names, shown, shown_beside
from ..events import Event, StopEvent
from .plan import StepPlan

__all__ = ["is_stop", "returned_events", "unawaited"]

_SEVERAL = "to return several events declare -> list[…], and return a list"


def is_stop(value: object) -> TypeGuard[StopEvent[object]]:
    """Whether it ends the run."""
    return isinstance(value, StopEvent)


def returned_events(step: StepPlan, value: object) -> Sequence[Event] | WorkflowError:
    """The events that a step returned, or the error if its annotation does not name them."""
    if isinstance(value, step.returns):
        return _stop(step, value) if is_stop(value) else (value,)
    if step.lists and _is_list(value):
        return _listed(step, value)
    return _undeclared(step, value)


def unawaited(stop: StopEvent[object]) -> str | None:
    """What to say of a coroutine in it that nobody awaited, if there is one."""
    for name, field in stop.__dict__.items():
        if isinstance(field, CoroutineType):
            field.close()  # it never ran, and would warn about that as well
            return (
                f"{type(stop).__name__} whose field {name!r} holds the coroutine {field.__name__}(), which nobody "
                f"awaited; write {name}=await {field.__name__}(…)"
            )
    return None


def _stop(step: StepPlan, stop: StopEvent[object]) -> Sequence[Event] | WorkflowError:
    forgotten = unawaited(stop)
    return (stop,) if forgotten is None else UndeclaredEventError(f"{step.label} returned {forgotten}", stop)


def _listed(step: StepPlan, values: list[object]) -> Sequence[Event] | WorkflowError:
    wrong = [each for each in values if not step.declares(each)]
    if not wrong:
        for stop in filter(is_stop, values):
            if (forgotten := unawaited(stop)) is not None:
                return UndeclaredEventError(f"{step.label} returned a list with a {forgotten}", stop)
        return values  # type: ignore[return-value]  # pyright: ignore[reportReturnType] - all are declared
    for each in wrong:
        if _is_coroutine(each):
            each.close()
    return UndeclaredEventError(
        f"{step.label} returned a list with {shown_beside(wrong[0], step.returns)} in it, but declares "
        f"-> list[{_declared(step, wrong[0])}]; each element is an event that the annotation names",
        wrong[0],
    )


def _undeclared(step: StepPlan, value: object) -> UndeclaredEventError:
    if isinstance(value, Event):
        name = name_of(type(value), step.returns)
        return UndeclaredEventError(
            f"{step.label} returned {name} but declares -> {_declared(step, value)}; "
            f"add {name} to the return annotation",
            value,
        )
    if _is_coroutine(value):
        value.close()
        name = value.__name__
        return UndeclaredEventError(
            f"{step.label} returned the coroutine {name}(), which nobody awaited; "
            f"write return await {name}(…)",
            value,
        )
    return UndeclaredEventError(
        f"{step.label} returned {shown(value)}, which is no event; it declares -> {_declared(step)}; "
        f"{_instead(step, value)}",
        value,
    )


def _instead(step: StepPlan, value: object) -> str:
    if isinstance(value, Iterator):
        return _one_by_one(step, "list(…)")
    if isinstance(value, AsyncIterator):
        return _one_by_one(step, "[ev async for ev in …]")
    if _is_several(value) and any(isinstance(each, Event) for each in value):
        if step.lists:
            return f"return a list of events, not a {type(value).__name__}"
        return _SEVERAL
    if isinstance(value, type) and issubclass(value, Event):
        return f"make one: return {value.__name__}(…)"
    return "to end the run with it write return StopEvent(result=…)"


def _one_by_one(step: StepPlan, made: str) -> str:
    """What gives its events when somebody asks; nobody asks it here, for it may never end, or be another's."""
    declare = "" if step.lists else "declare -> list[…], and "
    return f"for the events that it gives {declare}write return {made}"


def _declared(step: StepPlan, beside: object = None) -> str:
    return " | ".join(names(step.returns, (type(beside),))) or "None"


def _is_several(value: object) -> TypeGuard[Collection[object]]:
    return isinstance(value, (list, tuple, set, frozenset))


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _is_coroutine(value: object) -> TypeGuard[CoroutineType[object, object, object]]:
    return isinstance(value, CoroutineType)
