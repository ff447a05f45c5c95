"""The pages as people meet them: in Chromium, without a network, at a desk and on a phone, light and dark.

The gate's stage "browser" runs this file by its name; the other stages do without a browser.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from stretto import Event, StartEvent, StopEvent, Workflow, step
from stretto.drawing import draw_all_possible_flows
from tests.drawing.programs import Cheapest, Press, Writer
from tests.drawing.test_svg import HOSTILE, renamed

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
SIZES = {"desk": (1280, 800), "phone": (390, 844)}
Open = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Generator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, tmp_path: Path) -> Generator[Open]:
    """Opens the page of a workflow; at the end it must have asked for nothing and complained of nothing."""
    said: list[str] = []
    contexts: list[Any] = []

    def open_it(
        workflow: Any, size: str = "desk", scheme: Literal["light", "dark"] = "light", html: str | None = None
    ) -> Page:
        file = tmp_path / "flows.html"
        file.write_text(draw_all_possible_flows(workflow).to_html() if html is None else html, "utf-8")
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: said.extend({request.url} - {file.as_uri()}))
        page.goto(file.as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert said == []


def node(page: Page, name: str) -> Any:
    return page.locator(f'[data-node="{name}"]')


def view(page: Page) -> list[float]:
    box = page.locator(".stage svg").get_attribute("viewBox")
    assert box is not None
    return [float(each) for each in box.split()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("workflow", [Cheapest, Writer, Press])
def test_a_page_shows_its_picture_and_asks_for_nothing(
    open_page: Open, workflow: Any, size: str, scheme: Literal["light", "dark"]
):
    page = open_page(workflow, size, scheme)
    expect(page).to_have_title(f"{workflow.__name__}: all possible flows")
    expect(page.locator('[data-node="start_StartEvent"]')).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator(".st-title").first.bounding_box()
    assert box is not None
    assert box["height"] >= 9
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 24, 31)")


@pytest.mark.parametrize("workflow", [Cheapest, Writer, Press])
def test_every_name_fits_into_its_box(open_page: Open, workflow: Any):
    page = open_page(workflow)
    wider = page.evaluate(
        """[...document.querySelectorAll(".st-node")].filter(node => {
            const box = node.querySelector(".st-shape").getBoundingClientRect();
            return [...node.querySelectorAll("text")].some(text => {
                const inside = text.getBoundingClientRect();
                return inside.left < box.left + 4 || inside.right > box.right - 4;
            });
        }).map(node => node.getAttribute("data-node"))"""
    )
    assert wider == []


@pytest.mark.parametrize("size", SIZES)
def test_a_click_tells_what_a_node_is_and_its_links_lead_on(open_page: Open, size: str):
    page = open_page(Writer, size)
    node(page, "event_Draft").click()
    about = page.locator("aside")
    expect(about.locator("h2")).to_have_text("Draft")
    expect(about).to_contain_text("A text that nobody has read yet.")
    expect(about).to_contain_text("round: int = 1")
    expect(about).to_contain_text("programs.py:")
    about.get_by_role("button", name="judge").click()
    expect(about.locator("h2")).to_have_text("judge")
    expect(node(page, "judge")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(about).to_be_hidden()


def test_hovering_follows_the_ways_to_and_from_a_node(open_page: Open):
    page = open_page(Cheapest)
    node(page, "ask").hover()
    lit = page.locator(".st-lit").evaluate_all(
        "each => each.map(one => one.dataset.node || one.dataset.edge)"
    )
    assert len(lit) == 13
    page = open_page(Writer)
    node(page, "outside_Answer").hover()
    expect(node(page, "asked_Question")).to_have_class("st-node st-asked st-lit")
    page.mouse.move(2, 400)
    expect(page.locator(".st-lit")).to_have_count(0)


def test_keys_alone_are_enough(open_page: Open):
    page = open_page(Cheapest)
    page.keyboard.press("/")
    page.keyboard.type("choo")
    page.keyboard.press("Enter")
    expect(page.locator("aside h2")).to_have_text("choose")
    page.keyboard.press("Escape")
    expect(node(page, "choose")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("aside h2")).not_to_be_empty()
    before = view(page)
    page.keyboard.press("+")
    assert view(page)[2] < before[2]
    page.keyboard.press("ArrowDown")
    assert view(page)[1] > before[1]
    page.keyboard.press("0")
    assert view(page)[2] == pytest.approx(before[2], rel=0.5)


def test_the_wheel_zooms_at_the_pointer_and_dragging_moves(open_page: Open):
    page = open_page(Press)
    before = view(page)
    page.mouse.move(640, 400)
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        "width => Number(document.querySelector('.stage svg').getAttribute('viewBox').split(' ')[2]) < width",
        arg=before[2],
    )
    near = view(page)
    page.mouse.down()
    page.mouse.move(540, 350, steps=4)
    page.mouse.up()
    assert view(page)[0] > near[0]
    assert view(page)[1] > near[1]
    expect(page.locator("aside")).to_be_hidden()
    page.get_by_role("button", name="Show all").click()
    expect(node(page, "start_StartEvent")).to_be_in_viewport()
    expect(node(page, "stop_StopEvent")).to_be_in_viewport()


def test_every_node_has_a_name_for_who_cannot_see(open_page: Open):
    page = open_page(Writer)
    expect(page.get_by_role("button", name="judge, step")).to_have_count(1)
    expect(page.get_by_role("button", name="Answer, event from outside")).to_have_count(1)
    expect(page.get_by_role("searchbox", name="Search steps and events")).to_have_count(1)


def test_what_is_printed_is_the_picture_alone(open_page: Open):
    page = open_page(Cheapest, scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator(".tools")).to_be_hidden()
    expect(page.locator("footer")).to_be_hidden()
    expect(page.locator(".stage svg")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_and_docstrings_are_shown_and_do_nothing(open_page: Open, name: str):
    workflow = renamed(name)
    for spec in workflow.blueprint().specs:
        spec.call.__doc__ = name
    page = open_page(workflow)
    node(page, "begin").click()
    expect(page.locator("aside h2")).to_have_text("begin")
    assert page.locator("img, iframe, svg svg").count() == 0
    assert page.locator("script").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_policy_refuses_whatever_got_in_all_the_same(chromium: Browser, tmp_path: Path):
    page = chromium.new_page()
    html = draw_all_possible_flows(Cheapest).to_html()
    bad = '<img src="x" onerror="document.title=1"><script>document.title="2"</script><p style="color:red">'
    file = tmp_path / "flows.html"
    file.write_text(html.replace("<footer>", f"{bad}<footer>"), "utf-8")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(file.as_uri())
    assert page.title() == "Cheapest: all possible flows"
    assert len([each for each in refused if "Content Security Policy" in each]) >= 3
    page.close()


def test_a_page_with_hundreds_of_nodes_opens_and_finds_one(open_page: Open):
    kinds = [type(f"Event{number}", (Event,), {}) for number in range(120)]
    steps: dict[str, Any] = {}
    for number in range(121):

        async def body(self: object, ev: object) -> None: ...

        taken: Any = StartEvent if number == 0 else kinds[number - 1]
        made: Any = StopEvent if number == 120 else kinds[number]
        body.__annotations__ = {"ev": taken, "return": made}
        body.__name__ = f"step{number}"
        steps[f"step{number}"] = step(body)
    page = open_page(type("Long", (Workflow,), steps))
    page.get_by_role("searchbox").fill("step99")
    expect(node(page, "step99")).to_be_in_viewport()


def test_a_notebook_shows_a_picture_by_itself(open_page: Open, tmp_path: Path):
    notebook: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    lines = [
        "from stretto import StartEvent, StopEvent, Workflow, step",
        "from stretto.drawing import draw_all_possible_flows, draw_most_recent_execution",
        "class Shout(Workflow[str]):",
        "    @step",
        "    async def shout(self, ev: StartEvent) -> StopEvent[str]:",
        "        return StopEvent(result=ev.text.upper())",
        "draw_all_possible_flows(Shout)",
    ]
    cells = [
        "\n".join(lines),
        "run = Shout().run(text='hello')\nprint(await run)\ndraw_most_recent_execution(run)",
    ]
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]  # type: ignore[no-untyped-call]
    file = tmp_path / "shout.ipynb"
    nbformat.write(notebook, file)  # type: ignore[no-untyped-call]
    execute = "import sys, nbclient, nbformat; book = nbformat.read(sys.argv[1], 4); "
    execute += "nbclient.NotebookClient(book, timeout=60, kernel_name='python3').execute(); "
    execute += "nbformat.write(book, sys.argv[1])"
    subprocess.run([sys.executable, "-c", execute, file], check=True, capture_output=True)
    notebook = nbformat.read(file, 4)  # type: ignore[no-untyped-call]
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    shown = [output["data"]["text/html"] for output in outputs if "data" in output]
    assert len(shown) == 2
    assert [output["text"] for output in outputs if output.get("name") == "stdout"] == ["HELLO\n"]
    page = open_page(None, html=f"<!doctype html><meta charset=utf-8>{''.join(shown)}")
    expect(page.locator("svg")).to_have_count(2)
    expect(page.locator("svg").nth(1).locator(".st-count text").first).to_have_text("1")
