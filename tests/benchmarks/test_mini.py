"""The mini-engine is a yardstick only if it does the work."""

from __future__ import annotations

import anyio
import pytest

from benchmarks.contenders import steps
from benchmarks.contenders.mini import MiniRun, MiniStep, MiniStream, Stop


class Counting(steps.Fan):
    """A fan that knows how many of its pieces were ever at work together."""

    def __init__(self, pieces: int) -> None:
        super().__init__(pieces)
        self.active = self.most = 0

    async def work(self, run: MiniRun | None, event: steps.Work) -> steps.Done:
        self.active += 1
        self.most = max(self.most, self.active)
        await anyio.sleep(1)
        self.active -= 1
        return steps.Done(number=event.number)


@pytest.mark.anyio
async def test_pieces_that_wait_overlap() -> None:
    job = Counting(10)
    start = anyio.current_time()

    assert await MiniRun(steps.fan(job)).run(steps.Start(number=10)) == 45
    assert job.most == 10
    assert anyio.current_time() - start == pytest.approx(1, abs=0.1)


@pytest.mark.anyio
async def test_workers_are_bounded() -> None:
    job = Counting(10)
    table = steps.fan(job) | {steps.Work: MiniStep(job.work, workers=3)}

    assert await MiniRun(table).run(steps.Start(number=10)) == 45
    assert job.most == 3


@pytest.mark.anyio
@pytest.mark.parametrize(
    "table", [steps.three(steps.Three(anyio.sleep_forever)), steps.fan(steps.Sleepers(3, 60))]
)
async def test_timeout_is_an_error_with_and_without_a_task_group(table: steps.Table) -> None:
    with pytest.raises(TimeoutError):
        await MiniRun(table).run(steps.Start(number=3), 1)


@pytest.mark.anyio
async def test_stop_cancels_what_is_still_at_work() -> None:
    async def begin(run: MiniRun, event: steps.Start) -> Stop:
        run.send(steps.Work(number=1))
        await anyio.sleep(1)
        return Stop("first")

    table: steps.Table = {
        steps.Start: MiniStep(begin, sends=True),
        steps.Work: MiniStep(steps.Sleepers(1, 60).work),
    }

    assert await MiniRun(table).run(steps.Start()) == "first"


@pytest.mark.anyio
async def test_stream_gives_everything_in_order_to_a_reader_that_waits() -> None:
    sink = MiniStream()

    async def write() -> None:
        for number in range(3):
            await anyio.sleep(1)
            sink.write(number)
        sink.close()

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        seen = [item async for item in sink]

    assert seen == [0, 1, 2]
