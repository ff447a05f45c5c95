"""Progress: the inventory monitor tells its caller what it is doing while it is doing it.

The workflow is that of `inventory_monitor.py`, but its steps print nothing. They take a `Context` and write
`Progress` events to the stream of their run. Whoever opened the run with `async with` reads them as they
come, to print them or to send them to a browser. After the `async with` the run is over, however it ended.

Run it with `python examples/inventory_progress.py [--backend asyncio|trio]`.
"""

import argparse
from collections.abc import Sequence

import anyio
import attrs

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step


@attrs.frozen(kw_only=True)
class Comment:
    """What a customer thinks, and why."""

    happy: bool
    words: str


@attrs.frozen(kw_only=True)
class Stall:
    """A stall on the morning of a day."""

    sku: str
    crates: int = 20
    day: int = 1

    def tomorrow(self, *, crates: int) -> "Stall":
        """The same stall a day later, with so many crates."""
        return attrs.evolve(self, crates=crates, day=self.day + 1)


class Open(StartEvent):
    """The stall opens: a run begins with this."""

    stall: Stall


class NextDay(Event):
    """The goods have come or gone; another day begins."""

    stall: Stall


class Praise(Event):
    """The newest comment was a good one."""

    stall: Stall
    words: str


class Complaint(Event):
    """The newest comment was a bad one."""

    stall: Stall
    words: str


class Progress(Event):
    """What a step tells the caller; no step takes it."""

    day: int
    text: str


class ReportingMonitor(Workflow[Stall]):
    """Buys ten crates on praise, sells all of them on a complaint, and says so on its stream."""

    def __init__(self, comments: Sequence[Comment]) -> None:
        super().__init__(timeout=30)
        self.comments = comments

    @step
    async def read_comment(self, ctx: Context, ev: Open | NextDay) -> Praise | Complaint | StopEvent[Stall]:
        """Branch on the comment of the day, or stop where there is none."""
        stall = ev.stall
        if stall.day > len(self.comments):
            return StopEvent(result=stall)
        ctx.write_event_to_stream(Progress(day=stall.day, text="what do they say today?"))
        await anyio.sleep(0.1)  # in place of asking a web shop
        comment = self.comments[stall.day - 1]
        if comment.happy:
            return Praise(stall=stall, words=comment.words)
        return Complaint(stall=stall, words=comment.words)

    @step
    async def order(self, ctx: Context, ev: Praise) -> NextDay:
        """Buy more of what people like; they come in two lorries."""
        for lorry in (1, 2):
            await anyio.sleep(0.1)
            text = f'"{ev.words}": lorry {lorry} of 2 has brought five crates of {ev.stall.sku}'
            ctx.write_event_to_stream(Progress(day=ev.stall.day, text=text))
        return NextDay(stall=ev.stall.tomorrow(crates=ev.stall.crates + 10))

    @step
    async def clear_out(self, ctx: Context, ev: Complaint) -> NextDay:
        """Get rid of what they do not like."""
        await anyio.sleep(0.2)
        text = f'"{ev.words}": all {ev.stall.crates} crates of {ev.stall.sku} are gone'
        ctx.write_event_to_stream(Progress(day=ev.stall.day, text=text))
        return NextDay(stall=ev.stall.tomorrow(crates=0))


COMMENTS = (
    Comment(happy=True, words="crisp and sweet"),
    Comment(happy=True, words="a little small, but good"),
    Comment(happy=False, words="bruised, every one of them"),
    Comment(happy=True, words="as good as last year"),
)


async def main() -> None:
    """Watch one stall and show what its monitor tells."""
    async with ReportingMonitor(COMMENTS).run(Open(stall=Stall(sku="apples"))) as run:
        async for ev in run.stream_events():
            if isinstance(ev, Progress):
                print(f"day {ev.day}: {ev.text}")
        stall = await run
    print(f"on day {stall.day} there are {stall.crates} crates of {stall.sku}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
