"""The shared client is one for all runs, asks no more at once than it may, and is gone with the workflow."""

from __future__ import annotations

import re
from typing import Annotated

import anyio
import httpx2
import pytest

from examples import shared_client
from examples.shared_client import AT_ONCE, BASKETS, Basket, Bill, Price, Shop, open_shop
from stretto import Resource, StartEvent, StopEvent, Workflow, step

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("real_time")]


async def test_three_customers_share_four_connections(capsys: pytest.CaptureFixture[str]):
    await shared_client.main()
    *bills, last = capsys.readouterr().out.splitlines()
    assert sorted(bills) == ["Ada pays 6.20", "Bob pays 6.40", "Eve pays 6.60"]
    assert re.fullmatch(rf"24 prices in \d+\.\d s, over {AT_ONCE} connections", last)


async def test_runs_one_after_the_other_use_the_connections_again():
    async with Bill() as workflow:
        bills: list[list[Price]] = [await workflow.run(Basket(items=items)) for items in BASKETS.values()]
    assert {price.connection for bill in bills for price in bill} == set(range(1, AT_ONCE + 1))


class Visit(Workflow[Shop]):
    """Gives the shop."""

    @step
    async def visit(
        self, ev: StartEvent, shop: Annotated[Shop, Resource(open_shop, scope="workflow")]
    ) -> StopEvent[Shop]:
        return StopEvent(result=shop)


async def test_the_shop_turns_away_whoever_is_one_too_many_and_is_closed_with_its_workflow():
    seen: list[int] = []

    async def ask(client: httpx2.AsyncClient) -> None:
        seen.append((await client.get("/tea")).status_code)

    async with Visit() as workflow:
        shop = await workflow.run()
        async with (
            httpx2.AsyncClient(base_url=shop.address, trust_env=False) as client,
            anyio.create_task_group() as tg,
        ):
            for _ in range(AT_ONCE + 1):
                tg.start_soon(ask, client)
    assert sorted(seen) == [200] * AT_ONCE + [503]
    with pytest.raises(OSError, match="onnect"):
        await anyio.connect_tcp("127.0.0.1", int(shop.address.rpartition(":")[2]))
