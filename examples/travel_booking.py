"""A trip is a flight, a hotel and a payment, or nothing: what a run has booked is taken back if it fails.

Three services stand on this machine and speak HTTP. They fail by plan: the bank declines a card (402), the hotel books
a room and hangs up before it says so, or does not answer at all, the airline is busy (503) when a flight is to be given
back, and one fare cannot be given back (409).

The saga has two rules, and the second makes the first safe.

- Each step that has completed has an undo, `@step(undo=…)`, and they are called last first.
- A step announces what the next one is about to do, under a key, and its undo takes back whatever stands under that
  key, if anything does. So nothing hangs on an answer that was lost: the room of a hotel that hung up is given back,
  because the step before has completed. Booking twice under one key is booking once.

Run it with `python examples/travel_booking.py [--backend asyncio|trio]`.
"""

import argparse
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Protocol

import anyio
import attrs
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stretto import Context, Event, StartEvent, StopEvent, Workflow, WorkflowTimeoutError, step
from stretto.undo import UndoError, UndoRecord

NAMES = ("flight", "hotel", "payment")
PLAN = {
    ("Ben", "PUT payment"): ("402 Payment Required",),
    ("Cleo", "PUT hotel"): ("hang up",),
    ("Dora", "PUT hotel"): ("no answer",),
    ("Dora", "DELETE flight"): ("503 Service Unavailable", "503 Service Unavailable"),
    ("Emil", "PUT payment"): ("402 Payment Required",),
    ("Emil", "DELETE flight"): ("409 Conflict",),
}
"""What the first requests of somebody meet; what comes after the plan is answered."""


# ---------------------------------------------------------------------------------------------- the services


class Services(Protocol):
    """Where a trip is booked: each name is one service."""

    async def book(self, name: str, key: str) -> None:
        """Book under a key; once more under the same key changes nothing."""

    async def take_back(self, name: str, key: str) -> None:
        """Take back what stands under a key, if anything does."""


@attrs.define(eq=False)
class Desk:
    """The three services: a small HTTP server that fails by plan.

    Attributes:
        booked: What stands under which key.
        met: The requests of each kind so far.
    """

    booked: set[tuple[str, str]] = attrs.Factory(set[tuple[str, str]])
    met: list[tuple[str, str]] = attrs.Factory(list[tuple[str, str]])

    def of(self, customer: str) -> list[str]:
        """What is booked for somebody."""
        return [
            name for name in NAMES if any(each[0] == name and customer in each[1] for each in self.booked)
        ]

    async def serve(self, connection: SocketStream) -> None:
        """One request, one answer at most."""
        requests = BufferedByteReceiveStream(connection)
        async with connection:
            with suppress(anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                head = await requests.receive_until(b"\r\n\r\n", max_bytes=65_536)
                method, path, *_ = head.decode("ascii").split()
                _, name, key = path.split("/")
                match self._next(key.partition("-")[0], f"{method} {name}"):
                    case "no answer":
                        await requests.receive()  # until the client hangs up
                    case "hang up":
                        self._do(method, name, key)
                    case "200 OK":
                        self._do(method, name, key)
                        await connection.send(_response("200 OK"))
                    case status:
                        await connection.send(_response(status))

    def _next(self, customer: str, what: str) -> str:
        plan = PLAN.get((customer, what), ())
        before = self.met.count((customer, what))
        self.met.append((customer, what))
        return plan[before] if before < len(plan) else "200 OK"

    def _do(self, method: str, name: str, key: str) -> None:
        change = self.booked.add if method == "PUT" else self.booked.discard
        change((name, key))


def _response(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode("ascii")


@asynccontextmanager
async def open_desk(desk: Desk) -> AsyncGenerator[str]:
    """Serve on a free port of this machine, and give the address."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as connections:
        connections.start_soon(listener.serve, desk.serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610, not Django's
        connections.cancel_scope.cancel()


@attrs.define(eq=False)
class Online:
    """The services by HTTP."""

    client: httpx2.AsyncClient

    async def book(self, name: str, key: str) -> None:
        """See `Services`."""
        (await self.client.put(f"/{name}/{key}")).raise_for_status()

    async def take_back(self, name: str, key: str) -> None:
        """See `Services`. A service that is busy is asked again; how long that may go on is for the run to say."""
        response = await self.client.delete(f"/{name}/{key}")
        if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            await anyio.sleep(0.02)
            await self.take_back(name, key)
        else:
            response.raise_for_status()


# ---------------------------------------------------------------------------------------------- the workflow


class Trip(StartEvent):
    """Somebody wants to go."""

    customer: str


class FlightWanted(Event):
    """A flight is about to be booked under this key."""

    key: str


class HotelWanted(Event):
    """So is a room."""

    key: str


class PaymentWanted(Event):
    """So is a payment."""

    key: str


class Journey(Workflow[str]):
    """Books all, or nothing."""

    def __init__(self, services: Services, timeout: float | None = 0.5, undo_timeout: float = 2) -> None:
        super().__init__(timeout=timeout, undo_timeout=undo_timeout)
        self.services = services

    async def cancel_flight(self, wanted: FlightWanted) -> None:
        """Of `plan`: the flight that it announced."""
        await self.services.take_back("flight", wanted.key)

    async def cancel_hotel(self, wanted: HotelWanted) -> None:
        """Of `book_flight`: the room that it announced."""
        await self.services.take_back("hotel", wanted.key)

    async def refund(self, wanted: PaymentWanted) -> None:
        """Of `book_hotel`: the payment that it announced."""
        await self.services.take_back("payment", wanted.key)

    @step(undo=cancel_flight)
    async def plan(self, ctx: Context, ev: Trip) -> FlightWanted:
        """The key is that of the run, so one that goes on from a snapshot asks for the same."""
        return FlightWanted(key=f"{ev.customer}-{ctx.run_id}")

    @step(undo=cancel_hotel)
    async def book_flight(self, ev: FlightWanted) -> HotelWanted:
        """A seat, and then a bed."""
        await self.services.book("flight", ev.key)
        return HotelWanted(key=ev.key)

    @step(undo=refund)
    async def book_hotel(self, ev: HotelWanted) -> PaymentWanted:
        """A bed, and then the money."""
        await self.services.book("hotel", ev.key)
        return PaymentWanted(key=ev.key)

    @step
    async def pay(self, ev: PaymentWanted) -> StopEvent[str]:
        """The last one announces nothing, so it has nothing to take back."""
        await self.services.book("payment", ev.key)
        return StopEvent(result=ev.key)


# --------------------------------------------------------------------------------------------------- the day


def told(undone: Sequence[UndoRecord]) -> str:
    """What was done in order to undo it."""
    return ", ".join(f"{each.undo} {each.outcome}" for each in undone) or "nothing"


async def travel(customer: str, journey: Journey, desk: Desk) -> None:
    """One trip, and what is left of it."""
    run = journey.run(Trip(customer=customer))
    try:
        await run
    except UndoError as error:
        print(f"{customer}: a person must look at this, {error.failure!r:.34}…")
    except WorkflowTimeoutError:
        print(f"{customer}: no answer in time")
    except httpx2.HTTPError as error:
        print(f"{customer}: {type(error).__name__}")
    else:
        print(f"{customer}: all is booked")
    print(f"  undone: {told(run.undone)}")
    print(f"  booked: {', '.join(desk.of(customer)) or 'nothing'}")


async def main() -> None:
    """Five people."""
    desk = Desk()
    async with open_desk(desk) as address, httpx2.AsyncClient(base_url=address, trust_env=False) as client:
        journey = Journey(Online(client))
        for customer in ("Ada", "Ben", "Cleo", "Dora", "Emil"):
            await travel(customer, journey, desk)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
