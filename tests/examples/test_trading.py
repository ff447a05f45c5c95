"""The application of three modules, alone and behind real sockets, on both loops."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypercorn.config import Config

from examples.trading.__main__ import main
from examples.trading.web import in_fastapi, in_starlette

pytestmark = pytest.mark.anyio

FRAMEWORKS = [in_fastapi, in_starlette]


@asynccontextmanager
async def serving(web: Any, backend: str) -> AsyncIterator[int]:
    """A server on a port of its own; it is shut down, and its end waited for, when the block is left."""
    if backend == "asyncio":
        from hypercorn.asyncio import serve
    else:
        from hypercorn.trio import serve  # type: ignore[assignment]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.graceful_timeout = 2
        stop = anyio.Event()
        port_of = socket.socket(fileno=int(config.bind[0].removeprefix("fd://")))
        port = port_of.getsockname()[1]
        port_of.detach()
        async with anyio.create_task_group() as tg:

            async def serve_it() -> None:
                await serve(web, config, shutdown_trigger=stop.wait)

            tg.start_soon(serve_it)
            yield port
            stop.set()


async def asked(port: int, path: str) -> anyio.abc.SocketStream:
    client = await anyio.connect_tcp("127.0.0.1", port)
    await client.send(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
    return client


async def read_all(client: anyio.abc.SocketStream) -> str:
    received = b""
    async with client:
        try:
            while True:
                received += await client.receive()
        except anyio.EndOfStream:
            return received.decode()


async def test_the_program_prints_what_the_three_modules_say(capsys: pytest.CaptureFixture[str]):
    await main()
    assert capsys.readouterr().out.splitlines() == [
        "Progress(text='looking at Apple')",
        "Progress(text='Apple costs 50')",
        "Progress(text='Apple is being ordered')",
        "StopEvent(result='Apple: ordered for 50')",
    ]


@pytest.mark.parametrize("make", FRAMEWORKS)
async def test_an_endpoint_answers_with_the_result(
    make: Callable[..., Any], anyio_backend_name: str, real_time: None
):
    async with serving(make(), anyio_backend_name) as port:
        answer = await read_all(await asked(port, "/trade/Apple"))
    assert answer.startswith("HTTP/1.1 200")
    assert answer.rstrip().endswith('{"result":"Apple: ordered for 50"}')


@pytest.mark.parametrize("make", FRAMEWORKS)
async def test_an_endpoint_tells_what_happens_as_server_sent_events(
    make: Callable[..., Any], anyio_backend_name: str, real_time: None
):
    async with serving(make(), anyio_backend_name) as port:
        answer = await read_all(await asked(port, "/stream/Apple"))
    assert "content-type: text/event-stream" in answer
    assert re.findall(r"event: (\w+)", answer) == ["Progress", "Progress", "Progress", "stop"]
    assert 'data: {"result": "Apple: ordered for 50"}' in answer


@pytest.mark.parametrize("make", FRAMEWORKS)
async def test_a_client_that_goes_away_in_the_middle_ends_the_run(
    make: Callable[..., Any], anyio_backend_name: str, real_time: None
):
    web = make(60)
    station = web.state.trading.members["orders"]
    async with serving(web, anyio_backend_name) as port:
        client = await asked(port, "/stream/Apple")
        received = b""
        while b"being ordered" not in received:
            received += await client.receive()
        assert station.ended == 0
        await client.aclose()
        with anyio.fail_after(10):
            while not station.ended:  # noqa: ASYNC110 - the other side is a server
                await anyio.lowlevel.checkpoint()
    assert station.ended == 1
