"""The queue of a step that has policies: a data structure that knows no inputs and no effects.

What comes may be refused, take the place of another, or wait for quiet; what is let in waits in a lane, with others
that need the same permits. A lane whose permits are there, as far as is known, is *ready*: it waits for a worker alone,
and lanes take turns. When a worker is free its permits are looked at; if one is missing, the lane waits in the line of
that.

The functions of the user are asked once about each event, when it comes, and before anything has changed. A key is
compared with the others then too, and whenever more may have come: what its methods raise is the user's as well.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, final

from .alarms import Alarms
from .backlog import Backlog
from .debouncing import Debounced
from .delivery import Delivery
from .permits import Lane, Permits, Seat, Token
from .policies import Overflow, Policies, Singleton, measured
from .ranking import AsItCame, HighestFirst
from .singletons import Singletons

if TYPE_CHECKING:
    from ..events import Event
    from .plan import StepPlan
    from .waiting import Waiter

__all__ = ["Flow"]

_KEY, _PRIORITY = "key=", "priority="


class _Told(NamedTuple):
    """What the functions of the user have said of an event."""

    key: Hashable
    keys: tuple[Hashable, ...]
    priority: float


@final
class Flow:
    """The queue of one step in one run.

    Attributes:
        backlog: What it has in common with others of the run.
        step: The step.
        resumed: Steps that have waited in their middle and go on before anything begins.
    """

    __slots__ = (
        "_asking", "_debounced", "_lanes", "_latest", "_places", "_policies", "_ready", "_seats", "_singletons",
        "_sources", "_told", "backlog", "resumed", "step",
    )  # fmt: skip

    def __init__(
        self, backlog: Backlog, step: StepPlan, policies: Policies, sources: Sequence[Permits]
    ) -> None:
        self.backlog = backlog
        self.step = step
        self.resumed: deque[Waiter] = deque()
        self._policies = policies
        self._sources = list(sources)
        if policies.singleton is not None:
            self._sources.append(Permits(_one_seat))
        self._told: dict[Delivery, _Told] = {}
        self._asking: int | str = _KEY
        self._lanes: dict[tuple[Hashable, ...], Lane] = {}
        self._ready: Alarms[Lane] = Alarms()
        self._places: OrderedDict[Delivery, Lane] = OrderedDict()
        self._seats: dict[Delivery, list[tuple[Permits, Seat]]] = {}
        self._debounced = None if policies.quiet is None else Debounced[Delivery](policies.quiet)
        self._singletons = None if policies.singleton is None else Singletons[Delivery]()
        self._latest = Singletons[Delivery]() if policies.overflow is Overflow.LATEST else None

    # -- what comes ------------------------------------------------------------------------------------------

    def ask(self, delivery: Delivery) -> None:
        """Asks the functions of the user about its event, once.

        Raises:
            BaseException: What they raise, or a key when it is hashed or compared.
            TypeError: If a key cannot be hashed, or the priority is no number.
        """
        if delivery not in self._told:
            self._told[delivery] = self._asked_about(delivery.event)
        self.compare(delivery)

    def _asked_about(self, event: Event) -> _Told:
        policies = self._policies
        self._asking = _KEY
        key = None if policies.key is None else policies.key(event)
        keys: list[Hashable] = []
        for number, key_of in enumerate(policies.permits):
            self._asking = number
            keys.append(None if key_of is None else key_of(event))
        if policies.singleton is not None:
            keys.append(key)
        self._asking = _PRIORITY
        priority = 0.0 if policies.priority is None else measured(policies.priority(event))
        return _Told(key, tuple(keys), priority)

    def compare(self, delivery: Delivery) -> None:
        """Looks its keys up wherever they will be looked up.

        Raises:
            BaseException: What they raise when they are hashed or compared.
        """
        key, keys, _ = self._told[delivery]
        for number, source in enumerate(self._sources):
            self._asking = number
            source.by_key.get(keys[number])
        self._asking = _KEY
        for table in (self._singletons, self._debounced, self._latest):
            if table is not None:
                table.knows(key)

    @property
    def asking(self) -> str:
        """What of its policies was asked last, as messages say it."""
        if isinstance(self._asking, str):
            return self._asking
        names = self._policies.names
        return f"the key for {names[self._asking]}" if self._asking < len(names) else _KEY

    def put(self, delivery: Delivery) -> None:
        """Something that it was asked about comes: it is let in, refused, or waits for quiet."""
        if self._debounced is None:
            self.let_in(delivery)
            return
        earlier, due = self._debounced.put(delivery, self._told[delivery].key, self.backlog.at)
        if earlier is None:
            self.backlog.count(1)
        else:
            self.backlog.quiet.discard(earlier)
            self._drop(earlier, self._superseded)
        self.backlog.quiet.set(due, delivery)

    def let_in(self, delivery: Delivery) -> None:
        """It is quiet, or nobody asks for that."""
        if self._debounced is not None and self._debounced.discard(delivery):
            self.backlog.count(-1)
        if self._singletons is not None:
            others = self._singletons.others(self._told[delivery].key)
            if others and self._policies.singleton is Singleton.REFUSE:
                label = self.step.label
                self._drop(delivery, f"refused: {label} had one of its key already, and takes one at a time")
                return
            for other in others:
                self._supersede(other)
        self.take_up(delivery)

    def claim(self, delivery: Delivery) -> None:
        """It is the one of its key."""
        if self._singletons is not None:
            self._singletons.add(delivery, self._told[delivery].key)

    def take_up(self, delivery: Delivery) -> None:
        """It waits in its lane; also what was taken in before, and is tried again or goes on after a restart."""
        self.claim(delivery)
        _, keys, priority = self._told[delivery]
        lane = self._lanes.get(keys)
        if lane is None:
            at = self.backlog.at
            permits = [source.of(key, at) for source, key in zip(self._sources, keys, strict=True)]
            ranked = self._policies.priority is not None
            lane = Lane(
                self.backlog,
                self.step.index,
                keys,
                permits=permits,
                queue=HighestFirst() if ranked else AsItCame(),
                wake=self.backlog.wake,
            )
            self._lanes[keys] = lane
        before = lane.queue.first()
        lane.queue.put(delivery, priority)
        self._places[delivery] = lane
        self.backlog.came(delivery)
        if lane.waits_at is None and lane.queue.first() != before:
            self._make_ready(lane)

    def _supersede(self, other: Delivery) -> None:
        """A later one of its key has come: what waits never begins, what is at work is cancelled."""
        if other in self._places:
            self.remove(other)
            self.forget(other)
            self._drop(other, self._superseded)
        else:
            self.backlog.superseded.setdefault(other, self._superseded)

    @property
    def _superseded(self) -> str:
        return f"superseded: a later one of its key came to {self.step.label}"

    @property
    def cancels(self) -> bool:
        """Whether it may have a step at work cancelled."""
        return self._policies.singleton is Singleton.CANCEL

    # -- what waits for quiet ----------------------------------------------------------------------------------

    def put_back(self, delivery: Delivery, since: float, due: float) -> None:
        """Something of a snapshot that waited for quiet."""
        if self._debounced is None:
            self.take_up(delivery)
            return
        self._debounced.put_back(delivery, self._told[delivery].key, since)
        self.backlog.count(1)
        self.backlog.quiet.set(due, delivery)

    def since(self, delivery: Delivery) -> float:
        """Since when it waits for quiet, or those whose place it has taken."""
        assert self._debounced is not None, "it waits for quiet"
        return self._debounced.since(delivery)

    # -- the bound -----------------------------------------------------------------------------------------------

    def trim(self, delivery: Delivery) -> None:
        """Something has come, and may have begun: of what waits, one may be too many."""
        policies = self._policies
        if self._latest is not None and delivery in self._places:
            key = self._told[delivery].key
            for earlier in self._latest.others(key):
                self.remove(earlier)
                self._drop(earlier, self._superseded)
            self._latest.add(delivery, key)
        size = policies.size
        if size is None or policies.overflow is Overflow.FAIL or len(self._places) <= size:
            return
        newest = policies.overflow is Overflow.DROP_NEWEST
        victim = delivery if newest else next(iter(self._places))
        self.remove(victim)
        why = "" if newest else ", and it had waited longest"
        self._drop(victim, f"the queue of {self.step.label} was full (queue_size={size}){why}")

    @property
    def is_full(self) -> bool:
        """Whether who sends is refused, or waits."""
        size = self._policies.size
        return self._policies.overflow is Overflow.FAIL and size is not None and len(self._places) >= size

    def _drop(self, delivery: Delivery, reason: str) -> None:
        self.backlog.dropped.append((delivery, reason))

    # -- what begins -----------------------------------------------------------------------------------------

    def _make_ready(self, lane: Lane) -> None:
        first = lane.queue.first()
        assert first is not None, "a lane is kept while something waits in it"
        self._ready.discard(lane)
        self._ready.set(first[0], lane)

    def pick(self) -> Delivery | None:
        """Takes out what begins now, for there is a worker for it."""
        at = self.backlog.at
        while (found := self._ready.first()) is not None:
            lane = found[1]
            permit = lane.missing(at)
            if permit is None:
                return self._begin(lane, at)
            self._ready.discard(lane)
            self._leave_line(lane)
            lane.enter(permit)
            self.backlog.call(permit)
        return None

    def _begin(self, lane: Lane, at: float) -> Delivery:
        first = lane.queue.first()
        assert first is not None, "a lane is kept while something waits in it"
        delivery = first[1]
        for source, permit in zip(self._sources, lane.permits, strict=True):
            seat = permit.take(at)
            if seat is not None:
                seat.users += 1
                self._seats.setdefault(delivery, []).append((source, seat))
        self._leave_line(lane)
        self._take_out(delivery, lane)
        return delivery

    def called(self, lane: Lane) -> None:
        """What the lane waits for is there: it is ready, and keeps its place in the line until it was looked at."""
        self._make_ready(lane)

    def let_pass(self, lane: Lane) -> None:
        """It was called, and no worker is free for it: who comes next may go."""
        if lane in self._ready:
            self._leave_line(lane)

    def _leave_line(self, lane: Lane) -> None:
        permit = lane.leave()
        if permit is not None:
            self.backlog.alarms.discard(lane)
            self.backlog.call(permit)

    # -- what leaves -----------------------------------------------------------------------------------------

    def remove(self, delivery: Delivery) -> bool:
        """Whether it waited; now it does not, and never begins."""
        lane = self._places.get(delivery)
        if lane is not None:
            self._take_out(delivery, lane)
            return True
        if self._debounced is None or not self._debounced.discard(delivery):
            return False
        self.backlog.quiet.discard(delivery)
        self.backlog.count(-1)
        return True

    def _take_out(self, delivery: Delivery, lane: Lane) -> None:
        before = lane.queue.first()
        del self._places[delivery]
        lane.queue.discard(delivery)
        self.backlog.went(delivery)
        if self._latest is not None:
            self._latest.discard(delivery)
        if lane.queue:
            if lane.waits_at is None and lane.queue.first() != before:
                self._make_ready(lane)
            return
        self._ready.discard(lane)
        del self._lanes[lane.keys]
        self._leave_line(lane)
        self._let_go(lane)

    def _let_go(self, lane: Lane) -> None:
        for source, permit in zip(self._sources, lane.permits, strict=True):
            source.let_go(permit, self.backlog.at)

    def give_back(self, delivery: Delivery) -> None:
        """Its body has ended: others may have its seats."""
        for source, seat in self._seats.pop(delivery, ()):
            seat.give_back()
            source.let_go(seat, self.backlog.at)
            self.backlog.call(seat)

    def forget(self, delivery: Delivery) -> None:
        """It is over, and no further attempt follows."""
        self._told.pop(delivery, None)
        self.backlog.lost.discard(delivery)
        if self._singletons is not None:
            self._singletons.discard(delivery)

    def stand_aside(self) -> None:
        """The run is over, and nothing begins any more: it stands in nobody's way."""
        for lane in self._lanes.values():
            self._leave_line(lane)

    def conclude(self) -> None:
        """Nothing of the run is at work, and what waits never begins: it uses no permit any more."""
        self.stand_aside()
        for delivery in tuple(self._seats):
            self.give_back(delivery)
        while self._lanes:
            _, lane = self._lanes.popitem()
            self._let_go(lane)

    def held_by(self) -> Iterator[str]:
        """What each waits for that does not wait for a worker alone, as messages say it."""
        if self._debounced is not None:
            yield from ("quiet" for each in self.backlog.quiet if each.step is self.step)
        names = (*self._policies.names, "the end of an earlier one of its key")
        for lane in self._lanes.values():
            for name, permit in zip(names, lane.permits, strict=False):
                if permit is lane.waits_at:
                    yield from (name for _ in range(len(lane.queue)))

    # -- what waits ------------------------------------------------------------------------------------------

    def spent(self, at: float) -> Iterator[tuple[int, Hashable, float]]:
        """Which buckets are not full: of which source, of which key, and when they will be."""
        for number, source in enumerate(self._sources):
            for permit in source.by_key.values():
                if isinstance(permit, Token) and permit.bucket.full_at > at:
                    yield number, permit.key, permit.bucket.full_at

    def spend(self, number: int, key: Hashable, full_at: float) -> None:
        """A bucket of a snapshot, whose source may be gone: no less is missing from it than was then."""
        if number >= len(self._sources):
            return
        source, at = self._sources[number], self.backlog.at
        permit = source.of(key, at)
        if isinstance(permit, Token):
            permit.bucket.full_at = max(permit.bucket.full_at, full_at)
        source.let_go(permit, at)

    def __iter__(self) -> Iterator[Delivery | Waiter]:
        yield from self.resumed
        if self._debounced is not None:
            yield from (each for each in self.backlog.quiet if each.step is self.step)
        yield from self._places


def _one_seat(key: Hashable) -> Seat:
    return Seat(key, 1)
