"""Whether a step that failed is tried again, and when.

The policy is the step's; what is added here is what no policy can know: the time limit of the attempt, and that
nothing may sleep past the deadline of the run.
"""

from __future__ import annotations

from ..errors import StepTimeoutError, add_context, add_note, shown
from .state import Delivery

__all__ = ["failure_of", "next_attempt", "overdue"]


def overdue(delivery: Delivery, at: float, spent: str = "") -> StepTimeoutError | None:
    """The error of an attempt that has passed the time limit of its step, whatever else came of it.

    Args:
        delivery: The attempt.
        at: When it is looked at.
        spent: What the time went into beside the body of the step, for the message.
    """
    step, started = delivery.step, delivery.started
    if step.timeout is None or started is None or at < started + step.timeout:
        return None
    return StepTimeoutError(
        f"{step.label} passed its time limit of {step.timeout:.6g} s in attempt {delivery.attempt}{spent}",
        step.name,
        step.timeout,
        delivery.attempt,
    )


def failure_of(delivery: Delivery, error: BaseException, at: float) -> BaseException:
    """What an attempt failed with: past its limit that is the timeout, and what it raised is the cause."""
    late = overdue(delivery, at)
    if late is None or not isinstance(error, Exception) or _is_same(error, late):
        return error
    late.__cause__ = error
    return late


def _is_same(error: Exception, late: StepTimeoutError) -> bool:
    """Whether it is what the driver made of `overdue`, a moment before."""
    if not isinstance(error, StepTimeoutError) or not str(error).startswith(str(late)):
        return False
    return (error.step, error.timeout, error.attempt) == (late.step, late.timeout, late.attempt)


def next_attempt(
    delivery: Delivery, error: Exception, at: float, draw: float, deadline: float
) -> float | None:
    """When the delivery is tried again; None to give up, and a note on the error says why.

    Raises:
        BaseException: What the predicate of the policy raised.
    """
    step, past = delivery.step, delivery.past
    if step.retry is None or past is None or past.began is None:
        return None
    elapsed = max(0.0, at - past.began)
    try:
        wait = step.retry.delay(attempt=delivery.attempt, elapsed=elapsed, error=error, draw=draw)
    except BaseException as broken:
        add_context(broken, error)
        add_note(broken, f"raised by the retry policy of {step.label}, which was asked about {shown(error)}")
        raise
    if wait is not None and at + wait < deadline:
        return at + wait
    why = (
        "its retry policy gave up"
        if wait is None
        else f"the next attempt, {wait:.3g} s later, would begin at or after the deadline of the run"
    )
    add_note(
        error,
        f"not tried again after attempt {delivery.attempt}, {elapsed:.3g} s after the first one began: {why}",
    )
    return None
