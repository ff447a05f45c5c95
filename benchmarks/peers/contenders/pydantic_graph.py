"""pydantic-graph: the graph builder, `map()` to fan out and a reducing join."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_graph import GraphBuilder, StepContext, reduce_list_append

PACKAGE = "pydantic-graph"
CANNOT: Mapping[str, str] = {}


@dataclass
class Hop:
    turn: int
    turns: int


@dataclass
class Turned:
    turns: int


@dataclass
class Nap:
    number: int
    seconds: float


def smallest():
    builder = GraphBuilder(input_type=int, output_type=int)

    @builder.step
    async def begin(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs

    builder.add(
        builder.edge_from(builder.start_node).to(begin),
        builder.edge_from(begin).to(builder.end_node),
    )
    return builder.build()


def looping():
    builder = GraphBuilder(input_type=Hop, output_type=Turned)

    @builder.step
    async def hop(ctx: StepContext[None, None, Hop]) -> Hop | Turned:
        given = ctx.inputs
        return Hop(given.turn + 1, given.turns) if given.turn < given.turns else Turned(given.turn)

    again = builder.decision().branch(builder.match(Hop).to(hop))
    builder.add(
        builder.edge_from(builder.start_node).to(hop),
        builder.edge_from(hop).to(again.branch(builder.match(Turned).to(builder.end_node))),
    )
    return builder.build()


def fanning():
    builder = GraphBuilder(input_type=int, output_type=int)

    @builder.step
    async def begin(ctx: StepContext[None, None, int]) -> list[int]:
        return list(range(ctx.inputs))

    @builder.step
    async def work(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs * 2

    return joined(builder, begin, work)


def napping():
    builder = GraphBuilder(input_type=Nap, output_type=int)

    @builder.step
    async def begin(ctx: StepContext[None, None, Nap]) -> list[Nap]:
        return [Nap(number, ctx.inputs.seconds) for number in range(ctx.inputs.number)]

    @builder.step
    async def work(ctx: StepContext[None, None, Nap]) -> int:
        await asyncio.sleep(ctx.inputs.seconds)
        return ctx.inputs.number * 2

    return joined(builder, begin, work)


def joined(builder, begin, work):
    """Adds what both fans have in common: the map, the join and the sum."""
    collect = builder.join(reduce_list_append, initial_factory=list[int])

    @builder.step
    async def end(ctx: StepContext[None, None, list[int]]) -> int:
        return sum(ctx.inputs)

    builder.add(
        builder.edge_from(builder.start_node).to(begin),
        builder.edge_from(begin).map().to(work),
        builder.edge_from(work).to(collect),
        builder.edge_from(collect).to(end),
        builder.edge_from(end).to(builder.end_node),
    )
    return builder.build()


def in_a_row():
    builder = GraphBuilder(input_type=Nap, output_type=int)

    @builder.step
    async def begin(ctx: StepContext[None, None, Nap]) -> Nap:
        return Nap(ctx.inputs.number + 1, ctx.inputs.seconds)

    @builder.step
    async def middle(ctx: StepContext[None, None, Nap]) -> int:
        await asyncio.sleep(ctx.inputs.seconds)
        return ctx.inputs.number + 1

    @builder.step
    async def end(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs

    builder.add(
        builder.edge_from(builder.start_node).to(begin),
        builder.edge_from(begin).to(middle),
        builder.edge_from(middle).to(end),
        builder.edge_from(end).to(builder.end_node),
    )
    return builder.build()


SMALLEST, LOOP, FAN, NAPS, THREE = smallest(), looping(), fanning(), napping(), in_a_row()


async def run(number: int) -> int:
    return await SMALLEST.run(inputs=number)


async def loop(turns: int) -> int:
    return (await LOOP.run(inputs=Hop(0, turns))).turns


async def fan(pieces: int) -> int:
    return await FAN.run(inputs=pieces)


async def asleep(naps: int, seconds: float) -> int:
    return await NAPS.run(inputs=Nap(naps, seconds))


async def three(number: int, seconds: float) -> int:
    return await THREE.run(inputs=Nap(number, seconds))
