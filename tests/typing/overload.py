"""What the type checkers know of policies: a word that is none is told, and a function is asked about the event."""

from __future__ import annotations

from stretto import Event, Limit, StartEvent, StopEvent, Workflow, step
from stretto.limits import Debounce, Rate


class Page(Event):
    host: str
    depth: int = 0


def nearness(page: Page) -> int:
    return -page.depth


class Crawl(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Page]:
        return [Page(host="tea.example")]

    @step(rate=Rate(5, per=1.0, key="host"), limiter=Limit(2, key="host"), priority=nearness)
    async def fetch(self, ev: Page) -> StopEvent[int]:
        return StopEvent(result=1)

    @step(queue_size=9, overflow="drop_oldest", debounce=Debounce(0.5, at_most=2), key=lambda ev: ev.host)
    async def note(self, ev: Page) -> None: ...

    @step(singleton="cancel", key="host", debounce=0.5)
    async def look(self, ev: Page) -> None: ...


async def slow() -> None:
    async with Crawl().run() as run:
        run.stream_events(overflow="wait")
        run.stream_events(latest="host", overflow="drop_oldest")
        run.stream_events(overflow="latest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        run.stream_events(latest=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await run.ctx.write(Page(host="tea.example"))
        await run.ctx.write("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


Crawl(queue_size=100, overflow="drop_oldest")
Crawl(num_concurrent_runs=1, run_overflow="cancel_oldest")
Crawl(num_concurrent_runs=1, run_overflow="cancel")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Crawl(queue_size=100, overflow="latest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Rate(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Rate(5, per="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Limit(2, key=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
step(overflow="oldest")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step(singleton="replace")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step(priority=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step(rate=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
