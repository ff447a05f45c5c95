"""The picture as a page: small, alone, and closed to everything but its own script and styles."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, strategies as st

from stretto import Application, Event, StartEvent, StopEvent, Workflow, step
from stretto.drawing import draw_all_possible_flows
from tests.application.programs import Monitor, Station
from tests.drawing.programs import Press, Writer
from tests.drawing.test_mermaid import Branches
from tests.drawing.test_svg import HOSTILE, renamed

SENT = {"href", "src", "srcset", "data", "action", "formaction", "poster", "background", "ping", "style"}


class Reader(HTMLParser):
    """Reads a page as a browser does: its elements, and the text of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.cdata_elem:
            self.inline.append((self.cdata_elem, self.elements[-1][1], data))

    def text_of(self, tag: str) -> list[str]:
        """What stands in the scripts or styles, those that hold data left out."""
        return [text for name, attrs, text in self.inline if name == tag and "type" not in attrs]

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(next(text for _, attrs, text in self.inline if attrs.get("id") == "told"))


def check(page: str) -> Reader:
    """One script of ours, no attribute that runs or fetches, and a policy that names exactly what is in the page."""
    read = Reader(page)
    assert [tag for tag, _ in read.elements].count("script") == 2
    assert not {tag for tag, _ in read.elements} & {
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "a",
    }
    for _, attrs in read.elements:
        assert not [name for name in attrs if name.startswith("on") or name in SENT]
    told, _, after = page.partition('id="told">')[2].partition("</script>\n<script>")
    assert after
    assert not set(told) & set("<>&"), "a browser ends a script earlier than this reader"
    policy = next(attrs["content"] for _, attrs in read.elements if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    for tag in ("script", "style"):
        hashes = [hashed(text) for text in read.text_of(tag)]
        assert sorted(hashes) == sorted(allowed[f"{tag}-src"].split())
    assert set(re.findall(r"https?://[^\"' ]*", page)) == {"http://www.w3.org/2000/svg"}
    return read


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("workflow", [Writer, Press, Branches, Application(a=Monitor(), b=Station())])
def test_a_page_is_small_and_runs_and_fetches_nothing_but_what_its_policy_names(workflow: Any):
    page = draw_all_possible_flows(workflow).to_html()
    check(page)
    assert len(page.encode()) < 60_000


def test_the_script_makes_no_code_out_of_text():
    (script,) = Reader(draw_all_possible_flows(Writer).to_html()).text_of("script")
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval",
        "Function(",
        "fetch",
        "XMLHttp",
        "import(",
    ):
        assert word not in script


def test_a_node_tells_its_docstring_its_fields_its_settings_and_its_line():
    told = check(draw_all_possible_flows(Writer).to_html()).told
    assert told["event_Draft"] == {
        "title": "Draft",
        "kind": "event",
        "place": told["event_Draft"]["place"],
        "doc": "A text that nobody has read yet.",
        "fields": ["text: str", "round: int = 1"],
        "notes": [],
    }
    assert re.fullmatch(r"programs\.py:\d+", told["event_Draft"]["place"])
    assert told["write"]["doc"] == "Writes, and writes again."
    assert re.fullmatch(r"programs\.py:\d+", told["write"]["place"])
    assert told["judge"]["notes"] == ["num_workers=2"]
    assert told["write"]["notes"] == ["num_workers=4", "resource: desk"]


def test_the_settings_of_a_step_are_told():
    class Inner(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent: ...

    class Many(Workflow):
        @step(timeout=2.5, accept_event_subclasses=True)
        def begin(self, ev: Event, inner: Inner) -> StopEvent: ...

        @step
        async def start(self, ev: StartEvent) -> Event: ...

    told = check(draw_all_possible_flows(Many).to_html()).told
    assert told["begin"]["notes"] == [
        "num_workers=4", "timeout=2.5", "accept_event_subclasses=True", "runs in a thread", "workflow: inner",
    ]  # fmt: skip


def test_a_class_that_was_made_without_a_file_has_no_line():
    kind = type("Made", (Event,), {"__module__": "nowhere"})

    async def begin(self: object, ev: object) -> None: ...

    begin.__annotations__ = {"ev": StartEvent, "return": kind}
    told = check(draw_all_possible_flows(type("W", (Workflow,), {"begin": step(begin)})).to_html()).told
    assert told["lost_Made"]["place"] == ""


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_or_docstring_is_text(name: str):
    workflow = renamed(name)
    for spec in workflow.blueprint().specs:
        spec.call.__doc__ = name
    read = check(draw_all_possible_flows(workflow).to_html())
    assert all(len(each["doc"]) < 7_000 for each in read.told.values())


@given(st.text(min_size=1), st.text())
def test_no_name_and_no_docstring_leaves_its_place(name: str, doc: str):
    workflow = renamed(name)
    workflow.blueprint().specs[0].call.__doc__ = doc
    check(draw_all_possible_flows(workflow).to_html())
