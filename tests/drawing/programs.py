"""Workflows that have everything a picture can show."""

from __future__ import annotations

from typing import Annotated

from stretto import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from stretto.joins import First
from stretto.resources import Resource


class Ask(Event):
    shop: str


class Offer(Event):
    shop: str


class Cheapest(Workflow[Offer]):
    @step
    async def ask_all(self, ev: StartEvent) -> list[Ask]: ...
    @step
    async def ask(self, ev: Ask) -> Offer: ...
    @step
    async def choose(self, ctx: Context, ev: Offer) -> StopEvent[Offer] | None: ...


class Draft(Event):
    """A text that nobody has read yet."""

    text: str
    round: int = 1


class Good(Event):
    pass


class Rejected(Event):
    why: str = "too long"


class Question(InputRequiredEvent):
    pass


class Answer(HumanResponseEvent):
    pass


class Page(Event):
    pass


class Print(Event):
    pass


def desk() -> str:
    return "a desk"


class Writer(Workflow[str]):
    @step
    async def write(self, ev: StartEvent | Rejected, desk: Annotated[str, Resource(desk)]) -> Draft:
        """Writes, and writes again."""
        return Draft(text=desk)

    @step(num_workers=2)
    async def judge(self, ctx: Context, ev: Draft) -> Good | Rejected:
        answer = await ctx.wait_for_event(Answer, waiter_event=Question())
        return Good() if answer.get("good") else Rejected()

    @step
    async def split(self, ev: Good) -> list[Page]:
        return [Page()] * 3

    @step
    async def set_page(self, ev: Page) -> Print | Rejected: ...
    @step
    async def bind(self, ev: Annotated[list[Print], First(2)]) -> StopEvent[str]: ...


class Press(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent, writer: Writer) -> Ask: ...
    @step
    async def sell(self, ev: Ask, shop: Cheapest) -> StopEvent[str]: ...
