"""A workflow of random jobs, and a process that runs it for a while: what a cut-off run is made of.

Run as a program it goes on with a snapshot, by a clock that begins at 0, in a process that has seen none of the run.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

import anyio
import attrs

from stretto import Context, Event, Handler, RetryPolicy, StartEvent, StopEvent, Workflow, step
from stretto.retry import fixed
from tests import virtual

effects: list[str] = []
"""What happened outside of the run."""


class Begin(StartEvent):
    jobs: list[dict[str, Any]]
    parts: int


class Job(Event):
    name: str
    kind: str
    delay: float
    inner: tuple[dict[str, Any], ...] = ()


class Part(Event):
    value: object


class Pair(Event):
    values: tuple[object, ...]


class Question(Event):
    name: str


class Reply(Event):
    name: str


@attrs.define
class Tally:
    done: dict[str, int] = attrs.Factory(dict)


class Random(Workflow[dict[str, Any]]):
    """Each job fans out, fails at first, asks and waits, has an effect, or edits the state; then it is a part."""

    @step
    async def begin(self, ev: Begin) -> list[Job]:
        return [made(each) for each in ev.jobs]

    @step(num_workers=2, retry_policy=RetryPolicy(attempts=3, wait=fixed(1.5)), emit="on_success")
    async def work(self, ctx: Context[Tally], ev: Job) -> list[Job | Part]:
        await ctx.sleep(ev.delay)
        if ev.kind == "flaky" and ctx.attempt.number < 3:
            raise ConnectionError(ev.name)
        if ev.kind == "effect":
            await ctx.once(ev.name, lambda: effects.append(ev.name))
        if ev.kind == "state":
            async with ctx.store.edit_state() as tally:
                tally.done[ev.name] = ctx.attempt.number
        await ctx.sleep(ev.delay)
        return [*(made(each) for each in ev.inner), Part(value=ev.name)]

    @step(num_workers=1)
    async def pair(self, ctx: Context[Tally], ev: Part) -> Question | Pair | None:
        """Takes two at once and works on them, so that a batch is in hand when the run is cut off."""
        parts = ctx.collect_events(ev, [Part] * 2, buffer_id=("pair", 2))
        if parts is None:
            return None
        await ctx.sleep(0.75)
        values = tuple(part.value for part in parts)
        ctx.send_event(Question(name=str(values[0])))
        reply = await ctx.wait_for_event(Reply, requirements={"name": str(values[0])})
        await ctx.sleep(0.25)
        assert reply.name == values[0]
        return Pair(values=values)

    @step
    async def answer(self, ctx: Context[Tally], ev: Question) -> Reply:
        await ctx.sleep(0.5)
        return Reply(name=ev.name)

    @step
    async def end(self, ctx: Context[Tally], ev: Pair) -> StopEvent[dict[str, Any]] | None:
        pairs = ctx.collect_events(ev, [Pair] * self.pairs)
        if pairs is None:
            return None
        values = sorted(str(value) for pair in pairs for value in pair.values)
        return StopEvent(result={"values": values, "done": (await ctx.store.get_state()).done})

    def __init__(self, pairs: int) -> None:
        super().__init__(timeout=1000)
        self.pairs = pairs


class Branch(Job):
    pass


class Fan(Job):
    pass


class Twig(Job):
    pass


class Leaf(Event):
    names: tuple[str, ...]


class TwigLeaf(Event):
    name: str


class Forked(Workflow[list[str]]):
    """Each job is a branch, and a leaf, leads to none, fails at first, or forks and is joined first."""

    def __init__(self) -> None:
        super().__init__(timeout=1000)

    @step
    async def begin(self, ev: Begin) -> list[Branch]:
        return [Branch(**vars(made(each))) for each in ev.jobs]

    @step(num_workers=2, retry_policy=RetryPolicy(attempts=3, wait=fixed(1.5)))
    async def branch(self, ctx: Context, ev: Branch) -> Leaf | Fan | None:
        await ctx.sleep(ev.delay)
        if ev.kind == "flaky" and ctx.attempt.number < 3:
            raise ConnectionError(ev.name)
        if ev.kind == "fan":
            return Fan(**vars(ev))
        return None if ev.kind == "effect" else Leaf(names=(ev.name,))

    @step(num_workers=1)
    async def fan(self, ctx: Context, ev: Fan) -> list[Twig]:
        await ctx.sleep(0.1)
        return [Twig(**vars(made(each))) for each in ev.inner]

    @step(num_workers=1)
    async def twig(self, ctx: Context, ev: Twig) -> TwigLeaf | None:
        await ctx.sleep(ev.delay)
        return None if ev.kind == "effect" else TwigLeaf(name=ev.name)

    @step(num_workers=1)
    async def join_twigs(self, ctx: Context, leaves: list[TwigLeaf]) -> Leaf:
        await ctx.sleep(0.5)
        return Leaf(names=tuple(sorted(leaf.name for leaf in leaves)))

    @step
    async def join(self, ctx: Context, leaves: list[Leaf]) -> StopEvent[list[str]]:
        await ctx.sleep(0.5)
        return StopEvent(result=sorted(",".join(leaf.names) for leaf in leaves))


def made(job: dict[str, Any]) -> Job:
    return Job(**{**job, "inner": tuple(job["inner"])})


def count(jobs: Sequence[dict[str, Any]]) -> int:
    return sum(1 + count(job["inner"]) for job in jobs)


async def for_a_while(run: Handler[Any], seconds: float) -> tuple[str | None, Any]:
    """The snapshot after so many seconds, or the result if that came first."""
    data = None
    with contextlib.suppress(ConnectionError):  # of a step that fails just as it is cut off
        async with run:
            with anyio.move_on_after(seconds):
                return None, await run
            data = json.dumps(run.ctx.to_dict(), allow_nan=False)
            if "finished" in json.loads(data):
                return None, await run
            happened = len(effects)
            await run.cancel()
            del effects[happened:]  # of steps that were about to wake: a process that dies here does no more
    return data, None


def again(pairs: int, data: str) -> Handler[Any]:
    """With no pairs it is the other workflow."""
    workflow: Workflow[Any] = Random(pairs) if pairs else Forked()
    return workflow.run(ctx=Context.from_dict(workflow, json.loads(data)))


if __name__ == "__main__":
    given = json.load(sys.stdin)

    async def main() -> tuple[str | None, Any]:
        return await for_a_while(again(given["pairs"], given["data"]), given["seconds"])

    data, result = virtual.run(main, backend=given["backend"])
    json.dump({"data": data, "result": result, "effects": effects}, sys.stdout)
