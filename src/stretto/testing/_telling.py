"""How a failure under a schedule is told: what happened, in which order, and how to have it once more."""

from __future__ import annotations

from ..errors import shown
from ._test_run import TestRun

__all__ = ["found", "repeated"]


def found(run: TestRun, said: str, name: str, options: str, *, off: int, timeless: bool) -> str:
    """The note on what a test raised in one of the schedules that were tried.

    Args:
        run: The run that the test did not like.
        said: What makes the workflow.
        name: The name of the test.
        options: The options of `explore` that matter, as they are written.
        off: How many choices off the normal order it is.
        timeless: Whether sleeps take no time, so that the normal order is not that of the clock.
    """
    workflow = type(run.workflow).__name__
    how = f"{off} choice{'s' * (off > 1)} off the normal order (>)"
    if not off:
        how = (
            "with who has waited longest first, however long it sleeps" if timeless else "in the normal order"
        )
    came = f"raised {shown(run.error)}" if run.error is not None else f"gave {shown(run.value)}"
    return "\n".join(
        [
            f"{workflow} {came} on {run.backend}, {how}:",
            run.explain(),
            f"once more: pytest -p stretto.testing.plugin --stretto-replay={run.token}",
            "as a test of its own:",
            f'    @explore({said}{options}, replay="{run.token}")',
            f"    def {name}_again(run):",
            f"        {name}.on(run)",
        ]
    )


def repeated(run: TestRun) -> str:
    """The note on what a test raised in the schedule that was asked for."""
    return f"in the schedule {run.token}, on {run.backend}:\n{run.explain()}"
