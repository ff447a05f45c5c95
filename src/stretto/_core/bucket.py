"""A token bucket: so many tokens at most, and a new one at every interval. A data structure that knows no clock.

After J. Turner, "New directions in communications", 1986. It is kept as one number, the time at which it will be full
again (virtual scheduling, ITU-T I.371): each token that is taken makes that later by an interval. So nothing is
refilled, nothing adds up rounding, and a bucket that is full is like a new one and need not be kept.
"""

from __future__ import annotations

import math
from typing import final

__all__ = ["Bucket"]


@final
class Bucket:
    """Tokens, of which one is there again an interval after it was taken.

    Attributes:
        full_at: When it is full again, or was.
    """

    __slots__ = ("_interval", "_lead", "full_at")

    def __init__(self, interval: float, burst: int) -> None:
        self._interval = interval
        self._lead = (burst - 1) * interval
        self.full_at = -math.inf

    @property
    def due(self) -> float:
        """When there is a token, or has been since."""
        return self.full_at - self._lead

    def take(self, at: float) -> None:
        """Takes one; there is one, or it will be missing later."""
        self.full_at = max(self.full_at, at) + self._interval
