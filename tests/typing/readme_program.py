import anyio

from stretto import Event, StartEvent, StopEvent, Workflow, step


class Ask(Event):
    shop: str


class Offer(Event):
    shop: str
    cents: int


class Cheapest(Workflow[Offer]):
    @step
    async def ask_all(self, ev: StartEvent) -> list[Ask]:
        return [Ask(shop=shop) for shop in ("Corner", "Market", "Mill")]

    @step
    async def ask(self, ev: Ask) -> Offer:
        await anyio.sleep(1)  # real I/O goes here
        return Offer(shop=ev.shop, cents=20 * len(ev.shop))

    @step
    async def choose(self, offers: list[Offer]) -> StopEvent[Offer]:  # when none is left at work
        return StopEvent(result=min(offers, key=lambda offer: offer.cents))


print(anyio.run(Cheapest(timeout=10).run))  # or anyio.run(..., backend="trio")
