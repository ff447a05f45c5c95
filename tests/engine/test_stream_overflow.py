"""What a reader says of more than it has read: it is left out and told, or its loop fails; the run notices nothing."""

from __future__ import annotations

import logging
from typing import Any, Literal

import anyio
import pytest

from stretto import Application, Context, Event, StartEvent, StopEvent, Workflow, WorkflowStalledError, step
from stretto.errors import DeadLetterError, StreamOverflowError
from stretto.events import StepStateChanged, Streamed, StreamGap

pytestmark = pytest.mark.anyio


POLICIES: tuple[Literal["drop_oldest", "drop_newest", "fail", "wait"], ...] = (
    "drop_oldest", "drop_newest", "fail", "wait"
)  # fmt: skip


class Tick(Event):
    number: int


class Ticks(Workflow[str]):
    """Writes so many ticks at once, as often as it is told to, with a second between."""

    def __init__(self, *bursts: int, **options: Any) -> None:
        self.bursts = bursts
        super().__init__(stream_buffer=2, **options)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        number = 0
        await anyio.sleep(0.5)
        for burst in self.bursts:
            for _ in range(burst):
                ctx.write_event_to_stream(Tick(number=number))
                number += 1
            await anyio.sleep(1)
        return StopEvent(result="done")


def told(events: list[Event]) -> list[object]:
    return [
        each.number if isinstance(each, Tick) else -each.missed if isinstance(each, StreamGap) else "end"
        for each in events
        if not isinstance(each, StepStateChanged)
    ]


def letters(run: Any) -> list[int]:
    return [letter.event.number for letter in run.dead_letters]


# -- what is left out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "seen", "dead"),
    [
        ({}, [-4, 4, "end"], []),
        ({"overflow": "drop_oldest"}, [-3, 3, 4, "end"], [0, 1, 2]),
        ({"overflow": "drop_newest"}, [0, 1, -3, "end"], [2, 3, 4]),
        ({"latest": "number"}, [-3, 3, 4, "end"], [0, 1, 2]),
    ],
)
async def test_what_a_reader_declares_to_do_without_is_told_in_its_place_and_is_a_dead_letter(
    options: dict[str, Any], seen: list[object], dead: list[int]
):
    async with Ticks(5).run() as run:
        stream = run.stream_events(**options)
        await anyio.sleep(5)
        assert told([ev async for ev in stream]) == seen
        assert letters(run) == dead


async def test_each_gap_stands_where_the_newest_would_have_stood():
    async with Ticks(3, 2, 4).run() as run:
        stream = run.stream_events(overflow="drop_newest")
        await anyio.sleep(1)
        seen = [await anext(stream)]
        await anyio.sleep(1)
        seen += [await anext(stream), await anext(stream)]
        await anyio.sleep(1)
        seen += [ev async for ev in stream]
    assert told(seen) == [0, 1, -1, 3, -1, 5, -3, "end"]
    assert letters(run) == [2, 4, 6, 7, 8]


async def test_a_reader_that_keeps_up_misses_nothing():
    for overflow in POLICIES:
        async with Ticks(2, 2, 2).run() as run:
            assert told([ev async for ev in run.stream_events(overflow=overflow)]) == [
                0,
                1,
                2,
                3,
                4,
                5,
                "end",
            ]
            assert run.dead_letters == ()


async def test_others_see_all_and_what_is_left_out_for_two_is_told_twice():
    async with Ticks(2, 2).run() as run:
        first = run.stream_events(overflow="drop_newest")
        last = run.stream_events(overflow="drop_oldest")
        assert told([ev async for ev in run.stream_events()]) == [0, 1, 2, 3, "end"]
        assert told([ev async for ev in first]) == [0, 1, -2, "end"]
        assert told([ev async for ev in last]) == [-2, 2, 3, "end"]
    assert sorted(letters(run)) == [0, 1, 2, 3]


async def test_the_reason_says_which_policy_and_what_to_do_and_the_logger_takes_it_for_meant(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, "stretto")
    async with Ticks(3).run() as run:
        stream = run.stream_events(overflow="drop_newest")
        assert await run == "done"
        del stream
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert run.dead_letters[0].reason == (
        "a reader of the stream (overflow='drop_newest') had stream_buffer=2 events to read already; read faster, "
        "raise stream_buffer, or write with await ctx.write(…) and read with overflow='wait'"
    )


async def test_begins_and_ends_of_steps_are_never_dead_letters():
    class Many(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Tick]:
            return [Tick(number=number) for number in range(9)]

        @step(num_workers=1)
        async def take(self, ev: Tick) -> StopEvent[None] | None:
            return StopEvent() if ev.number == 8 else None

    for overflow in POLICIES[:2]:
        async with Many(stream_buffer=2).run() as run:
            stream = run.stream_events(expose_internal=True, overflow=overflow)
            await run
            seen = [ev async for ev in stream]
            gaps = [ev.missed for ev in seen if isinstance(ev, StreamGap)]
            assert len(gaps) == 1
            assert gaps[0] > 10
            assert isinstance(seen[-1], StopEvent)
            assert run.dead_letters == ()


async def test_what_another_reader_finds_is_what_the_run_keeps():
    async with Ticks(4, 1).run() as run:
        stream = run.stream_events(overflow="drop_newest")
        await anyio.sleep(1)
        assert told([await anext(stream)]) == [0]
        stream.close()
        await anyio.sleep(1)
        assert told([ev async for ev in run.stream_events(overflow="drop_newest")]) == [-2, 3, 4, "end"]


async def test_what_was_there_before_is_a_gap_and_no_dead_letter():
    async with Ticks(5).run() as run:
        await anyio.sleep(1)
        options: list[dict[str, Any]] = [
            {"overflow": "drop_oldest"}, {"overflow": "drop_newest"}, {"overflow": "fail"}, {"latest": "number"}
        ]  # fmt: skip
        streams = [run.stream_events(**each) for each in options]
        for stream in streams:
            assert told([await anext(stream) for _ in range(3)]) == [-3, 3, 4]
        assert run.dead_letters == ()


async def test_who_comes_after_the_end_is_given_what_is_kept_whatever_it_says():
    async with Ticks(5).run() as run:
        await run
    for overflow in (None, *POLICIES):
        assert told([ev async for ev in run.stream_events(overflow=overflow)]) == [-4, 4, "end"]
    assert run.dead_letters == ()


# -- fail -------------------------------------------------------------------------------------------------------


async def test_a_reader_that_would_rather_fail_does_so_after_what_it_could_keep():
    async with Ticks(3, 2).run() as run:
        stream = run.stream_events(overflow="fail")
        await anyio.sleep(1)
        assert told([await anext(stream), await anext(stream)]) == [0, 1]
        for missed in (1, 1, 3):
            with pytest.raises(
                StreamOverflowError, match=rf"stream_buffer=2 events behind, and has missed {missed} by"
            ) as caught:
                await anext(stream)
            assert caught.value.missed == missed
            await anyio.sleep(0.3)
        assert await run == "done"
    assert run.dead_letters == ()


async def test_another_loop_goes_on_where_one_has_failed():
    async with Ticks(3, 1).run() as run:
        stream = run.stream_events(overflow="fail")
        await anyio.sleep(1)
        with pytest.raises(StreamOverflowError) as caught:
            async for _ in stream:
                pass
        assert told([ev async for ev in run.stream_events(overflow="fail")]) == [2, 3, "end"]
        assert caught.value.missed == 1


async def test_the_event_that_makes_one_reader_fail_is_given_to_the_next():
    async with Ticks(3).run() as run:
        failing, plain = run.stream_events(overflow="fail"), run.stream_events()
        await run
        assert told([ev async for ev in plain]) == [-2, 2, "end"]
        failing.close()


async def test_the_last_event_makes_nobody_fail():
    async with Ticks(2).run() as run:
        stream = run.stream_events(overflow="fail")
        await run
        assert told([ev async for ev in stream]) == [0, 1, "end"]


# -- elsewhere --------------------------------------------------------------------------------------------------


class Outer(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent[str]:
        return StopEvent(result=await Ticks(3).run())


async def test_it_holds_for_the_events_of_nested_runs_too():
    async with Outer(stream_buffer=2).run() as run:
        stream = run.stream_events(origins=True, overflow="drop_newest")
        await run
        seen: list[Any] = [ev async for ev in stream]
    assert told([each.event if isinstance(each, Streamed) else each for each in seen]) == [0, 1, -1, "end"]
    assert [letter.event for letter in run.dead_letters] == [Tick(number=2)]


async def test_an_application_keeps_these_letters_and_fails_by_them_if_that_is_what_it_wants():
    async with Application(ticks=Ticks(3)) as app:
        async with app.run("ticks") as run:
            stream = run.stream_events(overflow="drop_oldest")
            assert await run == "done"
            del stream
        assert [letter.member for letter in app.dead_letters] == ["ticks"]
    async with Application(ticks=Ticks(3), dead_letters="error") as app:
        async with app.run("ticks") as run:
            unasked = run.stream_events()
            assert await run == "done"
            del unasked
        with pytest.raises(DeadLetterError, match=r"overflow='drop_oldest'"):
            async with app.run("ticks") as run:
                stream = run.stream_events(overflow="drop_oldest")
                await run
                del stream


async def test_a_run_that_is_stuck_does_not_say_that_it_is_so_by_what_its_reader_did_without():
    class Stuck(Ticks):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | None:
            await super().begin(ctx, ev)

    async with Stuck(9).run() as run:
        stream = run.stream_events(overflow="drop_newest")
        with pytest.raises(WorkflowStalledError) as caught:
            await run
        assert told([ev async for ev in stream]) == [0, 1, -7, "end"]
    assert letters(run) == [2, 3, 4, 5, 6, 7, 8]
    assert "returned nothing although it declares StopEvent. Return" in str(caught.value)


# -- wrong uses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"overflow": "drop_latest"}, ValueError, r"overflow= is one of .*did you mean"),
        (
            {"overflow": 3},
            ValueError,
            r"overflow= is one of 'drop_oldest', 'drop_newest', 'fail', 'wait', not 3",
        ),
        ({"latest": 3}, TypeError, r"latest= is the name of a field, as in latest='symbol', not 3"),
        (
            {"latest": "number", "overflow": "fail"},
            ValueError,
            r"latest='number' keeps one event of each key",
        ),
    ],
)
async def test_a_policy_that_is_none_is_refused_before_the_run_starts(
    options: dict[str, Any], error: type[Exception], says: str
):
    handler = Ticks(1).run()
    with pytest.raises(error, match=says):
        handler.stream_events(**options)
    assert handler.run_id == ""
    assert await handler == "done"
