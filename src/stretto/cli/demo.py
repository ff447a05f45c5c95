"""``stretto demo``: a workflow of three steps, run twice, with what it leaves behind to look at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio

from ..drawing import draw_all_possible_flows
from ..errors import WorkflowTimeoutError
from .endings import Exit
from .running import add_backend, check_backend
from .shops import SHOPS, Cheapest
from .targets import UsageError

__all__ = ["configure", "perform"]

_LIMIT = 0.8


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = "Runs a workflow in two seconds, and writes its picture and two reports to look at."
    add_backend(parser)
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", default="stretto-demo", help="where to (default: stretto-demo)"
    )


def perform(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:  # noqa: ARG001
    """Runs it.

    Raises:
        UsageError: If the folder cannot be written to.
    """
    check_backend(options.backend)
    folder = Path(options.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        anyio.run(partial(_show, folder, options.backend), backend=options.backend)
    except OSError as error:
        raise UsageError(f"-o {folder}: {error.strerror}") from None
    return Exit.OK


async def _show(folder: Path, backend: str) -> None:
    print(
        f"{len(SHOPS)} shops are asked at once by three workers, on {backend}; the Mill is busy the first time."
    )
    began = anyio.current_time()
    run = Cheapest(journal=1_000).run()
    print(f"  {await run}, after {anyio.current_time() - began:.1f} s; one by one: {_one_by_one():.1f} s")
    run.report(folder / "done.html")
    print(f"\nThe same with a time limit of {_LIMIT} s: every step that is at work ends, and cleans up.")
    late = Cheapest(timeout=_LIMIT, journal=1_000).run()
    before = Cheapest.cleaned_up
    try:
        await late
    except WorkflowTimeoutError as error:
        print(f"  {type(error).__name__}: {error}\n  cleaned up: {Cheapest.cleaned_up - before} steps")
    late.report(folder / "timed-out.html")
    draw_all_possible_flows(Cheapest, folder / "picture.html")
    print("\nOpen these in a browser; they need no network:")
    for name, what in (("picture", "its steps"), ("done", "the first run"), ("timed-out", "the second")):
        print(f"  {folder / name}.html  {what}")


def _one_by_one() -> float:
    return sum(SHOPS.values()) + SHOPS["Mill"] + 0.2
