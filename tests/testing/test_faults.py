"""Faults of single steps, of who awaits a run and of its process: tried at each point, told, and repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    Handler,
    HumanResponseEvent,
    InputRequiredEvent,
    RetryPolicy,
    SnapshotError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from stretto.testing import Faults, TestRun, explore
from stretto.undo import UndoError, UndoRecord

BACKENDS = ("asyncio", "trio")
on_both = pytest.mark.parametrize("backend", BACKENDS)


def runs(cls: Any, backend: str, faults: Faults, **options: Any) -> list[TestRun]:
    options = {"mode": "exhaustive", "durations": "any", **options}
    return list(explore(cls, backend=backend, faults=faults, **options).runs(backend))


def told(run: TestRun) -> tuple[object, ...]:
    error = None if run.error is None else type(run.error)
    return run.token, run.explain(), repr(run.value), error, run.faults, tuple(map(type, run.stream))


@pytest.mark.parametrize(
    "faults",
    [
        Faults(cancel_step=True),
        Faults(blocks=True),
        Faults(doubles=True),
        Faults(leave=True),
        Faults(crash=True),
        Faults(cancel_step=True, blocks=True, doubles=True, leave=True, crash=True, raises=OSError, most=2),
    ],
)
def test_every_fault_is_the_same_on_both_backends_and_leaves_nothing(faults: Faults):
    found = [
        runs(Job, backend, faults, mode="random", max_schedules=120, start=StartEvent(n=2))
        for backend in BACKENDS
    ]
    for mine, theirs in zip(*found, strict=True):
        assert told(mine) == told(theirs)
        for run in (mine, theirs):
            assert run.lost_events == run.leaked_tasks == ()
    assert any(run.faults for run in found[0])
    assert found[0][0].faults == ()


class Part(Event):
    n: int


class Done(Event):
    n: int


class Job(Workflow[list[int]]):
    """Does its parts, and counts its clean-ups."""

    def __init__(self) -> None:
        super().__init__(timeout=10)
        self.begun = self.cleaned = 0

    @step
    async def begin(self, ev: StartEvent) -> list[Part]:
        return [Part(n=n) for n in range(ev.n)]

    @step
    async def work(self, ctx: Context, ev: Part) -> Done:
        self.begun += 1
        try:
            await anyio.sleep(1)
            ctx.write_event_to_stream(Done(n=ev.n))
        finally:
            self.cleaned += 1
        return Done(n=ev.n)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[list[int]] | None:
        done = ctx.collect_events(ev, [Done] * 2)
        return StopEvent(result=sorted(each.n for each in done)) if done else None


# -- a step alone --------------------------------------------------------------------------------------------------


class Single(Job):
    @step
    async def begin(self, ev: StartEvent) -> Part:
        return Part(n=1)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[list[int]]:
        return StopEvent(result=[ev.n])


@on_both
def test_a_step_is_cancelled_alone_and_cleans_up_and_that_is_its_error(backend: str):
    found = runs(Single, backend, Faults(cancel_step=True))
    cut = [run for run in found if run.faults]
    assert [run.faults for run in cut] == [("cancel_step",)]
    assert str(cut[0].error).startswith("Job.work (test_faults.py:")
    assert "although nothing was cancelled" in str(cut[0].error)
    assert [run.workflow.cleaned for run in found] == [run.workflow.begun for run in found]
    assert cut[0].moves[-1].words == "work#1 is cancelled, alone, where it waits"


@on_both
def test_a_step_that_is_cancelled_alone_is_tried_again_by_its_policy(backend: str):
    class Again(Single):
        @step(retry_policy=RetryPolicy(attempts=2, on=WorkflowError))
        async def work(self, ctx: Context, ev: Part) -> Done:
            return await Job.work(self, ctx, ev)

    assert {tuple(run.result) for run in runs(Again, backend, Faults(cancel_step=True))} == {(1,)}


@on_both
def test_a_step_that_swallows_its_own_cancellation_goes_on(backend: str):
    class Swallows(Single):
        @step
        async def work(self, ev: Part) -> Done:
            with suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(1)
                return Done(n=1)
            return Done(n=2)

    assert {tuple(run.result) for run in runs(Swallows, backend, Faults(cancel_step=True))} == {(1,), (2,)}


@on_both
def test_what_happens_to_steps_may_be_kept_to_some(backend: str):
    for name in ("cancel_step", "blocks", "doubles"):
        found = runs(Single, backend, Faults(**{name: True, "steps": "work"}))  # type: ignore[arg-type]
        words = [word for run in found for word in _words(run) if re.search("alone|busy|once more", word)]
        assert words
        assert not [word for word in words if "work" not in word]


def _words(run: TestRun) -> list[str]:
    return [move.words for move in run.moves]


@on_both
def test_a_step_that_blocks_goes_on_past_the_limit_and_gives_no_result(backend: str):
    found = [run for run in runs(Single, backend, Faults(blocks=True)) if run.faults]
    assert len(found) >= 6  # before its first line, as it wakes, and before its value is handed on
    assert {type(run.error) for run in found} == {WorkflowTimeoutError}
    assert {run.elapsed for run in found} == {10.0}
    assert any(run.workflow.cleaned == 1 and run.steps("work")[0].value is not None for run in found)


@on_both
def test_an_event_may_come_twice(backend: str):
    class Sums(Single):
        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent[list[int]] | None:
            self.seen = [*getattr(self, "seen", []), ev.n]
            await anyio.sleep(1)
            return StopEvent(result=self.seen)

    found = runs(Sums, backend, Faults(doubles=True))
    assert {tuple(run.result) for run in found} == {(1,), (1, 1)}
    assert any(move.words == "Part(n=1) comes to work once more" for run in found for move in run.moves)


# -- the run, and its process --------------------------------------------------------------------------------------


@on_both
def test_who_awaits_a_run_may_be_cancelled_at_any_point(backend: str):
    found = [run for run in runs(Single, backend, Faults(leave=True)) if run.faults]
    assert {type(run.error) for run in found} == {WorkflowCancelledError}
    assert len(found) == 7
    for run in found:
        assert run.workflow.begun == run.workflow.cleaned


@on_both
def test_a_process_dies_at_any_point_and_another_one_comes_to_the_same(backend: str):
    found = runs(Single, backend, Faults(crash=True, most=2))
    assert {tuple(run.result) for run in found} == {(1,)}
    assert {run.faults for run in found} == {(), ("crash",), ("crash", "crash")}
    assert len(found) > 20
    for run in found:
        assert run.lost_events == run.leaked_tasks == run.leftovers == ()
    words = "the process dies, and another one goes on from its snapshot"
    assert any(move.words == words for run in found for move in run.moves)


@on_both
def test_what_was_kept_on_self_is_lost_in_a_crash_and_found(backend: str):
    class Keeps(Job):
        @step
        async def end(self, ev: Done) -> StopEvent[list[int]] | None:
            self.done = [*getattr(self, "done", []), ev.n]
            return StopEvent(result=sorted(self.done)) if len(self.done) == 2 else None

    explorer = explore(
        Keeps,
        backend=backend,
        start=StartEvent(n=2),
        faults=Faults(crash=True),
        mode="exhaustive",
        durations="virtual",
    )
    with pytest.raises(WorkflowError, match="nothing is left to run") as caught:
        explorer.check(lambda run: run.result)
    note = caught.value.__notes__[-1]
    assert f"on {backend}, 1 choice off the normal order (>):" in note
    assert "the process dies, and another one goes on from its snapshot" in note
    assert ", faults=Faults(crash=True)" in note
    token = note.partition("--stretto-replay=")[2].split()[0]
    for other in BACKENDS:
        again = explore(Keeps, start=StartEvent(n=2), faults=Faults(crash=True), replay=token, backend=other)
        with pytest.raises(WorkflowError, match="nothing is left to run"):
            again.check(lambda run: run.result)


@on_both
def test_an_effect_without_once_happens_again_after_a_crash(backend: str):
    shipped: list[str] = []

    class Ships(Single):
        @step
        async def work(self, ctx: Context, ev: Part) -> Done:
            await (ctx.once("ship", ship) if careful else ship())
            await anyio.sleep(1)
            return Done(n=ev.n)

    async def ship() -> None:
        shipped.append("a parcel")

    most = 0
    for careful in (False, True):
        for _ in explore(Ships, backend=backend, durations="any", faults=Faults(crash=True)).runs(backend):
            most = max(most, len(shipped))
            shipped.clear()
        assert most == (1 if careful else 2)
        most = 0


class Ask(InputRequiredEvent):
    n: int


class Answer(HumanResponseEvent):
    n: int


class Asks(Workflow[int]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
        ctx.write_event_to_stream(Ask(n=1))
        answer = await ctx.wait_for_event(Answer)
        await anyio.sleep(1)
        return StopEvent(result=answer.n)


async def reply(run: Handler[Any]) -> None:
    async for ev in run.stream_events():
        if isinstance(ev, Ask):
            run.send_event(Answer(n=ev.n + 1))
            return


@on_both
def test_who_is_beside_begins_anew_beside_the_next_process(backend: str):
    found = runs(Asks, backend, Faults(crash=True), beside=reply)
    assert {run.result for run in found} == {2}
    asked = {sum(isinstance(ev, Ask) for ev in run.stream) for run in found}  # the streams of both are there
    assert asked == {1, 2}


@on_both
def test_a_clean_up_that_fails_in_a_dead_process_is_nobodys_error(backend: str):
    async def fails(run: Handler[Any]) -> None:
        try:
            await reply(run)
        except anyio.get_cancelled_exc_class():
            raise ValueError("in a dead process") from None

    class Fails(Asks):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            try:
                ctx.write_event_to_stream(Ask(n=1))
                answer = await ctx.wait_for_event(Answer)
                return StopEvent(result=answer.n)
            except anyio.get_cancelled_exc_class():
                raise ValueError("in a dead process") from None

    found = runs(Fails, backend, Faults(crash=True), beside=fails)
    assert {run.result for run in found} == {2}


class Thing:
    """Nothing that a snapshot can have."""


@on_both
def test_a_run_that_has_no_snapshot_cannot_crash_and_says_why(backend: str):
    class Holds(Event):
        thing: Any

    class Odd(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> Holds:
            return Holds(thing=Thing())

        @step
        async def end(self, ev: Holds) -> StopEvent[None]:
            return StopEvent()

    with pytest.raises(SnapshotError) as caught:
        runs(Odd, backend, Faults(crash=True))
    assert caught.value.__notes__ == [
        "Faults(crash=True) takes a snapshot of the run at each point where its process may die"
    ]


def test_a_fault_that_is_none_is_refused():
    with pytest.raises(DefinitionError) as caught:
        Faults(raises=OSError())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == "raises is an exception class that takes no arguments, not OSError()"
    with pytest.raises(DefinitionError) as caught:
        Faults(most=0)
    assert str(caught.value) == "most is a number of faults, 1 or more, not 0"


# -- an undo ---------------------------------------------------------------------------------------------------------


class Trip(Workflow[int]):
    """Books three things and fails; each is given back, and that takes a second."""

    def __init__(self, undo_timeout: float | None = 10) -> None:
        super().__init__(timeout=60, undo_timeout=undo_timeout)
        self.booked: list[int] = []

    async def give_back(self, ev: Part) -> None:
        await anyio.sleep(1)
        self.booked.remove(ev.n)

    @step
    async def begin(self, ev: StartEvent) -> Part:
        return Part(n=0)

    @step(undo=give_back)
    async def book(self, ev: Part) -> Part | Done:
        self.booked.append(ev.n)
        return Part(n=ev.n + 1) if ev.n < 2 else Done(n=ev.n)

    @step
    async def pay(self, ev: Done) -> StopEvent[int]:
        raise LookupError("declined")


UNDOS = Faults(raises=OSError, hangs=True, cancel_step=True, undos=True, steps="give_back", most=3)


def undone(run: TestRun) -> tuple[UndoRecord, ...]:
    return run.error.undone if isinstance(run.error, UndoError) else ()


def numbers(records: Iterable[UndoRecord]) -> list[int]:
    return [record.event.n for record in records if isinstance(record.event, Part)]


@on_both
def test_an_undo_that_fails_is_in_the_error_and_loses_no_other(backend: str):
    found = runs(Trip, backend, UNDOS)
    outcomes: set[tuple[str, ...]] = set()
    for run in found:
        failure = run.error.failure if isinstance(run.error, UndoError) else run.error
        assert isinstance(failure, LookupError)
        assert isinstance(run.error, UndoError) == bool(run.faults)
        assert numbers(undone(run)) == ([2, 1, 0] if run.faults else [])
        kept = numbers(record for record in undone(run) if record.outcome != "done")
        assert set(run.workflow.booked) <= {*kept}
        outcomes.add(tuple(record.outcome for record in undone(run)))
        assert not run.leaked_tasks
    assert {fault for run in found for fault in run.faults} == {"raises", "hangs", "cancel_step"}
    assert ("done", "failed", "done") in outcomes
    assert ("failed", "failed", "failed") in outcomes
    assert ("done", "cut off", "not reached") in outcomes
    assert ("failed", "cut off", "not reached") in outcomes


@on_both
def test_what_an_undo_raised_comes_in_place_of_its_first_line_or_when_it_has_done_all(backend: str):
    found = runs(Trip, backend, Faults(raises=OSError, undos=True, steps="give_back"))
    first = [run for run in found if run.faults and undone(run)[0].outcome == "failed"]
    assert sorted(run.workflow.booked for run in first) == [[], [2]]
    assert {move.words for run in first for move in run.moves if "raises" in move.words} == {
        "give_back, which undoes book, raises OSError in place of beginning",
        "give_back, which undoes book, raises OSError when it has done all",
    }


@on_both
def test_an_undo_that_hangs_is_cut_off_at_the_end_of_its_time_and_never_if_there_is_none(backend: str):
    hangs = Faults(hangs=True, undos=True, steps="give_back")
    found = runs(Trip, backend, hangs)
    assert [run.faults for run in found].count(("hangs",)) == 3
    assert all(any(record.outcome == "cut off" for record in undone(run)) for run in found if run.faults)
    assert [run.faults for run in runs(lambda: Trip(undo_timeout=None), backend, hangs)] == [()]


@on_both
def test_an_undo_that_is_cancelled_alone_has_failed_and_its_clean_up_runs(backend: str):
    class Cleans(Trip):
        cleaned = 0

        async def give_back(self, ev: Part) -> None:
            try:
                await super().give_back(ev)
            finally:
                self.cleaned += 1

        @step(undo=give_back)
        async def book(self, ev: Part) -> Part | Done:
            return await Trip.book(self, ev)

    found = runs(Cleans, backend, Faults(cancel_step=True, undos=True, steps="give_back"))
    cut = [run for run in found if run.faults]
    assert len(cut) == 3
    for run in cut:
        (record,) = [record for record in undone(run) if record.outcome != "done"]
        assert "although nothing was cancelled" in str(record.error)
        assert run.workflow.booked == numbers([record])
        assert run.workflow.cleaned == 3


@on_both
def test_without_faults_that_may_happen_to_undos_there_are_no_more_schedules(backend: str):
    plain = runs(Trip, backend, Faults(raises=OSError))
    others = runs(Trip, backend, Faults(raises=OSError, undos=True, steps=("begin", "book", "pay")))
    assert [run.moves for run in plain] == [run.moves for run in others]
    assert not any("undo" in move.words for run in plain for move in run.moves)


def test_undos_alone_are_no_fault():
    with pytest.raises(DefinitionError, match="and that is nothing; add raises=OSError"):
        Faults(undos=True, crash=True)
    assert repr(UNDOS) == (
        "Faults(raises=OSError, hangs=True, cancel_step=True, undos=True, steps=('give_back',), most=3)"
    )
