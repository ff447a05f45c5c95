"""Copies of what can be changed, down to what is opaque or cannot change, which is shared."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from stretto import Event, StartEvent
from stretto._core.copying import copied
from tests.core.states import CLASSES, Frozen, FrozenData, FrozenModel, Inner, Opaque

ATOMS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(Inner, names=st.lists(inner, max_size=2))
        | st.builds(Frozen, tags=st.tuples(inner))
        | st.builds(FrozenModel, tags=st.tuples(inner))
    ),
    max_leaves=20,
)


def changeable(value: Any) -> list[object]:
    """Every object in it that can be changed."""
    match value:
        case dict():
            return [value, *(each for inner in value.values() for each in changeable(inner))]
        case list():
            return [value, *(each for inner in value for each in changeable(inner))]
        case tuple():
            return [each for inner in value for each in changeable(inner)]
        case Inner():
            return [value, *changeable(value.names), *changeable(value.by_name)]
        case Frozen() | FrozenModel():
            return changeable(value.tags)
        case _:
            return []


@given(VALUES)
def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed(value: object):
    made = copied(value, {})
    assert made == value
    assert type(made) is type(value)
    assert not {id(each) for each in changeable(made)} & {id(each) for each in changeable(value)}


@given(VALUES)
def test_what_holds_nothing_that_can_be_changed_is_shared(value: object):
    if not changeable(value):
        assert copied(value, {}) is value


@pytest.mark.parametrize(
    "value",
    [
        Opaque(), object(), len, Event, StartEvent(n=[1]), frozenset({1}), b"b", range(3), (1, (2, "c")),
        Frozen(name="a"), Frozen(tags=(1, (2,))), FrozenData(tags=("b", 1)), FrozenModel(tags=(1,)),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_opaque_and_unchangeable_objects_are_shared(value: object):
    assert copied(value, {}) is value
    assert copied([value], {})[0] is value


def test_what_is_opaque_inside_a_copy_is_shared():
    client = Opaque()
    made = copied({"client": client, "all": [client]}, {})
    assert made["client"] is client
    assert made["all"][0] is client


@pytest.mark.parametrize(
    "value",
    [
        defaultdict(list, a=[1]), OrderedDict(a=[1]), deque([[1]], maxlen=2), {1, 2}, bytearray(b"b"), Counter("aab"),
        ([1], 2),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_containers_keep_their_type_and_what_they_are_made_with(value: Any):
    made = copied(value, {})
    assert made == value
    assert type(made) is type(value)
    assert made is not value
    if isinstance(value, defaultdict):
        assert made.default_factory is list
        assert made["a"] is not value["a"]
    if isinstance(value, deque):
        assert made.maxlen == 2
        assert made[0] is not value[0]


def test_a_named_tuple_is_opaque():
    """It is the one tuple that may have a constructor of its own."""
    point = namedtuple("point", "x y")([1], 2)  # noqa: PYI024
    assert copied(point, {}) is point


@pytest.mark.parametrize("kind", CLASSES)
def test_a_data_object_is_copied_with_what_it_holds(kind: Any):
    value = kind(items=[[1]], by_key={"a": [1]})
    made = copied(value, {})
    assert made == value
    assert type(made) is kind
    made.items[0].append(2)
    made.by_key["a"].append(2)
    made.inner.names.append("b")
    assert value == kind(items=[[1]], by_key={"a": [1]})


@pytest.mark.parametrize("kind", [Frozen, FrozenData, FrozenModel])
def test_a_frozen_object_that_holds_a_list_is_copied(kind: Any):
    value = kind(tags=([1],))
    made = copied(value, {})
    assert made == value
    assert made is not value
    assert made.tags[0] is not value.tags[0]


def test_a_frozen_object_of_atoms_is_shared_without_a_copy():
    @attrs.frozen
    class Point:
        x: int = 0

        def __copy__(self) -> Point:
            raise AssertionError("copied")

    point = Point()
    assert copied([point], {})[0] is point


def test_one_object_in_two_places_is_one_in_the_copy():
    shared = [1]
    frozen = Frozen(tags=((1,),))
    made: Any = copied([shared, shared, {"again": shared}, frozen, frozen], {})
    assert made[0] is made[1] is made[2]["again"]
    assert made[0] is not shared
    assert made[3] is made[4] is frozen


def test_a_circle_is_copied_as_a_circle():
    circle: list[Any] = []
    circle.append(circle)
    inner = Inner()
    inner.by_name["self"] = inner
    made = copied(circle, {})
    assert made[0] is made
    assert made is not circle
    again = copied(inner, {})
    assert again.by_name["self"] is again


def test_a_class_says_itself_how_it_is_copied():
    @attrs.define
    class Own:
        items: list[int] = attrs.Factory(list)
        copies: int = 0

        def __copy__(self) -> Own:
            return Own(self.items, self.copies + 1)

    assert copied(Own([1]), {}) == Own([1], copies=1)


@given(VALUES)
def test_it_is_what_deepcopy_gives_where_that_works(value: object):
    assert copied(value, {}) == copy.deepcopy(value)
