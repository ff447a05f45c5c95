"""Each payment is made once or is a dead letter with its reason, however the night ends."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import anyio
import pytest

from examples import batch_job
from examples.batch_job import (
    ACCOUNTS,
    Bank,
    Letter,
    Letters,
    Payments,
    RefusedError,
    Summary,
    night,
    written,
)
from stretto import WorkflowTimeoutError
from stretto.testing import Faults, TestRun, explore

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One payment that can be made at once, one that never can, and one after some attempts."""
    path = tmp_path / "letters.jsonl"
    path.write_text(written(Letter(name, 1) for name in ("Baker", "Nobody", "Printer")), "utf-8")
    return path


def left(file: Path) -> dict[str, str]:
    return {
        letter["name"]: letter["reason"] for letter in map(json.loads, file.read_text("utf-8").splitlines())
    }


async def test_the_program_prints_two_nights(capsys: pytest.CaptureFixture[str]):
    began = anyio.current_time()
    await batch_job.main()
    assert capsys.readouterr().out.splitlines() == [
        "first night: 4 paid, 2 of them not at once; 2 dead letters",
        "  400 euros for Plumer: nobody called Plumer has an account",
        "  900 euros for Tax office: all lines are busy",
        "second night: 2 paid, 1 of them not at once; 0 dead letters",
        "each was paid once: True",
    ]
    first = (
        2 * 0.02 + 0.05 + 0.02 + 0.1 + 0.02
    )  # the tax office is fourth, begins in the second row, is tried three times
    assert anyio.current_time() - began == pytest.approx(first + 0.02 + 0.05 + 0.02)


async def test_what_is_refused_is_tried_once_and_what_is_busy_three_times(file: Path):
    bank = Bank(busy=Counter(Printer=2, Nobody=0))
    assert await night(bank, file) == Summary(paid=2, again=1, dead=1)
    assert left(file) == {"Nobody": "nobody called Nobody has an account"}
    bank = Bank(busy=Counter(Nobody=3))
    assert await night(bank, file) == Summary(paid=0, again=0, dead=1)
    assert left(file) == {"Nobody": "all lines are busy"}
    assert bank.busy == {"Nobody": 0}


async def test_a_night_without_payments_has_a_summary(tmp_path: Path):
    (tmp_path / "letters.jsonl").write_text("")
    assert await night(Bank(), tmp_path / "letters.jsonl") == Summary(paid=0, again=0, dead=0)


async def test_a_night_that_runs_out_of_time_says_what_is_in_doubt(file: Path):
    """Two have an answer by then, and the third is being tried again: the bank may have done it by now."""
    bank = Bank(busy=Counter(Printer=1))
    with pytest.raises(WorkflowTimeoutError):
        await night(bank, file, timeout=0.08)
    assert bank.paid == ["Baker"]
    assert left(file) == {
        "Nobody": "nobody called Nobody has an account",
        "Printer": "in doubt: ask the bank",
    }


async def test_a_night_that_is_cancelled_leaves_what_had_not_begun_as_it_was(tmp_path: Path):
    path = tmp_path / "letters.jsonl"
    path.write_text(written(Letter(name, 1) for name in sorted(ACCOUNTS)), "utf-8")
    with anyio.move_on_after(0.01) as scope:
        await night(Bank(busy=Counter[str]()), path)
    assert scope.cancelled_caught
    assert [*left(path).values()] == ["in doubt: ask the bank"] * 3 + ["new"] * 3


async def test_between_two_attempts_a_payment_is_not_in_doubt(file: Path):
    with anyio.move_on_after(0.05) as scope:
        await night(Bank(busy=Counter(Printer=1)), file)
    assert scope.cancelled_caught
    assert left(file)["Printer"] == "all lines are busy"


async def test_an_attempt_that_would_come_after_the_night_is_not_waited_for(file: Path):
    began = anyio.current_time()
    assert (await night(Bank(busy=Counter(Printer=1)), file, timeout=0.05)).dead == 2
    assert anyio.current_time() - began == pytest.approx(0.02)


# -------------------------------------------------------------------------------------------- in all orders

NAMES = ("Baker", "Nobody", "Printer", "Florist")


def payments() -> Payments:
    letters = {name: Letter(name, 1) for name in NAMES}
    return Payments(Bank(busy=Counter(Printer=1)), Letters(Path("unused"), letters))


@explore(
    payments,
    durations="any",
    faults=Faults(raises=RefusedError, steps="pay", cancel=True, timeout=True),
    max_schedules=150,
)
def test_however_a_night_goes_each_payment_is_made_once_or_is_a_letter(run: TestRun):
    paid = run.workflow.bank.paid
    assert len(paid) == len({*paid})
    assert {*paid} | {*run.workflow.letters.open} == {*NAMES}
    assert not {*paid} & {*run.workflow.letters.open}
    assert not run.leaked_tasks
    if run.error is None:
        assert run.result.paid + run.result.dead == len(NAMES)
