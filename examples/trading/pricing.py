"""The module of the price team: steps that any workflow may take in."""

import anyio

from stretto import Context, StepGroup, step

from .events import Progress, Quoted, Trade

pricing = StepGroup("pricing")


@step(workflow=pricing)
async def quote(ctx: Context, ev: Trade) -> Quoted:
    """Asks for the price."""
    await anyio.sleep(0.01)
    cents = 10 * len(ev.sku)
    ctx.write_event_to_stream(Progress(text=f"{ev.sku} costs {cents}"))
    return Quoted(sku=ev.sku, feedback=ev.feedback, cents=cents)
