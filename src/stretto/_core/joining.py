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
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar, final

import attrs

from ..events import Event, StepFailedEvent
from ..joins import Settle
from .branches import Fork, Place, outside
from .calling import Calling
from .gathering import Arrival, Gathering, Race, gather, goes_on_inside
from .joined import Joined
from .pairing import Each

__all__ = ["Forks"]

B = TypeVar("B", bound=Hashable)
T = TypeVar("T")


@final
class Forks(Calling[B, T]):
    """All forks of one run."""

    __slots__ = ()

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
                own.around, own.number = outside(own.around, own.number)
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
        if spot is None:
            return False
        self._enter(branch, *spot)
        fork, number = spot
        if fork is not None and fork.leads is not None and fork is place.fork and place.number is None:
            fork.leads[number] = may
        return True

    def arrive(self, join: int, event: Event, place: Place[B, T], further: Sequence[int] = ()) -> None:
        """An event comes to a join; if what is called with it goes on in this fork, that may come to further joins."""
        spot = self._branch(place, (join, *further))
        if spot is None:
            self.late.append((join, event))
            return
        fork, number = spot
        self._serial += 1
        self._arrive(join, Arrival(self._serial, number, event, self.at), fork, place.origin)

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
            spot.fork.leave(branch, spot.number)
        if spot.own is not None:
            self._settle(spot.own)
        self._close_up(spot.fork)

    def replace(self, branch: B, other: B) -> None:
        """Another branch stands where one stood, which is live no more."""
        spot = self.spots[branch]
        self._enter(other, spot.fork, spot.number)
        self.leave(branch)

    def fails(self, branch: B, may: Sequence[int], failure: StepFailedEvent) -> bool:
        """A branch has failed that may lead to these joins; whether one of them may settle that, and is told.

        If none does, one may that a branch around leads to: then this one is what that has ended with.
        """
        if not self.settles:
            return False
        number, fork = self.spots[branch].number, self.spots[branch].fork
        if self._settled(may, failure, fork, number):
            return True
        while fork is not None:
            leads = () if fork.leads is None or fork.is_none() else fork.leads.get(number, ())
            if self._settled(leads, failure, fork, number):
                self._end_branch(fork, number, branch, failure)
                return True
            number, fork = fork.number, fork.around
        return False

    def _settled(
        self, may: Sequence[int], failure: StepFailedEvent, fork: Fork[B, T] | None, number: int
    ) -> bool:
        """Whether it has arrived at one of these joins."""
        for join in may:
            at, home = number, fork
            while home is not None and home.passes(join):
                at, home = home.number, home.around
            if home is not None and isinstance(self._joins[join], Settle):
                self._serial += 1
                self._arrive(join, Arrival(self._serial, at, failure, self.at), home, home.origin)
                return True
        return False

    def _end_branch(self, fork: Fork[B, T], number: int, failed: B, failure: StepFailedEvent) -> None:
        """What is left of a branch is lost, but the one that has failed: it ends by itself."""
        ended = [*fork.of[number]]
        while ended:
            each = ended.pop()
            if isinstance(each, Fork):
                each.served.update(each.calls())  # lest they are called with nothing for a fork around
                each.won, each.over = None, True
                self._drop(each, self.dropped)  # pyright: ignore[reportUnknownArgumentType] - of this very kind
                ended += each.live  # pyright: ignore[reportUnknownMemberType]
            elif each is not failed and not (spot := self.spots[each]).lost:
                spot.lost, spot.failure = True, failure
                self.lost.append(each)

    def failure_of(self, branch: B) -> StepFailedEvent | None:
        """What its branch has ended with, if it is lost for that."""
        spot = self.spots.get(branch)
        return None if spot is None else spot.failure

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
        around, number = outside(around, number)
        fork = Fork(around, number, origin, leads={} if self.settles else None)
        self.opened[fork] = None
        if around is not None:
            around.enter(fork, number)
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

    def _settle(self, fork: Fork[B, T]) -> None:
        """Nothing more is sent off in it, so it is known for which joins it is a fork."""
        fork.open = False
        passing = [join for join in fork.arrived if fork.passes(join)]
        arrivals = [(arrival, join) for join in passing for arrival in fork.arrived.pop(join)]
        for join in passing:
            self.timing.watch((fork, join), None)
        for arrival, join in sorted(arrivals, key=_by_serial):
            self._arrive(join, arrival, fork, fork.origin)
        self._close_up(fork)

    def _close_up(self, fork: Fork[B, T] | None) -> None:
        """Closes the fork if nothing is live in it, and then the one around; no recursion, forks may be deep."""
        while fork is not None and not fork.live and (fork.over or not fork.open) and fork in self.opened:
            if not fork.over and self._call_parts(fork.arrived, fork):
                return
            del self.opened[fork]
            self._close(fork)
            if fork.around is not None:
                fork.around.served |= fork.served
                fork.around.leave(fork, fork.number)
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
                fork.around.enter(last, last.number)  # pyright: ignore[reportUnknownArgumentType] - as above
                fork.around.leave(fork, fork.number)

    def _close(self, fork: Fork[B, T]) -> None:
        if fork.over:
            if fork.won is not None:
                self._call(fork, fork.won)
            return
        for join in fork.calls():
            if isinstance(self._joins[join], Each):
                for arrival in fork.arrived.pop(join, ()):
                    self._arrive(join, attrs.evolve(arrival, number=fork.number), fork.around, fork.origin)
            elif goes_on_inside(self._joins[join]):
                continue
            elif join in fork.arrived or join not in fork.served:
                self._call(fork, join)

    # -- races -------------------------------------------------------------------------------------------------

    def _decide(self, fork: Fork[B, T], join: int, race: Race) -> None:
        """The join has enough: what is live is lost, or goes on without it."""
        if race.losers == "cancel":
            self._cut_short(fork, join)
            return
        gathering = fork.arrived.pop(join)
        enough = gathering.take()
        self.late.extend((join, event) for event in gathering.events())
        fork.had.add(join)
        if race.losers == "keep":
            fork.served.add(join)
            self._make_due(join, enough, fork.around, fork.number, fork.origin)
        else:
            fork.arrived[join] = self._only(join, enough)

    def _only(self, join: int, arrivals: Sequence[Arrival]) -> Gathering:
        gathering = gather(self._joins[join])
        for arrival in arrivals:
            gathering.add(arrival)
        return gathering

    def _cut_short(self, fork: Fork[B, T], join: int) -> None:
        """The join has enough: what is live is lost, and when that has ended the join is called."""
        fork.won, fork.over = join, True
        enough = self._only(join, fork.arrived[join].take())
        ended = [fork]
        while ended:
            each = ended.pop()
            self._drop(each, self.late)
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

    def _drop(self, fork: Fork[B, T], into: deque[tuple[int, Event]]) -> None:
        for join, gathering in fork.arrived.items():
            into.extend((join, event) for event in gathering.events())
            self.timing.watch((fork, join), None)
        fork.arrived.clear()

    def _call(self, fork: Fork[B, T], join: int) -> None:
        gathering = fork.arrived.pop(join, None)
        self._make_due(
            join, [] if gathering is None else gathering.take(), fork.around, fork.number, fork.origin
        )
        if fork.around is not None:
            fork.around.served.add(join)


def _by_serial(came: tuple[Arrival, int]) -> int:
    return came[0].serial
