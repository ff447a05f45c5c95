"""Who takes part: stretto on both backends, and the peers, all of which run on asyncio."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs

from benchmarks.cells.engine import OURS
from benchmarks.contenders.native import Backend

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"


@attrs.frozen(kw_only=True)
class Entry:
    """One contender: its name in the table, its module and the Python that can import it."""

    name: str
    module: str
    backend: Backend = "asyncio"
    environment: Path | None = None
    """Where the peer is installed; None for what this Python has itself."""

    @property
    def python(self) -> str:
        return sys.executable if self.environment is None else str(self.environment / "bin" / "python")


def peer(name: str) -> Entry:
    """A peer by the name of its distribution, which its files and its environment have too."""
    return Entry(
        name=name,
        module=f"benchmarks.peers.contenders.{name.replace('-', '_')}",
        environment=ROOT / ".venv-peers" / name,
    )


OURS_ON_TRIO = f"{OURS} on trio"

ENTRIES: tuple[Entry, ...] = (
    Entry(name=OURS, module="benchmarks.peers.ours"),
    Entry(name=OURS_ON_TRIO, module="benchmarks.peers.ours", backend="trio"),
    peer("llama-index-workflows"),
    peer("pydantic-graph"),
    peer("langgraph"),
    peer("agent-framework-core"),
    peer("apache-burr"),
)
