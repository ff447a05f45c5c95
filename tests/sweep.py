"""Cancel a program at every turn of the loop, and look at what is left each time.

A race that loses a clean-up one time in ten thousand is lost at one exact turn of the loop, every time. So
the program is run again and again in virtual time, and a cancellation is thrown in at turn 0, 1, 2, … until
it ends by itself before its turn comes. What throws it in is the loop: a hook of `VirtualLoop` on asyncio, an
`Instrument` on trio (there each step of a task is a turn of its own).
"""

from __future__ import annotations

import asyncio
import gc
import signal
import warnings
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal

import anyio
import attrs
import trio

from tests import leaks, virtual

How = Literal["scope", "native", "interrupt"]
"""An anyio scope round the program, `Task.cancel()` of the task it runs in, or Control-C (SIGINT)."""

HOWS = [
    ("asyncio", "scope"),
    ("asyncio", "native"),
    ("asyncio", "interrupt"),
    ("trio", "scope"),
    ("trio", "interrupt"),
]

MANY = 3_000
"""A program that goes on for more turns than this is broken."""


@attrs.define(kw_only=True)
class Ending:
    """How one shot went."""

    turn: int
    fired: bool = False
    fired_at: float = 0.0
    ended_at: float = 0.0
    result: object = None
    error: BaseException | None = None
    left: list[str] = attrs.Factory(list)

    @property
    def cancelled(self) -> bool:
        """It ended by the cancellation itself, in whatever shape the backend gives it."""
        return isinstance(self.error, (asyncio.CancelledError, trio.Cancelled, KeyboardInterrupt))

    @property
    def overrun(self) -> float:
        """Virtual seconds that passed after the cancellation."""
        return self.ended_at - self.fired_at if self.fired else 0.0


def sweep(
    program: Callable[[], Awaitable[object]], *, backend: str, how: str, check: Callable[[Ending], None]
) -> int:
    """Shoot at `program()` at every turn; `check` judges each ending. Returns how many shots hit it alive."""
    gc.collect()
    gc.freeze()  # one collection for each shot: what is there now is kept out of them
    for turn in range(MANY):
        ending = shoot(program, backend=backend, how=how, turn=turn)
        try:
            assert ending.left == []
            check(ending)
        except AssertionError as error:
            error.add_note(f"cancelled by {how} on {backend} at turn {turn}: {ending}")
            raise
        if not ending.fired:
            return turn
    raise AssertionError(f"still going after {MANY} turns")


def shoot(program: Callable[[], Awaitable[object]], *, backend: str, how: str, turn: int) -> Ending:
    """Run the program once with a cancellation at `turn`, and collect what it left."""
    ending = Ending(turn=turn)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            virtual.run(_main, program, how, ending, backend=backend)
        except KeyboardInterrupt as error:
            assert how == "interrupt"
            if ending.error is None or ending.cancelled:
                ending.error = error.with_traceback(None)
        gc.collect()
    ending.left += [str(warning.message) for warning in told]
    return ending


async def _main(program: Callable[[], Awaitable[object]], how: str, ending: Ending) -> None:
    if (loop := asyncio._get_running_loop()) is not None:
        loop.set_exception_handler(
            lambda _, context: ending.left.append(f"the loop says: {context['message']}")
        )
    match how:
        case "scope":
            with anyio.CancelScope() as scope:
                await _watched(program, ending, scope.cancel)
        case "native":
            task = asyncio.create_task(_itself(program, ending))
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        case _:
            await _watched(program, ending, lambda: signal.raise_signal(signal.SIGINT))


async def _itself(program: Callable[[], Awaitable[object]], ending: Ending) -> None:
    task = asyncio.current_task()
    assert task is not None
    await _watched(program, ending, task.cancel)


async def _watched(
    program: Callable[[], Awaitable[object]], ending: Ending, cancel: Callable[[], object]
) -> None:
    """Await the program; look round in the very moment in which its caller goes on."""
    before = leaks.Before()
    with _trigger(ending, cancel):
        try:
            ending.result = await program()
        except (Exception, asyncio.CancelledError, trio.Cancelled, KeyboardInterrupt) as error:
            ending.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            ending.ended_at = anyio.current_time()
            ending.left += before.left_behind()


@contextmanager
def _trigger(ending: Ending, cancel: Callable[[], object]) -> Generator[None]:
    """Count the loop's turns and cancel at the one that the shot names."""
    turns = 0

    def turn() -> None:
        nonlocal turns
        if turns == ending.turn:
            ending.fired, ending.fired_at = True, anyio.current_time()
            cancel()
        turns += 1

    world = virtual.current_world()
    if isinstance(world, virtual.VirtualLoop):
        world.on_turn = turn
        try:
            yield
        finally:
            world.on_turn = None
    else:
        instrument = _Turns(turn)
        trio.lowlevel.add_instrument(instrument)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(instrument)


class _Turns(trio.abc.Instrument):
    """Calls a function whenever trio's loop looks up: before each wait, and before each step of a task.

    Not after a wait: the clock may be about to jump there, and would not see a signal that came so late.
    """

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn

    def before_io_wait(self, timeout: float) -> None:
        self._turn()

    def before_task_step(self, task: Any) -> None:
        self._turn()
