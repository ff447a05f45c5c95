"""The promise about the pure core: every line and every branch of `stretto/_core` is run by the tests.

`coverage report` leaves out the project's exclusions and any line with `pragma: no cover`. Here all of them
are set aside, so a line of the core cannot be excused, only tested.
"""

from __future__ import annotations

import sys

from coverage import Coverage

CORE = "src/stretto/_core"
WHOLE = 100
EXCUSES = ("report:exclude_lines", "report:exclude_also", "report:partial_branches", "report:partial_also")


def main() -> None:
    """Exit with the report of what is missing, if anything is."""
    measured = Coverage()
    for option in EXCUSES:
        measured.set_option(option, [])
    measured.load()
    share = measured.report(include=[f"{CORE}/*"], show_missing=True, skip_covered=True)
    if share < WHOLE:
        sys.exit(f"{CORE} is covered to {share:.2f} %; the promise is {WHOLE} %, with nothing excluded")


if __name__ == "__main__":
    main()
