"""The report of a run as people meet it: in Chromium, without a network, at a desk and on a phone, light and dark."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from stretto import Workflow
from stretto.testing import virtual_run
from tests.browser import check_pages
from tests.browser.check_pages import SIZES, Open
from tests.report.test_report import Fails, Late, Shops, hostile_account, page_of

chromium, open_page = check_pages.chromium, check_pages.open_page

RUNS = {"done": Shops, "failed": Fails, "timed out": Late}
HOSTILE = [
    "</script><img onerror=alert(1) src=x>",
    "\"'><svg onload=alert(1)><style>*{display:none}</style>",
    "\u202e\u2066 turned " + "x" * 10_000,
]


def report(kind: type[Workflow[Any]], file: Path) -> str:
    """The report of a run, which is made in a thread: playwright has a loop of its own in this one."""

    async def made() -> None:
        run = kind(journal=100, timeout=60).run()
        with contextlib.suppress(Exception):  # what it is, the report says
            await run
        run.report(file)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(virtual_run, made).result()
    return file.read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", RUNS)
def test_a_report_fits_shows_all_that_happened_and_asks_for_nothing(
    open_page: Open, tmp_path: Path, state: str, size: str, scheme: Literal["light", "dark"]
):
    html = report(RUNS[state], tmp_path / "run.html")
    page = open_page(None, size, scheme, html)
    expect(page).to_have_title(f"{RUNS[state].__name__}: {state}")
    expect(page.locator(".state")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bars = page.locator(".timeline .bar")
    assert bars.count() == page.locator("tr[id^=w]").count()
    assert all(box["width"] > 0 for box in boxes(bars))
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 24, 31)")


def boxes(located: Any) -> Sequence[dict[str, float]]:
    return [each.bounding_box() for each in located.all()]


def test_a_piece_of_work_leads_to_its_row_and_the_row_to_its_cause(open_page: Open, tmp_path: Path):
    page = open_page(None, html=report(Shops, tmp_path / "run.html"))
    page.locator('a[href="#w8"] .bar').click()
    expect(page.locator("#w8")).to_be_in_viewport()
    page.locator("#w8 a").click()
    assert page.url.endswith("#w7")
    expect(page.locator("#w7")).to_contain_text("attempt 2")


def test_hostile_names_and_payloads_are_shown_as_text(open_page: Open):
    page = open_page(None, html=page_of(hostile_account(HOSTILE, Fails)))
    expect(page.locator("h1")).to_contain_text("</script><img onerror=alert(1) src=x>")
    assert page.locator("img, script").count() == 0
    expect(page.locator("main")).to_contain_text("\\u202e\\u2066 turned")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
