"""Approval by a person, and by the next one up if that person does not answer in time.

Four claims wait for approval, each on its own way up the chain. The step that asks waits where it stands, holds no
worker meanwhile, and gives up after so many hours: then the claim is handed on, as an event like any other. A claim
that nobody has answered comes out as that. An answer that comes too late decides nothing, but it is not lost either:
it is in the leftovers of the run.

Run it with `python examples/approval.py [--backend asyncio|trio]`; an hour takes a fifth of a second here.
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated

import anyio
import attrs

from stretto import (
    Context,
    Event,
    Handler,
    HumanResponseEvent,
    InputRequiredEvent,
    RunEndedError,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from stretto.joins import All

CHAIN = ("Ada", "Eve", "Kim")
HOUR = 0.2
"""Seconds."""


@attrs.frozen
class Claim:
    """What somebody wants to spend, and how many hours each person has to answer."""

    what: str
    euros: int
    hours: float


CLAIMS = (
    Claim("train", 80, 2),
    Claim("server", 900, 4),
    Claim("party", 4_000, 3.5),
    Claim("yacht", 90_000, 1.5),
)
ANSWERS = {
    ("Ada", "train"): (1, True),
    ("Ada", "server"): (5, True),  # an hour too late
    ("Eve", "server"): (2, False),
    ("Kim", "party"): (1, True),
}
"""Who answers which claim, after how many hours, and what; the others are on holiday."""


class Submitted(StartEvent):
    """A run begins with some claims."""

    claims: Sequence[Claim]


class Pending(Event):
    """A claim is to be decided by somebody on this rung of the chain."""

    claim: Claim
    rung: int


class Question(InputRequiredEvent):
    """Goes to the stream, for the person who is asked."""

    person: str
    claim: Claim


class Verdict(HumanResponseEvent):
    """Comes back by `run.send_event`."""

    person: str
    what: str
    yes: bool


class Decided(Event):
    """What became of a claim; nobody's word if nobody answered."""

    claim: Claim
    person: str | None
    yes: bool

    def __str__(self) -> str:
        if self.person is None:
            return f"{self.claim.what}: nobody has answered"
        return f"{self.claim.what}: {self.person} says {'yes' if self.yes else 'no'}"


class Approval(Workflow[list[Decided]]):
    """Has each claim decided by the first person of the chain who answers in time."""

    def __init__(self, chain: Sequence[str] = CHAIN) -> None:
        super().__init__(timeout=None)  # people have holidays; each question has a limit of its own
        self.chain = chain

    @step
    async def submit(self, ev: Submitted) -> list[Pending]:
        """Each claim goes its own way."""
        return [Pending(claim=claim, rung=0) for claim in ev.claims]

    @step
    async def ask(self, ctx: Context, ev: Pending) -> Pending | Decided:
        """Ask one person, and hand the claim on if there is no answer."""
        if ev.rung == len(self.chain):
            return self._decided(ctx, Decided(claim=ev.claim, person=None, yes=False))
        person = self.chain[ev.rung]
        try:
            verdict = await ctx.wait_for_event(
                Verdict,
                waiter_event=Question(person=person, claim=ev.claim),
                requirements={"person": person, "what": ev.claim.what},
                timeout=ev.claim.hours * HOUR,
            )
        except TimeoutError:
            return Pending(claim=ev.claim, rung=ev.rung + 1)
        return self._decided(ctx, Decided(claim=ev.claim, person=person, yes=verdict.yes))

    def _decided(self, ctx: Context, decided: Decided) -> Decided:
        ctx.write_event_to_stream(decided)
        return decided

    @step
    async def close(self, decided: Annotated[list[Decided], All(order="source")]) -> StopEvent[list[Decided]]:
        """All claims are decided; in the order in which they were submitted."""
        return StopEvent(result=decided)


async def answer(
    run: Handler[list[Decided]], asked: Question, answers: Mapping[tuple[str, str], tuple[float, bool]]
) -> None:
    """One person, who takes some hours to answer, or never does."""
    if (known := answers.get((asked.person, asked.claim.what))) is not None:
        hours, yes = known
        await anyio.sleep(hours * HOUR)
        with suppress(RunEndedError):  # all is decided by now, without this answer
            run.send_event(Verdict(person=asked.person, what=asked.claim.what, yes=yes))


async def main() -> None:
    """Print who is asked, and what is decided."""
    async with Approval().run(Submitted(claims=CLAIMS)) as run, anyio.create_task_group() as office:
        async for ev in run.stream_events():
            if isinstance(ev, Question):
                print(f"{ev.person} is asked about the {ev.claim.what}")
                office.start_soon(answer, run, ev, ANSWERS)
            elif isinstance(ev, Decided):
                print(ev)
        office.cancel_scope.cancel()  # whoever has not answered need not any more
    approved = [each.claim for each in await run if each.yes]
    print(f"approved: {sum(claim.euros for claim in approved)} euros")
    for late in run.leftovers:
        print("too late:", late)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
