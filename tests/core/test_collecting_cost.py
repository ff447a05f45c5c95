"""What `collect_events` costs, counted and not timed: k calls make O(k) calls of their own, however long the list is.

Two things are counted: the calls of functions, Python's and C's, that happen meanwhile, and how often the expected
list is read as a whole, since a comparison of lists is one call however long they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pytest

from stretto._core.collecting import Buffers
from stretto._core.state import Delivery
from tests.core.counting import calls_during
from tests.core.plans import A, B, Numbered, delivery, step

GATHER = step("gather", accepts=(A, B))
Kind: TypeAlias = type[Numbered]
Program: TypeAlias = Callable[[int], Callable[[], object]]


class Watched(list[Kind]):
    """A list that counts how often it is read as a whole."""

    reads = 0

    def __eq__(self, other: object) -> bool:
        self.reads += 1
        return list.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        self.reads += 1
        return list.__ne__(self, other)

    def __iter__(self) -> Iterator[Kind]:
        self.reads += 1
        return list.__iter__(self)

    __hash__ = None  # type: ignore[assignment]


def deliveries(kinds: Sequence[Kind]) -> list[Delivery]:
    return [delivery(GATHER, kind(n=number)) for number, kind in enumerate(kinds)]


def small_batches(k: int) -> Callable[[], object]:
    buffers, arrivals = Buffers(k), deliveries([A, B] * (k // 2))
    return lambda: [buffers.collect(each, each.event, [A, B], None) for each in arrivals]


def one_batch_of_all(k: int) -> Callable[[], object]:
    buffers, arrivals, expected = Buffers(k), deliveries([A] * k), [A] * k
    return lambda: [buffers.collect(each, each.event, expected, None) for each in arrivals]


def one_batch_of_all_with_a_new_list_each_time(k: int) -> Callable[[], object]:
    buffers, arrivals = Buffers(k), deliveries([A] * k)
    return lambda: [buffers.collect(each, each.event, [A] * k, None) for each in arrivals]


def surplus_that_is_taken_later(k: int) -> Callable[[], object]:
    buffers, arrivals = Buffers(k), deliveries([A] * (k // 2) + [B] * (k // 2))
    return lambda: [buffers.collect(each, each.event, [B, A], None) for each in arrivals]


def many_buffers(k: int) -> Callable[[], object]:
    buffers, arrivals = Buffers(k), deliveries([A] * k)
    return lambda: [buffers.collect(each, each.event, [A, A], number) for number, each in enumerate(arrivals)]


def one_delivery_for_all_events(k: int) -> Callable[[], object]:
    """A step that is given many events at once; each was searched among all that it had collected before."""
    buffers, (one,), events = Buffers(k), deliveries([A]), [A(n=number) for number in range(k)]
    return lambda: [buffers.collect(one, event, [A] * 3, None) for event in events]


@pytest.mark.parametrize(
    "program",
    [
        small_batches,
        one_batch_of_all,
        one_batch_of_all_with_a_new_list_each_time,
        surplus_that_is_taken_later,
        many_buffers,
        one_delivery_for_all_events,
    ],
)
def test_ten_times_the_calls_cost_ten_times_as_much(program: Program):
    few, many = calls_during(program(200)), calls_during(program(2_000))
    assert many <= 10 * few * 1.05


@pytest.mark.parametrize("size", [65, 1_000])
def test_a_long_list_is_read_when_it_is_new_and_never_again(size: int):
    buffers, expected = Buffers(size), Watched([A] * size)
    first, *rest = deliveries([A] * (size - 1))
    buffers.collect(first, first.event, expected, None)
    once = expected.reads
    for each in rest:
        buffers.collect(each, each.event, expected, None)
    assert expected.reads == once


def test_a_long_list_that_equals_the_one_before_is_compared_once():
    buffers, first, second = Buffers(1_000), Watched([A] * 100), Watched([A] * 100)
    for each in deliveries([A] * 10):
        buffers.collect(each, each.event, first, None)
    before = first.reads
    for each in deliveries([A] * 10):
        buffers.collect(each, each.event, second, None)
    assert second.reads == 1
    assert first.reads == before
