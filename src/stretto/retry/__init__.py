"""When a step that failed is tried again: values that decide without a clock and without a die of their own.

A `RetryPolicy` is made of values of three kinds, and each joins only with its own kind:

- a *condition* says which errors are worth another attempt: `retry_if`; ``|`` and ``&`` join two;
- a *stop* says when it is enough: `after_attempts`, `after_seconds`; ``|`` and ``&`` join two;
- a *wait* says how long until the next attempt: `fixed`, `exponential`, `jittered`, `no_wait`; ``+`` adds two.

Whole policies join too: ``a | b`` asks `b` where `a` gives up, so each error may have a policy of its own, and
``a & b`` tries again where both would, after the longer of their waits.

The vocabulary of condition, stop and wait is tenacity's; the default, few attempts and full jitter, is that of
stamina and of the article "Exponential Backoff And Jitter" in the AWS Architecture Blog.
"""

from __future__ import annotations

from .conditions import Condition as Condition, retry_if as retry_if
from .policies import Attempt as Attempt, Policy as Policy, RetryPolicy as RetryPolicy
from .stops import Stop as Stop, after_attempts as after_attempts, after_seconds as after_seconds
from .waits import (
    Wait as Wait,
    exponential as exponential,
    fixed as fixed,
    jittered as jittered,
    no_wait as no_wait,
)

__all__ = [
    "Attempt",
    "Condition",
    "Policy",
    "RetryPolicy",
    "Stop",
    "Wait",
    "after_attempts",
    "after_seconds",
    "exponential",
    "fixed",
    "jittered",
    "no_wait",
    "retry_if",
]
