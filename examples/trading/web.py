"""The application behind a web server: one endpoint that answers, and one that tells what happens meanwhile.

Both frameworks are here, with the same two endpoints. A client that goes away in the middle ends the run of its
request, and the run has ended before the server is done with it.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from stretto import Application, Event, Handler, StopEvent

from .monitor import FeedbackMonitor
from .station import OrderStation


class EventSource(Response):
    """The stream of a run as server-sent events.

    It is no async generator, so the block of the run is entered and left in one task, whatever becomes of the client.
    """

    media_type = "text/event-stream"

    def __init__(self, run: Handler[Any]) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self.run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends each event as it is written; a client that goes away cancels the run."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with anyio.create_task_group() as tg:
            tg.start_soon(self._watch, receive, tg.cancel_scope)
            async with self.run as run:
                async for ev in run.stream_events():
                    await send({"type": "http.response.body", "body": written(ev), "more_body": True})
            tg.cancel_scope.cancel()  # a server that closes says so to the watch as well
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


def written(ev: Event) -> bytes:
    """One event in the form that browsers read."""
    name = "stop" if isinstance(ev, StopEvent) else type(ev).__name__
    return f"event: {name}\ndata: {json.dumps(vars(ev))}\n\n".encode()


def application(seconds: float) -> Application:
    """The members, by name; neither imports the other."""
    return Application(monitor=FeedbackMonitor(), orders=OrderStation(seconds))


def in_fastapi(seconds: float = 0.01) -> FastAPI:
    """The endpoints in FastAPI."""
    trading = application(seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with trading:
            yield

    web = FastAPI(lifespan=lifespan)
    web.state.trading = trading

    @web.get("/trade/{payload}")
    async def trade(payload: str) -> dict[str, str]:
        return {"result": await trading.run("monitor", payload=payload)}

    @web.get("/stream/{payload}", response_class=EventSource)
    async def stream(payload: str) -> EventSource:  # noqa: ASYNC124 - a plain def would run in a thread
        return EventSource(trading.run("monitor", payload=payload))

    return web


def in_starlette(seconds: float = 0.01) -> Starlette:
    """The endpoints in Starlette."""
    trading = application(seconds)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with trading:
            yield

    async def trade(request: Request) -> JSONResponse:
        return JSONResponse({"result": await trading.run("monitor", payload=request.path_params["payload"])})

    async def stream(request: Request) -> EventSource:  # noqa: ASYNC124 - as above
        return EventSource(trading.run("monitor", payload=request.path_params["payload"]))

    web = Starlette(
        routes=[Route("/trade/{payload}", trade), Route("/stream/{payload}", stream)], lifespan=lifespan
    )
    web.state.trading = trading
    return web
