"""What `import stretto` costs, each time in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from tempfile import TemporaryDirectory

import anyio

from benchmarks.answer import expect
from benchmarks.cells.cell import Bound, Cell, Reading, Sampler, Scale, Spec
from benchmarks.cells.engine import OURS
from benchmarks.contenders.native import Backend

NEEDED = "import anyio, attrs"

TIMED = "import time; start = time.process_time(); {imports}; print(time.process_time() - start)"

# The run tells apart "not imported at the top" from "not imported at all".
LOADED = """
import sys
from stretto import StartEvent, StopEvent, Workflow, step

class Smallest(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=1)

assert Smallest().run_sync(backend="asyncio") == 1
print(float("trio" in sys.modules))
"""


@contextmanager
def import_time(backend: Backend, scale: Scale) -> Generator[Cell]:
    """CPU seconds of the import statement, beside that of the two packages stretto needs; all are compiled before."""
    reading = Reading(label=f"ratio to {NEEDED}", of=OURS, to=NEEDED, bound=Bound(limit=1.5))
    with TemporaryDirectory() as folder:
        compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        compiled["PYTHONPYCACHEPREFIX"] = folder
        subprocess.run([sys.executable, "-c", "import stretto"], env=compiled, check=True)
        contenders = {
            OURS: printed(TIMED.format(imports="import stretto"), compiled),
            NEEDED: printed(TIMED.format(imports="import anyio, attrs"), compiled),
        }
        yield Cell(work="import", unit="import", measure="cpu", contenders=contenders, readings=(reading,))


def trio_loaded(backend: Backend, scale: Scale) -> AbstractContextManager[Cell]:
    """1 when a run on asyncio has imported trio, which takes longer than all the rest together."""
    reading = Reading(label="times", of=OURS, bound=Bound(limit=0))
    return nullcontext(
        Cell(
            work="import of trio by a run",
            unit="process",
            measure="count",
            contenders={OURS: printed(LOADED)},
            readings=(reading,),
            rounds=1,
        )
    )


def printed(source: str, environment: Mapping[str, str] | None = None) -> Sampler:
    """Gives the number that a fresh interpreter prints."""

    async def sample() -> float:
        command = partial(
            subprocess.run, [sys.executable, "-c", source], env=environment, capture_output=True, check=False
        )
        process = await anyio.to_thread.run_sync(command)
        expect((process.returncode, process.stderr), (0, b""))
        return float(process.stdout)

    return sample


IMPORTING: tuple[Spec, ...] = tuple(
    Spec(
        key=key, part="engine", full=Scale(size=1), tiny=Scale(size=1), prepare=prepare, backends=("asyncio",)
    )
    for key, prepare in (("import", import_time), ("import-trio", trio_loaded))
)
