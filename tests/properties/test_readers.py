"""Readers of every policy, that come, read, leave and come again at random, against lists."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
import attrs
import pytest
from hypothesis import given, strategies as st

from stretto import Context, Event, HumanResponseEvent, StartEvent, StopEvent, Workflow, step
from stretto.errors import StreamOverflowError
from stretto.events import StreamGap
from tests import virtual

SIZE = 3
POLICIES = ("default", "drop_oldest", "drop_newest", "fail", "wait", "latest")


class Note(Event):
    key: int
    number: int


class Waits(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        await ctx.wait_for_event(HumanResponseEvent)
        return StopEvent(result="done")


class Gap(NamedTuple):
    missed: int


Entry = Note | Gap


@attrs.define(eq=False)
class Reader:
    """What a reader has not read, in a list: events, and gaps between them."""

    policy: str
    unread: list[Entry]
    passed: int = 0
    overrun: int | None = None

    @property
    def notes(self) -> list[Note]:
        return [each for each in self.unread if isinstance(each, Note)]

    @property
    def behind(self) -> int:
        return self.passed + sum(each.missed if isinstance(each, Gap) else 1 for each in self.unread)


@attrs.define(eq=False)
class Stream:
    """All that was written, who reads it, who waits to write, and what became a dead letter."""

    written: list[Note] = attrs.Factory(list)
    readers: list[Reader] = attrs.Factory(list)
    line: list[Note] = attrs.Factory(list)
    waited: list[Note] = attrs.Factory(list)
    dead: list[Note] = attrs.Factory(list)
    resume: int = 0

    def come(self, policy: str) -> Reader:
        at, self.resume = self.resume, 0
        first = max(at, len(self.written) - SIZE)
        reader = Reader(policy, [Gap(first - at)] if first > at else [])
        for note in self.written[first:]:
            self._put(reader, note)
        self.readers.append(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        end = len(self.written) if reader.overrun is None else reader.overrun
        self.resume = end - reader.behind
        self.readers.remove(reader)
        self.settle()

    def write(self, note: Note) -> None:
        self.written.append(note)
        for reader in self.readers:
            self._give(reader, note)

    def _give(self, reader: Reader, note: Note) -> None:
        full = len(reader.notes) == SIZE
        if reader.overrun is not None or (full and reader.policy == "fail"):
            reader.overrun = len(self.written) - 1 if reader.overrun is None else reader.overrun
        elif full and reader.policy == "drop_newest":
            self.dead.append(note)
            hole = reader.unread.pop() if isinstance(reader.unread[-1], Gap) else Gap(0)
            assert isinstance(hole, Gap)
            reader.unread.append(Gap(hole.missed + 1))
        else:
            self.dead += self._put(reader, note)
            if len(reader.notes) > SIZE:
                hole = reader.unread.pop(0) if isinstance(reader.unread[0], Gap) else Gap(0)
                assert isinstance(hole, Gap)
                oldest = reader.unread.pop(0)
                assert isinstance(oldest, Note)
                reader.unread.insert(0, Gap(hole.missed + 1))
                self.dead += [oldest] if reader.policy in {"drop_oldest", "latest"} else []

    def _put(self, reader: Reader, note: Note) -> list[Note]:
        earlier = [each for each in reader.notes if each.key == note.key] if reader.policy == "latest" else []
        reader.unread = [each for each in reader.unread if each not in earlier] + [note]
        reader.passed += len(earlier)
        return earlier

    def read(self, reader: Reader) -> Entry:
        entry = reader.unread.pop(0)
        if not reader.notes:
            reader.passed = 0
        self.settle()
        return entry

    def settle(self) -> None:
        while self.line and all(len(each.notes) < SIZE for each in self.readers if each.policy == "wait"):
            self.waited.append(self.line.pop(0))
            self.write(self.waited[-1])

    def wait(self, note: Note) -> None:
        self.line.append(note)
        self.settle()


OPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.integers(0, 2)),
    st.tuples(st.just("read"), st.integers(0, 2)),
    st.tuples(st.just("read"), st.integers(0, 2)),
    st.tuples(st.just("come"), st.sampled_from(POLICIES)),
    st.tuples(st.just("leave"), st.integers(0, 2)),
    st.tuples(st.just("cancel"), st.integers(0, 2)),
)


class Real:
    """The same with a run, from outside."""

    def __init__(self, run: Any, tg: Any) -> None:
        self.run = run
        self.tg = tg
        self.streams: dict[Reader, Any] = {}
        self.scopes: dict[int, anyio.CancelScope] = {}
        self.waited: list[Note] = []

    def come(self, reader: Reader) -> None:
        options = {"default": {}, "latest": {"latest": "key"}}.get(reader.policy, {"overflow": reader.policy})
        self.streams[reader] = self.run.stream_events(**options)

    async def read(self, reader: Reader) -> Entry:
        with anyio.fail_after(1):
            event = await anext(self.streams[reader])
        return Gap(event.missed) if isinstance(event, StreamGap) else event

    async def fall_behind(self, reader: Reader) -> int:
        with pytest.raises(StreamOverflowError) as caught:
            await anext(self.streams.pop(reader))
        return caught.value.missed

    def leave(self, reader: Reader) -> None:
        self.streams.pop(reader).close()

    async def wait(self, note: Note) -> None:
        with anyio.CancelScope() as scope:
            self.scopes[note.number] = scope
            await self.run.ctx.write(note)
            self.waited.append(note)


async def play(script: Sequence[tuple[str, Any]]) -> None:
    model = Stream()
    async with Waits(stream_buffer=SIZE, timeout=None).run() as run, anyio.create_task_group() as tg:
        real = Real(run, tg)
        for number, (what, which) in enumerate(script):
            await _do(what, which, number, model, real)
            await anyio.sleep(0.001)  # those who are woken go on
            assert [letter.event for letter in run.dead_letters] == model.dead
            assert real.waited == model.waited
        for scope in real.scopes.values():
            scope.cancel()
        await anyio.sleep(0.001)
        run.send_event(HumanResponseEvent())
        await anyio.sleep(0.001)
        for reader in tuple(model.readers):
            await _read_to_the_end(reader, model, real)
    assert [letter.event for letter in run.dead_letters] == model.dead


async def _do(what: str, which: Any, number: int, model: Stream, real: Real) -> None:
    if what == "write":
        note = Note(key=which, number=number)
        model.write(note)
        real.run.ctx.write_event_to_stream(note)
    elif what == "wait":
        note = Note(key=which, number=number)
        model.wait(note)
        real.tg.start_soon(real.wait, note)
    elif what == "come" and len(model.readers) < 3:
        real.come(model.come(which))
    elif what == "cancel" and which < len(model.line):
        note = model.line.pop(which)
        model.settle()
        real.scopes[note.number].cancel()
    elif what in {"read", "leave"} and which < len(model.readers):
        reader = model.readers[which]
        if what == "leave":
            model.leave(reader)
            real.leave(reader)
        elif reader.unread:
            assert await real.read(reader) == model.read(reader)
        elif reader.overrun is not None:
            missed = len(model.written) - reader.overrun
            model.leave(reader)
            assert await real.fall_behind(reader) == missed


async def _read_to_the_end(reader: Reader, model: Stream, real: Real) -> None:
    if reader.policy == "default" and len(reader.notes) == SIZE:
        hole = reader.unread.pop(0) if isinstance(reader.unread[0], Gap) else Gap(0)
        assert isinstance(hole, Gap)
        reader.unread[0] = Gap(hole.missed + 1)  # the last event has a place of its own with the others alone
    expected = list(reader.unread)
    for entry in expected:
        assert await real.read(reader) == entry
    if reader.overrun is not None:
        assert await real.fall_behind(reader) == len(model.written) + 1 - reader.overrun
        return
    assert await real.read(reader) == StopEvent(result="done")
    with suppress(StopAsyncIteration):
        raise AssertionError(f"{await real.read(reader)} after the end")


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@given(st.lists(OPS, max_size=40))
def test_a_reader_is_given_what_a_list_says_and_the_rest_is_told(backend: str, script: list[tuple[str, Any]]):
    virtual.run(play, script, backend=backend)
