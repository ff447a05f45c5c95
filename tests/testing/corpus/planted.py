"""What a planted bug is: two workflows, one wrong and one right, and the test that a user would write for both.

What several bugs are made of is here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.testing import TestRun


@attrs.frozen(kw_only=True)
class Planted:
    """A bug, its corrected twin, and how it is looked for.

    Attributes:
        off: How many choices off the normal order the smallest failure is.
    """

    name: str
    wrong: type[Workflow[Any]]
    right: type[Workflow[Any]]
    check: Callable[[TestRun], object]
    off: int
    options: dict[str, Any] = attrs.Factory(dict[str, Any])


class One(Event):
    n: int = 1


class Two(Event):
    n: int = 2


class Done(Event):
    n: int = 0


class Both(Workflow[Any]):
    """Begins two steps at once and ends when both have returned `Done`, with what `outcome` says."""

    def outcome(self) -> object:
        return None

    @step
    async def begin(self, ev: StartEvent) -> list[One | Two]:
        return [One(), Two()]

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
        return StopEvent(result=self.outcome()) if ctx.collect_events(ev, [Done] * 2) else None


def ends_in_time(run: TestRun) -> None:
    assert run.error is None
