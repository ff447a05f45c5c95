"""One HTTP client for all runs of a workflow, and never more than four requests at once.

Three customers ask a shop for the prices of what is in their baskets, each in a run of their own. The client, with its
pool of connections, belongs to the workflow: the first run that asks for it opens it, the others share it, and it is
closed when the block of the workflow is left. The client asks for the shop, so the shop is opened before it and closed
after it. The shop is a real HTTP server on this machine, and turns away whoever comes fifth; the limit holds for all
runs together, so nobody does.

Run it with `python examples/shared_client.py [--backend asyncio|trio]`.
"""

import argparse
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Annotated

import anyio
import attrs
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stretto import Context, Event, Limit, Resource, StartEvent, StopEvent, Workflow, step

AT_ONCE = 4
REQUESTS = Limit(AT_ONCE)
BASKETS = {
    "Ada": ("tea", "rice", "salt", "figs", "oats", "dill", "plum", "kale"),
    "Bob": ("rice", "oats", "leek", "corn", "lime", "mint", "pear", "tofu"),
    "Eve": ("figs", "lime", "sage", "beet", "chard", "yam", "chili", "nori"),
}


# -------------------------------------------------------------------------------------------------- the shop


@attrs.define(eq=False)
class Shop:
    """A small HTTP/1.1 server that knows the price of everything, and has four counters.

    Attributes:
        latency: How many seconds each answer takes.
        address: Where it is while it is open.
        connections: How many were made to it so far.
    """

    latency: float = 0.05
    address: str = ""
    connections: int = 0
    _busy: int = 0

    async def serve(self, connection: SocketStream) -> None:
        """Answer one request after another, until the client hangs up."""
        self.connections += 1
        number = self.connections
        requests = BufferedByteReceiveStream(connection)
        async with connection:
            with suppress(anyio.IncompleteRead, anyio.BrokenResourceError):
                while True:
                    head = await requests.receive_until(b"\r\n\r\n", max_bytes=65_536)
                    item = head.decode("ascii").split()[1].strip("/")
                    status, body = await self._answer(item, number)
                    answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                    await connection.send(answer.encode("ascii"))

    async def _answer(self, item: str, connection: int) -> tuple[str, str]:
        if self._busy == AT_ONCE:
            return "503 Service Unavailable", "{}"
        self._busy += 1
        await anyio.sleep(self.latency)
        self._busy -= 1
        return "200 OK", json.dumps({"cents": 20 * len(item), "connection": connection})


@asynccontextmanager
async def open_shop() -> AsyncGenerator[Shop]:
    """Serve on a free port of this machine; a resource may hold a task group."""
    shop = Shop()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as connections:
        connections.start_soon(listener.serve, shop.serve)
        shop.address = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610, not Django's
        yield shop
        connections.cancel_scope.cancel()


@asynccontextmanager
async def open_client(
    shop: Annotated[Shop, Resource(open_shop, scope="workflow")],
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the shop; a factory asks for other resources as a step does."""
    async with httpx2.AsyncClient(base_url=shop.address, trust_env=False) as client:
        yield client


Client = Annotated[httpx2.AsyncClient, Resource(open_client, scope="workflow")]


# ---------------------------------------------------------------------------------------------- the workflow


class Basket(StartEvent):
    """A run begins with what is to be priced."""

    items: Sequence[str]


class Item(Event):
    """One of so many in a basket."""

    name: str
    of: int


class Price(Event):
    """What it costs, and the number of the connection that brought the answer."""

    cents: int
    connection: int
    of: int


class Bill(Workflow[list[Price]]):
    """Asks for the price of each item in a basket."""

    @step
    async def unpack(self, ev: Basket) -> list[Item]:
        """Each item is a request of its own."""
        return [Item(name=name, of=len(ev.items)) for name in ev.items]

    @step(num_workers=8, limiter=REQUESTS)
    async def ask(self, ev: Item, client: Client) -> Price:
        """One of eight in this run that may ask at once, and of four in all runs."""
        response = await client.get(f"/{ev.name}")
        answer: dict[str, int] = response.raise_for_status().json()
        return Price(cents=answer["cents"], connection=answer["connection"], of=ev.of)

    @step
    async def add_up(self, ctx: Context, ev: Price) -> StopEvent[list[Price]] | None:
        """The bill is done when each price is there."""
        prices = ctx.collect_events(ev, [Price] * ev.of)
        return None if prices is None else StopEvent(result=prices)


async def main() -> None:
    """Three customers at once."""
    prices: list[Price] = []

    async def customer(name: str, items: Sequence[str]) -> None:
        bill = await workflow.run(Basket(items=items))
        print(f"{name} pays {sum(price.cents for price in bill) / 100:.2f}")
        prices.extend(bill)

    start = perf_counter()
    async with Bill() as workflow, anyio.create_task_group() as customers:
        for name, items in BASKETS.items():
            customers.start_soon(customer, name, items)
    took = perf_counter() - start
    connections = len({price.connection for price in prices})
    print(f"{len(prices)} prices in {took:.1f} s, over {connections} connections")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
