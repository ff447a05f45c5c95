"""A contender for the tests: it cannot sleep at once, and it gets its loop wrong. What it prints is in nobody's way."""

from __future__ import annotations

from benchmarks.peers.ours import fan, run, three

__all__ = ["CANNOT", "PACKAGE", "fan", "loop", "run", "three"]

PACKAGE = "no-such-package"
CANNOT = {"asleep": "it never sleeps"}

print("an engine that talks")


async def loop(turns: int) -> int:
    return turns + 1
