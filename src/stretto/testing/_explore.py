"""`explore`: a test of a workflow under many schedules, or under all there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..application import Application
from ..errors import DefinitionError, shown
from ..workflow import Workflow
from ._explorer import Explorer, Mode
from ._faults import Faults
from ._schedule import Token
from ._starts import Start
from ._subject import Beside, subject_of
from ._turns import Durations
from ._virtual import backends

__all__ = ["explore"]


def explore(
    workflow: Callable[[], Workflow[Any] | Application],
    *,
    member: str | None = None,
    start: Start | None = None,
    beside: Beside | None = None,
    mode: Mode = "random",
    durations: Durations = "virtual",
    max_schedules: int | None = None,
    faults: Faults | None = None,
    replay: str | None = None,
    reduce: bool = True,
    seed: int = 0,
    backend: str | None = None,
    most_moves: int = 1_000,
) -> Explorer:
    """Runs a workflow under many schedules, and a test on each of them: a decorator for a test.

    The steps of a run go on one at a time: one that begins, wakes from a sleep, goes on after a wait or returns has its
    turn when somebody chose it. Each way to choose is a *schedule*, and the test is called for each that is tried, with
    the `TestRun` that is over. If it raises, the schedule is made as short to tell as can be, and told with a token
    that repeats it. The piece of a step between two of these points is never divided: a race between two awaits of
    something else, such as a lock of your own, is not looked for.

    >>> from stretto import Event, StartEvent, StopEvent, Workflow, step
    >>> class Double(Workflow[int]):
    ...     @step
    ...     async def begin(self, ev: StartEvent) -> StopEvent[int]:
    ...         return StopEvent(result=2 * ev.n)
    >>> @explore(Double, start=StartEvent(n=3), mode="exhaustive")
    ... def test_it_doubles(run):
    ...     assert run.result == 6
    >>> test_it_doubles()

    The ideas are those of shuttle and loom (Rust), of Coyote (faults are choices), and of Godefroid's sleep sets.

    Args:
        workflow: The class, or a function that makes the workflow, anew for each run; or one that makes an
            `Application`.
        member: Which member of an application is called.
        start: What it begins with; one of several is a choice too. None begins without fields. Of a strategy of
            hypothesis up to twenty are drawn, the same ones each time.
        beside: An async function that runs beside the run, in its block, and is given the `Handler`: to send events, to
            cancel. Its sleeps are points of choice too. If the process of the run dies, it begins anew beside the next.
        mode: ``"random"`` tries the normal order and then others by chance, the same ones each time. ``"exhaustive"``
            tries all but those that differ from another only in the order of what does not meet, and fails if there are
            more than `max_schedules`.
        durations: How long a sleep takes. ``"virtual"``: as written, so that only what happens at one instant has
            several orders. ``"jitter"``: as written, half, or twice, which is a choice. ``"any"``: whoever sleeps may
            wake next, which is thorough and may find what no clock allows; time stands still.
        max_schedules: How many schedules at most, on each backend: 200 by chance, 10 000 of all.
        faults: What may go wrong, as choices.
        replay: A token: only its schedule is run.
        reduce: Whether an exhaustive search leaves out what makes no difference.
        seed: Another one gives other schedules by chance.
        backend: ``"asyncio"`` or ``"trio"``; both, in turn, if there is none.
        most_moves: How many moves a run may have; one that has more is cancelled, and has an `EndlessError`.

    Raises:
        DefinitionError: For an option that makes no sense.
    """
    if max_schedules is not None and max_schedules < 1:
        raise DefinitionError(f"max_schedules is 1 or more, not {shown(max_schedules)}")
    if mode not in {"random", "exhaustive"}:
        raise DefinitionError(f"mode is 'random' or 'exhaustive', not {shown(mode)}")
    if replay is not None:
        Token.read(replay)
    subject = subject_of(
        workflow,
        member=member,
        start=start,
        beside=beside,
        durations=durations,
        faults=faults,
        most_moves=most_moves,
    )
    return Explorer(
        subject,
        mode=mode,
        max_schedules=max_schedules or (200 if mode == "random" else 10_000),
        reduce=reduce,
        seed=seed,
        backends=backends() if backend is None else (backend,),
        replay=replay,
        options=_written(member=member, start=start, beside=beside, durations=durations, faults=faults),
    )


def _written(**options: object) -> str:
    """The options that matter to a token, as they are written in a program; the usual ones are left out."""
    texts = {
        name: getattr(value, "__name__", None) or repr(value)
        for name, value in options.items()
        if value is not None and value != "virtual"
    }
    return "".join(f", {name}={text}" for name, text in texts.items())
