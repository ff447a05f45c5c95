"""`stretto run --progress`: lines where stderr is no terminal, a board where it is one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from stretto.cli.standing import Standing, told
from stretto.events import Event, StepProgress, StepStateChanged
from tests.cli.conftest import Command

HERE = Path(__file__).parent


@pytest.mark.usefixtures("virtual_time")
def test_without_a_terminal_each_progress_is_a_line_and_the_end_is_a_summary(
    stretto: Command, anyio_backend_name: str
):
    said = stretto("run", "shop:Steps", "--progress", "--backend", anyio_backend_name)
    assert (said.code, said.out) == (0, "done\n")
    assert said.err.split("\n") == [
        "ask: ##########---------- 1/2 asks 0",
        "ask: #################### 2/2 asks 0",
        "ask: ##########---------- 1/2 asks 1",
        "ask: #################### 2/2 asks 1",
        "ask: ##########---------- 1/2 asks 2",
        "ask: #################### 2/2 asks 2",
        "begin        0 at work, 0 queued, 1 done",
        "ask          0 at work, 0 queued, 3 done",
        "end          0 at work, 0 queued, 3 done",
        "",
    ]


def test_a_run_that_fails_is_shown_to_its_end(stretto: Command):
    said = stretto("run", "shop:Broken", "--progress")
    assert said.code == 1
    assert said.err.startswith("divide       0 at work, 0 queued, 1 done\nTraceback")


QUICK = """
from stretto import Context, StartEvent, StopEvent, Workflow, step

class Quick(Workflow[str]):
    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        ctx.progress(1, 4, "[red]half[/red]")
        await ctx.sleep(0.01)
        return StopEvent(result="done")
"""


def test_in_a_terminal_a_board_is_drawn_and_the_result_stays_apart(anyio_backend_name: str, tmp_path: Path):
    (tmp_path / "flow.py").write_text(QUICK, "utf-8")
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "stretto",
        "run",
        "flow:Quick",
        "--progress",
        "--backend",
        anyio_backend_name,
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=False,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    drawn = os.read(ours, 10_000).decode()
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert "0 at work, 0 queued, 1 done" in drawn
    assert "\x1b[" in drawn


def state(name: str, state: str) -> StepStateChanged:
    return StepStateChanged(name=name, state=state, event=Event())


def test_what_is_queued_is_shown_also_of_a_step_that_has_not_begun():
    standing = Standing()
    standing.take(state("begin", "running"))
    assert list(standing.lines({"ask": 3})) == [
        "begin        1 at work, 0 queued, 0 done",
        "ask          0 at work, 3 queued, 0 done",
    ]


def test_progress_is_shown_until_who_told_it_ends():
    standing = Standing()
    standing.take(state("ask", "running"))
    standing.take(StepProgress(step="ask", done=1, total=2, text="half"))
    assert list(standing.lines({})) == [
        "ask          1 at work, 0 queued, 0 done  ##########---------- 1/2 half"
    ]
    standing.take(state("ask", "ended"))
    assert list(standing.lines({})) == ["ask          0 at work, 0 queued, 1 done"]


@pytest.mark.parametrize(
    ("done", "total", "text", "says"),
    [
        (3, None, "pages", "3 pages"),
        (3, 0, "", "3"),
        (5, 2, "", "#################### 5/2"),
        (-1, 2, "", "-------------------- -1/2"),
        (0.5, 1, "\x1b[2J\u202e", "##########---------- 0.5/1 \\x1b[2J\\u202e"),
    ],
)
def test_whatever_a_step_tells_is_shown_in_one_harmless_line(
    done: float, total: float | None, text: str, says: str
):
    assert told(StepProgress(step="x", done=done, total=total, text=text)) == says


@pytest.mark.parametrize(
    ("done", "total", "said"),
    [
        (1, 10**400, "-------------------- 1/inf"),
        (10**400, 10**400, "inf"),
        (-(10**400), None, "-inf"),
        (float("nan"), 3, "nan"),
        (1, float("nan"), "1"),
        (5, 3, "#################### 5/3"),
    ],
)
def test_no_number_is_too_odd_to_be_told(done: float, total: float | None, said: str):
    assert told(StepProgress(step="ask", done=done, total=total, text="")) == said
