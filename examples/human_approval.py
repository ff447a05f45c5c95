"""Human in the loop: a purchase that somebody approves in the terminal, while other work goes on.

The step that buys asks and waits where it stands: what it has found out is still in its local variables when the answer
comes, and nothing of it is run again. Meanwhile its worker is free, so the other orders are looked up and asked about
too. Each answer names its order, and goes to the step that waits for that one.

Run it with `python examples/human_approval.py [--backend asyncio|trio] [--yes]`; `--yes` answers by itself.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.to_thread

from stretto import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)

SHELVES = {"tea": 340, "coffee": 870, "saffron": 9_900}
CHEAP = 500
"""Cents up to which nobody is asked."""


class Basket(StartEvent):
    """A run begins with what is to be bought."""

    items: tuple[str, ...]


class Order(Event):
    """One item, in a basket of so many."""

    item: str
    of: int


class Question(InputRequiredEvent):
    """Goes to the stream, for whoever can answer."""

    item: str
    cents: int


class Answer(HumanResponseEvent):
    """Comes back by `run.send_event`."""

    item: str
    yes: bool


class Bought(Event):
    """What became of an order; no cents if it was refused."""

    item: str
    cents: int
    of: int


class Purchase(Workflow[int]):
    """Buys a basket and gives what it cost; asks before it spends much."""

    @step
    async def split(self, ev: Basket) -> list[Order]:
        """Each item is an order of its own."""
        return [Order(item=item, of=len(ev.items)) for item in ev.items]

    @step(num_workers=1)
    async def buy(self, ctx: Context, ev: Order) -> Bought:
        """Looks up the price, and asks if it is high."""
        await anyio.sleep(0.1)  # a request to the shop
        cents = SHELVES[ev.item]
        if cents > CHEAP:
            question = Question(item=ev.item, cents=cents)
            answer = await ctx.wait_for_event(Answer, waiter_event=question, requirements={"item": ev.item})
            if not answer.yes:
                cents = 0
        return Bought(item=ev.item, cents=cents, of=ev.of)

    @step
    async def add_up(self, ctx: Context, ev: Bought) -> StopEvent[int] | None:
        """The basket is done when each of its orders is."""
        bought = ctx.collect_events(ev, [Bought] * ev.of)
        return None if bought is None else StopEvent(result=sum(each.cents for each in bought))


async def ask_in_the_terminal(question: Question) -> bool:
    """Reads a line in a thread, so that the run goes on meanwhile."""
    prompt = f"{question.item} for {question.cents / 100:.2f}, yes or no? "
    line = await anyio.to_thread.run_sync(input, prompt, abandon_on_cancel=True)
    return line.strip().lower().startswith("y")


async def say_yes(question: Question) -> bool:
    """Answers for somebody who agrees with everything."""
    await anyio.sleep(0.1)
    print(f"{question.item} for {question.cents / 100:.2f}, yes or no? yes")
    return True


async def main(ask: Callable[[Question], Awaitable[bool]] = say_yes) -> None:
    """Buys everything that there is."""
    async with Purchase(timeout=None).run(Basket(items=tuple(SHELVES))) as run:
        async for ev in run.stream_events():
            if isinstance(ev, Question):
                run.send_event(Answer(item=ev.item, yes=await ask(ev)))
        print(f"spent {await run / 100:.2f}")


def command(arguments: Sequence[str]) -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--yes", action="store_true", help="answer yes to everything")
    options = parser.parse_args(arguments)
    asks = say_yes if options.yes or not sys.stdin.isatty() else ask_in_the_terminal
    anyio.run(main, asks, backend=options.backend)


if __name__ == "__main__":
    command(sys.argv[1:])
