"""The smallest workflow: an event goes in, each step answers with another, the last one is the result.

Run it with `python examples/smallest.py [--backend asyncio|trio]`.
"""

import argparse

import anyio

from stretto import Event, StartEvent, StopEvent, Workflow, step


class Guest(StartEvent):
    """Somebody is at the door: a run begins with this."""

    name: str


class Greeting(Event):
    """What to say, before it is said nicely."""

    text: str


class Welcome(Workflow[str]):
    """Greets a guest. Which step comes next is read from the annotations."""

    @step
    async def greet(self, ev: Guest) -> Greeting:
        """Find the words."""
        return Greeting(text=f"hello, {ev.name}")

    @step
    async def exclaim(self, ev: Greeting) -> StopEvent[str]:
        """Say them with a smile."""
        return StopEvent(result=ev.text.capitalize() + "!")


async def main() -> None:
    """Run the workflow once."""
    print(await Welcome().run(Guest(name="world")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
