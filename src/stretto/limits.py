"""Limits and rates: at most so many step bodies, or runs, at once, and so many in a time; and debounced steps.

Who waits for a turn of a limit waits on an event of the loop; whose turn it is, `Turns` decides. What waits for a rate,
or for a limit of its key, is held back by the machine of its run, and has no worker meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeAlias, final

import anyio
import attrs

from ._answers import called
from ._core.turns import Turns
from ._options import count, duration, teaches
from .errors import DefinitionError, shown

if TYPE_CHECKING:
    import anyio.lowlevel  # anyio loads it with its backend, and a limit is used in a loop alone

    from ._core.crowd import Crowd
    from ._core.permits import Permits

__all__ = ["By", "Debounce", "Limit", "Line", "Rate"]

By: TypeAlias = str | Callable[[Any], Hashable]
"""What tells events apart: the name of a field, or a function that is given the event."""


@final
@teaches
class Limit:
    """At most `most` step bodies at once, in all steps, workflows and runs that are given this very object.

    >>> api = Limit(5)
    >>> class Fetch(Workflow[str]):
    ...     @step(limiter=api)
    ...     async def fetch(self, ev: StartEvent) -> StopEvent[str]:
    ...         return StopEvent(result="one of five at most")

    A body has its turn until it has ended, its clean-up and its thread included. A thread that is abandoned gives it
    back at that moment, once: it is over for its run, and may still be at work beside as many others.

    It may stand at the top of a module: each event loop counts for itself, which a semaphore of a loop cannot.

    With a `key` each host, customer or room has turns of its own. What has to wait then holds no worker, so others go
    on meanwhile; of a key it goes on in the order in which it came. A key that nobody uses takes no memory.

    Args:
        most: How many at once, at least 1.
        key: What tells events apart: the name of a field, or a function of the event. None: all count together.

    Raises:
        DefinitionError: If that is no such number, or no such key.
    """

    def __init__(self, most: int, *, key: By | None = None) -> None:
        self._most = count(most, "Limit")
        self._key = checked_key(key, "Limit")
        self._lines: anyio.lowlevel.RunVar[Line] | None = None
        self._permits: anyio.lowlevel.RunVar[Permits] | None = None

    @property
    def key(self) -> By | None:
        """What tells events apart; None if all count together."""
        return self._key

    def permits(self) -> Permits:
        """The turns by their keys, in the running loop."""
        if self._permits is None:
            self._permits = anyio.lowlevel.RunVar("stretto.Limit by key")
        return _of_loop(self._permits, self.new_permits)

    def new_permits(self) -> Permits:
        """The same, unused, and of no loop."""
        from ._core.permits import Permits, Seat  # noqa: PLC0415 - only for who has a key

        return Permits(lambda key: Seat(key, self._most))

    @property
    def most(self) -> int:
        """How many at once."""
        return self._most

    def line(self) -> Line:
        """Who has a turn in the running loop, and who waits for one there."""
        if self._lines is None:
            self._lines = anyio.lowlevel.RunVar("stretto.Limit")
        line = self._lines.get(None)
        if line is None:
            line = Line(self._most)
            self._lines.set(line)
        return line

    def __repr__(self) -> str:
        return f"Limit({self._most}{_told(self._key)})"


@final
class Rate:
    """At most `most` step bodies begin in `per` seconds, in all steps, workflows and runs that are given this object.

    >>> from stretto.limits import Rate
    >>> search = Rate(5, per=1.0, key="host")
    >>> class Fetch(Workflow[str]):
    ...     @step(num_workers=50, rate=search)
    ...     async def fetch(self, ev: StartEvent) -> StopEvent[str]:
    ...         return StopEvent(result="one of five a second, for its host")

    A token bucket, after J. Turner, "New directions in communications" (1986): it holds `burst` tokens, one more comes
    every ``per / most`` seconds, and each attempt of a step takes one as it begins. With a burst of 1 the bodies begin
    evenly, and in no `per` seconds, wherever they begin, are there more than `most`; with a larger one there may be
    ``burst - 1`` more. What waits for a token holds no worker, and goes on in the order in which it came. A run that
    ends meanwhile has it among its leftovers.

    It may stand at the top of a module: each event loop counts for itself. A key that nobody uses takes no memory once
    its bucket is full.

    Args:
        most: How many, at least 1.
        per: In how many seconds.
        burst: How many may begin at once after a pause, at least 1.
        key: What tells events apart, each of which has a bucket of its own: the name of a field, or a function of the
            event. None: all count together.

    Raises:
        DefinitionError: If that is no rate.
    """

    def __init__(self, most: int, *, per: float, burst: int = 1, key: By | None = None) -> None:
        self._most = count(most, "Rate")
        self._per = duration(per, "per")
        self._burst = count(burst, "burst")
        self._key = checked_key(key, "Rate")
        self._permits: anyio.lowlevel.RunVar[Permits] | None = None

    @property
    def key(self) -> By | None:
        """What tells events apart; None if all count together."""
        return self._key

    def permits(self) -> Permits:
        """The buckets by their keys, in the running loop."""
        if self._permits is None:
            self._permits = anyio.lowlevel.RunVar("stretto.Rate")
        return _of_loop(self._permits, self.new_permits)

    def new_permits(self) -> Permits:
        """The same, unused, and of no loop."""
        from ._core.bucket import Bucket  # noqa: PLC0415 - only for who has a rate
        from ._core.permits import Permits, Token  # noqa: PLC0415

        interval = self._per / self._most
        return Permits(lambda key: Token(key, Bucket(interval, self._burst)))

    def __repr__(self) -> str:
        burst = "" if self._burst == 1 else f", burst={self._burst}"
        return f"Rate({self._most}, per={self._per:.6g}{burst}{_told(self._key)})"


@final
@attrs.frozen(init=False)
class Debounce:
    """A step begins only when no further event of its key came for so long; the last one is handled.

    The earlier ones are dead letters, each with the reason.

    Args:
        seconds: For how long nothing more must have come.
        at_most: How long the first one waits in all, however many follow; None for as long as they keep coming.

    Raises:
        DefinitionError: If these are no times, or `at_most` is the shorter one.
    """

    seconds: float
    at_most: float | None

    def __init__(self, seconds: float, *, at_most: float | None = None) -> None:
        quiet = duration(seconds, "Debounce")
        most = None if at_most is None else duration(at_most, "at_most")
        if most is not None and most < quiet:
            raise DefinitionError(
                f"at_most is a longer time than the {quiet:.6g} s of quiet, not {shown(at_most)}"
            )
        object.__setattr__(self, "seconds", quiet)
        object.__setattr__(self, "at_most", most)


def checked_key(key: object, of: str) -> By | None:
    """What tells events apart, or None.

    Raises:
        DefinitionError: If it does not.
    """
    refuse_async(key, f"the key of {of}")
    if key is None or callable(key) or (isinstance(key, str) and key.isidentifier()):
        return key
    raise DefinitionError(
        f"the key of {of} is the name of a field, as in key='host', or a function of the event, not {shown(key)}"
    )


def refuse_async(function: object, what: str) -> None:
    """Refuses a function of an event that would have to be awaited.

    Raises:
        DefinitionError: If it is one.
    """
    if iscoroutinefunction(function):
        raise DefinitionError(
            f"{what} is asked between two steps, and nothing can wait for an async function; let a step before it find "
            f"out, and write a plain def or the name of a field, not {called(function)}"
        )


def _told(key: By | None) -> str:
    if key is None:
        return ""
    return f", key={key!r}" if isinstance(key, str) else f", key={getattr(key, '__name__', shown(key))}"


def _of_loop(variable: anyio.lowlevel.RunVar[Permits], make: Callable[[], Permits]) -> Permits:
    permits = variable.get(None)
    if permits is None:
        permits = make()
        variable.set(permits)
    return permits


@final
class Line:
    """The turns of one limit in one loop.

    Whoever joins leaves, however it ends; `leave` is right for who waits, who has a turn and who has left.

    Attributes:
        crowd: Of runs whose oldest gives way: those that go on.
    """

    __slots__ = ("_turns", "_waking", "crowd")

    def __init__(self, most: int) -> None:
        self._turns: Turns[Hashable] = Turns(most)
        self._waking: dict[Hashable, anyio.Event] = {}
        self.crowd: Crowd[Any] | None = None

    @property
    def most(self) -> int:
        """How many have a turn at once."""
        return self._turns.most

    def join(self, who: Hashable) -> bool:
        """Comes in last; whether it has a turn at once."""
        return self._turns.join(who)

    def has(self, who: Hashable) -> bool:
        """Whether it is its turn."""
        return self._turns.has(who)

    async def wait(self, who: Hashable) -> None:
        """Waits until it is its turn, or until it is woken."""
        if self._turns.has(who):
            return
        woken = self._waking[who] = anyio.Event()
        try:
            await woken.wait()
        finally:
            self._waking.pop(who, None)

    def wake(self, who: Hashable) -> None:
        """It need not wait any more."""
        woken = self._waking.get(who)
        if woken is not None:
            woken.set()

    def decided(self, who: Hashable) -> None:
        """It will leave: it waits no more, and nobody need give way any more because of it."""
        if self.crowd is not None:
            self.crowd.leave(who)
        self.wake(who)

    def leave(self, who: Hashable) -> None:
        """Goes, and gives its turn to the first that waits."""
        if self.crowd is not None:
            self.crowd.leave(who)
        following = self._turns.leave(who)
        if following is not None:
            self.wake(following)
