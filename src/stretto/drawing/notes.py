"""What stands below the name of a step: its workers, and how it joins."""

from __future__ import annotations

from collections.abc import Iterator

from .._answers import called
from .._core.gathering import Each, Join
from .._step_spec import StepSpec
from ..joins import All, ByKey, First, Quorum, Settle, Until, Window

__all__ = ["notes"]

_USUAL_WORKERS = 4  # the default of @step
_LOSERS = {"cancel": "", "drain": " and drains the rest", "keep": " and keeps the rest"}


def _short(function: object) -> str:
    """Its name without the file: ``majority``."""
    return called(function).partition(" (")[0].rpartition(".")[2]


def notes(spec: StepSpec) -> Iterator[str]:
    """Those of a step that has more to say than its name."""
    if spec.num_workers != _USUAL_WORKERS:
        yield f"x{spec.num_workers}"
    if spec.join is not None:
        yield _joins(spec.join)


def _joins(join: Join) -> str:
    """How a step joins, in a few words."""
    match join:
        case All():
            return "joins all"
        case Settle():
            return "joins all with failures"
        case First(n=n, losers=losers):
            return (f"joins the first {n}" if n > 1 else "joins the first") + _LOSERS[losers]
        case Quorum(when=when, losers=losers):
            return f"joins as soon as {_short(when)}{_LOSERS[losers]}"
        case Until(when=when, losers=losers):
            return f"joins until {_short(when)}{_LOSERS[losers]}"
        case ByKey(key=key):
            return f"joins by {key if isinstance(key, str) else _short(key)}"
        case Window(n=n, seconds=seconds):
            bounds = (f"{n}" if n is not None else "", f"{seconds:g} s" if seconds is not None else "")
            return f"joins each {' or '.join(filter(None, bounds))}"
        case Each():
            return "joins one of each"
