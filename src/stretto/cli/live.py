"""The view of a run while it is at work: a board that is drawn anew where stderr is a terminal, else lines.

The board is drawn by rich, the extra ``stretto[cli]``; without it lines are written there too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol, final

import anyio

from ..events import StepProgress
from ..handler import Handler
from .standing import Standing, told

__all__ = ["follow"]

_PAUSE = 0.1  # seconds between two drawings of the board


async def follow(run: Handler[Any]) -> None:
    """Shows how the run stands until it is over."""
    standing = Standing()
    drawn = -_PAUSE
    with _board() if _is_drawn() else _lines() as view:
        async for event in run.stream_events(expose_internal=True):
            standing.take(event)
            now = anyio.current_time()
            if isinstance(event, StepProgress):
                view.told(event)
            if now - drawn >= _PAUSE:
                drawn = now
                view.stands(standing.lines(run.queued), last=False)
        view.stands(standing.lines(run.queued), last=True)


class View(Protocol):
    """Where it is shown."""

    def told(self, progress: StepProgress) -> None:
        """A step has told how far it is."""

    def stands(self, lines: Iterable[str], *, last: bool) -> None:
        """How each step stands now, or at the end."""


def _is_drawn() -> bool:
    return sys.stderr.isatty() and find_spec("rich") is not None


@contextmanager
def _board() -> Generator[View]:
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield _Board(lambda lines: live.update(Text("\n".join(lines)), refresh=True))


@final
class _Board:
    """Draws all steps anew; how far one is stands in its line."""

    def __init__(self, draw: Callable[[Iterable[str]], None]) -> None:
        self._draw = draw

    def told(self, progress: StepProgress) -> None:
        """Is in the line of the step, when it is drawn again."""

    def stands(self, lines: Iterable[str], *, last: bool) -> None:  # noqa: ARG002 - the last is drawn as any
        self._draw(lines)


@final
class _Lines:
    """Writes what a step tells, and at the end how all stand."""

    def told(self, progress: StepProgress) -> None:
        print(f"{progress.step}: {told(progress)}", file=sys.stderr)

    def stands(self, lines: Iterable[str], *, last: bool) -> None:
        if last:
            print("\n".join(lines), file=sys.stderr)


@contextmanager
def _lines() -> Generator[View]:
    yield _Lines()
