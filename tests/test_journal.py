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
    Application,
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
from stretto.journal import Entry, Journal, Ran
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


# -- other runs ------------------------------------------------------------------------------------------------------


class Piece(Event):
    number: int


class Made(Event):
    number: int


class Child(Workflow[int]):
    @step
    async def start(self, ev: StartEvent) -> Piece:
        return Piece(number=ev.number)

    @step
    async def stop(self, ctx: Context, ev: Piece) -> StopEvent[int]:
        await ctx.sleep(1)
        return StopEvent(result=2 * ev.number)


class Parent(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> Piece:
        return Piece(number=1)

    @step
    async def work(self, ev: Piece, child: Child) -> Made:
        return Made(number=await child.run(number=ev.number) + await child.run(number=2))

    @step
    async def end(self, ev: Made) -> StopEvent[int]:
        return StopEvent(result=ev.number)


def causes(entries: list[Entry]) -> list[tuple[int, str, int, tuple[int, ...]]]:
    return [(each.run, each.step, each.work, each.causes) for each in entries if each.kind == "began"]


async def test_what_nested_runs_do_is_in_the_journal_of_their_parent_with_what_has_made_them():
    async with Parent(journal=100, child=Child()).run() as run:
        assert await run == 6
    assert causes([*run.journal]) == [
        (0, "begin", 1, ()),
        (0, "work", 2, (1,)),
        (1, "start", 3, (2,)),
        (1, "stop", 4, (3,)),
        (2, "start", 5, (2,)),
        (2, "stop", 6, (5,)),
        (0, "end", 7, (2,)),
    ]
    assert dict(run.journal.runs) == {
        number: Ran("Child", None, ("start", "stop"), 0, 2) for number in (1, 2)
    }
    assert run.journal.to_list()[-1]["run"] == 0


async def test_a_nested_run_keeps_a_journal_of_its_own_only_if_its_workflow_asks_for_one():
    kept: list[Any] = []

    class Keeps(Workflow[int]):
        @step
        async def work(self, ev: StartEvent, child: Child) -> StopEvent[int]:
            run = child.run(number=1)
            await run
            kept.append(run)
            return StopEvent(result=1)

    async with Keeps(journal=100, child=Child(journal=100)).run() as run:
        await run
    assert causes([*kept[0].journal]) == [(0, "start", 1, ()), (0, "stop", 2, (1,))]
    assert causes([*run.journal]) == [(0, "work", 1, ()), (1, "start", 2, (1,)), (1, "stop", 3, (2,))]
    async with Keeps(journal=100, child=Child()).run() as run:
        await run
    with pytest.raises(WorkflowError, match="keeps no journal"):
        _ = kept[1].journal
    async with Keeps(child=Child(journal=100)).run() as run:
        await run
    assert len(kept[2].journal) == 6
    with pytest.raises(WorkflowError, match="keeps no journal"):
        _ = run.journal


class Middle(Workflow[int]):
    @step
    async def pass_on(self, ev: StartEvent, child: Child) -> StopEvent[int]:
        return StopEvent(result=await child.run(number=ev.number))


class Top(Workflow[int]):
    @step
    async def call(self, ev: StartEvent, middle: Middle) -> StopEvent[int]:
        return StopEvent(result=await middle.run(number=3))


async def test_a_run_nested_in_a_nested_one_says_what_it_is_within():
    async with Top(journal=100, middle=Middle(child=Child())).run() as run:
        await run
    assert [(each.workflow, each.within, each.work) for each in run.journal.runs.values()] == [
        ("Middle", 0, 1),
        ("Child", 1, 2),
    ]


class Talks(Workflow[str]):
    @step
    async def talk(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        return StopEvent(result=(await ctx.wait_for_event(HumanResponseEvent)).text)


class Sends(Workflow[str]):
    @step
    async def call(self, ctx: Context, ev: StartEvent, talks: Talks) -> StopEvent[str]:
        run = talks.run()
        await ctx.sleep(1)
        run.send_event(HumanResponseEvent(text="hello"))
        return StopEvent(result=await run)


async def test_what_a_step_sends_to_a_run_that_it_has_made_came_from_there():
    async with Sends(journal=100, talks=Talks()).run() as run:
        assert await run == "hello"
    came = next(each for each in run.journal if each.kind == "came")
    resumed = next(each for each in run.journal if each.kind == "resumed")
    assert (came.run, came.event) == (1, resumed.event)
    assert causes([*run.journal]) == [(0, "call", 1, ()), (1, "talk", 2, (1,))]


class Hears(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> None: ...

    @step
    async def hear(self, ev: HumanResponseEvent) -> StopEvent[str]:
        return StopEvent(result=ev.text)


async def test_a_step_that_takes_what_its_maker_sends_has_that_for_a_cause_and_nothing_if_it_comes_from_outside():
    class Tells(Workflow[str]):
        @step
        async def call(self, ctx: Context, ev: StartEvent, hears: Hears) -> StopEvent[str]:
            run = hears.run().start()
            await ctx.sleep(1)
            run.send_event(HumanResponseEvent(text="hello"))
            return StopEvent(result=await run)

    async with Tells(journal=100, hears=Hears()).run() as run:
        await run
    assert causes([*run.journal]) == [(0, "call", 1, ()), (1, "begin", 2, (1,)), (1, "hear", 3, (1,))]
    async with Hears(journal=100).run() as run:
        run.send_event(HumanResponseEvent(text="hello"))
    assert causes([*run.journal])[-1] == (0, "hear", 2, ())


class Front(Workflow[int]):
    @step
    async def take(self, ev: StartEvent) -> list[Piece]:
        return [Piece(number=number) for number in (1, 2)]

    @step
    async def give(self, ctx: Context, ev: Made) -> StopEvent[int] | None:
        made = ctx.collect_events(ev, [Made] * 2)
        return StopEvent(result=sum(each.number for each in made)) if made else None


class Back(Workflow):
    @step
    async def work(self, ev: Piece) -> Made:
        return Made(number=ev.number)


class Asking(Workflow[int]):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> Piece | StopEvent[int]:
        return StopEvent(result=(await ctx.request(Piece(number=5), reply=Made)).number)


async def test_what_other_members_do_is_in_the_journal_of_the_run_that_was_called_with_causes_across():
    async with Application(front=Front(journal=100), back=Back()) as app:
        run = app.run("front")
        assert await run == 3
    assert causes([*run.journal]) == [
        (0, "take", 1, ()),
        (1, "work", 2, (1,)),
        (1, "work", 3, (1,)),
        (0, "give", 4, (2,)),
        (0, "give", 5, (3,)),
    ]
    assert dict(run.journal.runs) == {1: Ran("Back", "back", ("work",), 0, 1)}


async def test_what_a_request_causes_is_in_the_journal_of_who_asked():
    async with Application(front=Asking(journal=100), back=Back()) as app:
        run = app.run("front")
        assert await run == 5
    assert causes([*run.journal]) == [(0, "ask", 1, ()), (1, "work", 2, (1,))]
    assert dict(run.journal.runs) == {1: Ran("Back", "back", ("work",), 0, 1)}


async def test_of_very_many_runs_the_last_are_known():
    class Many(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent, child: Child) -> StopEvent[int]:
            for number in range(5):
                await child.run(number=number)
            return StopEvent(result=1)

    async with Many(journal=3, child=Child()).run() as run:
        await run
    assert [*run.journal.runs] == [3, 4, 5]
    assert len(run.journal) == 3


async def test_without_a_journal_nested_runs_are_not_told_of():
    async with Parent(child=Child(), verbose=False).run() as run:
        await run
    with pytest.raises(WorkflowError):
        _ = run.journal
