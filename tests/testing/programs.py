"""The examples as `explore` takes them: each small enough for many schedules, and without network or disk."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any, Self

import anyio
import attrs

from examples import (
    answer_from_reviews as library,
    approval as chain,
    audit_env as audit,
    batch_job as payments,
    board_vote as board,
    concurrent_monitor as dealer,
    crawler,
    day_long_flow as bakery,
    first_of_three as race,
    flaky_weather as weather,
    human_approval as approval,
    inventory_monitor as monitor,
    inventory_progress as progress,
    kill_and_resume as parcels,
    polite_crawler as polite,
    react_agent as agent,
    reviews_map_reduce as reviews,
    shared_client as basket,
    smallest,
    travel_booking as travel,
)
from examples.trading.monitor import FeedbackMonitor
from examples.trading.station import OrderStation
from stretto import Application, Context, Handler, RunEndedError, StartEvent, step
from stretto.testing import Faults, faked

FAULTS = Faults(
    raises=OSError,
    hangs=True,
    cancel_step=True,
    blocks=True,
    doubles=True,
    cancel=True,
    timeout=True,
    leave=True,
    most=2,
)
"""Whatever may go wrong in any of them."""

DEATHS = attrs.evolve(FAULTS, crash=True)
"""The same for those that may be resumed."""


async def say_yes(run: Handler[Any]) -> None:
    """Somebody who reads a question for a second, and approves."""
    async for ev in run.stream_events():
        if isinstance(ev, approval.Question):
            await anyio.sleep(1)
            run.send_event(approval.Answer(item=ev.item, yes=True))


async def decide(run: Handler[Any]) -> None:
    """The people of the chain, one after the other, each of whom takes their time."""
    async for ev in run.stream_events():
        if isinstance(ev, chain.Question):
            await chain.answer(run, ev, chain.ANSWERS)


async def deliver(run: Handler[Any]) -> None:
    """The van of the mill, which is late."""
    async for ev in run.stream_events():
        if isinstance(ev, bakery.Ordered):
            await anyio.sleep(5 * bakery.HOUR)
            with suppress(RunEndedError):
                run.send_event(bakery.Delivered())


class Source:
    """In place of a shop, an archive and a past."""

    async def likes(self, review: dealer.ReviewId) -> bool:
        await anyio.sleep(review.number)
        return review.number > 1

    async def trade(self, review: dealer.ReviewId, *, good: bool) -> None:
        await anyio.sleep(1)


class Past:
    def likes(self, review: dealer.ReviewId) -> bool:
        return True


@attrs.frozen
class Response:
    """Of an HTTP client."""

    text: str
    url: Any = None

    def raise_for_status(self) -> Response:
        return self

    def json(self) -> dict[str, int]:
        return {"cents": len(self.text), "connection": 1}


class Client:
    """In place of an HTTP client; fails as a network does, each second time."""

    def __init__(self, *, flaky: bool) -> None:
        self.flaky = flaky
        self.asked = 0

    async def get(self, path: str) -> Response:
        await anyio.sleep(0.1)
        self.asked += 1
        if self.flaky and self.asked % 2:
            raise TimeoutError(path)
        return Response(text=f"{self.asked}")


@attrs.frozen
class Web:
    """In place of an HTTP client: two pages of one site, and a third that is never there."""

    links: Mapping[str, str] = attrs.Factory(
        lambda: {"http://a/": "http://a/b http://a/c", "http://a/b": "http://a/"}
    )

    async def get(self, url: str) -> Response:
        await anyio.sleep(0.1)
        if url not in self.links:
            raise crawler.httpx2.ConnectError(url)
        return Response(text="".join(f'<a href="{link}">' for link in self.links[url].split()))


class Hosts:
    """In place of an HTTP client: three pages of two hosts."""

    async def get(self, url: str) -> Response:
        await anyio.sleep(0.1)
        return Response(
            text={"http://a/0": "/1 http://b/0"}.get(url, "http://a/0"), url=polite.httpx2.URL(url)
        )


@attrs.define(eq=False)
class Spoken:
    """One answer of a model, line by line."""

    lines: Iterator[str]
    is_error: bool = False
    is_server_error: bool = False
    status_code: int = 200
    reason_phrase: str = ""

    async def __aenter__(self) -> Self:
        await anyio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def aiter_lines(self) -> Spoken:
        return self

    def __aiter__(self) -> Spoken:
        return self

    async def __anext__(self) -> str:
        for line in self.lines:
            return line
        raise StopAsyncIteration


USES = agent.Reply("", [("temperature", '{"city": "Oslo"}'), ("pressure", "{}")])
"""What a model says first: it uses a tool that there is and one that there is not."""


@attrs.define(eq=False)
class Speaks:
    """In place of a client of the model; the first time it is busy."""

    answer: str
    asked: int = 0

    def stream(self, method: str, path: str, *, json: dict[str, Any]) -> Spoken:
        self.asked += 1
        if self.asked == 1:
            return Spoken(iter(()), True, status_code=429, reason_phrase="Too Many Requests")
        pieces = agent.Model(script=(USES, agent.Reply(self.answer)))._pieces(json["messages"])
        lines = [f"data: {dumps({'choices': [{'delta': piece}]})}" for piece in pieces]
        return Spoken(iter([*lines, "data: [DONE]"]))


class Desk:
    """In place of an airline, a hotel and a bank."""

    async def book(self, name: str, key: str) -> None:
        await anyio.sleep(0.1)

    async def take_back(self, name: str, key: str) -> None:
        await anyio.sleep(0.01)


class Travels(travel.Journey):
    """Under a key that is the same in each run."""

    @step(undo="cancel_flight")
    async def plan(self, ctx: Context, ev: travel.Trip) -> travel.FlightWanted:
        return travel.FlightWanted(key=ev.customer)


def travels() -> Travels:
    return Travels(Desk(), timeout=60)


def deal() -> dealer.Monitor:
    sources: Any = dealer.Sources(online=Source(), offline=Source(), trend=Past())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return dealer.Monitor(sources, [dealer.ReviewId("tea", number) for number in (1, 2)])


def report() -> weather.Report:
    cities = [weather.City(name=name, of=2) for name in ("Oslo", "Rome")]
    return faked(weather.Report, {weather.open_client: Client(flaky=True)}, begin=cities)()


def bill() -> basket.Bill:
    return faked(basket.Bill, {basket.open_client: Client(flaky=False)})()


def count(products: tuple[str, ...] = ("tea.tsv", "rice.tsv")) -> reviews.Reviews:
    sentences = [reviews.Sentence(2.0, "splendid value")]
    return faked(
        reviews.Reviews,
        begin=[reviews.Product(file=Path(name)) for name in products],
        read=lambda ev: [reviews.Review(product=ev.file.stem, sentences=sentences)] * 2,
    )()


def ask_the_model(answer: str = "It is cold.") -> agent.Agent:
    return faked(agent.Agent, {agent.open_client: Speaks(answer)})()


def crawl() -> crawler.Crawl:
    web: Any = Web()
    return crawler.Crawl({"http://a": crawler.Visit(web, 1)})


def crawl_politely() -> polite.Crawl:
    hosts: Any = Hosts()
    return polite.Crawl(hosts)


def pay(names: tuple[str, ...] = ("Baker", "Printer", "Plumer")) -> payments.Payments:
    letters = {name: payments.Letter(name, payments.PAYMENTS[name]) for name in names}
    return payments.Payments(payments.Bank(), payments.Letters(Path(os.devnull), letters))


def search() -> library.Library:
    texts = {"tea": "1_0\t2\tthe battery lasts", "rice": "1_0\t-1\tit is cold\n2_0\t1\tbattery"}
    return faked(
        library.Library,
        open=[library.File(path=Path(name), asked=("battery",)) for name in texts],
        read=lambda ev: shelf(ev, texts[ev.path.name]),
    )()


def shelf(ev: library.File, text: str) -> library.Shelf:
    passages = library.passages_in(ev.path.name, text)
    having = Counter(word for each in passages for word in ev.asked if word in each.words)
    return library.Shelf(passages=passages, asked=ev.asked, having=having)


def check() -> audit.Audit:
    return audit.Audit([audit.Distribution(name=name, entries=()) for name in ("attrs", "anyio")])


def trade() -> Application:
    return Application(monitor=FeedbackMonitor(), orders=OrderStation())


EXAMPLES: dict[str, dict[str, Any]] = {
    "smallest": {"workflow": smallest.Welcome, "start": smallest.Guest(name="world"), "faults": DEATHS},
    "human approval": {
        "workflow": approval.Purchase,
        "start": approval.Basket(items=tuple(approval.SHELVES)),
        "beside": say_yes,
        "faults": DEATHS,
    },
    "inventory monitor": {
        "workflow": lambda: monitor.InventoryMonitor(monitor.COMMENTS),
        "start": monitor.Open(stall=monitor.Stall(sku="apples")),
        "faults": DEATHS,
    },
    "inventory progress": {
        "workflow": lambda: progress.ReportingMonitor(progress.COMMENTS[:3]),
        "start": progress.Open(stall=progress.Stall(sku="apples")),
        "faults": DEATHS,
    },
    "first of three": {"workflow": race.Race, "start": race.Fetch(file="a.txt"), "faults": DEATHS},
    "concurrent monitor": {"workflow": deal, "faults": DEATHS},
    "flaky weather": {"workflow": report, "faults": DEATHS},
    "shared client": {
        "workflow": bill,
        "start": basket.Basket(items=("tea", "rice", "figs")),
        "faults": DEATHS,
    },
    "reviews map and reduce": {"workflow": count, "faults": FAULTS},
    # Whether a thread still begins as the time limit passes is the loop's affair.
    "audit": {"workflow": check, "faults": attrs.evolve(FAULTS, blocks=False, timeout=False)},
    "kill and resume": {
        "workflow": parcels.Ship,
        "start": parcels.Order(customers=parcels.PARCELS, log=os.devnull),
        "faults": DEATHS,
    },
    "travel booking": {"workflow": travels, "start": travel.Trip(customer="Ada"), "faults": DEATHS},
    "trading": {
        "workflow": trade,
        "member": "monitor",
        "start": StartEvent(payload="Apple"),
        "faults": FAULTS,
    },
    "agent": {"workflow": ask_the_model, "start": agent.Question(text="how cold is it?"), "faults": FAULTS},
    "approval": {
        "workflow": chain.Approval,
        "start": chain.Submitted(claims=chain.CLAIMS[:2]),
        "beside": decide,
        "faults": FAULTS,
    },
    "crawler": {"workflow": crawl, "start": crawler.Seed(url="http://a/"), "faults": FAULTS},
    "polite crawler": {
        "workflow": crawl_politely,
        "start": polite.Seeds(urls=("http://a/0",)),
        "faults": FAULTS,
    },
    "board vote": {"workflow": board.Board, "start": board.Motion(text="A rise?"), "faults": FAULTS},
    "batch job": {"workflow": pay, "faults": FAULTS},
    "answer from reviews": {
        "workflow": search,
        "start": library.Question(text="battery?"),
        "faults": FAULTS,
    },
    # Whether a step that has just woken still goes on as the time limit passes is the loop's affair.
    "day long flow": {
        "workflow": bakery.Bakery,
        "beside": deliver,
        "faults": attrs.evolve(FAULTS, blocks=False, timeout=False),
    },
}
"""By name: what `explore` is given, with the faults that it is to stand."""

ANY: dict[str, Any] = {"durations": "any"}
SMALL: dict[str, tuple[dict[str, Any], int]] = {
    "smallest": (ANY, 1),
    "human approval": ({**ANY, "start": approval.Basket(items=tuple(approval.SHELVES)[:2])}, 1),
    "inventory monitor": (ANY, 1),
    "inventory progress": (ANY, 1),
    "first of three": (ANY, 3),
    "flaky weather": ({}, 2),
    "shared client": ({**ANY, "start": basket.Basket(items=("tea", "rice"))}, 1),
    "reviews map and reduce": ({**ANY, "workflow": partial(count, ("tea.tsv",))}, 1),
    "audit": (ANY, 1),
    "trading": (ANY, 1),
    "agent": ({**ANY, "workflow": partial(ask_the_model, "It has {0} degrees, and {1}.")}, 1),
    "approval": ({}, 2),  # an answer that comes as its time is over is in time, or is not
    "crawler": ({}, 1),
    "polite crawler": (ANY, 1),
    "board vote": ({}, 1),
    "batch job": ({**ANY, "workflow": partial(pay, ("Baker", "Printer"))}, 1),
    "answer from reviews": (ANY, 1),
}
"""What is changed of an example so that all of its schedules can be tried, and how many outcomes they may have.

The concurrent monitor is left out, for its steps share an object and so nothing can be; and the parcels, of which there
are five, and the bakery, which is open for eleven hours.
"""
