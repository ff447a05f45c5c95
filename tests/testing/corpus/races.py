"""Bugs of steps that share something: each is right in the normal order, and wrong in another one."""

from __future__ import annotations

import anyio

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.testing import TestRun
from tests.testing.corpus.planted import Both, Done, One, Planted, Two, ends_in_time

# -- a lost update: read, await, write -----------------------------------------------------------------------------


class Total(Both):
    total = 0

    def outcome(self) -> object:
        return self.total


class LostUpdate(Total):
    @step
    async def add(self, ev: One | Two) -> Done:
        before = self.total
        await anyio.sleep(1)
        self.total = before + ev.n
        return Done()


class NoLostUpdate(Total):
    @step
    async def add(self, ev: One | Two) -> Done:
        await anyio.sleep(1)
        self.total += ev.n
        return Done()


def all_added(run: TestRun) -> None:
    assert run.result == 3


# -- a stale read: what was looked at is no longer so --------------------------------------------------------------


class Stock(Both):
    stock = 1
    sold = 0

    def outcome(self) -> object:
        return self.sold


class StaleRead(Stock):
    @step
    async def first(self, ev: One) -> Done:
        return await self.sell()

    @step
    async def second(self, ev: Two) -> Done:
        await anyio.sleep(2)
        return await self.sell()

    async def sell(self) -> Done:
        if self.stock:
            await anyio.sleep(1)  # takes the money
            self.stock -= 1
            self.sold += 1
        return Done()


class NoStaleRead(Stock):
    @step
    async def sell(self, ev: One | Two) -> Done:
        if self.stock:
            self.stock -= 1
            await anyio.sleep(1)
            self.sold += 1
        return Done()


def never_oversold(run: TestRun) -> None:
    assert run.result <= 1


# -- order dependence: the first to come is taken for the one that was asked first ---------------------------------


class Online(Event):
    good: bool = True


class Offline(Event):
    good: bool = False


class Sources(Workflow[bool]):
    @step
    async def begin(self, ev: StartEvent) -> list[One | Two]:
        return [One(), Two()]

    @step
    async def online(self, ev: One) -> Online:
        await anyio.sleep(1)
        return Online()

    @step
    async def offline(self, ev: Two) -> Offline:
        await anyio.sleep(2)
        return Offline()


class OrderDependence(Sources):
    first: bool | None = None

    @step
    async def decide(self, ctx: Context, ev: Online | Offline) -> StopEvent[bool] | None:
        if self.first is None:
            self.first = ev.good
            return None
        return StopEvent(result=self.first)


class NoOrderDependence(Sources):
    @step
    async def decide(self, ctx: Context, ev: Online | Offline) -> StopEvent[bool] | None:
        found = ctx.collect_events(ev, [Online, Offline])
        return None if found is None else StopEvent(result=found[0].good)


def online_decides(run: TestRun) -> None:
    assert run.result is True


# -- an event that comes before somebody waits for it --------------------------------------------------------------


class Ready(Event):
    pass


class EarlyEvent(Both):
    def __init__(self) -> None:
        super().__init__()
        self.waiting: anyio.Event | None = None

    @step
    async def wait(self, ev: One) -> Done:
        self.waiting = anyio.Event()
        await self.waiting.wait()
        return Done()

    @step
    async def tell(self, ev: Two) -> Done:
        if self.waiting is not None:
            self.waiting.set()
        return Done()


class NoEarlyEvent(Both):
    @step
    async def wait(self, ctx: Context, ev: One) -> Done:
        await ctx.wait_for_event(Ready)
        return Done()

    @step
    async def tell(self, ctx: Context, ev: Two) -> Done:
        ctx.send_event(Ready())
        return Done()


# -- two who ask each other for what they hold ---------------------------------------------------------------------


class Accounts(Both):
    def __init__(self) -> None:
        super().__init__()
        self.mine, self.yours = anyio.Lock(), anyio.Lock()

    async def move(self, first: anyio.Lock, second: anyio.Lock) -> Done:
        async with first:
            await anyio.sleep(1)
            async with second:
                return Done()


class DeadlyEmbrace(Accounts):
    @step
    async def pay(self, ev: One) -> Done:
        return await self.move(self.mine, self.yours)

    @step
    async def receive(self, ev: Two) -> Done:
        await anyio.sleep(3)
        return await self.move(self.yours, self.mine)


class NoDeadlyEmbrace(Accounts):
    @step
    async def pay(self, ev: One | Two) -> Done:
        return await self.move(self.mine, self.yours)


# -- two who fetch what one would have fetched ---------------------------------------------------------------------


class Fetches(Both):
    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, int] = {}
        self.fetched = 0
        self.lock = anyio.Lock()

    def outcome(self) -> object:
        return self.fetched

    async def fetch(self) -> None:
        if "tea" not in self.cache:
            self.fetched += 1
            await anyio.sleep(1)
            self.cache["tea"] = 3


class FetchedTwice(Fetches):
    @step
    async def ask(self, ev: One) -> Done:
        await self.fetch()
        return Done()

    @step
    async def ask_later(self, ev: Two) -> Done:
        await anyio.sleep(2)
        await self.fetch()
        return Done()


class FetchedOnce(Fetches):
    @step
    async def ask(self, ev: One | Two) -> Done:
        async with self.lock:
            await self.fetch()
        return Done()


def fetched_once(run: TestRun) -> None:
    assert run.result == 1


RACES = [
    Planted(
        name="a lost update",
        wrong=LostUpdate,
        right=NoLostUpdate,
        check=all_added,
        off=0,
        options={"durations": "any"},
    ),
    Planted(
        name="a stale read",
        wrong=StaleRead,
        right=NoStaleRead,
        check=never_oversold,
        off=1,
        options={"durations": "any"},
    ),
    Planted(
        name="order dependence",
        wrong=OrderDependence,
        right=NoOrderDependence,
        check=online_decides,
        off=2,
        options={"durations": "jitter"},
    ),
    Planted(name="an early event", wrong=EarlyEvent, right=NoEarlyEvent, check=ends_in_time, off=1),
    Planted(
        name="a deadly embrace",
        wrong=DeadlyEmbrace,
        right=NoDeadlyEmbrace,
        check=ends_in_time,
        off=1,
        options={"durations": "any"},
    ),
    Planted(
        name="fetched twice",
        wrong=FetchedTwice,
        right=FetchedOnce,
        check=fetched_once,
        off=1,
        options={"durations": "any"},
    ),
]
