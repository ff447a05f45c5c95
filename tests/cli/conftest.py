"""The command line, called as a function: what it prints, and its exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from stretto.cli import main


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


class Command(Protocol):
    def __call__(self, *arguments: str) -> Said: ...


@pytest.fixture
def stretto(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Calls the command in the folder of `shop.py`; what it imports is forgotten afterwards."""
    monkeypatch.chdir(Path(__file__).parent)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", sys.modules)
    before = set(sys.modules)

    def call(*arguments: str) -> Said:
        code = main(arguments)
        for name in {name for name in sys.modules if name in {"shop", "broken", "kiosk"}} - before:
            del sys.modules[name]
        out, err = capfd.readouterr()
        return Said(int(code), str(out), str(err))

    return call
