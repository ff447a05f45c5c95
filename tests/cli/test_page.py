"""The commands on `docs/command-line.md` say what stands beneath them."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from tests.cli.conftest import Command

PAGE = (Path(__file__).parent.parent.parent / "docs" / "command-line.md").read_text("utf-8")


def files() -> Iterator[tuple[str, str]]:
    """The programs on the page that have a name."""
    for program in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        if named := re.match(r"# (\w+\.py)\n", program):
            yield named[1], program


def transcripts() -> Iterator[tuple[str, str]]:
    """The commands on the page, each with what it prints."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, prints = each.partition("\n")
            yield command, prints


@contextmanager
def stdin_of(before: list[str]) -> Generator[TextIO]:
    """What stands in front of a pipe, as `echo` prints it."""
    inner, outer = os.pipe()
    for each in before:
        _, *words = shlex.split(each)
        os.write(outer, "".join(f"{word}\n" for word in words).encode())
    os.close(outer)
    with os.fdopen(inner) as file:
        yield file


COMMANDS = list(transcripts())


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize(("command", "prints"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_on_the_page_says_what_stands_beneath_it(
    stretto: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    prints: str,
):
    monkeypatch.chdir(tmp_path)
    for name, program in files():
        (tmp_path / name).write_text(program, "utf-8")
    *before, command = command.split(" | ")
    name, *arguments = shlex.split(command)
    with stdin_of(before) as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", file)
        said = stretto(*arguments)
    assert name == "stretto"
    assert said.out + said.err == prints


def test_every_command_is_on_the_page(stretto: Command):
    for name in re.findall(r"^    (\w+) ", stretto().out, re.MULTILINE):
        assert f"\n## {name}\n" in PAGE
