"""A weather report from a station that fails: requests are tried again, limited, and one city is given up.

The station is a real HTTP server on this machine. It fails by plan: it is out of order (503), hangs up, or does not
answer at all, and it turns away whoever asks while it is busy with three others (429). The step that asks has a limit
of three at once, a time limit for each attempt, and a policy: what may pass is tried again, five attempts in all, and
waits a little longer each time. A city that the station does not know (404) is not worth another one; its error is
recovered by the handler, and the report says so.

Run it with `python examples/flaky_weather.py [--backend asyncio|trio]`.
"""

import argparse
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Annotated

import anyio
import attrs
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stretto import (
    Context,
    Event,
    Limit,
    Resource,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    catch_error,
    step,
)
from stretto.events import StepFailedEvent
from stretto.retry import exponential

AT_ONCE = 3
# What happens to the first requests for a city; what comes after the plan is answered.
PLAN = {
    "Oslo": (),
    "Lima": ("out of order",),
    "Kyiv": ("hang up", "out of order", "hang up"),
    "Rome": ("no answer",),
    "Bern": ("out of order", "no answer"),
    "Doha": ("hang up",),
    "Atlantis": (),
}
DEGREES = {"Oslo": 4, "Lima": 19, "Kyiv": 7, "Rome": 15, "Bern": 9, "Doha": 31}


@attrs.define(eq=False)
class Station:
    """A small HTTP server that fails by plan.

    Attributes:
        address: Where it is while it is open.
        asked: How often it was asked for each city.
        turned_away: How often it was asked while it was busy with three others.
    """

    address: str = ""
    asked: Counter[str] = attrs.Factory(Counter[str])
    turned_away: int = 0
    _busy: int = 0

    async def serve(self, connection: SocketStream) -> None:
        """One request, one answer at most."""
        requests = BufferedByteReceiveStream(connection)
        async with connection:
            with suppress(anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                head = await requests.receive_until(b"\r\n\r\n", max_bytes=65_536)
                city = head.decode("ascii").split()[1].strip("/")
                self._busy += 1
                try:
                    what = self._plan(city)
                    if what == "no answer":
                        await requests.receive()  # until the client hangs up
                    answer = await self._answer(city, what)
                finally:
                    self._busy -= 1
                if answer is not None:
                    await connection.send(answer.encode("ascii"))

    def _plan(self, city: str) -> str:
        self.asked[city] += 1
        plan = PLAN.get(city, ())
        return plan[self.asked[city] - 1] if self.asked[city] <= len(plan) else "answer"

    async def _answer(self, city: str, what: str) -> str | None:
        if self._busy > AT_ONCE:
            self.turned_away += 1
            return _response("429 Too Many Requests")
        await anyio.sleep(0.005)
        match what:
            case "out of order":
                return _response("503 Service Unavailable")
            case "hang up":
                return None
            case _ if city in DEGREES:
                return _response("200 OK", str(DEGREES[city]))
            case _:
                return _response("404 Not Found")


def _response(status: str, body: str = "") -> str:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"


@asynccontextmanager
async def open_station() -> AsyncGenerator[Station]:
    """Serve on a free port of this machine."""
    station = Station()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as connections:
        connections.start_soon(listener.serve, station.serve)
        station.address = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610, not Django's
        yield station
        connections.cancel_scope.cancel()


@asynccontextmanager
async def open_client(
    station: Annotated[Station, Resource(open_station)],
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the station, for one run."""
    async with httpx2.AsyncClient(base_url=station.address, trust_env=False) as client:
        yield client


class City(Event):
    """One to ask for, of so many."""

    name: str
    of: int


class Weather(Event):
    """What the station said, after so many attempts; no degrees if it never did."""

    city: str
    degrees: int | None
    attempts: int
    of: int


def may_pass(error: Exception) -> bool:
    """Whether another attempt is worth it."""
    if isinstance(error, httpx2.HTTPStatusError):
        return error.response.status_code in {429, 503}
    return isinstance(error, (httpx2.TransportError, TimeoutError))


class Report(Workflow[dict[str, Weather]]):
    """Asks for all cities at once, as far as the station lets it."""

    @step
    async def begin(self, ev: StartEvent) -> list[City]:
        """Each city is an event of its own."""
        return [City(name=name, of=len(PLAN)) for name in PLAN]

    @step(
        num_workers=8,
        limiter=Limit(AT_ONCE),
        timeout=0.5,
        retry_policy=RetryPolicy(on=may_pass, attempts=5, wait=exponential(0.01)),
    )
    async def ask(
        self, ctx: Context, ev: City, client: Annotated[httpx2.AsyncClient, Resource(open_client)]
    ) -> Weather:
        """One attempt; between two of them others have their turn."""
        response = await client.get(f"/{ev.name}")
        degrees = int(response.raise_for_status().text)
        return Weather(city=ev.name, degrees=degrees, attempts=ctx.attempt.number, of=ev.of)

    @catch_error(for_steps=["ask"], max_recoveries=len(PLAN))
    async def give_up(self, ev: StepFailedEvent) -> Weather:
        """The report goes on without that city."""
        assert isinstance(ev.event, City)
        return Weather(city=ev.event.name, degrees=None, attempts=ev.attempts, of=ev.event.of)

    @step
    async def gather(self, ctx: Context, ev: Weather) -> StopEvent[dict[str, Weather]] | None:
        """The report is done when each city has an answer, or has none."""
        all_of_them = ctx.collect_events(ev, [Weather] * ev.of)
        if all_of_them is None:
            return None
        return StopEvent(result={weather.city: weather for weather in all_of_them})


async def main() -> None:
    """One report."""
    start = perf_counter()
    report = await Report(timeout=20).run()
    for city in sorted(report):
        weather = report[city]
        said = "no such city" if weather.degrees is None else f"{weather.degrees} degrees"
        print(f"{city}: {said}, attempt {weather.attempts}")
    print(f"in {perf_counter() - start:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
