"""The examples as `explore` takes them: each small enough for many schedules, and without network or disk."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs

from examples import (
    audit_env as audit,
    concurrent_monitor as dealer,
    first_of_three as race,
    flaky_weather as weather,
    human_approval as approval,
    inventory_monitor as monitor,
    inventory_progress as progress,
    kill_and_resume as parcels,
    reviews_map_reduce as reviews,
    shared_client as basket,
    smallest,
)
from examples.trading.monitor import FeedbackMonitor
from examples.trading.station import OrderStation
from stretto import Application, Handler, StartEvent
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
    "trading": {
        "workflow": trade,
        "member": "monitor",
        "start": StartEvent(payload="Apple"),
        "faults": FAULTS,
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
}
"""What is changed of an example so that all of its schedules can be tried, and how many outcomes they may have.

The concurrent monitor is left out, for its steps share an object and so nothing can be; and the parcels, of which there
are five.
"""
