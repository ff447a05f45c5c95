"""Random applications and random schedules: each event is handled once, or told as a dead letter, and none is lost."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from stretto import Application
from stretto.retry import fixed, no_wait
from stretto.supervision import Restart
from tests import virtual
from tests.properties.applications import (
    KINDS,
    Books,
    Node,
    Program,
    application,
    by_name,
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


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged: the traceback of each failure would take longer than all the rest."""
    logging.getLogger("stretto").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logging.getLogger("stretto").setLevel(logging.NOTSET)


restarts = st.builds(
    Restart,
    backoff=st.sampled_from([no_wait(), fixed(1.25)]),
    limit=st.just(1_000),
    mailbox=st.sampled_from(["keep", "discard"]),
    strategy=st.sampled_from(["one_for_one", "rest_for_one"]),
)


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(
    program=programs,
    fails=st.frozensets(st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=1),
    policies=st.fixed_dictionaries({f"m{number}": restarts for number in range(1, 4)}),
)
def test_where_members_fail_and_are_restarted_every_event_is_handled_to_its_end_or_told_and_never_twice(
    backend: str, program: Program, fails: frozenset[tuple[int, int]], policies: dict[str, Restart]
):
    """The rest is drained: what is in flight when a conversation is cut, after its result, is told by nobody."""
    program = attrs.evolve(program, drains=True)
    books = Books(program)
    books.fails = fails

    async def main() -> Application:
        there = application(program, books).members
        supervise = {name: policy for name, policy in policies.items() if name in there}
        async with application(program, books, supervise=supervise) as app:
            assert await app.run("m0") == "stopped"
            assert not +books.open
        return app

    with quiet():
        app = virtual.run(main, backend=backend)
    assert books.astray == []
    assert not books.handled - books.sent
    ended = books.done | Counter({each: count for each, count in books.handled.items() if not each[0]})
    done, told = by_name(ended), dead(app)  # what m0 is at work on is cut when it has its result
    assert {
        name: (count, done[name], told[name])
        for name, count in by_name(books.sent).items()
        if done[name] + told[name] != count and (done[name], told[name]) != (0, 1)
    } == {}


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


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(program=programs, cuts=st.lists(st.integers(0, 5).map(lambda whole: whole + 0.25), max_size=3))
def test_what_is_cut_off_and_resumed_is_handled_once_more_at_most(
    backend: str, program: Program, cuts: list[float]
):
    """What was at work is handled again; everything else once, or it is told as a dead letter, before or after."""
    if not program.drains:
        # What is cut just when it sends is told once, and then nobody knows how often it was sent.
        program = attrs.evolve(program, closes=frozenset())
    books = Books(program)
    letters = dead(application(program, books))
    again = by_name(books.open)

    async def for_a_while(data: Any, seconds: float) -> Any:
        nonlocal letters, again
        async with application(program, books) as app:
            async with app.run("m0") if data is None else app.resume(data, types=[Node, *KINDS]) as run:
                with anyio.move_on_after(seconds):
                    assert await run == "stopped"
                letters += dead(app)
                if run.done:
                    return None
                written = run.ctx.to_dict(types=[Node, *KINDS])
                again += by_name(books.open)
                await run.cancel()
            return json.loads(json.dumps(written))

    async def main() -> None:
        data: Any = None
        for seconds in [*cuts, 1e6]:
            data = await for_a_while(data, seconds)
            if data is None:
                return

    virtual.run(main, backend=backend)
    assert books.astray == []
    assert by_name(books.handled) + letters == by_name(books.sent) + again
