"""What a step says of how much it takes, and how often: the values that `flow` goes by.

The keys are functions of the user's, which are asked about each event that comes; all else is plain.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from typing import TypeAlias, final

import attrs

from ..errors import shown
from ..events import Event

__all__ = ["Key", "Overflow", "Policies", "Quiet", "Singleton", "measured"]

Key: TypeAlias = Callable[[Event], Hashable]
"""Tells what an event belongs to, as far as a policy is concerned."""


@final
class Overflow(enum.Enum):
    """What becomes of an event for which the queue of its step has no room."""

    FAIL = "fail"  # who sends it is refused, or waits
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    LATEST = "latest"  # of each key only the latest waits, full or not


@final
class Singleton(enum.Enum):
    """What becomes of an event of whose key there is one at work, or about to be."""

    CANCEL = "cancel"  # the earlier one is cancelled
    REFUSE = "refuse"


@final
@attrs.frozen(kw_only=True)
class Quiet:
    """How long nothing more of a key must have come before the last one is handled.

    Attributes:
        seconds: That long.
        at_most: How long it may take in all; None for as long as they keep coming.
    """

    seconds: float
    at_most: float | None = None


@final
@attrs.frozen(kw_only=True)
class Policies:
    """The policies of one step.

    Attributes:
        permits: For each rate and limit what tells its keys apart; None if it has one for all.
        names: How messages call what of these is waited for: ``a token of Rate(5, per=1)``.
        key: What tells apart for a singleton, a debounce and the latest; None: all are alike.
        priority: How high an event is; None: all are.
        size: How many events may wait in the queue of the step; None for no bound.
    """

    permits: tuple[Key | None, ...] = ()
    names: tuple[str, ...] = ()
    key: Key | None = None
    priority: Callable[[Event], object] | None = None
    size: int | None = None
    overflow: Overflow = Overflow.FAIL
    singleton: Singleton | None = None
    quiet: Quiet | None = None


def measured(priority: object) -> float:
    """A priority that was told of an event: as it is, for an int may be larger than any float.

    Raises:
        TypeError: If it is no number that all others can be compared with.
    """
    if isinstance(priority, float) and priority == priority:  # noqa: PLR0124 - a NaN is in no order
        return float(priority)
    if isinstance(priority, int):
        return int(priority)  # True is 1
    hint = "" if isinstance(priority, (str, float)) or priority is None else "; write float(…) of it"
    raise TypeError(f"a priority is an int or a float, the higher the sooner, not {shown(priority)}{hint}")
