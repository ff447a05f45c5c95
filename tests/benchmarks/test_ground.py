"""What real I/O stands on is right while it is there, and gone afterwards."""

from __future__ import annotations

import sqlite3

import anyio
import pytest

from benchmarks.cells import ground
from benchmarks.cells.memory import weighing


@pytest.mark.parametrize("lay", [lambda: ground.sockets(0.001), ground.files, ground.database])
def test_calls_give_what_was_computed_beforehand(lay, anyio_backend_name: str) -> None:
    async def call_some() -> int:
        return sum([await laid.call(number) for number in range(5)])

    with lay() as laid:
        assert anyio.run(call_some, backend=anyio_backend_name) == laid.total(5)


def test_server_answers_late(anyio_backend_name: str) -> None:
    async def call_once() -> float:
        start = anyio.current_time()
        await laid.call(7)
        return anyio.current_time() - start

    with ground.sockets(0.05) as laid:
        assert anyio.run(call_once, backend=anyio_backend_name) >= 0.05


@pytest.mark.parametrize(
    ("lay", "error"),
    [
        (lambda: ground.sockets(0.001), OSError),
        (ground.files, FileNotFoundError),
        (ground.database, sqlite3.OperationalError),
    ],
)
def test_ground_is_gone_afterwards_also_when_the_block_fails(lay, error, anyio_backend_name: str) -> None:
    with pytest.raises(ZeroDivisionError), lay() as laid:
        raise ZeroDivisionError

    with pytest.raises(error):
        anyio.run(laid.call, 1, backend=anyio_backend_name)


def test_scales_see_what_is_kept() -> None:
    kept: list[bytes] = []
    with weighing() as scales:
        kept += [bytes(1_000) for _ in range(100)]
        scales.weigh()

    assert 100_000 <= scales.weight <= 120_000


def test_scales_do_not_see_what_is_gone() -> None:
    with weighing() as scales:
        for _ in range(100):
            bytes(1_000)
        scales.weigh()

    assert scales.weight < 1_000
