"""What a step needs beside a worker before it begins: a token of a rate, or a seat among those at work.

There is one permit for each key of a rate or a limit, and several runs may share it. What waits in a step for the same
permits is a *lane*, and a lane that finds one missing waits in the line of that. The first of the line is called when
one is free: at a time that is known for tokens, by whoever gives a seat back for seats. A permit that nobody uses and
that is as good as new is dropped, so that keys may come and go without end.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import final

from .alarms import Alarms
from .bucket import Bucket
from .delivery import Delivery
from .ranking import Ranking

__all__ = ["Lane", "Permit", "Permits", "Seat", "Token"]


class Permit(ABC):
    """One kind of permit, for one key.

    Attributes:
        key: The key.
        line: The lanes that wait for it, of all runs, in order.
        users: How many lanes, and steps at work, know of it.
    """

    __slots__ = ("key", "line", "users")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.line: OrderedDict[Lane, None] = OrderedDict()
        self.users = 0

    @abstractmethod
    def free_at(self, at: float) -> float:
        """When there is one: now, or at a time to come; infinity if somebody has to give one back."""

    @abstractmethod
    def take(self, at: float) -> Seat | None:
        """Takes one that is there; gives what is to be given back, if it is not used up."""

    @abstractmethod
    def fresh_at(self, at: float) -> float:
        """When it is as good as new, if nobody uses it."""

    def first(self) -> Lane | None:
        """Who has waited longest."""
        return next(iter(self.line), None)

    def is_missing(self, lane: Lane, at: float) -> bool:
        """Whether a lane has to wait: there is none, or others came before."""
        first = self.first()
        return (first is not None and first is not lane) or self.free_at(at) > at


@final
class Token(Permit):
    """A token of a bucket; it is used up.

    Attributes:
        bucket: Where it comes from.
    """

    __slots__ = ("bucket",)

    def __init__(self, key: Hashable, bucket: Bucket) -> None:
        super().__init__(key)
        self.bucket = bucket

    def free_at(self, at: float) -> float:
        """When a token is there."""
        return max(at, self.bucket.due)

    def take(self, at: float) -> None:
        """Uses one up."""
        self.bucket.take(at)

    def fresh_at(self, at: float) -> float:
        """When the bucket is full."""
        return max(at, self.bucket.full_at)


@final
class Seat(Permit):
    """One of so many places among those at work."""

    __slots__ = ("_most", "_taken")

    def __init__(self, key: Hashable, most: int) -> None:
        super().__init__(key)
        self._most = most
        self._taken = 0

    def free_at(self, at: float) -> float:
        """Now, if one is free."""
        return at if self._taken < self._most else math.inf

    def take(self, at: float) -> Seat:  # noqa: ARG002 - as all permits
        """Sits down."""
        self._taken += 1
        return self

    def give_back(self) -> None:
        """Gets up."""
        self._taken -= 1

    def fresh_at(self, at: float) -> float:
        """At once: who sits uses it."""
        return at


@final
class Permits:
    """The permits of one rate, or of one limit, by their keys."""

    __slots__ = ("_cooling", "_make", "by_key")

    def __init__(self, make: Callable[[Hashable], Permit]) -> None:
        self._make = make
        self.by_key: dict[Hashable, Permit] = {}
        self._cooling: Alarms[Permit] = Alarms()

    def of(self, key: Hashable, at: float) -> Permit:
        """The permit for a key, which has one user more by that."""
        for old in self._cooling.take_due(at):
            self._drop(old)
        permit = self.by_key.get(key)
        if permit is None:
            permit = self.by_key[key] = self._make(key)
        permit.users += 1
        return permit

    def let_go(self, permit: Permit, at: float) -> None:
        """It has one user less. If that was the last, it is kept until it is as good as new."""
        permit.users -= 1
        if permit.users:
            return
        fresh = permit.fresh_at(at)
        self._cooling.discard(permit)
        if fresh <= at:
            self._drop(permit)
        else:
            self._cooling.set(fresh, permit)

    def _drop(self, permit: Permit) -> None:
        if not permit.users:
            del self.by_key[permit.key]

    def __len__(self) -> int:
        return len(self.by_key)


@final
class Lane:
    """What waits in one step of one run for the same permits.

    Attributes:
        owner: What all lanes of the run have in common.
        index: The step.
        keys: Its keys, one for each permit.
        permits: What each of it needs before it begins.
        queue: What waits.
        waits_at: In the line of which permit it stands; None if it waits for a worker alone, as far as is known.
        wake: Called by the driver of another run when it is to be looked at; never by the core.
    """

    __slots__ = ("index", "keys", "owner", "permits", "queue", "waits_at", "wake")

    def __init__(
        self,
        owner: object,
        index: int,
        keys: tuple[Hashable, ...],
        *,
        permits: Sequence[Permit],
        queue: Ranking[Delivery],
        wake: Callable[[Lane], object],
    ) -> None:
        self.owner = owner
        self.index = index
        self.keys = keys
        self.permits = permits
        self.queue = queue
        self.waits_at: Permit | None = None
        self.wake = wake

    def missing(self, at: float) -> Permit | None:
        """The first permit that it has to wait for."""
        return next((each for each in self.permits if each.is_missing(self, at)), None)

    def enter(self, permit: Permit) -> None:
        """Waits in the line of a permit."""
        permit.line[self] = None
        self.waits_at = permit

    def leave(self) -> Permit | None:
        """Waits in no line any more; gives the permit if it was."""
        permit, self.waits_at = self.waits_at, None
        if permit is not None:
            del permit.line[self]
        return permit
