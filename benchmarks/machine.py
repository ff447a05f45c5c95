"""What the figures were taken on and with: they mean little without it."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.record import About

PACKAGES = ("stretto", "anyio", "attrs", "trio")


def processor() -> str:
    """The processor's name as the system gives it, or what Python knows of it."""
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def system() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float:
    """How many processes wanted a core in the last minute; above the number of cores, wall time is unsure."""
    return round(os.getloadavg()[0], 2)


def versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed, from the path"
    return found


class Session:
    """One session of measuring: how long it took, and how busy the machine was meanwhile."""

    def __init__(self, command: str, rounds: int) -> None:
        self._command, self._rounds = command, rounds
        self._began, self._loads = time.monotonic(), [load()]

    def look(self) -> None:
        """Notes the load of the moment."""
        self._loads.append(load())

    def about(self, peers: dict[str, str] | None = None) -> About:
        """What the record says of the session that ends here; `peers` are versions in other environments."""
        self.look()
        return {
            "command": self._command,
            "rounds": self._rounds,
            "date": datetime.now(UTC).date().isoformat(),
            "seconds": round(time.monotonic() - self._began),
            "python": python(),
            "system": system(),
            "processor": processor(),
            "cores": cores(),
            "load": self._loads,
            "versions": versions() | (peers or {}),
        }
