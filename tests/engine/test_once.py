"""P5: the body of a step runs once for each delivery; collecting never runs it again."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step

pytestmark = pytest.mark.anyio


class A(Event):
    number: int = 0


class B(Event):
    number: int = 0


class Votes(Workflow[list[int]]):
    """Collects in several steps, in rounds, with awaits before and after; counts its bodies."""

    def __init__(self) -> None:
        self.bodies: Counter[tuple[str, int]] = Counter()
        super().__init__()

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> A | None:
        self.bodies["begin", 0] += 1
        for number in range(9):
            ctx.send_event(A(number=number))

    @step(num_workers=3)
    async def work(self, ev: A) -> B:
        self.bodies["work", ev.number] += 1
        await anyio.sleep(ev.number % 4)
        return B(number=ev.number)

    @step(num_workers=2)
    async def threes(self, ctx: Context, ev: B) -> None:
        self.bodies["threes", ev.number] += 1
        await anyio.sleep(0.5)
        ctx.collect_events(ev, [B] * 3)

    @step
    async def all(self, ctx: Context, ev: B) -> StopEvent | None:
        self.bodies["all", ev.number] += 1
        batch = ctx.collect_events(ev, [B] * 9)
        await anyio.sleep(0.25)
        if batch is None:
            return None
        await anyio.sleep(20)
        return StopEvent(result=[b.number for b in batch])


async def test_every_body_runs_once_however_often_its_step_collects():
    votes = Votes()
    assert sorted(await votes.run()) == list(range(9))
    names = ["work", "threes", "all"]
    assert votes.bodies == Counter({("begin", 0): 1} | {(name, n): 1 for name in names for n in range(9)})


async def test_collecting_twice_in_one_delivery_adds_the_event_once():
    seen: list[int] = []

    class Twice(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> A | None:
            for number in range(3):
                ctx.send_event(A(number=number))

        @step(num_workers=1)
        async def gather(self, ctx: Context, ev: A) -> StopEvent | None:
            assert ctx.collect_events(ev, [A] * 4) is None
            batch = ctx.collect_events(ev, [A] * 3)
            if batch is None:
                return None
            seen.extend(a.number for a in batch)
            return StopEvent(result=len(batch))

    assert await Twice().run() == 3
    assert seen == [0, 1, 2]


async def test_a_batch_that_is_due_is_given_to_the_step_whose_event_completed_it_at_once():
    class Order(Workflow[float]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> A | None:
            for number in range(3):
                ctx.send_event(A(number=number))

        @step(num_workers=1)
        async def work(self, ev: A) -> B:
            await anyio.sleep(1)
            return B(number=ev.number)

        @step
        async def gather(self, ctx: Context, ev: B) -> StopEvent | None:
            batch = ctx.collect_events(ev, [B] * 3)
            return None if batch is None else StopEvent(result=[b.number for b in batch])

    began = anyio.current_time()
    assert await Order().run() == [0, 1, 2]
    assert anyio.current_time() - began == pytest.approx(3)
