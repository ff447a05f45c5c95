"""Two event classes of one name, from two modules or from two lines: each message says which one it means."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from stretto import (
    Application,
    Context,
    DefinitionError,
    Event,
    StartEvent,
    StopEvent,
    UndeclaredEventError,
    Workflow,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto.checking import check
from stretto.errors import CollectError, RoutingError, names

pytestmark = pytest.mark.anyio


def order(module: str) -> Any:
    class Order(Event):
        __module__ = module
        n: int = 0

    return Order


def another_order() -> Any:
    class Order(Event):
        n: int = 1

    return Order


class Shop(Event):
    n: int = 0


class Stock(Event):
    n: int = 0


class Ours(StartEvent):
    pass


class Theirs(StartEvent):
    pass


for kind, module, name in (
    (Shop, "shop", "Order"),
    (Stock, "stock", "Order"),
    (Ours, "ours", "Begin"),
    (Theirs, "theirs", "Begin"),
):
    kind.__module__, kind.__name__, kind.__qualname__ = module, name, name

Here: Any = order(__name__)
There: Any = another_order()


# -- the names ---------------------------------------------------------------------------------------------------------


def test_a_name_that_is_alone_is_told_as_it_is():
    assert names((Shop, StartEvent), (StopEvent,)) == ["Order", "StartEvent"]


def test_classes_of_two_modules_are_told_with_them_whichever_of_them_is_named():
    assert names((Shop, StartEvent, Stock)) == ["shop.Order", "StartEvent", "stock.Order"]
    assert names((Shop,), (Stock,)) == ["shop.Order"]


def test_classes_of_one_module_are_told_with_their_lines():
    here, there = names((Here, There))
    assert re.fullmatch(r"Order \(test_same_names\.py:\d+\)", here)
    assert re.fullmatch(r"Order \(test_same_names\.py:\d+\)", there)
    assert here != there


def test_classes_of_one_line_are_told_apart_all_the_same():
    first, second = order(__name__), order(__name__)
    one, other = names((first, second))
    assert one != other
    assert one.startswith("Order (test_same_names.py:")


def test_classes_without_a_source_are_told_apart_all_the_same():
    first, second = order("nowhere"), order("nowhere")
    one, other = names((first, second))
    assert one != other
    assert one.startswith("nowhere.Order")


# -- the messages ------------------------------------------------------------------------------------------------------


class Talks(Workflow[Any]):
    def __init__(self, act: Callable[[Context], Any]) -> None:
        super().__init__()
        self.act = act

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Shop | StopEvent:
        return self.act(ctx)

    @step
    async def take(self, ev: Shop) -> StopEvent:
        return StopEvent(result=ev)


class Lists(Talks):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Shop]:  # type: ignore[override]
        return self.act(ctx)


async def says(workflow: Workflow[Any], error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        await workflow.run()
    return str(caught.value)


async def test_an_event_for_a_step_that_does_not_take_it():
    told = await says(Talks(lambda ctx: ctx.send_event(Stock(), step="take")), RoutingError)
    assert "does not take stock.Order, it takes: shop.Order;" in told


async def test_an_event_that_is_not_declared():
    told = await says(Talks(lambda _: Stock()), UndeclaredEventError)
    assert "returned stock.Order but declares -> shop.Order | StopEvent; add stock.Order to" in told


async def test_a_list_with_an_event_that_is_not_declared():
    told = await says(Lists(lambda _: [Stock()]), UndeclaredEventError)
    assert "a list with Order(n=0) of stock.Order in it, but declares -> list[shop.Order" in told


async def test_an_event_that_is_collected_and_not_expected():
    told = await says(Talks(lambda ctx: ctx.collect_events(Stock(), [Shop])), CollectError)
    assert "was given Order(n=0) of stock.Order and expects only shop.Order;" in told


async def test_an_event_that_nobody_takes(caplog: pytest.LogCaptureFixture):
    told = await says(Talks(lambda ctx: ctx.send_event(Stock())), WorkflowStalledError)
    assert "no step of Talks takes exactly stock.Order" in told
    assert "takes shop.Order and not stock.Order, another class" in caplog.text
    assert "did you mean" not in caplog.text


async def test_an_event_that_another_than_the_one_that_is_waited_for():
    class Waits(Workflow[Any]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.send_event(Stock())
            return StopEvent(result=await ctx.wait_for_event(Shop))

    told = await says(Waits(), WorkflowTimeoutError)
    assert "(test_same_names.py:" in told
    assert " for shop.Order; Order(n=0) was not taken" in told
    assert "no step of Waits takes exactly stock.Order" in told


async def test_events_that_are_joined_one_of_each():
    class Joins(Workflow[Any]):
        @step
        async def begin(self, ev: StartEvent) -> list[Shop | Stock]:
            return [Shop()]

        @step
        async def join(self, one: Shop, other: Stock) -> StopEvent:
            return StopEvent()

    told = await says(Joins(), WorkflowStalledError)
    assert "has 1 x Order and still waits for a stock.Order" in told


async def test_a_start_event_of_another_module():
    class One(Workflow[Any]):
        @step
        async def begin(self, ev: Ours) -> StopEvent:
            return StopEvent()

    class Both(Workflow[Any]):
        @step
        async def begin(self, ev: Ours | Theirs) -> StopEvent:
            return StopEvent()

    with pytest.raises(TypeError, match=r"takes Begin\(\) of theirs\.Begin; it begins with ours\.Begin"):
        await One().run(Theirs())
    with pytest.raises(DefinitionError, match=r"several start events, ours\.Begin, theirs\.Begin"):
        await Both().run()


def test_what_check_finds():
    class Apart(Workflow[Any]):
        @step
        async def begin(self, ev: StartEvent) -> Shop: ...

        @step
        async def end(self, ev: Stock) -> StopEvent: ...

    found = [problem.message for problem in check(Apart)]
    assert any("returns shop.Order, which no step of Apart takes" in each for each in found)
    assert any("takes stock.Order, which no step of Apart returns" in each for each in found)


def test_what_check_finds_in_a_batch():
    class Batches(Workflow[Any]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Shop: ...

        @step
        async def end(self, ctx: Context, ev: Shop) -> StopEvent | None:
            ctx.collect_events(ev, [Stock])

    (found,) = [problem.message for problem in check(Batches) if problem.kind == "open-batch"]
    assert "collects stock.Order (line " in found
    assert "write ev: shop.Order | stock.Order, or" in found


class Sends(Workflow[Any]):
    @step
    async def begin(self, ev: StartEvent) -> Shop | StopEvent:
        return Shop()


class Takes(Workflow[Any]):
    @step
    async def take(self, ev: Stock) -> StopEvent: ...


class TakesBoth(Workflow[Any]):
    @step
    async def take(self, ev: Stock | Shop) -> StopEvent: ...


async def test_an_event_that_no_member_takes():
    with pytest.raises(DefinitionError) as caught:
        async with Application(sends=Sends(), takes=Takes()):
            pass
    told = str(caught.value)
    assert "shop.Order, which Sends.begin (test_same_names.py:" in told
    assert "; takes (Takes) takes stock.Order and not shop.Order, another class" in told
    assert "nothing reaches takes (Takes): it takes stock.Order (" in told


async def test_an_event_that_is_connected_to_a_member_that_takes_another():
    with pytest.raises(
        DefinitionError, match=r"none of whose steps takes it; add a step with ev: shop\.Order"
    ):
        Application(sends=Sends(), takes=Takes()).connect(Shop, to="takes").routes()


async def test_a_call_with_an_event_that_the_member_does_not_take():
    async with Application(sends=Sends(), takes=TakesBoth()) as app:
        with pytest.raises(
            TypeError, match=r"takes Order\(n=0\) of .*Order.*; it takes: stock\.Order, shop\.Order"
        ):
            app.run("takes", order("third")())


async def test_an_event_that_crosses_and_is_not_declared():
    class Sneaks(Workflow[Any]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Shop | StopEvent:
            ctx.send_event(Stock())
            return StopEvent()

    async with Application(sneaks=Sneaks(), takes=TakesBoth(), external=[Stock]) as app:
        with pytest.raises(
            UndeclaredEventError, match=r"sends stock\.Order to takes .*; add stock\.Order to that of"
        ):
            await app.run("sneaks")


class Asks(Workflow[Any]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.request(Shop(), reply=Stock)
        return StopEvent()


async def test_a_request_that_no_member_takes():
    async with Application(asks=Asks(), takes=Takes(), external=[Stock]) as app:
        with pytest.raises(
            DefinitionError, match=r" with shop\.Order, which is taken by no member; .*ev: shop\.Order"
        ):
            await app.run("asks")
        with pytest.raises(DefinitionError, match=r"request\(shop\.Order\(…\)\) is taken by no member"):
            await app.request(Shop(), reply=Stock)
