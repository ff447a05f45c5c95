"""What is dropped, superseded, refused, or waits for quiet, against a model that keeps one list."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.policies import Overflow, Policies, Quiet, Singleton
from stretto._core.state import Delivery
from stretto.events import Event
from tests.core.flowing import Loop
from tests.core.plans import step


class Job(Event):
    n: int
    key: str


KEYS = st.sampled_from("ab")
TIMES = st.integers(0, 12).map(lambda eighths: eighths / 8)


def key_of(event: Any) -> str:
    return str(event.key)


class Model:
    """One step: what waits for quiet, what waits for a worker, what is at work, and what was dropped."""

    def __init__(self, policies: Policies, workers: int) -> None:
        self.policies, self.workers = policies, workers
        self.quiet: list[tuple[float, float, Job]] = []  # due, since, event
        self.queue: list[Job] = []
        self.at_work: list[Job] = []
        self.lost: set[int] = set()  # at work, and superseded
        self.dropped: set[int] = set()
        self.begun: list[int] = []

    def comes(self, job: Job, at: float) -> None:
        quiet = self.policies.quiet
        if quiet is None:
            self.enters(job)
            return
        since = at
        for each in [each for each in self.quiet if each[2].key == job.key]:
            self.quiet.remove(each)
            self.dropped.add(each[2].n)
            since = each[1]
        due = at + quiet.seconds
        if quiet.at_most is not None:
            due = max(at, min(due, since + quiet.at_most))
        self.quiet.append((due, since, job))

    def passes(self, until: float) -> None:
        while due := [each for each in self.quiet if each[0] <= until]:
            first = min(due, key=lambda each: each[0])
            self.quiet.remove(first)
            self.enters(first[2])

    def enters(self, job: Job) -> None:
        same = [each for each in (*self.queue, *self.at_work) if each.key == job.key]
        if same and self.policies.singleton is Singleton.REFUSE:
            self.dropped.add(job.n)
            return
        if self.policies.singleton is Singleton.CANCEL:
            for each in same:
                self.dropped.add(each.n)
                if each in self.queue:
                    self.queue.remove(each)
                else:
                    self.lost.add(each.n)
        self.queue.append(job)
        self.begins()
        if self.policies.overflow is Overflow.LATEST and job in self.queue:
            for each in [each for each in self.queue if each.key == job.key and each is not job]:
                self.queue.remove(each)
                self.dropped.add(each.n)
        size = self.policies.size
        if size is not None and len(self.queue) > size:
            victim = job if self.policies.overflow is Overflow.DROP_NEWEST else self.queue[0]
            self.queue.remove(victim)
            self.dropped.add(victim.n)

    def begins(self) -> None:
        for job in tuple(self.queue):
            busy = any(each.key == job.key for each in self.at_work)
            if len(self.at_work) < self.workers and not (self.policies.singleton and busy):
                self.queue.remove(job)
                self.at_work.append(job)
                self.begun.append(job.n)

    def ends(self, job: Job) -> None:
        self.at_work.remove(job)
        self.lost.discard(job.n)
        self.begins()


class Dropping(RuleBasedStateMachine):
    """One step with some of these policies, told apart by two keys."""

    @initialize(
        workers=st.integers(1, 3),
        quiet=st.sampled_from([None, None, Quiet(seconds=0.5), Quiet(seconds=0.5, at_most=0.75)]),
        singleton=st.sampled_from([None, *Singleton]),
        overflow=st.sampled_from([*Overflow]),
        size=st.sampled_from([None, 1, 2]),
    )
    def begin(
        self,
        workers: int,
        quiet: Quiet | None,
        singleton: Singleton | None,
        overflow: Overflow,
        size: int | None,
    ) -> None:
        if overflow is Overflow.FAIL or (singleton is not None and overflow is Overflow.LATEST):
            overflow, size = Overflow.FAIL, None
        policies = Policies(key=key_of, quiet=quiet, singleton=singleton, overflow=overflow, size=size)
        self.loop = Loop()
        self.run = self.loop.run(step(accepts=(Job,), limit=workers, policies=policies), sources={})
        self.model = Model(policies, workers)
        self.sent = 0

    @rule(key=KEYS)
    def comes(self, key: str) -> None:
        job = Job(n=self.sent, key=key)
        self.sent += 1
        self.model.passes(self.loop.now)
        self.model.comes(job, self.loop.now)
        self.model.passes(self.loop.now)
        self.run.send(job)

    @precondition(lambda self: bool(self.run.at_work))
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        delivery: Delivery = data.draw(st.sampled_from(self.run.at_work))
        self.model.ends(next(each for each in self.model.at_work if each is delivery.event))
        self.run.ends(delivery)

    @rule(seconds=TIMES)
    def passes(self, seconds: float) -> None:
        self.loop.advance(seconds)
        self.model.passes(self.loop.now)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        run, model = self.run, self.model
        begun: list[Any] = [each.event for _, each in run.begun]
        assert [each.n for each in begun] == model.begun
        assert {n for n, _ in run.reasons()} == model.dropped
        assert len(run.letters) == len(model.dropped), "each is told once"
        waiting = sorted(each.n for each in run.waiting)
        assert waiting == sorted([*(each.n for each in model.queue), *(each[2].n for each in model.quiet)])
        lost: list[Any] = [each.event for each in run.at_work if run.machine.is_lost(each)]
        assert {each.n for each in lost} == model.lost

    @invariant()
    def everything_is_somewhere(self) -> None:
        begun = {each.event for _, each in self.run.begun}
        never_begun = {n for n, _ in self.run.reasons()} - {each.n for each in begun if isinstance(each, Job)}
        assert len(begun) + len(never_begun) + len(self.run.waiting) == self.sent

    def teardown(self) -> None:
        """When all has ended nothing of the keys is kept."""
        if not hasattr(self, "loop"):
            return
        while self.run.at_work or self.run.waiting:
            for each in self.run.at_work:
                self.run.ends(each)
            self.loop.advance(1)
        flows = self.run.machine.flows
        assert flows is not None
        assert not flows.lost
        flow = flows.by_step[0]
        kept = [getattr(flow, name) for name in ("_told", "_lanes", "_places", "_seats")]
        assert not any(kept), kept


TestDropping = Dropping.TestCase
