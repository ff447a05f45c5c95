"""The virtual time of `stretto.testing`, by the names that this suite has for it."""

from __future__ import annotations

from stretto.testing._asyncio_time import VirtualLoop
from stretto.testing._stuck import Deadlock
from stretto.testing._virtual import (
    current_world,
    guarded,
    threads_at_work,
    virtual_backend,
    virtual_run as run,
)

__all__ = [
    "BACKENDS",
    "Deadlock",
    "VirtualLoop",
    "current_world",
    "guarded",
    "run",
    "threads_at_work",
    "virtual_backend",
]

BACKENDS = ("asyncio", "trio")
