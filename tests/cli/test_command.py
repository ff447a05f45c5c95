"""The command as a whole, `stretto draw`, `stretto explore`, and what happens in a real terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stretto.cli import main
from tests.cli.conftest import Command

HERE = Path(__file__).parent


def test_without_a_command_the_commands_are_shown(stretto: Command):
    said = stretto()
    assert said.code == 0
    for name in ("run", "check", "draw", "explore"):
        assert re.search(rf"^    {name} ", said.out, re.MULTILINE)
    assert stretto("--version").out.startswith("stretto 0.")


def test_a_command_that_is_none_is_told(stretto: Command):
    said = stretto("rnu")
    assert (said.code, said.out) == (2, "")
    assert "invalid choice: 'rnu'" in said.err
    assert stretto("--bla").err == "stretto: there is no option --bla; stretto --help shows what there is\n"


def test_a_picture_is_drawn_to_stdout_or_to_a_file(stretto: Command, tmp_path: Path):
    said = stretto("draw", "shop:Orders")
    assert said.code == 0
    assert said.out.startswith("flowchart TD\n")
    file = tmp_path / "orders.mmd"
    assert stretto("draw", "shop:Orders", "-o", str(file)) == (0, "", "")
    assert file.read_text("utf-8") == said.out
    assert "subgraph" in stretto("draw", "shop:app").out


def test_the_demo_runs_in_two_seconds_and_writes_three_pages(
    stretto: Command, virtual_time: None, anyio_backend_name: str, tmp_path: Path
):
    said = stretto("demo", "--backend", anyio_backend_name, "-o", f"{tmp_path}/shown")
    assert (said.code, said.err) == (0, "")
    assert "Offer(shop='Dock', cents=80), after 1.3 s; one by one: 3.7 s" in said.out
    assert "WorkflowTimeoutError: Cheapest timed out after 0.8 s" in said.out
    assert "cleaned up: 3 steps" in said.out
    for name, title in (
        ("picture", "Cheapest: all"),
        ("done", "Cheapest: done"),
        ("timed-out", "Cheapest: timed out"),
    ):
        assert f"<title>{title}" in (tmp_path / "shown" / f"{name}.html").read_text("utf-8")
    (tmp_path / "file").write_text("", "utf-8")
    assert stretto("demo", "-o", f"{tmp_path}/file").code == 2


@pytest.mark.parametrize(
    ("end", "begin"), [("svg", "<svg"), ("html", "<!doctype html>"), ("dot", "digraph"), ("txt", "Orders\n")]
)
def test_the_end_of_the_name_says_the_form_of_the_picture(
    stretto: Command, tmp_path: Path, end: str, begin: str
):
    file = tmp_path / f"orders.{end}"
    assert stretto("draw", "shop:Orders", "-o", str(file)) == (0, "", "")
    assert file.read_text("utf-8").startswith(begin)
    form = "ascii" if end == "txt" else end
    assert stretto("draw", "shop:Orders", "--format", form).out == file.read_text("utf-8")


def test_a_picture_that_cannot_be_written_is_told(stretto: Command, tmp_path: Path):
    assert stretto("draw", "shop:Orders", "-o", f"{tmp_path}/x.gif").err.startswith(
        f"stretto: -o {tmp_path}/x.gif: "
    )
    said = stretto("draw", "shop:Orders", "-o", f"{tmp_path}/no/x.mmd")
    assert said == (2, "", f"stretto: -o {tmp_path}/no/x.mmd: No such file or directory\n")


def test_exploring_shows_each_outcome_with_a_token_that_repeats_it(stretto: Command):
    said = stretto("explore", "shop:Race", "--exhaustive", "--backend=asyncio")
    assert said.code == 1
    assert said.out.startswith("2 outcomes in ")
    token = re.findall(r"x 1   e\.g\. replay='([^']+)'", said.out)[0]
    again = stretto("explore", "shop:Race", "--replay", token, "--backend=asyncio")
    assert again.code == 0
    assert "result=1" in again.out
    assert stretto("explore", "shop:Orders", "--sku=tea", "--max-schedules=3").code == 0


def test_exploring_says_what_cannot_be_explored(stretto: Command):
    said = stretto("explore", "shop:made", "--sku=tea")
    assert said == (
        2,
        "",
        (
            "stretto: shop:made is made already, and each schedule needs a new one; name the class, or a function that "
            "makes a workflow\n"
        ),
    )
    assert "or a function that makes an application\n" in stretto("explore", "shop:app").err
    assert stretto("explore", "shop:nothing").err.startswith(
        "stretto: shop:nothing is 3, and this takes a workflow"
    )
    assert "no member 'clark'" in stretto("explore", "shop:new_app", "--member", "clark", "--sku=tea").err
    assert (
        "Orders is a workflow, and no" in stretto("explore", "shop:Orders", "--member", "x", "--sku=tea").err
    )
    for wrong in ("0", "-3", "few"):
        said = stretto("explore", "shop:Race", f"--max-schedules={wrong}")
        assert (said.code, f"--max-schedules: a number above 0, and not '{wrong}'" in said.err) == (2, True)
    said = stretto("explore", "shop:Race", "--exhaustive", "--backend=asyncio", "--max-schedules=1")
    assert said.code == 1
    assert "more than 1 schedules" in said.out


def test_an_application_is_explored_by_one_of_its_members(stretto: Command):
    said = stretto("explore", "shop:new_app", "--member=watch", "--sku=tea", "--count=4", "--exhaustive")
    assert said.code == 0
    assert "told 5" in said.out
    assert re.search(r"asyncio: \d+ schedules, all there are", said.out)
    token = re.findall(r"replay='([^']+)'", said.out)[0]
    again = stretto("explore", "shop:new_app", "--sku=tea", "--count=4", "--replay", token, "--backend=trio")
    assert again.code == 0
    assert "tell" in again.out


def test_what_a_function_makes_is_explored_and_made_anew_for_each_schedule(stretto: Command):
    assert stretto("explore", "shop:needing", "--backend=asyncio").code == 0
    assert "--member NAME" in stretto("explore", "shop:new_app", "--help").out


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (
            "nonsense",
            "--replay 'nonsense' is no token; paste one whole, from a failure that explore has told",
        ),
        (
            "s1-jAAAA-",
            "--replay 's1-jAAAA-' was made with durations='jitter', and this test has durations='virtual'",
        ),
        ("s1-vAAAA-1x1x1x1x1x", "--replay 's1-vAAAA-1x1x1x1x1x' fits no longer: "),
    ],
)
def test_a_token_that_is_none_or_of_something_else_is_wrong_usage(stretto: Command, token: str, says: str):
    said = stretto("explore", "shop:Race", "--replay", token, "--backend=asyncio")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"stretto: {says}")
    assert "Traceback" not in said.err


# -- real processes ------------------------------------------------------------------------------------------------


def start(program: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "flow.py").write_text(program, "utf-8")
    command = [sys.executable, "-m", "stretto", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_closed_stdout_is_no_error(tmp_path: Path):
    command = f'"{sys.executable}" -m stretto run shop:Orders --sku=tea >&-'
    done = subprocess.run(command, shell=True, cwd=HERE, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S602
    assert (done.returncode, done.stderr) == (0, "")


FAN = """
import anyio, time
from stretto import Context, Event, StartEvent, StopEvent, Workflow, step

class Ask(Event):
    number: int

class Fan(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(number=number) for number in range(3)]

    @step
    async def ask(self, ctx: Context, ev: Ask) -> StopEvent | None:
        try:
            if ev.number == 2:
                print("ready", flush=True)
                {}
            await anyio.sleep_forever()
        finally:
            print("cleaned up", flush=True)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_from_outside_cancels_the_fan_out(
    anyio_backend_name: str, number: signal.Signals, code: int, tmp_path: Path
):
    program = FAN.format("pass")
    with start(program, tmp_path, "run", "flow:Fan", "--backend", anyio_backend_name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "cleaned up\n" * 3)
    assert "cancelling the run" in err


def test_a_second_signal_ends_the_process_although_a_step_blocks_the_loop(
    anyio_backend_name: str, tmp_path: Path
):
    program = FAN.format("time.sleep(60)")
    with start(program, tmp_path, "run", "flow:Fan", "--backend", anyio_backend_name) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path):
    program = FAN.format("pass")
    reading, writing = os.pipe()
    os.close(reading)
    (tmp_path / "flow.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "stretto", "draw", "flow:Fan"],
        cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_command_is_installed_under_its_name():
    done = subprocess.run(
        [Path(sys.executable).parent / "stretto", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("stretto ")


def test_it_can_be_called_from_another_thread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.chdir(HERE)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, ["run", "shop.py:Orders", "--sku=tea"]).result() == 0
    assert capsys.readouterr().out.startswith("1 tea")
    sys.modules.pop("shop")
