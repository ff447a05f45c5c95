"""How a run stands, from its stream: what is at work, what is queued and what is done, for each step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import final

import attrs

from ..drawing.lettering import clipped
from ..events import Event, StepProgress, StepStateChanged

__all__ = ["Standing", "told"]

_WIDTH = 20


@final
@attrs.define
class _Step:
    active: int = 0
    done: int = 0
    progress: StepProgress | None = None


@final
class Standing:
    """What is known so far, fed with what `stream_events` gives with ``expose_internal=True``."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def take(self, event: Event) -> None:
        """Takes the next event of the stream."""
        if isinstance(event, StepProgress):
            self._of(event.step).progress = event
        elif isinstance(event, StepStateChanged):
            step = self._of(event.name)
            begins = event.state == "running"
            step.active += 1 if begins else -1
            step.done += not begins
            if not begins and not step.active:
                step.progress = None  # who told it has ended

    def lines(self, queued: Mapping[str, int]) -> Iterator[str]:
        """A line for each step that has come up, in the order in which they did."""
        for name in dict.fromkeys([*self._steps, *queued]):
            step = self._steps.get(name, _Step())
            counts = [f"{step.active} at work", f"{queued.get(name, 0)} queued", f"{step.done} done"]
            how = "" if step.progress is None else f"  {told(step.progress)}"
            yield f"{clipped(name):<12} {', '.join(counts)}{how}"

    def _of(self, name: str) -> _Step:
        return self._steps.setdefault(name, _Step())


def told(progress: StepProgress) -> str:
    """How far a step has come: ``######-------------- 3/10 asks the mill``."""
    text = clipped(str(progress.text), 60)
    done, total = _number(progress.done), _number(progress.total or 0)
    part = done / total if total > 0 else math.nan
    if math.isnan(part):
        return f"{done:g} {text}".rstrip()
    full = round(_WIDTH * min(max(part, 0), 1))
    return f"{'#' * full}{'-' * (_WIDTH - full)} {done:g}/{total:g} {text}".rstrip()


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number may be larger than any other
        return math.inf if value > 0 else -math.inf
