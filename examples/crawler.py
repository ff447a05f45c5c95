"""A crawler: it follows every link of two sites once, is polite to both, and says which links are broken.

The sites are real HTTP servers on this machine, with what makes crawlers stumble: pages that link back, one that is
gone (404), one that answers too late, one that fails the first time (503), and a calendar in which each day links to
the next one, for ever. Each site turns away whoever comes when it is busy.

The crawl goes ring by ring: all links of a ring are a fork, `follow` joins what was found there and forks again into
the links that are new. Nobody counts. Each page is a run of `Visit`, of which there is one object for each site: it
lets as many of its runs go on at once as that site bears. One `Limit` holds for all sites together.

Run it with `python examples/crawler.py [--backend asyncio|trio]`.
"""

import argparse
import re
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Annotated, TypeAlias
from urllib.parse import urldefrag, urljoin, urlsplit

import anyio
import attrs
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stretto import Context, Event, Limit, RetryPolicy, StartEvent, StopEvent, Workflow, catch_error, step
from stretto.events import StepFailedEvent
from stretto.joins import All
from stretto.retry import exponential

EVERYWHERE = Limit(4)
DEEPEST = 6
"""How many links away from the first page."""
PATIENCE = 1
"""Seconds for one page."""


# -------------------------------------------------------------------------------------------------- the sites

LINKS = {
    "museum": {
        "/": "/paintings /statues /calendar/1 #top",
        "/paintings": "/ /paintings/moon /paintings/sea /paintings/stolen",
        "/paintings/moon": "/paintings {shop}/moon",
        "/paintings/sea": "/paintings {shop}/sea mailto:painter@sea.invalid",
        "/statues": "/ /archive http://elsewhere.invalid/",
        "/archive": "/",  # answers too late
    },
    "shop": {
        "/moon": "/basket {museum}/paintings/moon",
        "/sea": "/basket",
        "/basket": "/moon /sea /refunds",
        "/refunds": "",  # fails the first time
    },
}
MOST = {"museum": 3, "shop": 1}
"""How many a site serves at once."""


@attrs.define(eq=False)
class Site:
    """A small HTTP server that turns away whoever is one too many.

    Attributes:
        name: Which one it is.
        web: The addresses of all sites, by name.
        asked: How often it was asked for each page.
        busiest: How many it served at once, at most.
        turned_away: How often it was asked while it was busy.
    """

    name: str
    web: dict[str, str]
    asked: Counter[str] = attrs.Factory(Counter[str])
    busiest: int = 0
    turned_away: int = 0
    _busy: int = 0

    async def serve(self, connection: SocketStream) -> None:
        """Answer one request after another, until the client hangs up."""
        requests = BufferedByteReceiveStream(connection)
        async with connection:
            with suppress(anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    head = await requests.receive_until(b"\r\n\r\n", max_bytes=65_536)
                    status, body = await self._answer(head.decode("ascii").split()[1])
                    answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                    await connection.send(answer.encode("ascii"))

    async def _answer(self, path: str) -> tuple[str, str]:
        self.asked[path] += 1
        if self._busy == MOST[self.name]:
            self.turned_away += 1
            return "503 Service Unavailable", ""
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            await anyio.sleep(2 * PATIENCE if path == "/archive" else 0.02)
        finally:
            self._busy -= 1
        return self._page(path)

    def _page(self, path: str) -> tuple[str, str]:
        if day := re.fullmatch(r"/calendar/(\d+)", path):
            links = f"/calendar/{int(day[1]) + 1}"
        elif path == "/refunds" and self.asked[path] == 1:
            return "503 Service Unavailable", ""
        elif path in LINKS[self.name]:
            links = LINKS[self.name][path].format(**self.web)
        else:
            return "404 Not Found", ""
        return "200 OK", "\n".join(f'<a href="{link}">there</a>' for link in links.split())


@asynccontextmanager
async def open_site(name: str, web: dict[str, str]) -> AsyncGenerator[Site]:
    """Serve on a free port of this machine, and tell the others where."""
    site = Site(name=name, web=web)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as connections:
        connections.start_soon(listener.serve, site.serve)
        web[name] = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610, not Django's
        yield site
        connections.cancel_scope.cancel()


# ------------------------------------------------------------------------------------------------ the crawler


class Seed(StartEvent):
    """Where a crawl begins."""

    url: str


class Link(Event):
    """A page to be fetched, so many links away from the first one."""

    url: str
    found_on: str
    depth: int


class Wanted(StartEvent):
    """A run of `Visit` begins with this."""

    link: Link


class Page(Event):
    """What came of a link: the links that are on the page, or why nobody knows."""

    link: Link
    links: tuple[str, ...] = ()
    broken: str = ""


def may_pass(error: Exception) -> bool:
    """Whether a page is worth another attempt."""
    if isinstance(error, httpx2.HTTPStatusError):
        return error.response.is_server_error
    return isinstance(error, httpx2.TransportError)


class Visit(Workflow[Page]):
    """Fetches one page of a site; how many at once, says `num_concurrent_runs`."""

    def __init__(self, client: httpx2.AsyncClient, at_once: int) -> None:
        super().__init__(num_concurrent_runs=at_once)
        self.client = client

    @step(limiter=EVERYWHERE, retry_policy=RetryPolicy(on=may_pass, attempts=3, wait=exponential(0.02)))
    async def fetch(self, ev: Wanted) -> StopEvent[Page]:
        """The time counts from when it is its turn."""
        url = ev.link.url
        with anyio.fail_after(PATIENCE):
            response = await self.client.get(url)
        html = response.raise_for_status().text
        links = (urldefrag(urljoin(url, each)).url for each in re.findall(r'<a href="([^"]+)"', html))
        return StopEvent(result=Page(link=ev.link, links=tuple(dict.fromkeys(links))))

    @catch_error
    async def give_up(self, ev: StepFailedEvent) -> StopEvent[Page]:
        """A page that cannot be had is a finding, and no reason to stop."""
        assert isinstance(ev.event, Wanted)
        match ev.exception:
            case httpx2.HTTPStatusError(response=response):
                broken = f"{response.status_code} {response.reason_phrase}"
            case TimeoutError():
                broken = "too slow"
            case error:
                broken = type(error).__name__
        return StopEvent(result=Page(link=ev.event.link, broken=broken))


@attrs.define
class Known:
    """The state of a crawl: every page that was ever seen in a link."""

    urls: set[str] = attrs.Factory(set[str])
    pages: list[Page] = attrs.Factory(list[Page])


Ring: TypeAlias = Annotated[list[Page], All(order="source")]


class Crawl(Workflow[list[Page]]):
    """Visits each page once that can be reached from the first one; gives them ring by ring."""

    def __init__(self, visits: Mapping[str, Visit], deepest: int = DEEPEST) -> None:
        super().__init__()
        self.visits = visits
        self.deepest = deepest

    @step
    async def begin(self, ctx: Context[Known], ev: Seed) -> list[Link]:
        """The first ring is one page."""
        await ctx.store.set("urls", {ev.url})
        return [Link(url=ev.url, found_on="", depth=0)]

    @step(num_workers=100)
    async def visit(self, ev: Link) -> Page:
        """However many wait here, each site is asked by as many as it bears."""
        return await self.visits[site_of(ev.url)].run(Wanted(link=ev))

    @step
    async def follow(self, ctx: Context[Known], ring: Ring) -> list[Link] | StopEvent[list[Page]]:
        """The next ring, or the end."""
        async with ctx.store.edit_state() as known:
            found: list[Link] = []
            for page in ring:
                known.pages.append(page)
                for url in page.links:
                    if url not in known.urls and site_of(url) in self.visits:
                        known.urls.add(url)
                        found.append(Link(url=url, found_on=page.link.url, depth=page.link.depth + 1))
        within = [link for link in found if link.depth <= self.deepest]
        return within or StopEvent(result=(await ctx.store.get_state()).pages)


def site_of(url: str) -> str:
    """The part of a URL that names the site."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def main() -> None:
    """Print what was found, with names in place of addresses."""
    web: dict[str, str] = {}
    async with (
        open_site("museum", web) as museum,
        open_site("shop", web) as shop,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        visits = {web[name]: Visit(client, at_once) for name, at_once in MOST.items()}
        pages = await Crawl(visits).run(Seed(url=f"{web['museum']}/"))

    def named(url: str) -> str:
        site = next(name for name, address in web.items() if address == site_of(url))
        return site + urlsplit(url).path

    for page in sorted(pages, key=lambda page: (page.link.depth, named(page.link.url))):
        where = f"{page.link.depth} {named(page.link.url)}"
        print(
            f"{where:<26}{f'{page.broken}, linked from {named(page.link.found_on)}' if page.broken else 'fine'}"
        )
    print(f"{len(pages)} pages, {museum.turned_away + shop.turned_away} times turned away")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
