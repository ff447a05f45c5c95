"""P7: outcome and trace of a program are the same on asyncio and on trio, for random programs.

A program is a random tree of jobs: of three kinds with one, two and four workers, which sleep and send their
children before, after or as they return, and leaves that are collected in rounds. It ends by its last round,
by a stop, by an error, by its timeout or by a cancellation of the caller. No two steps wake at one instant:
each duration is 2000 and a power of two of milliseconds of its own, so that no two sums of them are equal,
and the program's end is at a half of a millisecond.
"""

from __future__ import annotations

from typing import Any

import anyio
import attrs
from hypothesis import example, given, settings, strategies as st

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step
from tests import leaks, virtual


@attrs.frozen
class Node:
    """One job: its kind, where it hangs, how long it takes, and when it sends its children."""

    kind: int
    parent: int
    seconds: float
    sends: str


@attrs.frozen
class Program:
    """A tree of jobs, and how the run ends."""

    nodes: tuple[Node, ...]
    end: str
    at: int
    after: float
    round: int

    def children(self, index: int) -> list[int]:
        return [child for child, node in enumerate(self.nodes) if node.parent == index and child != index]


class One(Event):
    index: int


class Two(Event):
    index: int


class Four(Event):
    index: int


class Leaf(Event):
    index: int


KINDS = (One, Two, Four)
TREE = One | Two | Four | Leaf | StopEvent


class BoomError(Exception):
    pass


class Tree(Workflow[list[list[int]]]):
    def __init__(self, program: Program, begun: float) -> None:
        self.program = program
        self.begun = begun
        self.trace: list[str] = []
        self.cut: set[int] = set()
        self.rounds: list[list[int]] = []
        super().__init__(timeout=program.after if program.end == "timeout" else None)

    def tell(self, what: str) -> None:
        self.trace.append(f"{anyio.current_time() - self.begun:.4f} {what}")

    def event(self, index: int) -> One | Two | Four:
        return KINDS[self.program.nodes[index].kind](index=index)

    @step
    async def begin(self, ev: StartEvent) -> One | Two | Four:
        self.tell("begin")
        return self.event(0)

    async def job(self, ctx: Context, index: int) -> Any:
        node = self.program.nodes[index]
        children = [self.event(child) for child in self.program.children(index)] or [Leaf(index=index)]
        self.tell(f"+{index}")
        if node.sends == "before":
            for child in children:
                ctx.send_event(child)
        try:
            await anyio.sleep(node.seconds)
        except anyio.get_cancelled_exc_class():
            self.cut.add(index)
            raise
        self.tell(f"-{index}")
        ctx.write_event_to_stream(self.event(index))
        if self.program.at == index and self.program.end == "error":
            raise BoomError(str(index))
        if self.program.at == index and self.program.end == "stop":
            return StopEvent(result=self.rounds)
        if node.sends == "before":
            return None
        if node.sends == "after":
            for child in children:
                ctx.send_event(child)
            return None
        return children

    @step(num_workers=1)
    async def one(self, ctx: Context, ev: One) -> list[One | Two | Four | Leaf] | StopEvent | None:
        return await self.job(ctx, ev.index)

    @step(num_workers=2)
    async def two(self, ctx: Context, ev: Two) -> list[One | Two | Four | Leaf] | StopEvent | None:
        return await self.job(ctx, ev.index)

    @step(num_workers=4)
    async def four(self, ctx: Context, ev: Four) -> list[One | Two | Four | Leaf] | StopEvent | None:
        return await self.job(ctx, ev.index)

    @step
    async def gather(self, ctx: Context, ev: Leaf) -> StopEvent | None:
        self.tell(f"leaf {ev.index}")
        batch = ctx.collect_events(ev, [Leaf] * self.program.round)
        if batch is None:
            return None
        self.rounds.append([leaf.index for leaf in batch])
        leaves = sum(not self.program.children(index) for index in range(len(self.program.nodes)))
        if self.program.end == "collect" and len(self.rounds) == leaves // self.program.round:
            return StopEvent(result=self.rounds)
        return None


@st.composite
def programs(draw: st.DrawFn) -> Program:
    size = draw(st.integers(1, 14))
    weights = draw(st.permutations(range(20)))
    nodes = tuple(
        Node(
            kind=draw(st.integers(0, 2)),
            parent=0 if index == 0 else draw(st.integers(0, index - 1)),
            seconds=2000 + 2 ** weights[index] / 1000,
            sends=draw(st.sampled_from(["before", "after", "returned"])),
        )
        for index in range(size)
    )
    return Program(
        nodes=nodes,
        end=draw(st.sampled_from(["collect", "stop", "error", "timeout", "cancel"])),
        at=draw(st.integers(0, size - 1)),
        after=draw(st.integers(1, 8000 * 2)) + 0.0005,
        round=draw(st.integers(1, 3)),
    )


def observed(program: Program, backend: str) -> dict[str, Any]:
    """All that can be seen of one run."""

    async def main() -> dict[str, Any]:
        before = leaks.Before()
        tree = Tree(program, anyio.current_time())
        run = tree.run()
        outcome: object = "cancelled"
        events: list[str] = []
        with anyio.move_on_after(program.after if program.end == "cancel" else float("inf")):
            async with run:
                async for ev in run.stream_events():
                    events.append(str(ev))  # noqa: PERF401 - what was read before a cancellation counts
                try:
                    outcome = await run
                except Exception as error:  # noqa: BLE001 - it is what is compared
                    outcome = f"{type(error).__name__}: {error}"
        before.check()
        return {
            "outcome": outcome,
            "trace": tree.trace,
            "cut": tree.cut,
            "rounds": tree.rounds,
            "stream": events,
            "leftovers": run.leftovers,
            "dead": run.dead_letters,
            "ended": anyio.current_time() - tree.begun,
        }

    return virtual.run(main, backend=backend)


def tree(
    *nodes: tuple[int, int, str], end: str, at: int = 0, after: float = 9000.0005, rounds: int = 1
) -> Program:
    return Program(
        nodes=tuple(Node(k, p, 2000 + 2**i / 1000, s) for i, (k, p, s) in enumerate(nodes)),
        end=end,
        at=at,
        after=after,
        round=rounds,
    )


@given(program=programs())
@example(program=tree((0, 0, "before"), (1, 0, "after"), (2, 0, "returned"), end="timeout", after=3000.0005))
@example(program=tree((0, 0, "before"), (0, 0, "after"), (0, 0, "returned"), end="stop", at=1))
@example(program=tree((2, 0, "returned"), *[(1, 0, "after")] * 9, end="collect", rounds=3))
@settings(max_examples=150, deadline=None)
def test_outcome_and_trace_are_the_same_on_both_backends(program: Program):
    asyncio_run, trio_run = (observed(program, backend) for backend in virtual.BACKENDS)
    assert asyncio_run == trio_run


@given(program=programs())
@settings(max_examples=50, deadline=None)
def test_every_event_of_a_random_program_is_accounted_for(program: Program):
    """P3 on the same programs: each job was begun, left over, or sent too late; each once."""
    seen = observed(program, "asyncio")
    trace: list[str] = seen["trace"]
    begun = [int(line.split("+")[1]) for line in trace if "+" in line]
    left: list[int] = [ev.index for ev in seen["leftovers"] if isinstance(ev, KINDS)]
    assert sorted(begun + left) == sorted(set(begun + left)), "no job twice"
    ended = {int(line.split("-")[1]) for line in trace if "-" in line}
    stopper = program.at if program.end in {"stop", "error"} else None
    sent = {0} | {
        child
        for index in range(len(program.nodes))
        for child in program.children(index)
        if (program.nodes[index].sends == "before" and index in begun)
        or (program.nodes[index].sends != "before" and index in ended and index != stopper)
    }
    assert set(begun + left) == sent
