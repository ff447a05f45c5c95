"""A process is killed in the middle of a run, and another one goes on with it.

Run it with `python examples/kill_and_resume.py [--backend asyncio|trio]`. It starts a process that ships parcels and
writes a snapshot to a file after each; when three are on their way it kills that process, with `SIGKILL`, which nothing
can catch, and starts another one. The log of the carrier shows that each parcel was shipped once.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import anyio

from stretto import Context, Event, Handler, StartEvent, StopEvent, Workflow, step

PARCELS = ("Ada", "Bob", "Eve", "Joe", "Kim")
KILLED_AFTER = 3


class Order(StartEvent):
    """Whom to ship to, and where the carrier keeps its log."""

    customers: tuple[str, ...]
    log: str


class Parcel(Event):
    """One of them."""

    customer: str
    log: str


class Shipped(Event):
    """It is on its way, under this number."""

    customer: str
    number: str


class Ship(Workflow[list[str]]):
    """Ships the parcels one after the other."""

    @step
    async def pack(self, ev: Order) -> list[Parcel]:
        """One parcel for each customer."""
        return [Parcel(customer=customer, log=ev.log) for customer in ev.customers]

    @step(num_workers=1)
    async def ship(self, ctx: Context, ev: Parcel) -> Shipped:
        """Orders the carrier, once: if this step runs again it is given the number that it was given."""
        number = await ctx.once(f"ship to {ev.customer}", partial(order_carrier, ev))
        shipped = Shipped(customer=ev.customer, number=number)
        ctx.write_event_to_stream(shipped)  # whoever reads it writes a snapshot
        await ctx.sleep(0.1)
        return shipped

    @step
    async def close(self, ctx: Context, ev: Shipped) -> StopEvent[list[str]] | None:
        """All of them, in order of their numbers."""
        shipped = ctx.collect_events(ev, [Shipped] * len(PARCELS))
        return StopEvent(result=[f"{each.number} {each.customer}" for each in shipped]) if shipped else None


def order_carrier(parcel: Parcel) -> str:
    """What must not happen twice: a line in the carrier's log."""
    log = Path(parcel.log)
    number = f"{len(log.read_text().splitlines()) + 1}" if log.exists() else "1"
    with log.open("a") as file:
        print(number, parcel.customer, file=file)
    return number


async def work(folder: Path) -> None:
    """The process that is killed, and the one that goes on: begins, or resumes if there is a snapshot."""
    saved = folder / "run.json"
    if saved.exists():
        print("goes on", flush=True)
        run = Ship().run(ctx=Context.from_dict(Ship(), json.loads(saved.read_text())))
    else:
        print("begins", flush=True)
        run = Ship().run(Order(customers=PARCELS, log=str(folder / "carrier.log")))
    async with run:
        async for event in run.stream_events():
            save(run, saved)
            if isinstance(event, Shipped):
                print("shipped to", event.customer, flush=True)
        print("done:", ", ".join(await run), flush=True)


def save(run: Handler[list[str]], to: Path) -> None:
    """The file has the old snapshot or the new one, never a half."""
    part = to.with_suffix(".part")
    part.write_text(json.dumps(run.ctx.to_dict()))
    part.replace(to)


def process(folder: Path, backend: str, *, killed_after: int = 0) -> list[str]:
    """Runs `work` in a process of its own and gives what it printed; kills it after so many parcels."""
    said: list[str] = []
    command = [sys.executable, __file__, "--backend", backend, "--work", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - this very program
        for line in child.stdout or ():
            print(f"[{child.pid}] {line}", end="")
            said.append(line.rstrip())
            if sum(each.startswith("shipped") for each in said) == killed_after > 0:
                child.kill()
    return said


def main(backend: str = "asyncio") -> list[str]:
    """Kills one process and lets another go on; gives the carrier's log."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process(folder, backend, killed_after=KILLED_AFTER)
        print("killed")
        process(folder, backend)
        log = (folder / "carrier.log").read_text().splitlines()
    print("the carrier has:", ", ".join(log))
    return log


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is None:
        main(given.backend)
    else:
        anyio.run(work, given.work, backend=given.backend)
