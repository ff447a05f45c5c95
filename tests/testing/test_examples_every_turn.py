"""Cancelled at every turn of the loop, every example cleans up, leaves nothing, and lets the cancellation through."""

from __future__ import annotations

from typing import Any

import pytest

from stretto import Application, StartEvent
from tests.sweep import HOWS, Ending, sweep
from tests.testing.programs import EXAMPLES


async def run(options: dict[str, Any]) -> object:
    """One of the examples, without `explore`."""
    made, start = options["workflow"](), options.get("start", StartEvent())
    if isinstance(made, Application):
        async with made as app, app.run(options["member"], start) as running:
            return await running
    async with made.run(start) as running:
        if "beside" in options:
            await options["beside"](running)
        return await running


def came_through(ending: Ending) -> None:
    assert ending.cancelled or ending.error is None
    assert (
        ending.overrun < 0.2
    )  # a thread takes its time, and on trio the clock may jump once before Ctrl-C is seen


@pytest.mark.parametrize(("backend", "how"), HOWS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_may_be_cancelled_at_every_turn(name: str, backend: str, how: str):
    assert sweep(lambda: run(EXAMPLES[name]), backend=backend, how=how, check=came_through) > 3
