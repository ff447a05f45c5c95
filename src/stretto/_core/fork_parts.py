"""The forks and joins of a run as plain data: which fork is in which, what is live in it, and what has arrived.

A delivery is known by its number among those that the snapshot has, a fork by its number among those that are open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .branches import Fork, Spot
from .delivery import Delivery, Origin
from .effects import Effects
from .gathering import Arrival, Gathering, gather
from .joining import Forks
from .places import Place
from .saving import MOST, Restoring, Saving

if TYPE_CHECKING:
    from typing import TypeAlias

    AnyFork: TypeAlias = Fork[Delivery, Origin]
    AnyForks: TypeAlias = Forks[Delivery, Origin]

__all__ = ["read_forks", "write_forks"]


def write_forks(out: Saving, forks: AnyForks, path: str) -> dict[str, object]:
    """All forks; what is lost in them is left out, since it does not run again."""
    decided = forks.decided()
    numbers = {fork: number for number, fork in enumerate([*forks.opened, *decided])}
    return {
        "open": [
            _fork(out, fork, numbers, f"{path}.open[{number}]") for number, fork in enumerate(forks.opened)
        ],
        "decided": [
            _fork(out, fork, numbers, f"{path}.decided[{number}]") for number, fork in enumerate(decided)
        ],
        "branches": [
            [number, *_spot(forks.spots[delivery], numbers)]
            for delivery, number in out.numbers.items()
            if delivery in forks.spots
        ],
        "loose": _gathered(out, forks.loose, f"{path}.loose"),
        "origins": {out.name(join): _origin(out, origin) for join, origin in forks.origins.items()},
    }


def _origin(out: Saving, origin: Origin) -> dict[str, object]:
    carry, spent = origin
    return {**out.behalf(carry), "spent": out.by_name(spent)}


def _fork(out: Saving, fork: AnyFork, numbers: dict[AnyFork, int], path: str) -> dict[str, object]:
    return {
        **_origin(out, fork.origin),
        "around": None if fork.around is None else numbers[fork.around],
        "number": fork.number,
        "more": fork.open,
        "sent": fork.sent,
        "may": out.by_name(fork.may),
        "listed": None if fork.listed is None else [out.name(each) for each in fork.listed],
        "served": [out.name(each) for each in sorted(fork.served)],
        "had": [out.name(each) for each in sorted(fork.had)],
        "won": None if fork.won is None else out.name(fork.won),
        "over": fork.over,
        "arrived": _gathered(out, fork.arrived, f"{path}.arrived"),
        **({"leads": _leads(out, fork.leads)} if fork.leads else {}),
    }


def _leads(out: Saving, leads: Mapping[int, Sequence[int]]) -> list[object]:
    return [[number, *(out.name(join) for join in joins)] for number, joins in leads.items()]


def _spot(spot: Spot[Delivery, Origin], numbers: dict[AnyFork, int]) -> list[object]:
    return [
        None if spot.fork is None else numbers[spot.fork],
        spot.number,
        None if spot.own is None else numbers[spot.own],
    ]


def _gathered(out: Saving, gathered: dict[int, Gathering], path: str) -> dict[str, object]:
    return {
        out.name(join): [
            [
                arrival.serial,
                arrival.number,
                out.writer.event(arrival.event, f"{path}.{out.name(join)}[{at}][2]"),
                *([max(0.0, out.at - arrival.at)] if gathering.due() is not None else ()),
            ]
            for at, arrival in enumerate(gathering.in_rows())
        ]
        for join, gathering in gathered.items()
    }


def read_forks(into: Restoring, place: Place | None) -> Effects:
    """Puts them into a machine that has its deliveries; gives what follows where the last of a fork was lost.

    Without them, as in a snapshot of a workflow that had no joins then, each delivery stands outside of all forks.
    """
    return into.run.take_up_forks(lambda forks: _Reading(into, forks).fill(place), into.at)


class _Reading:
    """The forks of a snapshot on their way into a machine."""

    def __init__(self, into: Restoring, forks: AnyForks) -> None:
        self._into = into
        self._forks = forks
        self._opened: list[AnyFork] = []

    def fill(self, place: Place | None) -> None:
        if place is not None:
            self._read(place)
        for delivery in self._into.deliveries:
            spot = self._forks.spots.setdefault(delivery, Spot(None, 0))
            if spot.fork is not None:
                spot.fork.enter(delivery, spot.number)
        self._forks.watch_all()

    def _read(self, place: Place) -> None:
        opened, decided = list(place.listed("open")), list(place.listed("decided"))
        self._opened = [self._fork(each) for each in (*opened, *decided)]
        for at, each in enumerate((*opened, *decided)):
            fork = self._opened[at]
            self._connect(fork, each)
            if at < len(opened):
                self._forks.opened[fork] = None
                if fork.around is not None:
                    fork.around.enter(fork, fork.number)
        for each in place.listed("branches"):
            self._branch(each)
        self._gathered(place.part("loose"), self._forks.loose)
        origins = dict(_by_text(place.get("origins")))
        for join in self._forks.loose:
            name = self._into.run.plan.steps[join].name
            self._forks.origins[join] = self._origin(origins.get(name))

    def _fork(self, place: Place) -> AnyFork:
        fork: AnyFork = Fork(None, place.part("number").whole(0, MOST), self._origin(place))
        fork.open = place.part("more").flag()
        fork.sent = place.part("sent").whole(0, MOST)
        fork.may = {self._join(name): count.whole(0, MOST) for name, count in _named(place.part("may"))}
        if place.get("listed") is not None:
            fork.listed = [self._join(each) for each in place.listed("listed")]
        fork.served = {self._join(each) for each in place.listed("served")}
        fork.had = {self._join(each) for each in place.listed("had")}
        won = place.get("won")
        fork.won = None if won is None else self._join(won)
        fork.over = place.part("over").flag()
        self._gathered(place.part("arrived"), fork.arrived)
        fork.leads = {} if self._forks.settles else None
        if fork.leads is not None:
            for each in place.listed("leads"):
                branch, *joins = each.between(1, 1 + len(self._into.run.plan.steps))
                fork.leads[branch.whole(0, MOST)] = [self._join(join) for join in joins]
        return fork

    def _origin(self, place: Place | None) -> Origin:
        """Where something was sent from; what is not known was sent from where the run goes on."""
        place = Place({}) if place is None else place
        return self._into.carry(place), self._into.spent(place.get("spent"))

    def _connect(self, fork: AnyFork, place: Place) -> None:
        """It is in another fork, which was opened before it."""
        around = place.get("around")
        if around is None:
            return
        fork.around = self._numbered(around)
        at: AnyFork | None = fork.around
        while at is not None:
            if at is fork:
                raise around.error("this fork is within itself")
            at = at.around

    def _branch(self, place: Place) -> None:
        delivery, fork, number, own = place.exactly(4)
        spot: Spot[Delivery, Origin] = Spot(self._maybe(fork), number.whole(0, MOST), self._maybe(own))
        self._forks.spots[self._delivery(delivery)] = spot

    def _gathered(self, place: Place, into: dict[int, Gathering]) -> None:
        for name, arrived in _named(place):
            join = self._join(name)
            step = self._into.run.plan.steps[join]
            assert step.join is not None  # it was looked for among the joins
            gathering = gather(step.join)
            for each in arrived.items():
                serial, number, event, *since = each.between(3, 4)
                came = Arrival(
                    serial.whole(0, MOST),
                    number.whole(0, MOST),
                    self._into.taken(step, event),
                    self._into.at - (since[0].seconds() if since else 0.0),
                )
                self._forks.came_before(came.serial)
                gathering.add(came)
            if gathering:
                into[join] = gathering

    def _join(self, name: Place) -> int:
        step = self._into.step(name)
        if step.join is None:
            raise name.error(f"{step.label} joins nothing")
        return step.index

    def _delivery(self, number: Place) -> Delivery:
        deliveries = self._into.deliveries
        if not deliveries:
            raise number.wants("the number of a delivery, of which there are none")
        return deliveries[number.whole(0, len(deliveries) - 1)]

    def _maybe(self, number: Place) -> AnyFork | None:
        return None if number.value is None else self._numbered(number)

    def _numbered(self, number: Place) -> AnyFork:
        if not self._opened:
            raise number.wants("the number of a fork, of which there are none")
        return self._opened[number.whole(0, len(self._opened) - 1)]


def _by_text(place: Place | None) -> Iterator[tuple[str, Place]]:
    return iter(()) if place is None else place.entries()


def _named(place: Place) -> Iterator[tuple[Place, Place]]:
    """The entries of an object whose names are those of steps."""
    return ((Place(name, name, place), part) for name, part in place.entries())
