"""The module of the order team: it trades, whoever asks for that."""

import anyio

from stretto import Context, Workflow, step

from .events import Progress, Quoted, Traded
from .pricing import pricing


class OrderStation(Workflow[None]):
    """Places an order where the feedback is good, and clears out where it is not."""

    def __init__(self, seconds: float = 0.01) -> None:
        super().__init__()
        self.seconds = seconds
        self.ended = 0

    @step
    async def trade(self, ctx: Context, ev: Quoted) -> Traded:
        """Trades at the price."""
        what = "ordered" if ev.feedback == "Good" else "cleared out"
        ctx.write_event_to_stream(Progress(text=f"{ev.sku} is being {what}"))
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.ended += 1
        return Traded(sku=ev.sku, what=f"{what} for {ev.cents}")


pricing.attach(OrderStation)
