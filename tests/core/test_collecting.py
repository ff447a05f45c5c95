"""What `collect_events` promises, each claim a test against the ten-line model.

Here a step is asked directly; `tests/properties/test_collecting_in_runs.py` has the claims about schedules, workers
and ends of runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeAlias

import pytest
from hypothesis import assume, example, given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stretto._core.collecting import Buffers, told
from stretto._core.plan import StepPlan
from stretto._core.state import Delivery
from stretto.errors import CollectError
from stretto.events import Event
from tests.core.models import Collected
from tests.core.plans import A, B, C, Numbered, SubA, delivery, ids, step

Batch: TypeAlias = "list[Event] | None"
Kind: TypeAlias = type[Numbered]

KINDS: list[Kind] = [A, B, C, SubA]
GATHER = step("gather", accepts=tuple(KINDS))
OTHER = step("other", index=1, accepts=tuple(KINDS))
PLENTY = 10_000

expecteds = st.lists(st.sampled_from(KINDS), min_size=1, max_size=4)


@st.composite
def arrivals_of(draw: st.DrawFn, expected: Sequence[Kind], *, max_size: int = 30) -> list[Numbered]:
    """Expected events, many of them equal, some of them the same object once more."""
    events: list[Numbered] = []
    for kind in draw(st.lists(st.sampled_from([*expected]), max_size=max_size)):
        again = [event for event in events if type(event) is kind]
        if again and draw(st.sampled_from([True, False, False, False])):
            events.append(draw(st.sampled_from(again)))
        else:
            events.append(kind(n=draw(st.integers(0, 1))))
    return events


@st.composite
def rounds(draw: st.DrawFn, *, max_size: int = 30) -> tuple[list[Kind], list[Numbered]]:
    """A list that is expected, and events that arrive."""
    expected = draw(expecteds)
    return expected, draw(arrivals_of(expected, max_size=max_size))


def collect_all(
    events: Sequence[Numbered],
    expected: Sequence[Kind],
    buffers: Buffers | None = None,
    of: StepPlan = GATHER,
    buffer_id: Hashable = None,
) -> list[Batch]:
    """What each call gave; each event in a delivery of its own."""
    buffers = Buffers(PLENTY) if buffers is None else buffers
    return [buffers.collect(delivery(of, event), event, expected, buffer_id) for event in events]


def batches_of(results: Sequence[Batch]) -> list[list[Event]]:
    return [batch for batch in results if batch is not None]


def told_apart(results: Sequence[Batch]) -> list[list[int] | None]:
    """The batches by identity, since many events are equal."""
    return [None if batch is None else ids(batch) for batch in results]


def flat(results: Sequence[Batch]) -> list[Event]:
    return [event for batch in batches_of(results) for event in batch]


# -- one buffer, one expected list -----------------------------------------------------------------------------


@given(rounds())
def test_what_arrived_is_what_was_given_out_and_what_is_left(round_: tuple[list[Kind], list[Numbered]]):
    expected, events = round_
    buffers = Buffers(PLENTY)
    results = collect_all(events, expected, buffers)
    assert Counter(ids(events)) == Counter(ids(flat(results))) + Counter(ids([*buffers.leftovers()]))


@given(rounds())
def test_no_arrival_is_given_out_twice(round_: tuple[list[Kind], list[Numbered]]):
    expected, events = round_
    given_out = Counter(ids(flat(collect_all(events, expected))))
    assert given_out <= Counter(ids(events))


@given(rounds())
def test_there_are_as_many_batches_as_the_arrivals_make(round_: tuple[list[Kind], list[Numbered]]):
    expected, events = round_
    arrived = Counter(type(event) for event in events)
    most = min(arrived[kind] // count for kind, count in Counter(expected).items())
    assert len(batches_of(collect_all(events, expected))) == most


@given(rounds())
def test_the_call_that_completes_a_batch_returns_it_neither_sooner_nor_later(
    round_: tuple[list[Kind], list[Numbered]],
):
    expected, events = round_
    model = Collected()
    assert told_apart(collect_all(events, expected)) == told_apart(
        [model.collect(event, expected) for event in events]
    )


@given(rounds())
def test_a_call_gives_none_or_one_batch_of_the_expected_length(round_: tuple[list[Kind], list[Numbered]]):
    expected, events = round_
    assert {len(batch) for batch in batches_of(collect_all(events, expected))} <= {len(expected)}


@given(rounds())
def test_a_batch_is_in_the_order_of_the_expected_list(round_: tuple[list[Kind], list[Numbered]]):
    expected, events = round_
    for batch in batches_of(collect_all(events, expected)):
        assert [type(event) for event in batch] == expected


@given(rounds())
def test_events_of_a_type_are_given_out_in_the_order_in_which_they_came(
    round_: tuple[list[Kind], list[Numbered]],
):
    expected, events = round_
    given_out = flat(collect_all(events, expected))
    for kind in expected:
        of_kind = [event for event in events if type(event) is kind]
        out = [event for event in given_out if type(event) is kind]
        assert ids(out) == ids(of_kind[: len(out)])


@given(kind=st.sampled_from(KINDS), count=st.integers(1, 20), rest=st.lists(st.just(C), max_size=1))
def test_a_type_that_is_expected_n_times_needs_n_arrivals(kind: Kind, count: int, rest: list[Kind]):
    assume(kind not in rest)
    buffers = Buffers(PLENTY)
    expected = [*rest, *[kind] * count]
    assert batches_of(collect_all([each() for each in rest], expected, buffers)) == []
    events = [kind() for _ in range(count)]
    *before, last = collect_all(events, expected, buffers)
    assert before == [None] * (count - 1)
    assert last is not None
    assert ids(last)[len(rest) :] == ids(events)


@given(surplus=st.integers(0, 20), missing=st.sampled_from([B, C]))
def test_surplus_waits_for_the_next_batches_in_order(surplus: int, missing: Kind):
    buffers, early = Buffers(PLENTY), [A(n=number) for number in range(surplus)]
    assert batches_of(collect_all(early, [A, missing], buffers)) == []
    assert ids([*buffers.leftovers()]) == ids(early)
    batches = collect_all([missing() for _ in early], [A, missing], buffers)
    assert [batch[0] if batch else None for batch in batches] == early
    assert [*buffers.leftovers()] == []


@given(count=st.integers(1, 10))
def test_equal_events_are_distinct(count: int):
    events = [A(n=1) for _ in range(count)]
    *before, batch = collect_all(events, [A] * count)
    assert before == [None] * (count - 1)
    assert batch is not None
    assert ids(batch) == ids(events)


@given(count=st.integers(1, 10))
def test_one_object_sent_twice_counts_twice(count: int):
    event = A()
    *before, batch = collect_all([event] * count, [A] * count)
    assert before == [None] * (count - 1)
    assert batch is not None
    assert ids(batch) == [id(event)] * count


@given(round_=rounds(), calls=st.integers(2, 4))
def test_one_delivery_adds_an_event_once_however_often_it_asks(
    round_: tuple[list[Kind], list[Numbered]], calls: int
):
    expected, events = round_
    buffers, model = Buffers(PLENTY), Collected()
    for event in events:
        one = delivery(GATHER, event)
        first, *again = [buffers.collect(one, event, expected, None) for _ in range(calls)]
        wanted = model.collect(event, expected)
        assert told_apart([first]) == told_apart([wanted])
        assert again == [None] * (calls - 1)


def test_one_delivery_may_add_several_events_even_equal_ones():
    buffers, one = Buffers(PLENTY), delivery(GATHER)
    first, second = A(n=1), A(n=1)
    assert buffers.collect(one, first, [A, A], None) is None
    assert buffers.collect(one, first, [A, A], None) is None
    batch = buffers.collect(one, second, [A, A], None)
    assert batch is not None
    assert ids(batch) == ids([first, second])


def test_an_event_that_is_gone_is_not_taken_for_one_at_the_same_address():
    buffers, one = Buffers(PLENTY), delivery(GATHER)
    for _ in range(10):
        assert buffers.collect(one, A(), [A], None) is not None


def test_one_delivery_adds_an_event_to_each_buffer_once():
    buffers, event = Buffers(PLENTY), A()
    one = delivery(GATHER, event)
    for name in ("x", "y", "x", "y"):
        assert buffers.collect(one, event, [A, A], name) is None
    assert ids([*buffers.leftovers()]) == [id(event)] * 2


@given(round_=rounds(), order=st.randoms(use_true_random=False))
def test_a_permuted_list_permutes_the_batches_and_changes_nothing_else(
    round_: tuple[list[Kind], list[Numbered]], order: object
):
    expected, events = round_
    permuted = list(expected)
    order.shuffle(permuted)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    one, other = Buffers(PLENTY), Buffers(PLENTY)
    for batch, again in zip(
        collect_all(events, expected, one), collect_all(events, permuted, other), strict=True
    ):
        assert (batch is None) == (again is None)
        assert Counter(ids(batch or [])) == Counter(ids(again or []))
        assert again is None or [type(event) for event in again] == permuted
    assert ids([*one.leftovers()]) == ids([*other.leftovers()])


# -- what is refused, and what stores nothing ------------------------------------------------------------------


@given(round_=rounds(), strange=st.sampled_from(KINDS), at=st.integers(0, 30))
def test_an_event_that_is_not_expected_is_refused_and_changes_nothing(
    round_: tuple[list[Kind], list[Numbered]], strange: Kind, at: int
):
    expected, events = round_
    assume(strange not in expected)
    buffers = Buffers(PLENTY)
    before = collect_all(events[:at], expected, buffers)
    kept = ids([*buffers.leftovers()])
    one = delivery(GATHER, strange())
    with pytest.raises(CollectError) as caught:
        buffers.collect(one, one.event, expected, None)
    assert str(caught.value) == (
        f"collect_events in Flow.gather (flow.py:10) was given {one.event!r} and expects only "
        f"{', '.join(kind.__name__ for kind in dict.fromkeys(expected))}; it was not stored; name its type "
        "in the list, or collect it in a step of its own"
    )
    assert ids([*buffers.leftovers()]) == kept
    assert told_apart(before + collect_all(events[at:], expected, buffers)) == told_apart(
        collect_all(events, expected)
    )


@pytest.mark.parametrize("strange", [SubA(), 5, None, A])
def test_only_events_of_exactly_an_expected_type_are_taken(strange: object):
    buffers = Buffers(PLENTY)
    with pytest.raises(CollectError, match="expects only A;"):
        buffers.collect(delivery(GATHER), strange, [A, A], None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert buffers.by_key == {}


@given(events=st.lists(st.sampled_from(KINDS)), empty=st.sampled_from([[], ()]))
def test_an_empty_list_gives_an_empty_batch_and_stores_nothing(events: list[Kind], empty: Sequence[Kind]):
    buffers = Buffers(PLENTY)
    assert collect_all([kind() for kind in events], empty, buffers) == [[]] * len(events)
    assert buffers.by_key == {}
    waiting = A()
    collect_all([waiting], [A, A], buffers)
    assert collect_all([B()], empty, buffers) == [[]]
    assert ids([*buffers.leftovers()]) == ids([waiting])


NO_LISTS = [
    "",
    "A",
    None,
    5,
    A,
    {A},
    frozenset(),
    iter([A]),
    {A: 1},
    [A, "B"],
    [A, 5],
    [A, None],
    (A, int),
    [A()],
    [[A]],
]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("expected", NO_LISTS)
def test_what_is_no_list_of_event_classes_is_refused_also_where_something_waits(
    expected: object, before: bool
):
    """Where something waited only the event was looked at: [A, "B"] then broke the report of a stuck run."""
    buffers, waiting = Buffers(PLENTY), A()
    if before:
        collect_all([waiting], [A, A], buffers)
    with pytest.raises(CollectError) as caught:
        buffers.collect(delivery(GATHER), A(), expected, None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == (
        "collect_events in Flow.gather (flow.py:10) expects a list of event classes, as in "
        f"collect_events(ev, [Opinion] * 3), not {expected!r}"
    )
    assert ids([*buffers.leftovers()]) == (ids([waiting]) if before else [])
    if before:
        assert told(buffers.by_key[0, None]) == "1 x A (has 1 of 2)"


@given(round_=rounds(), limit=st.integers(1, 6))
def test_a_buffer_never_holds_more_than_the_limit_and_says_so_to_the_sender(
    round_: tuple[list[Kind], list[Numbered]], limit: int
):
    expected, events = round_
    buffers, model = Buffers(limit), Collected()
    for event in events:
        one = delivery(GATHER, event)
        if len(model.kept) == limit:
            with pytest.raises(CollectError, match="the collect_limit of this workflow"):
                buffers.collect(one, event, expected, None)
        else:
            assert told_apart([buffers.collect(one, event, expected, None)]) == told_apart(
                [model.collect(event, expected)]
            )
        assert Counter(ids([*buffers.leftovers()])) == Counter(ids(model.kept)), "nothing is dropped"


def test_a_full_buffer_says_what_it_waits_for():
    buffers = Buffers(2)
    collect_all([A(), A()], [A, B, B], buffers)
    with pytest.raises(CollectError) as caught:
        collect_all([A()], [A, B, B], buffers)
    assert str(caught.value) == (
        "collect_events in Flow.gather (flow.py:10) holds 2 events, the collect_limit of this workflow, and was "
        "given one more, which was not stored; it still waits for 2 x B (has 0 of 2); if it must hold more, "
        "write Workflow(collect_limit=…)"
    )
    with pytest.raises(CollectError, match="it still waits for nothing;"):
        collect_all([A()], [A], buffers)


def test_an_event_that_was_refused_may_be_given_again():
    buffers = Buffers(1)
    collect_all([A()], [A, B], buffers)
    late = delivery(GATHER, A())
    with pytest.raises(CollectError):
        buffers.collect(late, late.event, [A, B], None)
    buffers.limit = 2
    assert buffers.collect(late, late.event, [A, B], None) is None
    assert len([*buffers.leftovers()]) == 2


# -- several buffers -------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.sampled_from([(GATHER, None), (GATHER, "x"), (OTHER, None), (OTHER, "x")]),
            st.sampled_from([A, B]),
        ),
        max_size=40,
    )
)
@example([((GATHER, None), A), ((OTHER, None), B)])
def test_buffers_of_other_ids_and_other_steps_are_as_if_they_were_alone(
    sends: list[tuple[tuple[StepPlan, str | None], Kind]],
):
    buffers = Buffers(PLENTY)
    together: dict[object, list[Batch]] = {}
    alone: dict[object, list[Batch]] = {}
    models: dict[object, Collected] = {}
    for (of, buffer_id), kind in sends:
        event, key = kind(), (of.name, buffer_id)
        together.setdefault(key, []).append(buffers.collect(delivery(of, event), event, [A, B], buffer_id))
        alone.setdefault(key, []).append(models.setdefault(key, Collected()).collect(event, [A, B]))
    assert {key: told_apart(each) for key, each in together.items()} == {
        key: told_apart(each) for key, each in alone.items()
    }


@given(rounds())
def test_two_collecting_steps_both_get_every_event(round_: tuple[list[Kind], list[Numbered]]):
    expected, events = round_
    buffers = Buffers(PLENTY)
    both = [
        (
            buffers.collect(delivery(GATHER, event), event, expected, None),
            buffers.collect(delivery(OTHER, event), event, expected, None),
        )
        for event in events
    ]
    for batch, again in both:
        assert told_apart([batch]) == told_apart([again])


def test_one_buffer_id_in_two_steps_is_two_buffers():
    buffers = Buffers(PLENTY)
    assert collect_all([A()], [A, B], buffers, GATHER, "votes") == [None]
    assert collect_all([B()], [A, B], buffers, OTHER, "votes") == [None]


# -- another expected list on one buffer -----------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(KINDS), expecteds), max_size=30), st.booleans())
def test_leftovers_stay_and_may_satisfy_another_list(calls: list[tuple[Kind, list[Kind]]], in_place: bool):
    buffers, model, shared = Buffers(PLENTY), Collected(), list[Kind]()
    for kind, wanted in calls:
        event, expected = kind(), [kind, *wanted]
        if in_place:  # the program changes its list, and passes it again
            shared[:] = expected
        batch = buffers.collect(delivery(GATHER, event), event, shared if in_place else expected, None)
        assert told_apart([batch]) == told_apart([model.collect(event, expected)])
        assert Counter(ids([*buffers.leftovers()])) == Counter(ids(model.kept))


def test_a_list_and_a_tuple_of_the_same_are_the_same():
    buffers = Buffers(PLENTY)
    one, two = A(), B()
    assert collect_all([one], [A, B], buffers) == [None]
    (batch,) = collect_all([two], (A, B), buffers)
    assert batch is not None
    assert ids(batch) == ids([one, two])


@pytest.mark.parametrize("size", [2, 64, 65, 200])
def test_a_list_that_grows_or_shrinks_in_place_is_noticed_however_long_it_is(size: int):
    buffers, expected = Buffers(PLENTY), list[Kind]([A] * size)
    assert batches_of(collect_all([A() for _ in range(size - 1)], expected, buffers)) == []
    expected.append(A)
    assert collect_all([A()], expected, buffers) == [None]
    del expected[1:]
    assert collect_all([A()], expected, buffers) == [[A()]]


@pytest.mark.parametrize("size", [2, 64])
def test_a_list_up_to_64_long_whose_elements_change_in_place_is_noticed(size: int):
    buffers, expected = Buffers(PLENTY), list[Kind]([A] * size)
    assert batches_of(collect_all([A() for _ in range(size - 1)], expected, buffers)) == []
    expected[0] = B
    assert collect_all([A()], expected, buffers) == [None]
    (batch,) = collect_all([B()], expected, buffers)
    assert batch == [B()] + [A()] * (size - 1)


# -- what is kept ----------------------------------------------------------------------------------------------


@given(rounds())
def test_a_buffer_that_is_empty_is_gone(round_: tuple[list[Kind], list[Numbered]]):
    expected, events = round_
    buffers = Buffers(PLENTY)
    collect_all(events, expected, buffers)
    assert bool(buffers.by_key) == bool([*buffers.leftovers()])
    assert sum(buffer.held for buffer in buffers.by_key.values()) == len([*buffers.leftovers()])


@given(rounds())
def test_what_is_missing_is_told_by_type_and_count(round_: tuple[list[Kind], list[Numbered]]):
    expected, events = round_
    buffers, model = Buffers(PLENTY), Collected()
    for event in events:
        collect_all([event], expected, buffers)
        model.collect(event, expected)
    has = Counter(type(event) for event in model.kept)
    for buffer in buffers.by_key.values():
        assert told(buffer) == ", ".join(
            f"{count - has[kind]} x {kind.__name__} (has {has[kind]} of {count})"
            for kind, count in Counter(expected).items()
            if has[kind] < count
        )


# -- all of it at once -----------------------------------------------------------------------------------------


class BuffersLife(RuleBasedStateMachine):
    """Random calls, from new deliveries and old ones, on several buffers with changing lists and a limit."""

    @initialize(limit=st.integers(1, 8))
    def begin(self, limit: int) -> None:
        self.buffers = Buffers(limit)
        self.models: dict[tuple[int, Hashable], Collected] = {}
        self.deliveries: list[Delivery] = []
        self.marks: set[tuple[int, int, Hashable, int]] = set()

    @rule(
        of=st.sampled_from([GATHER, OTHER]),
        kind=st.sampled_from(KINDS),
        expected=expecteds,
        name=st.sampled_from([None, "x"]),
    )
    def a_new_delivery_collects(
        self, of: StepPlan, kind: Kind, expected: list[Kind], name: str | None
    ) -> None:
        self.deliveries.append(delivery(of, kind()))
        self.collects(len(self.deliveries) - 1, len(self.deliveries) - 1, expected, name)

    @rule(data=st.data(), expected=expecteds, name=st.sampled_from([None, "x"]))
    def an_old_delivery_collects_any_event(
        self, data: st.DataObject, expected: list[Kind], name: str | None
    ) -> None:
        if self.deliveries:
            some = st.integers(0, len(self.deliveries) - 1)
            self.collects(data.draw(some), data.draw(some), expected, name)

    def collects(self, number: int, other: int, expected: list[Kind], name: str | None) -> None:
        one, event = self.deliveries[number], self.deliveries[other].event
        key = (one.step.index, name)
        model = self.models.setdefault(key, Collected())
        mark = (number, *key, id(event))
        if type(event) not in expected or (mark not in self.marks and len(model.kept) >= self.buffers.limit):
            with pytest.raises(CollectError):
                self.buffers.collect(one, event, expected, name)
            return
        wanted = model.batch(expected) if mark in self.marks else model.collect(event, expected)
        self.marks.add(mark)
        assert told_apart([self.buffers.collect(one, event, expected, name)]) == told_apart([wanted])

    @invariant()
    def the_leftovers_are_those_of_the_model(self) -> None:
        kept = Counter(each for model in self.models.values() for each in ids(model.kept))
        assert Counter(ids([*self.buffers.leftovers()])) == kept


TestBuffersLife = BuffersLife.TestCase
