"""The journal of a run: what its steps took, sent, waited for and raised, with times and causes."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import given, strategies as st

from stretto import (
    Context,
    DefinitionError,
    Event,
    HumanResponseEvent,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowError,
    step,
)
from stretto.journal import Entry, Journal
from stretto.retry import fixed

pytestmark = pytest.mark.anyio


class Ask(Event):
    number: int


class Answer(Event):
    number: int


class Secret(Event):
    name: str
    password: str = attrs.field(repr=False)


class Poll(Workflow[int]):
    """A fan-out, one worker for three events, and a join."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
        await ctx.sleep(1)
        for number in range(3):
            ctx.send_event(Ask(number=number))

    @step(num_workers=1)
    async def ask(self, ctx: Context, ev: Ask) -> Answer:
        await ctx.sleep(2)
        return Answer(number=ev.number)

    @step
    async def join(self, ctx: Context, ev: Answer) -> StopEvent[int] | None:
        answers = ctx.collect_events(ev, [Answer] * 3)
        return None if answers is None else StopEvent(result=len(answers))


class Flaky(Workflow[str]):
    @step(retry_policy=RetryPolicy(attempts=2, wait=fixed(5)))
    async def once(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        if ctx.attempt.number == 1:
            raise ValueError("the first time")
        return StopEvent(result="done")


class Asks(Workflow[str]):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        answer = await ctx.wait_for_event(HumanResponseEvent)
        return StopEvent(result=answer.text)


async def journal_of(workflow: Workflow[Any]) -> list[Entry]:
    async with workflow.run() as run:
        await run
    return [*run.journal]


def told(entries: list[Entry]) -> list[tuple[object, ...]]:
    return [(each.at, each.kind, each.step, each.work, each.name) for each in entries]


async def test_each_step_is_told_with_its_times_what_it_took_and_what_it_sent():
    entries = await journal_of(Poll(journal=100))
    assert told(entries)[:5] == [
        (0, "began", "begin", 1, "StartEvent"),
        (1, "sent", "begin", 1, "Ask"),
        (1, "sent", "begin", 1, "Ask"),
        (1, "sent", "begin", 1, "Ask"),
        (1, "ended", "begin", 1, ""),
    ]
    assert [(each.at, each.text) for each in entries if each.step == "ask" and each.kind == "began"] == [
        (1, "Ask(number=0)"), (3, "Ask(number=1)"), (5, "Ask(number=2)"),
    ]  # fmt: skip
    assert entries[-1].at == 7
    assert told(entries)[-2][1:] == ("sent", "join", 7, "StopEvent")


async def test_what_a_step_takes_has_the_number_it_was_sent_under_and_its_cause():
    entries = await journal_of(Poll(journal=100))
    sent = {each.event: each.work for each in entries if each.kind == "sent"}
    began = [each for each in entries if each.kind == "began"]
    assert began[0].causes == ()
    for each in began[1:]:
        assert each.causes == (sent[each.event],)
    assert len({each.event for each in began}) == len(began)


async def test_an_attempt_that_failed_is_told_with_its_error_and_the_next_is_another_piece_of_work():
    entries = await journal_of(Flaky(journal=100))
    assert told(entries) == [
        (0, "began", "once", 1, "StartEvent"),
        (0, "failed", "once", 1, "ValueError"),
        (5, "began", "once", 2, "StartEvent"),
        (5, "sent", "once", 2, "StopEvent"),
        (5, "ended", "once", 2, ""),
    ]
    assert entries[1].text == "ValueError('the first time')"
    assert [each.attempt for each in entries] == [1, 1, 2, 2, 2]
    assert entries[0].event == entries[2].event


async def test_a_wait_and_the_event_from_outside_that_ends_it_are_told():
    async with Asks(journal=100).run() as run:
        await anyio.sleep(3)
        run.send_event(HumanResponseEvent(text="yes"))
        assert await run == "yes"
    entries = [*run.journal]
    assert [(each.at, each.kind, each.name) for each in entries][1:4] == [
        (0, "waits", "HumanResponseEvent"),
        (3, "came", "HumanResponseEvent"),
        (3, "resumed", "HumanResponseEvent"),
    ]
    assert entries[2].event == entries[3].event


async def test_steps_that_are_cancelled_are_told_so():
    class Late(Workflow):
        @step
        async def wait(self, ev: StartEvent) -> StopEvent:
            await anyio.sleep_forever()
            return StopEvent()

    run = Late(timeout=2, journal=100).run()
    with pytest.raises(TimeoutError):
        await run
    assert [(each.at, each.kind) for each in run.journal] == [(0, "began"), (2, "cancelled")]


async def test_a_list_that_is_joined_has_each_of_its_senders_as_a_cause():
    class Lists(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(number=number) for number in range(2)]

        @step
        async def ask(self, ev: Ask) -> Answer:
            return Answer(number=ev.number)

        @step
        async def join(self, answers: list[Answer]) -> StopEvent[int]:
            return StopEvent(result=len(answers))

    entries = await journal_of(Lists(journal=100))
    (joined,) = [each for each in entries if each.kind == "began" and each.step == "join"]
    assert joined.causes == (2, 3)


async def test_the_oldest_entries_are_pushed_out_and_counted():
    entries = await journal_of(Poll(journal=100))
    async with Poll(journal=3).run() as run:
        await run
    assert told([*run.journal]) == told(entries)[-3:]
    assert (len(run.journal), run.journal.missed, run.journal.limit) == (3, len(entries) - 3, 3)


async def test_it_holds_texts_and_no_events():
    class Big(Event):
        text: str

    class Makes(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=None, what="x" * 10_000)

    run = Makes(journal=100).run()
    await run
    assert max(len(each.text) for each in run.journal) < 300
    assert json.loads(json.dumps(run.journal.to_list()))[0]["name"] == "StartEvent"


async def test_what_a_class_leaves_out_of_its_repr_is_not_in_it():
    class Login(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Secret:
            return Secret(name="Ada", password="hunter2")  # noqa: S106

        @step
        async def end(self, ev: Secret) -> StopEvent:
            return StopEvent()

    run = Login(journal=100).run()
    await run
    assert "Ada" in str(run.journal.to_list())
    assert "hunter2" not in str(run.journal.to_list())


async def test_without_one_it_is_told_how_to_have_one():
    run = Flaky().run()
    await run
    with pytest.raises(WorkflowError) as caught:
        run.journal  # noqa: B018
    assert str(caught.value) == (
        "this run of Flaky keeps no journal; make the workflow with Flaky(journal=10_000), and its runs keep so many "
        "entries"
    )


async def test_a_stream_with_internal_events_needs_no_journal_and_makes_none():
    async with Flaky().run() as run:
        assert [ev async for ev in run.stream_events(expose_internal=True)]
    with pytest.raises(WorkflowError, match="keeps no journal"):
        run.journal  # noqa: B018


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "many"])
def test_a_limit_that_is_none_is_refused(limit: object):
    with pytest.raises(DefinitionError, match="journal is a whole number of at least 1"):
        Poll(journal=limit)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@given(st.integers(1, 30), st.lists(st.integers(0, 3), max_size=60))
def test_whatever_comes_it_keeps_no_more_than_its_limit_and_counts_the_rest(limit: int, numbers: list[int]):
    journal = Journal(limit, 0.0)
    events = [Ask(number=number) for number in range(4)]
    for at, number in enumerate(numbers):
        journal.came(events[number], float(at))
    assert len(journal) == min(limit, len(numbers))
    assert len(journal) + journal.missed == len(numbers)
    assert [each.at for each in journal] == [float(at) for at in range(len(numbers))][-limit:]


def test_events_are_let_go_when_they_are_pushed_out():
    journal = Journal(2, 0.0)
    event = Ask(number=0)
    gone = weakref.ref(event)
    journal.came(event, 0.0)
    del event
    for _ in range(2):
        journal.came(Ask(number=1), 0.0)
    gc.collect()
    assert gone() is None
