"""What `Context.once` remembers: effects that happen once in a run, also if their step runs again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeGuard, final

from ._threads import Work
from .errors import WorkflowError, shown
from .limits import Line

__all__ = ["Once"]

# The effects that are under way where this is asked: whose each is, and its key.
_under_way: ContextVar[tuple[tuple[object, str], ...]] = ContextVar("stretto_once", default=())


@final
class Once:
    """The effects of one run.

    Attributes:
        results: What each has given, by key.
    """

    def __init__(self) -> None:
        self.results: dict[str, object] = {}
        self._lines: dict[str, Line] = {}

    async def call(self, key: str, fn: Callable[[], object], owner: object) -> object:
        """What `fn` gives, or has given before; one at a time for each key."""
        _check(key, fn, owner)
        place = object()
        try:
            if not await self._begin(key, place):
                with _marked(owner, key):
                    value = fn()
                    self.results[key] = await value if _is_awaitable(value) else value
            return self.results[key]
        finally:
            self._end(key, place)

    def call_in_thread(self, key: str, fn: Callable[[], object], owner: object, work: Work) -> object:
        """The same for a step in a thread, which calls `fn` there; also what is abandoned then is remembered."""
        _check(key, fn, owner)  # here, since on trio the loop's thread does not see our context variables
        place = object()
        end = partial(self._end, key, place)
        try:
            if not work.wait(self._begin, key, place):
                with _marked(owner, key):
                    self.results[key] = fn()
            return self.results[key]
        finally:
            work.ask(end, instead=end)

    async def _begin(self, key: str, place: object) -> bool:
        """Waits for a turn; whether the effect has happened already."""
        if key not in self.results:
            line = self._lines.setdefault(key, Line(1))
            line.join(place)
            await line.wait(place)
        return key in self.results

    def _end(self, key: str, place: object) -> None:
        """Whoever has called `_begin` is through, or was cancelled."""
        line = self._lines.get(key)
        if line is not None:
            line.leave(place)


@contextmanager
def _marked(owner: object, key: str) -> Generator[None]:
    """An effect is under way in this block, and in the tasks that it starts and waits for."""
    before = _under_way.get()
    _under_way.set((*before, (owner, key)))
    try:
        yield
    finally:
        _under_way.set(before)


def _check(key: object, fn: object, owner: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"once takes a text as its key, as in ctx.once('charge', charge), not {shown(key)}")
    if not callable(fn):
        raise TypeError(
            f"once takes a function, which it calls once at most, not {shown(fn)}; write ctx.once({key!r}, lambda: …)"
        )
    if any(each is owner and known == key for each, known in _under_way.get()):
        raise WorkflowError(
            f"once({key!r}, …) within the effect of that key would wait for itself; give one of them another key"
        )


def _is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    return hasattr(type(value), "__await__")
