"""A reader who wants of each key only the latest: it is given no more than that, in order, and the last one always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given, strategies as st

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto._latest import LatestEvents
from stretto._overflow import LatestReader
from stretto._stream import Hub

pytestmark = pytest.mark.anyio


class Price(Event):
    symbol: str
    cents: int


class Note(Event):
    text: str


class Ticks(Workflow[int]):
    """Three prices of two symbols each, a note between, and one more after a second."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
        for cents in range(3):
            for symbol in "ab":
                ctx.write_event_to_stream(Price(symbol=symbol, cents=cents))
            ctx.write_event_to_stream(Note(text="the same"))
        await anyio.sleep(1)
        ctx.write_event_to_stream(Price(symbol="a", cents=9))
        return StopEvent(result=1)


def told(events: Sequence[Any]) -> list[str]:
    return [
        f"{each.symbol}{each.cents}" if isinstance(each, Price) else type(each).__name__ for each in events
    ]


async def test_a_slow_reader_is_given_the_latest_of_each_key_and_all_that_has_none():
    async with Ticks().run() as run:
        await anyio.sleep(0.5)
        stream = run.stream_events(latest="symbol")
        events = [event async for event in stream]
    assert told(events) == ["Note", "Note", "a2", "b2", "Note", "a9", "StopEvent"]
    assert stream.superseded == 4


async def test_beside_it_another_reader_is_given_all():
    async with Ticks().run() as run:
        await anyio.sleep(0.5)
        stream = run.stream_events(latest="symbol")
        everything = run.stream_events()
        assert len([event async for event in everything]) == 11
        assert everything.superseded == 0
        assert told([event async for event in stream]) == ["Note", "Note", "b2", "Note", "a9", "StopEvent"]


async def test_who_goes_on_where_such_a_reader_was_left_misses_nothing_that_it_had_not_read():
    async with Ticks().run() as run:
        await anyio.sleep(0.5)
        async for event in run.stream_events(latest="symbol"):
            assert isinstance(event, Note)
            break
        rest = told([event async for event in run.stream_events(latest="symbol")])
    assert rest[-4:] == ["b2", "Note", "a9", "StopEvent"]
    assert "a2" in rest


async def test_what_was_pushed_out_is_a_gap_for_it_too():
    async with Ticks(stream_buffer=2).run() as run:
        await anyio.sleep(0.5)
        assert told([event async for event in run.stream_events(latest="symbol")]) == [
            "StreamGap", "b2", "Note", "a9", "StopEvent"
        ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_it_is_a_list_from_which_the_earlier_of_a_key_is_taken(coming: list[tuple[str, bool]]):
    events, model, left_out = LatestEvents("symbol", lambda _: None), list[Event](), 0
    for number, (symbol, reads) in enumerate(coming):
        event = Price(symbol=symbol, cents=number)
        events.append(event)
        earlier = [each for each in model if each.symbol == symbol]  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        left_out += len(earlier)
        model = [each for each in model if each not in earlier] + [event]
        if reads:
            assert events.popleft() is model.pop(0)
        assert list(events) == model
        assert events.superseded == left_out
        assert bool(events) == bool(model)


def test_a_value_that_cannot_be_hashed_takes_no_others_place():
    class Odd(Event):
        symbol: list[int]

    events, note = LatestEvents("symbol", lambda _: None), Note(text="the same")
    events.extend([Odd(symbol=[]), Odd(symbol=[]), note, note])
    assert len(events) == 4
    events.clear()
    assert len(events) == events.passed == 0


async def test_a_hub_is_left_before_what_was_passed_over():
    hub, left_out = Hub(10), list[Event]()

    def subscribe(at: int | None = None) -> LatestReader:
        reader = LatestReader("symbol", lambda _, event: left_out.append(event), internal=False)
        hub.subscribe(reader, at)
        return reader

    reader = subscribe()
    for cents in range(4):
        hub.publish(Price(symbol="a", cents=cents))
    assert told(left_out) == ["a0", "a1", "a2"]
    assert hub.leave(reader, done=False) == 0
    reader = subscribe(2)
    assert told(list(reader.events)) == ["a3"]
    reader.events.popleft()
    assert hub.leave(reader, done=False) == 4
    assert len(left_out) == 3, "what was there before is no drop"
