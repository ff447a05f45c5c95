"""What was counted in a run, as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import attrs

from ..events import Event

__all__ = ["Counts"]


@final
@attrs.frozen(kw_only=True)
class Counts:
    """What has happened in a run so far, in numbers.

    Attributes:
        begun: For each step by its name, how many events it has begun to handle; attempts after the first and joins
            of several events count once.
        sent: For the name of a step, or None for outside, and a class: how many such events it has sent or returned,
            questions that it asked as a wait began included.
        taken: For a class and the name of a step: how many such events it was given, those that wait for it included.
    """

    begun: Mapping[str, int]
    sent: Mapping[tuple[str | None, type[Event]], int]
    taken: Mapping[tuple[type[Event], str], int]
