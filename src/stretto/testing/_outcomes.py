"""The distinct outcomes of many runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import attrs

from ..errors import shown
from ._test_run import TestRun

__all__ = ["Outcome", "Outcomes"]


@final
@attrs.define(kw_only=True)
class Outcome:
    """One result or error, and the first run that had it.

    Attributes:
        said: The result or the error, by its `repr`.
        count: How many of the schedules tried had it.
        example: The first of them.
    """

    said: str
    count: int
    example: TestRun


@final
class Outcomes:
    """What came of the runs, by the `repr` of result or error; printing it shows each with a schedule."""

    def __init__(self, durations: str) -> None:
        self._durations = durations
        self._found: dict[str, Outcome] = {}

    def add(self, run: TestRun) -> None:
        """Counts one more run."""
        said = f"raises {run.error!r}" if run.error is not None else shown(run.value)
        if said not in self._found:
            self._found[said] = Outcome(said=said, count=0, example=run)
        self._found[said].count += 1

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        runs = sum(each.count for each in self)
        lines = [
            f"{len(self)} outcome{'s' * (len(self) != 1)} in {runs} schedules (durations={self._durations!r})"
        ]
        lines += [f"  {each.count:>6} x {each.said}   e.g. replay={each.example.token!r}" for each in self]
        return "\n".join(lines)
