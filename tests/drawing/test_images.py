"""The pictures that pages show are those that the programs beside them draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stretto.drawing import draw_all_possible_flows
from tests.test_docs import ROOT, blocks

IMAGES = ROOT / "docs" / "images"


def test_the_picture_in_the_readme_is_that_of_its_first_program(tmp_path: Path):
    first = next(blocks((ROOT / "README.md").read_text("utf-8")))
    names: dict[str, Any] = {"__name__": "readme"}
    exec(first.program.partition("print(")[0], names)  # noqa: S102 - a page of this project
    draw_all_possible_flows(names["Cheapest"], filename=tmp_path / "cheapest.svg")
    drawn = (tmp_path / "cheapest.svg").read_text("utf-8")
    assert drawn == (IMAGES / "cheapest.svg").read_text("utf-8"), (
        "draw it anew: the second program of the README writes cheapest.svg"
    )
