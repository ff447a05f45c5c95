"""What real I/O needs under its feet: a server, a folder of files, a database. All of it goes away again.

A ground gives the call that a step makes. It takes the number of the step and gives an integer, so that every
contender's sum can be checked against one that was computed when the ground was laid.
"""

from __future__ import annotations

import hashlib
import random
import resource
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

import anyio
import attrs
from anyio.abc import SocketAttribute

FILES, FILE_SIZE = 100, 256 * 1024
ROWS, SHOPS = 20_000, 50
ABORT = struct.pack("ii", 1, 0)

Call = Callable[[int], Awaitable[int]]


@attrs.frozen(kw_only=True)
class Ground:
    """A call for a step to make, and what it gives for each number."""

    call: Call
    answer: Callable[[int], int]

    def total(self, calls: int) -> int:
        """What the first `calls` calls add up to."""
        return sum(self.answer(number) for number in range(calls))


@contextmanager
def sockets(latency: float) -> Generator[Ground]:
    """A server on the loopback interface, in a process of its own, that answers after `latency` seconds."""
    allow_many_sockets()
    command = [sys.executable, "-m", "benchmarks.cells.latency_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        # communicate() closes the server's standard input, which ends it, and waits until it has ended.
        try:
            port = int(first_line(server))
            yield Ground(call=partial(ask, port, latency), answer=lambda number: number * 2)
        finally:
            server.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    """What a process that was just started says of itself."""
    if process.stdout is None:
        raise ValueError("this process was started without stdout=PIPE")
    return process.stdout.readline()


async def ask(port: int, latency: float, number: int) -> int:
    """One question over one connection."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"%d %g\n" % (number, latency))
        answer = await stream.receive()
        # Closed the polite way, tens of thousands of connections would wait out their last minute and use up
        # the ports.
        connection = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
        connection.setsockopt(SOL_SOCKET, SO_LINGER, ABORT)
    return int(answer)


def allow_many_sockets() -> None:
    """A thousand connections need more file descriptors than many shells allow at first."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def files() -> Generator[Ground]:
    """A folder of files with random content; a call reads one in a thread and hashes it."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        source = random.Random(7)
        paths = [Path(folder, f"{number:03}.bin") for number in range(FILES)]
        for path in paths:
            path.write_bytes(source.randbytes(FILE_SIZE))
        sums = [checksum(path) for path in paths]

        async def read(number: int) -> int:
            return await anyio.to_thread.run_sync(checksum, paths[number % FILES])

        yield Ground(call=read, answer=lambda number: sums[number % FILES])


def checksum(path: Path) -> int:
    """The first four bytes of the file's SHA-256, as a number that adds up."""
    return int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:4], "big")


@contextmanager
def database() -> Generator[Ground]:
    """A SQLite file with one table; a call opens it in a thread, adds up one shop's sales and closes it."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        path = Path(folder, "sales.sqlite")
        source = random.Random(7)
        sales = [(source.randrange(SHOPS), source.randrange(10_000)) for _ in range(ROWS)]
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE sale (shop INTEGER NOT NULL, cents INTEGER NOT NULL)")
            connection.executemany("INSERT INTO sale VALUES (?, ?)", sales)
        takings = [sum(cents for shop, cents in sales if shop == wanted) for wanted in range(SHOPS)]

        async def query(number: int) -> int:
            return await anyio.to_thread.run_sync(taking, path, number % SHOPS)

        yield Ground(call=query, answer=lambda number: takings[number % SHOPS])


def taking(path: Path, shop: int) -> int:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT sum(cents) FROM sale WHERE shop = ?", (shop,)).fetchone()
    return int(row[0])
