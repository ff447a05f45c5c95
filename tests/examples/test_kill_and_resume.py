"""The killed process is gone on with by another, and the carrier was asked once for each parcel."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.kill_and_resume import KILLED_AFTER, PARCELS, main, process
from tests import virtual

pytestmark = pytest.mark.parametrize("backend", virtual.BACKENDS)


def test_each_parcel_is_shipped_once_although_the_process_was_killed(
    backend: str, capsys: pytest.CaptureFixture[str]
):
    log = main(backend)
    assert log == [f"{number} {customer}" for number, customer in enumerate(PARCELS, 1)]
    lines = [line.partition("] ")[2] or line for line in capsys.readouterr().out.splitlines()]
    killed = lines.index("killed")
    assert lines[0] == "begins"
    assert lines[killed - 1] == f"shipped to {PARCELS[KILLED_AFTER - 1]}"
    assert lines[killed + 1] == "goes on"
    assert lines[-2] == f"done: {', '.join(log)}"


@pytest.mark.parametrize("killed_after", [1, 5])
def test_it_may_be_killed_anywhere(backend: str, killed_after: int, tmp_path: Path):
    process(tmp_path, backend, killed_after=killed_after)
    said = process(tmp_path, backend)
    assert said[0] == "goes on"
    assert said[-1].startswith("done: 1 Ada, 2 Bob, ")
    assert len((tmp_path / "carrier.log").read_text().splitlines()) == len(PARCELS)
