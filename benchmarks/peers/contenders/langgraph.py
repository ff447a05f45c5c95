"""langgraph: compiled state graphs without a checkpointer, `Send` to fan out and a reducer to join."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Mapping
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

PACKAGE = "langgraph"
CANNOT: Mapping[str, str] = {}


class Count(TypedDict, total=False):
    number: int
    turns: int
    seconds: float


class Pieces(TypedDict, total=False):
    pieces: int
    seconds: float
    done: Annotated[list[int], operator.add]
    total: int


class Piece(TypedDict):
    number: int
    seconds: float


async def keep(state: Count) -> Count:
    return {"number": state["number"]}


async def add_one(state: Count) -> Count:
    return {"number": state["number"] + 1}


async def add_one_late(state: Count) -> Count:
    await asyncio.sleep(state["seconds"])
    return {"number": state["number"] + 1}


async def work(piece: Piece) -> Pieces:
    return {"done": [piece["number"] * 2]}


async def work_late(piece: Piece) -> Pieces:
    await asyncio.sleep(piece["seconds"])
    return {"done": [piece["number"] * 2]}


async def add_up(state: Pieces) -> Pieces:
    return {"total": sum(state["done"])}


def hand_out(state: Pieces) -> list[Send]:
    return [
        Send("work", {"number": number, "seconds": state["seconds"]}) for number in range(state["pieces"])
    ]


def again(state: Count) -> str:
    return "hop" if state["number"] < state["turns"] else END


def fanning(node):
    graph = StateGraph(Pieces).add_node("work", node).add_node("join", add_up)
    graph.add_conditional_edges(START, hand_out, ["work"])
    return graph.add_edge("work", "join").add_edge("join", END).compile()


SMALLEST = StateGraph(Count).add_node("begin", keep).add_edge(START, "begin").add_edge("begin", END).compile()
LOOP = (
    StateGraph(Count)
    .add_node("hop", add_one)
    .add_edge(START, "hop")
    .add_conditional_edges("hop", again, ["hop", END])
    .compile()
)
FAN, NAPS = fanning(work), fanning(work_late)
THREE = (
    StateGraph(Count)
    .add_sequence([("begin", add_one), ("middle", add_one_late), ("end", keep)])
    .add_edge(START, "begin")
    .add_edge("end", END)
    .compile()
)


async def run(number: int) -> int:
    return (await SMALLEST.ainvoke({"number": number}))["number"]


async def loop(turns: int) -> int:
    limit = {"recursion_limit": turns + 10}
    return (await LOOP.ainvoke({"number": 0, "turns": turns}, limit))["number"]


async def fan(pieces: int) -> int:
    return (await FAN.ainvoke({"pieces": pieces, "seconds": 0.0, "done": []}))["total"]


async def asleep(naps: int, seconds: float) -> int:
    return (await NAPS.ainvoke({"pieces": naps, "seconds": seconds, "done": []}))["total"]


async def three(number: int, seconds: float) -> int:
    return (await THREE.ainvoke({"number": number, "seconds": seconds}))["number"]
