"""A plain function in a thread: who waits for its end, and the way from there to the loop.

anyio shields that wait from its own cancellations. `asyncio.Task.cancel` goes through a shield, and would leave the
thread at work while its caller goes on; so what comes meanwhile is held back until the thread has ended.

Only a call that may be abandoned is not waited for. It then outlives its run, and perhaps the loop: it is told so when
it asks for something, and what comes of it is logged.
"""

from __future__ import annotations

import contextlib
from _thread import allocate_lock, get_ident  # as threading has them, without the import
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, TypeVarTuple, Unpack, final
from weakref import WeakSet

import anyio

from ._log import logger
from ._loop import call_soon, name_loop, outlast, turn_before_thread
from .errors import RunEndedError, shown

if TYPE_CHECKING:  # anyio loads them with its backend, and only then can a call be in a thread
    import anyio.from_thread
    import anyio.to_thread

__all__ = ["Variables", "Work", "tell_limit"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

Variables: TypeAlias = list[tuple[ContextVar[Any], Any]]

_ANYIOS_LIMIT = 40  # threads at once, unless a program says otherwise

_told: WeakSet[Any] = WeakSet()


@final
class _Asked(Generic[T]):
    """A call that a thread has made in the loop's, and waits for."""

    _error: BaseException | None = None
    _value: T

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._context = copy_context()
        self._done = allocate_lock()
        self._done.acquire()

    def __call__(self) -> None:
        try:
            self._context.run(name_loop)
            self._value = self._context.run(self._call)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - raised in the thread, whose step ends by it
            self._error = error
        finally:
            self._done.release()

    def answer(self) -> T:
        self._done.acquire()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value


@final
class Work:
    """One call in a thread. It is called off before it begins, or it ends, or is abandoned; the lock decides which.

    Attributes:
        over: Whether it has ended or was abandoned, so that its run takes nothing from it any more.
    """

    _begun = _called_off = _unwanted = _abandoned = over = False
    _value: object = None
    _error: BaseException | None = None

    def __init__(self, name: str, cancelled: type[BaseException], *, abandon: bool) -> None:
        self._name = name
        self._cancelled = cancelled
        self._abandon = abandon
        self._home = get_ident()
        self._soon = call_soon()
        self._ended = anyio.Event()
        self._lock = allocate_lock()
        self._waits: set[anyio.CancelScope] = set()
        self._held: dict[object, Callable[[], object]] | None = None

    # -- in the loop -----------------------------------------------------------------------------------------

    async def run(self, call: Callable[[], object]) -> tuple[object, Variables]:
        """Gives what the call returns, and the context variables that it set; when this is over, so is the call."""
        try:
            await turn_before_thread()
            return await anyio.to_thread.run_sync(self._work, call, abandon_on_cancel=self._abandon)
        except BaseException as error:
            self._let_go()
            if self._begun and not self._abandon:
                await outlast(self._ended.wait)  # noqa: ASYNC102 - it shields itself
            cancelled = isinstance(error, self._cancelled) and error is not self._error
            if cancelled and not self._abandoned:  # and yet it has ended
                self._tell_late(self._value, self._error)
            raise
        finally:
            self._value = self._error = None

    def _let_go(self) -> None:
        """Nobody waits for what the call returns."""
        with self._lock:
            self._unwanted = True
            self._called_off = not self._begun
            self._abandoned = self._abandon and self._begun and not self.over
            self.over = self.over or self._abandoned
        if self._abandoned:
            for scope in self._waits:
                scope.cancel()
            for give_back in (self._held or {}).values():
                give_back()
            logger().warning("%s was abandoned in its thread, which goes on", self._name)

    def hold(self, what: object, give_back: Callable[[], object]) -> None:
        """The call has something that others wait for: it is given back if the call is abandoned."""
        if self._held is None:
            self._held = {}
        self._held[what] = give_back

    def let_go_of(self, what: object) -> None:
        """The call has it no more."""
        assert self._held is not None, "it holds nothing"
        self._held.pop(what, None)

    # -- in the thread ---------------------------------------------------------------------------------------

    def _work(self, call: Callable[[], object]) -> tuple[object, Variables]:
        with self._lock:
            self._begun = not self._called_off
        if not self._begun:
            raise RuntimeError("called off")
        before = copy_context()
        try:
            value = call()
        except BaseException as error:
            self._end(None, error)
            raise
        after = copy_context().items()
        variables = [(each, now) for each, now in after if each not in before or before[each] is not now]
        self._end(value, None)
        return value, variables

    def _end(self, value: object, error: BaseException | None) -> None:
        with self._lock:
            self.over = True
            if not self._abandoned:
                self._value, self._error = value, error
        if self._abandoned:
            self._tell_late(value, error)
        elif not self._abandon:
            self._soon(self._ended.set)

    def _tell_late(self, value: object, error: BaseException | None) -> None:
        """What nobody waits for is not lost in silence."""
        if error is not None and not isinstance(error, self._cancelled):
            logger().warning(
                "%s raised %s in its thread, when nobody waited for it any more",
                self._name,
                shown(error),
                exc_info=error,
            )
        elif value is not None:
            logger().warning(
                "%s returned %s in its thread, when nobody waited for it any more", self._name, shown(value)
            )
        elif self._abandoned:
            logger().info("%s, which was abandoned, has ended in its thread", self._name)

    def ask(self, call: Callable[[], T], instead: Callable[[], object] | None = None) -> T:
        """Calls a function in the loop's thread, with the context variables of this one, and waits for it.

        Args:
            call: The function.
            instead: What is called there, soon, if the step is over; nobody waits for it.

        Raises:
            RunEndedError: If the step is over.
        """
        if get_ident() == self._home:  # it would wait for itself
            return call()
        asked = _Asked(call)
        with self._lock:  # what is put in before it is let go of is called before the loop can end
            refused = self.over
            if not refused:
                self._soon(asked)
        if refused:
            if instead is not None:
                self._tell(instead)
            raise self._refusal()
        return asked.answer()

    def wait(self, call: Callable[[Unpack[Args]], Coroutine[Any, Any, T]], *args: *Args) -> T:
        """Awaits a coroutine function in the loop, and waits for it.

        Raises:
            RunEndedError: If the step is over.
        """
        if self.over:
            raise self._refusal()
        try:
            return anyio.from_thread.run(self._wait, call, *args)
        except BaseException as error:
            if self.over:  # what it waited for was cancelled, or the loop is gone
                raise self._refusal() from error  # noqa: ASYNC104 - it is raised in a thread
            raise

    async def _wait(self, call: Callable[[Unpack[Args]], Coroutine[Any, Any, T]], *args: *Args) -> T:
        if self.over:  # it was abandoned before the loop came to this
            raise self._refusal()
        with anyio.CancelScope() as scope:  # on trio this task is none of the run's
            self._waits.add(scope)
            try:
                return await call(*args)
            finally:
                self._waits.discard(scope)
        raise self._refusal()

    def _refusal(self) -> RunEndedError:
        return RunEndedError(f"{self._name} is over, and nothing is taken from its thread any more")

    def _tell(self, call: Callable[[], object]) -> None:
        """Calls a function soon in the loop's thread, if there still is a loop."""
        with contextlib.suppress(RuntimeError):
            self._soon(call)

    def check_cancelled(self) -> None:
        """Raises the loop's cancellation if nobody waits for the call any more."""
        anyio.from_thread.check_cancelled()
        if self._unwanted:  # by asyncio's Task.cancel, of which no scope knows
            raise self._cancelled(f"{self._name} was cancelled")


def tell_limit(step: object, name: str, workers: int) -> None:
    """Says, once, that a step has more workers than threads may run."""
    if workers <= _ANYIOS_LIMIT or step in _told:
        return
    threads = anyio.to_thread.current_default_thread_limiter().total_tokens
    if workers > threads:
        _told.add(step)
        logger().warning(
            "%s has num_workers=%d, but anyio lets %.0f threads run at once, of all steps and runs together; for more "
            "write anyio.to_thread.current_default_thread_limiter().total_tokens = %d",
            name,
            workers,
            threads,
            workers,
        )
