"""A race: three mirrors are asked for the same file, the first answer is taken, and the others stop.

The list that `ask_all` returns is a fork. `take` joins it by `First()`: as soon as one mirror has answered, the steps
that still wait for theirs are cancelled, and their `finally` blocks have run before `take` begins. Each step says when
it asks its mirror and when it hangs up, so that one sees it.

Run it with `python examples/first_of_three.py [--backend asyncio|trio]`.
"""

import argparse
from typing import Annotated

import anyio

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from stretto.joins import First

LATENCY = {"Bergen": 0.3, "Lisbon": 0.1, "Osaka": 0.5}  # seconds until a mirror answers


class Fetch(StartEvent):
    """Somebody wants a file: a run begins with this."""

    file: str


class Ask(Event):
    """One mirror is to be asked."""

    mirror: str
    file: str


class Answer(Event):
    """What a mirror has sent."""

    mirror: str
    text: str


class Progress(Event):
    """What a step tells the caller; no step takes it."""

    text: str


class Race(Workflow[Answer]):
    """Gives what the fastest mirror has sent."""

    @step
    async def ask_all(self, ev: Fetch) -> list[Ask]:
        """All mirrors are asked at once."""
        return [Ask(mirror=mirror, file=ev.file) for mirror in LATENCY]

    @step
    async def ask(self, ctx: Context, ev: Ask) -> Answer:
        """Wait for one of them; hang up, whatever happens meanwhile."""
        ctx.write_event_to_stream(Progress(text=f"{ev.mirror} is asked for {ev.file}"))
        answered = False
        try:
            await anyio.sleep(LATENCY[ev.mirror])
            answered = True
            return Answer(mirror=ev.mirror, text=f"{ev.file} from {ev.mirror}")
        finally:
            how = "has answered" if answered else "is not needed any more"
            ctx.write_event_to_stream(Progress(text=f"{ev.mirror} {how}"))

    @step
    async def take(self, ctx: Context, answers: Annotated[list[Answer], First()]) -> StopEvent[Answer]:
        """Nobody else is at work when this begins."""
        ctx.write_event_to_stream(Progress(text=f"{answers[0].mirror} has won"))
        return StopEvent(result=answers[0])


async def main() -> None:
    """Print what happens, and then what was sent."""
    async with Race().run(Fetch(file="hymn.txt")) as run:
        async for ev in run.stream_events():
            if isinstance(ev, Progress):
                print(ev.text)
        print((await run).text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
