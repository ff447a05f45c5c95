"""Each claim is decided once, by somebody who was asked and answered in time, or by nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from examples import approval
from examples.approval import ANSWERS, CLAIMS, HOUR, Approval, Claim, Decided, Question, Submitted, Verdict
from stretto import Handler
from stretto.testing import Faults, TestRun, expect, explore

pytestmark = pytest.mark.anyio

TEA = Claim("tea", 5, 2)


async def decided(answers: Mapping[tuple[str, str], tuple[float, bool]], *claims: Claim) -> list[Decided]:
    """What becomes of these claims where people answer so."""
    async with Approval().run(Submitted(claims=claims)) as run, anyio.create_task_group() as office:
        async for ev in run.stream_events():
            if isinstance(ev, Question):
                office.start_soon(approval.answer, run, ev, answers)
        office.cancel_scope.cancel()
    return await run


async def test_the_program_prints_who_is_asked_and_what_is_decided(capsys: pytest.CaptureFixture[str]):
    began = anyio.current_time()
    await approval.main()
    assert capsys.readouterr().out.splitlines() == [
        *(f"Ada is asked about the {claim.what}" for claim in CLAIMS),
        "train: Ada says yes",
        "Eve is asked about the yacht",
        "Kim is asked about the yacht",
        "Eve is asked about the party",
        "Eve is asked about the server",
        "yacht: nobody has answered",
        "server: Eve says no",
        "Kim is asked about the party",
        "party: Kim says yes",
        "approved: 4080 euros",
        "too late: Verdict(person='Ada', what='server', yes=True)",
    ]
    assert anyio.current_time() - began == pytest.approx(8 * HOUR)


@pytest.mark.parametrize(
    ("answers", "person", "yes", "hours"),
    [
        ({("Ada", "tea"): (1, True)}, "Ada", True, 1),
        ({("Ada", "tea"): (1, False)}, "Ada", False, 1),
        ({("Eve", "tea"): (1, True)}, "Eve", True, 3),
        ({("Ada", "tea"): (3, True), ("Eve", "tea"): (1.5, False)}, "Eve", False, 3.5),
        ({("Kim", "tea"): (1.5, True)}, "Kim", True, 5.5),
        ({}, None, False, 6),
    ],
)
async def test_the_first_who_answers_in_time_decides(
    answers: dict[Any, Any], person: str | None, yes: bool, hours: float
):
    began = anyio.current_time()
    assert await decided(answers, TEA) == [Decided(claim=TEA, person=person, yes=yes)]
    assert anyio.current_time() - began == pytest.approx(hours * HOUR)


async def test_a_hundred_claims_wait_at_once():
    claims = [Claim(f"tea {number}", number, 2) for number in range(100)]
    began = anyio.current_time()
    outcome = await decided({("Eve", claim.what): (1, True) for claim in claims}, *claims)
    assert [each.claim for each in outcome if each.person == "Eve"] == claims
    assert anyio.current_time() - began == pytest.approx(3 * HOUR)


async def test_no_claims_are_decided_at_once():
    assert await decided({}) == []


async def test_who_is_cancelled_waits_for_nobody():
    async with Approval().run(Submitted(claims=[TEA])) as run:
        await expect(run, Question, within=1)
        (waiting,) = run.waiting_for
        assert waiting.step == "ask"
        await run.cancel()
    assert not run.waiting_for


# -------------------------------------------------------------------------------------------- in all orders


async def answer_in_turn(run: Handler[Any]) -> None:
    """Ada and Eve answer about the tea, each after an hour or two."""
    for person, yes in (("Ada", True), ("Eve", False)):
        await anyio.sleep(1.5 * HOUR)
        if not run.done:
            run.send_event(Verdict(person=person, what="tea", yes=yes))


@explore(
    Approval,
    start=Submitted(claims=[TEA, Claim("milk", 2, 1)]),
    beside=answer_in_turn,
    durations="jitter",
    faults=Faults(cancel=True),
    max_schedules=100,
)
def test_each_claim_is_decided_once_and_by_nobody_who_was_not_in_time(run: TestRun):
    asked = {(ev.person, ev.claim.what) for ev in run.stream if isinstance(ev, Question)}
    made = [ev for ev in run.stream if isinstance(ev, Decided)]
    assert len({ev.claim.what for ev in made}) == len(made)
    assert all((ev.person, ev.claim.what) in asked for ev in made if ev.person is not None)
    assert not run.leaked_tasks
    if run.error is None:
        assert [each.claim.what for each in run.result] == ["tea", "milk"]


def test_whether_an_answer_is_in_time_is_all_that_decides():
    explored = explore(
        Approval, start=Submitted(claims=[TEA]), beside=answer_in_turn, durations="jitter", max_schedules=100
    )
    said = {outcome.said for outcome in explored.outcomes("asyncio")}
    assert len(said) >= 2, said


def test_those_who_answer_are_in_the_chain():
    assert {person for person, _ in ANSWERS} <= {*approval.CHAIN}
