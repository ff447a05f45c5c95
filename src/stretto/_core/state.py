"""What a run keeps: owned and changed by one machine, read by the reports.

Everything in here is bounded by live work: what has ended leaves nothing behind but counters.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

from ..events import Event
from .delivery import DeadLetter, Delivery, Hold, Origin
from .plan import Plan
from .waiting import Mailbox, Waiter, Waiters

if TYPE_CHECKING:
    from .alarms import Alarms
    from .flows import Flows
    from .joining import Forks
    from .room import Room
    from .shedding import Row, Shedding
    from .undoing import Undos

__all__ = ["DEAD_LETTERS_KEPT", "WORTH_TELLING", "DeadLetter", "Delivery", "Ended", "RunState"]

DEAD_LETTERS_KEPT = 1_000
WORTH_TELLING = 0.001  # seconds of an attempt


@final
class Ended(enum.Enum):
    """Why a run is over; what came first decides."""

    STOPPED = "it had a result"
    FAILED = "a step had failed"
    TIMED_OUT = "its deadline had passed"
    STALLED = "it was stuck"
    CANCELLED = "it was cancelled"


class RunState:
    """The data of a run; `Machine` adds the transitions.

    Attributes:
        alarm: When a return is looked at closer: never after the deadline, nor later than `WORTH_TELLING` after the
            last look; at once when a step has suspended and goes on. So whoever took as long comes after it: one that
            has suspended is looked at because of that, and while another is at work there is no other look.
        used: For each step, the seconds that its longer attempts took; None if there was none.
        active: Deliveries that are ready or at work, in the order in which they became ready.
        busy: For each step, how many of its workers are taken.
        tally: For each of the plan's ways, how often it was gone; `passages` has the others.
        unequal: For each step, how many more times it was begun than it was given events; None if that is all the same.
        waiting: For each step, the deliveries that wait for one of its workers.
        silent: For each step, how often it returned nothing or an empty list; None if no step ever did.
        asked: The last question for the world outside that no step takes, as is usual.
        feeders: How many there are who may still send from outside: without any, and with nothing active, the
            run is stuck.
        retrying: Deliveries that failed and wait to be tried again. They hold no worker.
        given_up: Events of batches that a failed attempt had taken, and no other one will.
        waiters: The steps that wait in their middle.
        mailbox: What no step takes and nobody waits for, yet.
        room: The room in its queues; None if they have no bound.
        shedding: What waits in its queues, if what is too much is dropped; None if it is not.
        holds: What steps at work wait for, other than events and room.
        in_line: What those wait for that have a worker, and whose bodies have not begun; None if there were none.
        forks: What is live of what steps have sent off; None in a workflow without joins.
        flows: What is held back by the policies of steps; None in a workflow without any.
        detour: Whether an event may have to go another way than to its step: the run is over, somebody waits, or
            there are joins.
        late: What steps returned after the run was decided.
        outlet: Whether what no step takes may be taken by another run.
        crossing: Types that other runs are asked about first.
        leaving: Types that have left, and that nothing but a wait would keep here: they take the short way out.
        hosted: Whether it is one of several runs that are judged together, so that it is never stuck by itself.
        opened: Whether an event has opened it, and nobody waits for its result.
        closes: Whether a StopEvent closes it, and does not end it.
        closed: Whether it has been closed so.
        unfinished: What steps had begun with and did not return from; None if nobody asks for it.
        resumed: In a run that goes on from a snapshot: the deliveries that are given again what they were given.
        undos: What its steps have done and can be undone; None if there was nothing of the kind.
    """

    # What few runs have is set when it comes up, see Driver.
    begun: float
    deadline: float
    feeders: int = 0
    result: object = None
    errors: list[BaseException] | None = None
    verdict: BaseException | None = None
    silent: list[int] | None = None
    asked: Event | None = None
    dead_letters: deque[DeadLetter] | None = None
    retrying: Alarms[Delivery] | None = None
    given_up: list[Event] | None = None
    waiters: Waiters | None = None
    mailbox: Mailbox | None = None
    room: Room | None = None
    shedding: Shedding | None = None
    holds: dict[Hold, None] | None = None
    in_line: dict[Delivery, Hold] | None = None
    forks: Forks[Delivery, Origin] | None = None
    flows: Flows | None = None
    detour = False
    late: list[object] | None = None
    outlet = False
    crossing: frozenset[type] = frozenset()
    leaving: tuple[type, ...] | None = None
    hosted = False
    opened = False
    closes = False
    closed = False
    unfinished: list[Delivery] | None = None
    resumed: list[Delivery] | None = None
    passages: dict[tuple[int | None, type[Event], int | None], int] | None = None
    unequal: list[int] | None = None
    undos: Undos | None = None
    used: list[float] | None = None

    def __init__(self, plan: Plan, begun: float, deadline: float, collect_limit: int) -> None:
        count = len(plan.steps)
        self.plan = plan
        self.begun = begun
        self.deadline = deadline
        alarm = begun + WORTH_TELLING
        self.alarm = alarm if alarm < deadline else deadline  # noqa: FURB136 - in each run; min takes three times as long
        self.collect_limit = collect_limit
        self.active: dict[Delivery, None] = {}
        self.busy = [0] * count
        self.tally = [0] * len(plan.ways)
        self.waiting: list[deque[Delivery | Waiter] | Row[Delivery | Waiter] | None] = [None] * count
        self.ended: Ended | None = None
        if plan.fed:
            self.feeders = 1
        if plan.joins:
            self.detour = True

    def limit(self, deadline: float) -> None:
        """Its time is over then, from now on."""
        self.deadline = deadline
        self.alarm = -math.inf  # the next return sets it

    def look_at(self, delivery: Delivery, at: float) -> None:
        """An attempt has ended: counts its time. Past the deadline it is told as being at work."""
        deadline, started = self.deadline, delivery.started
        self.alarm = min(deadline, at + WORTH_TELLING)
        if started is not None and at - started >= WORTH_TELLING and at < deadline:
            if self.used is None:
                self.used = [0.0] * len(self.busy)
            self.used[delivery.step.index] += at - started

    def has_begun(self, delivery: Delivery) -> bool:
        """Whether the body of a step has begun, which has a worker: it may wait for a turn first."""
        return delivery.started is not None and (self.in_line is None or delivery not in self.in_line)

    @property
    def is_timed(self) -> bool:
        """Whether something waits for its time: another attempt, what is held back, the end of a window."""
        return bool(self.retrying or self.flows) or (self.forks is not None and bool(self.forks.timing))

    def in_queues(self) -> Iterator[Delivery | Waiter]:
        """What waits for a worker, or is held back, step by step."""
        for index, queue in enumerate(self.waiting):
            yield from queue or ()
            if self.flows is not None and index in self.flows.by_step:
                yield from self.flows.by_step[index]
