"""How a step joins, read off its parameters: a list, or several, which join one of each.

A step has one way to join. What would be two, such as a list beside an event, is refused with what to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import attrs

from ._core.gathering import Each, Join
from .errors import near
from .events import Event, StepFailedEvent
from .joins import All, ByKey, First, Quorum, Settle, Until, Window

__all__ = ["arriving", "read_join"]

_Policy: TypeAlias = All | First | Quorum | Until | ByKey | Window | Settle
_POLICIES = (All, First, Quorum, Until, ByKey, Window, Settle)
_WRITTEN: dict[type, str] = {
    Quorum: "Quorum(lambda came: …)",
    Until: "Until(lambda ev: …)",
    ByKey: "ByKey('field')",
    Window: "Window(10)",
}


class Taken(Protocol):
    """A parameter that takes events."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def kinds(self) -> tuple[type[Event], ...]:
        """The classes of the events."""
        ...

    @property
    def listed(self) -> bool:
        """Whether it takes a list of them."""
        ...

    @property
    def extras(self) -> tuple[Any, ...]:
        """What `Annotated` adds to its type."""
        ...


def read_join(taken: Sequence[Taken], *, subclasses: bool) -> tuple[Join | None, str]:
    """How a step with these parameters joins, None if it takes one event; or what is wrong, and what to write."""
    odd = next((odd for each in taken if (odd := _odd_policy(each))), "") or _odd_together(taken)
    if odd or not taken:
        return None, odd
    if len(taken) > 1:
        return Each(tuple(kind for each in taken for kind in each.kinds), subclasses), ""
    return next(iter(_policies(taken[0])), All() if taken[0].listed else None), ""


def arriving(accepts: tuple[type[Event], ...], join: Join) -> tuple[type[Event], ...]:
    """Of what a list may hold, what its join is sent: failures that it settles come of themselves."""
    if isinstance(join, Settle):
        return tuple(kind for kind in accepts if kind is not StepFailedEvent)
    return accepts


def _policies(taken: Taken) -> list[_Policy]:
    return [each for each in taken.extras if isinstance(each, _POLICIES)]


def _odd_policy(taken: Taken) -> str:
    bare = next((each for each in taken.extras if isinstance(each, type) and each in _POLICIES), None)
    if bare is not None:
        written = _WRITTEN.get(bare, f"{bare.__name__}()")
        return f"has the class {bare.__name__} beside {taken.name!r}; write {written}"
    found = _policies(taken)
    if found and not taken.listed:
        return f"has {found[0]!r} beside {taken.name!r}, which is no list of events; write list[E]"
    if len(found) > 1:
        return f"has {found[0]!r} and {found[1]!r} beside {taken.name!r}; one is enough"
    return _odd_failures(taken, found[0]) or _odd_key(taken, found[0]) if found else ""


def _odd_failures(taken: Taken, policy: _Policy) -> str:
    if not isinstance(policy, Settle):
        return ""
    kinds = [kind.__name__ for kind in taken.kinds if kind is not StepFailedEvent]
    written = f"{taken.name}: Annotated[list[{' | '.join([*kinds, 'StepFailedEvent'])}], {policy!r}]"
    if not kinds:
        return (
            f"settles failures alone in {taken.name!r}; name the events that come of what does not fail too"
        )
    if StepFailedEvent not in taken.kinds:
        return f"settles failures in {taken.name!r}, which does not say so; write {written}"
    return ""


def _odd_key(taken: Taken, policy: _Policy) -> str:
    if not isinstance(policy, ByKey) or not isinstance(policy.key, str):
        return ""
    for kind in taken.kinds:
        fields = [each.name for each in attrs.fields(kind)] if attrs.has(kind) else []
        if fields and policy.key not in fields and not hasattr(kind, policy.key):
            return (
                f"joins {taken.name!r} by {policy.key!r}, which {kind.__name__} does not have, it has: "
                f"{', '.join(fields)}{near(policy.key, fields)}"
            )
    return ""


def _odd_together(taken: Sequence[Taken]) -> str:
    if len(taken) < 2:  # noqa: PLR2004
        return ""
    two = f"{taken[-2].name!r} and {taken[-1].name!r}"
    lists = sum(each.listed for each in taken)
    if lists > 1:
        return f"takes two lists of events, {two}; let another step take one of them"
    if lists:
        return f"takes a list of events and an event, {two}; let another step take one of them"
    wide = next((each for each in taken if len(each.kinds) > 1), None)
    if wide is not None:
        kinds = " | ".join(kind.__name__ for kind in wide.kinds)
        return (
            f"joins {two}, and {wide.name!r} is {kinds}; to join one of each type, give each parameter one type; "
            "to take whatever comes, leave one parameter"
        )
    if len({each.kinds for each in taken}) < len(taken):
        name, kind = taken[-1].name, taken[-1].kinds[0].__name__
        return f"takes two {kind}, {two}; take a list of them, {name}: list[{kind}]"
    return ""
