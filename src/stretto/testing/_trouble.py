"""What may go wrong next in a run that is explored, and how it does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, final

import anyio
import attrs

from .._core.joined import Joined
from .._step_spec import StepSpec
from ..errors import add_note, shown
from ..snapshots import write_snapshot
from ._actor import Actor, present
from ._cuttable import cuttable
from ._faults import Faults
from ._observer import Observer
from ._place import Chance, Place
from ._schedule import Move
from ._undoers import Undoer, cuttable_undo
from ._world import World

__all__ = ["Life", "Trouble"]


@final
@attrs.define(eq=False)
class Life:
    """A run from its beginning to its end, or to the death of its process.

    Attributes:
        leave: Cancels who awaits the run.
        root: The run, once it was made, and not one of those that it nests or causes.
        runs: The run, and those.
        saved: What was left of it when its process died.
    """

    leave: Callable[[], object]
    root: Observer | None = None
    runs: list[Any] = attrs.field(factory=list[Any])
    saved: Any = None


@final
class Trouble:
    """The faults of one run.

    Attributes:
        happened: Those that have happened, by their names in `Faults`.
    """

    def __init__(self, faults: Faults, world: World, clock: Callable[[], float]) -> None:
        self.happened: list[str] = []
        self._faults = faults
        self._world = world
        self._clock = clock
        self._undoers: list[Undoer] = []

    def chances(self, life: Life, places: list[Place], order: Iterable[Actor]) -> list[Chance]:
        """What could happen now.

        Args:
            life: What it could happen to.
            places: Where somebody waits.
            order: The steps that have begun.
        """
        root = life.root
        if not self._faults.any or len(self.happened) >= self._faults.most or root is None:
            return []
        undone = [chance for place in places if place.undoer for chance in self._at_undo(place, place.undoer)]
        undone += (self._cut_undo(who) for who in self._undoers if who.can_be_cut)
        if root.machine.ended is not None:
            return undone
        return [
            *undone,
            *(chance for place in places for chance in self._at(place, root)),
            *(self._cut(who) for who in order if self._faults.cancel_step and who.can_be_cut),
            *(self._of_run(fault, life, root) for fault in self._faults.of_run if _is_possible(fault, root)),
        ]

    def _at(self, place: Place, root: Observer) -> Iterator[Chance]:
        """What could happen to who waits there."""
        who, faults = place.who, self._faults
        if who is None or not faults.may_hit(who.seen.step):
            return
        starts = place.point == "start"
        if faults.raises is not None and (starts or place.point == "end"):
            when = "in place of beginning" if starts else "in place of returning"
            words = f"{who} raises {faults.raises.__name__} {when}"
            yield self._before(place, "raises", words, partial(_raise, faults.raises))
        if faults.hangs and starts:
            yield self._before(place, "hangs", f"{who} hangs", anyio.sleep_forever)
        if faults.blocks and root.machine.deadline < math.inf:
            words = f"{place.move.words}, and keeps the loop busy until the time limit of the run is over"
            yield self._before(place, "blocks", words, partial(self._block, root))
        if faults.doubles and starts and not isinstance(who.delivery.event, Joined):
            words = f"{shown(who.delivery.event)} comes to {who.seen.step} once more"
            yield self._chance("doubles", place, words, partial(_send_again, who))

    def _at_undo(self, place: Place, who: Undoer) -> Iterator[Chance]:
        """What could happen to an undo that waits there."""
        faults, starts = self._faults, place.point == "undo"
        if faults.raises is not None:
            when = "in place of beginning" if starts else "when it has done all"
            words = f"{who} raises {faults.raises.__name__} {when}"
            yield self._before(place, "raises", words, partial(_raise, faults.raises))
        if faults.hangs and starts and who.is_limited:
            yield self._before(place, "hangs", f"{who} hangs", anyio.sleep_forever)

    def _cut_undo(self, who: Undoer) -> Chance:
        assert who.scope is not None, "it can be cut"
        move = Move(f"{who.path}!cancel_step", f"{who} is cancelled, alone, where it waits", fault=True)
        return Chance("cancel_step", move, None, self._noted("cancel_step", who.scope.cancel))

    def _chance(self, fault: str, place: Place, words: str, begin: Callable[[], object]) -> Chance:
        move = Move(f"{place.move.key}!{fault}", words, fault=True)
        return Chance(fault, move, place.who, self._noted(fault, begin))

    def _before(self, place: Place, fault: str, words: str, does: Callable[[], Any]) -> Chance:
        def begin() -> None:
            place.before = does
            place.begin()

        return self._chance(fault, place, words, begin)

    def _noted(self, fault: str, begin: Callable[[], object]) -> Callable[[], object]:
        def happens() -> None:
            self.happened.append(fault)
            begin()

        return happens

    # -- a step alone ----------------------------------------------------------------------------------------

    def prepare(self, run: Any) -> None:  # noqa: ANN401 - the driver
        """Has each step, and undo, that may be cancelled alone called in a scope of its own."""
        if self._faults.cancel_step:
            run.specs = tuple(map(self._prepared, run.specs))

    def _prepared(self, spec: StepSpec) -> StepSpec:
        fields: dict[str, Any] = {}
        if not spec.threaded and self._faults.may_hit(spec.name):
            fields["call"] = cuttable(spec.call, present.get)
        undo = spec.undoing
        if undo is not None and not undo.threaded and self.hits_undo(undo.name):
            fields["undoing"] = cuttable_undo(undo)
        return StepSpec(**{**vars(spec), **fields}) if fields else spec

    # -- an undo -----------------------------------------------------------------------------------------------

    def hits_undo(self, name: str) -> bool:
        """Whether something may happen to this undo."""
        return self._faults.undos and self._faults.may_hit(name)

    def undoes(self, name: str, step: str, deadline: float) -> Undoer:
        """An undo begins."""
        path = f"undo:{name}{len(self._undoers) + 1}"
        who = Undoer(name, step, path, is_limited=deadline < math.inf)
        self._undoers.append(who)
        return who

    def _cut(self, who: Actor) -> Chance:
        assert who.scope is not None, "it can be cut"
        move = Move(f"{who.path}!cancel_step", f"{who} is cancelled, alone, where it waits", fault=True)
        return Chance("cancel_step", move, who, self._noted("cancel_step", who.scope.cancel))

    # -- the run ---------------------------------------------------------------------------------------------

    def _of_run(self, fault: str, life: Life, root: Observer) -> Chance:
        known: dict[str, tuple[str, Callable[[], object]]] = {
            "cancel": ("the run is cancelled", partial(root.run.cancel, "by a fault")),
            "timeout": ("the time limit of the run passes", partial(self._pass_limit, root)),
            "leave": ("who awaits the run is cancelled", life.leave),
            "crash": ("the process dies, and another one goes on from its snapshot", partial(_die, life)),
        }
        words, begin = known[fault]
        return Chance(fault, Move(fault, words, fault=True), None, self._noted(fault, begin))

    def _pass_limit(self, root: Observer) -> None:
        self._world.jump(max(0.0, root.machine.deadline - self._clock()))

    async def _block(self, root: Observer) -> None:
        self._pass_limit(root)


def _is_possible(fault: str, root: Observer) -> bool:
    return fault != "timeout" or root.machine.deadline != math.inf


async def _raise(error: type[Exception]) -> None:  # noqa: ASYNC124 - as who hangs
    raise error()


def _send_again(who: Actor) -> None:
    who.run.send_from_outside(who.delivery.event, who.delivery.step.name, who.run.member)


def _die(life: Life) -> None:
    """Nothing is left of the run but its snapshot, as the text that a process would have written."""
    assert life.root is not None, "only what was made dies"
    try:
        life.saved = json.loads(json.dumps(write_snapshot(life.root.run, ()), allow_nan=False))
    except Exception as error:
        add_note(
            error, "Faults(crash=True) takes a snapshot of the run at each point where its process may die"
        )
        raise
    for run in life.runs:
        run.undoes = False  # another process goes on with what was done
    life.leave()
