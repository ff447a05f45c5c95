"""The floor's side: the steps of `steps.py` awaited by hand, on bare tasks where they run at once."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from benchmarks.contenders.mini import Stop
from benchmarks.contenders.native import Native
from benchmarks.contenders.steps import Done, Fan, Hop, Loop, Smallest, Start, Three, Tick, Wait, Work

SMALLEST, LOOP = Smallest(), Loop()


async def smallest(number: int) -> object:
    return (await SMALLEST.begin(None, Start(number=number))).result


async def loop(turns: int) -> object:
    event: Hop | Stop = await LOOP.begin(None, Start(number=turns))
    while isinstance(event, Hop):
        event = await LOOP.turn(None, event)
    return event.result


async def fan(floor: Native, pieces: int, job: Fan) -> int:
    """One bare task for each piece, and a list for the join."""
    done: list[Done] = []

    async def one(event: Work) -> None:
        done.append(await job.work(None, event))

    await floor.each(one, [Work(number=number) for number in range(pieces)])
    return sum([piece.number for piece in done])


async def stream(floor: Native, ticks: int) -> int:
    return await floor.relay(ticks, lambda number: Tick(number=number))


async def three(number: int, wait: Wait) -> object:
    job = Three(wait)
    last = await job.middle(None, await job.begin(None, Start(number=number)))
    return (await job.end(None, last)).result


async def ask(questions: int) -> int:
    """Two tasks, a question and an answer at a time."""
    ask, asked = anyio.create_memory_object_stream[int](1)
    answer, answered = anyio.create_memory_object_stream[int](1)
    right = 0

    async def answers() -> None:
        async for number in asked:
            await answer.send(number)

    async with asked, answer, answered, anyio.create_task_group() as group:
        group.start_soon(answers)
        async with ask:
            for number in range(questions):
                await ask.send(number)
                right += await answered.receive() == number
    return right


async def tries(attempts: int) -> int:
    """A loop round a call that fails, and the turn of the loop that each attempt owes."""

    async def call(attempt: int) -> int:  # noqa: ASYNC124 - as a step is
        if attempt < attempts:
            raise ConnectionError
        return attempt

    attempt = 1
    while True:
        try:
            return await call(attempt)
        except ConnectionError:
            attempt += 1
            await checkpoint()


async def join(branches: int) -> int:
    """A task for each branch, and a list."""
    done: list[int] = []

    async def work(number: int) -> None:  # noqa: ASYNC124 - as a step is
        done.append(number)

    async with anyio.create_task_group() as group:
        for number in range(branches):
            group.start_soon(work, number)
    return len(set(done))
