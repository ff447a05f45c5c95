"""The crawler visits what can be reached, once, by as many at once as each site bears."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import anyio
import attrs
import httpx2
import pytest
from hypothesis import given, strategies as st

from examples import crawler
from examples.crawler import EVERYWHERE, MOST, Crawl, Page, Seed, Visit, open_site, site_of
from stretto.testing import TestRun, explore

pytestmark = pytest.mark.anyio
REAL_TIME = pytest.mark.usefixtures("real_time")


@attrs.define(eq=False)
class Web(httpx2.AsyncBaseTransport):
    """Sites in memory, a second away: the links of each page, or a status. What is not there is a dead host."""

    pages: Mapping[str, str | int]
    asked: Counter[str] = attrs.Factory(Counter[str])
    busy: Counter[str] = attrs.Factory(Counter[str])
    busiest: Counter[str] = attrs.Factory(Counter[str])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = str(request.url)
        self.asked[url] += 1
        here = site_of(url), "all"
        self.busy.update(here)
        for each in here:
            self.busiest[each] = max(self.busiest[each], self.busy[each])
        try:
            await anyio.sleep(crawler.PATIENCE / 10)
        finally:
            self.busy.subtract(here)
        page = self.pages.get(url)
        if page is None:
            raise httpx2.ConnectError("nobody is there")
        if isinstance(page, int):
            return httpx2.Response(page)
        return httpx2.Response(200, text="".join(f'<a href="{link}">' for link in page.split()))


def crawl(web: Web, at_once: Mapping[str, int], deepest: int = 20) -> Crawl:
    client = httpx2.AsyncClient(transport=web)
    return Crawl({site: Visit(client, most) for site, most in at_once.items()}, deepest)


def found(pages: list[Page]) -> dict[str, str]:
    return {page.link.url: page.broken for page in pages}


@REAL_TIME
async def test_the_program_prints_what_it_finds(capsys: pytest.CaptureFixture[str]):
    await crawler.main()
    *pages, last = capsys.readouterr().out.splitlines()
    assert last == "17 pages, 0 times turned away"
    assert [line.split(maxsplit=2)[1:] for line in pages if not line.endswith(" fine")] == [
        ["museum/archive", "too slow, linked from museum/statues"],
        ["museum/paintings/stolen", "404 Not Found, linked from museum/paintings"],
    ]
    assert [line.split()[1] for line in pages if "calendar" in line] == [
        f"museum/calendar/{day}" for day in range(1, 7)
    ]


@REAL_TIME
async def test_each_page_is_asked_for_once_and_again_only_if_the_site_fails():
    web: dict[str, str] = {}
    async with (
        open_site("museum", web) as museum,
        open_site("shop", web) as shop,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        visits = {web[name]: Visit(client, most) for name, most in MOST.items()}
        pages = await Crawl(visits).run(Seed(url=f"{web['museum']}/"))
    assert shop.asked == {"/moon": 1, "/sea": 1, "/basket": 1, "/refunds": 2}
    assert set(museum.asked.values()) == {1}
    assert len(pages) == len(museum.asked) + len(shop.asked)
    assert museum.busiest <= MOST["museum"]
    assert shop.busiest == MOST["shop"]


# ------------------------------------------------------------------------------------ in memory, virtual time

SITES = ("http://a.invalid", "http://b.invalid", "http://c.invalid")


async def test_a_site_is_asked_by_as_many_as_it_bears_and_all_together_by_four():
    wide = {f"{site}/{page}": "" for site in SITES for page in range(20)}
    web = Web({**wide, f"{SITES[0]}/": " ".join(wide)})
    pages = await crawl(web, dict(zip(SITES, (3, 1, 2), strict=True))).run(Seed(url=f"{SITES[0]}/"))
    assert found(pages) == dict.fromkeys([f"{SITES[0]}/", *wide], "")
    assert web.busiest == {SITES[0]: 3, SITES[1]: 1, SITES[2]: 2, "all": EVERYWHERE.most}


async def test_a_broken_page_says_why_and_a_dead_host_is_tried_three_times():
    start, gone, dead, ill = (f"{SITES[0]}/{each}" for each in ("", "gone", "dead", "ill"))
    web = Web({start: "/gone /dead /ill", gone: 410, ill: 500})
    pages = await crawl(web, {SITES[0]: 1}).run(Seed(url=start))
    assert found(pages) == {
        start: "",
        gone: "410 Gone",
        dead: "ConnectError",
        ill: "500 Internal Server Error",
    }
    assert web.asked == {start: 1, gone: 1, dead: 3, ill: 3}


async def test_other_sites_fragments_and_addresses_of_people_are_not_followed():
    start = f"{SITES[0]}/"
    web = Web({start: f"{SITES[1]}/ mailto:me@here.invalid #top / /#end"})
    assert found(await crawl(web, {SITES[0]: 1}).run(Seed(url=start))) == {start: ""}


async def test_a_crawl_that_is_cancelled_leaves_nobody_waiting():
    wide = {f"{SITES[0]}/{page}": "" for page in range(20)}
    web = Web({**wide, f"{SITES[0]}/": " ".join(wide)})
    with anyio.move_on_after(crawler.PATIENCE / 4) as scope:
        await crawl(web, {SITES[0]: 2}).run(Seed(url=f"{SITES[0]}/"))
    assert scope.cancelled_caught
    assert not any(web.busy.values())
    assert web.asked.total() == 1 + 2 + 2


@given(st.lists(st.lists(st.integers(0, 7), max_size=4), min_size=8, max_size=8))
async def test_what_can_be_reached_is_visited_once_and_nothing_else(links: list[list[int]]):
    urls = [f"{SITES[page % 2]}/{page}" for page in range(8)]
    web = Web({url: " ".join(urls[to] for to in links[page]) for page, url in enumerate(urls)})
    pages = await crawl(web, {SITES[0]: 2, SITES[1]: 2}).run(Seed(url=urls[0]))
    reached, edge = {0}, {0}
    while edge := {to for page in edge for to in links[page]} - reached:
        reached |= edge
    assert web.asked == {urls[page]: 1 for page in reached}
    depths = [page.link.depth for page in pages]
    assert depths == sorted(depths)


DIAMOND = {f"{SITES[0]}/": "/left /right", f"{SITES[0]}/left": "/end", f"{SITES[0]}/right": "/end"}


@explore(
    lambda: crawl(Web({**DIAMOND, f"{SITES[0]}/end": ""}), {SITES[0]: 2}),
    start=Seed(url=f"{SITES[0]}/"),
    durations="any",
    max_schedules=50,
)
def test_whichever_page_comes_first_the_report_is_the_same(run: TestRun):
    assert [page.link.url.rpartition("/")[2] for page in run.result] == ["", "left", "right", "end"]
    assert run.result[-1].link.found_on == f"{SITES[0]}/left"
    assert not run.leaked_tasks
