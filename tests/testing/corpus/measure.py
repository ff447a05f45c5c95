"""How many runs, and how long, it takes to find each planted bug: the table in `docs/testing-your-workflows.md`.

`python -m tests.testing.corpus.measure` prints it anew. The runs are the same each time, the seconds are those of the
machine at hand.
"""

from __future__ import annotations

from time import perf_counter

from stretto.testing import explore
from tests.testing.corpus.endings import ENDINGS
from tests.testing.corpus.planted import Planted
from tests.testing.corpus.races import RACES

CORPUS = [*RACES, *ENDINGS]
HEAD = (
    "| bug | durations | choices off the normal order | runs to find it | and to tell it | seconds, asyncio | trio |",
    "|---|---|---|---|---|---|---|",
)


def row(bug: Planted) -> str:
    """A line of the table without the seconds: what is the same each time."""
    return measured(bug, "asyncio")[0]


def measured(bug: Planted, backend: str) -> tuple[str, float]:
    """That, and the seconds."""
    explorer = explore(bug.wrong, backend=backend, **bug.options)
    began = perf_counter()
    try:
        explorer.check(bug.check)
    except Exception:  # noqa: BLE001 - it is found
        took = perf_counter() - began
    else:
        raise AssertionError(f"{bug.name} was not found")
    explored = explorer.explored[backend]
    durations = bug.options.get("durations", "virtual")
    how = f"{durations}, with faults" if "faults" in bug.options else durations
    return f"| {bug.name} | {how} | {bug.off} | {explored.runs} | {explored.shrunk} |", took


def main() -> None:
    """Print the table."""
    print(*HEAD, sep="\n")
    for bug in CORPUS:
        line, asyncio = measured(bug, "asyncio")
        again, trio = measured(bug, "trio")
        assert line == again, (line, again)
        print(f"{line} {asyncio:.2f} | {trio:.2f} |")


if __name__ == "__main__":
    main()
