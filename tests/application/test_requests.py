"""Request and reply: the reply comes to the step that asked, and so does what went wrong."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
    DefinitionError,
    Event,
    HumanResponseEvent,
    StartEvent,
    StopEvent,
    UndeclaredEventError,
    Workflow,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from tests.application.programs import Answer, Ask, Asker, Boom, Closer, Oracle, Station, Trade, Traded

pytestmark = pytest.mark.anyio


async def test_a_reply_comes_to_the_step_that_asked_and_it_may_ask_again():
    oracle = Oracle()
    async with Application(asker=Asker(), oracle=oracle) as app:
        began = anyio.current_time()
        assert await app.run("asker") == 110
        assert anyio.current_time() - began == pytest.approx(2)
    assert oracle.log == ["asked 1", "left 1", "asked 10", "left 10"]
    assert len(app.dead_letters) == 0


async def test_two_requests_at_once_never_meet():
    class Meets(Workflow):
        @step
        async def collect(self, ctx: Context, ev: Ask) -> Answer | None:
            ctx.collect_events(ev, [Ask] * 2)
            await anyio.sleep(ev.seconds)
            return Answer(n=ev.n)

    class Two(Workflow[list[int]]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[list[int]] | Ask:
            got: list[int] = []

            async def one(n: int) -> None:
                got.append((await ctx.request(Ask(n=n, seconds=3 - n), Answer)).n)

            async with anyio.create_task_group() as tg:
                for n in range(3):
                    tg.start_soon(one, n)
            return StopEvent(result=got)

    async with Application(two=Two(), meets=Meets()) as app:
        assert await app.run("two") == [2, 1, 0]


async def test_a_request_frees_the_worker_of_its_step_meanwhile():
    class Many(Workflow[list[int]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> None:
            for n in range(8):
                ctx.send_event(Trade(sku=str(n)))

        @step(num_workers=1)
        async def ask(self, ctx: Context, ev: Trade) -> Ask | Traded:
            await ctx.request(Ask(n=int(ev.sku), seconds=2), Answer)
            return Traded(sku=ev.sku)

        @step
        async def end(self, ctx: Context, ev: Traded) -> StopEvent[int] | None:
            got = ctx.collect_events(ev, [Traded] * 8)
            return StopEvent(result=len(got)) if got else None

    async with Application(many=Many(), oracle=Oracle()) as app:
        began = anyio.current_time()
        assert await app.run("many") == 8
        assert anyio.current_time() - began == pytest.approx(2)


async def test_what_the_receiver_raises_comes_out_bare_where_it_was_asked():
    class Catches(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Ask:
            try:
                await ctx.request(Ask(n=7, fails=True), Answer)
            except Boom as error:
                return StopEvent(result=f"caught {error}")
            return StopEvent(result="not")

    async with Application(a=Catches(), oracle=Oracle()) as app:
        assert await app.run("a") == "caught 7"
    async with Application(asker=Asker(), oracle=Oracle()) as app:
        with pytest.raises(Boom) as caught:
            await app.run("asker", fails=True)
    notes = "\n".join(caught.value.__notes__)
    assert "Oracle.answer" in notes
    assert "Asker.ask" in notes


async def test_a_receiver_that_is_late_is_a_timeout_at_the_asker_and_is_ended():
    oracle = Oracle()
    async with Application(asker=Asker(), oracle=oracle) as app:
        began = anyio.current_time()
        with pytest.raises(WorkflowTimeoutError) as caught:
            await app.run("asker", seconds=9, timeout=3)
        assert anyio.current_time() - began == pytest.approx(3)
    # The time was that of the request, and not one that the class of the receiver has.
    assert re.fullmatch(
        r"Asker\.ask \(programs\.py:\d+\) asked oracle \(Oracle\), and no Answer came within the 3 s of the request; "
        r"active: answer x1 for 3 s",
        str(caught.value),
    )
    assert (caught.value.timeout, list(caught.value.active)) == (3, ["answer"])
    assert oracle.log == ["asked 1", "left 1"]


async def test_the_time_limit_of_the_receivers_class_and_of_the_caller_hold_too():
    async with Application(asker=Asker(), oracle=Oracle(timeout=2)) as app:
        with pytest.raises(WorkflowTimeoutError, match=r"^Oracle timed out after 2 s"):
            await app.run("asker", seconds=9, timeout=30)
    async with Application(asker=Asker(timeout=4), oracle=Oracle()) as app:
        with pytest.raises(WorkflowTimeoutError, match=r"^Asker timed out after 4 s"):
            await app.run("asker", seconds=9, timeout=30)


async def test_the_request_inherits_what_remains_of_the_callers_time():
    seen: list[float | None] = []

    class Looks(Workflow):
        @step
        async def look(self, ctx: Context, ev: Ask) -> Answer:
            seen.append(ctx.remaining)
            return Answer()

    async with Application(asker=Asker(timeout=20), looks=Looks(timeout=None)) as app:
        await app.run("asker")
    assert seen == [20, 20]


async def test_a_caller_that_is_cancelled_cancels_its_request_and_waits_for_its_end():
    class Gives(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Ask:
            with anyio.move_on_after(2):
                await ctx.request(Ask(seconds=60), Answer)
            return StopEvent(result=",".join(oracle.log))

    oracle = Oracle()
    async with Application(a=Gives(), oracle=oracle) as app:
        assert await app.run("a") == "asked 0,left 0"


async def test_inner_clean_ups_come_before_outer_ones_when_the_root_stops_over_two_requests():
    log: list[str] = []

    class Middle(Event):
        pass

    class Outer(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> Middle | None:
            try:
                await ctx.request(Middle(), Traded)
            finally:
                log.append("outer")

        @step
        async def end(self, ev: StartEvent) -> StopEvent[str]:
            await anyio.sleep(2)
            return StopEvent(result="ended")

    class Between(Workflow):
        @step
        async def ask(self, ctx: Context, ev: Middle) -> Ask | Traded:
            try:
                await ctx.request(Ask(seconds=60), Answer)
            finally:
                log.append("between")
            return Traded(sku="x")

    class Inner(Workflow):
        @step
        async def work(self, ev: Ask) -> Answer:
            try:
                await anyio.sleep(60)
            finally:
                log.append("inner")
            return Answer()

    async with Application(outer=Outer(), between=Between(), inner=Inner()) as app:
        assert await app.run("outer") == "ended"
        assert log == ["inner", "between", "outer"]


async def test_the_reply_may_come_many_steps_and_members_later():
    class Front(Workflow):
        @step
        async def take(self, ev: Ask) -> Trade:
            return Trade(sku=str(ev.n))

    class Back(Workflow):
        @step
        async def trade(self, ev: Trade) -> Answer:
            await anyio.sleep(1)
            return Answer(n=int(ev.sku) + 1)

    async with Application(asker=Asker(), front=Front(), back=Back()) as app:
        assert await app.run("asker") == 2 + 3


async def test_the_receiver_may_ask_back_into_the_run_whose_step_waits():
    class Question(Event):
        pass

    class Detail(Event):
        text: str

    class A(Workflow[int]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[int] | Ask:
            return StopEvent(result=(await ctx.request(Ask(n=3), Answer)).n)

        @step
        async def detail(self, ev: Question) -> Detail:
            return Detail(text="xx")

    class B(Workflow):
        @step
        async def answer(self, ev: Ask) -> Question:
            return Question()

        @step
        async def detailed(self, ev: Detail) -> Answer:
            return Answer(n=len(ev.text))

    async with Application(a=A(), b=B()) as app:
        assert await app.run("a") == 2


async def test_a_request_that_nobody_can_answer_fails_at_once_where_it_was_asked():
    class Silent(Workflow):
        @step
        async def hear(self, ev: Ask) -> Answer | None:
            return None

    class Catches(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Ask:
            try:
                await ctx.request(Ask(), Answer, timeout=9)
            except WorkflowStalledError as error:
                return StopEvent(result=str(error))
            return StopEvent(result="not")

    async with Application(a=Catches(), silent=Silent()) as app:
        began = anyio.current_time()
        told = await app.run("a")
        assert anyio.current_time() == began
    assert "no Answer came" in told
    assert "Silent.hear" in told


async def test_a_request_that_let_something_out_waits_until_all_stands_still():
    class Question(Event):
        pass

    class A(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Ask:
            try:
                await ctx.request(Ask(), Answer)
            except WorkflowStalledError:
                return StopEvent(result=f"after {anyio.current_time() - began:.0f}")
            return StopEvent(result="not")

        @step
        async def quietly(self, ev: Question) -> None:
            await anyio.sleep(4)

    class B(Workflow):
        @step
        async def answer(self, ev: Ask) -> Question | Answer:
            return Question()

    async with Application(a=A(), b=B()) as app:
        began = anyio.current_time()
        assert await app.run("a") == "after 4"


async def test_call_cycles_do_not_deadlock_and_end_fifty_deep_with_the_chain():
    class Back(Event):
        pass

    class A(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent | Back) -> Ask | Traded | StopEvent:
            await ctx.request(Ask(), Answer)
            return Traded(sku="x")

    class B(Workflow):
        @step
        async def answer(self, ctx: Context, ev: Ask) -> Back | Answer:
            await ctx.request(Back(), Traded)
            return Answer()

    async with Application(a=A(), b=B()) as app:
        with pytest.raises(WorkflowError, match=r"50 requests deep: . <- . <- ") as caught:
            await app.run("a")
    assert type(caught.value) is WorkflowError


async def test_what_follows_after_the_reply_belongs_to_the_conversation_around():
    class Goes(Workflow):
        @step
        async def answer(self, ctx: Context, ev: Ask) -> Answer | None:
            ctx.send_event(Answer(n=5))
            await anyio.sleep(ev.seconds)
            if ev.fails:
                raise Boom("later")
            return None

    class Once(Workflow[int]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[int] | Ask:
            got = await ctx.request(Ask(seconds=6, fails=ev.fails), Answer, timeout=3)
            assert anyio.current_time() == began
            return StopEvent(result=got.n)

    async with Application(a=Once(), b=Goes()) as app:
        began = anyio.current_time()
        assert await app.run("a", fails=False) == 5
        assert anyio.current_time() - began == pytest.approx(
            6
        )  # it is finished, past the time of the request
        began = anyio.current_time()
        with pytest.raises(Boom, match="later"):
            await app.run("a", fails=True)


async def test_a_reply_past_the_deadline_is_a_dead_letter_and_a_timeout():
    class Stubborn(Workflow):
        @step
        async def answer(self, ev: Ask) -> Answer:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(9)
            return Answer(n=1)

    async with Application(asker=Asker(), stubborn=Stubborn()) as app:
        with pytest.raises(WorkflowTimeoutError):
            await app.run("asker", timeout=3)
    assert [letter.event for letter in app.dead_letters] == [Answer(n=1)]


async def test_an_application_is_asked_from_outside():
    oracle = Oracle()
    async with Application(oracle=oracle, external=[Ask]) as app:
        assert (await app.request(Ask(n=4), reply=Answer)).n == 40
        with pytest.raises(Boom):
            await app.request(Ask(n=4, fails=True), reply=Answer)
        with pytest.raises(WorkflowTimeoutError) as caught:
            await app.request(Ask(n=4, seconds=9), reply=Answer, timeout=2)
        assert str(caught.value) == (
            "app.request(…, reply=Answer) asked oracle (Oracle), and no Answer came within the 2 s of the request; "
            "active: answer x1 for 2 s"
        )
        with anyio.move_on_after(1):
            await app.request(Ask(n=4, seconds=9), reply=Answer)
        with pytest.raises(DefinitionError, match="no member"):
            await app.request(Trade(sku="x"), reply=Traded)
    assert oracle.log.count("asked 4") == oracle.log.count("left 4") == 4


async def test_a_question_that_its_class_does_not_name_is_an_error():
    class Sneaks(Workflow):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.request(Ask(), Answer)
            return StopEvent()

    async with Application(a=Sneaks(), b=Oracle(), external=[Ask]) as app:
        with pytest.raises(UndeclaredEventError, match=r"Sneaks\.ask"):
            await app.run("a")


async def test_outside_of_an_application_nobody_can_be_asked():
    with pytest.raises(WorkflowError, match="in no Application"):
        await Asker(disable_validation=True).run()


@pytest.mark.parametrize("wrong", [{"ev": 3}, {"reply": 3}, {"reply": StopEvent}, {"timeout": -1}])
async def test_what_makes_no_sense_as_a_request_is_refused(wrong: dict[str, Any]):
    class Asks(Workflow):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent | Ask:
            await ctx.request(**{"ev": Ask(), "reply": Answer, **wrong})
            return StopEvent()

    async with Application(a=Asks(), b=Oracle()) as app:
        with pytest.raises((TypeError, DefinitionError)):
            await app.run("a")


async def test_a_request_in_a_request_that_is_fed_from_outside_waits_for_it():
    class Human(Workflow):
        @step
        async def answer(self, ctx: Context, ev: Ask) -> Answer:
            return Answer(n=(await ctx.wait_for_event(HumanResponseEvent)).n)

    async with Application(asker=Asker(), human=Human()) as app, app.run("asker") as run:
        for n in (1, 2):
            await anyio.sleep(3)
            run.send_event(HumanResponseEvent(n=n))
        assert await run == 3


async def test_three_deliveries_in_one_run_of_which_the_first_stops_it():
    class Three(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            for n in range(3):
                ctx.send_event(Trade(sku=str(n), seconds=n))
            return StopEvent(result="sent")

    closer = Closer()
    async with Application(a=Three(), b=closer, on_stop="cancel") as app:
        assert await app.run("a") == "sent"
    closer = Closer()
    async with Application(a=Three(), b=closer) as app:
        assert await app.run("a") == "sent"
    assert [line for line in closer.log if "end" in line] == ["end 0", "end 1", "end 2"]


async def test_the_asking_step_is_named_while_it_waits():
    async with (
        Application(asker=Asker(timeout=5), oracle=Oracle(timeout=None)) as app,
        app.run("asker", seconds=60) as run,
    ):
        await anyio.sleep(1)
        assert [each.step for each in run.waiting_for] == ["ask"]
        with pytest.raises(WorkflowTimeoutError, match=r"Asker.ask .* for the reply Answer"):
            await run


async def test_a_station_that_is_asked_answers_with_what_it_would_send():
    class Buys(Workflow[str]):
        @step
        async def buy(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            return StopEvent(result=(await ctx.request(Trade(sku="tea"), Traded)).sku)

    async with Application(a=Buys(), b=Station()) as app:
        assert await app.run("a") == "tea"


async def test_what_another_run_of_its_conversation_sends_and_the_receiver_takes_is_not_the_reply():
    class Detail(Event):
        n: int

    class Asks(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int] | Ask:
            return StopEvent(result=(await ctx.request(Ask(n=3), Answer)).n)

    class Front(Workflow):
        @step
        async def ask(self, ev: Ask) -> Detail:
            return Detail(n=ev.n)

        @step
        async def check(self, ev: Answer) -> Answer:
            return Answer(n=ev.n + 1)

    class Back(Workflow):
        @step
        async def look(self, ev: Detail) -> Answer:
            return Answer(n=10 * ev.n)

    async with Application(asks=Asks(), front=Front(), back=Back()) as app:
        assert await app.run("asks") == 31
