"""Workflows that a step asks for by name: how it gets them, and how the two talk while both work."""

from __future__ import annotations

import anyio
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    Handler,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowTimeoutError,
    step,
)
from stretto.events import Streamed, StreamGap

pytestmark = pytest.mark.anyio


class Update(Event, external=True):
    n: int


class Report(Event):
    n: int


class Station(Workflow[str]):
    """Trades, and tells what it does."""

    @step
    async def trade(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        ctx.write_event_to_stream(Report(n=1))
        await anyio.sleep(getattr(ev, "seconds", 1))
        return StopEvent(result=f"sold {ev.sku}")


class Monitor(Workflow[str]):
    @step
    async def watch(self, ctx: Context, ev: StartEvent, station: Station) -> StopEvent[str]:
        ctx.write_event_to_stream(Report(n=0))
        return StopEvent(result=await station.run(sku=ev.sku, seconds=getattr(ev, "seconds", 1)))


async def test_a_step_is_handed_the_workflow_of_that_name():
    monitor = Monitor()
    monitor.add_workflows(station=Station())
    assert await monitor.run(sku="tea") == "sold tea"
    assert await Monitor(station=Station()).run(sku="tea") == "sold tea"
    assert list(monitor.nested_workflows) == ["station"]


async def test_a_workflow_may_be_a_default():
    class Careless(Workflow[str]):
        @step
        async def watch(self, ev: StartEvent, station: Station = Station()) -> StopEvent[str]:  # noqa: B008
            return StopEvent(result=await station.run(sku=ev.sku))

    class Loud(Station):
        @step
        async def trade(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result=f"SOLD {ev.sku}")

    assert await Careless().run(sku="tea") == "sold tea"
    assert await Careless(station=Loud()).run(sku="tea") == "SOLD tea"


async def test_a_plain_def_and_an_unbound_step_are_handed_it_too():
    class App(Workflow[str]):
        @step
        def begin(self, ev: StartEvent, station: Station) -> Report:
            assert isinstance(station, Station)
            return Report(n=1)

    @step(workflow=App)
    async def go_on(ev: Report, station: Station) -> StopEvent[str]:
        return StopEvent(result=await station.run(sku="x"))

    assert await App(station=Station()).run() == "sold x"


async def test_one_that_is_missing_or_of_another_class_is_told_at_the_first_run():
    with pytest.raises(
        DefinitionError, match=r"Monitor.watch \(test_nested_workflows.py:\d+\) asks for .* station"
    ):
        Monitor().run(sku="tea")
    with pytest.raises(DefinitionError, match="was given <"):
        Monitor(station=Monitor()).run(sku="tea")
    with pytest.raises(DefinitionError, match="did you mean 'station'"):
        Monitor(station=Station(), staton=Station()).run(sku="tea")
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        Monitor(timeot=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DefinitionError, match="add_workflows takes workflows"):
        Monitor().add_workflows(station=Station)  # pyright: ignore[reportArgumentType]


async def test_its_time_is_bounded_by_that_of_the_parent():
    seen: list[float | None] = []

    class Looks(Workflow):
        @step
        async def look(self, ctx: Context, ev: StartEvent) -> StopEvent:
            seen.append(ctx.remaining)
            await anyio.sleep(60)
            return StopEvent()

    class Parent(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent, looks: Looks) -> StopEvent:
            await anyio.sleep(1)
            await looks.run()
            return StopEvent()

    began = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError, match=r"^Parent timed out after 5 s"):
        await Parent(timeout=5, looks=Looks(timeout=30)).run()
    assert anyio.current_time() - began == pytest.approx(5)
    assert seen == [4]


async def test_its_failure_names_both_workflows():
    class Fails(Workflow):
        @step
        async def fail(self, ev: StartEvent) -> StopEvent:
            raise ValueError("no")

    class Parent(Workflow):
        @step
        async def go(self, ev: StartEvent, fails: Fails) -> StopEvent:
            await fails.run()
            return StopEvent()

    with pytest.raises(ValueError, match="no") as caught:
        await Parent(fails=Fails()).run()
    assert [note.split(" (")[0] for note in caught.value.__notes__] == ["in Fails.fail", "in Parent.go"]


async def test_its_stream_is_merged_into_that_of_the_parent_with_origins():
    async with Monitor(station=Station()).run(sku="tea") as run:
        merged = [ev async for ev in run.stream_events(origins=True)]
        plain = [ev async for ev in run.stream_events()]
        late = [ev async for ev in run.stream_events(origins=True)]
    told = [(ev.workflow, ev.step, ev.event) for ev in merged if isinstance(ev, Streamed)]
    assert told == [
        ("Monitor", "watch", Report(n=0)),
        ("Station", "trade", Report(n=1)),
        ("Monitor", None, StopEvent(result="sold tea")),
    ]
    assert merged == late
    assert len({ev.run_id for ev in merged if isinstance(ev, Streamed)}) == 2
    assert plain == [Report(n=0), StopEvent(result="sold tea")]


async def test_what_was_written_before_the_merged_stream_was_asked_for_is_told_as_a_gap():
    async with Monitor(station=Station()).run(sku="tea") as run:
        await anyio.sleep(0.5)
        merged = [ev async for ev in run.stream_events(origins=True)]
    assert merged[0] == StreamGap(missed=1)
    assert isinstance(merged[1], Streamed)
    assert len(merged) == 2


async def test_a_merged_stream_of_a_run_that_is_over_has_its_last_event():
    async with Monitor(station=Station()).run(sku="tea") as run:
        await run
    merged = [ev async for ev in run.stream_events(origins=True)]
    assert isinstance(merged[-1], Streamed)
    assert merged[-1].event == StopEvent(result="sold tea")


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3])
async def test_the_gap_of_a_merged_stream_of_a_run_that_is_over_does_not_count_the_last_event(
    count: int, read_before: bool
):
    class Writer(Workflow[str]):
        @step
        async def write(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            for number in range(count):
                ctx.write_event_to_stream(Report(n=number))
            return StopEvent(result="done")

    async with Writer().run() as run:
        if read_before:
            assert len([ev async for ev in run.stream_events()]) == count + 1
    *before, last = [ev async for ev in run.stream_events(origins=True)]
    assert before == ([StreamGap(missed=count)] if count else [])
    assert isinstance(last, Streamed)
    assert last.event == StopEvent(result="done")


class Asks(Workflow[str]):
    """Asks in its middle, by the event of the wait."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(question="?"))
        return StopEvent(result=answer.text)


async def test_what_a_wait_asks_is_in_the_merged_stream_too():
    """It was in the plain stream alone, so that nobody answered."""

    class Around(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent, inner: Asks) -> StopEvent[str]:
            runs.append(inner.run())
            return StopEvent(result=await runs[0])

    runs: list[Handler[str]] = []
    for workflow in (Asks(), Around(inner=Asks())):
        runs.clear()
        async with workflow.run() as run:
            async for ev in run.stream_events(origins=True):
                if isinstance(ev, Streamed) and isinstance(ev.event, InputRequiredEvent):
                    assert (ev.workflow, ev.step) == ("Asks", "ask")
                    (runs[0] if runs else run).send_event(HumanResponseEvent(text="yes"))
            assert await run == "yes"


async def test_parent_and_nested_run_send_to_each_other_while_both_work():
    class Child(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Report | StopEvent[int]:
            ctx.send_event(Report(n=1))
            update = await ctx.wait_for_event(Update)
            ctx.send_event(Report(n=update.n + 1))
            await anyio.sleep(1)
            return StopEvent(result=update.n)

    class Parent(Workflow[list[int]]):
        def __init__(self, child: Child) -> None:
            self.seen: list[int] = []
            super().__init__(child=child)

        @step
        async def go(self, ev: StartEvent, child: Child) -> StopEvent[list[int]]:
            async with child.run() as run:
                await anyio.sleep(1)
                run.send_event(Update(n=5))
                result = await run
            return StopEvent(result=[*self.seen, result])

        @step
        async def hear(self, ev: Report) -> None:
            self.seen.append(ev.n)

    run = Parent(child=Child()).run()
    assert await run == [1, 6, 5]
    assert run.dead_letters == run.leftovers == ()


@pytest.mark.parametrize("early", [True, False])
async def test_a_step_of_the_parent_may_wait_for_what_the_nested_run_sends(early: bool):
    class Child(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Report | StopEvent:
            await anyio.sleep(0 if early else 5)
            ctx.send_event(Report(n=3))
            await anyio.sleep(5)
            return StopEvent()

    class Parent(Workflow[int]):
        @step
        async def go(self, ctx: Context, ev: StartEvent, child: Child) -> StopEvent[int]:
            async with child.run():
                await anyio.sleep(2)
                report = await ctx.wait_for_event(Report)
            return StopEvent(result=report.n)

    assert await Parent(child=Child()).run() == 3


async def test_what_neither_takes_stays_with_the_nested_run_and_is_told_there():
    class Child(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.send_event(Report(n=3))
            return StopEvent()

    class Parent(Workflow[object]):
        @step
        async def go(self, ev: StartEvent, child: Child) -> StopEvent[object]:
            run = child.run()
            await run
            return StopEvent(result=[letter.event for letter in run.dead_letters])

    assert await Parent(child=Child()).run() == [Report(n=3)]


async def test_what_the_nested_run_takes_itself_never_leaves_it():
    class Child(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Report:
            return Report(n=1)

        @step
        async def end(self, ev: Report) -> StopEvent:
            return StopEvent()

    class Parent(Workflow[int]):
        heard = 0

        @step
        async def go(self, ev: StartEvent, child: Child) -> StopEvent[int]:
            await child.run()
            await anyio.sleep(1)
            return StopEvent(result=self.heard)

        @step
        async def hear(self, ev: Report) -> None:
            self.heard += 1

    assert await Parent(child=Child()).run() == 0


async def test_an_event_climbs_past_a_run_between_that_does_not_take_it():
    class Inner(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Report | StopEvent:
            return Report(n=1)

        @step
        async def end(self, ev: Update) -> StopEvent:
            return StopEvent()

    class Middle(Workflow):
        @step
        async def go(self, ev: StartEvent, inner: Inner) -> StopEvent:
            async with inner.run() as run:
                await anyio.sleep(1)
                run.send_event(Update(n=1))
            return StopEvent()

    class Outer(Workflow[int]):
        heard = 0

        @step
        async def go(self, ev: StartEvent, middle: Middle) -> StopEvent[int]:
            await middle.run()
            return StopEvent(result=self.heard)

        @step
        async def hear(self, ev: Report) -> None:
            self.heard += 1

    assert await Outer(middle=Middle(inner=Inner())).run() == 1
