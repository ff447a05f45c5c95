"""Small members for the tests of applications: what they do stands in the events that they are sent."""

from __future__ import annotations

import anyio

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step


class Trade(Event):
    sku: str
    seconds: float = 1
    fails: bool = False


class Traded(Event):
    sku: str


class Ask(Event):
    n: int = 0
    seconds: float = 1
    fails: bool = False


class Answer(Event):
    n: int = 0


class Boom(Exception):  # noqa: N818 - it is what happened
    pass


class Monitor(Workflow[str]):
    """Sends a trade and ends when it is told that it was done."""

    @step
    async def watch(self, ev: StartEvent) -> Trade:
        return Trade(sku=ev.sku, seconds=getattr(ev, "seconds", 1), fails=getattr(ev, "fails", False))

    @step
    async def done(self, ev: Traded) -> StopEvent[str]:
        return StopEvent(result=f"traded {ev.sku}")


class Station(Workflow[str]):
    """Trades; it imports nobody who asks for that."""

    def __init__(self, timeout: float | None = 45.0) -> None:
        self.log: list[str] = []
        super().__init__(timeout=timeout)

    @step
    async def trade(self, ev: Trade) -> Traded:
        self.log.append(f"begin {ev.sku}")
        try:
            await anyio.sleep(ev.seconds)
            if ev.fails:
                raise Boom(ev.sku)
        finally:
            self.log.append(f"end {ev.sku}")
        return Traded(sku=ev.sku)


class Forgetful(Workflow[str]):
    """Sends a trade and does not wait for it."""

    @step
    async def watch(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
        for number in range(getattr(ev, "count", 1)):
            ctx.send_event(
                Trade(
                    sku=f"{ev.sku}{number}",
                    seconds=getattr(ev, "seconds", 1),
                    fails=getattr(ev, "fails", False),
                )
            )
        return StopEvent(result="sent")


class Closer(Workflow[str]):
    """Trades, and says so by a StopEvent that nobody waits for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        super().__init__()

    @step
    async def trade(self, ctx: Context, ev: Trade) -> StopEvent[str]:
        self.log.append(f"{ev.sku} in {ctx.run_id}")
        await anyio.sleep(ev.seconds)
        self.log.append(f"end {ev.sku}")
        return StopEvent(result=ev.sku)


class Oracle(Workflow):
    """Answers what it is asked."""

    def __init__(self, timeout: float | None = 45.0) -> None:
        self.log: list[str] = []
        super().__init__(timeout=timeout)

    @step
    async def answer(self, ctx: Context, ev: Ask) -> Answer:
        self.log.append(f"asked {ev.n}")
        try:
            await anyio.sleep(ev.seconds)
            if ev.fails:
                raise Boom(str(ev.n))
        finally:
            self.log.append(f"left {ev.n}")
        return Answer(n=10 * ev.n)


class Asker(Workflow[int]):
    """Asks, asks again with what it was told, and adds up."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[int] | Ask:
        seconds, timeout = getattr(ev, "seconds", 1), getattr(ev, "timeout", None)
        first = await ctx.request(
            Ask(n=1, seconds=seconds, fails=getattr(ev, "fails", False)), reply=Answer, timeout=timeout
        )
        second = await ctx.request(Ask(n=first.n, seconds=seconds), reply=Answer, timeout=timeout)
        return StopEvent(result=first.n + second.n)
