"""Paths into a state: read without copying, written by rebuilding what lies on the way and nothing else."""

from __future__ import annotations

import copy
from collections import namedtuple
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, strategies as st

from stretto._core.paths import MISSING, find, parsed, rebuild
from stretto.errors import StateError
from stretto.events import Event
from tests.core.states import CLASSES, Frozen, FrozenModel, Inner, Opaque, Slotted

KEYS = st.sampled_from(["a", "b", "c"])
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        st.integers(),
        lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3),
        max_leaves=15,
    ),
    max_size=3,
)
NOTHING = object()
PATHS = st.lists(KEYS | st.sampled_from(["0", "1", "-1"]), min_size=1, max_size=4)


def model_find(root: Any, keys: list[str]) -> Any:
    for key in keys:
        try:
            root = root[int(key)] if isinstance(root, list) else root[key]
        except (LookupError, TypeError, ValueError):
            return NOTHING
    return root


def model_set(root: Any, keys: list[str], value: object) -> Any:
    root = copy.deepcopy(root)
    at = root
    for key in keys[:-1]:
        at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
    if isinstance(at, list):
        at[int(keys[-1])] = value
    elif isinstance(at, dict):
        at[keys[-1]] = value
    else:
        raise TypeError(at)
    return root


@given(TREES, PATHS)
def test_what_is_found_is_what_stands_there_and_no_copy(root: object, keys: list[str]):
    assert find(root, ".".join(keys), NOTHING) is model_find(root, keys)
    assert find(root, tuple(keys), NOTHING) is model_find(root, keys)


@given(TREES, PATHS)
def test_a_path_is_written_as_by_a_deep_copy_or_refused(root: Any, keys: list[str]):
    before = copy.deepcopy(root)
    try:
        expected = model_set(root, keys, "new")
    except (LookupError, TypeError, ValueError, AttributeError):
        with pytest.raises(StateError):
            rebuild(root, ".".join(keys), "new")
    else:
        assert rebuild(root, ".".join(keys), "new") == expected
    assert root == before


@given(TREES, PATHS)
def test_what_stands_beside_the_path_is_shared(root: Any, keys: list[str]):
    try:
        made: Any = rebuild(root, ".".join(keys), "new")
    except StateError:
        return
    old: Any = root
    for key in keys[:-1]:
        if not isinstance(old, dict):
            break
        assert all(made[other] is value for other, value in old.items() if other != key)
        if key not in old:
            break
        old, made = old[key], made[key]


def test_attributes_keys_and_indexes_mix():
    root = Slotted(by_key={"a": [Inner(names=["x"])]})
    assert find(root, "by_key.a.0.names.-1") == "x"
    made: Any = rebuild(root, "by_key.a.0.names.0", "y")
    assert made == Slotted(by_key={"a": [Inner(names=["y"])]})
    assert root == Slotted(by_key={"a": [Inner(names=["x"])]})
    assert made.items is root.items


@pytest.mark.parametrize("kind", CLASSES)
def test_every_sort_of_class_is_written(kind: Any):
    root = kind()
    made: Any = rebuild(root, "by_key.a.b", 1)
    assert made == kind(by_key={"a": {"b": 1}})
    assert root == kind()
    assert rebuild(made, "total", 3) == kind(by_key={"a": {"b": 1}}, total=3)
    assert rebuild(root, "inner.names", ["n"]) == kind(inner=Inner(names=["n"]))


def test_frozen_objects_and_tuples_are_rebuilt_too():
    root = Frozen(tags=(1, FrozenModel(name="a")))
    assert rebuild(root, "tags.1.name", "b") == Frozen(tags=(1, FrozenModel(name="b")))


def test_a_tuple_of_keys_may_hold_dots_and_numbers():
    root = {"a.b": {1: "one"}}
    assert find(root, ("a.b", 1)) == "one"
    assert rebuild(root, ("a.b", 2), "two") == {"a.b": {1: "one", 2: "two"}}
    assert find([5], (0,)) == 5
    assert find({"at": Opaque()}, ("at", 1), None) is None


def test_what_is_not_ours_to_copy_can_still_be_read():
    point = namedtuple("point", "x y")(1, 2)  # noqa: PYI024
    root = {"client": Opaque(), "point": point, "view": MappingProxyType({"a": 1}), "word": "word"}
    assert find(root, "client.url") == "here"
    assert (find(root, "point.x"), find(root, "point.1")) == (1, 2)
    assert find(root, "point.count", None) is None
    assert find(root, "view.a") == 1
    assert find(root, "word.0", None) is None


def test_a_property_can_be_read():
    class Priced(Slotted):
        @property
        def cents(self) -> int:
            return self.total * 100

    assert find(Priced(total=2), "cents") == 200


def test_the_inside_of_python_is_no_part_of_a_state():
    assert find(Slotted(), "__class__", None) is None


@pytest.mark.parametrize("path", ["", ".", "a.", "a..b", (), ("a", ""), 5, None, ["a"], (1.5,)], ids=repr)
def test_what_is_no_path_is_refused(path: object):
    with pytest.raises(StateError, match="is no path"):
        parsed(path)


def test_a_default_may_be_none():
    assert find({}, "a", None) is None
    assert find({"a": None}, "a", 5) is None


def test_missing_says_its_name():
    assert repr(MISSING) == "MISSING"


MAY = "; write ctx.store.get({!r}, None) if it may be missing"
TOLD_GET: list[tuple[object, str, str]] = [
    ({}, "a", "the state has no 'a', it is empty" + MAY),
    (
        {"total": 1, "items": []},
        "totl",
        "the state has no 'totl', it has: total, items" + MAY + "; did you mean 'total'?",
    ),
    (
        {"a": {str(n): n for n in range(100, 112)}},
        "a.x",
        "'a' has no 'x', it has: 100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 2 more" + MAY,
    ),
    (
        Slotted(),
        "inner.nam",
        "'inner' (Inner) has no 'nam', it has: names, by_name" + MAY + "; did you mean 'names'?",
    ),
    ({"a": [1]}, "a.1", "'a' (list of 1) has no '1'" + MAY),
    ({"a": 5}, "a.b.c", "'a' is 5, which has no 'b'" + MAY),
]


@pytest.mark.parametrize(("root", "path", "says"), TOLD_GET, ids=[path for _, path, _ in TOLD_GET])
def test_a_wrong_path_is_told_with_what_is_there(root: object, path: str, says: str):
    with pytest.raises(StateError) as told:
        find(root, path)
    assert str(told.value) == f"ctx.store.get({path!r}): {says.format(path)}"


HAS = "it has: items, by_key, inner, total"
TOLD_SET: list[tuple[object, Any, str]] = [
    ({"a": 5}, "a.b", "'a' is 5, which cannot be written into; set 'a' as a whole"),
    ({"a": [1]}, "a.1", "'a' (list of 1) has no '1'"),
    ({"a": [1]}, "a.b", "'a' (list of 1) has no 'b'"),
    (Slotted(), "totl", f"the state (Slotted) has no 'totl', {HAS}; did you mean 'total'?"),
    (Slotted(), (1,), f"the state (Slotted) has no 1, {HAS}"),
]


@pytest.mark.parametrize(("root", "path", "says"), TOLD_SET, ids=[str(path) for _, path, _ in TOLD_SET])
def test_a_wrong_target_is_told_and_nothing_is_written(root: object, path: Any, says: str):
    before = copy.deepcopy(root)
    with pytest.raises(StateError) as told:
        rebuild(root, path, 1)
    assert str(told.value) == f"ctx.store.set({path!r}, …): {says}"
    assert root == before


def test_what_is_no_path_is_told_with_what_to_write():
    with pytest.raises(StateError) as caught:
        parsed(5)
    assert str(caught.value) == (
        "5 is no path; write 'cart.items.0', a tuple of keys if one has a dot, or ctx.store.get_state() for the whole"
    )


def test_a_list_is_counted_from_its_end_as_far_as_it_goes():
    assert rebuild({"a": [1, 2]}, ("a", -2), 9) == {"a": [9, 2]}


def test_a_path_too_long_to_be_written_is_told():
    path = ".".join("a" * 100_000)
    with pytest.raises(StateError) as caught:
        rebuild({}, path, 1)
    assert "a path of 100000 keys is too long; keep the state flat, or set a value nearer" in str(
        caught.value
    )
    assert len(str(caught.value)) < 1_000
    assert find({}, path, None) is None


def test_an_event_in_a_state_is_replaced_by_a_new_one():
    class Note(Event):
        text: str

    before = {"note": Note(text="old")}
    assert rebuild(before, "note.text", "new") == {"note": Note(text="new")}
    assert before == {"note": Note(text="old")}
