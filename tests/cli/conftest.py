"""The command line, called as a function: what it prints, and its exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import anyio
import pytest

from stretto.cli import main
from tests import virtual


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


class Command(Protocol):
    def __call__(self, *arguments: str) -> Said: ...


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """`anyio.run` in virtual time, as the commands call it."""
    original = anyio.run

    def run(function: Any, *args: Any, backend: str = "asyncio", **_: Any) -> Any:
        name, options = virtual.virtual_backend(backend)
        return original(virtual.guarded, function, args, backend=name, backend_options=options)

    monkeypatch.setattr(anyio, "run", run)


@pytest.fixture
def stretto(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Calls the command in the folder of `shop.py`; what it imports is forgotten afterwards."""
    monkeypatch.chdir(Path(__file__).parent)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", sys.modules)
    before = set(sys.modules)

    def call(*arguments: str) -> Said:
        code = main(arguments)
        for name in {name for name in sys.modules if name in {"shop", "broken", "kiosk", "desk"}} - before:
            del sys.modules[name]
        out, err = capfd.readouterr()
        return Said(int(code), str(out), str(err))

    return call
