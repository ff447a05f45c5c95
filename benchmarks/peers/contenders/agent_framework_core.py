"""Microsoft Agent Framework: executors joined by edges, run in supersteps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Never

from agent_framework import Executor, WorkflowBuilder, WorkflowContext, handler

PACKAGE = "agent-framework-core"
CANNOT: Mapping[str, str] = {}


@dataclass
class Hop:
    turn: int
    turns: int


@dataclass
class Pieces:
    number: int


@dataclass
class Work:
    number: int


@dataclass
class Done:
    number: int


@dataclass
class Nap:
    number: int
    seconds: float


class Smallest(Executor):
    @handler
    async def begin(self, number: int, ctx: WorkflowContext[Never, int]) -> None:
        await ctx.yield_output(number)


class Loop(Executor):
    @handler
    async def hop(self, given: Hop, ctx: WorkflowContext[Hop, int]) -> None:
        if given.turn < given.turns:
            await ctx.send_message(Hop(given.turn + 1, given.turns))
        else:
            await ctx.yield_output(given.turn)


class HandOut(Executor):
    @handler
    async def begin(self, given: Pieces, ctx: WorkflowContext[Work]) -> None:
        for number in range(given.number):
            await ctx.send_message(Work(number))


class Worker(Executor):
    @handler
    async def work(self, given: Work, ctx: WorkflowContext[Done]) -> None:
        await ctx.send_message(Done(given.number * 2))


class Join(Executor):
    def __init__(self, pieces: int) -> None:
        super().__init__(id="join")
        self.pieces, self.seen = pieces, list[int]()

    @handler
    async def join(self, given: Done, ctx: WorkflowContext[Never, int]) -> None:
        self.seen.append(given.number)
        if len(self.seen) == self.pieces:
            await ctx.yield_output(sum(self.seen))


class Start(Executor):
    @handler
    async def begin(self, given: Nap, ctx: WorkflowContext[Nap]) -> None:
        await ctx.send_message(given)


class Sleeper(Executor):
    def __init__(self, number: int) -> None:
        super().__init__(id=f"sleeper {number}")
        self.number = number

    @handler
    async def nap(self, given: Nap, ctx: WorkflowContext[Done]) -> None:
        await asyncio.sleep(given.seconds)
        await ctx.send_message(Done(self.number * 2))


class AddUp(Executor):
    @handler
    async def join(self, given: list[Done], ctx: WorkflowContext[Never, int]) -> None:
        await ctx.yield_output(sum(done.number for done in given))


class First(Executor):
    @handler
    async def begin(self, given: Nap, ctx: WorkflowContext[Nap]) -> None:
        await ctx.send_message(Nap(given.number + 1, given.seconds))


class Second(Executor):
    @handler
    async def middle(self, given: Nap, ctx: WorkflowContext[Done]) -> None:
        await asyncio.sleep(given.seconds)
        await ctx.send_message(Done(given.number + 1))


class Third(Executor):
    @handler
    async def end(self, given: Done, ctx: WorkflowContext[Never, int]) -> None:
        await ctx.yield_output(given.number)


async def output(workflow, given) -> int:
    (only,) = (await workflow.run(given)).get_outputs()
    return only


SMALLEST = WorkflowBuilder(start_executor=Smallest(id="begin")).build()


async def run(number: int) -> int:
    return await output(SMALLEST, number)


async def loop(turns: int) -> int:
    hop = Loop(id="hop")
    workflow = WorkflowBuilder(start_executor=hop, max_iterations=turns + 10).add_edge(hop, hop).build()
    return await output(workflow, Hop(0, turns))


async def fan(pieces: int) -> int:
    """One executor takes all the pieces, in turn: that is cheaper than one for each, and nothing waits."""
    begin, work, join = HandOut(id="begin"), Worker(id="work"), Join(pieces)
    workflow = WorkflowBuilder(start_executor=begin).add_edge(begin, work).add_edge(work, join).build()
    return await output(workflow, Pieces(pieces))


async def asleep(naps: int, seconds: float) -> int:
    """An executor for each nap: one alone would take them in turn."""
    begin, sleepers, join = Start(id="begin"), [Sleeper(number) for number in range(naps)], AddUp(id="join")
    builder = WorkflowBuilder(start_executor=begin).add_fan_out_edges(begin, sleepers)
    return await output(builder.add_fan_in_edges(sleepers, join).build(), Nap(naps, seconds))


async def three(number: int, seconds: float) -> int:
    """A workflow of its own for each run: one refuses to run twice at once."""
    begin, middle, end = First(id="begin"), Second(id="middle"), Third(id="end")
    workflow = WorkflowBuilder(start_executor=begin).add_chain([begin, middle, end]).build()
    return await output(workflow, Nap(number, seconds))
