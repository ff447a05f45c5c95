"""A day passes in milliseconds, the same each time; and whatever is late, no loaf is lost."""

from __future__ import annotations

from time import perf_counter

import anyio
import pytest

from examples import day_long_flow as bakery
from examples.day_long_flow import (
    BATCHES,
    CLOSES,
    CUSTOMERS,
    HOUR,
    LOAVES,
    MINUTE,
    OPENS,
    Bakery,
    Note,
    OvenError,
)
from stretto.testing import Faults, TestRun, explore, virtual_run
from tests import virtual

pytestmark = pytest.mark.anyio

DIARY = """\
05:00 batch 1 is in the oven
05:30 batch 2 is in the oven
05:40 the oven has gone out under batch 2
05:50 batch 1 is on the shelf
05:55 batch 2 is in the oven
06:00 batch 3 is in the oven
06:45 batch 2 is on the shelf
06:45 batch 4 is in the oven
06:50 batch 3 is on the shelf
07:35 batch 4 is on the shelf
08:00 the mill is called
11:00 no flour yet, so somebody drives to the other mill
12:40 there is flour
17:00 10 customers find no bread
18:00 the shop is closed
100 loaves sold, 0 left, 10 customers sent away
flour that came too late: 1
"""


async def test_the_day_has_its_diary_and_ends_at_six(capsys: pytest.CaptureFixture[str]):
    began = anyio.current_time()
    await bakery.main()
    assert capsys.readouterr().out == DIARY
    assert anyio.current_time() - began == CLOSES * HOUR


@pytest.mark.parametrize("backend", virtual.BACKENDS)
def test_a_day_takes_no_time(backend: str):
    began = perf_counter()
    assert virtual_run(Bakery().run, backend=backend).sold == 100
    assert perf_counter() - began < 5


@pytest.mark.parametrize(("van", "minute"), [(9.5, "09:30"), (11.25, "12:40")])
async def test_the_van_is_waited_for_until_eleven(
    van: float, minute: str, capsys: pytest.CaptureFixture[str]
):
    await bakery.main(van)
    diary = capsys.readouterr().out
    assert f"{minute} there is flour" in diary
    assert ("drives" in diary) == (van > 11)
    assert f"too late: {int(van > 11)}" in diary


async def test_an_oven_that_never_burns_fails_the_day():
    began = anyio.current_time()
    with pytest.raises(OvenError, match="batch 3") as caught:
        await Bakery(goes_out={3: 3}).run()
    assert "attempt 3" in "".join(caught.value.__notes__)
    three_attempts = 3 * 10 * MINUTE + 2 * 15 * MINUTE
    assert anyio.current_time() - began == 6 * HOUR + three_attempts


async def test_a_day_that_is_called_off_ends_at_once():
    began = anyio.current_time()
    with anyio.move_on_after(6 * HOUR):
        await Bakery().run()
    assert anyio.current_time() - began == 6 * HOUR


def loaves(run: TestRun) -> int:
    return LOAVES * sum(ev.text.endswith("on the shelf") for ev in run.stream if isinstance(ev, Note))


@explore(Bakery, durations="jitter", max_schedules=40)
def test_no_loaf_is_lost_and_no_customer_is_counted_twice(run: TestRun):
    day = run.result
    assert day.sold + day.loaves == loaves(run) <= BATCHES * LOAVES
    assert day.sold + day.sent_away == CUSTOMERS * (CLOSES - OPENS)
    assert not run.leaked_tasks


@explore(Bakery, faults=Faults(raises=OvenError, steps="bake", most=2, cancel=True), max_schedules=40)
def test_whatever_happens_to_the_oven_nobody_is_left_in_the_shop(run: TestRun):
    assert not run.leaked_tasks
    assert run.error is not None or run.result.sold + run.result.loaves == loaves(run)
