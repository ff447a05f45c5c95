"""Whether two runs under one schedule, on two backends, came to the same."""

from __future__ import annotations

from typing import final

from ..errors import WorkflowError, add_note, shown
from ._test_run import TestRun

__all__ = ["DisagreementError", "compare"]


@final
class DisagreementError(WorkflowError, AssertionError):
    """A schedule came to one thing on one backend, and to another on the other."""


def compare(one: TestRun, other: TestRun) -> None:
    """Looks at result, kind of error, stream and what happened, all by their words.

    Raises:
        DisagreementError: They differ.
    """
    for what, mine, theirs in (
        ("came to", _outcome(one), _outcome(other)),
        ("wrote to the stream", _stream(one), _stream(other)),
        ("did", one.explain(), other.explain()),
    ):
        if mine != theirs:
            name = type(one.workflow).__name__
            error = DisagreementError(
                f"{name} {what} one thing on {one.backend} and another on {other.backend} under one schedule, "
                f"{one.token}: {mine} and {theirs}; look for what depends on the loop: tasks of a library, the order "
                "in which cancelled steps clean up, objects told by their address"
            )
            add_note(error, f"on {one.backend}:\n{one.explain()}")
            add_note(error, f"on {other.backend}:\n{other.explain()}")
            raise error


def _outcome(run: TestRun) -> str:
    return shown(run.value) if run.error is None else type(run.error).__name__


def _stream(run: TestRun) -> str:
    """The last one may hold an error, and its words are the loop's in part."""
    return ", ".join([*map(shown, run.stream[:-1]), *(type(event).__name__ for event in run.stream[-1:])])
