"""The report as a page: one HTML file without a script, whose policy lets nothing be fetched and nothing run.

Whatever a step was called, took or raised is text; what cannot be seen of it is written out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ..blueprint import Blueprint
from ..drawing.lettering import clipped, visible
from ..drawing.policy import content_policy
from ..drawing.subjects import Executed
from ..drawing.svg import STYLE
from ..errors import shown
from .account import Account, account_of
from .graph import coloured
from .timeline import drawn, seconds
from .works import Work

if TYPE_CHECKING:
    from .._driver import Driver

__all__ = ["file_of", "page_of", "write_report"]

_SUFFIXES = (".html", ".htm")
_MOST = 2_000  # pieces of work that a browser shows without effort
_LONGEST = 4_000  # letters of a traceback
_INDENT = "\u2003"
_MOST_SENT = 20  # events of one piece of work
_SIGNS = {
    "done": "✓",
    "failed": "✗",
    "timed out": "✗",
    "stalled": "✗",
    "cancelled": "○",
    "running": "…",
    "undoing": "…",
}


def write_report(
    run: Executed, driver: Driver, blueprint: Blueprint, filename: str | os.PathLike[str]
) -> None:
    """Writes the report of a run, which may be at work, to a file."""
    file_of(filename).write_text(page_of(account_of(run, driver, blueprint)), "utf-8")


def file_of(filename: object) -> Path:
    """The file that a report is written to.

    Raises:
        TypeError: If that is the name of no file.
        ValueError: If its end says that it is no page.
    """
    try:
        path = Path(filename)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - that is what is looked at
    except TypeError:
        raise TypeError(
            f"report takes the name of a file, as in run.report('run.html'), not {shown(filename)}"
        ) from None
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(
            f"a report is an HTML page, and {str(filename)!r} does not end in {' or '.join(_SUFFIXES)}"
        )
    return path


def page_of(account: Account) -> str:
    """The page."""
    style = _style()
    title = f"{clipped(account.name, 80)}: {account.state}"
    policy = content_policy(style, STYLE)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="stretto">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{_header(account)}
<main>
{"".join(_sections(account))}
</main>
</body>
</html>
"""


def _header(account: Account) -> str:
    kind = account.state.replace(" ", "-")
    facts = [f"run {account.run_id}"]
    if account.missed is not None:
        facts = [seconds(account.end), f"{len(account.works)} pieces of work", *facts]
    return (
        f'<header><h1>{escape(clipped(account.name, 80))} <span class="state {kind}">{_SIGNS[account.state]} '
        f"{account.state}</span></h1><p>{' · '.join(facts)}</p></header>"
    )


def _sections(account: Account) -> Iterator[str]:
    if account.error:
        yield _section("What came out", f'<pre class="bad">{_text(account.error, _LONGEST)}</pre>')
    elif account.result:
        yield _section("Result", f"<pre>{_text(account.result)}</pre>")
    if account.failures:
        yield _section("What else was raised", _list(account.failures))
    works = account.works[-_MOST:]
    if account.missed is None:
        name = escape(clipped(account.name, 80))
        yield _section(
            "Timeline",
            "<p>This run kept no journal, so times and causes are not known. Runs of "
            f"<code>{name}(journal=10_000)</code> have both.</p>",
        )
    else:
        legend = "".join(f'<span><i class="{kind}"></i>{told}</span>' for kind, told in _LEGEND.items())
        yield _section(
            "Timeline",
            f'{_left_out(account, works)}{drawn([*account.rows], works, account.end)}<p class="legend">{legend}</p>',
        )
    yield _section("Graph", f'<div class="graph">{coloured(account)}</div>')
    if works:
        yield _section("Each step", _table(_STEP_HEADS, _step_rows(account)))
        yield _section(
            "Each piece of work", _table(_WORK_HEADS, (_work_row(work, account) for work in works))
        )
    for title, texts in account.rest:
        if texts:
            yield _section(title, _list(texts))


_LEGEND = {
    "ended": "at work",
    "waits": "waits for an event",
    "queued": "event waits for a worker",
    "failed": "failed",
    "retries-after": "until the next attempt",
    "cancelled": "cancelled",
    "at-work": "not ended",
}
_STEP_HEADS = ("Step", "Runs", "Failed", "Cancelled", "At work", "Longest", "Longest in the queue")
_WORK_HEADS = ("#", "At", "Step", "Took", "Because of", "For", "Sent", "Came of it")


def _left_out(account: Account, works: Sequence[Work]) -> str:
    told: list[str] = []
    if account.missed:
        told.append(f"The journal has lost its {account.missed} oldest entries; give it more room.")
    if len(works) < len(account.works):
        told.append(f"Of {len(account.works)} pieces of work the last {len(works)} are shown.")
    return f'<p class="hint">{" ".join(told)}</p>' if told else ""


def _step_rows(account: Account) -> Iterator[str]:
    labels = {spec.name: spec.label for spec in account.blueprint.specs}
    for row in account.rows:
        if not row.step:
            continue
        works = row.works
        times = [work.until(account.end) - work.began for work in works]
        queued = [work.began - work.ready for work in works if work.ready is not None and work.attempt == 1]
        cells = [
            _INDENT * row.depth
            + escape(clipped(f"{row.owner}.{row.step}" if row.depth else labels[row.step], 80)),
            str(len(works)),
            str(sum(work.how == "failed" for work in works)),
            str(sum(work.how == "cancelled" for work in works)),
            seconds(sum(times)),
            seconds(max(times, default=0.0)),
            seconds(max(queued, default=0.0)),
        ]
        yield _row(cells)


def _work_row(work: Work, account: Account) -> str:
    step = f"{account.rows.owner(work)}.{work.step}" if work.run else work.step
    attempt = f" <small>attempt {work.attempt}</small>" if work.attempt > 1 else ""
    causes = ", ".join(f'<a href="#w{cause}">#{cause}</a>' for cause in work.causes) or "outside"
    sent = "<br>".join(f"<code>{_text(each.text)}</code>" for each in work.sent[:_MOST_SENT])
    if len(work.sent) > _MOST_SENT:
        sent += f"<br>and {len(work.sent) - _MOST_SENT} more"
    waits = [
        f"<small>waits for {_text(wait.name, 80)}"
        f"{'' if wait.until is None else f' {seconds(wait.until - wait.since)}'}</small>"
        for wait in work.waits
    ]
    came = f"<code>{_text(work.error)}</code>" if work.error else work.how
    cells = [
        str(work.number),
        seconds(work.began),
        f"{_text(step, 80)}{attempt}",
        f"<code>{_text(work.text)}</code>",
        causes,
        "<br>".join([*([] if work.ended is None else [seconds(work.ended - work.began)]), *waits]),
        sent,
        came,
    ]
    return _row(cells, f' id="w{work.number}" class="{work.how.replace(" ", "-")}"')


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{title}</h2>{inside}</section>\n"


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(cells: Iterable[str], attributes: str = "") -> str:
    return f"<tr{attributes}>{''.join(f'<td>{each}</td>' for each in cells)}</tr>\n"


def _list(texts: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li><code>{_text(each)}</code></li>' for each in texts)}</ul>"


def _text(text: str, most: int = 500) -> str:
    """Text as HTML shows it: harmless, visible, cut where it is too long, its lines kept."""
    return escape("\n".join(visible(line) for line in text[:most].split("\n"))) + "…" * (len(text) > most)


@cache
def _style() -> str:
    return files("stretto.report").joinpath("page.css").read_text("utf-8")
