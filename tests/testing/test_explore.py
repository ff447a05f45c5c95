"""`explore`: what is tried, what a test sees of it, how a failure is told and repeated; the same on both backends."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
from hypothesis import strategies as st

from stretto import (
    Context,
    DefinitionError,
    Event,
    Handler,
    HumanResponseEvent,
    InputRequiredEvent,
    RetryPolicy,
    RunEndedError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto.retry import fixed
from stretto.testing import Deadlock, Faults, TestRun, explore
from stretto.testing._agreeing import DisagreementError
from stretto.testing._explorer import IncompleteError
from stretto.testing._schedule import StaleTokenError
from stretto.testing._turns import EndlessError
from tests.projects import run_pytest

BACKENDS = ("asyncio", "trio")


class Add(Event):
    n: int


class Added(Event):
    n: int


class Counter(Workflow[int]):
    """Loses updates: it reads, sleeps and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @step
    async def begin(self, ev: StartEvent) -> list[Add]:
        return [Add(n=1), Add(n=2)]

    @step
    async def add(self, ev: Add) -> Added:
        self.total += ev.n
        seen = self.total
        await anyio.sleep(ev.n)
        self.total = seen
        return Added(n=ev.n)

    @step
    async def end(self, ctx: Context, ev: Added) -> StopEvent[int] | None:
        return StopEvent(result=self.total) if ctx.collect_events(ev, [Added] * 2) else None


def runs(cls: Any, backend: str, **options: Any) -> list[TestRun]:
    return list(explore(cls, backend=backend, **options).runs(backend))


def test_runs_are_the_same_on_both_backends():
    one, other = (runs(Counter, backend, durations="any", max_schedules=40) for backend in BACKENDS)
    for mine, theirs in zip(one, other, strict=True):
        assert (mine.token, mine.explain(), mine.result) == (theirs.token, theirs.explain(), theirs.result)
    assert len({run.token for run in one}) > 20


@pytest.mark.parametrize("backend", BACKENDS)
def test_durations_as_written_let_only_ties_vary(backend: str):
    assert {run.result for run in runs(Counter, backend, mode="exhaustive")} == {2, 3}  # both begin at once
    assert {run.elapsed for run in runs(Counter, backend)} == {2.0}
    assert {run.result for run in runs(Counter, backend, durations="jitter", mode="exhaustive")} == {1, 2, 3}
    assert {run.result for run in runs(Counter, backend, durations="any", mode="exhaustive")} == {1, 2, 3}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failure_is_told_in_as_few_choices_as_can_be_with_all_that_repeats_it(backend: str):
    @explore(Counter, durations="any", backend=backend)
    def test_it(run: TestRun) -> None:
        assert run.result == 3

    with pytest.raises(AssertionError) as caught:
        test_it()
    (note,) = caught.value.__notes__
    said = textwrap.dedent(note)
    assert said.startswith(f"Counter gave 1 on {backend}, 1 choice off the normal order (>):\n")
    assert said.count("> ") == 1
    token = said.partition("--stretto-replay=")[2].split()[0]
    assert said.endswith(
        f"once more: pytest -p stretto.testing.plugin --stretto-replay={token}\n"
        "as a test of its own:\n"
        f"    @explore(Counter, durations='any', replay=\"{token}\")\n"
        "    def test_it_again(run):\n"
        "        test_it.on(run)"
    )
    for other in BACKENDS:
        again = explore(Counter, durations="any", replay=token, backend=other)
        with pytest.raises(AssertionError) as repeated:
            again.check(test_it.on)  # type: ignore[attr-defined]
        assert f"in the schedule {token}, on {other}:\n" in repeated.value.__notes__[0]


@pytest.mark.parametrize(
    ("durations", "says"),
    [
        ("virtual", "in the normal order"),
        ("jitter", "in the normal order"),
        ("any", "with who has waited longest first, however long it sleeps"),
    ],
)
def test_a_failure_without_a_choice_says_what_order_that_is(durations: Any, says: str):
    with pytest.raises(AssertionError) as caught:
        explore(Counter, durations=durations, backend="asyncio").check(_refuse)
    assert caught.value.__notes__[0].startswith("Counter gave ")
    assert f" on asyncio, {says}:\n" in caught.value.__notes__[0]


def _refuse(run: TestRun) -> None:
    raise AssertionError(run)


def test_a_test_keeps_its_name_its_doc_and_its_other_parameters():
    seen: list[tuple[str, int]] = []

    @explore(Counter, max_schedules=2)
    def test_it(run: TestRun, more: int) -> None:
        """Its doc."""
        seen.append((run.backend, more))

    assert (test_it.__name__, test_it.__doc__) == ("test_it", "Its doc.")
    test_it(more=7)
    assert seen == [("asyncio", 7)] * 2 + [("trio", 7)] * 2


def test_exhaustive_search_says_that_it_is_complete_and_fails_if_it_is_not():
    complete = explore(Counter, durations="any", mode="exhaustive", backend="asyncio")
    complete.check(lambda run: None)
    explored = complete.explored["asyncio"]
    assert explored.complete
    assert explored.coverage.steps == {"begin", "add", "end"}
    assert explored.coverage.edges == {(None, "begin"), ("begin", "add"), ("add", "end")}
    few = explore(
        Counter, durations="any", mode="exhaustive", max_schedules=3, reduce=False, backend="asyncio"
    )
    with pytest.raises(IncompleteError) as caught:
        few.check(lambda run: None)
    assert str(caught.value) == (
        "Counter has more than 3 schedules (no schedule could be left out: reduce=False); allow more with "
        "max_schedules=, give it less to do, or try some with mode='random'"
    )
    assert not few.explored["asyncio"].complete


def test_outcomes_are_told_with_a_schedule_for_each():
    outcomes = explore(Counter, durations="any", mode="exhaustive", backend="asyncio").outcomes()
    assert {each.said for each in outcomes} == {"1", "2", "3"}
    assert len(outcomes) == 3
    first, *lines = str(outcomes).splitlines()
    assert first.startswith("3 outcomes in ")
    assert first.endswith(" schedules (durations='any')")
    assert all(" e.g. replay='s1-a" in line for line in lines)


# -- what a test sees ----------------------------------------------------------------------------------------------


class Question(InputRequiredEvent):
    pass


class Answer(HumanResponseEvent):
    pass


class Note(Event):
    pass


class Everything(Workflow[str]):
    """Sends what nobody takes, waits, writes to the stream, and leaves an event in a queue."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Add]:
        ctx.write_event_to_stream(Note())
        ctx.send_event(Note())
        return [Add(n=1), Add(n=2)]

    @step(num_workers=1)
    async def wait(self, ctx: Context, ev: Add) -> StopEvent[str]:
        await ctx.wait_for_event(Answer, waiter_event=Question())
        return StopEvent(result=f"by {ev.n}")


async def answer(run: Handler[Any]) -> None:
    await anyio.sleep(1)
    run.send_event(Answer())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_test_sees_all_there_is_of_a_run(backend: str):
    run, *_ = runs(Everything, backend, beside=answer, max_schedules=1)
    assert run.result == "by 1"
    assert run.error is None
    assert [type(ev) for ev in run.stream] == [Note, Question, Question, StopEvent]
    begin, first, second = run.deliveries
    assert [str(each) for each in run.deliveries] == ["begin#1", "wait#1", "wait#2"]
    assert (begin.cause, first.cause, second.cause) == (None, begin, begin)
    assert first.value == StopEvent(result="by 1")
    assert (first.ended, second.ended) == (1.0, None)
    assert [type(letter.event) for letter in run.dead_letters] == [Note]
    assert run.lost_events == ()
    assert run.leaked_tasks == ()
    assert run.elapsed == 1.0
    assert run.backend == backend
    assert run.start is None
    assert isinstance(run.workflow, Everything)
    assert run.happens_before("begin", first)
    assert not run.happens_before(first, second)
    assert repr(run) == f"<TestRun of Everything on {backend}: result='by 1', token={run.token}>"
    assert repr(first) == "<wait#1 of Add(n=1)>"
    with pytest.raises(Exception, match=r"that step ran 2 times; give one of run.steps\('wait'\)"):
        run.happens_before("begin", "wait")


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_collected_happened_before(backend: str):
    for run in runs(Counter, backend, durations="any", max_schedules=10):
        one, other = run.steps("end")
        assert run.happens_before(run.deliveries[0], other)
        assert run.happens_before(one, other)
        assert not run.happens_before(other, one)
        assert not run.happens_before(*run.steps("add"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_waited_for_happened_before(backend: str):
    class Ready(Event):
        pass

    class Waits(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Add]:
            return [Add(n=1), Add(n=2)]

        @step
        async def either(self, ctx: Context, ev: Add) -> StopEvent[None] | None:
            if ev.n == 1:
                await ctx.wait_for_event(Ready)
                return StopEvent()
            ctx.send_event(Ready())
            return None

    for run in runs(Waits, backend, durations="any"):
        waiter, sender = sorted(run.steps("either"), key=lambda each: each.event.n)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        assert run.happens_before(sender, waiter)
        assert not run.happens_before(waiter, sender)


class Joins(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Add]:
        return [Add(n=1), Add(n=2)]

    @step
    async def add(self, ev: Add) -> Added:
        await anyio.sleep(ev.n)
        return Added(n=ev.n)

    @step
    async def end(self, evs: list[Added]) -> StopEvent[int]:
        return StopEvent(result=sum(ev.n for ev in evs))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_joined_happened_before_and_is_not_lost(backend: str):
    for run in runs(Joins, backend, durations="any", max_schedules=20):
        assert run.result == 3
        assert run.lost_events == ()
        assert all(run.happens_before(each, "end") for each in run.steps("add"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_error_of_a_run_is_kept_and_comes_out_of_its_result(backend: str):
    class Fails(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            raise ValueError("no")

    run, *_ = runs(Fails, backend, max_schedules=1)
    assert isinstance(run.error, ValueError)
    assert isinstance(run.deliveries[0].error, ValueError)
    with pytest.raises(ValueError, match="no"):
        _ = run.result


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_never_ends_is_ended_and_told(backend: str):
    class Stuck(Workflow[None]):
        def __init__(self) -> None:
            super().__init__(timeout=None)

        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            await anyio.Event().wait()
            return StopEvent()

    class Round(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> Add:
            return Add(n=1)

        @step
        async def again(self, ev: Add) -> Add | StopEvent[None]:
            return ev if ev.n else StopEvent()

    class Quiet(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None] | None:
            return StopEvent() if not ev else None

    errors = [runs(each, backend, max_schedules=1)[0].error for each in (Stuck, Round, Quiet)]
    assert re.search(r"test_explore.py:\d+ begin", str(errors[0]))
    assert "direct" not in str(errors[0])
    assert [type(error) for error in errors] == [Deadlock, EndlessError, WorkflowStalledError]
    assert str(errors[1]) == (
        "the run was not over after 1000 moves, and was cancelled; most often begun: again x500, begin x1; look for a "
        "loop without an end, or allow more with explore(most_moves=…)"
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_task_that_is_left_is_named(backend: str):
    class Leaks(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[None]:
            if backend == "asyncio":
                import asyncio

                self.left = asyncio.create_task(anyio.sleep_forever(), name="left behind")
            else:
                import trio

                trio.lowlevel.spawn_system_task(anyio.sleep_forever, name="left behind")
            return StopEvent()

    assert runs(Leaks, backend, max_schedules=1)[0].leaked_tasks == ("left behind",)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_in_a_thread_has_its_turn_and_time_stands_still(backend: str):
    class Threads(Workflow[list[int]]):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        @step
        async def begin(self, ev: StartEvent) -> list[Add]:
            return [Add(n=1), Add(n=2), Add(n=3)]

        @step
        def work(self, ev: Add) -> Added:
            self.seen.append(ev.n)
            return Added(n=ev.n)

        @step
        async def end(self, ctx: Context, ev: Added) -> StopEvent[list[int]] | None:
            return StopEvent(result=self.seen) if ctx.collect_events(ev, [Added] * 3) else None

    found = runs(Threads, backend, max_schedules=25)
    assert found[0].result == [1, 2, 3]
    assert len({tuple(run.result) for run in found}) > 2
    assert {run.elapsed for run in found} == {0.0}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_nested_run_and_tasks_of_a_step_are_explored_with_it(backend: str):
    class Outer(Workflow[Any]):
        def __init__(self) -> None:
            super().__init__()
            self.order: list[str] = []

        async def nap(self, name: str) -> None:
            await anyio.sleep(1)
            self.order.append(name)

        @step
        async def begin(self, ev: StartEvent) -> StopEvent[Any]:
            async with anyio.create_task_group() as tg:
                tg.start_soon(self.nap, "a")
                tg.start_soon(self.nap, "b")
            return StopEvent(result=(await Counter().run(), "".join(self.order)))

    full = runs(Outer, backend, mode="exhaustive", max_schedules=500)
    assert {run.result for run in full} == {(total, order) for total in (2, 3) for order in ("ab", "ba")}
    assert [each.workflow for each in full[0].deliveries][:2] == ["Outer", "Counter"]
    assert full[0].deliveries[1].cause is full[0].deliveries[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_start_event_is_a_choice_too(backend: str):
    class Echo(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    starts = [StartEvent(n=1), StartEvent(n=2)]
    assert [run.result for run in runs(Echo, backend, start=starts, mode="exhaustive")] == [1, 2]
    (run,) = runs(Echo, backend, start=starts[1], mode="exhaustive")
    assert (run.result, run.start) == (2, starts[1])


class Take(StartEvent):
    n: int


class Takes(Workflow[int]):
    @step
    async def begin(self, ev: Take) -> StopEvent[int]:
        return StopEvent(result=ev.n)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_strategy_draws_start_events_the_simplest_first_and_the_same_ones_each_time(backend: str):
    starts = st.builds(Take, n=st.integers(0, 1_000))
    first, again = (runs(Takes, backend, start=starts, max_schedules=100) for _ in range(2))
    assert first[0].result == 0
    assert len({run.result for run in first}) > 10
    assert [run.token for run in first] == [run.token for run in again]
    complete = runs(Takes, backend, start=starts, mode="exhaustive")
    assert 10 < len(complete) == len({run.result for run in complete}) <= 20


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_token_knows_what_was_drawn(backend: str):
    explorer = explore(Takes, start=st.builds(Take, n=st.integers(0, 1_000)), backend=backend)
    with pytest.raises(pytest.fail.Exception) as caught:
        explorer.check(lambda run: pytest.fail("big") if run.result > 500 else None)
    token = caught.value.__notes__[-1].partition("--stretto-replay=")[2].split()[0]
    other = explore(Takes, start=st.builds(Take, n=st.integers(0, 7)), backend=backend, replay=token)
    with pytest.raises(StaleTokenError, match="at choice 1 of 1"):
        other.check(lambda run: run.result)


def test_a_strategy_that_draws_something_else_is_refused():
    with pytest.raises(DefinitionError) as caught:
        runs(Takes, "asyncio", start=st.integers())
    assert str(caught.value) == "start=integers() draws 0, which is not a StartEvent"


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_runs_beside_may_come_too_late(backend: str):
    found = runs(Counter, backend, beside=answer, durations="any", mode="exhaustive")
    assert {type(run.error) for run in found} == {type(None), RunEndedError}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_that_is_on_its_way_as_the_run_ends_is_a_leftover(backend: str):
    class Races(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Add | Added]:
            return [Add(n=1), Added(n=2)]

        @step
        async def add(self, ev: Add) -> Added:
            return Added(n=ev.n)

        @step
        async def end(self, ev: Added) -> StopEvent[int]:
            return StopEvent(result=ev.n)

    late = [run for run in runs(Races, backend, mode="exhaustive") if run.result == 2]
    assert any(run.leftovers == (Added(n=1),) and run.steps("add")[0].value == Added(n=1) for run in late)


class Retries(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Add]:
        return [Add(n=1), Add(n=2)]

    @step(retry_policy=RetryPolicy(attempts=2, on=OSError, wait=fixed(20)))
    async def add(self, ctx: Context, ev: Add) -> StopEvent[int]:
        if ctx.attempt.number == 1 and ev.n == 1:
            raise OSError
        await anyio.sleep_until(anyio.current_time() + 10)
        return StopEvent(result=ev.n)


def test_a_pause_before_another_attempt_is_a_sleep_as_any_other():
    """On asyncio it was not: the attempt came when nothing else was left."""
    one, other = (runs(Retries, backend, durations="any", max_schedules=60) for backend in BACKENDS)
    assert [run.explain() for run in one] == [run.explain() for run in other]
    assert {run.result for run in one} == {1, 2}
    assert any("wakes, having slept 20 s" in run.explain() for run in one)
    for backend in BACKENDS:
        assert {(run.result, run.elapsed) for run in runs(Retries, backend)} == {(2, 10.0)}


# -- faults --------------------------------------------------------------------------------------------------------


class Guarded(Workflow[int]):
    """Has a clean-up, which it counts."""

    def __init__(self) -> None:
        super().__init__(timeout=10)
        self.begun = self.cleaned = 0

    @step
    async def begin(self, ev: StartEvent) -> Add:
        return Add(n=1)

    @step
    async def work(self, ev: Add) -> StopEvent[int]:
        self.begun += 1
        try:
            await anyio.sleep(1)
        finally:
            self.cleaned += 1
        return StopEvent(result=ev.n)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("faults", "errors"),
    [
        (Faults(raises=OSError), {None, OSError}),
        (Faults(hangs=True), {None, WorkflowTimeoutError}),
        (Faults(timeout=True), {None, WorkflowTimeoutError}),
        (Faults(cancel=True), {None, WorkflowCancelledError}),
        (
            Faults(raises=KeyError, hangs=True, cancel=True, timeout=True, most=2),
            {None, KeyError, WorkflowTimeoutError, WorkflowCancelledError},
        ),
    ],
)
def test_each_fault_is_tried_wherever_it_can_be(backend: str, faults: Faults, errors: set[Any]):
    found = runs(Guarded, backend, faults=faults, mode="exhaustive")
    assert {None if run.error is None else type(run.error) for run in found} == errors
    for run in found:
        assert run.workflow.begun == run.workflow.cleaned
        assert run.lost_events == run.leaked_tasks == ()
    assert {run.elapsed for run in found if isinstance(run.error, WorkflowTimeoutError)} <= {10.0}
    assert len([run for run in found if run.error is None]) >= 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fault_comes_before_the_first_line_or_in_place_of_returning(backend: str):
    found = runs(Guarded, backend, faults=Faults(raises=OSError, steps="work"), mode="exhaustive")
    failed = [run for run in found if run.error is not None]
    assert [run.workflow.cleaned for run in failed] == [1, 0]
    assert [run.moves[-1].words for run in failed] == [
        "work#1 raises OSError in place of returning",
        "work#1 raises OSError in place of beginning",
    ]


def test_a_failure_that_needs_no_fault_is_told_without():
    @explore(Counter, durations="any", faults=Faults(raises=OSError), backend="asyncio")
    def test_it(run: TestRun) -> None:
        assert run.error is not None or run.result == 3

    with pytest.raises(AssertionError) as caught:
        test_it()
    assert "OSError" not in caught.value.__notes__[0].partition("once more")[0]


# -- both backends ------------------------------------------------------------------------------------------------


def test_both_backends_are_compared_schedule_by_schedule():
    explorer = explore(Counter, durations="any", max_schedules=30)
    explorer.agree()
    assert {name: each.runs for name, each in explorer.explored.items()} == {"asyncio": 30, "trio": 30}
    explore(Counter, mode="exhaustive", faults=Faults(cancel=True)).agree()


@pytest.mark.parametrize(
    ("result", "told", "says"),
    [
        (
            True,
            False,
            "came to one thing on asyncio and another on trio under one schedule, s1-vDX-: 'asyncio' and 'trio'; ",
        ),
        (
            False,
            True,
            "wrote to the stream one thing on asyncio and another on trio under one schedule, s1-vDX-: ",
        ),
        (False, False, "did one thing on asyncio and another on trio under one schedule, s1-vDX-: "),
    ],
)
def test_what_depends_on_the_loop_is_told(result: bool, told: bool, says: str):
    class Depends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            name = "trio" if trio.lowlevel.in_trio_run() else "asyncio"
            ctx.write_event_to_stream(Said(text=name if told else ""))
            if not (result or told):
                await anyio.sleep(1 if name == "trio" else 2)
            return StopEvent(result=name if result else "")

    with pytest.raises(DisagreementError) as caught:
        explore(Depends).agree()
    said = re.sub(r"s1-v\w{4}-", "s1-vDX-", str(caught.value))
    assert said.startswith(f"Depends {says}")
    assert said.endswith(
        "; look for what depends on the loop: tasks of a library, the order in which cancelled steps clean up, objects "
        "told by their address"
    )
    assert [note.partition("\n")[0] for note in caught.value.__notes__] == ["on asyncio:", "on trio:"]


class Said(Event):
    text: str


# -- tokens that fit no longer -------------------------------------------------------------------------------------


class More(Counter):
    @step
    async def begin(self, ev: StartEvent) -> list[Add]:
        return [Add(n=1), Add(n=2), Add(n=3)]


More.__name__ = "Counter"  # as if it were the same one, edited


@pytest.mark.parametrize(
    ("cls", "token", "says"),
    [
        (
            Counter,
            "nonsense",
            "replay='nonsense' is no token; paste one whole, from a failure that explore has told",
        ),
        (
            More,
            None,
            (
                "fits no longer: at choice 1 of 3, the first, there were other things to choose from than now: add#1 "
                "begins with Add(n=1), add#2 begins with Add(n=2), add#3 begins with Add(n=3); run the test without "
                "replay="
            ),
        ),
        (
            Guarded,
            None,
            "fits no longer: it has 3 choices, and the run was over after 0, the first; run the test without replay=",
        ),
    ],
    ids=["none", "changed", "shorter"],
)
def test_a_token_that_does_not_fit_says_where(cls: Any, token: str | None, says: str):
    if token is None:
        token = next(
            run.token
            for run in runs(Counter, "asyncio", durations="any", mode="exhaustive")
            if run.result == 1
        )
        assert len(token) == len("s1-aXXXX-") + 6
    with pytest.raises(StaleTokenError) as caught:
        explore(cls, durations="any", replay=token, backend="asyncio").check(lambda run: None)
    assert str(caught.value).endswith(says)


def test_a_token_of_other_durations_says_so():
    with pytest.raises(StaleTokenError) as caught:
        explore(Counter, replay="s1-aabcd-").check(lambda run: None)
    assert str(caught.value) == (
        "replay='s1-aabcd-' was made with durations='any', and this test has durations='virtual'"
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"workflow": 3},
            "explore takes a workflow class, or a function that makes a workflow or an application, not 3",
        ),
        ({"mode": "all"}, "mode is 'random' or 'exhaustive', not 'all'"),
        ({"max_schedules": 0}, "max_schedules is 1 or more, not 0"),
        ({"durations": "short"}, "durations is 'virtual', 'jitter' or 'any', not 'short'"),
        (
            {"start": [3]},
            "start is a StartEvent, a list of some, or a strategy of hypothesis for some, not [3]",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], says: str):
    with pytest.raises(DefinitionError) as caught:
        explore(**{"workflow": Counter, **options})
    assert str(caught.value) == says


def test_an_async_test_is_refused_for_nothing_would_await_it():
    async def test_total(run: TestRun) -> None:
        assert run.result == 0

    with pytest.raises(DefinitionError) as caught:
        explore(Counter)(test_total)
    assert str(caught.value) == (
        "test_total is an async function, and explore calls a test when its run is over; write def test_total(run), "
        "and give what is to happen beside the run as beside="
    )


# -- the command line ----------------------------------------------------------------------------------------------

PROJECT = """
    import anyio
    from stretto import Event, StartEvent, StopEvent, Workflow, step
    from stretto.testing import explore

    class Pick(Event):
        n: int

    class Race(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Pick]:
            return [Pick(n=1), Pick(n=2)]

        @step
        async def pick(self, ev: Pick) -> StopEvent[int]:
            await anyio.sleep(1)
            return StopEvent(result=ev.n)

    @explore(Race)
    def test_race(run):
        assert run.result == 1

    def test_other():
        pass
"""


def pytest_in(folder: Path, *options: str) -> str:
    return run_pytest(folder, PROJECT, "-p", "stretto.testing.plugin", *options)


def test_the_command_line_repeats_a_schedule(tmp_path: Path):
    said = pytest_in(tmp_path)
    assert "1 failed, 1 passed" in said, said
    token = said.partition("--stretto-replay=")[2].split()[0]
    again = pytest_in(tmp_path, f"--stretto-replay={token}")
    assert "1 failed, 1 deselected" in again, again
    assert f"in the schedule {token}, on asyncio" in again, again
    other = pytest_in(tmp_path, "--stretto-replay=s1-v0000-")
    assert "no test here explores the workflow that this token is for" in other, other
    assert "--stretto-replay='no' is no token" in pytest_in(tmp_path, "--stretto-replay=no")


# -- what pytest shows of a failure ----------------------------------------------------------------------------------

FAILING = """
from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.testing import explore

class Ask(Event):
    number: int

class Race(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(number=number) for number in range(2)]

    @step
    async def ask(self, ctx: Context, ev: Ask) -> StopEvent[int]:
        await ctx.sleep(1)
        if ev.number:
            raise LookupError("no second")
        return StopEvent(result=ev.number)

@explore(Race)
def test_result(run):
    assert run.result == 0

@explore(Race)
def test_value(run):
    assert run.error is None, "it has raised"
"""


@pytest.mark.parametrize("options", [(), ("-p", "stretto.testing.plugin")])
def test_a_failure_is_shown_without_the_frames_of_the_package(tmp_path: Path, options: tuple[str, ...]):
    said = run_pytest(tmp_path, FAILING, *options)
    assert "2 failed" in said
    assert "assert run.result == 0" in said, "the line of the test"
    assert 'raise LookupError("no second")' in said, "that of the step"
    assert "it has raised" in said
    assert said.count("once more: pytest -p stretto.testing.plugin --stretto-replay=") == 2
    assert "src/stretto" not in said
    assert "site-packages" not in said
    full = run_pytest(tmp_path, FAILING, "--full-trace", *options)
    assert "_explorer.py" in full
