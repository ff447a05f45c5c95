"""Workflows that wait for somebody outside."""

from __future__ import annotations

import anyio
import attrs

from stretto import (
    Application,
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)


class Wish(InputRequiredEvent):
    item: str


class Answer(HumanResponseEvent):
    item: str
    count: int
    gift: bool
    note: str = "none"
    tags: list[str] = attrs.field(factory=list[str])


def _is_yes(_: object, __: object, value: bool) -> None:
    if not value:
        raise ValueError("nobody says no here")


class Verdict(HumanResponseEvent):
    yes: bool = attrs.field(validator=_is_yes)


class Buy(Workflow[str]):
    """Asks in the middle of a step, for some fields and not for what the wait requires."""

    @step
    async def buy(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        got = await ctx.wait_for_event(Answer, waiter_event=Wish(item="tea"), requirements={"item": "tea"})
        return StopEvent(result=f"{got.item} {got.count} {got.gift} {got.note} {got.tags}")


class Name(Workflow[str]):
    """Asks by an event that a step returns, and another step takes the answer; neither has fields."""

    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(prefix="What is your name?")

    @step
    async def greet(self, ev: HumanResponseEvent) -> StopEvent[str]:
        return StopEvent(result=f"hello {vars(ev)}")


class Only(Workflow[bool]):
    """One field, and it is validated."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[bool]:
        return StopEvent(result=(await ctx.wait_for_event(Verdict)).yes)


class Item(Event):
    name: str


class Done(Event):
    name: str
    count: int


class Basket(Workflow[str]):
    """Several wait at once."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(name=name) for name in ("tea", "rice", "figs")]

    @step
    async def ask(self, ctx: Context, ev: Item) -> Done:
        wish = Wish(item=ev.name)
        got = await ctx.wait_for_event(Answer, waiter_event=wish, requirements={"item": ev.name})
        return Done(name=ev.name, count=got.count)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent[str] | None:
        done = ctx.collect_events(ev, [Done] * 3)
        return StopEvent(result=" ".join(f"{each.name}={each.count}" for each in done)) if done else None


class Go(Event, external=True):
    pass


class Halt(Event, external=True):
    after: float


class Lamp(Workflow[str]):
    """Two events may come, and nobody asks for them."""

    @step
    async def begin(self, ev: StartEvent) -> None: ...

    @step
    async def go(self, ev: Go) -> StopEvent[str]:
        return StopEvent(result=f"gone {vars(ev)}")

    @step
    async def halt(self, ev: Halt) -> StopEvent[str]:
        return StopEvent(result=f"halted after {ev.after}")


class Fixed(Workflow[str]):
    """All fields are required to be what they are."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        return StopEvent(result=repr(await ctx.wait_for_event(Halt, requirements={"after": 2.0})))


class Patient(Workflow[str]):
    """Gives up after a while; asks again, in other words."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        try:
            await ctx.wait_for_event(Verdict, waiter_event=InputRequiredEvent(prefix="First?"), timeout=0.2)
        except TimeoutError:
            pass
        else:
            return StopEvent(result="in time")
        try:
            got = await ctx.wait_for_event(
                Verdict, waiter_event=InputRequiredEvent(prefix="Second?"), timeout=ev.last
            )
        except TimeoutError:
            return StopEvent(result="nobody")
        return StopEvent(result=f"late {got.yes}")


class Inner(Event):
    pass


class Own(Workflow[str]):
    """Waits for what a step of its own makes, a little later."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(name=name) for name in ("waits", "makes")]

    @step
    async def work(self, ctx: Context, ev: Item) -> Inner | StopEvent[str]:
        if ev.name == "makes":
            await anyio.sleep(0.08)
            return Inner()
        return StopEvent(result=f"made inside: {vars(await ctx.wait_for_event(Inner))}")


class Never(Own):
    """As Own, but the step that makes it does not."""

    @step
    async def work(self, ctx: Context, ev: Item) -> Inner | StopEvent[str] | None:
        if ev.name == "makes":
            return None
        return StopEvent(result=f"sent from outside: {vars(await ctx.wait_for_event(Inner))}")


class Ticks(Workflow[str]):
    """Tells how far it is while it asks."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(name=name) for name in ("asks", "ticks")]

    @step
    async def work(self, ctx: Context, ev: Item) -> StopEvent[str]:
        if ev.name == "asks":
            return StopEvent(result=f"{(await ctx.wait_for_event(Verdict)).yes}")
        while True:
            ctx.progress(1, text="ticks")
            await ctx.sleep(0.01)


class Order(Event):
    sku: str


class Ready(Event):
    sku: str


class Front(Workflow[str]):
    @step
    async def take(self, ev: StartEvent) -> Order:
        return Order(sku="tea")

    @step
    async def give(self, ev: Ready) -> StopEvent[str]:
        return StopEvent(result=f"ready {ev.sku}")


class Store(Workflow):
    @step
    async def pack(self, ctx: Context, ev: Order) -> Ready:
        got = await ctx.wait_for_event(Verdict, waiter_event=InputRequiredEvent(prefix=f"Pack {ev.sku}?"))
        return Ready(sku=f"{ev.sku} {got.yes}")


class Asking(Workflow[str]):
    """Asks another member, which asks a person; the wait for its reply is nobody's question."""

    @step
    async def take(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Order:
        return StopEvent(result=f"asked {(await ctx.request(Order(sku='tea'), reply=Ready)).sku}")


def shop() -> Application:
    return Application(front=Front(), store=Store())


def asking() -> Application:
    return Application(front=Asking(), store=Store())
