"""What a step hands to its context, looked at before anything is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import attrs

from ._options import seconds
from .errors import DefinitionError, RoutingError, near, shown
from .events import Event, StopEvent

__all__ = ["check_request", "check_wait", "names_a_member", "no_shared_context", "not_for_the_stream"]


def check_wait(
    event_type: object,
    waiter_event: object,
    requirements: object,
    where: object,
    timeout: object,
) -> float | None:
    """The time limit, if what is asked for makes sense."""
    if not (isinstance(event_type, type) and issubclass(event_type, Event)):
        raise TypeError(
            f"wait_for_event takes a class of events, as in wait_for_event(HumanResponseEvent), not {shown(event_type)}"  # pyright: ignore[reportUnknownArgumentType]
        )
    if issubclass(event_type, StopEvent):
        raise TypeError(
            f"wait_for_event cannot wait for {event_type.__name__}, which ends the run; wait for another event"
        )
    if waiter_event is not None and (
        isinstance(waiter_event, StopEvent) or not isinstance(waiter_event, Event)
    ):
        raise TypeError(
            f"waiter_event is an event for the stream and no StopEvent, such as InputRequiredEvent(…), not "
            f"{shown(waiter_event)}"  # pyright: ignore[reportUnknownArgumentType]
        )
    if not (requirements is None or _is_mapping(requirements)):
        raise TypeError(
            f"requirements are fields and their values, as in {{'topic': 'tea'}}, not {shown(requirements)}"
        )
    _check_required(event_type, [str(name) for name in requirements or ()])
    if where is not None and not callable(where):
        raise TypeError(f"where is a function of the event, such as lambda ev: ev.n > 1, not {shown(where)}")
    return seconds(timeout, "timeout", none="no limit")


def names_a_member(label: str, event: object, to: object) -> RoutingError:
    """A step says which member of its application an event is for."""
    kind = type(event).__name__
    return RoutingError(
        f"{label} sends {shown(event)} to={shown(to)}, and a step knows event classes and no members; leave out to=: "
        f"whoever takes {kind} gets it, and where that is not clear app.connect({kind}, to={shown(to)}) says so"
    )


def no_shared_context(workflow: object) -> DefinitionError:
    """Somebody wants two workflows to share a Context, so that one may send to the other."""
    name = type(workflow).__name__
    return DefinitionError(
        f"Context(workflow={name}(…)): a Context belongs to one step of one run, and cannot join two workflows; an "
        "Application does, by the events that their steps name:\n"
        f"    from stretto import Application\n"
        f"    async with Application(main=…, other={name}(…)) as app:\n"
        "        result = await app.run('main', …)"
    )


def check_request(event: object, reply: object, timeout: object) -> float | None:
    if not isinstance(event, Event):
        raise TypeError(
            f"request takes an event to ask with, as in request(Ask(…), reply=Answer), not {shown(event)}"
        )
    if not (isinstance(reply, type) and issubclass(reply, Event)) or issubclass(reply, StopEvent):
        raise TypeError(
            f"reply= is the class of an event that is no StopEvent, as in request(Ask(…), reply=Answer), not "
            f"{shown(reply)}"  # pyright: ignore[reportUnknownArgumentType]
        )
    return seconds(timeout, "timeout", none="no limit")


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _check_required(event_type: type[Event], required: list[str]) -> None:
    names = [field.name for field in attrs.fields(event_type)] if attrs.has(event_type) else required
    for name in required:
        if name not in names:
            raise TypeError(
                f"{event_type.__name__} has no {name!r} to require, it has: {', '.join(names)}{near(name, names)}"
            )


def not_for_the_stream(given: object) -> TypeError:
    """Somebody wants to write what is no event, or a StopEvent."""
    return TypeError(
        f"the stream of a run takes an event that is no StopEvent, not {shown(given)}; it ends with the StopEvent that "
        "a step returns"
    )
