"""So many bodies in a time, and so many at once of a key: who waits holds no worker, keeps its place, and is told."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    Limit,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowTimeoutError,
    step,
)
from stretto.limits import Rate
from stretto.retry import fixed
from tests import virtual

pytestmark = pytest.mark.anyio


class BoomError(Exception):
    pass


class Page(Event):
    host: str
    n: int = 0


class Fetched(Event):
    host: str
    n: int = 0


class Crawl(Workflow[list[Fetched]]):
    """Sends these pages at once to a step that takes a while for each, and joins what comes of them."""

    pages: tuple[Page, ...] = ()
    seconds = 0.0

    def __init__(self, pages: tuple[Page, ...], seconds: float = 0.0, **options: Any) -> None:
        self.pages = pages
        self.seconds = seconds
        self.began: list[tuple[str, int, float]] = []
        self.at_once: dict[str, int] = {}
        self.busiest: dict[str, int] = {}
        self.start = anyio.current_time()
        super().__init__(**options)

    @step
    async def begin(self, ev: StartEvent) -> list[Page]:
        return list(self.pages)

    async def work(self, ev: Page) -> Fetched:
        self.began.append((ev.host, ev.n, round(anyio.current_time() - self.start, 9)))
        self.at_once[ev.host] = self.at_once.get(ev.host, 0) + 1
        self.busiest[ev.host] = max(self.busiest.get(ev.host, 0), self.at_once[ev.host])
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.at_once[ev.host] -= 1
        return Fetched(host=ev.host, n=ev.n)

    @step
    async def end(self, fetched: list[Fetched]) -> StopEvent[list[Fetched]]:
        return StopEvent(result=fetched)


def pages(*hosts: str, each: int) -> tuple[Page, ...]:
    return tuple(Page(host=host, n=n) for n in range(each) for host in hosts)


# -- a rate --------------------------------------------------------------------------------------------------------


async def test_bodies_begin_evenly_and_in_the_order_in_which_their_events_came():
    class Slow(Crawl):
        @step(rate=Rate(4, per=1.0))
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    crawl = Slow(pages("a", each=6))
    assert len(await crawl.run()) == 6
    assert crawl.began == [("a", n, n / 4) for n in range(6)]


async def test_after_a_pause_a_burst_may_begin_at_once():
    class Slow(Crawl):
        @step(rate=Rate(2, per=1.0, burst=3), num_workers=10)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    crawl = Slow(pages("a", each=5))
    await crawl.run()
    assert [at for *_, at in crawl.began] == [0, 0, 0, 0.5, 1.0]


async def test_each_key_has_a_bucket_of_its_own():
    class Slow(Crawl):
        @step(rate=Rate(1, per=1.0, key="host"), num_workers=10)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    crawl = Slow(pages("a", "b", each=3))
    await crawl.run()
    assert crawl.began == [(host, n, n) for n in range(3) for host in "ab"]


async def test_what_waits_for_a_token_holds_no_worker():
    class Slow(Crawl):
        @step(rate=Rate(1, per=10.0, key=lambda ev: ev.host), num_workers=1)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    crawl = Slow((*pages("slow", each=3), *pages("a", "b", "c", each=1)))
    await crawl.run()
    assert [(host, at) for host, _, at in crawl.began[:4]] == [("slow", 0), ("a", 0), ("b", 0), ("c", 0)]
    assert [at for host, _, at in crawl.began if host == "slow"] == [0, 10, 20]


async def test_a_rate_is_shared_by_steps_workflows_and_runs_and_they_take_turns():
    shared = Rate(1, per=1.0)

    class One(Crawl):
        @step(rate=shared)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    class Other(Crawl):
        @step(rate=shared)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    crawls = [One(pages("a", each=2)), One(pages("b", each=2)), Other(pages("c", each=2))]
    async with anyio.create_task_group() as tg:
        for crawl in crawls:
            tg.start_soon(crawl.execute)
    began = sorted((at, host, n) for crawl in crawls for host, n, at in crawl.began)
    assert [at for at, *_ in began] == [0, 1, 2, 3, 4, 5]
    x, again, y, z, *rest = [host for _, host, _ in began]
    assert {x, y, z} == set("abc"), "they take turns"
    assert again == x, "who found a token is in the line first"
    assert rest == [y, z]


async def test_a_run_that_ends_while_it_is_first_in_line_lets_the_next_one_go():
    shared = Rate(1, per=10.0)

    class Slow(Crawl):
        @step(rate=shared)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    first, impatient, patient = Slow(pages("a", each=1)), Slow(pages("b", each=1)), Slow(pages("c", each=1))
    await first.run()
    async with anyio.create_task_group() as tg, impatient.run() as run:
        await anyio.sleep(1)
        tg.start_soon(patient.execute)
        await anyio.sleep(1)
        await run.cancel()
    assert run.leftovers == (Page(host="b"),)
    assert not impatient.began
    assert [at for *_, at in patient.began] == [10]


async def test_an_attempt_takes_a_token_and_a_pause_between_two_holds_none():
    class Flaky(Crawl):
        @step(rate=Rate(1, per=1.0), retry_policy=RetryPolicy(attempts=3, wait=fixed(0.25)))
        async def fetch(self, ev: Page) -> Fetched:
            fetched = await self.work(ev)
            if len(self.began) < 3:
                raise BoomError
            return fetched

    crawl = Flaky(pages("a", each=2))
    await crawl.run()
    assert crawl.began == [("a", 0, 0), ("a", 1, 1), ("a", 0, 2), ("a", 1, 3)]


async def test_at_the_deadline_what_waits_is_told_and_kept():
    class Slow(Crawl):
        @step(rate=Rate(1, per=10.0))
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    run = Slow(pages("a", each=3), timeout=15).run()
    with pytest.raises(
        WorkflowTimeoutError,
        match=r"queued: 1 for Slow\.fetch \(.*\) \(waiting for a token of Rate\(1, per=10\)\)",
    ):
        await run
    assert [each for each in run.leftovers if isinstance(each, Page)] == [Page(host="a", n=2)]


async def test_a_start_event_waits_as_others_do():
    once_a_second = Rate(1, per=1.0)

    class Starts(Workflow[float]):
        @step(rate=once_a_second)
        async def begin(self, ev: StartEvent) -> StopEvent[float]:
            return StopEvent(result=anyio.current_time() - began)

    began = anyio.current_time()
    assert [await Starts().run() for _ in range(3)] == pytest.approx([0, 1, 2])


async def test_a_run_that_waits_for_a_token_alone_is_not_stuck():
    class Alone(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> Page:
            return Page(host="a")

        @step(rate=Rate(1, per=5.0))
        async def again(self, ev: Page) -> Page | StopEvent[int]:
            return StopEvent(result=ev.n) if ev.n == 2 else Page(host="a", n=ev.n + 1)

    began = anyio.current_time()
    assert await Alone().run() == 2
    assert anyio.current_time() - began == 10


async def test_sent_events_wait_too_from_within_and_from_outside():
    class Go(Event, external=True):
        n: int

    class Takes(Workflow[list[float]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Go | None:
            ctx.send_event(Go(n=0))
            ctx.send_event(Go(n=1))

        @step(rate=Rate(1, per=1.0))
        async def take(self, ev: Go) -> StopEvent[list[float]] | None:
            began.append((ev.n, anyio.current_time() - start))
            return StopEvent(result=[at for _, at in began]) if ev.n == 3 else None

    began: list[tuple[int, float]] = []
    start = anyio.current_time()
    async with Takes().run() as run:
        await anyio.sleep(0.5)
        run.send_event(Go(n=2))
        run.send_event(Go(n=3))
        assert await run == pytest.approx([0, 1, 2, 3])
    assert [n for n, _ in began] == [0, 1, 2, 3]


async def test_a_step_that_waits_in_its_middle_gives_its_worker_to_what_has_a_token():
    class Answer(Event, external=True):
        pass

    class Asks(Workflow[list[float]]):
        @step
        async def begin(self, ev: StartEvent) -> list[Page]:
            return [Page(host="a", n=n) for n in range(3)]

        @step(rate=Rate(1, per=1.0), num_workers=1)
        async def ask(self, ctx: Context, ev: Page) -> Fetched:
            began.append(anyio.current_time() - start)
            await ctx.wait_for_event(Answer)
            return Fetched(host="a", n=ev.n)

        @step
        async def end(self, fetched: list[Fetched]) -> StopEvent[list[float]]:
            return StopEvent(result=began)

    began: list[float] = []
    start = anyio.current_time()
    async with Asks().run() as run:
        await anyio.sleep(5)
        for _ in range(3):
            run.send_event(Answer())
        assert await run == pytest.approx([0, 1, 2])


def test_a_rate_of_a_class_holds_in_one_loop_after_another(anyio_backend_name: str):
    rate = Rate(1, per=1.0)

    class Starts(Workflow[float]):
        @step(rate=rate)
        async def begin(self, ev: StartEvent) -> StopEvent[float]:
            return StopEvent(result=anyio.current_time())

    async def main() -> float:
        began = anyio.current_time()
        await Starts().run()
        return await Starts().run() - began

    for _ in range(2):
        assert virtual.run(main, backend=anyio_backend_name) == pytest.approx(1)


async def test_the_time_counts_at_which_a_step_sends_and_waits():
    class Answer(Event, external=True):
        pass

    class Sends(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Page | StopEvent[None]:
            await anyio.sleep(1)
            ctx.send_event(Page(host="a"))
            await anyio.sleep(0.5)
            ctx.send_event(Page(host="b"))
            await anyio.sleep(9)
            return StopEvent()

        @step(rate=Rate(1, per=1.0))
        async def fetch(self, ev: Page) -> None:
            began.append(anyio.current_time() - start)

    class Waits(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> list[Page]:
            return [*pages("a", each=3)]

        @step(rate=Rate(1, per=1.0), num_workers=1)
        async def fetch(self, ctx: Context, ev: Page) -> StopEvent[None] | None:
            began.append(anyio.current_time() - start)
            await anyio.sleep(1.5 if ev.n == 0 else 0.8125)
            await ctx.wait_for_event(Answer, timeout=5)
            return StopEvent()

    began: list[float] = []
    start = anyio.current_time()
    await Sends().run()
    assert began == [1, 2]
    began.clear()
    start = anyio.current_time()
    async with Waits().run() as run:
        for pause in (1.25, 1.0, 0.5):  # the machine hears of the time, and that there is a token
            await anyio.sleep(pause)
            run.send_event(Page(host="later"))
        await run.cancel()
    assert began == [0, 1.5, 2.5]


# -- a limit for each key ------------------------------------------------------------------------------------------


async def test_no_more_of_a_key_are_at_work_than_the_limit_says_and_others_go_on():
    class Slow(Crawl):
        @step(limiter=Limit(2, key="host"), num_workers=5)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    crawl = Slow((*pages("a", each=4), *pages("b", each=2)), seconds=1)
    await crawl.run()
    assert crawl.busiest == {"a": 2, "b": 2}
    assert crawl.began == [("a", 0, 0), ("a", 1, 0), ("b", 0, 0), ("b", 1, 0), ("a", 2, 1), ("a", 3, 1)]


async def test_a_limit_by_key_is_shared_by_runs_and_is_free_again_whatever_ends_a_body():
    shared = Limit(1, key="host")

    class Slow(Crawl):
        @step(limiter=shared)
        async def fetch(self, ev: Page) -> Fetched:
            fetched = await self.work(ev)
            if ev.n == 9:
                raise BoomError
            return fetched

    first, second = Slow((Page(host="a", n=9),), seconds=1), Slow(pages("a", "b", each=1), seconds=1)
    async with anyio.create_task_group() as tg:

        async def fails() -> None:
            with pytest.raises(BoomError):
                await first.run()

        tg.start_soon(fails)
        await anyio.sleep(0.5)
        await second.run()
    assert second.began == [("b", 0, 0.5), ("a", 0, 1)]
    assert len(shared.permits()) == 0


async def test_a_rate_and_a_limit_hold_together():
    class Slow(Crawl):
        @step(limiter=Limit(1, key="host"), rate=Rate(2, per=1.0), num_workers=5)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    crawl = Slow((*pages("a", each=2), *pages("b", each=2)), seconds=0.75)
    await crawl.run()
    assert crawl.busiest == {"a": 1, "b": 1}
    assert crawl.began == [("a", 0, 0), ("b", 0, 0.5), ("a", 1, 1), ("b", 1, 1.5)]


# -- what makes no sense -------------------------------------------------------------------------------------------


async def test_a_key_that_raises_fails_the_run_with_the_users_own_error():
    class Bad(Crawl):
        @step(rate=Rate(1, per=1.0, key=lambda ev: {}[ev.host]))
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    run = Bad(pages("a", each=1)).run()
    with pytest.raises(KeyError) as caught:
        await run
    assert (
        "raised by the key for a token of Rate(1, per=1, key=<lambda>) of Bad.fetch"
        in caught.value.__notes__[0]
    )
    assert [letter.event for letter in run.dead_letters] == [Page(host="a")]


async def test_a_key_that_cannot_be_hashed_fails_the_run():
    hosts: Any = lambda ev: [ev.host]  # noqa: E731 - to a checker it is whatever it should be

    class Bad(Crawl):
        @step(rate=Rate(1, per=1.0, key=hosts))
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    with pytest.raises(TypeError, match="unhashable"):
        await Bad(pages("a", each=1)).run()


@pytest.mark.parametrize(("most", "options"), [(0, {"per": 1}), (1, {"per": 0}), (1, {"per": 1, "burst": 0})])
def test_a_rate_that_is_none_is_refused(most: int, options: dict[str, Any]):
    with pytest.raises(DefinitionError):
        Rate(most, **options)


async def test_a_run_that_waits_for_its_turn_takes_neither_a_token_nor_a_seat():
    rate, limit = Rate(1, per=1.0), Limit(1, key="host")

    class Starts(StartEvent):
        host: str

    class Turns(Workflow[list[float]]):
        @step(rate=rate, limiter=limit)
        async def begin(self, ev: Starts) -> Page:
            began.append(anyio.current_time() - start)
            await anyio.sleep(3)
            return Page(host=ev.host)

        @step(limiter=limit)
        async def end(self, ev: Page) -> StopEvent[list[float]]:
            return StopEvent(result=began)

    began: list[float] = []
    start = anyio.current_time()
    turns = Turns(num_concurrent_runs=1)
    async with anyio.create_task_group() as tg:
        for _ in range(3):
            tg.start_soon(turns.execute, Starts(host="a"))
        await anyio.sleep(0.5)
        assert len(limit.permits()) == 1
    assert began == pytest.approx([0, 3, 6])
