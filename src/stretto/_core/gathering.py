"""What has arrived at one join in one fork: of each policy a structure of its own, and which it is.

The three families (`Gathering` itself, the races, and what is called in parts) have what `joining` asks of them in
common. An arrival costs O(1), and so does the question whether it is enough, but for what a predicate of the user's
does.
"""

from __future__ import annotations

from typing import TypeAlias, TypeGuard, assert_never

from ..joins import All, ByKey, First, Quorum, Settle, Until, Window
from .arrivals import Arrival, Gathering
from .pairing import Each, Pairs
from .parts import Groups, Windows
from .races import Counted, Satisfied, Sought

__all__ = [
    "Arrival",
    "Each",
    "Gathering",
    "Join",
    "Race",
    "gather",
    "goes_on_inside",
    "is_race",
    "waits_outside",
]

Race: TypeAlias = First | Quorum | Until
Join: TypeAlias = All | Settle | Race | ByKey | Window | Each


def gather(join: Join) -> Gathering:
    """An empty one, for a join of this kind."""
    match join:
        case All() | Settle():
            return Gathering(join.order)
        case First():
            return Counted(join)
        case Quorum():
            return Satisfied(join)
        case Until():
            return Sought(join)
        case ByKey():
            return Groups(join)
        case Window():
            return Windows(join)
        case Each():
            return Pairs(join)
        case _:
            assert_never(join)


def is_race(join: Join) -> TypeGuard[Race]:
    """Whether it has enough at a moment, so that there are losers."""
    return isinstance(join, (First, Quorum, Until))


def goes_on_inside(join: Join) -> bool:
    """Whether the calls stay in the fork whose arrivals they are given."""
    return isinstance(join, (ByKey, Window, Each))


def waits_outside(join: Join) -> bool:
    """Whether what arrives outside of all forks waits for more; else each event is a list of its own."""
    return isinstance(join, (Window, Each))
