"""The timeline of a run: a lane for each worker of each step, drawn as SVG.

Places along the time are per cent and heights are pixels, so the drawing is as wide as there is room for, and its
letters keep their size. A click on a piece of work leads to its row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import final

from ..drawing.lettering import clipped
from .rows import Row
from .works import Work, in_lanes

__all__ = ["drawn", "seconds"]

_LANE = 18
_BAR = 12
_LABEL = 22
_GAP = 8
_INDENT = 16
_AXIS = 26
_MOST_TICKS = 6
_LEAST = 0.15  # per cent: what took no time is seen all the same
_LEFT, _RIGHT = 2, 94  # per cent: nearer to an edge a label would be cut


def seconds(value: float) -> str:
    """A time as a reader wants it: ``1.25 s``, ``3.1 ms``."""
    return f"{value * 1e3:.3g} ms" if 0 < value < 1 else f"{value:.6g} s"


def drawn(rows: Sequence[Row], works: Sequence[Work], end: float) -> str:
    """The timeline of all works.

    Args:
        rows: The steps with what they did, in the order in which they are drawn.
        works: What is shown of that.
        end: Until when, in seconds.
    """
    return _Timeline(works, end).draw(rows)


@final
class _Timeline:
    def __init__(self, works: Sequence[Work], end: float) -> None:
        self._end = end or 1.0
        self._shown = {work.number for work in works}
        self._before = dict(_attempts_before(works))

    def draw(self, rows: Sequence[Row]) -> str:
        drawn: list[str] = []
        height = _AXIS
        for row in rows:
            lanes = in_lanes([work for work in row.works if work.number in self._shown], self._end)
            drawn.append(_label(row, lanes, height + _LABEL - 7))
            height += _LABEL
            for lane in lanes:
                drawn += [part for work in lane for part in self._drawn(work, height)]
                height += _LANE
            height += _GAP
        ticks = "".join(self._ticks(height))
        steps = sum(bool(row.step) for row in rows)
        about = f"Timeline of {steps} steps, {seconds(self._end)}; the table below has the same"
        return (
            f'<svg class="timeline" width="100%" height="{height}" role="img" aria-label="{about}">'
            f"{ticks}{''.join(drawn)}</svg>"
        )

    def _drawn(self, work: Work, top: int) -> Iterator[str]:
        """The bar of one piece of work, what waited before it, and the waits within."""
        since, how = self._before.get(work.number, (work.ready, "queued"))
        if since is not None and since < work.began:
            waited = f"{how.replace('-', ' ')} {seconds(work.began - since)}"
            yield self._rect(how, since, work.began, waited, top=top + _BAR + 2, height=2)
        until = work.until(self._end)
        told = (
            f"{clipped(work.step)} #{work.number}, attempt {work.attempt}: {clipped(work.text, 200)}, from "
            f"{seconds(work.began)} for {seconds(until - work.began)}, {work.how} {clipped(work.error, 200)}"
        )
        kind = f"{work.how.replace(' ', '-')}{' again' if work.attempt > 1 else ''}"
        yield f'<a href="#w{work.number}">'
        yield self._rect(f"bar {kind}", work.began, until, told, top=top, height=_BAR)
        for wait in work.waits:
            to = until if wait.until is None else wait.until
            waited = f"waits for {clipped(wait.name)} {seconds(to - wait.since)}"
            yield self._rect("waits", wait.since, to, waited, top=top + 3, height=_BAR - 6)
        yield "</a>"

    def _rect(self, kind: str, since: float, until: float, told: str, *, top: int, height: int) -> str:
        left, width = self._at(since), max(self._at(until) - self._at(since), _LEAST)
        return (
            f'<rect class="{kind}" x="{left:.4f}%" y="{top}" width="{width:.4f}%" height="{height}" rx="2">'
            f"<title>{escape(told)}</title></rect>"
        )

    def _at(self, time: float) -> float:
        return 100.0 * min(max(time / self._end, 0.0), 1.0)

    def _ticks(self, height: int) -> Iterator[str]:
        gap = _nice(self._end / _MOST_TICKS)
        for number in range(int(self._end / gap + 1e-9) + 1):
            at = self._at(number * gap)
            anchor = "start" if at < _LEFT else "end" if at > _RIGHT else "middle"
            yield f'<line class="tick" x1="{at:.4g}%" x2="{at:.4g}%" y1="{_AXIS - 6}" y2="{height}"/>'
            yield f'<text class="time" x="{at:.4g}%" y="14" text-anchor="{anchor}">{seconds(number * gap)}</text>'


def _attempts_before(works: Sequence[Work]) -> Iterator[tuple[int, tuple[float, str]]]:
    """For each attempt but the first, when the one before it ended."""
    last: dict[tuple[int, str, int], float | None] = {}
    for work in works:
        ended = last.get((work.run, work.step, work.event))
        if work.attempt > 1 and ended is not None:
            yield work.number, (ended, "retries-after")
        last[work.run, work.step, work.event] = work.ended


def _label(row: Row, lanes: Sequence[Sequence[Work]], y: int) -> str:
    count = sum(len(lane) for lane in lanes) if row.step else row.runs
    what = "time" if row.step else "run"
    told = f"{count} {what}{'s' * (count != 1)}" if count else "did not run" if row.step else ""
    name, kind = (row.step, "step") if row.step else (row.owner, "group")
    return (
        f'<text class="{kind}" x="{_INDENT * row.depth}" y="{y}">{escape(clipped(name))}'
        f'<tspan class="soft" dx="8">{told}</tspan></text>'
    )


def _nice(value: float) -> float:
    """The next round number, of 1, 2, 5, 10, 20 and so on."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))
