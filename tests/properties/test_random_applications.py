"""Random applications and random schedules: each event is handled once, or told as a dead letter, and none is lost."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import HealthCheck, given, settings

from tests import virtual
from tests.properties.applications import (
    Books,
    Program,
    application,
    dead,
    programs,
    unaccounted,
)

SLOW = [HealthCheck.too_slow]


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(program=programs)
def test_every_event_is_handled_once_or_a_dead_letter_and_goes_nowhere_by_accident(
    backend: str, program: Program
):
    books = Books(program)

    async def main() -> Any:
        async with application(program, books) as app:
            assert await app.run("m0") == "stopped"
            assert not +books.open
        return app

    app = virtual.run(main, backend=backend)
    assert books.astray == []
    assert not books.handled - books.sent
    assert unaccounted(books, app) == {}


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(program=programs)
def test_an_application_does_the_same_on_both_backends(program: Program):
    """At one moment the loops take their turns as they like: so nobody waits for a worker, and none is closed."""
    program = attrs.evolve(program, closes=frozenset())

    async def main(books: Books) -> Any:
        async with application(program, books, workers=1_000) as app:
            began = anyio.current_time()
            assert await app.run("m0") == "stopped"
            took = anyio.current_time() - began
        return took, sorted(books.times), dead(app)

    one, other = (virtual.run(partial(main, Books(program)), backend=each) for each in virtual.BACKENDS)
    assert one == other
