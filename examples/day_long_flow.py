"""A day in a bakery, from midnight to closing time: eighteen hours of timers, run in virtual time.

Dough rises for an hour and a half, the oven holds two batches and goes out once, flour is waited for until eleven, and
customers come every hour. The workflow knows nothing of virtual time: it sleeps, waits and tries again as any other
would. `virtual_run` lets the clock jump to whatever comes next, so the day passes in a moment, in its order, the same
each time; a test of it is as quick.

Run it with `python examples/day_long_flow.py [--backend asyncio|trio]`.
"""

import argparse
from collections.abc import Mapping

import anyio
import attrs

from stretto import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    Limit,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from stretto.retry import fixed
from stretto.testing import virtual_run

MINUTE = 60
HOUR = 60 * MINUTE
OVEN = Limit(2)
BATCHES = 4
LOAVES = 25  # in a batch
CUSTOMERS = 10  # an hour, for one loaf each
OPENS, CLOSES = 7, 18
VAN = 13.25
"""When the van with the flour comes: too late."""


class OvenError(Exception):
    """It has gone out."""


class Batch(Event):
    """Dough is to be made."""

    number: int


class Dough(Event):
    """It is made, and has to rise."""

    number: int


class Risen(Event):
    """It can be baked."""

    number: int


class Baked(Event):
    """It is bread."""

    number: int


class FlourIsLow(Event):
    """There is enough for today, and none for tomorrow."""


class Ordered(InputRequiredEvent):
    """For the stream: a mill has been called."""


class Delivered(HumanResponseEvent):
    """The van is here."""


class Hour(Event):
    """The shop is open, and it is this hour."""

    hour: int


class Note(Event):
    """For the stream: a line of the diary."""

    at: str
    text: str


@attrs.define
class Day:
    """The state of a run: when it began, and the bread.

    Attributes:
        midnight: On the clock of the loop.
        goes_out: How often the oven still goes out, with which batch in it.
        loaves: On the shelf.
        sold: So far.
        sent_away: Customers who found none.
    """

    midnight: float = 0
    goes_out: dict[int, int] = attrs.Factory(dict[int, int])
    loaves: int = 0
    sold: int = 0
    sent_away: int = 0


class Bakery(Workflow[Day]):
    """A day; gives what has become of the bread."""

    def __init__(self, goes_out: Mapping[int, int] | None = None) -> None:
        super().__init__(timeout=24 * HOUR)
        self.goes_out = {2: 1} if goes_out is None else goes_out

    @step
    async def begin(self, ctx: Context[Day], ev: StartEvent) -> list[Batch | FlourIsLow | Hour]:
        """All that goes on today."""
        async with ctx.store.edit_state() as day:
            day.midnight = anyio.current_time()
            day.goes_out.update(self.goes_out)
        batches = [Batch(number=number + 1) for number in range(BATCHES)]
        return [*batches, FlourIsLow(), Hour(hour=OPENS)]

    @step(num_workers=1)
    async def knead(self, ctx: Context[Day], ev: Batch) -> Dough:
        """There is one baker, who comes at three."""
        await until(ctx, 3)
        await ctx.sleep(30 * MINUTE)
        return Dough(number=ev.number)

    @step(num_workers=BATCHES)
    async def rise(self, ctx: Context[Day], ev: Dough) -> Risen:
        """Nobody has to do anything."""
        await ctx.sleep(90 * MINUTE)
        return Risen(number=ev.number)

    @step(limiter=OVEN, retry_policy=RetryPolicy(on=OvenError, attempts=3, wait=fixed(15 * MINUTE)))
    async def bake(self, ctx: Context[Day], ev: Risen) -> Baked:
        """A batch waits for its place in the oven, and leaves it to others while the oven is put right."""
        await note(ctx, f"batch {ev.number} is in the oven")
        await ctx.sleep(10 * MINUTE)
        async with ctx.store.edit_state() as day:
            left = day.goes_out.get(ev.number, 0)
            day.goes_out[ev.number] = max(0, left - 1)
        if left:
            await note(ctx, f"the oven has gone out under batch {ev.number}")
            raise OvenError(f"batch {ev.number} is cold")
        await ctx.sleep(40 * MINUTE)
        return Baked(number=ev.number)

    @step
    async def get_flour(self, ctx: Context[Day], ev: FlourIsLow) -> None:
        """The mill is called at eight; if there is no flour by eleven, somebody drives to another one."""
        await until(ctx, 8)
        await note(ctx, "the mill is called")
        try:
            await ctx.wait_for_event(Delivered, waiter_event=Ordered(), timeout=3 * HOUR)
        except TimeoutError:
            await note(ctx, "no flour yet, so somebody drives to the other mill")
            await ctx.sleep(100 * MINUTE)
        await note(ctx, "there is flour")

    @step
    async def mind_the_shop(self, ctx: Context[Day], ev: Baked | Hour) -> Hour | StopEvent[Day] | None:
        """Bread is put on the shelf as it comes, customers are served each hour, and closing ends all that goes on."""
        if isinstance(ev, Baked):
            await note(ctx, f"batch {ev.number} is on the shelf")
            async with ctx.store.edit_state() as day:
                day.loaves += LOAVES
            return None
        await until(ctx, ev.hour)
        if ev.hour == CLOSES:
            await note(ctx, "the shop is closed")
            return StopEvent(result=await ctx.store.get_state())
        await self.serve(ctx)
        return Hour(hour=ev.hour + 1)

    async def serve(self, ctx: Context[Day]) -> None:
        """Whoever comes within an hour, as far as there is bread."""
        async with ctx.store.edit_state() as day:
            served = min(day.loaves, CUSTOMERS)
            day.loaves -= served
            day.sold += served
            day.sent_away += CUSTOMERS - served
        if served < CUSTOMERS:
            await note(ctx, f"{CUSTOMERS - served} customers find no bread")


async def until(ctx: Context[Day], hour: float) -> None:
    """Sleeps until it is that late; not at all if it is later."""
    day = await ctx.store.get_state()
    await ctx.sleep(max(0, day.midnight + hour * HOUR - anyio.current_time()))


async def note(ctx: Context[Day], text: str) -> None:
    """Writes a line of the diary, with the time of day."""
    day = await ctx.store.get_state()
    minutes = round((anyio.current_time() - day.midnight) / MINUTE)
    ctx.write_event_to_stream(Note(at=f"{minutes // 60:02}:{minutes % 60:02}", text=text))


async def main(van: float = VAN) -> None:
    """Print the diary of a day."""
    began = anyio.current_time()
    async with Bakery().run() as run, anyio.create_task_group() as street:

        async def drive() -> None:
            await anyio.sleep(began + van * HOUR - anyio.current_time())
            run.send_event(Delivered())

        async for ev in run.stream_events():
            if isinstance(ev, Note):
                print(ev.at, ev.text)
            elif isinstance(ev, Ordered):
                street.start_soon(drive)
        street.cancel_scope.cancel()
    day = await run
    print(f"{day.sold} loaves sold, {day.loaves} left, {day.sent_away} customers sent away")
    print(f"flour that came too late: {len(run.leftovers)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    virtual_run(main, backend=parser.parse_args().backend)
