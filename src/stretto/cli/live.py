"""The view of a run while it is at work: a board that is drawn anew where stderr is a terminal, else lines.

The board is drawn by rich, the extra ``stretto[cli]``; without it lines are written there too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, final

import anyio

from ..events import Event, StepProgress
from ..handler import Handler
from .standing import Standing, told

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

__all__ = ["Follower", "following"]

_PAUSE = 0.1  # seconds between two drawings of the board


@final
class Follower:
    """Shows how a run stands, fed with what `stream_events` gives with ``expose_internal=True``."""

    def __init__(self, run: Handler[Any], view: View) -> None:
        self._run = run
        self._view = view
        self._standing = Standing()
        self._drawn = -_PAUSE

    def note(self, event: Event) -> None:
        """Takes the next event of the stream."""
        self._standing.take(event)
        now = anyio.current_time()
        if isinstance(event, StepProgress):
            self._view.told(event)
        if now - self._drawn >= _PAUSE:
            self._drawn = now
            self._show(last=False)

    def paused(self) -> AbstractContextManager[None]:
        """For the time of this block nothing is drawn, for somebody else writes there."""
        return self._view.paused()

    def end(self) -> None:
        """The stream is over."""
        self._show(last=True)

    def _show(self, *, last: bool) -> None:
        self._view.stands(self._standing.lines(self._run.queued), last=last)


@contextmanager
def following(run: Handler[Any]) -> Generator[Follower]:
    """What shows a run as long as this block lasts."""
    with _board() if _is_drawn() else _lines() as view:
        yield Follower(run, view)


class View(Protocol):
    """Where it is shown."""

    def told(self, progress: StepProgress) -> None:
        """A step has told how far it is."""

    def stands(self, lines: Iterable[str], *, last: bool) -> None:
        """How each step stands now, or at the end."""

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is drawn within this block."""
        ...


def _is_drawn() -> bool:
    return sys.stderr.isatty() and find_spec("rich") is not None


@contextmanager
def _board() -> Generator[View]:
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield _Board(live, lambda lines: Text("\n".join(lines)))


@final
class _Board:
    """Draws all steps anew; how far one is stands in its line."""

    def __init__(self, live: Live, text: Callable[[Iterable[str]], Text]) -> None:
        self._live = live
        self._text = text

    def told(self, progress: StepProgress) -> None:
        """Is in the line of the step, when it is drawn again."""

    def stands(self, lines: Iterable[str], *, last: bool) -> None:  # noqa: ARG002 - the last is drawn as any
        self._live.update(self._text(lines), refresh=self._live.is_started)

    @contextmanager
    def paused(self) -> Generator[None]:
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()


@final
class _Lines:
    """Writes what a step tells, and at the end how all stand."""

    def told(self, progress: StepProgress) -> None:
        print(f"{progress.step}: {told(progress)}", file=sys.stderr)

    def stands(self, lines: Iterable[str], *, last: bool) -> None:
        if last:
            print("\n".join(lines), file=sys.stderr)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


@contextmanager
def _lines() -> Generator[View]:
    yield _Lines()
