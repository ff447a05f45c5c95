"""`stretto run` asks a person in the terminal, and takes answers from a pipe."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from stretto.cli.lines import Lines, stdin
from tests.cli.conftest import Command, Said

HERE = Path(__file__).parent
SOON = 20.0  # seconds until a test gives up


class Piped(Protocol):
    def __call__(self, target: str, text: str, *more: str) -> Said: ...


@pytest.fixture
def piped(stretto: Command, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch) -> Piped:
    """Runs a target with this text on stdin, which ends there."""

    def run(target: str, text: str, *more: str) -> Said:
        inner, outer = os.pipe()
        os.write(outer, text.encode())
        os.close(outer)
        with os.fdopen(inner) as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", file)
            return stretto("run", f"desk:{target}", "--backend", anyio_backend_name, *more)

    return run


@pytest.fixture
def typed(stretto: Command, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch) -> Piped:
    """As `piped`, but somebody has typed the text in a terminal; 0x04 is Ctrl-D."""

    def run(target: str, text: str, *more: str) -> Said:
        ours, theirs = pty.openpty()
        os.write(ours, text.encode())
        with os.fdopen(theirs) as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", file)
            said = stretto("run", f"desk:{target}", "--backend", anyio_backend_name, *more)
        os.close(ours)
        return said

    return run


# -- a person -------------------------------------------------------------------------------------------------------


def test_each_field_is_asked_for_by_its_type_and_what_does_not_fit_is_asked_again(typed: Piped):
    said = typed("Buy", "many\n3\nmaybe\nyes\n\na, b\n")
    assert said == (
        0,
        "tea 3 True none ['a', 'b']\n",
        (
            "Wish(item='tea')\n"
            "  count (int):   'many' is not int\n"
            "  count (int):   gift (yes or no):   'maybe' is not bool\n"
            "  gift (yes or no):   note (str, else 'none'):   tags (list[str], or nothing): "
        ),
    )


def test_a_list_may_be_typed_as_json_and_may_be_left_out(typed: Piped):
    assert typed("Buy", '1\nno\nx\n["a", "b, c"]\n').out == "tea 1 False x ['a', 'b, c']\n"
    assert typed("Buy", "1\nno\n\n\n").out == "tea 1 False none []\n"


def test_an_answer_without_fields_is_a_text_and_its_question_is_the_prefix(typed: Piped):
    said = typed("Name", "Ada Byron\n")
    assert said == (0, "hello {'response': 'Ada Byron'}\n", "What is your name?\n> ")
    assert typed("Name", "\n").out == "hello {'response': ''}\n"
    assert typed("Name", '{"first": "Ada", "born": 1815}\n').out == "hello {'first': 'Ada', 'born': 1815}\n"
    assert typed("Name", "{Ada}\n").out == "hello {'response': '{Ada}'}\n"


def test_what_a_validator_refuses_is_asked_again(typed: Piped):
    said = typed("Only", "no\nyes\n")
    assert (said.code, said.out) == (0, "true\n")
    assert said.err == (
        "Only.ask waits for Verdict\n  yes (yes or no):   nobody says no here\n  yes (yes or no): "
    )


def test_several_that_wait_are_asked_one_after_the_other(typed: Piped):
    said = typed("Basket", "".join(f"{count}\nyes\n\n\n" for count in (1, 2, 3)))
    assert (said.code, said.out) == (0, "tea=1 rice=2 figs=3\n")
    assert re.findall(r"Wish\(item='(\w+)'\)\n  count", said.err) == ["tea", "rice", "figs"]


def test_of_several_events_that_may_come_one_is_chosen_by_name(typed: Piped):
    said = typed("Lamp", "stop\nhalt\n2.5\n")
    assert said == (
        0,
        "halted after 2.5\n",
        (
            "Lamp.go waits for Go or Halt\n"
            "  Go or Halt:   'stop' is not Go or Halt\n"
            "  Go or Halt:   after (float): "
        ),
    )
    assert typed("Lamp", "go\n\n").out == "gone {}\n"
    assert typed("Lamp", "go\nfast\n").out == "gone {'response': 'fast'}\n"


def test_an_event_all_of_whose_fields_are_required_is_sent_by_enter(typed: Piped):
    said = typed("Fixed", "\n")
    assert said == (0, "Halt(after=2.0)\n", "Fixed.begin waits for Halt\n  Enter sends Halt: ")


def test_the_end_of_the_input_cancels_a_run_that_nothing_else_can_move(typed: Piped):
    said = typed("Buy", "3\n\x04")
    assert (said.code, said.out) == (130, "")
    assert said.err.endswith(
        "gift (yes or no): \nstretto: WorkflowCancelledError: Buy.buy waits for Answer, and the input was ended\n"
    )


def test_a_question_that_has_had_its_time_is_withdrawn_and_what_was_typed_of_it_is_dropped(
    anyio_backend_name: str,
):
    with terminal("Patient", anyio_backend_name, "--last", "10") as child:
        child.until("First?\n  yes (yes or no): ")
        child.types("ye")  # and no Enter
        child.until("(not asked any more)\nSecond?\n  yes (yes or no): ")
        child.types("yes\n")
        assert child.end() == (0, "late True\n")


def test_progress_is_shown_beside_the_questions(anyio_backend_name: str):
    with terminal("Buy", anyio_backend_name, "--progress") as child:
        for prompt, text in [
            ("count (int): ", "2\n"),
            ("no): ", "no\n"),
            ("'none'): ", "\n"),
            ("ing): ", "\n"),
        ]:
            child.until(prompt)
            child.types(text)
        assert child.end() == (0, "tea 2 False none []\n")
        assert "buy          0 at work, 0 queued, 1 done" in child.shown


def test_nothing_is_drawn_over_a_question(anyio_backend_name: str):
    with terminal("Ticks", anyio_backend_name, "--progress", TERM="xterm") as child:
        child.until("yes (yes or no): ")
        before = child.shown
        time.sleep(0.09)
        child.until("yes (yes or no): ")
        assert child.shown == before
        child.types("yes\n")
        assert child.end() == (0, "True\n")
        assert "work         0 at work, 0 queued, 2 done" in child.shown


def test_ctrl_c_at_a_question_ends_the_process(anyio_backend_name: str):
    with terminal("Buy", anyio_backend_name) as child:
        child.until("count (int): ")
        child.types("\x03")
        assert child.end() == (130, "")
        assert "cancelling the run" in child.shown
        assert "Traceback" not in child.shown


def test_a_terminal_that_is_gone_has_no_more_to_say(
    stretto: Command, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", file)
        os.close(ours)
        said = stretto("run", "desk:Patient", "--backend", anyio_backend_name, "--last", "0.1")
    assert (said.code, said.out) == (0, "nobody\n")


class Child:
    """A command in a terminal of its own, whose results go elsewhere.

    Attributes:
        shown: What the terminal has shown so far.
    """

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.shown = ""
        self._process = process
        self._ours = ours
        os.set_blocking(ours, False)

    def until(self, text: str) -> None:
        """Waits until the terminal shows this text, behind what was waited for before."""
        late = time.monotonic() + SOON
        while text not in self._read():
            assert time.monotonic() < late, f"no {text!r} in {self.shown!r}"
            assert self._process.poll() is None, self.shown
            time.sleep(0.01)

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> tuple[int, str]:
        """The exit code, and what it gave."""
        assert self._process.stdout is not None
        late = time.monotonic() + SOON
        while self._process.poll() is None:
            self._read()
            assert time.monotonic() < late, f"it does not end: {self.shown!r}"
            time.sleep(0.01)
        self._read()
        return self._process.returncode, self._process.stdout.read().decode()

    def _read(self) -> str:
        try:
            while True:
                self.shown += os.read(self._ours, 10_000).decode().replace("\r\n", "\n")
        except OSError:
            pass
        return self.shown


LEADS = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "stretto", *sys.argv[1:]])
"""  # so that Ctrl-C is a signal, as in a shell


@contextmanager
def terminal(target: str, backend: str, *more: str, TERM: str = "dumb") -> Generator[Child]:  # noqa: N803
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", LEADS, "run", f"desk:{target}", "--backend", backend, *more]
    process = subprocess.Popen(
        command,
        cwd=HERE,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": TERM},
    )
    os.close(theirs)
    child = Child(process, ours)
    try:
        yield child
    finally:
        child._read()
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        os.close(ours)


# -- a pipe ---------------------------------------------------------------------------------------------------------


def test_a_line_of_a_pipe_is_an_object_in_json_and_nothing_is_asked(piped: Piped):
    said = piped("Buy", '\n{"count": 3, "gift": true}\n')
    assert said == (0, "tea 3 True none []\n", "")
    assert piped("Name", '{"first": "Ada"}').out == "hello {'first': 'Ada'}\n"


def test_where_one_field_is_wanted_a_line_may_be_its_value(piped: Piped):
    assert piped("Only", "yes\n") == (0, "true\n", "")
    assert piped("Name", "Ada\r\n").out == "hello {'response': 'Ada'}\n"
    assert piped("Lamp", "2.5").out == "halted after 2.5\n"
    assert piped("Lamp", "fast").out == "gone {'response': 'fast'}\n"


def test_each_line_goes_to_the_wait_that_it_fits(piped: Piped):
    lines = [f'{{"item": "{item}", "count": {count}, "gift": false}}' for item, count in
             [("figs", 3), ("tea", 1), ("rice", 2)]]  # fmt: skip
    assert piped("Basket", "\n".join(lines)).out in {
        f"{' '.join(order)}\n"
        for order in [
            ("figs=3", "tea=1", "rice=2"),
            ("tea=1", "figs=3", "rice=2"),
            ("tea=1", "rice=2", "figs=3"),
        ]
    }


HOW = """ …}' | stretto run …, or run it in a terminal, which asks"""
FIELDS = '{"count": …, "gift": …, "note": …, "tags":'
NOTHING = (
    f"waits for Answer, and stdin has no answer; write one JSON object a line, as in echo '{FIELDS}{HOW}"
)
WRONG = {
    "nothing": ("Buy", "", f"Buy.buy {NOTHING}"),
    "too little": ("Basket", '{"count": 1, "gift": false}\n', f"Basket.ask {NOTHING}"),
    "no JSON": (
        "Buy",
        '\n{"count": 1\n',
        "stdin, line 2: this is no JSON: Expecting ',' delimiter: line 1 column 12 (char 11)",
    ),
    "a text for several fields": ("Buy", "yes\n", f"stdin, line 1: 'yes' is no Answer; write {FIELDS} …}}"),
    "a wrong type": ("Buy", '{"count": "1", "gift": true}\n', "stdin, line 1: in 'count': '1' is not int"),
    "a field too little": ("Buy", '{"count": 1}\n', "stdin, line 1: Answer misses 'gift' (bool)"),
    "a name that is none": (
        "Only",
        '{"yess": true, "yes": true}\n',
        "stdin, line 1: Verdict takes no 'yess', it takes: yes; did you mean 'yes'?",
    ),
    "nothing for what may come": (
        "Lamp",
        "",
        (
            "Lamp.go waits for Go or Halt, and stdin has no answer; write one JSON object a line, as in echo '{}' | "
            "stretto run …, or run it in a terminal, which asks"
        ),
    ),
}


@pytest.mark.parametrize(("target", "text", "says"), WRONG.values(), ids=WRONG)
def test_what_is_no_answer_ends_the_run_with_2_and_says_what_would_be(
    piped: Piped, target: str, text: str, says: str
):
    waits = (
        f"; {target}.{'ask' if target == 'Only' else 'buy'} waits for " if says.startswith("stdin") else ""
    )
    said = piped(target, text)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"stretto: {says}{waits}")


def test_a_wait_with_a_time_of_its_own_goes_on_without_an_answer(piped: Piped):
    assert piped("Patient", "", "--last", "0.1") == (
        0,
        "nobody\n",
        "stretto: Patient.ask waits for Verdict, and stdin has no answer; the run goes on without one\n",
    )


def test_a_file_is_read_as_a_pipe_is(
    stretto: Command, anyio_backend_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "answers.jsonl").write_text('{"yes": true}\n', "utf-8")
    for source, code in [(tmp_path / "answers.jsonl", 0), (Path(os.devnull), 2)]:
        with source.open(encoding="utf-8") as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", file)
            assert stretto("run", "desk:Only", "--backend", anyio_backend_name).code == code


def test_without_stdin_a_run_that_waits_ends_as_with_an_empty_one(
    stretto: Command, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", None)
    said = stretto("run", "desk:Only", "--backend", anyio_backend_name)
    assert said.code == 2
    assert "stdin has no answer" in said.err
    assert stdin().ended


# -- who is asked ---------------------------------------------------------------------------------------------------


def test_what_a_step_makes_is_not_asked_for_unless_nothing_else_can_come(piped: Piped, typed: Piped):
    assert piped("Own", "") == (0, "made inside: {}\n", "")
    assert piped("Own", "x") == (0, "made inside: {}\n", "")
    said = typed("Never", "\n")
    assert (said.out, said.err) == ("sent from outside: {}\n", "Never.work waits for Inner\n> ")
    assert piped("Never", "").code == 2


def test_a_member_of_an_application_asks_and_the_wait_for_a_reply_is_no_question(piped: Piped, typed: Piped):
    said = typed("shop", "yes\n")
    assert (said.code, said.out) == (0, "ready tea True\n")
    assert said.err == "Pack tea?\n  yes (yes or no): "
    assert piped("asking", "yes") == (0, "asked tea True\n", "")
    said = piped("asking", "")
    assert said.code == 2
    assert "store.pack waits for Verdict, and stdin has no answer" in said.err


@pytest.mark.anyio
async def test_who_is_cancelled_while_it_waits_for_a_line_has_taken_nothing():
    import anyio

    inner, outer = os.pipe()
    lines = Lines(inner)
    os.write(outer, b"one\ntw")
    assert await lines.next() == "one"
    with anyio.move_on_after(0.01):
        await lines.next()
    os.write(outer, b"o\nthree")
    os.close(outer)
    assert [await lines.next(), await lines.next(), await lines.next()] == ["two", "three", None]
    assert (lines.number, lines.ended, lines.typed) == (3, True, False)
    os.close(inner)
