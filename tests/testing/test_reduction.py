"""What an exhaustive search leaves out makes no difference: shown on random workflows against the full search."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings

from stretto import Context, Event, RetryPolicy, StartEvent, StopEvent, Workflow, step
from stretto.testing import explore
from stretto.testing._explorer import Explorer, IncompleteError
from stretto.testing.strategies import workflows

BACKENDS = ("asyncio", "trio")
RELAXED = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
log: list[int] = []


def outcomes(explorer: Explorer, *, with_stream: bool = True) -> set[tuple[str, tuple[str, ...]]]:
    backend = next(iter(explorer._backends))
    return {
        (repr(run.value) + repr(run.error), tuple(map(str, run.stream)) if with_stream else ())
        for run in explorer.runs(backend)
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("durations", ["virtual", "any"])
def test_results_and_streams_are_those_of_the_full_search(backend: str, durations: Any):
    compared = 0

    @given(cls=workflows(most_pieces=2, most_acts=2))
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    def compare(cls: type[Workflow[Any]]):
        nonlocal compared
        full = explore(
            cls, mode="exhaustive", durations=durations, backend=backend, reduce=False, max_schedules=300
        )
        try:
            expected = outcomes(full)
        except IncompleteError:
            return
        reduced = explore(cls, mode="exhaustive", durations=durations, backend=backend, max_schedules=300)
        assert outcomes(reduced) == expected
        assert reduced.explored[backend].why_full is None
        assert reduced.explored[backend].runs <= full.explored[backend].runs
        compared += 1

    compare()
    assert compared >= 8


class Piece(Event):
    n: int


class Done(Event):
    n: int


def gathering(**steps: Any) -> type[Workflow[Any]]:
    """A workflow that sends two pieces, with this step for them, and gives `x` in the end."""

    class Gathers(Workflow[Any]):
        def __init__(self) -> None:
            super().__init__()
            self.x: Any = 0
            self.y: Any = 0

        @step
        async def begin(self, ev: StartEvent) -> list[Piece]:
            return [Piece(n=1), Piece(n=2)]

        @step
        async def end(self, ctx: Context, ev: Done) -> StopEvent | None:
            return StopEvent(result=(self.x, self.y)) if ctx.collect_events(ev, [Done] * 2) else None

    return type("Gathering", (Gathers,), {name: step(body) for name, body in steps.items()})


def count(cls: type[Workflow[Any]], *, reduce: bool = True) -> tuple[int, set[str], str | None]:
    explorer = explore(
        cls, mode="exhaustive", durations="any", backend="asyncio", reduce=reduce, max_schedules=5_000
    )
    found = {repr(run.value) for run in explorer.runs("asyncio")}
    explored = explorer.explored["asyncio"]
    assert explored.complete
    return explored.runs, found, explored.why_full


def test_steps_that_share_nothing_are_tried_in_few_orders():
    async def work(self: Any, ev: Piece) -> Done:
        await anyio.sleep(1)
        return Done(n=ev.n)

    few, reduced, why = count(gathering(work=work))
    many, full, _ = count(gathering(work=work), reduce=False)
    assert why is None
    assert few * 4 < many
    assert reduced == full


async def by_attribute(self: Any, ev: Piece) -> Done:
    seen = self.x
    await anyio.sleep(1)
    self.x = seen + ev.n
    return Done(n=ev.n)


async def by_object(self: Any, ev: Piece) -> Done:
    if not self.x:
        self.x = [0]
    kept = self.x
    await anyio.sleep(1)
    seen = kept[0]
    await anyio.sleep(1)
    kept[0] = seen + ev.n
    return Done(n=ev.n)


async def by_dict(self: Any, ev: Piece) -> Done:
    seen = vars(self)["x"]
    await anyio.sleep(1)
    vars(self)["x"] = seen + ev.n
    return Done(n=ev.n)


async def by_deleting(self: Any, ev: Piece) -> Done:
    seen = getattr(self, "x", 100)
    await anyio.sleep(1)
    if hasattr(self, "x"):
        del self.x
    else:
        self.x = seen
    return Done(n=ev.n)


@pytest.mark.parametrize("body", [by_attribute, by_object, by_dict, by_deleting])
def test_a_race_is_found_however_the_step_gets_at_what_it_shares(body: Any):
    async def work(self: Any, ev: Piece) -> Done:
        return await body(self, ev)

    work.__annotations__ = body.__annotations__
    _, reduced, _ = count(gathering(work=work))
    _, full, _ = count(gathering(work=work), reduce=False)
    assert reduced == full
    assert len(full) > 1


def test_a_step_that_uses_a_global_which_can_change_makes_the_search_full():
    async def work(self: Any, ev: Piece) -> Done:
        log.append(ev.n)
        return Done(n=ev.n)

    assert count(gathering(work=work))[2] == "Gathering.work uses log, which other steps may change"


def test_so_does_an_object_of_the_class():
    class Shares(gathering()):
        seen: list[int] = []  # noqa: RUF012 - that is the fault

        @step
        async def work(self, ev: Piece) -> Done:
            return Done(n=ev.n)

    assert count(Shares)[2] == "Shares.seen is an object that all steps share"


def test_so_do_a_policy_and_the_state_of_the_run():
    async def work(self: Any, ctx: Context, ev: Piece) -> Done:
        await ctx.store.set("n", ev.n)
        return Done(n=ev.n)

    assert count(gathering(work=work))[2] == "Gathering.work uses store, which other steps may change"

    class Timed(gathering()):
        @step(timeout=5)
        async def work(self, ev: Piece) -> Done:
            return Done(n=ev.n)

    why = count(Timed)[2]
    assert why is not None
    assert why.startswith("Timed.work (")
    assert why.endswith(") has a policy, a limit, resources or a join, and such steps may share something")


class Inner(Workflow[int]):
    total = 0

    @step
    async def begin(self, ev: StartEvent) -> list[Piece]:
        return [Piece(n=1), Piece(n=2)]

    @step
    async def add(self, ev: Piece) -> Done:
        before = self.total
        await anyio.sleep(1)
        self.total = before + ev.n
        return Done(n=ev.n)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
        return StopEvent(result=self.total) if ctx.collect_events(ev, [Done] * 2) else None


class Outer(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent[int]:
        return StopEvent(result=await Inner().run())


def test_a_race_in_a_nested_run_is_found_too():
    """It was left out: only the attributes of the outer workflow are watched."""
    assert count(Outer)[1] == {"1", "2", "3"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_retry_comes_after_the_same_pause_each_time(backend: str):
    class Retries(Workflow[float]):
        tried = 0

        @step(retry_policy=RetryPolicy(attempts=3, on=OSError))
        async def begin(self, ev: StartEvent) -> StopEvent[float]:
            self.tried += 1
            if self.tried < 3:
                raise OSError
            return StopEvent(result=anyio.current_time())

    runs = list(explore(Retries, backend=backend, max_schedules=5).runs(backend))
    assert len({run.elapsed for run in runs}) == 1
    assert [str(each) for each in runs[0].deliveries] == ["begin#1", "begin#2", "begin#3"]
    assert [each.cause for each in runs[0].deliveries] == [None, None, None]
    assert [type(each.error) for each in runs[0].deliveries] == [OSError, OSError, type(None)]


class Left(Event):
    pass


class Right(Event):
    pass


class OfLeft(Event):
    pass


class OfRight(Event):
    pass


class End(Event):
    pass


class OneBound(Workflow[int]):
    """Two steps send to two others, each of which is at work; which of these two waits longer is dropped."""

    @step
    async def begin(self, ev: StartEvent) -> list[Left | Right | OfLeft | OfRight | End]:
        return [OfLeft(), OfRight(), Left(), Right(), End()]

    @step
    async def left(self, ev: Left) -> OfLeft:
        return OfLeft()

    @step
    async def right(self, ev: Right) -> OfRight:
        return OfRight()

    @step(num_workers=1)
    async def of_left(self, ev: OfLeft) -> None:
        await anyio.sleep(1)

    @step(num_workers=1)
    async def of_right(self, ev: OfRight) -> None:
        await anyio.sleep(1)

    @step
    async def end(self, ev: End) -> StopEvent[int]:
        await anyio.sleep(10)
        return StopEvent(result=1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_that_share_nothing_but_the_bound_of_their_run_are_tried_in_both_orders(backend: str):
    explorer = explore(
        lambda: OneBound(queue_size=1, overflow="drop_oldest"),
        mode="exhaustive",
        backend=backend,
        max_schedules=2_000,
    )
    dropped = {
        tuple(type(letter.event).__name__ for letter in run.dead_letters) for run in explorer.runs(backend)
    }
    assert dropped == {("OfLeft",), ("OfRight",)}
