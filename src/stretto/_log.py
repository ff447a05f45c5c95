"""The logger ``stretto``.

`logging` is imported when there is something to log: it takes a tenth of the time that importing stretto may take,
and most programs never see a line.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

__all__ = ["logger", "show_line"]


@functools.cache
def logger() -> logging.Logger:
    """The logger that everything of stretto goes through."""
    import logging  # noqa: PLC0415 - see above

    return logging.getLogger("stretto")


def show_line(line: str) -> None:
    """Logs a line that somebody asked for; where logging is not set up it is shown all the same."""
    if logger().hasHandlers():
        logger().info(line)
    else:
        print(line, file=sys.stderr)  # noqa: T201
