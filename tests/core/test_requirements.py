"""An event finds those who require its fields without asking all: against a search among all, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from stretto._core.waiting import Mail, Waiter, Waiters
from stretto.events import Event
from tests.core.counting import calls_during
from tests.core.plans import delivery, step


class Pair(Event):
    left: Any = 0
    right: Any = 0


class Spoiled(Event):
    left: Any = 0

    @property
    def right(self) -> object:
        raise LookupError(self.left)


class Colour(Enum):
    RED = 1


class Number(int, Enum):
    ONE = 1


class Joker:
    """Equals all, and hashes as nothing else does."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 77


class Fold(str):
    """Text that compares without case, and hashes as it stands."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    __hash__ = str.__hash__


class Single:
    """Compared by identity."""


class Nowhere(tzinfo):
    """A time zone that does not know what time it is, so that a time in it cannot be hashed."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        raise LookupError


values = st.sampled_from([
    0, 1, 1.0, True, Number.ONE, Colour.RED, "a", "A", Fold("a"), b"a", None, [1], (1,), Joker(), Single(),
    Single(), float("nan"), date(2026, 1, 1), UUID(int=1), UUID(int=2),
])  # fmt: skip
# In the order of the fields: of a field that fails and one that differs, which one is asked first nobody promises.
required = st.none() | st.dictionaries(st.sampled_from(["left", "right"]), values).map(
    lambda names: dict(sorted(names.items()))
)
wheres: st.SearchStrategy[Callable[[Any], object] | None] = st.sampled_from([
    None, lambda ev: ev.left, lambda ev: 1 / ev.left
])  # fmt: skip
waits = st.lists(st.tuples(required, wheres), max_size=8)
sent = st.lists(st.builds(Pair, left=values, right=values) | st.builds(Spoiled, left=values), max_size=8)


def waiter(kind: type[Event], requirements: Any = None, where: Any = None) -> Waiter:
    return Waiter(
        delivery=delivery(step()), kind=kind, requirements=requirements, where=where, wake=lambda: None
    )


def searched(among: list[Waiter], event: Event) -> list[Waiter]:
    """Asks one after the other."""
    done: list[Waiter] = []
    for one in among:
        if type(event) is one.kind:
            if one.fits(event):
                return [*done, one]
            if one.error is not None:
                done.append(one)
    return done


@given(waits, sent, st.data())
def test_it_finds_whom_a_search_among_all_finds(
    waiting: list[tuple[Any, Any]], events: list[Event], data: st.DataObject
):
    waiters, model = Waiters(), list[Waiter]()
    for requirements, where in waiting:
        kind = data.draw(st.sampled_from([Pair, Spoiled]))
        one = waiter(kind, requirements, where)
        waiters.add(one)
        model.append(one)
    for event in events:
        wanted = searched(model, event)
        failed = [(one, type(one.error)) for one in wanted if one.error is not None]
        for one in model:
            one.error = None
        done = waiters.offer(Mail(event, outside=False))
        assert done == wanted
        assert [(one, type(one.error)) for one in done if one.error is not None] == failed
        model = [one for one in model if one not in done]
        assert all(one.error is None for one in model)
        if model and data.draw(st.booleans()):
            gone = model.pop(data.draw(st.integers(0, len(model) - 1)))
            assert waiters.discard(gone)
            assert not waiters.discard(gone)
        assert sorted(map(id, waiters)) == sorted(map(id, model))
        assert bool(waiters) == bool(model)


def test_a_value_that_cannot_be_hashed_by_a_fault_of_its_time_zone_disturbs_nobody_else():
    lost = datetime(2026, 1, 1, tzinfo=Nowhere())
    waiters = Waiters()
    for required in (1, lost, datetime(2026, 1, 1, tzinfo=UTC)):
        waiters.add(waiter(Pair, {"left": required}))
    one, it, plain = waiters
    assert waiters.offer(Mail(Pair(left=lost), outside=False)) == [it]  # which is the same object
    assert waiters.offer(Mail(Pair(left=1), outside=False)) == [one]
    assert waiters.offer(Mail(Pair(left=datetime(2026, 1, 1, tzinfo=UTC)), outside=False)) == [plain]


def many_waits(requirements: Callable[[int], object], count: int) -> Callable[[], object]:
    """A tenth of the waits is answered, from the last."""
    waiters = Waiters()
    for number in range(count):
        waiters.add(waiter(Pair, requirements(number)))
    mails = [Mail(Pair(left=number, right="tea"), outside=False) for number in range(count)]
    return lambda: [waiters.offer(mail) for mail in reversed(mails[-(count // 10) :])]


@pytest.mark.parametrize(
    "requirements",
    [
        lambda n: {"left": n},
        lambda n: {"left": n, "right": "tea"},
        lambda n: {"right": "tea", "left": n} if n % 2 else {"left": n},
        lambda _: None,
    ],
)
def test_an_event_costs_the_same_however_many_wait_for_other_values(requirements: Callable[[int], object]):
    few, many = (calls_during(many_waits(requirements, count)) for count in (100, 1_000))
    assert many <= 10 * few * 1.05
