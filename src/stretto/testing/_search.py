"""Which schedules to try, in which order: one after the other for a function that runs one.

Nothing here knows what a workflow is. A *probe* takes a chooser, runs one schedule with it and gives what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, final

import attrs

from ._choosers import Chooser, Given, Shuffled
from ._footprint import Footprint
from ._schedule import Decision, Move

__all__ = ["Reduced", "by_deviations", "by_reduction", "deviations", "minimal", "randomly"]

T = TypeVar("T")
Probe = Callable[[Chooser], T]


def randomly(probe: Probe[T], seed: str, most: int) -> Iterator[tuple[Chooser, T]]:
    """The normal order, and then by chance; the same for the same seed."""
    for number in range(most):
        chooser = Shuffled(f"{seed}/{number}") if number else Chooser()
        yield chooser, probe(chooser)


def by_deviations(probe: Probe[T], most: int | None = None) -> Iterator[tuple[Chooser, T]]:
    """Every schedule, each once, those with fewest choices off the normal order first.

    Args:
        probe: What runs one.
        most: Those with more choices off the normal order are left out.
    """
    level: list[tuple[tuple[int, int], ...]] = [()]
    while level:
        following: list[tuple[tuple[int, int], ...]] = []
        for given in level:
            chooser = Given(dict(given))
            yield chooser, probe(chooser)
            if most is None or len(given) < most:
                first = given[-1][0] + 1 if given else 0
                following += [
                    (*given, (at, number))
                    for at in range(first, len(chooser.decisions))
                    for number in range(1, len(chooser.decisions[at].moves))
                ]
        level = following


def deviations(decisions: Sequence[Decision]) -> dict[int, int]:
    """Where the normal order was left, and for what."""
    return {at: each.chosen for at, each in enumerate(decisions) if each.chosen}


def minimal(probe: Probe[T], failed: Chooser, fails: Callable[[T], bool], budget: int) -> Chooser:
    """A schedule that fails too, with as few choices off the normal order as can be.

    First every choice that is not needed is taken back, for a bound. Then all schedules with fewer are tried, the
    fewest first: the first that fails is minimal. It is so for certain if the budget suffices.

    Args:
        probe: What runs one schedule.
        failed: The one that failed.
        fails: Whether one fails in the same way.
        budget: How many schedules may be run.
    """
    best = failed
    for at in reversed(deviations(failed.decisions)):
        fewer = deviations(best.decisions)
        if fewer.pop(at, None) is None or budget <= 0:
            continue
        budget -= 1
        if (again := _fails(probe, fewer, fails)) is not None:
            best = again
    count = len(deviations(best.decisions))
    for chooser, came in by_deviations(probe, count - 1) if count and budget > 0 else ():
        budget -= 1
        if fails(came):
            return chooser
        if budget <= 0:
            break
    return best


def _fails(probe: Probe[T], given: Mapping[int, int], fails: Callable[[T], bool]) -> Chooser | None:
    chooser = Given(given)
    return chooser if fails(probe(chooser)) else None


# -- all of them, without those that differ in nothing ---------------------------------------------------------------


@final
@attrs.define(eq=False)
class _Node:
    """A point of the tree of schedules.

    Attributes:
        moves: What can happen there.
        asleep: What need not be tried there, because its order with what happened since makes no difference.
        taken: The number of what is being tried.
    """

    moves: tuple[Move, ...]
    asleep: dict[str, Footprint]
    taken: int | None = None
    footprint: Footprint | None = None

    def next(self) -> int | None:
        """The number of what is to be tried next."""
        return next((at for at, move in enumerate(self.moves) if move.key not in self.asleep), None)

    def turn(self) -> bool:
        """What was tried is done with; whether there is more to try."""
        if self.taken is not None:
            self.asleep[self.moves[self.taken].key] = self.footprint or Footprint(everything=True)
            self.taken, self.footprint = self.next(), None
        return self.taken is not None

    def asleep_after(self) -> dict[str, Footprint]:
        """What need not be tried after what is being tried here."""
        done = self.footprint
        return {
            key: footprint
            for key, footprint in self.asleep.items()
            if done is not None and footprint.independent(done)
        }


@final
class _Sleepers(Chooser):
    """Goes down to the end of a path of the tree, and on from there."""

    def __init__(self, path: list[_Node]) -> None:
        super().__init__()
        self._path = path
        self.depth = 0

    def choose(self, moves: Sequence[Move]) -> int | None:
        if self.depth == len(self._path):
            asleep = self._path[-1].asleep_after() if self._path else {}
            node = _Node(tuple(moves), asleep)
            node.taken = node.next()
            self._path.append(node)
        node = self._path[self.depth]
        assert [move.key for move in node.moves] == [move.key for move in moves], (
            "the workflow does not do the same twice"
        )
        self.depth += 1
        if node.taken is not None and len(moves) > 1:
            self.decisions.append(Decision(tuple(moves), node.taken))
        return node.taken

    def happened(self, footprint: Footprint) -> None:
        if self.depth:
            self._path[self.depth - 1].footprint = footprint


@final
@attrs.frozen
class Reduced(Generic[T]):
    """What one path came to; None if it was given up, because it would have been one that was tried."""

    chooser: Chooser
    came: T | None


def by_reduction(probe: Probe[T | None]) -> Iterator[Reduced[T]]:
    """Every schedule but those that differ from another one only in the order of what is independent.

    This is depth-first search with sleep sets (Godefroid, 1996). A probe gives None for a schedule that its chooser
    gave up.
    """
    path: list[_Node] = []
    while True:
        chooser = _Sleepers(path)
        yield Reduced(chooser, probe(chooser))
        del path[chooser.depth :]
        while path and not path[-1].turn():
            path.pop()
        if not path:
            return
