"""A cancellation at every turn of the loop: nothing of a conversation is left, and none is called stuck."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import pytest

from stretto import Application, Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.retry import fixed
from stretto.supervision import Restart
from tests.application.programs import Answer, Ask, Boom, Trade, Traded
from tests.engine.ledger import Ledger
from tests.sweep import HOWS, Ending, sweep

CLEANUP = 0.25


class Member(Workflow[int]):
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(timeout=30)


class Detail(Event):
    pass


class Root(Member):
    """Sends, asks, and ends when both have come back."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Trade | Ask | Traded | None:
        ctx.send_event(Trade(sku="a"))
        ctx.send_event(Trade(sku="b"))
        async with self.ledger.signed("root", cleanup=CLEANUP):
            await ctx.request(Ask(n=1), Answer)
        return Traded(sku="asked")

    @step
    async def gather(self, ctx: Context, ev: Traded) -> StopEvent[int] | None:
        async with self.ledger.signed(f"gather {ev.sku}"):
            got = ctx.collect_events(ev, [Traded] * 2)
        return StopEvent(result=15) if got else None


class Station(Member):
    """One of its trades comes after the root has its result."""

    @step
    async def trade(self, ctx: Context, ev: Trade) -> Traded:
        async with self.ledger.signed(f"trade {ev.sku}", cleanup=CLEANUP):
            await anyio.sleep(1 if ev.sku == "a" else 5)
        return Traded(sku=ev.sku)


class Oracle(Member):
    """Asks another member before it answers."""

    @step
    async def answer(self, ctx: Context, ev: Ask) -> Detail | Answer:
        async with self.ledger.signed("oracle", cleanup=CLEANUP):
            await ctx.request(Detail(), Traded)
        return Answer(n=2)


class Deep(Member):
    @step
    async def tell(self, ev: Detail) -> Traded:
        async with self.ledger.signed("deep", cleanup=CLEANUP):
            await anyio.sleep(2)
        return Traded(sku="deep")


def application(ledger: Ledger, on_stop: Literal["drain", "cancel"]) -> Application:
    return Application(
        root=Root(ledger), station=Station(ledger), oracle=Oracle(ledger), deep=Deep(ledger), on_stop=on_stop
    )


async def awaited(ledger: Ledger) -> object:
    async with application(ledger, "drain") as app:
        return await app.run("root")


async def cut(ledger: Ledger) -> object:
    async with application(ledger, "cancel") as app:
        return await app.run("root")


async def in_a_block(ledger: Ledger) -> object:
    async with application(ledger, "drain") as app, app.run("root") as run:
        return await run


async def asked(ledger: Ledger) -> object:
    async with Application(oracle=Oracle(ledger), deep=Deep(ledger), external=[Ask]) as app:
        return 15 if (await app.request(Ask(n=1), Answer)).n == 2 else 0


class Alone(Member):
    """No other member is at work when it is cancelled: a `Task.cancel()` of its caller was called a stall."""

    @step
    async def begin(self, ev: StartEvent) -> Detail:
        await anyio.sleep(1)
        return Detail()

    @step
    async def end(self, ev: Detail) -> StopEvent[int]:
        for _ in range(4):
            await anyio.sleep(1)
        return StopEvent(result=15)


async def alone(ledger: Ledger) -> object:
    async with Application(alone=Alone(ledger)) as app:
        return await app.run("alone")


class Stumbles(Member):
    """Fails at the first of its trades, with the other one at work and a third one queued."""

    @step(num_workers=2)
    async def trade(self, ev: Trade) -> Traded:
        async with self.ledger.signed(f"trade {ev.sku}", cleanup=CLEANUP):
            await anyio.sleep(1 if ev.sku == "a" else 3)
            if ev.sku == "a":
                raise Boom
        return Traded(sku=ev.sku)


class Orders(Member):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Trade | None:
        for sku in "abcd":
            ctx.send_event(Trade(sku=sku))

    @step
    async def end(self, ctx: Context, ev: Traded) -> StopEvent[int] | None:
        async with self.ledger.signed(f"end {ev.sku}"):
            return StopEvent(result=15) if ctx.collect_events(ev, [Traded] * 2) else None


async def restarted(ledger: Ledger) -> object:
    supervise = {"stumbles": Restart(backoff=fixed(2))}
    async with Application(orders=Orders(ledger), stumbles=Stumbles(ledger), supervise=supervise) as app:
        return await app.run("orders")


FORMS = [awaited, cut, in_a_block, asked, alone, restarted]


@pytest.mark.parametrize(("backend", "how"), HOWS)
@pytest.mark.parametrize("form", FORMS)
def test_a_cancellation_at_any_turn_leaves_nothing_and_is_no_stall(
    form: Callable[[Ledger], Awaitable[object]], backend: str, how: str
):
    ledger = Ledger()

    def program() -> Awaitable[object]:
        ledger.__init__()
        return form(ledger)

    def check(ending: Ending) -> None:
        assert not ledger.inside, "a clean-up had not run when the caller went on"
        if ending.fired and ending.cancelled:
            assert ending.overrun <= 4 * CLEANUP, "nothing but the clean-ups, inner first, may take time"
            return
        if 1 <= ending.fired_at <= 1 + CLEANUP and isinstance(ending.error, Boom):
            return  # a step that fails in a cancellation is not lost (ADR 4), and nobody is restarted
        assert ending.error is None
        assert ending.result == 15
        assert ending.overrun == 0, "the cancellation was lost"

    assert sweep(program, backend=backend, how=how, check=check) > 10
