"""What becomes of a member of an application that fails: ``Application(..., supervise={"orders": Restart()})``.

The principles are those of OTP's supervisors: what has failed is begun anew, in the state in which it once began, and
somebody above is told if that happens too often in a time.
"""

from __future__ import annotations

from typing import Literal, final

import attrs

from ._options import count, duration
from .errors import DefinitionError, shown
from .retry.conditions import Condition, retry_if
from .retry.waits import Wait, jittered

__all__ = ["Restart"]


def _wait(value: Wait) -> Wait:
    if not isinstance(value, Wait):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(
            f"backoff is fixed(…), exponential(…), jittered(…) or no_wait(), of stretto.retry, not {shown(value)}"
        )
    return value


def _limit(value: int) -> int:
    return count(value, "limit")


def _period(value: float) -> float:
    return duration(value, "period")


def _one_of(value: str, *known: str, name: str) -> str:
    if value not in known:
        raise DefinitionError(f"{name} is {' or '.join(map(repr, known))}, not {shown(value)}")
    return value


@final
@attrs.frozen(kw_only=True)
class Restart:
    """How a member that fails is restarted, in the conversation in which it has failed.

    It is for the runs that events have opened: one that was called has a caller, who is given the error. An event that
    was being handled is not handled again, and neither is what was half collected: they are in
    `Application.dead_letters`, with the reason. The new run begins with a fresh state.

    >>> from stretto.retry import exponential
    >>> from stretto.supervision import Restart
    >>> Restart(backoff=exponential(1, maximum=30), limit=3).mailbox
    'keep'

    Args:
        backoff: How long after the failure the new run begins to work, by the number of restarts in the period; by
            default a random part of 0.1 s, 0.2 s, and so on up to 5 s.
        limit: How many restarts of the member there may be in the period; one more failure fails its conversation.
        period: Seconds.
        mailbox: What becomes of the events that no step has begun with: ``"keep"`` gives them to the new run,
            ``"discard"`` makes them dead letters, and also what comes before the restart.
        on: Which errors are worth a restart, as of a `RetryPolicy`. Only an `Exception` ever is.
        strategy: ``"rest_for_one"`` restarts the members that were declared after it too.

    Raises:
        DefinitionError: For an option that makes no sense.
    """

    backoff: Wait = attrs.field(default=jittered(), converter=_wait)
    limit: int = attrs.field(default=5, converter=_limit)
    period: float = attrs.field(default=60.0, converter=_period)
    mailbox: Literal["keep", "discard"] = "keep"
    on: Condition = attrs.field(default=retry_if(Exception), converter=retry_if)
    strategy: Literal["one_for_one", "rest_for_one"] = "one_for_one"

    def __attrs_post_init__(self) -> None:
        _one_of(self.mailbox, "keep", "discard", name="mailbox")
        _one_of(self.strategy, "one_for_one", "rest_for_one", name="strategy")
