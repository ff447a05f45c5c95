"""What tells users that runs which they mean to overlap run one after the other."""

from __future__ import annotations

from typing import final

import anyio

from ._log import logger

__all__ = ["Overlap", "overlap"]


@final
class Overlap:
    """Notices ``a = run(); b = run(); await a; await b``, which runs one after the other, and says so once.

    A handler that is awaited where it is made is the last one made: that is all there is to look at, but where
    somebody makes several and awaits them later.

    Attributes:
        made: How many handlers were made; each keeps its number.
        before: The task that awaited a handler while younger ones waited, and the number of the youngest.
    """

    made = 0
    before: tuple[int, int] | None = None
    _said = False

    def awaited(self, serial: int, name: str) -> None:
        """One is awaited that may not be the last one made."""
        if self._said:
            return
        task = anyio.get_current_task().id
        if self.before is not None and self.before[0] == task and serial <= self.before[1]:
            self._said = True
            logger().warning(
                "a run of %s had not started while its task awaited another: await a, then await b, runs "
                "them in turn; to let them overlap, start each in a task group: tg.start_soon(wf.execute)",
                name,
            )
        self.before = None if self._said or serial == self.made else (task, self.made)


overlap = Overlap()
