"""The floor's side: the steps of `steps.py` awaited by hand, on bare tasks where they run at once."""

from __future__ import annotations

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
