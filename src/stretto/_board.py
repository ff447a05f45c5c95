"""What all conversations of one application share: its members, its wiring and its dead letters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, final

import anyio
import anyio.lowlevel
import attrs

from ._core.state import DEAD_LETTERS_KEPT, DeadLetter
from ._core.wiring import Wiring
from ._driver import Driver, ambient
from ._loop import outlast
from ._options import Options
from .blueprint import Blueprint

if TYPE_CHECKING:
    from ._stock import Stock
    from .supervision import Restart

__all__ = ["Board", "DeadLetters", "Seat"]


@final
class DeadLetters:
    """The events of an application that nobody took: how many there were, and the last thousand, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_KEPT)
        self._readers: list[Callable[[DeadLetter], object]] = []
        self.count = 0

    def add(self, letter: DeadLetter) -> None:
        """Keeps one more, and gives it to whoever listens."""
        self.count += 1
        self._kept.append(letter)
        for reader in self._readers:
            reader(letter)

    def listen(self, reader: Callable[[DeadLetter], object]) -> None:
        """Has a function called with each dead letter from now on, at once: let it only note it."""
        self._readers.append(reader)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<{self.count} dead letters>"


@final
@attrs.frozen(kw_only=True, eq=False)
class Seat:
    """A member, as its runs need it."""

    name: str
    workflow: object
    blueprint: Blueprint
    options: Options


class Open(Protocol):
    """A conversation that is open."""

    def leave(self, why: str) -> None:
        """Ends it."""

    def pause_reading(self) -> None:
        """The present task waits for its end, and does not read meanwhile."""


@final
@attrs.define(kw_only=True, eq=False)
class Board:
    """The members of an application while it is entered.

    Attributes:
        drains: Whether what is under way is finished after a StopEvent, or cut.
        strict: Whether each dead letter is an error.
        supervise: The members that are restarted when they fail, and how; None if none is.
        live: The conversations that are open.
        on_empty: Called when the last one is over.
        stock: The resources that all of it share; None while there are none.
    """

    seats: dict[str, Seat]
    wiring: Wiring
    drains: bool
    strict: bool
    letters: DeadLetters = attrs.field(factory=DeadLetters)
    supervise: Mapping[str, Restart] | None = None
    live: dict[Open, None] = attrs.field(factory=dict[Open, None])
    on_empty: Callable[[], object] | None = None
    stock: Stock | None = None
    _around: Driver | None = attrs.field(factory=ambient.get)  # whom a run belongs to that a factory starts

    def make_stock(self) -> Stock:
        """The resources that all of it share; made when somebody first asks for one."""
        if self.stock is None:
            from ._config import Configs  # noqa: PLC0415 - loaded by who uses it
            from ._stock import Stock  # noqa: PLC0415

            grace = max(seat.options.grace for seat in self.seats.values())
            self.stock = Stock(
                "the application", grace, Configs(), set_apart=partial(ambient.set, self._around)
            )
        return self.stock

    def enter(self, conversation: Open) -> None:
        """One more is open."""
        self.live[conversation] = None

    def leave(self, conversation: Open) -> None:
        """One is over."""
        self.live.pop(conversation, None)
        if not self.live and self.on_empty is not None:
            self.on_empty()

    async def end(self, error: BaseException | None) -> None:
        """Waits for what is open; cuts it if the application was left by an error, or is cancelled meanwhile."""
        if error is not None:
            self._cut(f"because its application was left by {type(error).__name__}")
            await outlast(self._empty)
            return
        for conversation in self.live:
            conversation.pause_reading()
        try:
            await self._empty()
        except BaseException:
            self._cut("because its application was cancelled")
            await outlast(self._empty)  # noqa: ASYNC102 - it shields itself
            raise

    def _cut(self, why: str) -> None:
        for conversation in tuple(self.live):
            conversation.leave(why)

    async def _empty(self) -> None:
        """Waits until no conversation is open."""
        while self.live:
            empty = anyio.Event()
            self.on_empty = empty.set
            await empty.wait()
        await anyio.lowlevel.checkpoint()
