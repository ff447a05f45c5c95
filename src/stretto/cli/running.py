"""``stretto run``: runs a workflow to its end, or a member of an application with all that it causes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from typing import Any

import anyio

from ..application import Application
from ..blueprint import Blueprint
from ..errors import WorkflowCancelledError, WorkflowError, near, shown
from ..events import StartEvent
from ..handler import Handler
from ..report import file_of
from ..workflow import Workflow, with_options
from .answers import Answers
from .endings import Exit, code_of, tell
from .interrupts import interrupts
from .lines import stdin
from .live import following
from .starts import Start
from .targets import UsageError, load, made

__all__ = ["configure", "perform"]

_JOURNAL = 100_000  # entries, for a report
_EPILOG = """\
what follows the target are the fields of the start event, each as --name value:
  stretto run shop.py:Orders --sku tea --count 3
  stretto run shop.py:Orders --help          shows the fields and their types
  echo '{"sku": "tea"}' | stretto run shop.py:Orders --json -

the result goes to stdout: text as it is, other values as JSON where that can hold them.
exit codes: 0 done, 1 failed, 2 wrong usage, 124 timed out, 130 Ctrl-C, 143 SIGTERM"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = "Runs a workflow to its end and prints its result."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("target", nargs="?", help="module:Workflow, or file.py:Workflow; an application too")
    parser.add_argument(
        "--json", metavar="FILE", help="fields of the start event: a file, - for stdin, or {…} itself"
    )
    parser.add_argument("--start", metavar="EVENT", help="which start event, if the workflow has several")
    parser.add_argument("--member", metavar="NAME", help="which member, of an application")
    add_backend(parser)
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="in place of the workflow's own; or none"
    )
    parser.add_argument(
        "--report",
        type=_page,
        metavar="FILE",
        help="writes what happened to a page, run.html, however it ends",
    )
    parser.add_argument(
        "--progress", action="store_true", help="what is at work, queued and done, on stderr, as it runs"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="a line for each step that ends, on stderr"
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Adds ``--backend``."""
    parser.add_argument(
        "--backend", choices=["asyncio", "trio"], default="asyncio", help="the event loop (default: asyncio)"
    )


def perform(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Runs it.

    Raises:
        UsageError: If the target or the fields are wrong.
    """
    workflow = made(load(options.target))
    check_backend(options.backend)
    runs, called = _called(workflow, member_of(workflow, options.member))
    start = Start(called.blueprint(), options.start)
    event = given(parser, start, options, rest)
    for each in _workflows(workflow):
        _set_options(each, options)
    return anyio.run(partial(_run, workflow, runs, event, options), backend=options.backend)


def given(
    parser: argparse.ArgumentParser, start: Start, options: argparse.Namespace, rest: Sequence[str]
) -> StartEvent:
    """The start event, once the parser knows its fields; with ``--help`` these are shown, and that is all.

    Raises:
        UsageError: If the fields do not fit.
    """
    start.add_to(parser)
    if options.help:
        parser.print_help()
        raise SystemExit(Exit.OK)
    parsed, left = parser.parse_known_args(["-", *rest])
    return start.event(argparse.Namespace(**{**vars(parsed), "json": options.json}), left)


def check_backend(name: str) -> None:
    """Looks whether the event loop is there.

    Raises:
        UsageError: If it is not installed.
    """
    if name == "trio" and find_spec("trio") is None:
        raise UsageError("--backend trio: trio is not installed; pip install 'stretto[trio]'")


def _seconds(text: str) -> float:
    try:
        value = float("inf") if text == "none" else float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"a time in seconds above 0, or none, and not {text!r}")
    return value


def _page(text: str) -> str:
    try:
        return str(file_of(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _set_options(workflow: Workflow[Any], options: argparse.Namespace) -> None:
    if options.timeout is not None:
        with_options(workflow, timeout=None if options.timeout == float("inf") else options.timeout)
    if options.verbose:
        with_options(workflow, verbose=True)
    if options.report is not None:
        with_options(workflow, journal=_JOURNAL)


def _workflows(target: Workflow[Any] | Application) -> Sequence[Workflow[Any]]:
    return [*target.members.values()] if isinstance(target, Application) else [target]


def _called(
    target: Workflow[Any] | Application, member: str | None
) -> tuple[Callable[[StartEvent], Handler[Any]], Workflow[Any]]:
    """What starts the run, and the workflow that it is of."""
    if isinstance(target, Workflow):
        return target.run, target
    assert member is not None, "an application has members"
    return partial(target.run, member), target.members[member]


def member_of(target: Workflow[Any] | Application, member: str | None) -> str | None:
    """The name of the member that is run; None if it is no application.

    Raises:
        UsageError: If there is none of that name, or no name is given and several could be meant.
    """
    if isinstance(target, Workflow):
        if member is not None:
            raise UsageError(f"--member {member}: {type(target).__name__} is a workflow, and no application")
        return None
    names = [name for name, each in target.members.items() if each.blueprint().starts]
    if member is None and len(names) == 1:
        member = names[0]
    if member is None or member not in target.members:
        hint = "" if member is None else near(member, target.members)
        which = "which member?" if member is None else f"there is no member {member!r}."
        first = [*names, *target.members][0]
        raise UsageError(
            f"{which} The application has: {', '.join(target.members)}; write --member {first}{hint}"
        )
    return member


async def _run(
    target: Workflow[Any] | Application,
    runs: Callable[[StartEvent], Handler[Any]],
    event: StartEvent,
    options: argparse.Namespace,
) -> int:
    """Runs it, and says what came of it; the exit code."""
    blueprints = [each.blueprint() for each in _workflows(target)]
    try:
        async with target if isinstance(target, Application) else nullcontext():
            return await _to_its_end(runs(event), blueprints, options)
    except Exception as error:  # noqa: BLE001 - it is told, whatever it is
        tell(error)
        return code_of(error)


async def _to_its_end(run: Handler[Any], blueprints: Sequence[Blueprint], options: argparse.Namespace) -> int:
    with anyio.CancelScope() as scope, interrupts(scope.cancel) as interrupted:
        try:
            async with run:
                await _watch(run, blueprints, progress=options.progress)
                result = await run
        finally:
            _write(run, options.report)
        show(result)
        return Exit.OK
    if interrupted.code is None:
        raise WorkflowCancelledError("the run was cancelled")
    return interrupted.code


async def _watch(run: Handler[Any], blueprints: Sequence[Blueprint], *, progress: bool) -> None:
    """Shows how the run stands, if that is wanted, and asks for what it waits for, until it is over."""
    failure: Exception | None = None
    with following(run) if progress else nullcontext() as follower:
        paused = nullcontext if follower is None else follower.paused
        answers = Answers(run, blueprints, stdin(), paused)
        async with anyio.create_task_group() as beside:

            async def ask() -> None:
                nonlocal failure
                try:
                    await answers.give()
                except WorkflowError as error:
                    failure = error
                    beside.cancel_scope.cancel()

            if sys.platform != "win32":
                beside.start_soon(ask)
            async for event in run.stream_events(expose_internal=progress):
                answers.note(event)
                if follower is not None:
                    follower.note(event)
            beside.cancel_scope.cancel()
        if follower is not None:
            follower.end()
    if failure is not None:
        raise failure


def _write(run: Handler[Any], report: str | None) -> None:
    if report is not None:
        try:
            run.report(report)
        except OSError as error:
            raise UsageError(f"--report {report}: {error.strerror}") from None


def show(result: object) -> None:
    """Prints a result: text as it is, what JSON can hold as JSON, and anything else by its repr."""
    if result is None:
        return
    if isinstance(result, str):
        print_safely(result)
        return
    try:
        text = json.dumps(result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = shown(result)
    print_safely(text)


def print_safely(text: str) -> None:
    """Prints a text; what the encoding of stdout does not have is escaped, for the run has done its work."""
    try:
        print(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        print(text.encode(encoding, "backslashreplace").decode(encoding))
