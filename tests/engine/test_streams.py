"""The stream of a run: every reader sees all, nobody waits for one, and the last event says how it ended."""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    step,
)
from stretto.events import StreamGap, WorkflowCancelledEvent, WorkflowFailedEvent, WorkflowTimedOutEvent

pytestmark = pytest.mark.anyio


class Tick(Event):
    number: int


class Job(Event):
    pass


class BoomError(Exception):
    pass


class Ticks(Workflow[str]):
    """Writes a tick a second, then ends in the way it was told to."""

    def __init__(
        self,
        count: int = 5,
        end: str = "result",
        pause: float = 1.0,
        timeout: float | None = 1000,
        **options: Any,
    ) -> None:
        self.count, self.end, self.pause = count, end, pause
        super().__init__(timeout=timeout, **options)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for number in range(self.count):
            ctx.write_event_to_stream(Tick(number=number))
            if self.pause:
                await anyio.sleep(self.pause)
        if self.end == "error":
            raise BoomError
        if self.end == "sleep":
            await anyio.sleep(10_000)
        return StopEvent(result="done")


def ticks(numbers: range) -> list[Event]:
    return [Tick(number=number) for number in numbers]


END = StopEvent(result="done")


async def test_the_stream_gives_what_steps_write_and_ends_with_the_stop_event():
    async with Ticks().run() as run:
        assert [ev async for ev in run.stream_events()] == [*ticks(range(5)), END]


async def test_events_come_when_they_are_written_not_at_the_end():
    began = anyio.current_time()
    async with Ticks().run() as run:
        times = [anyio.current_time() - began async for _ in run.stream_events()]
    assert times == [pytest.approx(second) for second in (0, 1, 2, 3, 4, 5)]


async def test_the_stream_is_a_class_iterator_and_never_an_async_generator():
    async with Ticks().run() as run:
        stream = run.stream_events()
        assert isinstance(stream, AsyncIterator)
        assert not inspect.isasyncgen(stream)
        assert stream.__aiter__() is stream


async def test_several_readers_at_once_each_see_all():
    seen: list[list[Event]] = [[], [], []]

    async def read(index: int) -> None:
        async for ev in run.stream_events():
            seen[index].append(ev)

    async with Ticks().run() as run, anyio.create_task_group() as tg:
        for index in range(3):
            tg.start_soon(read, index)
    assert seen == [[*ticks(range(5)), END]] * 3


async def test_a_reader_that_comes_late_sees_the_run_from_its_start():
    async with Ticks().run() as run:
        await anyio.sleep(3.5)
        assert [ev async for ev in run.stream_events()] == [*ticks(range(5)), END]


async def test_a_reader_that_comes_after_the_end_sees_the_run_from_its_start():
    async with Ticks().run() as run:
        await run
        assert [ev async for ev in run.stream_events()] == [*ticks(range(5)), END]
    assert [ev async for ev in run.stream_events()] == [*ticks(range(5)), END]


async def test_a_second_reader_joins_while_the_first_is_in_the_middle():
    async with Ticks().run() as run:
        first = run.stream_events()
        assert [await anext(first) for _ in range(2)] == ticks(range(2))
        assert [ev async for ev in run.stream_events()] == [*ticks(range(5)), END]
        assert [ev async for ev in first] == [*ticks(range(2, 5)), END]


async def test_a_new_loop_goes_on_where_a_broken_off_one_stopped():
    async with Ticks().run() as run:
        seen: list[Event] = []
        for _ in range(2):
            async for ev in run.stream_events():
                seen.append(ev)
                if len(seen) % 2 == 0:
                    break
        await anyio.sleep(1.5)
        seen += [ev async for ev in run.stream_events()]
        assert seen == [*ticks(range(5)), END]


async def test_a_new_loop_goes_on_where_a_broken_off_one_stopped_though_others_read_on():
    async with Ticks().run() as run:
        other = run.stream_events()
        broken: list[Event] = []
        async for ev in run.stream_events():
            broken.append(ev)
            if len(broken) == 2:
                break
        assert await anext(other) == Tick(number=0)
        assert [ev async for ev in run.stream_events()] == [*ticks(range(2, 5)), END]
        assert [ev async for ev in other] == [*ticks(range(1, 5)), END]


async def test_the_loop_of_the_article_may_be_broken_off_and_gone_on_with():
    handler = Ticks().run()
    async for ev in handler.stream_events():
        assert ev == Tick(number=0)
        break
    assert [ev async for ev in handler.stream_events()] == [*ticks(range(1, 5)), END]
    assert await handler == "done"


async def test_a_stream_that_is_read_to_its_end_stays_at_its_end():
    async with Ticks().run() as run:
        stream = run.stream_events()
        assert len([ev async for ev in stream]) == 6
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)


# -- slow readers, and the bound ----------------------------------------------------------------------------


async def test_the_engine_never_waits_for_a_reader():
    began = anyio.current_time()
    async with Ticks().run() as run:
        stream = run.stream_events()
        await anext(stream)
        assert await run == "done"
        assert anyio.current_time() - began == pytest.approx(5)


async def test_what_a_late_reader_missed_is_told_as_one_gap():
    async with Ticks(20, pause=0, stream_buffer=8).run() as run:
        await run
        seen = [ev async for ev in run.stream_events()]
    gap, *rest = seen
    assert isinstance(gap, StreamGap)
    assert gap.missed + len(rest) == 21
    assert len(rest) == 8
    assert rest == [*ticks(range(20)), END][-8:]


async def test_what_a_slow_reader_missed_is_told_as_one_gap_in_its_place():
    async with Ticks(40, stream_buffer=8).run() as run:
        stream = run.stream_events()
        seen = [await anext(stream) for _ in range(3)]
        assert seen == ticks(range(3))
        await anyio.sleep(20.5)
        seen += [await anext(stream) for _ in range(4)]
        await anyio.sleep(1000)
        seen += [ev async for ev in stream]
    gaps = [ev for ev in seen if isinstance(ev, StreamGap)]
    assert len(gaps) == 2
    assert isinstance(seen[3], StreamGap)
    known = 0
    for ev in seen:  # every tick is seen or counted as missed, in order
        if isinstance(ev, StreamGap):
            known += ev.missed
        elif isinstance(ev, Tick):
            assert ev.number == known
            known += 1
    assert known == 40
    assert seen[-1] == END


async def test_a_reader_who_keeps_up_sees_all_however_small_the_buffer():
    async with Ticks(50, stream_buffer=1).run() as run:
        assert [ev async for ev in run.stream_events()] == [*ticks(range(50)), END]


async def test_a_gap_while_a_loop_was_broken_off_is_told():
    async with Ticks(40, stream_buffer=8).run() as run:
        async for ev in run.stream_events():
            assert ev == Tick(number=0)
            break
        await anyio.sleep(1000)
        gap, *rest = [ev async for ev in run.stream_events()]
        assert isinstance(gap, StreamGap)
        assert rest == [*ticks(range(40)), END][-8:]
        assert 1 + gap.missed + len(rest) == 41


# -- the last event -----------------------------------------------------------------------------------------


async def test_a_failed_run_ends_its_stream_with_a_failed_event_that_holds_the_error():
    async with Ticks(2, "error").run() as run:
        *first, last = [ev async for ev in run.stream_events()]
        assert first == ticks(range(2))
        assert type(last) is WorkflowFailedEvent
        assert isinstance(last, StopEvent)
        with pytest.raises(BoomError) as caught:
            await run
        assert last.exception is caught.value


async def test_a_timed_out_run_ends_its_stream_with_a_timed_out_event():
    async with Ticks(2, "sleep", timeout=10).run() as run:
        *first, last = [ev async for ev in run.stream_events()]
        assert first == ticks(range(2))
        assert type(last) is WorkflowTimedOutEvent
        with pytest.raises(WorkflowTimeoutError):
            await run


async def test_a_cancelled_run_ends_its_stream_with_a_cancelled_event():
    async with Ticks(2, "sleep").run() as run:
        seen: list[Event] = []

        async def read() -> None:
            seen.extend([ev async for ev in run.stream_events()])

        async with anyio.create_task_group() as tg:
            tg.start_soon(read)
            await anyio.sleep(5)
            await run.cancel()
        assert [*ticks(range(2)), WorkflowCancelledEvent()] == seen or type(
            seen[-1]
        ) is WorkflowCancelledEvent
        assert seen[:-1] == ticks(range(2))
        with pytest.raises(WorkflowCancelledError):
            await run


async def test_a_stop_event_subclass_is_the_last_event_itself():
    class Verdict(StopEvent):
        good: bool

    class Judges(Workflow[Verdict]):
        @step
        async def begin(self, ev: StartEvent) -> Verdict:
            return Verdict(good=True)

    async with Judges().run() as run:
        assert [ev async for ev in run.stream_events()] == [Verdict(good=True)]


class Tidies(Workflow[str]):
    """A sibling writes to the stream while it cleans up."""

    def __init__(self, end: str) -> None:
        self.end = end
        super().__init__(timeout=10)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent:
        ctx.send_event(Job())
        await anyio.sleep(1)
        if self.end == "error":
            raise BoomError
        if self.end == "timeout":
            await anyio.sleep(100)
        return StopEvent(result="done")

    @step
    async def work(self, ctx: Context, ev: Job) -> None:
        try:
            await anyio.sleep(1000)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            ctx.write_event_to_stream(Tick(number=99))


@pytest.mark.parametrize(
    ("end", "last"),
    [("result", StopEvent), ("error", WorkflowFailedEvent), ("timeout", WorkflowTimedOutEvent)],
)
async def test_the_terminal_event_is_last_though_a_clean_up_still_writes(end: str, last: type[Event]):
    handler = Tidies(end).run()
    seen = [ev async for ev in handler.stream_events()]
    assert [type(ev) for ev in seen] == [Tick, last]
    with contextlib.suppress(BoomError, WorkflowTimeoutError):
        await handler


async def test_a_run_that_writes_nothing_has_a_stream_of_one_event():
    async with Ticks(0).run() as run:
        assert [ev async for ev in run.stream_events()] == [END]


async def test_the_stream_of_a_run_that_was_only_awaited_still_ends_with_its_terminal_event():
    run = Ticks().run()
    assert await run == "done"
    *gap, last = [ev async for ev in run.stream_events()]
    assert last == END
    assert gap == [StreamGap(missed=5)]


async def test_a_cancelled_reader_in_a_block_leaves_no_reader_behind():
    async with Ticks(10).run() as run:
        with anyio.move_on_after(2.5):
            async for _ in run.stream_events():
                pass
        assert await run == "done"


async def test_a_new_loop_goes_on_where_a_cancelled_one_stopped():
    """It went back to the start: a traceback still held the stream, and only its end gave up its place.

    When that is depends on the garbage collector, and so did what the next loop saw.
    """
    async with Ticks(5).run() as run:
        seen: list[Event] = []
        with anyio.move_on_after(2.5):
            async for ev in run.stream_events():
                seen.append(ev)  # noqa: PERF401 - what was read before the cancellation counts
        assert seen == ticks(range(3))
        assert [ev async for ev in run.stream_events()] == [*ticks(range(3, 5)), END]


async def test_a_stream_may_be_polled_with_a_time_limit_for_each_event():
    async with Ticks(3).run() as run:
        stream = run.stream_events()
        seen: list[Event | None] = []
        while END not in seen:
            with anyio.move_on_after(0.75) as patience:
                seen.append(await anext(stream))
            if patience.cancelled_caught:
                seen.append(None)
        assert [ev for ev in seen if ev is not None] == [*ticks(range(3)), END]
        assert None in seen


@pytest.mark.parametrize("how", ["sent", "returned"])
async def test_input_required_events_go_to_the_stream(how: str):
    class Asks(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> InputRequiredEvent | None:
            if how == "returned":
                return InputRequiredEvent(prompt=how)
            ctx.send_event(InputRequiredEvent(prompt=how))
            return None

        @step
        async def end(self, ev: StartEvent) -> StopEvent:
            await anyio.sleep(1)
            return StopEvent(result="done")

    async with Asks().run() as run:
        first, last = [ev async for ev in run.stream_events()]
    assert first == InputRequiredEvent(prompt=how)
    assert last == END


@pytest.mark.parametrize("wrong", ["text", None, Tick, StopEvent(), 3])
async def test_what_is_no_event_cannot_be_written_to_the_stream(wrong: Any):
    class Writes(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            with pytest.raises(TypeError):
                ctx.write_event_to_stream(wrong)
            return StopEvent(result="done")

    async with Writes().run() as run:
        assert [ev async for ev in run.stream_events()] == [END]


async def test_internal_events_are_shown_to_those_who_ask_and_to_no_other():
    async with Ticks(2).run() as run:
        internal: list[Event] = []

        async def read() -> None:
            internal.extend([ev async for ev in run.stream_events(expose_internal=True)])

        async with anyio.create_task_group() as tg:
            tg.start_soon(read)
            plain = [ev async for ev in run.stream_events()]
    assert plain == [*ticks(range(2)), END]
    assert len(internal) > len(plain)
    assert [ev for ev in internal if ev in plain] == plain
    assert internal[-1] == END


async def test_reading_and_the_run_end_at_the_same_moment():
    """A reader that waits when the last event comes is woken by it, in any order of the tasks."""
    for count in range(4):
        async with Ticks(count, pause=0).run() as run, anyio.create_task_group() as tg:
            for _ in range(4):

                async def read() -> None:
                    assert len([ev async for ev in run.stream_events()]) == count + 1  # noqa: B023

                tg.start_soon(read)


@pytest.mark.parametrize("form", ["a block", "the article's"])
async def test_a_reader_that_raises_cancels_its_run(form: str):
    over: list[str] = []

    class Watched(Ticks):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            try:
                return await super().begin(ctx, ev)
            finally:
                over.append("cleaned up")

    async def read() -> None:
        if form == "a block":
            async with Watched().run() as run:
                async for _ in run.stream_events():
                    raise BoomError
        handler = Watched().run()
        async for _ in handler.stream_events():
            raise BoomError

    began = anyio.current_time()
    with contextlib.suppress(BoomError):
        await read()
    gc.collect()  # the error held the frame that held the handler
    await anyio.sleep(0.001)
    assert over == ["cleaned up"]
    assert anyio.current_time() - began < 1, "and nobody waited for its end"
