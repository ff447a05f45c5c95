"""A vote that ends when it is decided: as soon as nothing can change the outcome, nobody is asked any longer.

The list that `put_to_vote` returns is a fork. `decide` joins it by `Quorum(is_decided)`, which is asked about the votes
so far after each of them. Who has not voted then is not waited for: its step is cancelled before `decide` begins.

Run it with `python examples/board_vote.py [--backend asyncio|trio]`.
"""

import argparse
from collections.abc import Sequence
from typing import Annotated

import anyio

from stretto import Event, StartEvent, StopEvent, Workflow, step
from stretto.joins import Quorum

BOARD = {
    "Ada": (0.1, True),
    "Ben": (0.2, False),
    "Cleo": (0.3, True),
    "Dan": (0.4, True),
    "Eve": (9.0, False),
}
"""Who is on it, how many seconds each thinks, and how each votes."""


class Motion(StartEvent):
    """What is voted on: a run begins with this."""

    text: str


class Ask(Event):
    """One of the board is asked."""

    name: str
    motion: str


class Vote(Event):
    """What one of them says."""

    name: str
    yes: bool


def is_decided(votes: Sequence[Vote]) -> bool:
    """Whether more than half of the board are for it, or against it."""
    for_it = sum(vote.yes for vote in votes)
    return max(for_it, len(votes) - for_it) > len(BOARD) / 2


class Board(Workflow[str]):
    """Gives the outcome, and who made it."""

    @step
    async def put_to_vote(self, ev: Motion) -> list[Ask]:
        """All are asked at once."""
        return [Ask(name=name, motion=ev.text) for name in BOARD]

    @step(num_workers=len(BOARD))
    async def ask(self, ev: Ask) -> Vote:
        """Wait for one of them."""
        seconds, yes = BOARD[ev.name]
        await anyio.sleep(seconds)
        return Vote(name=ev.name, yes=yes)

    @step
    async def decide(self, votes: Annotated[list[Vote], Quorum(is_decided)]) -> StopEvent[str]:
        """Called with the votes that decided it, in the order in which they came."""
        told = ", ".join(f"{vote.name} {'for' if vote.yes else 'against'} it" for vote in votes)
        carried = sum(vote.yes for vote in votes) > len(BOARD) / 2
        return StopEvent(result=f"{'carried' if carried else 'lost'}: {told}")


async def main() -> None:
    """Print the outcome."""
    print(await Board().run(Motion(text="A rise for the organist.")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
