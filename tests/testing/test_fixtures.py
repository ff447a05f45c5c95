"""Small things for tests: fakes for steps, `expect`, and the watchdog."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
    DefinitionError,
    Event,
    Resource,
    RetryPolicy,
    StartEvent,
    StepTimeoutError,
    StopEvent,
    Workflow,
    step,
)
from stretto.testing import Watchdog, expect, explore, faked, faked_member
from stretto.testing._expect import UnexpectedError
from stretto.testing._watchdog import BlockedLoopError

pytestmark = pytest.mark.anyio


class Ask(Event):
    shop: str


class Offer(Event):
    cents: int


class Noted(Event):
    pass


class Closed(Event):
    pass


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


async def test_a_fake_for_a_step_is_tried_again_as_that_was():
    class Retries(Asks):
        @step(retry_policy=RetryPolicy(attempts=2), timeout=3)
        async def ask(self, ev: Ask) -> Offer:
            raise NotImplementedError("asks the network")

    answers = iter([OSError("once"), Offer(cents=1), Offer(cents=2)])
    assert sorted(await faked(Retries, ask=answers)().run()) == [1, 2]
    with pytest.raises(StepTimeoutError):
        await faked(Retries, ask=lambda _: anyio.sleep_forever())().run()


@asynccontextmanager
async def open_net() -> AsyncGenerator[str]:
    raise NotImplementedError("opens the network")
    yield ""


def open_client(net: Annotated[str, Resource(open_net, scope="workflow")]) -> list[str]:
    return [net]


Client = Annotated[list[str], Resource(open_client, scope="workflow")]


class Surfs(Workflow[str]):
    @step
    async def surf(self, ev: StartEvent, client: Client) -> StopEvent[str]:
        return StopEvent(result=f"by {client}")


async def test_a_fake_stands_in_for_a_resource_wherever_it_is_asked_for():
    assert await faked(Surfs, {open_client: "a fake"})().run() == "by a fake"
    async with faked(Surfs, {open_net: "a fake net"})() as surfs:  # the client of it is made
        assert await surfs.run() == "by ['a fake net']"
    with pytest.raises(NotImplementedError):
        async with Surfs() as surfs:
            await surfs.run()


class Books(Workflow[str]):
    """Only its undo asks for the client."""

    log: list[str] = []  # noqa: RUF012

    async def give_back(self, client: Client) -> None:
        self.log.append(f"given back by {client}")

    @step(undo=give_back)
    async def book(self, ev: StartEvent) -> Ask:
        return Ask(shop="a")

    @step
    async def fail(self, ev: Ask) -> StopEvent[str]:
        raise KeyError


async def test_a_fake_resource_is_handed_to_an_undo_and_a_fake_step_is_not_undone():
    Books.log.clear()
    with pytest.raises(KeyError):
        await faked(Books, {open_client: "a fake"})().run()
    with pytest.raises(KeyError):
        await faked(Books, book=Ask(shop="b"))().run()
    assert Books.log == ["given back by a fake"]


async def test_a_subclass_of_one_with_fakes_has_them_and_may_have_more():
    class Twice(faked(Surfs, {open_client: "a fake"})):  # type: ignore[misc]
        @step
        async def surf(self, ev: StartEvent, client: Client) -> StopEvent[str]:
            return StopEvent(result=f"twice by {client}")

    assert await Twice().run() == "twice by a fake"
    both = faked(faked(Surfs, {open_net: "a net"}), surf=StopEvent(result="nothing"))
    assert await both().run() == "nothing"


async def test_a_fake_for_a_resource_that_nobody_asks_for_is_refused():
    with pytest.raises(DefinitionError) as caught:
        faked(Surfs, {later: 3})
    says = re.sub(r" at 0x\w+|:\d+", "", str(caught.value))
    assert says == (
        "no step of Surfs asks for <function later>; its resources: open_client (test_fixtures.py), "
        "open_net (test_fixtures.py)"
    )
    with pytest.raises(DefinitionError, match="its resources: none"):
        faked(Asks, {later: 3})


class Station(Workflow[None]):
    """Of an application: sells, and notes for itself what it has sold."""

    def __init__(self, network: str) -> None:
        super().__init__()

    @step
    async def sell(self, ev: Ask) -> list[Offer | Noted]:
        raise NotImplementedError("asks the network")

    @step
    async def note(self, ev: Noted) -> None:
        raise NotImplementedError("asks the network")

    @step
    async def close(self, ev: Closed) -> None:
        raise NotImplementedError("asks the network")


class Shopper(Workflow[list[int]]):
    @step
    async def begin(self, ev: StartEvent) -> list[Ask | Closed]:
        return [Ask(shop="a"), Ask(shop="bb"), Closed()]

    @step
    async def choose(self, ctx: Context, ev: Offer) -> StopEvent[list[int]] | None:
        return await Asks.choose(self, ctx, ev)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_fake_stands_in_for_a_member_of_an_application():
    station = faked_member(Station, Ask=lambda ev: Offer(cents=len(ev.shop)))
    assert type(station).__name__ == "Station"
    async with Application(shopper=Shopper(), station=station) as app:
        assert sorted(await app.run("shopper")) == [1, 2]
        assert len(app.dead_letters) == 0  # it was closed too
    async with Application(shopper=Shopper(), station=faked_member(Station, Ask=OSError("no"))) as app:
        with pytest.raises(OSError, match="no"):
            await app.run("shopper")


async def test_a_fake_for_a_member_that_does_not_take_an_event_is_refused():
    with pytest.raises(DefinitionError) as caught:
        faked_member(Station, Aks=None)
    assert str(caught.value) == (
        "no step of Station takes 'Aks'; they take: Ask, Noted, Closed; did you mean 'Ask'?"
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
