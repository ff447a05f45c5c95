"""Branch and loop: a stall reads what its customers say and buys or clears out, day after day.

Every day begins with the newest comment. Praise leads to an order, a complaint to a clearance, and both lead
to the next day, until nobody has anything more to say:

    Open ──> read_comment ──> Praise ─────> order ─────┐
                  ^     └───> Complaint ──> clear_out ─┤
                  └─────────────── NextDay <───────────┘

What the loop has to remember (the day, the crates) travels in its events. Nothing of a run is kept on `self`,
so one monitor can look after any number of stalls at the same time.

Run it with `python examples/inventory_monitor.py [--backend asyncio|trio]`.
"""

import argparse
from collections.abc import Sequence

import anyio
import attrs

from stretto import Event, StartEvent, StopEvent, Workflow, step


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


class InventoryMonitor(Workflow[Stall]):
    """Buys ten crates on praise, sells all of them on a complaint; the result is the stall at the end."""

    def __init__(self, comments: Sequence[Comment]) -> None:
        super().__init__(timeout=30)
        self.comments = comments

    @step
    async def read_comment(self, ev: Open | NextDay) -> Praise | Complaint | StopEvent[Stall]:
        """Branch on the comment of the day, or stop where there is none."""
        stall = ev.stall
        if stall.day > len(self.comments):
            return StopEvent(result=stall)
        await anyio.sleep(0.1)  # in place of asking a web shop
        comment = self.comments[stall.day - 1]
        if comment.happy:
            return Praise(stall=stall, words=comment.words)
        return Complaint(stall=stall, words=comment.words)

    @step
    async def order(self, ev: Praise) -> NextDay:
        """Buy more of what people like."""
        await anyio.sleep(0.2)
        print(f'day {ev.stall.day}: "{ev.words}", so ten more crates of {ev.stall.sku}')
        return NextDay(stall=ev.stall.tomorrow(crates=ev.stall.crates + 10))

    @step
    async def clear_out(self, ev: Complaint) -> NextDay:
        """Get rid of what they do not like."""
        await anyio.sleep(0.2)
        print(f'day {ev.stall.day}: "{ev.words}", so all {ev.stall.crates} crates of {ev.stall.sku} must go')
        return NextDay(stall=ev.stall.tomorrow(crates=0))


COMMENTS = (
    Comment(happy=True, words="crisp and sweet"),
    Comment(happy=True, words="a little small, but good"),
    Comment(happy=False, words="bruised, every one of them"),
    Comment(happy=True, words="as good as last year"),
)


async def main() -> None:
    """Watch one stall until the comments run out."""
    stall = await InventoryMonitor(COMMENTS).run(Open(stall=Stall(sku="apples")))
    print(f"on day {stall.day} there are {stall.crates} crates of {stall.sku}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
