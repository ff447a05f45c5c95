"""`Picture`: one graph in many forms, and each of them in a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from stretto import Workflow, step
from stretto.drawing import draw_all_possible_flows, to_mermaid
from stretto.drawing.dot import write_dot
from tests.drawing.programs import Ask, Cheapest, Offer, Press, Writer
from tests.drawing.test_svg import HOSTILE, renamed


@pytest.mark.parametrize(
    ("end", "begins"),
    [
        (".html", "<!doctype html>"),
        (".svg", "<svg "),
        (".mmd", "flowchart TD"),
        (".dot", 'digraph "Cheapest"'),
    ],
)
def test_the_end_of_a_file_name_says_the_form(tmp_path: Path, end: str, begins: str):
    file = tmp_path / f"flows{end}"
    draw_all_possible_flows(Cheapest, filename=str(file))
    assert file.read_text("utf-8").startswith(begins)


def test_an_end_that_says_no_form_is_told_what_there_is(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"'.*flows\.png' says no form .*; let it end in \.html, \.svg, \.mmd, \.dot, \.txt"
    ):
        draw_all_possible_flows(Cheapest, tmp_path / "flows.png")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_says_what_it_is_and_shows_itself_in_a_notebook():
    picture = draw_all_possible_flows(Cheapest)
    assert repr(picture) == "<Picture of Cheapest: all possible flows, 3 steps>"
    assert picture._repr_html_() == picture.to_svg()
    assert picture.to_mermaid() == to_mermaid(Cheapest)


def test_dot_has_a_cluster_for_each_nested_workflow():
    lines = draw_all_possible_flows(Press).to_dot().split("\n")
    assert lines[0] == 'digraph "Press" {'
    assert lines[-1] == "}"
    assert '    subgraph "cluster_nested_writer" {' in lines
    assert '        label="writer (Writer)";' in lines
    assert '    "begin" -> "nested_writer_start_StartEvent" [style=dashed];' in lines
    assert len([line for line in lines if "shape=hexagon" in line]) == 1


@pytest.mark.parametrize("name", [*HOSTILE, "a\\", 'a\\"b', "\\N\\G", "<b>", "&lt;"], ids=ascii)
def test_a_hostile_name_does_not_leave_its_string_in_dot(name: str):
    workflow: type[Workflow] = renamed(name)
    for line in write_dot(draw_all_possible_flows(workflow).graph).split("\n"):
        inside = line.replace("\\\\", "").replace('\\"', "")
        assert inside.count('"') % 2 == 0
        assert "&lt;" not in inside


def test_as_plain_text_each_event_leads_to_its_step_and_what_is_above_is_not_told_again():
    assert draw_all_possible_flows(Writer).to_ascii().split("\n") == [
        "Writer",
        "",
        "StartEvent -> [write]",
        "`-- Draft -> [judge x2]",
        "    |-- Question (asked of the world outside)",
        "    |-- Good -> [split]",
        "    |   `-- Page (several at once) -> [set_page]",
        "    |       |-- Print -> [bind joins the first 2]",
        "    |       |   `-- StopEvent (ends the run)",
        "    |       `-- Rejected -> [write] (above)",
        "    `-- Rejected -> [write] (above)",
        "",
        "Answer (from outside) -> [judge x2], which waits for it (above)",
    ]


def test_as_plain_text_a_frame_stands_before_the_names_in_it():
    lines = draw_all_possible_flows(Press).to_ascii().split("\n")
    assert "`-- runs writer (Writer): StartEvent -> [writer (Writer): write]" in lines


def test_a_circle_that_nothing_leads_to_is_told_too():
    class Circle(Workflow):
        @step
        async def one(self, ev: Ask) -> Offer: ...
        @step
        async def other(self, ev: Offer) -> Ask: ...

    lines = draw_all_possible_flows(Circle).to_ascii().split("\n")
    assert lines == ["Circle", "", "[one]", "`-- Offer -> [other]", "    `-- Ask -> [one] (above)"]


@given(st.text(min_size=1))
def test_as_plain_text_every_name_is_ascii_in_its_own_line(name: str):
    text = draw_all_possible_flows(renamed(name)).to_ascii()
    assert text.isascii()
    assert len(text.split("\n")) == 5
    assert text.replace("\n", "").isprintable()
