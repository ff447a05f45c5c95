"""The workflow that ``stretto demo`` runs: shops are asked at once, one of them is busy, and the cheapest wins."""

from __future__ import annotations

from ..context import Context
from ..events import Event, StartEvent, StopEvent
from ..retry import RetryPolicy, fixed
from ..steps import step
from ..workflow import Workflow

__all__ = ["SHOPS", "Cheapest", "Offer"]

SHOPS = {"Corner": 0.5, "Market": 0.9, "Mill": 0.4, "Dock": 0.7, "Square": 0.6}
"""The shops, and how many seconds each takes to answer."""


class Ask(Event):
    """A shop is to be asked."""

    shop: str


class Offer(Event):
    """What a shop wants for it."""

    shop: str
    cents: int


class Cheapest(Workflow[Offer]):
    """The offer of the cheapest shop.

    Attributes:
        cleaned_up: How many steps were cancelled, and went through their ``finally``.
    """

    cleaned_up = 0

    @step
    async def ask_all(self, ev: StartEvent) -> list[Ask]:  # noqa: ARG002 - it wakes it, and says nothing
        """Asks every shop at once."""
        return [Ask(shop=shop) for shop in SHOPS]

    @step(num_workers=3, retry_policy=RetryPolicy(attempts=3, on=ConnectionError, wait=fixed(0.2)))
    async def ask(self, ctx: Context, ev: Ask) -> Offer:
        """Waits for one shop; the Mill is busy when it is asked for the first time."""
        done = False
        try:
            await ctx.sleep(SHOPS[ev.shop])
            done = True
        finally:
            type(self).cleaned_up += not done
        if ev.shop == "Mill" and ctx.attempt.number == 1:
            raise ConnectionError("the Mill is busy")
        return Offer(shop=ev.shop, cents=20 * len(ev.shop))

    @step
    async def choose(self, ctx: Context, ev: Offer) -> StopEvent[Offer] | None:
        """Collects the offers, and takes the cheapest."""
        offers = ctx.collect_events(ev, [Offer] * len(SHOPS))
        return StopEvent(result=min(offers, key=lambda offer: offer.cents)) if offers else None
