"""What it costs to hold back, counted and not timed: eight times the events cost eight times the steps, and some more.

That is the logarithm of what waits, where there is an order by priority or by time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from stretto._core.permits import Permits
from stretto._core.policies import Overflow, Policies, Quiet, Singleton
from stretto.events import Event
from tests.core.counting import steps_during
from tests.core.flowing import Loop, seats, tokens
from tests.core.plans import step


class Job(Event):
    n: int


def some(event: Event) -> int:
    assert isinstance(event, Job)
    return event.n % 7


def each(event: Event) -> int:
    assert isinstance(event, Job)
    return event.n


def program(events: int, policies: Policies, sources: Mapping[int, Sequence[Permits]]) -> None:
    loop = Loop()
    run = loop.run(step(accepts=(Job,), policies=policies), sources=sources)
    for n in range(events):
        run.send(Job(n=n))
    while run.machine.flows or run.machine.active:
        while run.machine.active:
            run.ends(next(iter(run.machine.active)))
        loop.advance(1)


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("policies", "permits"),
    [
        (Policies(priority=some), None),
        (Policies(permits=(None,)), lambda: tokens(0.25)),
        (Policies(permits=(some,)), lambda: tokens(0.25)),
        (Policies(permits=(each,)), lambda: tokens(0.25)),
        (Policies(permits=(each,)), lambda: seats(1)),
        (Policies(size=10, overflow=Overflow.DROP_OLDEST), None),
        (Policies(key=some, overflow=Overflow.LATEST), None),
        (Policies(key=some, singleton=Singleton.CANCEL), None),
        (Policies(key=each, quiet=Quiet(seconds=1)), None),
    ],
    ids=["priority", "rate", "rate-by-key", "many-keys", "seats", "drops", "latest", "singleton", "debounce"],
)  # fmt: skip
def test_eight_times_the_events_cost_eight_times_the_steps(
    policies: Policies, permits: Callable[[], Permits] | None
):
    def sources() -> Mapping[int, Sequence[Permits]]:
        return {} if permits is None else {0: [permits()]}

    few = steps_during(lambda: program(100, policies, sources()))
    many = steps_during(lambda: program(800, policies, sources()))
    assert many < 8 * 1.25 * few
