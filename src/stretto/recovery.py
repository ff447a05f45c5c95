"""``@catch_error``: a step that is started when another one has failed for good, in place of failing the run.

The idea and its rules are those of LlamaIndex Workflows: a handler is for named steps or for all others, and has a
budget for each lineage of events, so that a recovery that fails again ends.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from ._core.recovering import Recovery
from ._options import count, refuse_unknown
from ._step_spec import Mark, StepSpec, leave_mark
from .errors import DefinitionError, names, near, shown
from .events import StepFailedEvent
from .steps import names_around, names_for

__all__ = ["catch_error", "check_handlers"]

F = TypeVar("F", bound=Callable[..., Any])

_OTHER_WORDS = {"undo": "@step(undo=…) above the step that takes the event which the handler returns"}


@overload
def catch_error(function: F, /) -> F: ...
@overload
def catch_error(*, for_steps: list[str] | None = None, max_recoveries: int = 1) -> Callable[[F], F]: ...
def catch_error(
    function: Any = None,
    /,
    *,
    for_steps: list[str] | None = None,
    max_recoveries: int = 1,
    **unknown: object,
) -> Any:
    """Makes a method the handler of steps that fail: it takes a `StepFailedEvent`, bare or with options.

    It is started when the attempts of a step are exhausted, or for a step without a retry policy at once, and may
    return or send any event. Like any step it may take a `Context`, and it works on one failure at a time. Its own
    errors fail the run, and so do Ctrl-C, a return value that is not declared, and the end of the run.

    Args:
        function: The method, where the decorator is used bare.
        for_steps: The names of the steps that it is for; None for all that no other handler names.
        max_recoveries: How often it may recover on the way from the start of the run to one event. A failure
            beyond that fails the run with the step's own error.
        **unknown: Any other option, which is refused with the near one.

    Raises:
        DefinitionError: If an option or, when the class is defined, the signature makes no sense, a step is not
            there, or has two handlers.
        TypeError: If there is no such option.
    """
    if unknown:
        refuse_unknown("@catch_error", unknown, catch_error.__kwdefaults__ or (), _OTHER_WORDS)
    recovery = Recovery(for_steps=_names(for_steps), max_recoveries=count(max_recoveries, "max_recoveries"))
    around = names_around(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]

    def decorate(function: F) -> F:
        plain = getattr(function, "__func__", function)
        if not inspect.isfunction(plain):
            raise DefinitionError(
                f"@catch_error decorates a function, not {shown(function)}; put it right above the def, with its "
                "options by name: @catch_error(for_steps=['ask'])"
            )
        leave_mark(plain, Mark(num_workers=1, recovers=recovery, names=names_for(plain, around), bound=True))
        return function

    return decorate if function is None else decorate(function)


def _names(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):  # pyright: ignore[reportUnknownVariableType]
        raise DefinitionError(
            f"for_steps is a list of names of steps, or None for all, not {shown(value)}; "  # pyright: ignore[reportUnknownArgumentType]
            "write for_steps=['ask']"
        )
    return tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def check_handlers(owner: str, steps: Mapping[str, StepSpec]) -> None:
    """Looks at all handlers of a class together.

    Raises:
        DefinitionError: Saying which one is wrong and what to write.
    """
    claimed: dict[str | None, StepSpec] = {}
    for spec in steps.values():
        if spec.recovers is None:
            _check_no_handler(spec)
            continue
        if spec.accepts != (StepFailedEvent,) or spec.join is not None:
            takes = "a list" if spec.join is not None else " | ".join(names(spec.accepts, (StepFailedEvent,)))
            raise DefinitionError(
                f"{spec.label} is a handler of failures and takes {takes}; write "
                f"{spec.event_names[0]}: StepFailedEvent"
            )
        for name in spec.recovers.for_steps or (None,):
            _check_claim(owner, steps, spec, name)
            if name in claimed:
                raise DefinitionError(_claimed_twice(claimed[name], spec, name))
            claimed[name] = spec


def _check_no_handler(spec: StepSpec) -> None:
    if StepFailedEvent in spec.accepts:
        raise DefinitionError(
            f"{spec.label} takes StepFailedEvent, which goes to handlers alone; write @catch_error in place of @step"
        )


def _check_claim(owner: str, steps: Mapping[str, StepSpec], spec: StepSpec, name: str | None) -> None:
    if name is None:
        return
    if name not in steps:
        names = [other for other, each in steps.items() if each.recovers is None]
        raise DefinitionError(
            f"{spec.label} is for a step {name!r}, which {owner} does not have; its steps: {', '.join(names)}"
            f"{near(name, names)}"
        )
    if steps[name].recovers is not None:
        raise DefinitionError(
            f"{spec.label} is for {name!r}, which is a handler itself; the errors of a handler fail the run"
        )


def _claimed_twice(first: StepSpec, second: StepSpec, name: str | None) -> str:
    if name is None:
        return (
            f"{first.label} and {second.label} are both for all steps; name the steps of one of them: "
            "@catch_error(for_steps=[…])"
        )
    if first is second:
        return f"{first.label} names {name!r} twice; once is enough"
    return f"{first.label} and {second.label} are both for {name!r}; leave it out of one of them"
