"""`draw_most_recent_execution` and `run.counts`: what a run did, in numbers that are kept for every run."""

from __future__ import annotations

from typing import Annotated, Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowStalledError,
    WorkflowTimeoutError,
    catch_error,
    step,
)
from stretto.drawing import draw_all_possible_flows, draw_most_recent_execution
from stretto.events import StepFailedEvent
from stretto.joins import First

pytestmark = pytest.mark.anyio


class Ask(Event):
    number: int


class Answer(Event):
    number: int


class Again(Event):
    pass


class Poll(Workflow[int]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent | Again) -> Ask | None:
        for number in range(3):
            ctx.send_event(Ask(number=number))

    @step
    async def ask(self, ev: Ask) -> Answer:
        return Answer(number=ev.number)

    @step
    async def decide(self, ctx: Context, ev: Answer) -> StopEvent[int] | Again | None:
        answers = ctx.collect_events(ev, [Answer] * 3)
        if answers is None:
            return None
        return Again() if ev.number < 2 or ctx.run_id is None else StopEvent(result=len(answers))


async def test_each_step_and_each_edge_has_its_number():
    run = Poll().run()
    assert await run == 3
    counts = run.counts
    assert counts.begun == {"begin": 1, "ask": 3, "decide": 3}
    assert counts.sent == {
        (None, StartEvent): 1, ("begin", Ask): 3, ("ask", Answer): 3, ("decide", StopEvent): 1,
    }  # fmt: skip
    assert counts.taken == {(StartEvent, "begin"): 1, (Ask, "ask"): 3, (Answer, "decide"): 3}


async def test_what_came_up_has_numbers_and_what_did_not_is_pale():
    run = Poll().run()
    await run
    svg = draw_most_recent_execution(run).to_svg()
    assert 'class="st-edge st-plain-way st-ran" data-edge="begin&gt;event_Ask"' in svg
    assert 'class="st-edge st-plain-way st-idle" data-edge="decide&gt;event_Again"' in svg
    assert 'class="st-node st-event st-idle" data-node="event_Again"' in svg
    assert 'class="st-node st-step st-ran" data-node="ask"' in svg
    assert svg.count('class="st-count"') == 3 + 6


async def test_a_run_can_be_drawn_before_it_starts_while_it_works_and_after_it_has_failed():
    class Slow(Workflow):
        @step(num_workers=1)
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | StopEvent | None:
            for number in range(5):
                ctx.send_event(Ask(number=number))

        @step(num_workers=2)
        async def work(self, ev: Ask) -> None:
            await anyio.sleep(60)

    run = Slow(timeout=30).run()
    assert draw_most_recent_execution(run).to_svg().count('class="st-count"') == 0
    with pytest.raises(WorkflowTimeoutError):
        async with run:
            await anyio.sleep(1)
            assert run.counts.begun == {"begin": 1, "work": 2}
            assert run.counts.taken[Ask, "work"] == 5
    assert run.counts.begun == {"begin": 1, "work": 2}


async def test_a_loop_is_counted_by_each_of_its_rounds():
    class Loop(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> Ask:
            return Ask(number=0)

        @step
        async def again(self, ev: Ask) -> Answer | StopEvent[int]:
            return StopEvent(result=ev.number) if ev.number == 100 else Answer(number=ev.number)

        @step
        async def back(self, ev: Answer) -> Ask:
            return Ask(number=ev.number + 1)

    run = Loop().run()
    assert await run == 100
    assert run.counts.begun == {"begin": 1, "again": 101, "back": 100}
    assert run.counts.sent["back", Ask] == 100
    assert run.counts.taken[Ask, "again"] == 101


async def test_an_event_for_two_steps_is_sent_once_and_taken_twice():
    class Two(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask:
            return Ask(number=1)

        @step
        async def one(self, ev: Ask) -> None:
            pass

        @step
        async def other(self, ev: Ask) -> StopEvent:
            return StopEvent()

    run = Two().run()
    await run
    assert run.counts.sent["begin", Ask] == 1
    assert (run.counts.taken[Ask, "one"], run.counts.taken[Ask, "other"]) == (1, 1)


async def test_a_list_an_undeclared_send_and_one_from_outside_are_counted():
    class Many(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(number=number) for number in range(4)]

        @step
        async def ask(self, ctx: Context, ev: Ask) -> None:
            ctx.send_event(Again())

        @step
        async def end(self, ctx: Context, ev: Again) -> StopEvent | None:
            return StopEvent() if ctx.collect_events(ev, [Again] * 5) else None

    async with Many(disable_validation=True).run() as run:
        run.send_event(Ask(number=5))
        await run
    assert run.counts.sent == {
        (None, StartEvent): 1, (None, Ask): 1, ("begin", Ask): 4, ("ask", Again): 5, ("end", StopEvent): 1,
    }  # fmt: skip
    assert repr(draw_most_recent_execution(run)) == (
        "<Picture of Many: what a run did; 5 events went ways that no annotation names, 3 steps>"
    )


async def test_a_wait_that_was_answered_is_counted_at_the_step_that_waits():
    run = Waits().run()
    async with run:
        await anyio.sleep(1)
        run.send_event(Reply())
    assert run.counts.sent[None, Reply] == 1
    assert run.counts.taken[Reply, "begin"] == 1
    assert run.counts.begun == {"begin": 1}
    assert draw_most_recent_execution(run).to_svg().count("st-waits-way st-ran") == 1


class Reply(HumanResponseEvent):
    pass


class Waits(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.wait_for_event(Reply)
        return StopEvent()


async def test_attempts_after_the_first_do_not_count_and_a_recovery_does():
    class Fails(Workflow):
        @step(retry_policy=RetryPolicy(attempts=3))
        async def begin(self, ev: StartEvent) -> Ask:
            raise ValueError

        @catch_error
        async def recover(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent()

        @step
        async def never(self, ev: Ask) -> StopEvent: ...

    run = Fails().run()
    await run
    assert run.counts.begun == {"begin": 1, "never": 0, "recover": 1}
    assert run.counts.taken[StepFailedEvent, "recover"] == 1


async def test_a_join_is_counted_once_for_each_call_and_its_line_by_what_arrived():
    class Joins(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(number=number) for number in range(4)]

        @step(num_workers=1)
        async def ask(self, ev: Ask) -> Answer:
            await anyio.sleep(1)
            return Answer(number=ev.number)

        @step
        async def decide(self, answers: Annotated[list[Answer], First(2)]) -> StopEvent:
            return StopEvent()

    run = Joins().run()
    await run
    assert run.counts.begun == {"begin": 1, "ask": 2, "decide": 1}
    assert run.counts.taken[Answer, "decide"] == 2
    draw_most_recent_execution(run)


@pytest.mark.parametrize("early", [True, False])
async def test_a_wait_is_counted_as_taken_also_where_its_event_came_before(early: bool):
    async with Waits().run() as run:
        if not early:
            await anyio.sleep(1)
            assert run.waiting_for
        run.send_event(Reply())
    assert run.counts.begun == {"begin": 1}
    assert run.counts.taken[Reply, "begin"] == 1


class Question(InputRequiredEvent):
    pass


async def test_a_question_that_was_asked_as_a_wait_began_has_come_up():
    class Asks(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.wait_for_event(Reply, waiter_event=Question())
            await ctx.wait_for_event(Reply, waiter_event=Answer(number=1))  # tells something, and asks nobody
            return StopEvent()

    async with Asks().run() as run:
        for _ in range(2):
            await anyio.sleep(1)
            run.send_event(Reply())
    picture = draw_most_recent_execution(run)
    assert run.counts.sent["begin", Question] == 1
    assert ("begin", Answer) not in run.counts.sent
    assert "no annotation names" not in picture.to_html()


@pytest.mark.parametrize("early", [True, False])
async def test_a_join_that_waits_in_its_middle_has_begun_once(early: bool):
    class Asks(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]:
            return [Ask(number=number) for number in range(3)]

        @step
        async def decide(self, ctx: Context, asked: list[Ask]) -> StopEvent:
            await ctx.wait_for_event(Reply)
            return StopEvent()

    async with Asks().run() as run:
        if not early:
            await anyio.sleep(1)
            assert run.waiting_for
        run.send_event(Reply())
    assert run.counts.begun == {"begin": 1, "decide": 1}
    assert run.counts.taken[Reply, "decide"] == 1


async def test_only_so_many_classes_that_nothing_declares_are_told_apart():
    class Makes(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            for number in range(1_200):
                ctx.send_event(type(f"Made{number}", (Event,), {})())
            return StopEvent()

    run = Makes(disable_validation=True).run()
    await run
    assert len(run.counts.sent) < 1_010
    assert sum(count for (sender, _), count in run.counts.sent.items() if sender == "begin") == 1_201


async def test_a_stalled_run_shows_where_it_stopped(tmp_path: Any):
    class Stalls(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask | None:
            return Ask(number=1)

        @step
        async def ask(self, ev: Ask) -> StopEvent | None: ...

    run = Stalls().run()
    with pytest.raises(WorkflowStalledError):
        await run
    draw_most_recent_execution(run, tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text("utf-8")
    assert "what a run did" in page
    assert 'class="st-node st-stop st-idle"' in page


def test_who_asks_for_the_execution_of_a_class_is_told_what_to_give():
    with pytest.raises(TypeError, match=r"takes a run, as in run = workflow\.run\(\); await run, not "):
        draw_most_recent_execution(Poll)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_all_possible_flows_have_no_numbers():
    assert 'class="st-count"' not in draw_all_possible_flows(Poll).to_svg()
