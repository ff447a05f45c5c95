"""A writer that waits for its readers: only where both say so, in order, and never for one that is gone."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import anyio
import anyio.abc
import pytest

from stretto import (
    Application,
    Context,
    Event,
    HumanResponseEvent,
    StartEvent,
    StopEvent,
    ThreadContext,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
    step,
)
from stretto.errors import StepTimeoutError
from stretto.events import Streamed, StreamGap
from tests import virtual
from tests.sweep import HOWS, Ending, sweep

pytestmark = pytest.mark.anyio


class Row(Event):
    number: int


class Part(Event):
    number: int


def told(events: list[Any]) -> list[object]:
    inner = [each.event if isinstance(each, Streamed) else each for each in events]
    return [
        each.number if isinstance(each, Row) else -each.missed if isinstance(each, StreamGap) else "end"
        for each in inner
    ]


class Rows(Workflow[str]):
    """Writes so many rows as fast as it may, and remembers when each was written."""

    def __init__(
        self, count: int, *, timeout: float | None = 1000, stream_buffer: int = 2, **options: Any
    ) -> None:
        self.count = count
        self.written: list[tuple[int, float]] = []
        super().__init__(timeout=timeout, stream_buffer=stream_buffer, **options)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        began = anyio.current_time()
        for number in range(self.count):
            await ctx.write(Row(number=number))
            self.written.append((number, round(anyio.current_time() - began, 6)))
        return StopEvent(result="done")


async def test_a_step_that_says_so_is_as_fast_as_a_reader_that_says_so():
    workflow, seen = Rows(6), list[Event]()
    async with workflow.run() as run:
        async for ev in run.stream_events(overflow="wait"):
            seen.append(ev)
            await anyio.sleep(1)
    assert told(seen) == [0, 1, 2, 3, 4, 5, "end"]
    assert [at for _, at in workflow.written] == [0, 0, 0, 1, 2, 3]
    assert run.dead_letters == ()


@pytest.mark.parametrize("overflow", [None, "drop_oldest", "drop_newest", "fail"])
async def test_without_such_a_reader_nobody_waits(overflow: Any):
    workflow = Rows(6)
    async with workflow.run() as run:
        stream = run.stream_events(overflow=overflow)
        assert await run == "done"
        del stream
    assert {at for _, at in workflow.written} == {0}
    workflow = Rows(6)
    assert await workflow.run() == "done"
    assert {at for _, at in workflow.written} == {0}


async def test_it_waits_for_the_slowest_of_several():
    workflow = Rows(5, stream_buffer=1)
    seen: dict[float, list[Event]] = {0.5: [], 2.0: [], 100.0: []}  # the last one is not to be waited for

    async def read(stream: Any, pause: float) -> None:
        async for ev in stream:
            seen[pause].append(ev)
            await anyio.sleep(pause)

    async with workflow.run() as run, anyio.create_task_group() as tg:
        for pause in seen:
            tg.start_soon(read, run.stream_events(overflow="wait" if pause < 100 else None), pause)
    assert [told(seen[pause]) for pause in (0.5, 2.0)] == [[0, 1, 2, 3, 4, "end"]] * 2
    assert -1 * sum(each for each in told(seen[100.0]) if isinstance(each, int) and each < 0) >= 3
    assert [at for _, at in workflow.written] == [0, 0, 2, 4, 6]


async def test_who_waits_longest_writes_first():
    class Several(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Part]:
            return [Part(number=number) for number in range(6)]

        @step(num_workers=6)
        async def part(self, ctx: Context, ev: Part) -> Row:
            await anyio.sleep(1 + (ev.number * 7 % 6) / 10)
            await ctx.write(Row(number=ev.number * 7 % 6))
            return Row(number=ev.number)

        @step
        async def end(self, rows: list[Row]) -> StopEvent[None]:
            return StopEvent()

    async with Several(stream_buffer=1, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        await anyio.sleep(5)
        assert told([ev async for ev in stream]) == [0, 1, 2, 3, 4, 5, "end"]


# -- what ends the wait -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["break", "close", "drop", "cancel"])
async def test_a_reader_that_leaves_frees_the_writer(how: str):
    async def read(stream: Any) -> None:
        async for _ in stream:
            await anyio.sleep(1000)

    async with Rows(9).run() as run:
        if how == "break":
            async for _ in run.stream_events(overflow="wait"):
                break
        elif how == "cancel":
            with anyio.move_on_after(1):
                await read(run.stream_events(overflow="wait"))
        else:
            stream = run.stream_events(overflow="wait")
            await anyio.sleep(1)
            assert not run.done
            if how == "close":
                stream.close()
            del stream
        await anyio.sleep(1)
        assert run.done


async def test_a_reader_whose_wait_is_cancelled_is_not_waited_for_until_it_is_back():
    class Pauses(Rows):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            await anyio.sleep(1)
            return await super().begin(ctx, ev)

    workflow = Pauses(5, stream_buffer=4)
    async with workflow.run() as run:
        stream = run.stream_events(overflow="wait")
        with anyio.move_on_after(0.5):
            await anext(stream)
        await anyio.sleep(1)
        assert len(workflow.written) == 5
        assert told([ev async for ev in stream]) == [-2, 2, 3, 4, "end"]


@pytest.mark.parametrize("nested", [False, True])
async def test_who_awaits_the_run_in_the_task_that_reads_holds_nobody_up(nested: bool):
    workflow = Rows(9)

    async def read() -> str:
        async with workflow.run() as run:
            stream = run.stream_events(overflow="wait")
            async for _ in stream:
                break
            result = await run
            assert told([ev async for ev in stream]) == [-6, 7, 8, "end"]
        return result

    class Outer(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result=await read())

    assert await (Outer(timeout=None).run() if nested else read()) == "done"


async def test_leaving_the_block_is_awaiting_the_run():
    async with Rows(9).run() as run:
        stream = run.stream_events(overflow="wait")
        await anext(stream)
    assert await run == "done"
    assert told([ev async for ev in stream]) == [-6, 7, 8, "end"]


async def test_another_task_that_awaits_the_run_does_not_make_it_overtake_its_reader():
    seen: list[Event] = []

    async def read(stream: Any) -> None:
        async for ev in stream:
            seen.append(ev)
            await anyio.sleep(1)

    async with Rows(6).run() as run, anyio.create_task_group() as tg:
        tg.start_soon(read, run.stream_events(overflow="wait"))
        await anyio.sleep(0.1)
        assert await run == "done"
    assert told(seen) == [0, 1, 2, 3, 4, 5, "end"]


async def test_a_reader_that_is_back_from_awaiting_the_run_is_waited_for_again():
    class Slow(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            for number in range(3):
                await ctx.write(Row(number=number))
                await anyio.sleep(1)
            await anyio.sleep(10)
            for number in range(3, 9):
                await ctx.write(Row(number=number))
            return StopEvent(result="done")

    async with Slow(stream_buffer=1, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        with anyio.move_on_after(5):
            await run
        assert told([await anext(stream) for _ in range(2)]) == [-2, 2]
        await anyio.sleep(20)
        assert not run.done
        assert told([ev async for ev in stream]) == [3, 4, 5, 6, 7, 8, "end"]


async def test_a_reader_that_is_back_and_waits_is_waited_for_from_the_first_event_on():
    class Bursts(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            await anyio.sleep(10)
            async with anyio.create_task_group() as tg:
                for number in range(3):
                    tg.start_soon(ctx.write, Row(number=number))
            return StopEvent(result="done")

    async with Bursts(stream_buffer=1, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        with anyio.move_on_after(5):
            await run
        assert sorted(map(str, told([ev async for ev in stream]))) == ["0", "1", "2", "end"]


async def test_the_end_of_the_run_frees_a_writer_from_outside():
    class Waits(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            await ctx.wait_for_event(HumanResponseEvent)
            return StopEvent(result="done")

    async with Waits(stream_buffer=1, timeout=None).run() as run:
        await anyio.sleep(0.1)
        stream = run.stream_events(overflow="wait")
        async with anyio.create_task_group() as tg:
            for number in range(3):
                tg.start_soon(run.ctx.write, Row(number=number))
            await anyio.sleep(1)
            run.send_event(HumanResponseEvent())
        assert run.done
        assert len(told([ev async for ev in stream])) == 2
        assert len(run.dead_letters) == 2, "they came too late"


async def test_a_writer_that_is_cancelled_already_writes_nothing():
    class Cancelled(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await ctx.write(Row(number=0))
            return StopEvent(result="done")

    async with Cancelled().run() as run:
        assert told([ev async for ev in run.stream_events(overflow="wait")]) == ["end"]


@pytest.mark.parametrize("how", ["step", "run", "scope", "cancel"])
async def test_what_ends_the_wait_of_a_writer_has_written_nothing(how: str):
    class Limited(Rows):
        @step(timeout=5 if how == "step" else None)
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            if how == "scope":
                with anyio.move_on_after(5):
                    await super().begin(ctx, ev)
                return StopEvent(result="gave up")
            return await super().begin(ctx, ev)

    workflow = Limited(5, timeout=5 if how == "run" else None)
    error: Any = {"step": StepTimeoutError, "run": WorkflowTimeoutError, "cancel": WorkflowError}.get(how)
    caught: Any
    with pytest.raises(error) if error else contextlib.nullcontext() as caught:
        async with workflow.run() as run:
            stream = run.stream_events(overflow="wait")
            await anyio.sleep(6)
            if how == "cancel":
                await run.cancel()
            assert told([ev async for ev in stream]) == [0, 1, "end"]
            await run
    assert [number for number, _ in workflow.written] == [0, 1]
    if how == "run":
        assert "begin" in str(caught.value)
        assert caught.value.held_up == {"begin": {"a reader of the stream": 1}}


async def test_the_next_one_has_the_turn_of_a_writer_that_is_cancelled():
    class Two(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            async def write(number: int, patience: float) -> None:
                with anyio.move_on_after(patience):
                    await ctx.write(Row(number=number))

            await ctx.write(Row(number=0))
            async with anyio.create_task_group() as tg:
                tg.start_soon(write, 1, 2)
                await anyio.sleep(0.1)
                tg.start_soon(write, 2, 9)
            return StopEvent(result="done")

    async with Two(stream_buffer=1, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        await anyio.sleep(3)
        assert told([ev async for ev in stream]) == [0, 2, "end"]


async def test_a_clean_up_of_a_run_that_is_decided_waits_for_nobody():
    class Tidies(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Part | StopEvent[str]:
            ctx.send_event(Part(number=1))
            await anyio.sleep(1)
            return StopEvent(result="done")

        @step
        async def work(self, ctx: Context, ev: Part) -> None:
            try:
                await anyio.sleep(100)
            finally:
                with anyio.CancelScope(shield=True):
                    for number in range(4):
                        await ctx.write(Row(number=number))

    async with Tidies(stream_buffer=2, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        await anyio.sleep(2)
        assert run.done
        assert told([ev async for ev in stream]) == [-2, 2, 3, "end"]


@pytest.mark.parametrize("backend", virtual.BACKENDS)
def test_where_everybody_waits_it_is_a_deadlock_and_nothing_spins(backend: str):
    async def main() -> None:
        async with Rows(9, timeout=None).run() as run:
            stream = run.stream_events(overflow="wait")
            await anyio.sleep(1)
            await anyio.Event().wait()
            del stream

    with pytest.raises(virtual.Deadlock, match="every task waits"):
        virtual.run(main, backend=backend)


@pytest.mark.parametrize(("backend", "how"), HOWS)
def test_whenever_it_is_cancelled_what_was_written_is_what_writers_know_of(backend: str, how: str):
    class Two(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Part]:
            return [Part(number=number) for number in range(2)]

        @step
        async def part(self, ctx: Context, ev: Part) -> Part | None:
            for number in range(3):
                await ctx.write(Row(number=ev.number * 3 + number))
                written.append(ev.number * 3 + number)
            return None

        @step
        async def end(self, parts: list[Part]) -> StopEvent[str]:
            return StopEvent(result="done")

    written: list[int] = []
    seen: list[object] = []
    read: list[object] = []

    async def program() -> None:
        for each in (written, seen, read):
            each.clear()
        handler = Two(stream_buffer=2, timeout=None).run().start()
        everything = handler.stream_events(overflow="drop_oldest")
        try:
            async for ev in handler.stream_events(overflow="wait"):
                read.append(ev)
                await anyio.sleep(0.1)
        finally:
            with anyio.CancelScope(shield=True):
                await handler.cancel()
                gone = [letter.event for letter in handler.dead_letters]
                rest = [ev async for ev in everything]
                seen.extend(each for each in told([*gone, *rest]) if each != "end" and int(str(each)) >= 0)

    def check(ending: Ending) -> None:
        if not seen and not isinstance(
            ending.error, Exception
        ):  # hit while it looked, by what no shield holds off
            missed.append(ending.turn)
            return
        assert sorted(map(str, seen)) == sorted(map(str, written))
        rows = [each for each in told(read) if each != "end"]
        assert rows == seen[: len(rows)]

    missed: list[int] = []
    assert sweep(program, backend=backend, how=how, check=check) > 2 * len(missed) + 20


async def test_a_snapshot_while_it_waits_begins_the_step_again():
    async with Rows(4, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        await anyio.sleep(1)
        saved = run.ctx.to_dict()
        stream.close()
    workflow = Rows(4, timeout=None)
    async with workflow.run(ctx=Context.from_dict(workflow, saved)) as run:
        assert told([ev async for ev in run.stream_events(overflow="wait")]) == [0, 1, 2, 3, "end"]


# -- what cannot wait ---------------------------------------------------------------------------------------------


async def test_what_cannot_wait_leaves_out_the_oldest_and_that_is_no_dead_letter():
    class Both(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            await ctx.write(Row(number=0))
            for number in range(1, 5):
                ctx.write_event_to_stream(Row(number=number))
            await ctx.write(Row(number=5))
            return StopEvent(result="done")

    async with Both(stream_buffer=2, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        await anyio.sleep(1)
        assert told([ev async for ev in stream]) == [-3, 3, 4, 5, "end"]
        assert run.dead_letters == ()


async def test_a_step_that_holds_back_holds_back_this_too():
    class Holds(Workflow[str]):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            for number in range(3):
                await ctx.write(Row(number=number))
            await anyio.sleep(1)
            return StopEvent(result="done")

    async with Holds(stream_buffer=2, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        await anyio.sleep(2)
        assert run.done
        assert told([ev async for ev in stream]) == [-1, 1, 2, "end"]


async def test_a_step_in_a_thread_is_told_where_it_calls():
    class Threaded(Workflow[str]):
        @step
        def begin(self, ctx: ThreadContext, ev: StartEvent) -> StopEvent[str]:
            with pytest.raises(WorkflowError, match=r"ctx\.write needs an async step"):
                ctx.write(Row(number=1))
            return StopEvent(result="done")

    assert await Threaded().run() == "done"


@pytest.mark.parametrize("wrong", ["text", None, Row, StopEvent()])
async def test_what_is_no_event_is_refused_as_elsewhere(wrong: Any):
    class Wrong(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            with pytest.raises(TypeError, match="stream of a run takes an event that is no StopEvent"):
                await ctx.write(wrong)
            return StopEvent(result="done")

    assert await Wrong().run() == "done"


# -- from elsewhere -------------------------------------------------------------------------------------------------


async def test_from_outside_it_waits_too_and_goes_to_merged_streams():
    """Written from outside, it was an AttributeError where somebody read the merged stream."""

    class Waits(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            await ctx.wait_for_event(HumanResponseEvent)
            return StopEvent(result="done")

    async with Waits(stream_buffer=2, timeout=None).run() as run:
        await anyio.sleep(0.1)
        stream = run.stream_events(origins=True, overflow="wait")
        run.ctx.write_event_to_stream(Row(number=0))
        await run.ctx.write(Row(number=1))
        with anyio.move_on_after(1) as scope:
            async with anyio.create_task_group() as tg:
                tg.start_soon(run.ctx.write, Row(number=2))
        assert scope.cancelled_caught
        with pytest.raises(TypeError):
            run.ctx.write_event_to_stream(StopEvent())
        run.send_event(HumanResponseEvent())
        assert told([ev async for ev in stream]) == [0, 1, "end"]


async def test_who_writes_in_the_task_that_reads_does_not_wait_for_itself():
    """Without a time limit it waited for ever, and the step with it."""
    workflow, seen = Rows(4, timeout=None, stream_buffer=1), list[Any]()
    async with workflow.run() as run:
        async for ev in run.stream_events(overflow="wait"):
            seen += told([ev])
            if isinstance(ev, Row) and ev.number < 2:
                for more in (10, 20):
                    await run.ctx.write(Row(number=more + ev.number))
    missed = -sum(each for each in seen if isinstance(each, int) and each < 0)
    numbers = [each for each in seen if isinstance(each, int) and each >= 0]
    late = len(run.dead_letters)  # on trio the step may have written all, and the run be over
    assert len(numbers) + missed + late == 4 + 2 * len({0, 1}.intersection(numbers))
    assert missed
    assert seen[-1] == "end"
    assert [number for number, _ in workflow.written] == [0, 1, 2, 3]


async def test_who_has_written_in_the_task_that_reads_is_waited_for_again():
    """Nobody else may push out what it has not read, as long as it takes over that."""
    workflow, seen = Rows(6, timeout=None, stream_buffer=2), list[object]()
    async with workflow.run() as run:
        async for ev in run.stream_events(overflow="wait"):
            seen += told([ev])
            if seen[-1] == 0:
                for number in (10, 11):
                    await run.ctx.write(Row(number=number))
                await anyio.sleep(5)
    missed = [-each for each in seen if isinstance(each, int) and each < 0]
    assert sum(missed) <= 2, "one for each of its own"
    assert [each for each in seen if each in {2, 3, 4, 5, "end"}] == [2, 3, 4, 5, "end"]


async def test_a_nested_run_waits_for_readers_of_the_merged_stream_around_it():
    inner = Rows(5)

    class Outer(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result=await inner.run())

    seen: list[Any] = []
    async with Outer(stream_buffer=2, timeout=None).run() as run:
        async for ev in run.stream_events(origins=True, overflow="wait"):
            seen.append(ev)
            await anyio.sleep(1)
    assert told(seen) == [0, 1, 2, 3, 4, "end"]
    assert [at for _, at in inner.written] == [0, 0, 0, 1, 2]


async def test_a_step_that_hands_on_the_stream_of_another_run_does_not_lock_itself_up():
    inner = Rows(6, stream_buffer=1)

    class Pipe(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            async with inner.run() as run:
                async for row in run.stream_events(overflow="wait"):
                    if isinstance(row, Row):
                        await ctx.write(row)
            return StopEvent(result="done")

    for origins in (False, True):
        seen: list[Any] = []
        async with Pipe(stream_buffer=1, timeout=None).run() as run:
            async for ev in run.stream_events(overflow="wait", origins=origins):
                seen.append(ev)
                await anyio.sleep(1)
        assert told(seen)[-1] == "end"
        assert [each for each in told(seen) if each in range(6)] == sorted([*range(6)] * (1 + origins))  # type: ignore[operator]


async def test_an_unbound_step_waits_too():
    class Bare(Workflow[str]):
        pass

    written: list[int] = []

    @step(workflow=Bare)
    async def begin(ctx: Context, ev: StartEvent) -> StopEvent[str]:
        for number in range(4):
            await ctx.write(Row(number=number))
            written.append(number)
        return StopEvent(result="done")

    async with Bare(stream_buffer=1, timeout=None).run() as run:
        stream = run.stream_events(overflow="wait")
        await anyio.sleep(1)
        assert written == [0]
        assert told([ev async for ev in stream]) == [0, 1, 2, 3, "end"]


async def test_a_member_waits_for_the_reader_of_the_call():
    class Order(Event):
        rows: int

    class Monitor(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Order:
            return Order(rows=6)

        @step
        async def end(self, ev: Part) -> StopEvent[str]:
            return StopEvent(result="done")

    written: list[float] = []

    class Station(Workflow[None]):
        @step
        async def take(self, ctx: Context, ev: Order) -> Part:
            for number in range(ev.rows):
                await ctx.write(Row(number=number))
                written.append(round(anyio.current_time() - began, 6))
            return Part(number=1)

    for origins in (False, True):
        written.clear()
        seen: list[Any] = []
        async with Application(monitor=Monitor(stream_buffer=2), station=Station()) as app:
            began = anyio.current_time()
            async with app.run("monitor") as run:
                async for ev in run.stream_events(overflow="wait", origins=origins):
                    seen.append(ev)
                    await anyio.sleep(1)
                assert await run == "done"
        assert told(seen) == [0, 1, 2, 3, 4, 5, "end"]
        assert written == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize("origins", [False, True])
async def test_who_leaves_the_block_of_an_application_holds_up_nobody_in_it(origins: bool):
    """It waited for the step, which waited for it to read."""
    rows = Rows(5, timeout=None, stream_buffer=1)
    async with Application(rows=rows) as app:
        run = app.run("rows").start()
        stream = run.stream_events(overflow="wait", origins=origins)
        await anyio.sleep(1)
        assert [number for number, _ in rows.written] == [0]
    assert await run == "done"
    assert told([ev async for ev in stream]) == [-4, 4, "end"]


@pytest.mark.parametrize("backend", virtual.BACKENDS)
def test_a_client_that_does_not_read_its_socket_holds_up_the_step_and_loses_nothing(backend: str):
    """In real time, since the kernel has buffers of its own."""
    workflow, piece = Rows(100, stream_buffer=2), bytes(1 << 16)

    def keep_little(end: anyio.abc.SocketStream) -> None:
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.extra_attributes[anyio.abc.SocketAttribute.raw_socket]().setsockopt(
                socket.SOL_SOCKET, buffer, len(piece)
            )

    async def serve(client: anyio.abc.SocketStream) -> None:
        keep_little(client)
        async with client, workflow.run() as run:
            async for ev in run.stream_events(overflow="wait"):
                if isinstance(ev, Row):
                    await client.send(piece)

    async def main() -> int:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tg:
            tg.start_soon(listener.serve, serve)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no database
            async with await anyio.connect_tcp("127.0.0.1", port) as client:
                keep_little(client)
                before = 0
                while not 2 <= before == len(workflow.written):  # until nothing moves any more
                    before = len(workflow.written)
                    await anyio.sleep(0.01)
                assert before < 100
                came = 0
                with contextlib.suppress(anyio.EndOfStream):
                    while True:
                        came += len(await client.receive(1 << 20))
            tg.cancel_scope.cancel()
        return came

    assert anyio.run(main, backend=backend) == 100 * len(piece)
    assert len(workflow.written) == 100
