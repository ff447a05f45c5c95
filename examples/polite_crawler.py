"""A polite crawler: it asks each host no more often than the host allows, with no more at once than the host bears.

The hosts are HTTP servers on this machine. Each counts who asks, turns away whoever comes too often or is one too many,
and says so at the end: a crawler that broke a rule would be caught. One of them is slow.

All politeness stands in two values. A `Rate` and a `Limit`, each with a key, hold for every host by itself, and for all
runs of the crawler in this process together. What has to wait for its host holds no worker, so four workers are
enough for all hosts: the slow one does not keep the others waiting.

Run it with `python examples/polite_crawler.py [--backend asyncio|trio]`.
"""

import argparse
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeAlias
from urllib.parse import urlsplit

import anyio
import attrs
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stretto import Context, Event, Limit, StartEvent, StopEvent, Workflow, step
from stretto.limits import Rate

OFTEN = 12
"""How many requests a host allows in any second."""
AT_ONCE = 2
"""How many requests it answers at once."""
PAGES = 14
"""How many pages it has."""

Found: TypeAlias = dict[str, int]
"""How many pages of each host were read."""


# -------------------------------------------------------------------------------------------------- the hosts


@attrs.define(eq=False)
class Host:
    """A small HTTP server that counts, and turns away who is impolite.

    Attributes:
        seconds: How long it takes for a page.
        others: The addresses of all hosts, to which its pages link.
        asked: How often it was asked.
        busiest: How many it answered at once, at most.
        most: How many it was asked in one second, at most.
        turned_away: How often somebody came too often, or was one too many.
    """

    seconds: float
    others: list[str]
    asked: int = 0
    busiest: int = 0
    most: int = 0
    turned_away: int = 0
    _busy: int = 0
    _lately: deque[float] = attrs.field(factory=deque[float])

    async def serve(self, connection: SocketStream) -> None:
        """Answer one request after another, until the client hangs up."""
        requests = BufferedByteReceiveStream(connection)
        async with connection:
            with suppress(anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    head = await requests.receive_until(b"\r\n\r\n", max_bytes=65_536)
                    status, body = await self.answer(head.decode("ascii").split()[1])
                    answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                    await connection.send(answer.encode("ascii"))

    async def answer(self, path: str) -> tuple[str, str]:
        """A page with its links, or why there is none."""
        now = anyio.current_time()
        self._lately.append(now)
        while self._lately[0] <= now - 1:
            self._lately.popleft()
        self.asked += 1
        self.most = max(self.most, len(self._lately))
        self.busiest = max(self.busiest, self._busy + 1)
        if len(self._lately) > OFTEN or self._busy == AT_ONCE:
            self.turned_away += 1
            return "429 Too Many Requests", ""
        self._busy += 1
        try:
            await anyio.sleep(self.seconds)
        finally:
            self._busy -= 1
        return "200 OK", " ".join(self._links(int(path.removeprefix("/"))))

    def _links(self, number: int) -> list[str]:
        """Two pages further on, one back, and a page of each other host."""
        pages = {2 * number + 1, 2 * number + 2, number // 2}
        inside = [f"/{each}" for each in sorted(pages) if each < PAGES]
        return [*inside, *(f"{other}/{number}" for other in self.others)]


@asynccontextmanager
async def open_host(others: list[str], seconds: float) -> AsyncGenerator[Host]:
    """Serve on a free port of this machine, and tell the others where."""
    host = Host(seconds=seconds, others=others)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as connections:
        connections.start_soon(listener.serve, host.serve)
        others.append(f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")  # noqa: S610, not Django's
        yield host
        connections.cancel_scope.cancel()


# ------------------------------------------------------------------------------------------------ the crawler


class Seeds(StartEvent):
    """Where a crawl begins."""

    urls: tuple[str, ...]


class Link(Event):
    """A page to be fetched, so many links away from where the crawl began."""

    url: str
    depth: int

    @property
    def host(self) -> str:
        """Whom to be polite to."""
        return urlsplit(self.url).netloc

    @property
    def nearness(self) -> int:
        """The nearest pages come first."""
        return -self.depth


class Page(Event):
    """A page that was read."""

    link: Link
    links: tuple[str, ...]


@attrs.define
class Known:
    """The state of a crawl: every page that was seen in a link, and how many of them are not read yet."""

    urls: set[str] = attrs.Factory(set[str])
    unread: int = 0
    found: Found = attrs.Factory(dict[str, int])


# The network moves requests closer together than they were sent: a little slower than allowed is never too fast.
POLITE = Rate(OFTEN - 2, per=1.0, key="host")
GENTLE = Limit(AT_ONCE, key="host")


class Crawl(Workflow[Found]):
    """Reads each page once that can be reached; gives how many there were of each host."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        super().__init__()
        self.client = client

    @step
    async def begin(self, ctx: Context[Known], ev: Seeds) -> list[Link]:
        """The first pages."""
        return await self._new(ctx, ev.urls, 0)

    @step(num_workers=4, rate=POLITE, limiter=GENTLE, priority="nearness")
    async def fetch(self, ev: Link) -> Page:
        """Begins when its host allows it and a worker is free, and holds none before that."""
        response = await self.client.get(ev.url)
        response.raise_for_status()
        links = (str(response.url.join(each)) for each in response.text.split())
        return Page(link=ev, links=tuple(links))

    @step
    async def follow(self, ctx: Context[Known], ev: Page) -> list[Link] | StopEvent[Found]:
        """The pages that are new on this one; the end when none is left."""
        new = await self._new(ctx, ev.links, ev.link.depth + 1, read=ev.link)
        known = await ctx.store.get_state()
        return new if known.unread else StopEvent(result=known.found)

    @staticmethod
    async def _new(
        ctx: Context[Known], urls: tuple[str, ...], depth: int, read: Link | None = None
    ) -> list[Link]:
        async with ctx.store.edit_state() as known:
            new = [url for url in dict.fromkeys(urls) if url not in known.urls]
            known.urls.update(new)
            known.unread += len(new)
            if read is not None:
                known.unread -= 1
                known.found[read.host] = known.found.get(read.host, 0) + 1
        return [Link(url=url, depth=depth) for url in new]


async def main() -> None:
    """Print what the hosts say about the crawler."""
    addresses: list[str] = []
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(open_host(addresses, seconds)) for seconds in (0.02, 0.02, 0.15)
        ]
        client = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False))
        found = await Crawl(client).run(Seeds(urls=(f"{addresses[0]}/0",)))
    for name, host in zip(("quick", "as quick", "slow"), hosts, strict=True):
        fine = host.most <= OFTEN and host.busiest <= AT_ONCE
        print(
            f"{name:<9}{host.asked} pages, {'politely' if fine else 'rudely'}, {host.turned_away} turned away"
        )
    print(f"{sum(found.values())} pages of {len(found)} hosts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
