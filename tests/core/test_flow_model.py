"""What is held back: whatever comes, nothing begins too early, and nothing waits that could begin.

The model says so with lists and sums: who is at work, when what has begun, and what is left in a bucket.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.policies import Policies
from stretto._core.state import Delivery
from stretto.events import Event
from tests.core.flowing import Held, Loop, seats, tokens
from tests.core.plans import step


class Job(Event):
    n: int
    host: str
    urgency: int = 0


HOSTS = st.sampled_from("abc")
TIMES = st.integers(0, 12).map(lambda eighths: eighths / 8)


def host(event: Any) -> Hashable:
    return event.host


def urgency(event: Any) -> int:
    return int(event.urgency)


class Tokens:
    """A bucket that is refilled, for each key."""

    def __init__(self, interval: float, burst: int) -> None:
        self.interval, self.burst = interval, burst
        self.levels: dict[Hashable, tuple[float, float]] = {}

    def level(self, key: Hashable, at: float) -> float:
        level, since = self.levels.get(key, (float(self.burst), 0.0))
        return min(self.burst, level + (at - since) / self.interval)

    def take(self, key: Hashable, at: float) -> None:
        level = self.level(key, at)
        assert level >= 1, "it began before there was a token"
        self.levels[key] = level - 1, at


class HoldingBack(RuleBasedStateMachine):
    """Two runs that share a rate and a limit; of each, one step with two workers."""

    @initialize(
        interval=st.sampled_from([0.25, 0.5, 1.0]),
        burst=st.integers(1, 3),
        most=st.integers(1, 2),
        keyed=st.tuples(st.booleans(), st.booleans()),
        ranked=st.booleans(),
        workers=st.integers(1, 3),
    )
    def begin(  # noqa: PLR0917 - hypothesis fills them by name
        self,
        interval: float,
        burst: int,
        most: int,
        keyed: tuple[bool, bool],
        ranked: bool,
        workers: int,
    ) -> None:
        self.loop = Loop()
        self.model = Tokens(interval, burst)
        self.most, self.workers, self.ranked = most, workers, ranked
        self.rate_key = host if keyed[0] else None
        self.limit_key = host if keyed[1] else None
        self.rate, self.limit = tokens(interval, burst), seats(most)
        policies = Policies(permits=(self.limit_key, self.rate_key), priority=urgency if ranked else None)
        self.runs: list[Held] = [
            self.loop.run(
                step(accepts=(Job,), limit=workers, policies=policies), sources={0: [self.limit, self.rate]}
            )
            for _ in range(2)
        ]
        self.sent: dict[Held, list[Job]] = defaultdict(list)
        self.ended: dict[Held, list[Delivery]] = defaultdict(list)
        self.checked: dict[Held, int] = defaultdict(int)

    # -- rules -----------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), where=HOSTS, how=st.integers(0, 2))
    def sends(self, which: int, where: str, how: int) -> None:
        run = self.runs[which]
        job = Job(n=len(self.sent[run]), host=where, urgency=how)
        self.sent[run].append(job)
        run.send(job)

    @precondition(lambda self: any(run.at_work for run in self.runs))
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        choices = [(run, each) for run in self.runs for each in run.at_work]
        run, delivery = data.draw(st.sampled_from(choices))
        self.ended[run].append(delivery)
        run.ends(delivery)

    @rule(seconds=TIMES)
    def passes(self, seconds: float) -> None:
        self.loop.advance(seconds)

    # -- invariants ------------------------------------------------------------------------------------------

    def _key(self, key: Any, event: Any) -> Hashable:
        return None if key is None else key(event)

    @invariant()
    def nothing_begins_too_early(self) -> None:
        began = sorted(
            (at, run.loop.runs.index(run), number, each)
            for run in self.runs
            for number, (at, each) in enumerate(run.begun[self.checked[run] :])
        )
        for at, *_, delivery in began:
            self.model.take(self._key(self.rate_key, delivery.event), at)
        for run in self.runs:
            self.checked[run] = len(run.begun)
            assert len(run.at_work) <= self.workers
        taken: dict[Hashable, int] = defaultdict(int)
        for run in self.runs:
            for each in run.at_work:
                taken[self._key(self.limit_key, each.event)] += 1
        assert all(count <= self.most for count in taken.values())

    @invariant()
    def nothing_waits_that_could_begin(self) -> None:
        taken: dict[Hashable, int] = defaultdict(int)
        for run in self.runs:
            for each in run.at_work:
                taken[self._key(self.limit_key, each.event)] += 1
        for run in self.runs:
            if len(run.at_work) == self.workers:
                continue
            for event in run.waiting:
                full = taken[self._key(self.limit_key, event)] == self.most
                spent = self.model.level(self._key(self.rate_key, event), self.loop.now) < 1
                assert full or spent, f"{event} waits for nothing"

    @invariant()
    def of_a_key_they_begin_in_order(self) -> None:
        for run in self.runs:
            for at in "abc":
                waiting = [event for event in run.waiting if event.host == at]
                for priority in range(3) if self.ranked else [None]:
                    events: list[Any] = [each.event for _, each in run.begun]
                    begun = [
                        event.n for event in events if event.host == at and priority in {None, event.urgency}
                    ]
                    rest = [event.n for event in waiting if priority in {None, event.urgency}]
                    assert begun == sorted(begun)
                    assert not rest or not begun or min(rest) > begun[-1]

    @invariant()
    def nothing_is_lost(self) -> None:
        for run in self.runs:
            there = [each.event for _, each in run.begun] + run.waiting
            assert sorted(map(id, there)) == sorted(map(id, self.sent[run]))
            flows = run.machine.flows
            assert flows is not None
            assert flows.waiting == len(run.waiting)

    def teardown(self) -> None:
        """When all has ended and the buckets are full, nothing of the keys is kept."""
        if not hasattr(self, "loop"):
            return
        for _ in range(1_000):
            if not any(run.at_work or run.waiting for run in self.runs):
                break
            for run in self.runs:
                for each in run.at_work:
                    run.ends(each)
            self.loop.advance(0.25)
        else:
            raise AssertionError("something waits for ever")
        self.loop.advance(100)
        for permits in (self.rate, self.limit):
            permits.let_go(permits.of("another", self.loop.now), self.loop.now)
            assert len(permits) == 0, "a key that nobody uses is kept"


TestHoldingBack = HoldingBack.TestCase
