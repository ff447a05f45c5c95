"""What a piece of a run has touched, to tell whether it matters in which order two pieces come.

Two pieces are independent if neither writes what the other reads or writes. A piece that touches something of which
nothing is known is dependent on everything, so that what is not understood costs time and never truth.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import final

import attrs

__all__ = ["Footprint"]


@final
@attrs.define(eq=False)
class Footprint:
    """What was read and written, by names that mean the same in each schedule.

    Attributes:
        everything: Whether it may have touched anything.
    """

    reads: set[Hashable] = attrs.Factory(set[Hashable])
    writes: set[Hashable] = attrs.Factory(set[Hashable])
    everything: bool = False

    def independent(self, other: Footprint) -> bool:
        """Whether the order of the two makes no difference."""
        if self.everything or other.everything:
            return False
        return not (self.writes & other.writes or self.writes & other.reads or self.reads & other.writes)
