"""What the user's functions may do wrong that stretto asks between two steps: predicates, keys and priorities.

Whatever they raise or give comes out at `await run` as the user's mistake, with whose function it was and about which
event it was asked, and never as a fault of stretto.
"""

from __future__ import annotations

import decimal
import functools
import gc
import math
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Annotated, Any

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
    step,
)
from stretto.joins import ByKey, Quorum, Until
from stretto.limits import Rate

pytestmark = pytest.mark.anyio


class Page(Event):
    host: str = "a"
    number: int = 0


class Fetched(Event):
    number: int


class Gate(Event):
    pass


def stops(*_: object) -> Any:
    return next(iter(()))


async def later(*_: object) -> bool:
    return False


def awaitable(*_: object) -> Any:
    return later()


class Crawl(Workflow[list[int]]):
    """Sends pages to one step, which has a policy, and gives the numbers in the order in which they were fetched."""

    def __init__(self, pages: Sequence[Page], **options: Any) -> None:
        super().__init__(**options)
        self.pages = pages
        self.begun: list[int] = []

    @step
    async def begin(self, ev: StartEvent) -> list[Page]:
        return list(self.pages)

    @step
    async def fetch(self, ev: Page) -> Fetched:
        raise NotImplementedError

    async def work(self, ev: Page) -> Fetched:
        self.begun.append(ev.number)
        await anyio.sleep(0.01)
        return Fetched(number=ev.number)

    @step
    async def end(self, fetched: list[Fetched]) -> StopEvent[list[int]]:
        return StopEvent(result=self.begun)


def crawl(**options: Any) -> Crawl:
    class Held(Crawl):
        @step(**options)
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    return Held([Page(number=number) for number in range(3)])


def poll(policy: Any) -> Workflow[int]:
    class Poll(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Page]:
            return [Page(number=number) for number in range(3)]

        @step
        async def decide(self, pages: Annotated[list[Page], policy]) -> StopEvent[int]:
            return StopEvent(result=len(pages))

    return Poll()


def waiting(where: Any) -> Workflow[int]:
    class Waits(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Page | StopEvent[int] | None:
            ctx.send_event(Gate())
            await ctx.wait_for_event(Page, where=where)
            return StopEvent(result=0)

        @step
        async def other(self, ev: Gate) -> Page:
            return Page()

    return Waits()


def retrying(on: Any) -> Workflow[int]:
    class Tries(Workflow[int]):
        @step(retry_policy=RetryPolicy(attempts=3, on=on))
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            raise LookupError("no")

    return Tries()


ASKED: dict[str, tuple[Callable[[Any], Workflow[Any]], str]] = {
    "Quorum": (lambda function: poll(Quorum(function)), "by which Poll.decide"),
    "Until": (lambda function: poll(Until(function)), "by which Poll.decide"),
    "ByKey": (lambda function: poll(ByKey(function)), "by which Poll.decide"),
    "Limit": (lambda function: crawl(limiter=Limit(1, key=function)), "of Held.fetch"),
    "Rate": (lambda function: crawl(rate=Rate(9, per=1.0, key=function)), "of Held.fetch"),
    "priority": (lambda function: crawl(priority=function), "of Held.fetch"),
    "singleton": (lambda function: crawl(singleton="refuse", key=function), "of Held.fetch"),
    "where": (waiting, "a wait for Page was asked whether Page("),
    "retry": (retrying, "of Tries.begin"),
}


@pytest.fixture(params=ASKED)
def asked(request: pytest.FixtureRequest) -> tuple[Callable[[Any], Workflow[Any]], str]:
    return ASKED[request.param]


async def test_a_function_that_raises_stop_iteration_is_told_and_is_the_cause(asked: Any):
    """It came out as a RuntimeError of Python's, and what told whose it is was on its cause alone."""
    make, told = asked
    with pytest.raises(RuntimeError) as caught:
        await make(stops).run()
    assert isinstance(caught.value.__cause__, StopIteration)
    assert any(told in note for note in caught.value.__notes__)
    assert "stops (test_users_functions.py:" in str(caught.value)


async def test_a_function_whose_answer_is_to_be_awaited_is_refused(asked: Any):
    """A lambda or a partial around an async function gave a coroutine, which is true, and a Quorum was one at once."""
    make, told = asked
    for function in (awaitable, functools.partial(lambda _, ev: later(ev), 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that a coroutine was never awaited, too
            with pytest.raises(TypeError, match=r"gave the coroutine later\(\)") as caught:
                await make(function).run()
            del function
            gc.collect()
        assert any(told in note for note in caught.value.__notes__)


async def test_a_partial_of_an_async_function_is_refused_where_the_policy_is_made(asked: Any):
    make, _ = asked
    with pytest.raises((DefinitionError, TypeError), match=r"async|coroutine"):
        await make(functools.partial(later, 0)).run()


async def test_a_function_that_gives_another_awaitable_is_refused_as_well(asked: Any):
    class Later:
        def __await__(self) -> Any:
            yield

    make, told = asked
    with pytest.raises(TypeError, match="Later") as caught:
        await make(lambda _: Later()).run()
    assert any(told in note for note in caught.value.__notes__)


# -- keys ------------------------------------------------------------------------------------------------------------


class Unequal:
    """A key that cannot be compared."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error or ArithmeticError("compared")

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        raise self.error


class Unhashed:
    def __hash__(self) -> int:
        raise ArithmeticError("hashed")


BY_KEY: dict[str, Callable[[Any], Workflow[Any]]] = {
    "ByKey": lambda key: poll(ByKey(key)),
    "Limit": lambda key: crawl(limiter=Limit(1, key=key)),
    "Rate": lambda key: crawl(rate=Rate(9, per=1.0, key=key)),
    "singleton": lambda key: crawl(singleton="refuse", key=key),
    "debounce": lambda key: crawl(debounce=0.1, key=key),
    "latest": lambda key: crawl(overflow="latest", num_workers=1, key=key),
}


@pytest.mark.parametrize("kind", [Unequal, Unhashed, lambda: Unequal(StopIteration())])
@pytest.mark.parametrize("option", BY_KEY)
async def test_a_key_that_cannot_be_compared_is_told_as_one_that_raises(
    option: str, kind: Callable[[], Hashable]
):
    """An `InternalError` asked the user to report it as a fault of stretto."""
    workflow = BY_KEY[option](lambda _: kind())
    run = workflow.run()
    with pytest.raises((ArithmeticError, RuntimeError)) as caught:
        await run
    found = caught.value if isinstance(caught.value, ArithmeticError) else caught.value.__cause__
    assert isinstance(found, (ArithmeticError, StopIteration))
    assert any("asked about Page(" in note and ".py:" in note for note in caught.value.__notes__)


async def test_a_key_that_can_be_compared_only_when_its_event_is_let_in_is_told_then():
    """Each waits for quiet, unlike the other; only then does the rate see both."""

    class Quiet(Crawl):
        @step(debounce=0.1, key="number", rate=Rate(9, per=1.0, key=lambda _: Unequal()))
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    run = Quiet([Page(number=1), Page(number=2)]).run()
    with pytest.raises(ArithmeticError) as caught:
        await run
    assert any("key for a token of Rate(9, per=1" in note for note in caught.value.__notes__)
    assert [letter.event for letter in run.dead_letters] == [Page(number=2)]


# -- priorities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ([1, 10**400, 2], [1, 2, 0]),
        ([-(10**400), 0, 1.5], [2, 1, 0]),
        ([math.inf, 10**400, -math.inf], [0, 1, 2]),
        ([False, True, 0.5], [1, 2, 0]),
        ([2**53, 2**53 + 1, float(2**53)], [1, 0, 2]),
    ],
)
async def test_numbers_of_any_size_are_priorities(given: list[float], order: list[int]):
    """An int larger than any float came out as an OverflowError of Python's."""

    class Ranked(Crawl):
        @step(num_workers=1, priority=lambda ev: [*given, 0][ev.number])
        async def fetch(self, ev: Page) -> Fetched:
            return await self.work(ev)

    pages = [Page(number=number) for number in (3, 0, 1, 2)]  # the first to come is the first to begin
    assert await Ranked(pages).run() == [3, *order]


@pytest.mark.parametrize("given", [math.nan, "high", None, decimal.Decimal(1), [1]])
async def test_what_is_no_number_of_python_is_no_priority(given: Any):
    run = crawl(priority=lambda _: given).run()
    with pytest.raises(
        TypeError, match="a priority is an int or a float, the higher the sooner, not"
    ) as caught:
        await run
    assert "raised by priority= of Held.fetch (" in caught.value.__notes__[0]


# -- the latest of a stream -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Unequal, Unhashed])
async def test_a_field_that_cannot_be_compared_is_like_no_other_to_a_reader_of_the_latest(
    kind: Callable[[], object],
):
    class Told(Event):
        what: Any

    class Tells(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            for _ in range(3):
                ctx.write_event_to_stream(Told(what=kind()))
            return StopEvent(result=0)

    async with Tells().run() as run:
        stream = run.stream_events(latest="what")
        assert len([ev async for ev in stream]) == 4
        assert stream.superseded == 0
