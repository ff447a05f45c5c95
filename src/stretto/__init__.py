"""Event-driven workflows with structured concurrency, the same on asyncio and trio.

Subclass `Workflow`, write `step` methods that take and return events, and await ``workflow.run(...)``.
"""

# The layout, imports go down only:
#
#   cli                     the command `stretto`
#   checking, _assigned     what is wrong with a workflow, before it runs
#   application             workflows that send events to each other; _app_options what they are made with
#   workflow, handler       what a user subclasses, and what running it returns
#   _members, _beginning    a workflow as a member of an application, and what a run begins with
#   _block, _overlap        a handler that is entered, and those that are awaited in turn
#   _talk _ways _party _asking _board    the runs that one call causes among them, and what all calls share
#   _supervisor _outside_request  what restarts them, and a request that no step makes
#   _driver                 one run on anyio: its life, its workers; performs what the core decides
#   _concluding, _writing   how it ends, and what it writes
#   _supplies               its state, its resources, its turn among the runs of its workflow
#   _among                  a run as one of several, nested or in an application
#   _nesting, _tasks        the runs that are nested in it, and where its tasks stand
#   _worker _queue _grace   who runs its steps, what is ready to start, who is late to end
#   _undoing                what its steps have done is undone, if it fails; _undo_reader what a step declares of that
#   blueprint, drawing      the checked graph of a class, and its picture
#   steps, joined, recovery     what a step and a handler of failures declare
#   _class_steps _step_reader _annotations _step_spec    how that is read off a class, and what is known of a step then
#   groups, nesting         steps that many classes have, and workflows that a step is handed
#   context, store          what a step may do, the state that it shares
#   _thread_context _outside_context    the same in a thread, and for who is no step; _run_port, _arguments below them
#   _holding_context        the same where what is sent waits until the step returns
#   _stream                 what is written, and who reads it; _overflow _unread _latest   readers with a policy
#   _line _back_pressure    who waits for readers
#   resources, limits       what a step is handed, and what it waits for a turn of; _overload what it says of the latter
#   snapshots               a run as plain data; _codec its values, _rebuilding and _known_types its classes
#   _stock _making _config  the resources of a run or of a workflow, and what is read from files
#   _carry _draw _editor _gate _loop _once _threads _trace _log _signatures _state_class    of which they are
#   _core                   the pure machine of a run: inputs in, effects out
#   events, errors, joins, retry, supervision, undo, _options    values

from __future__ import annotations

import types
import typing
from importlib import import_module

from . import errors, events
from .context import Context as Context
from .errors import (
    DefinitionError as DefinitionError,
    InternalError as InternalError,
    QueueFullError as QueueFullError,
    RunEndedError as RunEndedError,
    SnapshotError as SnapshotError,
    StepTimeoutError as StepTimeoutError,
    UndeclaredEventError as UndeclaredEventError,
    WorkflowCancelledError as WorkflowCancelledError,
    WorkflowError as WorkflowError,
    WorkflowStalledError as WorkflowStalledError,
    WorkflowTimeoutError as WorkflowTimeoutError,
)
from .events import (
    Event as Event,
    HumanResponseEvent as HumanResponseEvent,
    InputRequiredEvent as InputRequiredEvent,
    StartEvent as StartEvent,
    StepFailedEvent as StepFailedEvent,
    StopEvent as StopEvent,
)
from .handler import Handler as Handler
from .steps import step as step
from .workflow import Workflow as Workflow

if typing.TYPE_CHECKING:
    from ._thread_context import ThreadContext as ThreadContext
    from .application import Application as Application
    from .groups import StepGroup as StepGroup
    from .limits import Limit as Limit
    from .recovery import catch_error as catch_error
    from .resources import Resource as Resource, ResourceConfig as ResourceConfig
    from .retry import RetryPolicy as RetryPolicy

__all__ = [
    "Application",
    "Context",
    "DefinitionError",
    "Event",
    "Handler",
    "HumanResponseEvent",
    "InputRequiredEvent",
    "InternalError",
    "Limit",
    "QueueFullError",
    "Resource",
    "ResourceConfig",
    "RetryPolicy",
    "RunEndedError",
    "SnapshotError",
    "StartEvent",
    "StepFailedEvent",
    "StepGroup",
    "StepTimeoutError",
    "StopEvent",
    "ThreadContext",
    "UndeclaredEventError",
    "Workflow",
    "WorkflowCancelledError",
    "WorkflowError",
    "WorkflowStalledError",
    "WorkflowTimeoutError",
    "catch_error",
    "step",
]


# What few programs name is there alone.
_BESIDE: tuple[types.ModuleType, ...] = (errors, events)
_BESIDE_LATER = {"Debounce": "limits", "Rate": "limits"}

# Loaded when they are first named, lest every program pays for them; each with its module.
_LATER = {
    "Application": "application",
    "Limit": "limits",
    "Resource": "resources",
    "ResourceConfig": "resources",
    "RetryPolicy": "retry",
    "StepGroup": "groups",
    "ThreadContext": "_thread_context",
    "catch_error": "recovery",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        where = next((each.__name__ for each in _BESIDE if name in each.__all__), None)
        if name in _BESIDE_LATER:
            where = f"{__name__}.{_BESIDE_LATER[name]}"
        hint = "" if where is None else f"; it is in {where}"
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}", name=name)
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    value.__module__ = __name__
    globals()[name] = value
    return value


def _fix_module_names() -> None:
    """Users see stretto.Context, in tracebacks and in the docs."""
    for name in __all__:
        if name not in _LATER:
            globals()[name].__module__ = __name__


_fix_module_names()
