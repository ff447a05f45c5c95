"""The agent answers in spite of a model that errs, uses tools at once, and ends when it must."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from examples import react_agent as agent
from examples.react_agent import (
    Agent,
    Call,
    Model,
    ModelError,
    Observation,
    Question,
    Reply,
    Token,
    TooManyTurnsError,
    open_model,
)
from stretto import Resource, StopEvent
from stretto.testing import Faults, TestRun, explore, faked

pytestmark = pytest.mark.anyio
REAL_TIME = pytest.mark.usefixtures("real_time")

ASKED = Question(text="how is it?")
ECHO = Reply("{0}")


@asynccontextmanager
async def served(
    *script: Reply, trouble: Mapping[int, str] | None = None, pause: float = 0
) -> AsyncIterator[Model]:
    """A model of this script, which the runs of the block talk to."""
    async with open_model(Model(script=script, trouble=trouble or {}, pause=pause)) as model:
        with Resource.override(open_model, model):
            yield model


async def answer_of(*script: Reply, trouble: Mapping[int, str] | None = None) -> tuple[str, Model]:
    """What the agent answers with a model of this script, and the model."""
    async with served(*script, trouble=trouble) as model:
        return await Agent().run(ASKED), model


async def observed(calls: Sequence[tuple[str, str]]) -> list[str]:
    """What the model is told of these calls."""
    _, model = await answer_of(Reply("", calls), Reply("done"))
    return [each["content"] for each in model.asked[-1]["messages"] if each["role"] == "tool"]


@REAL_TIME
async def test_the_program_prints_what_is_said_asked_again_and_observed(capsys: pytest.CaptureFixture[str]):
    await agent.main()
    answer = "Go to Rome: it has 15 degrees where you have 4, and the train takes 38 hours."
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "? I freeze in Oslo. Is it warmer in Rome or in Atlantis, and how far is it by train?",
        "  [429 Too Many Requests: asked again]",
        "I look at the weather in all three.",
        '  temperature {"city": "Oslo"}: 4',
        '  temperature {"city": "Rome"}: 15',
        '  temperature {"city": "Atlantis"}: LookupError: no weather station in Atlantis',
        "  [500 Internal Server Error: asked again]",
        "Nobody measures in Atlantis, so Rome it is.",
        "  [the line is dead: asked again]",
        "Nobody measures in Atlantis, so Rome it is. How far is that?",
        '  journey {"start": "Oslo", "e: ValueError: these arguments are not JSON: {"start": "Oslo", "e',
        "I was cut short. Once more.",
        '  journey {"start": "Oslo", "end": "Rome"}: 38',
        answer,
        f"= {answer}",
    ]


# ------------------------------------------------------------------------------------------------- the tools


@REAL_TIME
async def test_the_tools_that_the_model_asks_for_at_once_are_used_at_once(monkeypatch: pytest.MonkeyPatch):
    """Each waits until all three are at work, so one after the other would never end."""
    at_work: list[str] = []
    all_of_them = anyio.Event()

    async def meet(name: str) -> str:
        at_work.append(name)
        if len(at_work) == 3:
            all_of_them.set()
        await all_of_them.wait()
        return name

    monkeypatch.setitem(agent.TOOLS, "meet", meet)
    assert await observed([("meet", f'{{"name": "{each}"}}') for each in "abc"]) == ["a", "b", "c"]


@REAL_TIME
async def test_the_model_is_told_what_goes_wrong_with_a_call():
    fine, *wrong = await observed(
        [
            ("temperature", '{"city": "Rome"}'),
            ("temperature", '{"city": "Atlantis"}'),
            ("telepathy", "{}"),
            ("temperature", '{"city"'),
            ("temperature", '{"town": "Rome"}'),
            ("temperature", "[]"),
        ]
    )
    assert fine == "15"
    assert [each.partition(":")[0] for each in wrong] == [
        "LookupError",
        "LookupError",
        "ValueError",
        "TypeError",
        "TypeError",
    ]
    assert wrong[1].endswith("there is no tool telepathy, but: temperature, journey")
    assert "'town'" in wrong[3]


async def test_a_tool_that_is_too_slow_is_given_up_and_the_model_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(agent.TOOLS, "sleep", anyio.sleep_forever)
    turns = iter([[Call(turn=1, id="1", name="sleep", arguments="{}")], StopEvent(result="enough")])
    began = anyio.current_time()
    async with faked(Agent, think=turns)().run(ASKED) as run:
        (seen,) = [ev async for ev in run.stream_events() if isinstance(ev, Observation)]
        assert await run == "enough"
    assert seen.text.startswith("StepTimeoutError: Agent.act")
    assert anyio.current_time() - began == pytest.approx(2)


# ------------------------------------------------------------------------------------------------- the model


@REAL_TIME
async def test_the_model_is_sent_the_whole_conversation_and_what_tools_there_are():
    answer, model = await answer_of(Reply("so", [("temperature", '{"city": "Oslo"}')]), ECHO)
    assert answer == "4"
    *_, last = model.asked
    assert [each["role"] for each in last["messages"]] == ["user", "assistant", "tool"]
    (call,) = last["messages"][1]["tool_calls"]
    assert call["function"] == {"name": "temperature", "arguments": '{"city": "Oslo"}'}
    assert last["messages"][2]["tool_call_id"] == call["id"]
    assert [each["function"]["name"] for each in last["tools"]] == ["temperature", "journey"]
    assert last["tools"][1]["function"]["parameters"]["required"] == ["start", "end"]


@REAL_TIME
@pytest.mark.parametrize(
    "trouble", ["429 Too Many Requests", "500 Internal Server Error", "hangs up", "falls silent"]
)
async def test_what_may_pass_is_tried_again_and_leaves_nothing_in_the_conversation(trouble: str):
    answer, model = await answer_of(Reply("well and good"), trouble={1: trouble, 2: trouble})
    assert answer == "well and good"
    assert [len(each["messages"]) for each in model.asked] == [1, 1, 1]


@REAL_TIME
async def test_what_does_not_pass_comes_out_after_four_attempts():
    async with served(ECHO, trouble=dict.fromkeys(range(1, 9), "503 Service Unavailable")) as model:
        with pytest.raises(ModelError, match="503"):
            await Agent().run(ASKED)
        assert len(model.asked) == 4


@REAL_TIME
async def test_a_request_that_is_refused_is_not_sent_again():
    async with served(ECHO, trouble={1: "401 Unauthorized"}) as model:
        with pytest.raises(ModelError, match="401 Unauthorized"):
            await Agent().run(ASKED)
        assert len(model.asked) == 1


@REAL_TIME
async def test_a_model_that_never_answers_is_given_up_after_so_many_turns():
    async with served(Reply("again", [("temperature", '{"city": "Atlantis"}')] * 4)) as model:
        with pytest.raises(TooManyTurnsError, match="no answer after 3 turns"):
            await Agent(turns=3).run(ASKED)
        assert len(model.asked) == 3


@REAL_TIME
async def test_a_run_that_is_cancelled_in_the_middle_of_an_answer_hangs_up():
    """And a word is read while the model still speaks: it would speak for ten seconds."""
    async with served(Reply("word " * 1_000), pause=0.01) as model:
        async with Agent().run(ASKED) as run:
            async for ev in run.stream_events():
                if isinstance(ev, Token):
                    break
            await run.cancel()
        with anyio.fail_after(5):
            while not model.deserted:  # noqa: ASYNC110 - the other side is a server
                await anyio.sleep(0.01)


# ---------------------------------------------------------------------------------------- in all orders


async def two_calls(ev: agent.Turn) -> list[Call] | StopEvent[str]:
    if ev.number == 3:
        return StopEvent(result="done")
    return [
        Call(turn=ev.number, id=f"{ev.number}{city}", name="temperature", arguments=f'{{"city": "{city}"}}')
        for city in ("Oslo", "Atlantis")
    ]


@explore(faked(Agent, think=two_calls), start=ASKED, durations="any", max_schedules=60)
def test_whichever_tool_is_done_first_the_model_is_told_in_the_order_in_which_it_asked(run: TestRun):
    assert run.result == "done"
    told = [ev.call.id for ev in run.stream if isinstance(ev, Observation)]
    assert told == ["1Oslo", "1Atlantis", "2Oslo", "2Atlantis"]


@explore(
    faked(Agent, think=two_calls),
    start=ASKED,
    faults=Faults(raises=OSError, steps="act", most=2),
    max_schedules=60,
)
def test_whatever_a_tool_raises_the_agent_goes_on(run: TestRun):
    assert run.result == "done"
    assert not run.leaked_tasks
