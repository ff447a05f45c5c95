"""What joins should do, said as shortly as it can be: the other side of the property tests of forks.

The model keeps the whole history of a run as a tree and looks through all of it for each question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import TypeAlias

import attrs

from stretto._core.gathering import Each, Join
from stretto.events import Event, StepFailedEvent
from stretto.joins import All, ByKey, First, Quorum, Settle, Until, Window

Came: TypeAlias = tuple[int, int, int, Event]
"""As which of the run an event came, from which branch of the fork, to which join."""


@attrs.define(eq=False)
class Node:
    """One branch, and what it has sent off."""

    up: Node | None
    number: int = 0
    done: bool = False
    lost: bool = False
    outside: bool = False  # it stands for the world, which sends and is done
    down: list[Node] = attrs.Factory(list)
    came: list[Came] = attrs.Factory(list)
    may: list[tuple[int, ...]] = attrs.Factory(list)
    listed: tuple[int, ...] | None = None
    called: bool = False  # whether it was closed
    won: int | None = None
    over: bool = False
    served: set[int] = attrs.Factory(set)
    leads: dict[int, tuple[int, ...]] = attrs.Factory(dict)
    had: set[int] = attrs.Factory(set)

    def is_for(self, join: int) -> bool:
        return self.listed is not None or sum(join in may for may in self.may) > 1

    def calls(self, joins: int) -> set[int]:
        several = (join for join in range(joins) if sum(join in may for may in self.may) > 1)
        return {*several, *(self.listed or ())}

    def is_live(self) -> bool:
        return not self.done or any(each.is_live() for each in self.down)

    def below(self) -> Iterator[Node]:
        for each in self.down:
            yield each
            yield from each.below()


class Family:
    """All branches of a run; `due`, `lost` and `late` are what has happened since they were read last."""

    def __init__(self, joins: Sequence[Join]) -> None:
        self.joins = joins
        self.worlds: list[Node] = []
        self.loose: list[Came] = []
        self.serial = 0
        self.settling = False
        self.due: list[tuple[Node, int, list[Event]]] = []
        self.lost: list[Node] = []
        self.late: list[tuple[int, Event]] = []
        self.failed: list[Event] = []
        self.at = 0.0
        self.times: dict[int, float] = {}

    def send(
        self, sender: Node | None, event: Event, takers: Sequence[int | tuple[int, ...]]
    ) -> list[Node | None]:
        """The branches that begin: one for each taker that is no join; None for one that is too late."""
        world = sender is None
        if sender is None:
            sender = Node(None, outside=True)
            self.worlds.append(sender)
        begun: list[Node | None] = []
        for taker in takers:
            may = (taker, *further(self.joins, taker)) if isinstance(taker, int) else taker
            home: Node | None = sender
            number = len(sender.may)
            if not sender.over:
                sender.may.append(may)
                if not isinstance(taker, int):
                    sender.leads[number] = may
                for join in may:
                    self.look(sender, join)
            if sender.over:
                if sender.lost or sender.won in may:
                    if isinstance(taker, int):
                        self.late.append((taker, event))
                    else:
                        begun.append(None)
                    continue
                number, home = sender.number, sender.up
            begun += self.takes(taker, event, home, number)
        if world:
            self.end(sender)
        self.close()
        return begun

    def takes(
        self, taker: int | tuple[int, ...], event: Event, home: Node | None, number: int
    ) -> list[Node | None]:
        if not isinstance(taker, int):
            return [self.born(home, number)]
        self.come((self.next(), number, taker, event), home)
        return []

    def next(self) -> int:
        self.serial += 1
        self.times[self.serial] = self.at
        return self.serial

    def fail(self, node: Node, may: Sequence[int], failure: Event) -> bool:
        """Whether a join settles it, or one that a branch around leads to."""
        if self.settled(may, failure, node.up, node.number):
            return True
        home, number = node.up, node.number
        while home is not None:
            none = home.done and not any(map(home.is_for, range(len(self.joins))))
            if not none and self.settled(home.leads.get(number, ()), failure, home, number):
                self.end_branch(home, number, node)
                return True
            home, number = home.up, home.number
        return False

    def settled(self, may: Sequence[int], failure: Event, up: Node | None, number: int) -> bool:
        for join in may:
            home = up
            while home is not None and home.done and not home.is_for(join):
                home = home.up
            if home is not None and isinstance(self.joins[join], Settle):
                self.come((self.next(), number, join, failure), up)
                return True
        return False

    def end_branch(self, home: Node, number: int, failed: Node) -> None:
        """All of it is lost, but the one that has failed."""
        for child in [each for each in home.down if each.number == number]:
            for each in [child, *child.below()]:
                if not each.called:
                    each.served |= {*each.calls(len(self.joins)), *(came[2] for came in each.came)}
                    each.over, each.won = True, None
                self.late += [(came[2], came[3]) for came in each.came]
                each.came = []
                if each is not failed and not each.done and not each.lost:
                    each.lost = True
                    self.lost.append(each)
        self.close()

    def tick(self, seconds: float) -> None:
        self.at += seconds
        homes = [*(each for world in self.worlds for each in [world, *world.below()]), None]
        open_ = [
            (*self.ends_at(kept, join), join, home, kept)
            for home in homes
            for kept in [self.loose if home is None else home.came]
            for join in range(len(self.joins))
        ]
        for _, _, join, home, kept in sorted(open_, key=lambda each: each[:2]):
            self.over(kept, join, home, self.at)

    def replace(self, node: Node) -> Node:
        other = self.born(node.up, node.number)
        self.end(node)
        return other

    def end(self, node: Node) -> None:
        node.done = True
        passing = [] if node.over else [each for each in node.came if not node.is_for(each[2])]
        node.came = [each for each in node.came if each not in passing]
        self.settling = True  # it is live until all of it has gone on
        for each in sorted(passing, key=lambda came: came[0]):
            self.come(each, node)
        self.settling = False
        self.close()

    # -- arrivals --------------------------------------------------------------------------------------------

    def come(self, came: Came, home: Node | None) -> None:
        serial, number, join, event = came
        while home is not None and home.done and not home.is_for(join):
            number, home = home.number, home.up
        if home is None and isinstance(event, StepFailedEvent):
            self.failed.append(event)
        elif home is not None and (home.over or join in home.had):
            self.late.append((join, event))
        else:
            kept = self.loose if home is None else home.came
            self.over(kept, join, home, self.times[serial])
            kept.append((serial, number, join, event))
            self.look(home, join)

    def of(self, came: list[Came], join: int) -> list[Came]:
        return [each for each in came if each[2] == join]

    def look(self, home: Node | None, join: int) -> None:
        policy = self.joins[join]
        if home is None:
            self.match(self.loose, join, None)
        elif isinstance(policy, (Each, Window)) and home.is_for(join):
            self.match(home.came, join, home)
        elif isinstance(policy, (First, Quorum, Until)) and home.is_for(join) and join not in home.had:
            events = [came[3] for came in self.of(home.came, join)]
            count = next((n for n in range(1, len(events) + 1) if enough(policy, events[:n])), None)
            if count is not None and policy.losers == "cancel":
                self.cut(home, join, count)
            elif count is not None:
                self.go_on(home, join, count)

    def go_on(self, home: Node, join: int, count: int) -> None:
        """It has enough, and the losers go on."""
        came, home.had = self.of(home.came, join), {*home.had, join}
        home.came = [each for each in home.came if each not in came[count:]]
        self.late += [(join, each[3]) for each in came[count:]]
        if getattr(self.joins[join], "losers", "") == "keep":
            home.came = [each for each in home.came if each not in came]
            self.call_in_order(join, came[:count], home)

    def over(self, came: list[Came], join: int, home: Node | None, at: float) -> None:
        """Calls the windows that are over at that time."""
        policy = self.joins[join]
        while isinstance(policy, Window) and self.ends_at(came, join)[0] <= at:
            self.part(came, join, home, self.of(came, join)[: policy.n])

    def ends_at(self, came: list[Came], join: int) -> tuple[float, int]:
        """When the window is over that is open there, and with which it began."""
        policy, open_ = self.joins[join], self.of(came, join)
        if not isinstance(policy, Window) or policy.seconds is None or not open_:
            return inf, 0
        return self.times[open_[0][0]] + policy.seconds, open_[0][0]

    def part(self, came: list[Came], join: int, home: Node | None, taken: list[Came]) -> None:
        for each in taken:
            came.remove(each)
        source = getattr(self.joins[join], "order", "") == "source"
        taken = sorted(taken, key=lambda each: (each[1] * source, each[0]))
        self.call_part(join, taken, home)

    def call_part(self, join: int, taken: list[Came], home: Node | None) -> None:
        number = taken[0][1]
        if home is not None and not any(each.is_live() for each in home.down if each.number == number):
            home.leads[number] = further(self.joins, join)
        self.call(join, taken, home, number)

    def last_parts(self, came: list[Came], home: Node | None) -> bool:
        found = False
        for join in range(len(self.joins)):
            policy = self.joins[join]
            while isinstance(policy, (ByKey, Window)) and (left := self.of(came, join)):
                found = True
                same = [
                    each for each in left if isinstance(policy, Window) or type(each[3]) is type(left[0][3])
                ]
                self.part(came, join, home, same[: policy.n] if isinstance(policy, Window) else same)
        return found

    def match(self, came: list[Came], join: int, home: Node | None) -> None:
        policy = self.joins[join]
        if isinstance(policy, Window):
            while policy.n is not None and len(left := self.of(came, join)) >= policy.n:
                self.part(came, join, home, left[: policy.n])
            return
        if not isinstance(policy, Each):
            for each in self.of(came, join):
                came.remove(each)
                self.call(join, [each], None, 0)
            return
        while True:
            found = [
                next((each for each in self.of(came, join) if type(each[3]) is kind), None)
                for kind in policy.kinds
            ]
            if None in found:
                return
            taken = [each for each in found if each is not None]
            for each in taken:
                came.remove(each)
            self.call_part(join, taken, home)

    def cut(self, home: Node, join: int, count: int) -> None:
        enough = self.of(home.came, join)[:count]
        home.over, home.won = True, join
        for each in [home, *home.below()]:
            self.late += [(came[2], came[3]) for came in each.came if came not in enough]
            each.came = []
            if each is not home and not each.called:
                each.over, each.won = True, None
            if each is not home and not each.done and not each.lost:
                each.lost = True
                self.lost.append(each)
        home.came = enough
        self.close()

    # -- joins -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """The first fork, from inside, that has nothing live in it and was not closed, until there is none."""
        closed = not self.settling
        while closed:
            closed = any(
                self.close_one(each) for world in self.worlds for each in [*reversed([*world.below()]), world]
            )

    def close_one(self, node: Node) -> bool:
        over = node.over and node.won is not None and not any(each.is_live() for each in node.down)
        if node.called or (node.is_live() and not over) or any(not each.called for each in node.below()):
            return False
        if not node.over and self.last_parts(node.came, node):
            return True
        node.called = True
        if node.over:
            if node.won is not None:
                came, node.came = node.came, []
                self.call_in_order(node.won, came, node)
            return True
        for join in sorted({*node.calls(len(self.joins)), *(came[2] for came in node.came)}):
            came = self.of(node.came, join)
            node.came = [each for each in node.came if each not in came]
            if isinstance(self.joins[join], Each):
                for serial, _, _, event in sorted(came, key=lambda each: each[0]):
                    self.come((serial, node.number, join, event), node.up)
            elif isinstance(self.joins[join], (ByKey, Window)):
                continue
            elif came or not any(join in each.served for each in [node, *node.below()]):
                self.call_in_order(join, came, node)
        return True

    def call_in_order(self, join: int, came: list[Came], node: Node) -> None:
        policy = self.joins[join]
        assert isinstance(policy, (All, First, Quorum, Until, Settle))
        source = policy.order == "source"
        node.served.add(join)
        self.call(join, sorted(came, key=lambda each: (each[1] * source, each[0])), node.up, node.number)

    def call(self, join: int, came: list[Came], home: Node | None, number: int) -> None:
        while home is not None and home.done and not any(map(home.is_for, range(len(self.joins)))):
            number, home = home.number, home.up
        if home is not None and home.over:
            self.late += [(join, each[3]) for each in came]
            return
        self.due.append((self.born(home, number), join, [each[3] for each in came]))

    def born(self, home: Node | None, number: int) -> Node:
        node = Node(home, number)
        (self.worlds if home is None else home.down).append(node)
        return node


def further(joins: Sequence[Join], join: int) -> tuple[int, ...]:
    """Where the calls of a join may lead to that go on in the fork."""
    return ((join + 1) % len(joins),) if isinstance(joins[join], (ByKey, Window)) else ()


def enough(policy: First | Quorum | Until, events: Sequence[Event]) -> bool:
    if isinstance(policy, First):
        return len(events) == policy.n
    if isinstance(policy, Quorum):
        return bool(policy.when(events))
    return bool(policy.when(events[-1]))
