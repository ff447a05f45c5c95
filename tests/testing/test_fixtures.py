"""Small things for tests: fakes for steps, `expect`, and the watchdog."""

from __future__ import annotations

import re
import time
from typing import Any

import anyio
import pytest

from stretto import Context, DefinitionError, Event, StartEvent, StopEvent, Workflow, step
from stretto.testing import Watchdog, expect, explore, faked
from stretto.testing._expect import UnexpectedError
from stretto.testing._watchdog import BlockedLoopError

pytestmark = pytest.mark.anyio


class Ask(Event):
    shop: str


class Offer(Event):
    cents: int


class Asks(Workflow[list[int]]):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(shop="a"), Ask(shop="bb")]

    @step(num_workers=1)
    async def ask(self, ev: Ask) -> Offer:
        raise NotImplementedError("asks the network")

    @step
    async def choose(self, ctx: Context, ev: Offer) -> StopEvent[list[int]] | None:
        offers = ctx.collect_events(ev, [Offer] * 2)
        return StopEvent(result=[offer.cents for offer in offers]) if offers else None


# -- fakes ---------------------------------------------------------------------------------------------------------


async def later(ev: Ask) -> Offer:
    await anyio.sleep(1)
    return Offer(cents=len(ev.shop))


@pytest.mark.parametrize(
    ("fake", "result"),
    [
        (Offer(cents=3), [3, 3]),
        (lambda ev: Offer(cents=len(ev.shop)), [1, 2]),
        (later, [1, 2]),
        (iter([Offer(cents=5), lambda ev: Offer(cents=len(ev.shop))]), [5, 2]),
    ],
    ids=["value", "function", "async function", "iterator"],
)
async def test_a_fake_stands_in_for_a_step(fake: Any, result: list[int], anyio_backend_name: str):
    if hasattr(fake, "__next__"):
        fake = iter([Offer(cents=5), lambda ev: Offer(cents=len(ev.shop))])
    assert await faked(Asks, ask=fake)().run() == result


@pytest.mark.parametrize("fake", [OSError, OSError("no network"), iter([OSError()])])
async def test_a_fake_raises(fake: Any, anyio_backend_name: str):
    fake = iter([OSError()]) if hasattr(fake, "__next__") else fake
    with pytest.raises(OSError):
        await faked(Asks, ask=fake)().run()


async def test_a_fake_keeps_the_name_the_options_and_the_declared_events():
    cls = faked(Asks, ask=Offer(cents=1), begin=[Ask(shop="x")] * 2, choose=None)
    assert cls.__name__ == "Asks"
    ask = next(each for each in cls.blueprint().specs if each.name == "ask")
    assert (ask.accepts, ask.returns, ask.num_workers) == ((Ask,), (Offer,), 1)
    assert issubclass(cls, Asks)


async def test_a_fake_for_no_step_is_refused():
    with pytest.raises(DefinitionError) as caught:
        faked(Asks, aks=None)
    assert str(caught.value) == "Asks has no step 'aks'; its steps: begin, ask, choose; did you mean 'ask'?"


class Joins(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Offer]:
        return [Offer(cents=1)]

    @step
    async def end(self, evs: list[Offer]) -> StopEvent[int]:
        return StopEvent(result=len(evs))


async def test_a_fake_for_a_step_that_joins_is_refused():
    with pytest.raises(DefinitionError) as caught:
        faked(Joins, end=StopEvent(result=0))
    assert re.sub(r"fixtures.py:\d+", "fixtures.py", str(caught.value)) == (
        "Joins.end (test_fixtures.py) joins; faked() has no fakes for that, override the step in a subclass"
    )


def test_a_fake_can_be_explored():
    cls = faked(Asks, ask=later)
    outcomes = explore(cls, durations="any", mode="exhaustive", max_schedules=500).outcomes()
    assert {each.said for each in outcomes} == {"[1, 2]", "[2, 1]"} or len(outcomes) == 1


# -- expect --------------------------------------------------------------------------------------------------------


class Tick(Event):
    n: int


class Ticks(Workflow[None]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[None]:
        for n in range(3):
            await anyio.sleep(10)
            ctx.write_event_to_stream(Tick(n=n))
        await anyio.sleep(1)
        return StopEvent()


async def test_what_is_expected_is_given_and_the_next_call_goes_on_behind_it():
    async with Ticks().run() as run:
        assert (await expect(run, Tick, within=11)).n == 0
        assert (await expect(run, Tick, within=11)).n == 1
        assert anyio.current_time() % 1000 != 0
        assert isinstance(await expect(run, StopEvent, within=20), StopEvent)


async def test_what_does_not_come_is_told_with_what_came():
    async with Ticks().run() as run:
        with pytest.raises(UnexpectedError) as caught:
            await expect(run, Offer, within=25)
        assert str(caught.value) == "no Offer came within 25 s; what came: Tick(n=0), Tick(n=1)"
    async with Ticks().run() as run:
        with pytest.raises(UnexpectedError) as caught:
            await expect(run, Tick, within=5)
        assert str(caught.value) == "no Tick came within 5 s; nothing came"
        with pytest.raises(UnexpectedError) as caught:
            await expect(run, Offer, within=100)
        assert str(caught.value).startswith("no Offer came before the run was over; what came: Tick(n=0), ")


# -- the watchdog --------------------------------------------------------------------------------------------------


class Blocks(Workflow[None]):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent[None]:
        compute()
        return StopEvent()


def compute() -> None:
    time.sleep(0.3)


async def test_a_step_that_blocks_the_loop_is_named():
    with pytest.raises(BlockedLoopError) as caught, Watchdog(limit=0.05):
        await Blocks().run()
    assert re.sub(r"fixtures.py:\d+", "fixtures.py", str(caught.value)) == (
        "Blocks.begin (test_fixtures.py, at test_fixtures.py) has blocked the loop for more than 0.05 s; await what it "
        "waits for, or let it be a plain def step, which runs in a thread"
    )


async def test_an_error_of_the_test_goes_first():
    with pytest.raises(ValueError, match="mine"), Watchdog(limit=0.05):
        await Blocks().run()
        raise ValueError("mine")


async def test_a_step_that_waits_is_none_that_blocks(watchdog: Watchdog):
    with Watchdog(limit=0.02):
        await Ticks().run()
        await anyio.to_thread.run_sync(time.sleep, 0.1)
        time.sleep(0.1)  # noqa: ASYNC251 - not in a step
