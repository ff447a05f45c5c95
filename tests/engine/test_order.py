"""P7: the order in which steps start is told by the program alone, and is the same on both backends."""

from __future__ import annotations

import anyio
import pytest

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class Other(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class Notes(Workflow[list[str]]):
    def __init__(self) -> None:
        self.log: list[str] = []
        super().__init__()


async def test_deliveries_start_in_the_order_they_were_sent():
    class Fan(Notes):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Other | Done | None:
            for number in range(4):
                ctx.send_event(Job(number=number))
                ctx.send_event(Other(number=number))
            ctx.send_event(Done())

        @step(num_workers=10)
        async def job(self, ev: Job) -> None:
            self.log.append(f"job {ev.number}")
            await anyio.sleep(1)

        @step(num_workers=10)
        async def other(self, ev: Other) -> None:
            self.log.append(f"other {ev.number}")

        @step
        async def done(self, ev: Done) -> StopEvent:
            await anyio.sleep(5)
            return StopEvent(result=self.log)

    assert await Fan().run() == [f"{kind} {number}" for number in range(4) for kind in ("job", "other")]


async def test_the_steps_of_one_event_start_in_order_of_definition_base_class_first():
    class Base(Notes):
        @step
        async def zebra(self, ev: StartEvent) -> None:
            self.log.append("zebra")

        @step
        async def apple(self, ev: StartEvent) -> None:
            self.log.append("apple")

    class Derived(Base):
        @step
        async def aardvark(self, ev: StartEvent) -> StopEvent:
            self.log.append("aardvark")
            await anyio.sleep(1)
            return StopEvent(result=self.log)

        @step
        async def zoo(self, ev: StartEvent) -> None:
            self.log.append("zoo")

    assert await Derived().run() == ["zebra", "apple", "aardvark", "zoo"]


async def test_an_overridden_step_keeps_the_place_of_the_one_it_overrides():
    class Base(Notes):
        @step
        async def first(self, ev: StartEvent) -> None:
            self.log.append("base first")

        @step
        async def second(self, ev: StartEvent) -> StopEvent:
            await anyio.sleep(1)
            return StopEvent(result=self.log)

    class Derived(Base):
        @step
        async def third(self, ev: StartEvent) -> None:
            self.log.append("third")

        @step
        async def first(self, ev: StartEvent) -> None:
            self.log.append("derived first")

    assert await Derived().run() == ["derived first", "third"]


async def test_an_unbound_step_comes_after_those_of_the_class():
    class Mixed(Notes):
        @step
        async def inside(self, ev: StartEvent) -> StopEvent:
            log.append("inside")
            await anyio.sleep(1)
            return StopEvent(result=log)

    @step(workflow=Mixed)
    async def added(ev: StartEvent) -> None:
        log.append("added")

    log: list[str] = []
    assert await Mixed().run() == ["inside", "added"]


async def test_what_waits_for_a_worker_is_started_first_come_first_served():
    class Queue(Notes):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(6):
                ctx.send_event(Job(number=number))

        @step(num_workers=2)
        async def work(self, ev: Job) -> StopEvent | None:
            self.log.append(f"{ev.number} at {anyio.current_time() - began:g}")
            await anyio.sleep(1 if ev.number % 2 else 1.5)
            return StopEvent(result=self.log) if ev.number == 5 else None

    began = anyio.current_time()
    assert await Queue().run() == ["0 at 0", "1 at 0", "2 at 1", "3 at 1.5", "4 at 2.5", "5 at 2.5"]


async def test_what_a_worker_frees_goes_to_the_tail():
    """Jobs 0 and 1 end; each frees a queued job, which stands behind what was ready before it."""

    class Tail(Notes):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Other | None:
            for number in range(2):
                ctx.send_event(Job(number=number))
            for number in range(3):
                ctx.send_event(Other(number=number))

        @step(num_workers=1)
        async def job(self, ev: Job) -> None:
            self.log.append(f"job {ev.number}")

        @step
        async def other(self, ev: Other) -> StopEvent | None:
            self.log.append(f"other {ev.number}")
            if ev.number == 2:
                await anyio.sleep(1)
                return StopEvent(result=self.log)
            return None

    assert await Tail().run() == ["job 0", "other 0", "other 1", "other 2", "job 1"]


async def test_a_returned_event_stands_behind_what_was_sent_before():
    class Mixed(Notes):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Other:
            ctx.send_event(Job(number=1))
            ctx.send_event(Job(number=2))
            return Other(number=3)

        @step
        async def job(self, ev: Job) -> None:
            self.log.append(f"job {ev.number}")

        @step
        async def other(self, ev: Other) -> StopEvent:
            self.log.append(f"other {ev.number}")
            await anyio.sleep(1)
            return StopEvent(result=self.log)

    assert await Mixed().run() == ["job 1", "job 2", "other 3"]


async def test_a_returned_list_is_sent_in_its_order():
    class Lists(Notes):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in (3, 1, 2)]

        @step
        async def job(self, ev: Job) -> StopEvent | None:
            self.log.append(str(ev.number))
            if len(self.log) == 3:
                return StopEvent(result=self.log)
            return None

    assert await Lists().run() == ["3", "1", "2"]


async def test_steps_that_never_suspend_run_in_order_and_each_to_its_end():
    class Sync(Notes):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(50):
                ctx.send_event(Job(number=number))

        @step(num_workers=4)
        async def work(self, ev: Job) -> Done:
            self.log.append(f"work {ev.number}")
            return Done(number=ev.number)

        @step(num_workers=1)
        async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
            batch = ctx.collect_events(ev, [Done] * 50)
            return None if batch is None else StopEvent(result=[str(done.number) for done in batch])

    assert await Sync().run() == [str(number) for number in range(50)]


async def test_a_step_with_one_worker_never_runs_twice_at_once():
    class One(Notes):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(5):
                ctx.send_event(Job(number=number))

        @step(num_workers=1)
        async def work(self, ev: Job) -> StopEvent | None:
            self.log.append("in")
            await anyio.sleep(0.5)
            self.log.append("out")
            return StopEvent(result=self.log) if ev.number == 4 else None

    assert await One().run() == ["in", "out"] * 5


async def test_four_workers_is_what_a_step_has_unless_it_says_otherwise():
    class Four(Notes):
        at_work = most = 0

        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(12):
                ctx.send_event(Job(number=number))

        @step
        async def work(self, ev: Job) -> StopEvent | None:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            await anyio.sleep(1)
            self.at_work -= 1
            return StopEvent(result=[str(self.most)]) if ev.number == 11 else None

    assert await Four().run() == ["4"]
