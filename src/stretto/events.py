"""Events: the values that steps take and return.

A subclass of `Event` with annotated fields becomes a frozen, keyword-only attrs class; type checkers know
that through `typing.dataclass_transform`. A class without fields, as `StartEvent` itself, takes any keyword
and keeps it as an attribute. Equality is by value, delivery by identity: sending one object twice is two
deliveries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, dataclass_transform

import attrs

from ._event_init import annotated_fields, check_fields, finish, frozen, make_init
from ._options import count
from ._types import R_co
from .errors import near

__all__ = [
    "Event",
    "HumanResponseEvent",
    "InputRequiredEvent",
    "StartEvent",
    "StepFailedEvent",
    "StepProgress",
    "StepStateChanged",
    "StopEvent",
    "StreamGap",
    "Streamed",
    "WorkflowCancelledEvent",
    "WorkflowFailedEvent",
    "WorkflowTimedOutEvent",
    "is_external",
]


# What users of LlamaIndex Workflows may look for, and how it is done here.
_OTHER_WORDS = {
    "get": "write ev.name, or getattr(ev, 'name', None)",
    "items": "write vars(ev).items()",
    "keys": "write vars(ev)",
    "model_dump": "write vars(ev)",
    "to_dict": "write vars(ev)",
    "values": "write vars(ev).values()",
}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
class Event:
    """What a step takes and returns; subclass it and annotate the fields.

    >>> class Priced(Event):
    ...     sku: str
    ...     cents: int = 0
    >>> Priced(sku="apple")
    Priced(sku='apple', cents=0)

    Args:
        external: ``class Go(Event, external=True)`` says that the event comes from outside the workflow, by
            ``run.send_event``; a run that has a step for it is not stalled while it waits.

        version: ``class Go(Event, version=2)`` says which version of its fields this is, for snapshots. An older one is
            read by the classmethod ``upgrade(version, fields)``, which gives the fields as they are now.

    A default that can change is made anew for each event by ``tags: list[str] = attrs.field(factory=list)``; validators
    and converters are those of `attrs.field` too.

    Raises:
        TypeError: For a field the class does not have, naming the near one, or one that is missing.
        DefinitionError: When the class is defined, for a default that all events would share and could change.
    """

    if not TYPE_CHECKING:
        _external = False

        def __init__(self, **fields: Any) -> None:
            self.__dict__.update(fields)

        def __init_subclass__(
            cls, *, external: bool | None = None, version: int | None = None, **keywords: Any
        ) -> None:
            super().__init_subclass__(**keywords)
            if version is not None:
                cls._stretto_version = count(version, f"the version of {cls.__name__}")
            if external is not None:
                cls._external = external
            check_fields(cls)
            if annotated_fields(cls) or attrs.has(cls):
                attrs.frozen(slots=False, kw_only=True, init=False)(cls)
                if "__init__" not in cls.__dict__:
                    cls.__init__ = make_init(cls)
                finish(cls, Event)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            if hasattr(type(self), name):  # a property that raised an AttributeError: let that come out
                return object.__getattribute__(self, name)
            has = f"it has: {', '.join(self.__dict__)}" if self.__dict__ else "it has no field"
            instead = f"; {_OTHER_WORDS[name]}" if name in _OTHER_WORDS else near(name, self.__dict__)
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}, {has}{instead}",
                name=name,  # and no `obj`: Python would add a hint of its own
            )

        def __setattr__(self, name: str, value: Any) -> None:
            frozen(self, name)

        def __delattr__(self, name: str) -> None:
            frozen(self, name, "deleted")

        def __eq__(self, other: object) -> bool:
            return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

        def __hash__(self) -> int:
            return hash((type(self), frozenset(self.__dict__.items())))

        def __repr__(self) -> str:
            fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
            return f"{type(self).__name__}({fields})"
    else:

        def __init_subclass__(cls, *, external: bool = ..., version: int = ...) -> None: ...


def is_external(kind: type[Event]) -> bool:
    """Whether events of this class are declared to come from outside the workflow."""
    return bool(getattr(kind, "_external", False))


class StartEvent(Event):
    """Begins a run: ``workflow.run(topic="tea")`` makes one. Subclass it to name its fields."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...


class StopEvent(Event, Generic[R_co]):
    """Ends a run: ``await run`` gives its `result`, or for a subclass with fields the event itself.

    >>> StopEvent("done").result
    'done'
    """

    if TYPE_CHECKING:

        def __init__(self, result: R_co = ..., **fields: Any) -> None: ...
        @property
        def result(self) -> R_co:
            """What ``await run`` gives."""
            ...

    else:
        result = None

        def __init__(self, result: Any = None, **fields: Any) -> None:
            self.__dict__["result"] = result
            if fields:
                self.__dict__.update(fields)


class InputRequiredEvent(Event):
    """Asks the world outside: returned or sent by a step it goes to the stream, and needs no step."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...


class HumanResponseEvent(Event, external=True):
    """Answers from outside, by ``run.send_event``; a run that has a step for it is not stalled meanwhile."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...


class WorkflowFailedEvent(StopEvent[Any]):
    """Last event in the stream of a run that failed.

    Attributes:
        exception: What ``await run`` raises.
    """

    if TYPE_CHECKING:  # as StreamGap
        exception: BaseException
    else:

        def __init__(self, *, exception: BaseException) -> None:
            self.__dict__["exception"] = exception


class WorkflowTimedOutEvent(StopEvent[Any]):
    """Last event in the stream of a run that passed its deadline.

    Attributes:
        exception: The `WorkflowTimeoutError` that ``await run`` raises.
    """

    if TYPE_CHECKING:  # as StreamGap
        exception: BaseException
    else:

        def __init__(self, *, exception: BaseException) -> None:
            self.__dict__["exception"] = exception


class WorkflowCancelledEvent(StopEvent[Any]):
    """Last event in the stream of a run that was cancelled."""


class StreamGap(Event):
    """Told by a stream whose reader was so slow that events were pushed out of the buffer.

    Attributes:
        missed: How many events are missing here.
    """

    if TYPE_CHECKING:  # at run time it takes any field: attrs would take as long as for all other events
        missed: int


class StepFailedEvent(Event):
    """What a ``@catch_error`` handler takes: a step has failed, and its retries are exhausted.

    Attributes:
        step: The name of the step.
        event: What it handled.
        exception: What its last attempt raised.
        attempts: How many attempts there were.
        elapsed: Seconds from the begin of the first attempt to the failure of the last.
    """

    if TYPE_CHECKING:  # as StreamGap
        step: str
        event: Event
        exception: Exception
        attempts: int
        elapsed: float
    else:

        def __init__(
            self, *, step: str, event: Event, exception: Exception, attempts: int, elapsed: float
        ) -> None:
            self.__dict__.update(
                step=step, event=event, exception=exception, attempts=attempts, elapsed=elapsed
            )


class Streamed(Event):
    """Told by ``stream_events(origins=True)``: an event, and which run wrote it.

    Attributes:
        event: What was written.
        workflow: The class of the run that wrote it.
        member: The name of that workflow in its `Application`; None outside of one.
        run_id: The identity of the run that wrote it.
        step: The step that wrote it; None for the last event of the stream.
    """

    if TYPE_CHECKING:  # as StreamGap
        event: Event
        workflow: str
        member: str | None = None
        run_id: str
        step: str | None = None


class StepProgress(Event):
    """Told by ``ctx.progress(3, 10)``: how far a step has come.

    Attributes:
        step: The step.
        done: How much is done.
        total: How much there is to do; None if that is not known.
        text: What it does now.
    """

    if TYPE_CHECKING:  # as StreamGap
        step: str
        done: float
        total: float | None = None
        text: str = ""


class StepStateChanged(Event):
    """Told by ``stream_events(expose_internal=True)`` when a step begins and when it ends.

    Attributes:
        name: The step.
        state: ``"running"`` or ``"ended"``.
        event: What the step was started with.
        output: What it returned; None while it runs and where it failed.
    """

    if TYPE_CHECKING:  # as StreamGap
        name: str
        state: str
        event: Event
        output: object = None
