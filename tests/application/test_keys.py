"""The keys of ``Application.connect``: whatever goes wrong when one is told is the user's, and told as that."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from stretto import Application, Context, Event, StartEvent, StopEvent, Workflow, step

pytestmark = pytest.mark.anyio


class Page(Event, external=True):
    number: int = 0


class Fetched(Event):
    number: int = 0


class Root(Workflow[int]):
    """Sends two pages, or returns them, or is sent them from outside."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Page]:
        pages = [Page(number=number) for number in range(2)]
        if self.how == "returns":
            return pages
        for page in pages:
            ctx.send_event(page)
        return []

    @step
    async def end(self, ev: Fetched) -> StopEvent[int]:
        return StopEvent(result=ev.number)


class Outer(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> None: ...

    @step
    async def end(self, ev: Fetched) -> StopEvent[int]:
        return StopEvent(result=ev.number)


class Fetcher(Workflow):
    @step
    async def fetch(self, ev: Page) -> Fetched:
        return Fetched(number=ev.number)


class Unequal:
    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        raise ArithmeticError


async def later(ev: Page) -> int:
    return ev.number


def stops(ev: Page) -> Any:
    return next(iter(()))


WRONG: list[tuple[Callable[[Any], Any], type[Exception]]] = [
    (lambda ev: {}[ev.number], KeyError),
    (stops, RuntimeError),
    (lambda _: Unequal(), ArithmeticError),
    (lambda _: [], TypeError),
    (lambda ev: later(ev) or None, TypeError),
]


@pytest.mark.parametrize(("key", "error"), WRONG)
@pytest.mark.parametrize("how", ["returns", "sends"])
async def test_a_key_that_cannot_be_told_fails_the_run_with_the_users_own_error(
    key: Callable[[Any], Any], error: type[Exception], how: str
):
    """Where the event was returned it was an `InternalError`; a coroutine was a key."""
    app = Application(root=Root(how), fetcher=Fetcher()).connect(Page, key=key)
    async with app:
        with pytest.raises(error) as caught:
            await app.run("root")
    assert caught.value.__notes__[0].startswith("raised by connect(Page, key=")
    assert "(test_keys.py:" in caught.value.__notes__[0]
    assert "asked about Page(number=" in caught.value.__notes__[0]
    assert not any("another step failed" in note for note in caught.value.__notes__)
    assert how == "sends" or [letter.event for letter in app.dead_letters]
    gc.collect()  # a coroutine that nobody awaited would warn


@pytest.mark.parametrize(("key", "error"), [WRONG[0], WRONG[4]])
async def test_from_outside_it_is_told_to_who_sends(key: Callable[[Any], Any], error: type[Exception]):
    async with (
        Application(root=Outer(), fetcher=Fetcher()).connect(Page, key=key) as app,
        app.run("root") as run,
    ):
        with pytest.raises(error) as caught:
            run.send_event(Page())
        run.send_event(Fetched(number=3))
        assert await run == 3
    assert caught.value.__notes__[0].startswith("raised by connect(Page, key=")
