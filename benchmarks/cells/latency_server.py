"""A line server that answers late: `NUMBER SECONDS` in, `NUMBER` doubled out, `SECONDS` later.

It is a program of its own, so that it shares neither loop nor interpreter with those who are measured:

    python -m benchmarks.cells.latency_server

prints its port, and serves the loopback interface until its standard input is closed. So it ends with the
process that started it, however that process ends.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

BACKLOG = 2_048
"""A thousand callers connect in one breath; a full backlog would cost them a second each."""


class LateLine(asyncio.Protocol):
    """One connection: one question, one answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\n"):
            number, seconds = self._received.split()
            answer = b"%d\n" % (int(number) * 2)
            asyncio.get_running_loop().call_later(float(seconds), self._transport.write, answer)


async def serve() -> None:
    """Serves until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(LateLine, "127.0.0.1", 0, backlog=BACKLOG)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
