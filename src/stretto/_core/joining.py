"""The forks of one run, and what is due to the steps that join: a data structure that knows no inputs and no effects.

A branch is one step at work, or about to be. What it sends off is a *fork* if that is a list, or if more than one of
it may lead to the same join; each of these is a branch of the fork. A fork holds what is live in it: its branches,
those that follow from them, and the forks inside it. When nothing is, it is closed, and each join that it has is due
once, with what arrived there. An arrival belongs to the nearest fork around it that is one for its join. What follows
from a join belongs to the fork around the one that it has closed.

Whether a branch that is at work will send off one or several is known when it has ended. Until then its fork is
*open*, and keeps what arrives; if it was none, that goes to the fork around.

Cost: an arrival, and a branch that begins or ends, is O(1), but for those forks between it and its join that are forks
for another join only; a batch is walked once. A closed fork leaves nothing behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, final

import attrs

from ..events import Event
from .gathering import Arrival, Each, Gathering, Join
from .joined import Joined

__all__ = ["Fork", "Forks", "Place"]

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
        won: The join for which it was cut short.
        over: Whether what arrives comes too late.
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
    won: int | None = None
    over: bool = False

    def is_for(self, join: int) -> bool:
        """Whether it is known to be a fork for this join."""
        return self.listed is not None or self.may.get(join, 0) >= _SEVERAL

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
        lost: Whether its fork was cut short.
    """

    fork: Fork[B, T] | None
    number: int
    own: Fork[B, T] | None = None
    ends: bool = False
    lost: bool = False


@final
@attrs.frozen(eq=False, repr=False)
class Place(Generic[B, T]):
    """Where an event goes: into a fork, as its next branch; or, with a number, where that branch stands already."""

    fork: Fork[B, T] | None
    number: int | None
    origin: T


@final
class Forks(Generic[B, T]):
    """All forks of one run.

    Attributes:
        spots: Where each live branch stands.
        opened: The forks that are not closed.
        loose: What arrived outside of all forks, where one of each type is joined.
        due: The branches that joins have made, and nobody has taken yet.
        lost: The branches that are to be cancelled.
        late: What came too late, and to which join.
    """

    __slots__ = ("_joins", "_make", "_serial", "due", "late", "loose", "lost", "opened", "spots")

    def __init__(self, joins: Mapping[int, Join], make: Callable[[int, list[Event], T], B]) -> None:
        self._joins = joins
        self._make = make
        self._serial = 0
        self.spots: dict[B, Spot[B, T]] = {}
        self.opened: dict[Fork[B, T], None] = {}
        self.loose: dict[int, Gathering] = {}
        self.due: deque[B] = deque()
        self.lost: deque[B] = deque()
        self.late: deque[tuple[int, Event]] = deque()

    # -- what was before a restart ---------------------------------------------------------------------------

    def came_before(self, serial: int) -> None:
        """So much has arrived before."""
        self._serial = max(self._serial, serial)

    def close_up(self) -> None:
        """Closes the forks in which nothing is live any more."""
        for fork in tuple(self.opened):
            self._close_up(fork)

    def decided(self) -> list[Fork[B, T]]:
        """The races that are closed while the branch that sent them off is at work, and may send more into them."""
        found: list[Fork[B, T]] = []
        for spot in self.spots.values():
            own = spot.own
            if own is not None and own not in self.opened:
                own.around, own.number = _outside(own.around, own.number)
                found.append(own)
        return found

    # -- what a branch sends off -----------------------------------------------------------------------------

    def place(self, sender: B | None, takers: int, origin: T) -> Place[B, T]:
        """Where an event goes that has so many takers; from outside without a sender, or from one that has ended."""
        spot = None if sender is None else self.spots.get(sender)
        if spot is None:
            return Place(self._open(None, 0, origin) if takers > 1 else None, None, origin)
        if spot.own is None and (takers > 1 or not spot.ends):
            spot.own = self._open(spot.fork, spot.number, origin)
        if spot.own is not None:
            return Place(spot.own, None, origin)
        return Place(spot.fork, spot.number, origin)

    def begin(self, branch: B, place: Place[B, T], may: Sequence[int]) -> bool:
        """A branch is live from now on, which may lead to these joins; False if it comes too late, and is not."""
        spot = self._branch(place, may)
        if spot is not None:
            self._enter(branch, *spot)
        return spot is not None

    def arrive(self, join: int, event: Event, place: Place[B, T]) -> None:
        """An event comes to a join."""
        spot = self._branch(place, (join,))
        if spot is None:
            self.late.append((join, event))
            return
        fork, number = spot
        self._serial += 1
        self._arrive(join, Arrival(self._serial, number, event), fork, place.origin)

    def sent(self, sender: B | None, place: Place[B, T]) -> None:
        """The event has reached its takers. What comes from outside is complete with that."""
        if place.fork is not None and (sender is None or sender not in self.spots):
            self._settle(place.fork)

    def ends(self, branch: B, count: int, origin: T, listed: Sequence[int] = ()) -> None:
        """A branch has returned, and so many events follow; `listed` are the joins of a list."""
        spot = self.spots[branch]
        spot.ends = True
        if spot.own is None and (count > 1 or listed):
            spot.own = self._open(spot.fork, spot.number, origin)
        if spot.own is not None and listed:
            spot.own.listed = listed
            for join in sorted(spot.own.arrived):
                self._look(spot.own, join)

    def leave(self, branch: B) -> None:
        """A branch is live no more."""
        spot = self.spots.pop(branch)
        if spot.fork is not None:
            del spot.fork.live[branch]
        if spot.own is not None:
            self._settle(spot.own)
        self._close_up(spot.fork)

    def replace(self, branch: B, other: B) -> None:
        """Another branch stands where one stood, which is live no more."""
        spot = self.spots[branch]
        self._enter(other, spot.fork, spot.number)
        self.leave(branch)

    def is_lost(self, branch: B) -> bool:
        """Whether the fork of a branch was cut short."""
        spot = self.spots.get(branch)
        return spot is not None and spot.lost

    # -- what is known about a run in trouble ------------------------------------------------------------------

    def leftovers(self) -> Iterator[Event]:
        """What has arrived and no join was called with."""
        for _, gathering in self.gathered():
            yield from gathering.events()

    @staticmethod
    def each_of(event: Event) -> tuple[Event, ...]:
        """The event, or those that were joined in it."""
        return event.events if isinstance(event, Joined) else (event,)

    def gathered(self) -> Iterator[tuple[int, Gathering]]:
        """What waits at which join; the earliest fork first, and what is outside of all forks last."""
        for fork in self.opened:
            yield from fork.arrived.items()
        yield from self.loose.items()

    # -- forks -----------------------------------------------------------------------------------------------

    def _open(self, around: Fork[B, T] | None, number: int, origin: T) -> Fork[B, T]:
        around, number = _outside(around, number)
        fork = Fork(around, number, origin)
        self.opened[fork] = None
        if around is not None:
            around.live[fork] = None
        return fork

    def _branch(self, place: Place[B, T], may: Sequence[int]) -> tuple[Fork[B, T] | None, int] | None:
        """The fork, and which branch of it this is; None if that was cut short for one of these joins."""
        fork = place.fork
        if fork is None or place.number is not None:
            return fork, place.number or 0
        if not fork.over:
            number = fork.sent
            fork.sent += 1
            for join in may:
                fork.may[join] = fork.may.get(join, 0) + 1
                self._look(fork, join)
            if not fork.over:
                return fork, number
        around = fork.around
        if fork.won is None or fork.won in may or (around is not None and around.over):
            return None
        return around, fork.number

    def _enter(self, branch: B, fork: Fork[B, T] | None, number: int) -> None:
        fork, number = _outside(fork, number)
        self.spots[branch] = Spot(fork, number)
        if fork is not None:
            fork.live[branch] = None

    def _settle(self, fork: Fork[B, T]) -> None:
        """Nothing more is sent off in it, so it is known for which joins it is a fork."""
        fork.open = False
        passing = [join for join in fork.arrived if fork.passes(join)]
        arrivals = [(arrival, join) for join in passing for arrival in fork.arrived.pop(join)]
        for arrival, join in sorted(arrivals, key=_by_serial):
            self._arrive(join, arrival, fork, fork.origin)
        self._close_up(fork)

    def _close_up(self, fork: Fork[B, T] | None) -> None:
        """Closes the fork if nothing is live in it, and then the one around; no recursion, forks may be deep."""
        while fork is not None and not fork.live and (fork.over or not fork.open) and fork in self.opened:
            del self.opened[fork]
            self._close(fork)
            if fork.around is not None:
                fork.around.served |= fork.served
                del fork.around.live[fork]
            fork = fork.around
        if fork is not None and len(fork.live) == 1 and fork.is_none():
            self._leave_out(fork, *fork.live)

    def _leave_out(self, fork: Fork[B, T], last: B | Fork[B, T]) -> None:
        """A fork that was none is left out if another is all that is live in it, lest a loop makes a chain."""
        if isinstance(last, Fork):
            del self.opened[fork]
            fork.live.clear()
            last.around, last.number = fork.around, fork.number
            if fork.around is not None:
                fork.around.served |= fork.served
                del fork.around.live[fork]
                fork.around.live[last] = None

    def _close(self, fork: Fork[B, T]) -> None:
        if fork.over:
            if fork.won is not None:
                self._call(fork, fork.won)
            return
        for join in fork.calls():
            if isinstance(self._joins[join], Each):
                for arrival in fork.arrived.pop(join, ()):
                    self._arrive(join, attrs.evolve(arrival, number=fork.number), fork.around, fork.origin)
            elif join in fork.arrived or join not in fork.served:
                self._call(fork, join)

    # -- joins -----------------------------------------------------------------------------------------------

    def _arrive(self, join: int, arrival: Arrival, fork: Fork[B, T] | None, origin: T) -> None:
        while fork is not None and fork.passes(join):
            arrival, fork = attrs.evolve(arrival, number=fork.number), fork.around
        policy = self._joins[join]
        if fork is not None and fork.over:
            self.late.append((join, arrival.event))
        elif fork is not None:
            fork.arrived.setdefault(join, Gathering(policy)).add(arrival)
            self._look(fork, join)
        elif isinstance(policy, Each):
            self.loose.setdefault(join, Gathering(policy)).add(arrival)
            self._match(self.loose, join, None, origin)
        else:
            self._make_due(join, [arrival], None, 0, origin)

    def _look(self, fork: Fork[B, T], join: int) -> None:
        """Calls the join if that does not wait for the end of the fork."""
        gathering = fork.arrived.get(join)
        if gathering is None or not gathering.is_enough or not fork.is_for(join):
            return
        if isinstance(gathering.join, Each):
            self._match(fork.arrived, join, fork, fork.origin)
        else:
            self._cut_short(fork, join)

    def _match(self, kept: dict[int, Gathering], join: int, fork: Fork[B, T] | None, origin: T) -> None:
        """What is joined of one of each type stays in the fork: the branches go on as one."""
        gathering = kept[join]
        while gathering.is_enough:
            arrivals = gathering.take()
            self._make_due(join, arrivals, fork, arrivals[0].number, origin)
        if not gathering:
            del kept[join]

    def _cut_short(self, fork: Fork[B, T], join: int) -> None:
        """The join has enough: what is live is lost, and when that has ended the join is called."""
        fork.won, fork.over = join, True
        enough = Gathering(self._joins[join])
        for arrival in fork.arrived[join].take():
            enough.add(arrival)
        ended = [fork]
        while ended:
            each = ended.pop()
            self._drop(each)
            for live in each.live:
                if isinstance(live, Fork):
                    live.won, live.over = None, True
                    ended.append(live)  # pyright: ignore[reportUnknownArgumentType] - of this very kind
                elif not (spot := self.spots[live]).lost:
                    spot.lost = True
                    if not spot.ends:  # the winner has, when what it returned arrives
                        self.lost.append(live)
        fork.arrived[join] = enough
        self._close_up(fork)

    def _drop(self, fork: Fork[B, T]) -> None:
        for join, gathering in fork.arrived.items():
            self.late.extend((join, event) for event in gathering.events())
        fork.arrived.clear()

    def _call(self, fork: Fork[B, T], join: int) -> None:
        gathering = fork.arrived.pop(join, None)
        self._make_due(
            join, [] if gathering is None else gathering.take(), fork.around, fork.number, fork.origin
        )
        if fork.around is not None:
            fork.around.served.add(join)

    def _make_due(
        self, join: int, arrivals: Sequence[Arrival], fork: Fork[B, T] | None, number: int, origin: T
    ) -> None:
        branch = self._make(join, [arrival.event for arrival in arrivals], origin)
        self._enter(branch, fork, number)
        self.due.append(branch)


def _by_serial(came: tuple[Arrival, int]) -> int:
    return came[0].serial


def _outside(fork: Fork[B, T] | None, number: int) -> tuple[Fork[B, T] | None, int]:
    """The next fork outwards that is one, or may become one, and the number of the branch in it."""
    while fork is not None and fork.is_none():
        number, fork = fork.number, fork.around
    return fork, number
