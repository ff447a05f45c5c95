"""The clocks under these tests keep promises too: exact, patient with threads, never stuck in silence."""

import asyncio
import time
from functools import partial

import anyio
import pytest
import trio

from tests import leaks, virtual

pytestmark = pytest.mark.anyio


async def test_an_hour_is_exact_and_takes_no_time():
    began = time.monotonic()
    start = anyio.current_time()
    await anyio.sleep(3600)
    assert anyio.current_time() == start + 3600
    assert time.monotonic() - began < 1


async def test_two_sleepers_wake_in_order_of_time():
    order: list[float] = []

    async def sleeper(seconds: float) -> None:
        await anyio.sleep(seconds)
        order.append(seconds)

    async with anyio.create_task_group() as tg:
        for seconds in (10.0 * 365 * 86400, 0.25, 7.0):
            tg.start_soon(sleeper, seconds)
    assert order == [0.25, 7.0, 10.0 * 365 * 86400]


async def test_time_does_not_jump_past_a_thread_at_work():
    start = anyio.current_time()
    with anyio.move_on_after(100) as scope:
        await anyio.to_thread.run_sync(partial(time.sleep, 0.05))
    assert not scope.cancelled_caught
    assert 0.04 < anyio.current_time() - start < 50
    assert virtual.threads_at_work() == 0


async def test_a_thread_with_a_limiter_of_its_own_is_counted():
    limiter = anyio.CapacityLimiter(1)
    with anyio.fail_after(100):
        await anyio.to_thread.run_sync(partial(time.sleep, 0.05), limiter=limiter)


async def test_a_thread_at_work_ages_the_clock_as_outside():
    start = anyio.current_time()
    with anyio.move_on_after(0.05) as scope:
        await anyio.to_thread.run_sync(partial(time.sleep, 0.2), abandon_on_cancel=True)
    assert scope.cancelled_caught
    assert 0.04 < anyio.current_time() - start < 0.19


@pytest.mark.usefixtures("real_time")
async def test_real_time_is_real():
    began = time.monotonic()
    await anyio.sleep(0.02)
    assert time.monotonic() - began >= 0.019


def test_a_program_that_waits_for_ever_is_told(anyio_backend_name: str):
    async def main() -> None:
        await anyio.Event().wait()

    with pytest.raises(virtual.Deadlock, match=r"test_virtual_time\.py:\d+ main"):
        virtual.run(main, backend=anyio_backend_name)


def test_sleeping_for_ever_is_a_deadlock_too(anyio_backend_name: str):
    with pytest.raises(virtual.Deadlock):
        virtual.run(anyio.sleep_forever, backend=anyio_backend_name)


def test_a_child_that_waits_for_ever_is_told(anyio_backend_name: str):
    async def main() -> None:
        async with anyio.create_task_group() as tg:
            tg.start_soon(anyio.Event().wait)
            await anyio.sleep(5)

    with pytest.raises(virtual.Deadlock):
        virtual.run(main, backend=anyio_backend_name)


async def test_the_leak_check_sees_a_task():
    before = leaks.Before()
    if trio.lowlevel.in_trio_run():
        task = trio.lowlevel.spawn_system_task(anyio.sleep, 1)
    else:
        task = asyncio.create_task(anyio.sleep(1))
    assert len(before.left_behind()) == 1, task
    await anyio.sleep(2)
    assert before.left_behind() == []


async def test_the_leak_check_sees_an_open_async_generator():
    async def numbers():
        yield 1
        yield 2

    before = leaks.Before()
    generator = numbers()
    await anext(generator)
    assert [line.split()[:3] for line in before.left_behind()] == [["open", "async", "generator"]]
    await generator.aclose()
    assert before.left_behind() == []


async def test_the_leak_check_sees_a_thread_at_work():
    before = leaks.Before()
    async with anyio.create_task_group() as tg:
        tg.start_soon(anyio.to_thread.run_sync, partial(time.sleep, 0.02))
        await anyio.sleep(0.001)
        assert "1 worker threads at work" in before.left_behind(look_for_generators=False)
    assert before.left_behind() == []
