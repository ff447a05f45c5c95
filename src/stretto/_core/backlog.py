"""What the queues with policies of one run have in common: its time, when to look again, and what has come of it.

It knows no inputs and no effects: what has happened is kept until `flowing` makes effects of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .alarms import Alarms
from .delivery import Delivery
from .permits import Lane, Permit

if TYPE_CHECKING:
    from .effects import Resume
    from .room import Room
    from .shedding import Shedding

__all__ = ["Backlog"]


class Backlog:
    """All that is held back in one run, or was.

    Attributes:
        at: The time that the last input told.
        waiting: How much waits in them.
        alarms: The lanes that are to be looked at, and when.
        quiet: What waits until nothing more of its key comes, and how long.
        begun: What has begun and is to be started, or goes on.
        dropped: What never begins, and why.
        superseded: What was taken in and is to be cancelled, and why.
        lost: What was cancelled so, and has not ended.
        broken: Events about which a function of the user's raised an error, and which one that was.
        roused: Lanes of other runs that are the first in their lines, and are to be looked at.
        paused: Whether nothing begins, as the run waits for its turn among those of its workflow.
        wake: Called by the driver of another run for a lane of this one; never by the core.
    """

    __slots__ = (
        "_room", "_shedding", "_timer", "alarms", "at", "begun", "broken", "dropped", "lost", "paused", "quiet",
        "roused", "superseded", "waiting", "wake",
    )  # fmt: skip

    def __init__(
        self, at: float, *, room: Room | None, shedding: Shedding | None, wake: Callable[[Lane], object]
    ) -> None:
        self.at = at
        self.wake = wake
        self.waiting = 0
        self.paused = False
        self.alarms: Alarms[Lane] = Alarms()
        self.quiet: Alarms[Delivery] = Alarms()
        self.begun: deque[Delivery | Resume] = deque()
        self.dropped: deque[tuple[Delivery, str]] = deque() if shedding is None else shedding.dropped
        self.superseded: dict[Delivery, str] = {}
        self.lost: set[Delivery] = set()
        self.broken: deque[tuple[Delivery, BaseException, str]] = deque()
        self.roused: dict[Lane, None] = {}
        self._room = room
        self._shedding = shedding
        self._timer = math.inf  # the earliest that was asked for and has not come

    def see(self, at: float) -> None:
        """Some time has passed."""
        self.at = max(self.at, at)
        if self._timer <= at:
            self._timer = math.inf

    def count(self, more: int) -> None:
        """So much more waits."""
        self.waiting += more
        if self._room is not None:
            self._room.queued += more

    def came(self, delivery: Delivery) -> None:
        """It waits in a queue."""
        self.count(1)
        if self._shedding is not None:
            self._shedding.add(delivery)

    def went(self, delivery: Delivery) -> None:
        """It does so no more."""
        self.count(-1)
        if self._shedding is not None:
            self._shedding.discard(delivery)

    def call(self, permit: Permit) -> None:
        """Something has changed: the first in the line of the permit is to be looked at when one is free."""
        lane = permit.first()
        if lane is None or (when := permit.free_at(self.at)) == math.inf:
            return
        if lane.owner is not self:
            self.roused[lane] = None
            return
        self.alarms.discard(lane)
        self.alarms.set(when, lane)

    def rouse(self, lane: Lane) -> None:
        """Another run has changed something for a lane of this one."""
        if lane.waits_at is not None:
            self.call(lane.waits_at)

    def next_timer(self) -> float | None:
        """When it is to be looked at next, if nobody was told yet."""
        due = min(
            (first[0] for first in (self.alarms.first(), self.quiet.first()) if first is not None),
            default=math.inf,
        )
        if due >= self._timer:
            return None
        self._timer = due
        return due

    @property
    def is_fed(self) -> bool:
        """Whether something goes on in time."""
        return bool(self.alarms) or bool(self.quiet)

    @property
    def has_news(self) -> bool:
        """Whether something has come of it that nobody was told."""
        return bool(self.begun or self.dropped or self.superseded or self.broken)

    def take_roused(self) -> list[Lane]:
        """The lanes of other runs that are to be looked at, once."""
        roused, self.roused = [*self.roused], {}
        return roused

    def take_superseded(self) -> list[tuple[Delivery, str]]:
        """What is to be cancelled, once."""
        superseded, self.superseded = [*self.superseded.items()], {}
        return superseded

    def __bool__(self) -> bool:
        """Whether something is to come of it yet."""
        return bool(self.waiting or self.dropped or self.superseded or self.broken)
