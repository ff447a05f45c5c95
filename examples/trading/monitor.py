"""The module of the feedback team: it looks at what customers say, and has somebody trade."""

from stretto import Context, StartEvent, StopEvent, Workflow, step

from .events import Progress, Trade, Traded


class FeedbackMonitor(Workflow[str]):
    """Knows no station: it sends a trade and is told what was done."""

    @step
    async def look(self, ctx: Context, ev: StartEvent) -> Trade:
        """Weighs the feedback."""
        ctx.write_event_to_stream(Progress(text=f"looking at {ev.payload}"))
        return Trade(sku=ev.payload, feedback="Good" if len(ev.payload) % 2 else "Bad")

    @step
    async def done(self, ev: Traded) -> StopEvent[str]:
        """Ends the run."""
        return StopEvent(result=f"{ev.sku}: {ev.what}")
