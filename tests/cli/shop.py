"""What the commands are given to run: one file, as a user has it."""

from __future__ import annotations

import enum
import signal
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import attrs

from stretto import Application, Context, Event, StartEvent, StopEvent, Workflow, step


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


class Order(StartEvent):
    sku: str
    count: int = 1
    size: Size = Size.SMALL
    tags: list[str] = attrs.field(factory=list[str])
    gift: bool = False
    code: str = attrs.field(default="", converter=str.upper)


class Return(StartEvent):
    number: int


class Orders(Workflow[str]):
    """One typed start event."""

    @step
    async def take(self, ev: Order) -> StopEvent[str]:
        return StopEvent(result=f"{ev.count} {ev.sku} {ev.size.name} {ev.tags} {ev.gift} {ev.code}")


class Echo(Workflow[object]):
    """A bare one, which takes anything."""

    @step
    async def give(self, ev: StartEvent) -> StopEvent[object]:
        return StopEvent(result={**vars(ev)} if len(vars(ev)) > 1 else ev.payload)


class Desk(Workflow[str]):
    """Two start events, neither of them bare."""

    @step
    async def order(self, ev: Order) -> StopEvent[str]:
        return StopEvent(result=f"ordered {ev.sku}")

    @step
    async def refund(self, ev: Return) -> StopEvent[str]:
        return StopEvent(result=f"refunded {ev.number}")


class Broken(Workflow):
    @step
    async def divide(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=1 // 0)


class Endless(Workflow):
    @step
    async def wait(self, ev: StartEvent) -> StopEvent:
        await anyio.sleep_forever()
        return StopEvent()


class Ask(Event):
    number: int


class Fan(Workflow):
    """Three at once, of which one is interrupted; all clean up, and that takes an await."""

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(number=number) for number in range(3)]

    @step
    async def ask(self, ctx: Context, ev: Ask) -> StopEvent | None:
        try:
            if ev.number == 2:
                signal.raise_signal(signal.SIGINT)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            print("cleaned up", ev.number)


class Sloppy(Workflow):
    """All that the checks look for beside the graph."""

    seen = 0
    log: Sequence[str] = ()

    @step
    async def begin(self, ev: StartEvent) -> Ask:
        self.seen += 1
        self._note(ev)
        return Ask(number=self.seen)

    def _note(self, ev: Event) -> None:
        self.log = [*self.log, repr(ev)]


class Needs(Workflow):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    @step
    async def begin(self, ev: StartEvent) -> StopEvent[str]:
        return StopEvent(result=self.url)


def needing() -> Needs:
    return Needs("here")


class Told(Event):
    number: int


class Watch(Workflow[str]):
    @step
    async def look(self, ev: Order) -> Ask:
        return Ask(number=ev.count)

    @step
    async def done(self, ev: Told) -> StopEvent[str]:
        return StopEvent(result=f"told {ev.number}")


class Clerk(Workflow):
    @step
    async def tell(self, ev: Ask) -> Told:
        return Told(number=ev.number + 1)


class Race(Workflow[int]):
    """The first that ends wins, and they end at one instant."""

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(number=number) for number in range(2)]

    @step
    async def ask(self, ctx: Context, ev: Ask) -> StopEvent[int]:
        await ctx.sleep(1)
        return StopEvent(result=ev.number)


made = Orders()
app = Application(watch=Watch(), clerk=Clerk())


def new_app() -> Application:
    return Application(watch=Watch(), clerk=Clerk())


nothing = 3


class Steps(Workflow[str]):
    """Tells how far it is."""

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(number=number) for number in range(3)]

    @step(num_workers=1)
    async def ask(self, ctx: Context, ev: Ask) -> Told:
        for done in range(1, 3):
            await ctx.sleep(1)
            ctx.progress(done, 2, f"asks {ev.number}")
        return Told(number=ev.number)

    @step
    async def end(self, ctx: Context, ev: Told) -> StopEvent[str] | None:
        told = ctx.collect_events(ev, [Told] * 3)
        return None if told is None else StopEvent(result="done")
