"""Trades once and prints what is said meanwhile."""

import argparse

import anyio

from stretto import Application

from .monitor import FeedbackMonitor
from .station import OrderStation


async def main() -> None:
    """Runs the application."""
    async with (
        Application(monitor=FeedbackMonitor(), orders=OrderStation()) as app,
        app.run("monitor", payload="Apple") as run,
    ):
        async for ev in run.stream_events():
            print(ev)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
