"""Every cell there is, in the order in which they are measured and shown."""

from __future__ import annotations

from benchmarks.cells.asleep import ASLEEP
from benchmarks.cells.cell import Spec
from benchmarks.cells.ending import ENDING
from benchmarks.cells.engine import ENGINE
from benchmarks.cells.exploring import EXPLORING
from benchmarks.cells.features import FEATURES
from benchmarks.cells.growth import GROWING
from benchmarks.cells.importing import IMPORTING
from benchmarks.cells.io import IO
from benchmarks.cells.memory import MEMORY
from benchmarks.cells.state import STATE
from benchmarks.cells.talking import TALKING

CATALOG: dict[str, Spec] = {
    spec.key: spec
    for spec in (
        *(*IO, *IMPORTING, *ENGINE, *GROWING, *FEATURES, *STATE, *ASLEEP, *MEMORY, *ENDING),
        *(*TALKING, *EXPLORING),
    )
}
