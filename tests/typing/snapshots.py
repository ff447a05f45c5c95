"""What type checkers say of snapshots and of effects that happen once; read by them, never run."""

from __future__ import annotations

from typing import Any, assert_type

from stretto import Context, Event, StartEvent, StopEvent, ThreadContext, Workflow, step
from stretto.snapshots import snapshot_type


@snapshot_type
class Receipt:
    number: int = 0


@snapshot_type(version=2)
class Bill(Event, version=2):
    cents: int


class Pay(Workflow[int]):
    @step
    async def pay(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
        async def charge() -> int:
            return 3

        def note() -> str:
            return "noted"

        assert_type(await ctx.once("charge", charge), int)
        assert_type(await ctx.once("note", note), str)
        assert_type(ctx.to_dict(types=[Receipt]), dict[str, Any])
        ctx.once(3, charge)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        return StopEvent(result=1)

    @step
    def pay_in_thread(self, ctx: ThreadContext, ev: Bill) -> StopEvent[int]:
        return StopEvent(result=ctx.once("charge", lambda: ev.cents))


async def a_run_goes_on(data: dict[str, Any]) -> None:
    assert_type(Receipt(), Receipt)
    assert_type(await Pay().run(ctx=Context.from_dict(Pay(), data, types=[Receipt])), int)
    async with Pay().run() as run:
        assert_type(run.ctx.to_dict(), dict[str, Any])
