"""What `collect_events` promises about schedules, workers and ends of runs, on both backends in virtual time.

`tests/core/test_collecting.py` has the claims that need no run. Here a step sends jobs, workers may hesitate before
they collect one and linger afterwards, and something ends the run: the last job, a stop, a failure, a timeout, a
cancellation. Whatever happens, the batches must be those that the model makes of the arrivals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

import anyio
import attrs
import pytest
from hypothesis import given, settings, strategies as st

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from tests import leaks, virtual
from tests.core.models import Collected
from tests.core.plans import ids


class Job(Event):
    """A base that no step takes."""

    life: Life
    number: int
    hesitates: float
    lingers: float


class Red(Job):
    pass


class Green(Job):
    pass


class Blue(Job):
    pass


class End(Event):
    """Ends the run from within."""

    life: Life


Kind: TypeAlias = type[Job]
COLOURS: list[Kind] = [Red, Green, Blue]


class BoomError(Exception):
    pass


@attrs.frozen
class Program:
    """What is expected, what is sent, how long each job hesitates and lingers, and how and when the run ends."""

    expected: list[Kind]
    sent: list[tuple[Kind, float, float]]
    end: str = "last"
    at: float = 0.0


def made(life: Life) -> list[Job]:
    """The jobs of a program."""
    return [
        kind(life=life, number=number, hesitates=hesitates, lingers=lingers)
        for number, (kind, hesitates, lingers) in enumerate(life.program.sent)
    ]


@attrs.define(eq=False, repr=False)
class Life:
    """One run of a program, and what was seen of it."""

    program: Program
    jobs: list[Job] = attrs.Factory(made, takes_self=True)
    begun: list[Job] = attrs.Factory(list)
    arrivals: list[Job] = attrs.Factory(list)
    batches: list[list[Job]] = attrs.Factory(list)
    lingered: int = 0
    left: list[Event] = attrs.Factory(list)
    last: float = 0.0
    over: float = 0.0

    def check(self) -> None:
        """The batches are those that the arrivals make; what else arrived, and what never began, is left over."""
        model = Collected()
        batches = [model.collect(job, self.program.expected) for job in self.arrivals]
        assert [ids(batch) for batch in self.batches] == [
            ids(batch) for batch in batches if batch is not None
        ]
        begun = set(ids(self.begun))
        queued = [id(job) for job in self.jobs if id(job) not in begun]
        left = Counter(id(event) for event in self.left if isinstance(event, Job))
        assert left == Counter(queued) + Counter(ids(model.kept))

    @property
    def shapes(self) -> list[list[Kind]]:
        return [[type(job) for job in batch] for batch in self.batches]


def gatherer(workers: int) -> Workflow[None]:
    """A workflow that collects with so many workers; its runs have all that is theirs in their events."""

    class Gatherer(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Red | Green | Blue | End | StopEvent | None:
            life: Life = ev.life
            if life.program.end in {"stop", "failure"}:
                ctx.send_event(End(life=life))
            for job in life.jobs:
                ctx.send_event(job)
            return None if life.jobs else StopEvent()

        @step(num_workers=workers)
        async def gather(self, ctx: Context, ev: Red | Green | Blue) -> StopEvent | None:
            life = ev.life
            life.begun.append(ev)
            life.last = anyio.current_time()
            if ev.hesitates:
                await anyio.sleep(ev.hesitates)
            life.arrivals.append(ev)
            batch = ctx.collect_events(ev, life.program.expected)
            if batch is not None:
                life.batches.append(batch)
            if ev.lingers:
                await anyio.sleep(ev.lingers)
            life.lingered += 1
            return StopEvent() if life.lingered == len(life.jobs) else None

        @step
        async def end(self, ev: End) -> StopEvent:
            await anyio.sleep(ev.life.program.at)
            if ev.life.program.end == "failure":
                raise BoomError
            return StopEvent()

    return Gatherer(timeout=None)


async def live(workflow: Workflow[None], program: Program) -> Life:
    """Runs the program to its end, whichever that is."""
    life = Life(program)
    run = workflow.run(life=life)
    with anyio.move_on_after(program.at if program.end == "caller" else None):
        if program.end == "cancel":
            async with run:
                await anyio.sleep(program.at)
                await run.cancel()
        else:
            with suppress({"failure": BoomError, "timeout": TimeoutError}.get(program.end, ())):
                await run
    life.over = anyio.current_time()
    life.left = list(run.leftovers)
    life.check()
    return life


def ran(program: Program, workers: int, backend: str) -> Life:
    async def main() -> Life:
        before = leaks.Before()
        workflow = gatherer(workers)
        if program.end == "timeout":
            workflow = type(workflow)(timeout=program.at)
        life = await live(workflow, program)
        before.check()
        return life

    return virtual.run(main, backend=backend)


pytestmark = pytest.mark.timeout(600)  # to make a failing program small takes its time
both_backends = pytest.mark.parametrize("backend", virtual.BACKENDS)
fewer = settings(max_examples=settings().max_examples // 2, deadline=None)  # a run takes longer than a call
seconds = st.integers(0, 3)
some_workers = st.integers(1, 4)
ENDS = ["stop", "failure", "timeout", "cancel", "caller"]


@st.composite
def programs(draw: st.DrawFn, *, ends: Sequence[str] = ("last",), hesitating: bool = True) -> Program:
    """Jobs of the expected types; an end from outside falls between two things that the jobs do."""
    expected = draw(st.lists(st.sampled_from(COLOURS), min_size=1, max_size=4))
    hesitates = seconds if hesitating else st.just(0)
    return Program(
        expected,
        draw(st.lists(st.tuples(st.sampled_from(expected), hesitates, seconds), max_size=12)),
        end=draw(st.sampled_from([*ends])),
        at=draw(st.integers(0, 12)) + 0.5,
    )


@both_backends
@given(program=programs(), workers=some_workers)
@fewer
def test_the_number_of_workers_changes_nothing_but_the_order_of_arrival(
    program: Program, workers: int, backend: str
):
    alone, life = ran(program, 1, backend), ran(program, workers, backend)
    assert [job.number for job in alone.arrivals] == list(range(len(program.sent)))
    assert sorted(job.number for job in life.arrivals) == list(range(len(program.sent)))
    assert life.shapes == alone.shapes
    assert Counter(type(event) for event in life.left) == Counter(type(event) for event in alone.left)


@both_backends
@given(
    program=programs(hesitating=False),
    workers=some_workers,
    lingers=st.lists(seconds, min_size=12, max_size=12),
)
@fewer
def test_with_one_order_of_arrival_the_outcome_is_the_same_for_every_schedule(
    program: Program, workers: int, lingers: list[int], backend: str
):
    other = attrs.evolve(
        program, sent=[(kind, 0, longer) for (kind, _, _), longer in zip(program.sent, lingers, strict=False)]
    )
    outcomes = [
        [[job.number for job in batch] for batch in life.batches]
        for life in (ran(program, 1, backend), ran(program, workers, backend), ran(other, workers, backend))
    ]
    assert outcomes == outcomes[:1] * 3


@both_backends
@given(
    expected=st.permutations(COLOURS),
    sent=st.permutations(COLOURS).flatmap(
        lambda kinds: st.tuples(*[st.tuples(st.just(kind), seconds, seconds) for kind in kinds])
    ),
    workers=some_workers,
)
@fewer
def test_one_event_of_each_type_makes_exactly_one_batch_whatever_the_schedule(
    expected: list[Kind], sent: tuple[tuple[Kind, int, int], ...], workers: int, backend: str
):
    life = ran(Program(expected, [*sent]), workers, backend)
    assert life.shapes == [expected]
    assert life.left == []


@both_backends
@given(program=programs(ends=ENDS), workers=some_workers)
@fewer
def test_a_step_that_is_cut_has_collected_or_has_not_and_never_by_half(
    program: Program, workers: int, backend: str
):
    """Each event is in one place: taken by a batch, left over, or with a step that was cut before it collected."""
    life = ran(program, workers, backend)
    taken = [id(job) for batch in life.batches for job in batch]
    arrived = set(ids(life.arrivals))
    cut = [id(job) for job in life.begun if id(job) not in arrived]
    left = [id(event) for event in life.left if isinstance(event, Job)]
    assert sorted(taken + cut + left) == sorted(ids(life.jobs))


@both_backends
@given(program=programs(ends=ENDS), workers=some_workers)
@fewer
def test_when_a_run_ends_half_collected_nothing_is_delivered_any_more(
    program: Program, workers: int, backend: str
):
    """What is half collected is left over, which `Life.check` looks at after every run."""
    life = ran(program, workers, backend)
    assert life.last <= life.over <= program.at
    assert life.over == program.at or life.lingered == len(life.jobs)


@both_backends
@given(one=programs(), two=programs(), workers=some_workers)
@fewer
def test_two_runs_of_one_workflow_at_once_share_no_buffer(
    one: Program, two: Program, workers: int, backend: str
):
    together: dict[int, Life] = {}

    async def run(workflow: Workflow[None], number: int, program: Program) -> None:
        together[number] = await live(workflow, program)

    async def main() -> None:
        workflow = gatherer(workers)
        async with anyio.create_task_group() as tg:
            for number, program in enumerate((one, two)):
                tg.start_soon(run, workflow, number, program)

    virtual.run(main, backend=backend)
    for number, program in enumerate((one, two)):
        alone = ran(program, workers, backend)
        assert together[number].shapes == alone.shapes
        assert all(job.life is together[number] for batch in together[number].batches for job in batch)
