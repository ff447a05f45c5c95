"""Bugs of how something ends: too early, too late, twice, not at all, or with something left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import trio

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.testing import Faults, TestRun
from tests.testing.corpus.planted import Both, Done, One, Planted, Two, ends_in_time

# -- a trade that is made again, since its answer was late ---------------------------------------------------------


class Trader(Workflow[int]):
    traded = 0

    async def trade(self) -> None:
        self.traded += 1
        await anyio.sleep(3)  # the answer


class DoubleTrade(Trader):
    @step
    async def buy(self, ev: StartEvent) -> StopEvent[int]:
        for _ in range(2):
            with anyio.move_on_after(5):
                await self.trade()
                break
        return StopEvent(result=self.traded)


class NoDoubleTrade(Trader):
    @step
    async def buy(self, ev: StartEvent) -> StopEvent[int]:
        for _ in range(2):
            with anyio.move_on_after(5):
                if not self.traded:  # the exchange knows the number of the order
                    await self.trade()
                break
        return StopEvent(result=self.traded)


def traded_once(run: TestRun) -> None:
    assert run.result == 1


# -- a clean-up that a cancellation skips --------------------------------------------------------------------------


class Holder(Workflow[None]):
    held = False


class SkippedCleanUp(Holder):
    @step
    async def work(self, ev: StartEvent) -> StopEvent[None]:
        self.held = True
        try:
            await anyio.sleep(1)
        except Exception:
            self.held = False
            raise
        self.held = False
        return StopEvent()


class NoSkippedCleanUp(Holder):
    @step
    async def work(self, ev: StartEvent) -> StopEvent[None]:
        self.held = True
        try:
            await anyio.sleep(1)
        finally:
            self.held = False
        return StopEvent()


def nothing_is_held(run: TestRun) -> None:
    assert not run.workflow.held


# -- a timeout that is taken for an answer -------------------------------------------------------------------------


class Prices(Workflow[int | None]):
    async def ask(self) -> int:
        await anyio.sleep(2)
        return 7


class SwallowedTimeout(Prices):
    @step
    async def price(self, ev: StartEvent) -> StopEvent[int | None]:
        price = 0
        with anyio.move_on_after(3):
            price = await self.ask()
        return StopEvent(result=price)


class NoSwallowedTimeout(Prices):
    @step
    async def price(self, ev: StartEvent) -> StopEvent[int | None]:
        with anyio.move_on_after(3):
            return StopEvent(result=await self.ask())
        return StopEvent(result=None)


def a_price_or_none(run: TestRun) -> None:
    assert run.result in {7, None}


# -- an end that comes before something that was sent is done ------------------------------------------------------


class Logged(Workflow[None]):
    logged = 0

    @step
    async def begin(self, ev: StartEvent) -> list[One | Two]:
        return [One(), Two()]


class StopBeforeSend(Logged):
    @step
    async def log(self, ev: One) -> None:
        self.logged += 1

    @step
    async def trade(self, ev: Two) -> StopEvent[None]:
        return StopEvent()


class NoStopBeforeSend(Logged):
    @step
    async def log(self, ev: One) -> Done:
        self.logged += 1
        return Done()

    @step
    async def trade(self, ev: Two) -> Done:
        return Done()

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[None] | None:
        return StopEvent() if ctx.collect_events(ev, [Done] * 2) else None


def all_is_logged(run: TestRun) -> None:
    assert run.workflow.logged == 1
    assert not run.leftovers


# -- a loop that nobody ends ---------------------------------------------------------------------------------------


class Settle(Event):
    pass


class Bought(Workflow[str]):
    state = "open"

    @step
    async def begin(self, ev: StartEvent) -> list[One | Two | Settle]:
        return [One(), Two(), Settle()]

    @step
    async def buy(self, ev: One) -> None:
        if self.state == "open":
            self.state = "bought"

    @step
    async def cancel(self, ev: Two) -> None:
        if self.state == "open":
            self.state = "cancelled"


class EndlessLoop(Bought):
    @step
    async def settle(self, ev: Settle) -> Settle | StopEvent[str]:
        await anyio.sleep(1)
        return StopEvent(result=self.state) if self.state == "bought" else Settle()


class NoEndlessLoop(Bought):
    @step
    async def settle(self, ev: Settle) -> Settle | StopEvent[str]:
        await anyio.sleep(1)
        return Settle() if self.state == "open" else StopEvent(result=self.state)


# -- a task that nobody owns ---------------------------------------------------------------------------------------


class LeakedTask(Both):
    stop: Callable[[], object] | None = None

    @step
    async def beat(self, ev: One) -> Done:
        self.stop = in_the_background(anyio.sleep_forever)
        return Done()

    @step
    async def end(self, ev: Two) -> Done:
        if self.stop is not None:
            self.stop()
            await anyio.sleep(1)
        return Done()


class NoLeakedTask(Both):
    @step
    async def beat(self, ev: One) -> Done:
        async with anyio.create_task_group() as tg:
            tg.start_soon(anyio.sleep_forever)
            tg.cancel_scope.cancel()
        return Done()

    @step
    async def end(self, ev: Two) -> Done:
        return Done()


def in_the_background(function: Callable[[], Awaitable[Any]]) -> Callable[[], object]:
    """Starts a task that belongs to nobody; gives what ends it."""
    scope = anyio.CancelScope()

    async def work() -> None:
        with scope:
            await function()

    if trio.lowlevel.in_trio_run():
        trio.lowlevel.spawn_system_task(work)
    else:
        kept.append(asyncio.create_task(work()))
    return scope.cancel


kept: list[object] = []


def nothing_is_left(run: TestRun) -> None:
    assert not run.leaked_tasks


# -- a join that waits for a branch which was not taken ------------------------------------------------------------


class Branches(Both):
    enough = False

    def outcome(self) -> object:
        return self.enough


class MissedBranch(Branches):
    @step
    async def slow(self, ev: One) -> Done | None:
        return None if self.enough else Done()

    @step
    async def quick(self, ev: Two) -> Done:
        self.enough = True
        return Done()


class NoMissedBranch(Branches):
    @step
    async def slow(self, ev: One) -> Done:
        return Done()

    @step
    async def quick(self, ev: Two) -> Done:
        self.enough = True
        return Done()


# -- a payment that is made again, since the process died ----------------------------------------------------------


class Paid(Event):
    pass


class Shop(Workflow[None]):
    @step
    async def begin(self, ev: StartEvent) -> One:
        return One()


class PaidAgain(Shop):
    @step
    async def pay(self, ctx: Context, ev: One) -> StopEvent[None]:
        ctx.write_event_to_stream(Paid())
        await anyio.sleep(1)
        return StopEvent()


class NotPaidAgain(Shop):
    @step
    async def pay(self, ctx: Context, ev: One) -> StopEvent[None]:
        await ctx.once("pay", lambda: ctx.write_event_to_stream(Paid()))
        await anyio.sleep(1)
        return StopEvent()


def paid_once(run: TestRun) -> None:
    assert sum(isinstance(event, Paid) for event in run.stream) == 1


# -- what one step keeps on the workflow for the next is gone with the process -------------------------------------


class Basket(Workflow[int]):
    @step
    async def count(self, ctx: Context, ev: One) -> Two:
        await self.keep(ctx, 7)
        return Two()

    @step
    async def begin(self, ev: StartEvent) -> One:
        return One()

    @step
    async def pay(self, ctx: Context, ev: Two) -> StopEvent[int]:
        return StopEvent(result=await self.kept(ctx))

    async def keep(self, ctx: Context, price: int) -> None:
        await ctx.store.set("price", price)

    async def kept(self, ctx: Context) -> int:
        price: int = await ctx.store.get("price", 0)
        return price


class ForgottenBasket(Basket):
    price = 0

    async def keep(self, ctx: Context, price: int) -> None:
        self.price = price

    async def kept(self, ctx: Context) -> int:
        return self.price


def the_price_is_known(run: TestRun) -> None:
    assert run.result == 7


ENDINGS = [
    Planted(
        name="a double trade",
        wrong=DoubleTrade,
        right=NoDoubleTrade,
        check=traded_once,
        off=1,
        options={"durations": "jitter"},
    ),
    Planted(
        name="a skipped clean-up",
        wrong=SkippedCleanUp,
        right=NoSkippedCleanUp,
        check=nothing_is_held,
        off=1,
        options={"durations": "any", "faults": Faults(cancel=True)},
    ),
    Planted(
        name="a swallowed timeout",
        wrong=SwallowedTimeout,
        right=NoSwallowedTimeout,
        check=a_price_or_none,
        off=1,
        options={"durations": "jitter"},
    ),
    Planted(
        name="a stop before a send", wrong=StopBeforeSend, right=NoStopBeforeSend, check=all_is_logged, off=2
    ),
    Planted(name="an endless loop", wrong=EndlessLoop, right=NoEndlessLoop, check=ends_in_time, off=1),
    Planted(name="a leaked task", wrong=LeakedTask, right=NoLeakedTask, check=nothing_is_left, off=1),
    Planted(name="a missed branch", wrong=MissedBranch, right=NoMissedBranch, check=ends_in_time, off=1),
    Planted(
        name="paid again",
        wrong=PaidAgain,
        right=NotPaidAgain,
        check=paid_once,
        off=1,
        options={"durations": "any", "faults": Faults(crash=True)},
    ),
    Planted(
        name="forgotten in a crash",
        wrong=ForgottenBasket,
        right=Basket,
        check=the_price_is_known,
        off=1,
        options={"durations": "any", "faults": Faults(crash=True)},
    ),
]
