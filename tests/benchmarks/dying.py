"""A contender for the tests: its process ends in the middle of its first run."""

from __future__ import annotations

import os
from collections.abc import Mapping

from benchmarks.peers.ours import asleep, fan, loop, three

__all__ = ["CANNOT", "PACKAGE", "asleep", "fan", "loop", "run", "three"]

PACKAGE = "dying"
CANNOT: Mapping[str, str] = {}


async def run(number: int) -> int:
    os._exit(0)
