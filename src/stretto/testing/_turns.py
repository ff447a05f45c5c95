"""Lets the steps of a run go on one at a time, in an order that somebody chooses.

Each step waits at a gate before its body begins, when a sleep of it is over, after `Context.wait_for_event`, and before
what it returned is handed on. When everybody waits, there or for something else, one of those at a gate goes on until
everybody waits again; only when nobody is at a gate does time jump. So a run in which steps overlap is a row of pieces
of code, one after the other, and the row is the same whenever the same is chosen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeAlias, cast, final

import anyio

from .._core.state import Delivery
from .._gate import Point
from ..errors import WorkflowError, shown
from ..events import Event
from ._actor import Actor, present
from ._choosers import Chooser
from ._delivered import Delivered
from ._faults import Faults
from ._footprint import Footprint
from ._heap import is_mutable, touch_heap
from ._observer import Observer
from ._place import Chance, Place, Taken
from ._schedule import Move
from ._trouble import Life, Trouble
from ._undoers import undoing
from ._world import World

__all__ = ["Durations", "EndlessError", "Turns"]

Durations: TypeAlias = Literal["virtual", "jitter", "any"]

_BESIDE = "what runs beside"
_JITTER = (1.0, 0.5, 2.0)


@final
class EndlessError(WorkflowError, AssertionError):
    """A run went on and on; it was cancelled."""


@final
class Turns:
    """The gate of one run and of the runs nested in it, and who opens it.

    Attributes:
        observers: What was seen, for each run in the order in which they were made.
        lives: What goes on, after what has died.
        order: The deliveries in the order in which they began.
        taken: The moves that were made.
        given_up: Whether the chooser gave the schedule up.
        error: Why the run was cut short.
        failure: What the chooser raised.
        cancel: Cancels the run.
        begun: When the run began.
    """

    def __init__(
        self,
        world: World,
        chooser: Chooser,
        *,
        durations: Durations,
        faults: Faults | None,
        most_moves: int,
        real_sleep: Callable[[float], Awaitable[object]],
        clock: Callable[[], float],
    ) -> None:
        self.observers: list[Observer] = []
        self.lives: list[Life] = []
        self.order: list[Actor] = []
        self.taken: list[Taken] = []
        self.footprint = Footprint()
        self.given_up = False
        self.error: EndlessError | None = None
        self.failure: Exception | None = None
        self.cancel: Callable[[], object] = lambda: None
        self.begun = clock()
        self._world = world
        self._chooser = chooser
        self._durations = durations
        self._trouble = Trouble(faults or Faults(), world, clock)
        self._most_moves = most_moves
        self._real_sleep = real_sleep
        self._clock = clock
        self._places: dict[Place, None] = {}
        self._arrived: anyio.Event | None = None
        self._numbers: Counter[str] = Counter()
        self._roots: Counter[str] = Counter()
        self._over = False
        self._placed = self._beside = 0

    @property
    def faults(self) -> tuple[str, ...]:
        """The names of the faults that have happened."""
        return tuple(self._trouble.happened)

    # -- the gate --------------------------------------------------------------------------------------------

    def opened(self, run: Any, /) -> None:  # noqa: ANN401 - the driver
        """A run was made: it is watched from here on."""
        if self.observers:  # of another workflow object, which nobody watches
            self.footprint.everything = True
        observer = Observer(run, len(self.observers), lambda: self.footprint)
        self.observers.append(observer)
        life = self.lives[-1]
        life.root = life.root or observer
        life.runs.append(run)
        self._trouble.prepare(run)

    async def __call__(self, run: Any, delivery: Delivery, point: Point, what: object, /) -> None:  # noqa: ANN401
        """Waits for its turn."""
        if point in {"undo", "undone"}:
            await self._undo(delivery.step.name, point, *cast("tuple[str, float]", what))
            return
        observer = next(each for each in self.observers if each.run is run)
        if point == "start":
            await self._start(observer, delivery)
            return
        who = observer.records[delivery]
        if point == "sleep" and isinstance(what, (int, float)):
            await self.sleep(what)
        elif point == "end":
            await self._end(who, what)
        else:
            if isinstance(what, Event):
                observer.was_given(delivery, what)
            await self._wait(who, point, f"{who} goes on with {shown(what)}")

    async def _start(self, observer: Observer, delivery: Delivery) -> None:
        cause, name = present.get(), delivery.step.name
        self._numbers[name] += 1
        made = self._roots if cause is None else cause.made
        made[name] += 1
        seen = Delivered(
            step=name,
            number=self._numbers[name],
            event=delivery.event,
            cause=None if cause is None else cause.seen,
            began=self._clock() - self.begun,
            workflow=observer.machine.plan.name,
        )
        path = f"{'' if cause is None else cause.path}/{name}{made[name]}"
        who = Actor(seen, observer.run, delivery, path, opaque=is_mutable(delivery.event))
        present.set(who)
        self.order.append(who)
        observer.began(delivery, who)
        await self._wait(who, "start", f"{who} begins with {shown(delivery.event)}")
        seen.began = self._clock() - self.begun

    async def _end(self, who: Actor, value: object) -> None:
        """A value that is on its way is not lost to a cancellation: without a gate there would be none here."""
        with anyio.CancelScope(shield=True):
            await self._wait(who, "end", f"{who} returns {shown(value)}")
        who.seen.ended, who.seen.value = self._clock() - self.begun, value

    async def _undo(self, step: str, point: Point, name: str, deadline: float) -> None:
        """An undo begins, or has done all; without faults that may happen to it, it goes its way."""
        if not self._trouble.hits_undo(name):
            return
        if point == "undo":
            undoing.set(self._trouble.undoes(name, step, deadline))
        who = undoing.get()
        assert who is not None, "it has begun"
        words = f"{name} begins to undo {step}" if point == "undo" else f"{name} has undone {step}"
        place = self._place(None, point, words)
        place.move, place.undoer = Move(f"{who.path}:{point}", words), who
        with anyio.CancelScope(shield=True):  # as in `_end`
            await self._wait_at(place, before=False)
        if place.before is not None:
            await place.before()

    async def sleep(self, seconds: float, result: object = None) -> object:
        """Sleeps for as long as the mode says, and waits for its turn."""
        if seconds <= 0 or seconds == math.inf:
            await self._real_sleep(seconds)
            return result
        who = present.get()
        if self._durations == "jitter":
            seconds *= _JITTER[self._factor(who, seconds)]
        place = self._place(who, "wake", f"{who or _BESIDE} wakes, having slept {seconds:.6g} s")
        if self._durations != "any":
            await self._real_sleep(seconds)
        await self._wait_at(place)
        return result

    def _factor(self, who: Actor | None, seconds: float) -> int:
        key = self._key(who, "sleep")
        moves = [
            Move(f"{key}*{factor}", f"{who or _BESIDE} sleeps {seconds * factor:.6g} s") for factor in _JITTER
        ]
        number = self._choose(moves)
        if number:
            self._note(moves[number], moves[0])
        return number or 0

    async def _wait(self, who: Actor, point: str, words: str) -> None:
        await self._wait_at(self._place(who, point, words))

    def _place(self, who: Actor | None, point: str, words: str) -> Place:
        """A place with a name and a number of its own; who wakes first at one instant is the loop's affair."""
        self._placed += 1
        return Place(who, point, Move(self._key(who, point), words), self._placed, anyio.Event())

    def _key(self, who: Actor | None, point: str) -> str:
        if who is not None:
            return who.key(point)
        self._beside += 1
        return f"beside:{point}{self._beside}"

    async def _wait_at(self, place: Place, *, before: bool = True) -> None:
        who, place.round = place.who, len(self.taken)
        if who is not None:
            who.waiting += 1
            if who.waiting > 1:  # it has tasks of its own, and what they are called depends on their order
                self.footprint.everything = who.unknown = True
        self._places[place] = None
        if self._over:
            place.go.set()
        if self._arrived is not None:
            self._arrived.set()
        try:
            await place.go.wait()
        finally:
            self._places.pop(place, None)
            if who is not None:
                who.waiting -= 1
        if before and place.before is not None:
            await place.before()

    # -- who opens it ----------------------------------------------------------------------------------------

    async def direct(self) -> None:
        """Lets one after the other go on, until it is cancelled."""
        while True:
            await self._world.idle()
            self._settle()
            if not self._places:
                self._arrived = anyio.Event()
                await self._arrived.wait()
                self._arrived = None
                continue
            if len(self.taken) >= self._most_moves:
                self.error = EndlessError(self._endless())
            elif not self._let_one_go():
                self.given_up = self.failure is None
            else:
                continue
            self._let_all_go()
            return

    def _let_all_go(self) -> None:
        """The run is cancelled, and nobody chooses any more."""
        self._over = True
        self.cancel()
        for place in self._places:
            place.go.set()

    def _let_one_go(self) -> bool:
        places = sorted(self._places, key=self._since)
        over = next((each for each in places if each.is_too_late), None)
        if over is not None:  # too late for a choice
            places = [over]
        options: list[Place | Chance] = [*places]
        if over is None:
            options += self._trouble.chances(self.lives[-1], places, self.order)
        moves = [each.move for each in options]
        number = self._choose(moves)
        if number is None:
            return False
        self._note(moves[number], moves[0])
        return self._begin_piece(options[number])

    def _choose(self, moves: list[Move]) -> int | None:
        """What is chosen; None if nobody chooses any more. An error of who chooses is none of the run's."""
        if self.failure is not None:
            return None
        try:
            return self._chooser.choose(moves)
        except Exception as error:  # noqa: BLE001 - raised when the run is over
            self.failure = error
            return None

    def _begin_piece(self, one: Place | Chance) -> bool:
        """Somebody goes on, or a fault happens; whether it could."""
        who = one.who
        blind = who is None or who.unknown or isinstance(one, Chance) or len(self.observers) > 1
        self.footprint = Footprint(everything=blind)
        if who is not None and who.opaque:
            touch_heap(self.footprint, who)
        try:
            one.begin()
        except Exception as error:  # noqa: BLE001 - raised when the run is over: a fault that cannot be
            self.failure = error
            return False
        return True

    def _since(self, place: Place) -> tuple[int, int, int]:
        """Who has waited longest: by round, and in one round by the order in which the deliveries became ready."""
        position = (
            -1
        )  # what runs beside comes first: which of its tasks the loop wakes when is no order of ours
        if place.who is not None:
            active, delivery = place.who.run.machine.active, place.who.delivery
            position = next((at for at, each in enumerate(active) if each is delivery), 0)
        return place.round, position, place.number

    def _settle(self) -> None:
        """What went on has come to rest."""
        self._chooser.happened(self.footprint)

    def lost(self, letters: Iterable[Event]) -> tuple[Event, ...]:
        """What was sent in any of the runs, and neither taken, nor kept, nor reported in one. There should be none.

        Args:
            letters: What was reported elsewhere.
        """
        known = {key for each in self.observers for key in each.known()}.union(map(id, letters))
        return tuple(event for each in self.observers for key, event in each.sent.items() if key not in known)

    def streamed(self) -> tuple[Event, ...]:
        """The streams of all lives of a run that is over, one after the other."""
        *before, last = [each.root for each in self.lives] or [None]
        told = [event for each in before if each is not None for event in each.stream]
        return (*told, *(() if last is None else last.streamed()))

    def settle(self) -> None:
        """The run is over, and with it the last piece."""
        self.footprint.everything = True
        self._settle()

    def _note(self, move: Move, normal: Move) -> None:
        instead = None if move is normal else normal.words
        self.taken.append(Taken(move.words, self._clock() - self.begun, instead))

    def _endless(self) -> str:
        often = Counter(each.seen.step for each in self.order).most_common(3)
        told = ", ".join(f"{step} x{count}" for step, count in often)
        return (
            f"the run was not over after {len(self.taken)} moves, and was cancelled; most often begun: {told}; look "
            "for a loop without an end, or allow more with explore(most_moves=…)"
        )
