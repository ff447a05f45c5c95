"""The polite crawler keeps to what each host allows, as the hosts count it, and is as fast as that."""

from __future__ import annotations

import anyio
import httpx2
import pytest

from examples import polite_crawler
from examples.polite_crawler import AT_ONCE, GENTLE, OFTEN, PAGES, POLITE, Crawl, Host, Link, Page, Seeds
from stretto import step
from stretto.testing import TestRun, explore

pytestmark = pytest.mark.anyio
REAL_TIME = pytest.mark.usefixtures("real_time")


class Web(httpx2.AsyncBaseTransport):
    """The hosts in memory."""

    def __init__(self, *seconds: float) -> None:
        names = [f"http://host{number}" for number in range(len(seconds))]
        self.hosts = {
            name: Host(seconds=each, others=names) for name, each in zip(names, seconds, strict=True)
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        status, body = await self.hosts[f"http://{url.host}"].answer(url.path)
        return httpx2.Response(int(status.split()[0]), text=body)

    def polite(self) -> bool:
        return not any(host.turned_away for host in self.hosts.values())


class Rude(Crawl):
    """Asks as fast as it can, and does not mind what is answered."""

    @step(num_workers=50)
    async def fetch(self, ev: Link) -> Page:
        response = await self.client.get(ev.url)
        return Page(link=ev, links=tuple(str(response.url.join(each)) for each in response.text.split()[:9]))


SEEDS = Seeds(urls=("http://host0/0",))


@REAL_TIME
async def test_real_hosts_find_it_polite(capsys: pytest.CaptureFixture[str]):
    await polite_crawler.main()
    *hosts, last = capsys.readouterr().out.splitlines()
    assert [line.split()[-6:] for line in hosts] == [
        [str(PAGES), "pages,", "politely,", "0", "turned", "away"]
    ] * 3
    assert last == f"{3 * PAGES} pages of 3 hosts"


async def test_no_host_is_asked_more_often_than_the_rate_says_nor_by_more_than_the_limit():
    web = Web(0.02, 0.3)
    began = anyio.current_time()
    found = await Crawl(httpx2.AsyncClient(transport=web)).run(SEEDS)
    assert found == {"host0": PAGES, "host1": PAGES}
    assert web.polite()
    for host in web.hosts.values():
        assert host.most <= OFTEN - 1, "ten, and one that rounding has moved into the second"
        assert host.busiest <= AT_ONCE
    slow = PAGES * 0.3 / AT_ONCE
    assert anyio.current_time() - began == pytest.approx(slow, rel=0.25), "and no slower than the slow host"


async def test_two_crawls_at_once_are_as_polite_as_one():
    web = Web(0.02, 0.15)
    async with anyio.create_task_group() as tg:
        for _ in range(2):
            tg.start_soon(Crawl(httpx2.AsyncClient(transport=web)).execute, SEEDS)
    assert web.polite()
    assert [host.asked for host in web.hosts.values()] == [2 * PAGES] * 2


async def test_the_hosts_catch_who_is_rude():
    web = Web(0.02, 0.15)
    await Rude(httpx2.AsyncClient(transport=web)).run(SEEDS)
    assert not web.polite()


async def test_nothing_is_kept_of_a_host_that_nobody_asks_any_more():
    web = Web(0.02, 0.02)
    await Crawl(httpx2.AsyncClient(transport=web)).run(SEEDS)
    await anyio.sleep(1)
    for permits in (POLITE.permits(), GENTLE.permits()):
        permits.let_go(permits.of("another", anyio.current_time()), anyio.current_time())
        assert len(permits) == 0


class Small(Crawl):
    """Knows hosts in memory."""

    def __init__(self) -> None:
        self.web = Web(0.02, 0.15)
        super().__init__(httpx2.AsyncClient(transport=self.web))


@explore(Small, start=SEEDS, max_schedules=25)
def test_it_is_polite_in_whatever_order_pages_come(run: TestRun) -> None:
    assert run.result == {"host0": PAGES, "host1": PAGES}
