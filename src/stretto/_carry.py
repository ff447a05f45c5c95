"""Runs a coroutine inside a `contextvars.Context` of its own, in an ordinary task of either loop.

A step sees the context variables that were set where its event was sent, and what it sets reaches only what
it sends. asyncio can give a task another Context but trio's tasks and a task that goes on with the next step
cannot change theirs. So every resumption of a worker goes through here: `Context.run(coroutine.send, …)`, and
`throw` and `close` likewise. A worker whose next delivery carries another Context awaits `SWITCH`; one that
goes on within its chain pays nothing.

This is also the one place that sees a cancellation go by: asyncio throws it, trio sends it as a value with an
`error`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final

from ._core.machine import Machine

__all__ = ["SWITCH", "Carrier", "Host", "carried"]

T = TypeVar("T")

_SWITCH = object()
_AT_ONCE = -math.inf


class Host(Protocol):
    """The run whose steps are carried."""

    inside: bool
    fresh: list[Callable[[], None]] | None
    machine: Machine

    def start_fresh(self) -> None:
        """Starts the nested runs that the step made and has not awaited."""


class Carrier(Protocol):
    """Who is carried: it says in which Context, and is told of each cancellation."""

    carry: Context
    lingers: bool
    suspended: bool

    @property
    def host(self) -> Host:
        """The run: its ``inside`` is true while code of its steps is on the stack."""
        ...

    def hit(self, *, closing: bool) -> None:
        """A cancellation is about to be delivered, or the loop is tearing the coroutine down."""

    def linger(self) -> None:
        """The coroutine has suspended once more after a cancellation was delivered."""


@final
class _Switch:
    """Awaiting it goes on in the Context that the carrier names now; the loop does not notice.

    A generator would do, but this is awaited for each event that was sent, and an iterator over one value is
    made by a single call into C.
    """

    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, Any, None]: ...
    else:
        __await__ = (_SWITCH,).__iter__


SWITCH = _Switch()


@types.coroutine
def carried(  # noqa: C901, PLR0912 - the one place that sees everything go by
    carrier: Carrier, coroutine: Coroutine[Any, Any, T]
) -> Generator[Any, Any, T]:
    """Awaits the coroutine, each resumption inside ``carrier.carry``."""
    host = carrier.host
    resume: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            host.inside = True
            try:
                yielded = carrier.carry.run(resume, value)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                host.inside = False
            if yielded is _SWITCH:
                resume, value = coroutine.send, None
                continue
            carrier.suspended = True
            if host.fresh:
                host.start_fresh()
            if carrier.lingers:
                carrier.linger()
            try:
                value = yield yielded
            except BaseException as error:  # noqa: ASYNC103, BLE001 - it goes on into the coroutine
                carrier.hit(closing=isinstance(error, GeneratorExit))
                resume, value = coroutine.throw, error
            else:
                host.machine.alarm = _AT_ONCE
                resume = coroutine.send
                if value is not None and hasattr(value, "error"):
                    carrier.hit(closing=False)
        except BaseException as error:  # noqa: ASYNC103 - it comes out, or goes on into the coroutine
            if getattr(coroutine, "cr_frame", None) is None:  # it has ended, and this is how
                raise
            # Ctrl-C between two resumptions: dropped here, the coroutine would leave its scopes open.
            resume, value = coroutine.throw, error
