"""``stretto explore``: runs a workflow under many schedules and shows what came of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..application import Application
from ..events import StartEvent
from ..testing import explore
from ..testing._explorer import Explorer, IncompleteError
from ..testing._outcomes import Outcome, Outcomes
from ..testing._schedule import StaleTokenError
from ..workflow import Workflow
from .endings import Exit
from .running import given, member_of
from .starts import Start
from .targets import UsageError, maker

__all__ = ["configure", "perform"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = (
        "Runs a workflow under many schedules, in virtual time, and shows each distinct result or error with a token "
        "that repeats it. What follows the target are the fields of the start event, as for run."
    )
    parser.epilog = "exit codes: 0 one outcome, and no error; 1 several, or an error; 2 wrong usage"
    parser.add_argument(
        "target",
        nargs="?",
        help="module:Workflow, or file.py:Workflow; or a function that makes a workflow or an application",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="fields of the start event: a file, - for stdin, or {…} itself"
    )
    parser.add_argument("--start", metavar="EVENT", help="which start event, if the workflow has several")
    parser.add_argument("--member", metavar="NAME", help="which member is called, of an application")
    parser.add_argument(
        "--backend", choices=["asyncio", "trio"], help="the event loop (default: each that is there)"
    )
    parser.add_argument("--exhaustive", action="store_true", help="all schedules, and not some by chance")
    parser.add_argument(
        "--durations", choices=["virtual", "jitter", "any"], default="virtual", help="how long a sleep takes"
    )
    parser.add_argument("--max-schedules", type=_number, metavar="N", help="at most so many, on each backend")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another one tries others by chance")
    parser.add_argument("--replay", metavar="TOKEN", help="that schedule alone, move by move")


def _number(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"a number above 0, and not {text!r}")
    return int(text)


def perform(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Explores it.

    Raises:
        UsageError: If the target or the fields are wrong.
    """
    make = maker(options.target)
    start, member = _start(parser, options, rest, make())
    try:
        explorer = explore(
            make,
            member=member,
            start=start,
            mode="exhaustive" if options.exhaustive else "random",
            durations=options.durations,
            max_schedules=options.max_schedules,
            seed=options.seed,
            backend=options.backend,
            replay=options.replay,
        )
        if options.replay is None:
            return _tell(explorer)
        explorer.check(lambda run: print(run.explain(), run, sep="\n"))
    except StaleTokenError as error:
        raise UsageError(str(error).replace("replay=", "--replay ").rstrip()) from None
    return Exit.OK


def _start(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    rest: Sequence[str],
    target: Workflow[Any] | Application,
) -> tuple[StartEvent, str | None]:
    """What each run begins with, and which member of an application is called."""
    member = member_of(target, options.member)
    called = target if isinstance(target, Workflow) else target.members[member or ""]
    return given(parser, Start(called.blueprint(), options.start), options, rest), member


def _tell(explorer: Explorer) -> int:
    try:
        outcomes = explorer.outcomes()
    except IncompleteError as error:
        print(f"stretto: {error}")
        return Exit.FAILED
    print(outcomes)
    for each in _surprising(outcomes):
        print(f"\n{each.said}, on {each.example.backend}:\n{each.example.explain()}")
    for backend, explored in explorer.explored.items():
        print(f"\n{backend}: {explored.runs} schedules{', all there are' if explored.complete else ''}")
    failed = len(outcomes) > 1 or any(each.example.error is not None for each in outcomes)
    return Exit.FAILED if failed else Exit.OK


def _surprising(outcomes: Outcomes) -> list[Outcome]:
    """All but the usual one; that too, if it is an error."""
    usual = max(outcomes, key=lambda each: each.count)
    return [each for each in outcomes if each is not usual or each.example.error is not None]
