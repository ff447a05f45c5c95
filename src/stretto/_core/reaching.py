"""Which joins a branch may lead to, and which a list may: read off the plan once for each class.

What counts is the level. A list is a fork, and the joins that its branches come to close it; what follows from such a
join is on the level of the step that returned the list. So a list whose branches fork again, and are joined, leads to
what follows from that inner join, and not to the inner join itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from ..events import Event
from .gathering import Each, Join, goes_on_inside
from .recovering import Recovery

__all__ = ["Reach", "reaches"]


class Leading(Protocol):
    """A step, as far as it matters where what it returns leads."""

    accepts: tuple[type[Event], ...]
    accepts_subclasses: bool
    returns: tuple[type[Event], ...]
    lists: tuple[type[Event], ...]
    bare: tuple[type[Event], ...] | None
    join: Join | None
    recovers: Recovery | None


Reach: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""The joins that a branch of a step may come to, and those that a list that it returns leads to."""


def reaches(steps: Sequence[Leading], handlers: Sequence[int | None]) -> list[Reach]:
    """For each step where it leads; a step that fails may lead where its handler does.

    Where one of each type is joined, branches come to an end and go on as one. For the question whether there are
    several that lead to a later join they end there; for the question what a list leads to they go on. Where a join is
    called in parts, for each key or window, they go on in any case: there may be as many parts.
    """
    on = [step.join is None or goes_on_inside(step.join) for step in steps]
    _, listed = _spread(steps, handlers, on, None)
    calls = [{join for join in each if not isinstance(steps[join].join, Each)} for each in listed]
    through = [goes_on and not isinstance(step.join, Each) for step, goes_on in zip(steps, on, strict=True)]
    on_level, _ = _spread(steps, handlers, through, calls)
    return [(tuple(sorted(on_level[at])), tuple(sorted(calls[at]))) for at in range(len(steps))]


def _spread(
    steps: Sequence[Leading],
    handlers: Sequence[int | None],
    on: Sequence[bool],
    calls: Sequence[set[int]] | None,
) -> tuple[list[set[int]], list[set[int]]]:
    """For each step the joins that a branch of it comes to on its level, and those that what is in its lists comes to.

    Args:
        steps: All steps.
        handlers: For each step which handles its failures.
        on: Whether branches go on behind the step.
        calls: What a list of each step leads to, if that is known; else it is found here.
    """
    bare = [_takers(steps, step.returns if step.bare is None else step.bare) for step in steps]
    in_lists = [_takers(steps, step.lists) for step in steps]
    on_level: list[set[int]] = [set() for _ in steps]
    listed: list[set[int]] = [set() for _ in steps]
    size = -1
    while size < (size := sum(map(len, [*on_level, *listed]))):
        for at in range(len(steps)):
            for takers, found in ((bare[at], on_level[at]), (in_lists[at], listed[at])):
                found.update(after for after in takers if steps[after].join is not None)
                found.update(*(on_level[after] for after in takers if on[after]))
            closing = listed if calls is None else calls
            on_level[at].update(*(on_level[join] for join in closing[at] if not on[join]))
            handler = handlers[at]
            if handler is not None:
                on_level[at] |= on_level[handler]
    return on_level, listed


def _takers(steps: Sequence[Leading], kinds: Sequence[type[Event]]) -> list[int]:
    return [at for at, step in enumerate(steps) if _may_take(step, kinds)]


def _may_take(step: Leading, returns: Sequence[type[Event]]) -> bool:
    """Whether a step may take one of what is declared so; a declared base may turn out to be any subclass."""
    return step.recovers is None and any(
        issubclass(kind, made) or (step.accepts_subclasses and issubclass(made, kind))
        for made in returns
        for kind in step.accepts
    )
