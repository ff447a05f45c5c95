"""What is known of a run, as a report needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import attrs

from .._core.reporting import awaited
from .._shortened import shortened
from ..blueprint import Blueprint
from ..drawing import Picture, draw_most_recent_execution
from ..drawing.subjects import Executed
from ..errors import (
    WorkflowCancelledError,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    shown,
)
from ..undo import UndoError
from .rows import Rows
from .works import Work, works_of

if TYPE_CHECKING:
    from .._driver import Driver

__all__ = ["Account", "account_of"]


@final
@attrs.frozen(kw_only=True)
class Account:
    """A run as it is reported.

    Attributes:
        picture: The graph, with what ran how often.
        state: ``"done"``, ``"failed"``, ``"timed out"``, ``"stalled"``, ``"cancelled"``, ``"running"`` or
            ``"undoing"``.
        result: What it gave, as text.
        error: What came out of it, as a traceback.
        failures: What else steps raised.
        works: What its steps did, if it keeps a journal.
        missed: How many entries the journal has lost; None if there is no journal.
        end: When the last of it happened, in seconds since it began.
        rows: Those pieces of work by their steps, with the steps of other runs beneath.
        rest: What is left of it: dead letters, leftovers, what it waits for, and what is undone and what not, each with
            what is told of it.
    """

    name: str
    run_id: str
    picture: Picture
    blueprint: Blueprint
    state: str
    result: str
    error: str
    failures: tuple[str, ...]
    works: Sequence[Work]
    missed: int | None
    end: float
    rows: Rows
    rest: Sequence[tuple[str, Sequence[str]]]


def account_of(run: Executed, driver: Driver, blueprint: Blueprint) -> Account:
    """What is known of a run, which may be at work.

    Args:
        run: Its handler, as a picture needs it.
        driver: What runs it.
        blueprint: Of its workflow.
    """
    result, error = driver.outcome or (None, None)
    journal = None if driver.trace is None else driver.trace.journal
    entries = [] if journal is None else [*journal]
    works = works_of(entries)
    steps = [spec.name for spec in blueprint.specs]
    end = max((entry.at for entry in entries), default=0.0)
    if driver.outcome is None:
        end = max(end, driver.clock() - driver.machine.begun)
    return Account(
        name=blueprint.name,
        run_id=driver.run_id,
        picture=draw_most_recent_execution(run),
        blueprint=blueprint,
        state=_state(driver),
        result="" if driver.outcome is None or error is not None else shown(result),
        error="" if error is None else _told(error),
        failures=tuple(shown(each) for each in driver.machine.errors or () if each is not error),
        works=works,
        missed=None if journal is None else journal.missed,
        end=end,
        rows=Rows(blueprint.name, steps, {} if journal is None else journal.runs, works),
        rest=_rest(driver),
    )


def _told(error: BaseException) -> str:
    if isinstance(error, UndoError):
        return f"{_told(error.failure)}\n\n{shortened(error)}"
    if isinstance(error, WorkflowError) and error.__cause__ is None:
        return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
    return shortened(error)


def _state(driver: Driver) -> str:
    if driver.outcome is None:
        undos = driver.machine.undos
        return "running" if undos is None or not undos.going_on else "undoing"
    error = driver.outcome[1]
    match error.failure if isinstance(error, UndoError) else error:
        case None:
            return "done"
        case WorkflowTimeoutError():
            return "timed out"
        case WorkflowStalledError():
            return "stalled"
        case WorkflowCancelledError():
            return "cancelled"
        case _:
            return "failed"


def _rest(driver: Driver) -> list[tuple[str, Sequence[str]]]:
    machine = driver.machine
    undone = () if machine.undos is None else machine.undos.records
    waits = [] if machine.ended else [f"{each.step}: {each.kind.__name__}" for each in awaited(machine)]
    return [
        ("Waits for", waits),
        ("Dead letters", [f"{shown(each.event)}: {each.reason}" for each in machine.dead_letters or ()]),
        ("Leftovers", _many([shown(each) for each in machine.leftovers()])),
        ("Undone", [str(each) for each in undone if each.outcome == "done"]),
        ("Not undone", [str(each) for each in undone if each.outcome != "done"]),
    ]


def _many(texts: Sequence[str]) -> list[str]:
    """Each text once, with how many there are of it."""
    return [text if count == 1 else f"{text} ×{count}" for text, count in Counter(texts).items()]
