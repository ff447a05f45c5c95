"""What the author of the article that stretto starts from had, and what he tried in vain."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from stretto import Application, Context, DefinitionError, Event, StartEvent, StopEvent, Workflow, step

pytestmark = pytest.mark.anyio


class TradeEvent(Event):
    payload: str


class TradeEventV2(Event):
    feedback: str
    sku: str


class InventoryManager:
    def __init__(self) -> None:
        self.done: list[str] = []

    async def place_order(self, sku: str) -> None:
        await anyio.sleep(1)
        self.done.append(f"order {sku}")

    async def clear_out(self, sku: str) -> None:
        await anyio.sleep(1)
        self.done.append(f"clear {sku}")


class ComplexFeedbackMonitor(Workflow):
    sku = ""

    @step
    async def begin(self, ev: StartEvent) -> TradeEvent:
        self.sku = ev.payload
        return TradeEvent(payload="Good")

    @step
    async def trade(self, ev: TradeEvent) -> StopEvent:
        return StopEvent(result="nothing was traded")


class Station(Workflow):
    """What his order stations do, whatever event tells them to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.manager = InventoryManager()
        super().__init__(*args, **kwargs)

    async def place(self, feedback: str, sku: str) -> StopEvent:
        match feedback:
            case "Good":
                await self.manager.place_order(sku)
            case _:
                await self.manager.clear_out(sku)
        return StopEvent(result="Done!")


class OrderStation(Station):
    @step
    async def trade(self, ev: StartEvent) -> StopEvent:
        return await self.place(ev.feedback, ev.sku)


class ComplexFeedbackMonitorV2(ComplexFeedbackMonitor):
    @step
    async def trade(self, ev: TradeEvent, order_station: OrderStation) -> StopEvent:
        feedback = ev.payload
        await order_station.run(feedback=feedback, sku=self.sku)
        return StopEvent(result="We are done for the day.")


class OrderStationV3(Station):
    """His station for events of its own: nobody starts it."""

    @step
    async def trade(self, ev: TradeEventV2) -> StopEvent:
        return await self.place(ev.feedback, ev.sku)


class ComplexFeedbackMonitorV3(ComplexFeedbackMonitor):
    @step
    async def trade(self, ctx: Context, ev: TradeEvent) -> StopEvent | TradeEventV2:
        feedback = ev.payload
        ctx.send_event(TradeEventV2(feedback=feedback, sku=self.sku))
        return StopEvent(result="We are done for the day.")


async def test_his_nested_order_station_runs():
    feedback_monitor_v2 = ComplexFeedbackMonitorV2(timeout=20, verbose=False)
    order_station = OrderStation(timeout=10)
    feedback_monitor_v2.add_workflows(order_station=order_station)
    assert await feedback_monitor_v2.run(payload="Apple") == "We are done for the day."
    assert order_station.manager.done == ["order Apple"]


async def test_the_program_that_he_wanted_runs_in_an_application():
    order_station = OrderStationV3(timeout=10)
    async with Application(monitor=ComplexFeedbackMonitorV3(timeout=20), orders=order_station) as app:
        assert await app.run("monitor", payload="Apple") == "We are done for the day."
    assert order_station.manager.done == ["order Apple"]


@pytest.mark.parametrize("disable_validation", [False, True])
async def test_his_attempt_with_a_shared_context_is_told_the_three_lines_of_an_application(
    disable_validation: bool,
):
    feedback_monitor_v3 = ComplexFeedbackMonitorV3(
        timeout=20, verbose=False, disable_validation=disable_validation
    )
    order_station = OrderStationV3(timeout=10, verbose=True)
    with pytest.raises(DefinitionError) as caught:
        await feedback_monitor_v3.run(ctx=Context(workflow=order_station), payload="Apple")
    assert str(caught.value).splitlines()[1:] == [
        "    from stretto import Application",
        "    async with Application(main=…, other=OrderStationV3(…)) as app:",
        "        result = await app.run('main', …)",
    ]
