"""Apache Burr: actions that take and give a state, `MapStates` to fan out. An application holds one run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping

from burr.core import ApplicationBuilder, ApplicationContext, State, action, default, expr
from burr.core.parallelism import MapStates

PACKAGE = "apache-burr"
CANNOT: Mapping[str, str] = {}


@action(reads=["number"], writes=["number"])
async def keep(state: State) -> State:
    return state.update(number=state["number"])


@action(reads=["number"], writes=["number"])
async def add_one(state: State) -> State:
    return state.update(number=state["number"] + 1)


@action(reads=["number", "seconds"], writes=["number"])
async def add_one_late(state: State) -> State:
    await asyncio.sleep(state["seconds"])
    return state.update(number=state["number"] + 1)


@action(reads=["number"], writes=["number"])
async def work(state: State) -> State:
    return state.update(number=state["number"] * 2)


@action(reads=["number", "seconds"], writes=["number"])
async def work_late(state: State) -> State:
    await asyncio.sleep(state["seconds"])
    return state.update(number=state["number"] * 2)


class Fan(MapStates):
    """One application of one action for each piece, all at once, and the sum of what they give."""

    def __init__(self, each) -> None:
        super().__init__()
        self.each = each

    def is_async(self) -> bool:
        return True

    def action(self, state: State, inputs: dict[str, object]):
        return self.each

    def states(
        self, state: State, context: ApplicationContext, inputs: dict[str, object]
    ) -> Generator[State, None, None]:
        for number in range(state["pieces"]):
            yield state.update(number=number)

    async def reduce(self, state: State, states: AsyncGenerator[State, None]) -> State:
        return state.update(number=sum([piece["number"] async for piece in states]))

    @property
    def reads(self) -> list[str]:
        return ["pieces", "seconds"]

    @property
    def writes(self) -> list[str]:
        return ["number"]


async def number_after(builder: ApplicationBuilder, last: str) -> int:
    """Runs the application up to the end of that action."""
    app = await builder.abuild()
    *_, state = await app.arun(halt_after=[last])
    return state["number"]


async def run(number: int) -> int:
    builder = ApplicationBuilder().with_actions(begin=keep).with_entrypoint("begin")
    return await number_after(builder.with_state(number=number), "begin")


async def loop(turns: int) -> int:
    builder = ApplicationBuilder().with_actions(hop=add_one, end=keep).with_entrypoint("hop")
    builder = builder.with_transitions(("hop", "hop", expr(f"number < {turns}")), ("hop", "end", default))
    return await number_after(builder.with_state(number=0), "end")


async def fan(pieces: int) -> int:
    builder = ApplicationBuilder().with_actions(fan=Fan(work)).with_entrypoint("fan")
    return await number_after(builder.with_state(pieces=pieces, seconds=0.0), "fan")


async def asleep(naps: int, seconds: float) -> int:
    builder = ApplicationBuilder().with_actions(fan=Fan(work_late)).with_entrypoint("fan")
    return await number_after(builder.with_state(pieces=naps, seconds=seconds), "fan")


async def three(number: int, seconds: float) -> int:
    builder = ApplicationBuilder().with_actions(begin=add_one, middle=add_one_late, end=keep)
    builder = builder.with_transitions(("begin", "middle"), ("middle", "end")).with_entrypoint("begin")
    return await number_after(builder.with_state(number=number, seconds=seconds), "end")
