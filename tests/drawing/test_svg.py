"""The picture as SVG: everything is in it as text, nothing leaves it, and no name does anything."""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, strategies as st

from stretto import Application, Workflow
from stretto.drawing import draw_all_possible_flows
from stretto.drawing.lettering import clipped, visible, width_of
from tests.application.programs import Monitor, Station
from tests.drawing.programs import Cheapest, Press, Writer
from tests.drawing.test_mermaid import Branches, named

SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {"svg", "title", "desc", "style", "g", "path", "rect", "text"}
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "</script x=",
    "<!--<script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "]]><!--",
    "&lt;b&gt;",
    "\u202egnp.exe",
    "\u2066a\u2069\u200f\ufeff\x07\x7f",
    "x" * 10_000,
    "\u202e" * 10_000,
    "\ud800",
    "</style><style>*{display:none}",
]  # fmt: skip


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


def check(svg: str) -> None:
    """Nothing but shapes and text: no script, no link, no handler, no letter that changes how others are read."""
    root = parsed(svg)
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in ALLOWED
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    style = next(root.iter(f"{SVG}style"))
    assert style.text is not None
    assert "url(" not in style.text
    assert "@import" not in style.text
    assert not [letter for letter in svg if unicodedata.category(letter) in {"Cc", "Cf", "Cs"}]


@pytest.mark.parametrize(
    "workflow", [Cheapest, Writer, Press, Branches, Application(a=Monitor(), b=Station())]
)
def test_every_node_edge_and_frame_is_in_it_with_its_id(workflow: Any):
    picture = draw_all_possible_flows(workflow)
    svg = picture.to_svg()
    check(svg)
    groups = list(parsed(svg).iter(f"{SVG}g"))
    assert [each.get("data-node") for each in groups if "data-node" in each.attrib] == [
        node.id for node in picture.graph.nodes
    ]
    assert [each.get("data-edge") for each in groups if "data-edge" in each.attrib] == [
        edge.id for edge in picture.graph.edges
    ]
    assert [each.get("data-frame") for each in groups if "data-frame" in each.attrib] == [
        frame.id for frame in picture.graph.frames
    ]


@pytest.mark.parametrize("workflow", [Cheapest, Writer, Press, Branches])
def test_no_line_leaves_the_picture(workflow: Any):
    root = parsed(draw_all_possible_flows(workflow).to_svg())
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for path in root.iter(f"{SVG}path"):
        if path.get("class") == "st-way":
            for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"]):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height


def test_steps_say_how_many_workers_they_have_what_they_use_and_how_they_wait_and_join():
    texts = [each.text for each in parsed(draw_all_possible_flows(Writer).to_svg()).iter(f"{SVG}text")]
    assert {"×2", "uses desk", "waits in its middle", "joins the first 2"} <= set(texts)


def test_its_title_and_its_description_tell_what_it_shows():
    root = parsed(draw_all_possible_flows(Cheapest).to_svg())
    assert root.findtext(f"{SVG}title") == "Cheapest"
    assert root.findtext(f"{SVG}desc") == "3 steps: ask_all, ask, choose"
    assert root.get("role") == "img"
    titles = [each.findtext(f"{SVG}title") for each in root.iter(f"{SVG}g")]
    assert "ask_all to Ask, several at once" in titles


def test_states_and_counts_stand_at_the_ids_that_are_named():
    svg = draw_all_possible_flows(Cheapest).to_svg(
        classes={"ask": "failed", "ask_all>event_Ask": "ran"}, counts={"ask": "3", "ask_all>event_Ask": "3"}
    )
    check(svg)
    by_id = {each.get("data-node") or each.get("data-edge"): each for each in parsed(svg).iter(f"{SVG}g")}
    assert by_id["ask"].get("class") == "st-node st-step st-failed"
    assert by_id["ask_all>event_Ask"].get("class") == "st-edge st-plain-way st-many st-ran"
    assert [text.text for text in by_id["ask"].iter(f"{SVG}text")] == ["ask", "3"]
    assert svg.count('class="st-count"') == 2


@pytest.mark.parametrize("word", ["", "a b", 'x" onload="', "1st", "ä"])
def test_a_state_that_is_no_word_is_refused(word: str):
    with pytest.raises(ValueError, match="is no CSS class; write a word of letters, digits and hyphens"):
        draw_all_possible_flows(Cheapest).to_svg(classes={"ask": word})


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_drawn_without_effect(name: str):
    check(draw_all_possible_flows(renamed(name)).to_svg(counts={"begin": name}))


@given(st.text(min_size=1), st.text())
def test_no_name_leaves_its_place(name: str, count: str):
    check(draw_all_possible_flows(renamed(name)).to_svg(counts={"begin": count}))


def renamed(name: str) -> type[Workflow[Any]]:
    """A workflow with a step, an event and a class of this name; Python lets neither NUL nor surrogates into one."""
    safe = name.replace("\0", "0").encode("utf-8", "replace").decode()
    workflow = named("begin", safe)
    workflow.__name__ = safe
    return workflow


def test_what_cannot_be_seen_is_written_out():
    assert visible("a\u202eb\n c") == r"a\u202eb\n c"


def test_a_name_with_a_lone_surrogate_is_written_out():
    assert clipped("a\ud800b") == r"a\ud800b"


@given(st.text(), st.integers(4, 40))
def test_a_clipped_name_is_short_visible_and_begins_and_ends_as_the_whole(text: str, most: int):
    shown = clipped(text, most)
    assert len(shown) <= most
    assert not [letter for letter in shown if unicodedata.category(letter)[0] in "CZ" and letter != " "]
    assert width_of(shown, 10) >= 0
