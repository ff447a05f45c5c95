"""What arrives at joins, and when they are called with it, by their policies: one part of a data structure.

`joining` is built on it and says what a fork is, and when it is closed. Here is what a policy decides: in which fork an
arrival waits, whether it is enough, and in which fork the call stands.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Generic, TypeVar

import attrs

from ..events import Event, StepFailedEvent
from ..joins import ByKey, Settle, Window
from .branches import Fork, Spot, outside
from .gathering import Arrival, Gathering, Join, Race, gather, is_race, waits_outside
from .timing import Timing

__all__ = ["Calling"]

B = TypeVar("B", bound=Hashable)
T = TypeVar("T")


class Calling(Generic[B, T]):
    """The forks of one run as far as something arrives in them.

    Attributes:
        spots: Where each live branch stands.
        opened: The forks that are not closed.
        loose: What arrived outside of all forks, where more is waited for.
        origins: Where that was sent from, the latest for each join.
        due: The branches that joins have made, and nobody has taken yet.
        lost: The branches that are to be cancelled.
        late: What came too late, and to which join.
        dropped: What had come to a join in a branch that has ended with a failure.
        broken: What predicates of joins have raised, and the event that each was asked about.
        failed: Failures that were to be settled, and no fork was one for the join.
        timing: When windows are over.
        settles: Whether a join settles failures.
        at: The time, as far as it is known.
    """

    __slots__ = (
        "_further", "_joins", "_make", "_serial", "_timed", "at", "broken", "dropped", "due", "failed", "late", "loose",
        "lost", "opened", "origins", "settles", "spots", "timing",
    )  # fmt: skip

    def __init__(
        self,
        joins: Mapping[int, Join],
        make: Callable[[int, list[Event], T], B],
        further: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        self._joins = joins
        self._make = make
        self._serial = 0
        self.settles = any(isinstance(join, Settle) for join in joins.values())
        self._further = further or {}
        self._timed = {
            join for join, each in joins.items() if isinstance(each, Window) and each.seconds is not None
        }
        self.spots: dict[B, Spot[B, T]] = {}
        self.opened: dict[Fork[B, T], None] = {}
        self.loose: dict[int, Gathering] = {}
        self.origins: dict[int, T] = {}
        self.due: deque[B] = deque()
        self.lost: deque[B] = deque()
        self.late: deque[tuple[int, Event]] = deque()
        self.dropped: deque[tuple[int, Event]] = deque()
        self.broken: deque[tuple[int, Event | None, BaseException]] = deque()
        self.failed: deque[StepFailedEvent] = deque()
        self.timing: Timing[tuple[Fork[B, T] | None, int]] = Timing()
        self.at = 0.0

    @abstractmethod
    def _decide(self, fork: Fork[B, T], join: int, race: Race) -> None:
        """The join has enough."""

    # -- arrivals --------------------------------------------------------------------------------------------

    def _arrive(self, join: int, arrival: Arrival, fork: Fork[B, T] | None, origin: T) -> None:
        while fork is not None and fork.passes(join):
            arrival, fork = attrs.evolve(arrival, number=fork.number), fork.around
        policy = self._joins[join]
        if fork is not None and fork.is_late(join):
            self.late.append((join, arrival.event))
        elif fork is not None:
            self._keep(fork.arrived, join, arrival, fork, origin)
            self._look(fork, join)
        elif waits_outside(policy):
            self._keep(self.loose, join, arrival, None, origin)
            self._match(self.loose, join, None)
        elif isinstance(policy, Settle) and isinstance(arrival.event, StepFailedEvent):
            self.failed.append(arrival.event)
        else:
            self._make_due(join, [arrival], None, 0, origin)

    def _keep(
        self, kept: dict[int, Gathering], join: int, arrival: Arrival, fork: Fork[B, T] | None, origin: T
    ) -> None:
        if join in self._timed and join in kept:
            self._time_over(kept, join, fork, arrival.at)  # it may be told of that before a timer is
        gathering = kept.get(join)
        if gathering is None:
            gathering = kept[join] = gather(self._joins[join])
        gathering.add(arrival)
        if fork is None:
            self.origins[join] = origin
        if join in self._timed and len(gathering) == 1:
            self._watch(kept, join, fork)

    def _look(self, fork: Fork[B, T], join: int) -> None:
        """Calls the join if that does not wait for the end of the fork."""
        gathering = fork.arrived.get(join)
        if gathering is None or join in fork.had or not fork.is_for(join):
            return
        policy = self._joins[join]
        if not is_race(policy):
            self._match(fork.arrived, join, fork)
        elif self._is_enough(join, gathering):
            self._decide(fork, join, policy)

    def _is_enough(self, join: int, gathering: Gathering) -> bool:
        try:
            return gathering.is_enough()
        except BaseException as error:  # noqa: ASYNC103, BLE001 - told to the run, which it ends
            self.broken.append((join, gathering.asked, error))
            return False  # noqa: ASYNC104

    def _match(self, kept: dict[int, Gathering], join: int, fork: Fork[B, T] | None) -> None:
        """What is joined in parts stays in the fork: the branches go on as one."""
        gathering = kept[join]
        if gathering.is_enough():
            while gathering.is_enough():
                self._call_part(gathering.take(), join, fork)
            self._tidy(kept, join, fork)

    def _call_part(self, arrivals: list[Arrival], join: int, fork: Fork[B, T] | None) -> None:
        origin = self.origins[join] if fork is None else fork.origin
        number = arrivals[0].number
        if fork is not None and fork.leads is not None and number not in fork.of:
            fork.leads[number] = self._further.get(
                join, ()
            )  # nothing is left of the branch that it goes on as
        self._make_due(join, arrivals, fork, number, origin)

    def _tidy(self, kept: dict[int, Gathering], join: int, fork: Fork[B, T] | None) -> None:
        """Some was taken."""
        if not kept[join]:
            del kept[join]
            if fork is None:
                del self.origins[join]
        if join in self._timed:
            self._watch(kept, join, fork)

    def _call_parts(self, kept: dict[int, Gathering], fork: Fork[B, T] | None) -> bool:
        """Nothing is left at work: calls joins with their last parts; whether there are some."""
        found = False
        for join in sorted(kept):
            if not isinstance(self._joins[join], (ByKey, Window)):
                continue
            found = True
            try:
                parts = kept[join].take_rest()
            except BaseException as error:  # noqa: ASYNC103, BLE001 - told to the run, which it ends
                self.broken.append((join, kept[join].asked, error))
                continue  # noqa: ASYNC104
            for arrivals in parts:
                self._call_part(arrivals, join, fork)
            self._tidy(kept, join, fork)
        return found

    # -- windows of time ---------------------------------------------------------------------------------------

    def _watch(self, kept: dict[int, Gathering], join: int, fork: Fork[B, T] | None) -> None:
        """The window that is open at a join ends at its time, or there is none."""
        self.timing.watch((fork, join), kept[join].due() if join in kept else None)

    def watch_all(self) -> None:
        """What was there before a restart."""
        for fork in self.opened:
            for join in fork.arrived:
                self._watch(fork.arrived, join, fork)
        for join in self.loose:
            self._watch(self.loose, join, None)

    def time_is(self, at: float) -> None:
        """Calls the joins whose windows are over; of those that end at one instant, the earliest first event first."""
        self.at = max(self.at, at)
        over: list[tuple[float | None, int, Fork[B, T] | None, int]] = []
        for fork, join in self.timing.rung(self.at):
            gathering = (self.loose if fork is None else fork.arrived)[join]
            over.append((gathering.due(), next(gathering.in_rows()).serial, fork, join))
        for _, _, fork, join in sorted(over, key=itemgetter(0, 1)):
            self._time_over(self.loose if fork is None else fork.arrived, join, fork, self.at)

    def end_windows(self) -> None:
        """Nothing else is left to do: calls the last windows that are outside of all forks."""
        self._call_parts(self.loose, None)

    def _time_over(self, kept: dict[int, Gathering], join: int, fork: Fork[B, T] | None, at: float) -> None:
        gathering, over = kept[join], False
        while (due := gathering.due()) is not None and due <= at:
            self._call_part(gathering.take(), join, fork)
            over = True
        if over:
            self._tidy(kept, join, fork)

    # -- calls -------------------------------------------------------------------------------------------------

    def _make_due(
        self, join: int, arrivals: Sequence[Arrival], fork: Fork[B, T] | None, number: int, origin: T
    ) -> None:
        branch = self._make(join, [arrival.event for arrival in arrivals], origin)
        self._enter(branch, fork, number)
        self.due.append(branch)

    def _enter(self, branch: B, fork: Fork[B, T] | None, number: int) -> None:
        fork, number = outside(fork, number)
        self.spots[branch] = Spot(fork, number)
        if fork is not None:
            fork.enter(branch, number)
