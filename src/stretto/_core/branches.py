"""Forks, and what stands in them: what `joining` keeps of each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar, final

import attrs

from ..events import StepFailedEvent
from .gathering import Gathering

__all__ = ["Fork", "Place", "Spot", "outside"]

B = TypeVar("B", bound=Hashable)
T = TypeVar("T")

_SEVERAL = 2


@final
@attrs.define(eq=False, repr=False)
class Fork(Generic[B, T]):
    """What one branch has sent off.

    Attributes:
        around: The fork in which that branch stands, and its `number` there.
        origin: Where it was sent from; the core only hands it on.
        open: Whether more may be sent off in it.
        sent: How many branches it has.
        may: For each join, how many of its branches may lead there.
        listed: The joins that are called even with nothing, since a list was returned; None if none was.
        live: What is at work in it, or about to be.
        arrived: What each join has been sent and not been called with.
        served: The joins that were called for a fork inside it.
        had: The joins that had enough, while what is left in it goes on.
        won: The join for which it was cut short.
        over: Whether what arrives comes too late.
        leads: Where a join settles failures: for each branch at work the joins that it may come to.
        of: There too, what is live of each branch.
    """

    around: Fork[B, T] | None
    number: int
    origin: T
    open: bool = True
    sent: int = 0
    may: dict[int, int] = attrs.field(factory=dict[int, int])
    listed: Sequence[int] | None = None
    live: dict[B | Fork[B, T], None] = attrs.field(factory=dict["B | Fork[B, T]", None])
    arrived: dict[int, Gathering] = attrs.field(factory=dict[int, Gathering])
    served: set[int] = attrs.field(factory=set[int])
    had: set[int] = attrs.field(factory=set[int])
    won: int | None = None
    over: bool = False
    leads: dict[int, Sequence[int]] | None = None
    of: dict[int, dict[B | Fork[B, T], None]] = attrs.field(factory=dict[int, "dict[B | Fork[B, T], None]"])

    def enter(self, what: B | Fork[B, T], number: int) -> None:
        """Something of a branch is live."""
        self.live[what] = None
        if self.leads is not None:
            self.of.setdefault(number, {})[what] = None

    def leave(self, what: B | Fork[B, T], number: int) -> None:
        """It is live no more; of a branch of which nothing is, nothing is kept."""
        del self.live[what]
        if self.leads is not None:
            same = self.of[number]
            del same[what]
            if not same:
                del self.of[number]
                self.leads.pop(number, None)

    def is_for(self, join: int) -> bool:
        """Whether it is known to be a fork for this join."""
        return self.listed is not None or self.may.get(join, 0) >= _SEVERAL

    def is_late(self, join: int) -> bool:
        """Whether what arrives for this join comes too late."""
        return self.over or join in self.had

    def passes(self, join: int) -> bool:
        """Whether it is known to be none."""
        return not self.open and not self.is_for(join)

    def is_none(self) -> bool:
        """Whether it is known to be a fork for no join at all."""
        return not self.open and self.listed is None and all(each < _SEVERAL for each in self.may.values())

    def calls(self) -> list[int]:
        """The joins that it has, in the order of definition."""
        several = (join for join, count in self.may.items() if count >= _SEVERAL)
        return sorted({*self.arrived, *(self.listed or ()), *several})


@final
@attrs.define(eq=False, repr=False)
class Spot(Generic[B, T]):
    """Where a live branch stands.

    Attributes:
        fork: The fork that it is in, if any, and the `number` of the branch that it is or has followed from.
        own: What it has sent off itself.
        ends: Whether it has returned, and sends off no more than what it returned.
        lost: Whether its fork was cut short, or its branch has ended.
        failure: What its branch has ended with, if it was that.
    """

    fork: Fork[B, T] | None
    number: int
    own: Fork[B, T] | None = None
    ends: bool = False
    lost: bool = False
    failure: StepFailedEvent | None = None


@final
@attrs.frozen(eq=False, repr=False)
class Place(Generic[B, T]):
    """Where an event goes: into a fork, as its next branch; or, with a number, where that branch stands already."""

    fork: Fork[B, T] | None
    number: int | None
    origin: T


def outside(fork: Fork[B, T] | None, number: int) -> tuple[Fork[B, T] | None, int]:
    """The next fork outwards that is one, or may become one, and the number of the branch in it."""
    while fork is not None and fork.is_none():
        number, fork = fork.number, fork.around
    return fork, number
