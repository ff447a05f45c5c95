"""The committed state and its working copies: what is committed never changes under those who read it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, cast

import attrs
import pydantic
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.run_state import FreeState, RunState, StateKind
from stretto.errors import StateError
from tests.core.counting import calls_during
from tests.core.states import CLASSES, Data, Inner, Model, Opaque, Slotted, WithDict, free

MAKERS: list[Callable[[], Any]] = [free, *CLASSES]


def run_state_of(make: Callable[[], Any]) -> RunState:
    run_state = RunState(StateKind(make if isinstance(make, type) else None), "Flow")
    if make is free:
        run_state.committed = free()
    return run_state


def member(root: Any, name: str) -> Any:
    return root[name] if isinstance(root, dict) else getattr(root, name)


def put(root: Any, name: str, value: object) -> None:
    if isinstance(root, dict):
        root[name] = value
    else:
        setattr(root, name, value)


CHANGES: dict[str, Callable[[Any, int], object]] = {
    "a number": lambda root, n: put(root, "total", member(root, "total") + n),
    "a list": lambda root, n: member(root, "items").append(n),
    "a list in a list": lambda root, n: member(root, "items").append([n]),
    "deep in a list": lambda root, n: [
        each.append(n) for each in member(root, "items") if isinstance(each, list)
    ],
    "a dict": lambda root, n: member(root, "by_key").update({str(n): [n]}),
    "deep in a dict": lambda root, n: [
        each.append(n) for each in member(root, "by_key").values() if isinstance(each, list)
    ],
    "an inner object": lambda root, n: member(root, "inner").names.append(str(n)),
    "a field of an inner object": lambda root, n: put(member(root, "inner"), "names", [str(n)]),
    "a new list": lambda root, n: put(root, "items", [n]),
    "what was put there": lambda root, n: (put(root, "items", [n]), member(root, "items").append(n)),
    "an emptied dict": lambda root, n: member(root, "by_key").clear(),
}


class KeptModel(RuleBasedStateMachine):
    """Against deep copies: the committed state, and whatever a reader has kept of it."""

    @initialize(make=st.sampled_from(MAKERS))
    def begin(self, make: Callable[[], Any]) -> None:
        self.run_state = run_state_of(make)
        self.kind = type(self.run_state.committed)
        self.model = make()
        self.edit: Any = None
        self.edited: Any = None
        self.read: list[tuple[Any, Any]] = []

    @rule()
    def somebody_reads(self) -> None:
        now = self.run_state.committed
        self.read.append((now, copy.deepcopy(now)))

    @precondition(lambda self: self.edit is None)
    @rule()
    def an_edit_begins(self) -> None:
        self.edit = self.run_state.edit()
        self.edited = copy.deepcopy(self.model)

    @precondition(lambda self: self.edit is not None)
    @rule(change=st.sampled_from(list(CHANGES)), number=st.integers(0, 3))
    def something_is_changed(self, change: str, number: int) -> None:
        CHANGES[change](self.edit.working, number)
        CHANGES[change](self.edited, number)

    @precondition(lambda self: self.edit is not None)
    @rule()
    def everything_is_read(self) -> None:
        assert self.edit.working == self.edited
        for name in ("items", "by_key", "inner", "total"):
            assert member(self.edit.working, name) == member(self.edited, name)

    @precondition(lambda self: self.edit is not None)
    @rule()
    def it_is_committed(self) -> None:
        self.run_state.commit(self.edit)
        self.model, self.edit = self.edited, None

    @precondition(lambda self: self.edit is not None)
    @rule()
    def it_is_dropped(self) -> None:
        self.edit.end()
        self.edit = None

    @precondition(lambda self: self.edit is None)
    @rule(name=st.sampled_from(["total", "by_key.a", "by_key.b.c", "inner.by_name.x"]), number=st.integers())
    def one_value_is_set(self, name: str, number: int) -> None:
        if name == "by_key.b.c" and not isinstance(self.run_state.get("by_key.b", {}), dict):
            with pytest.raises(StateError):
                self.run_state.set(name, number)
            return
        self.run_state.set(name, number)
        at = self.model
        *before, last = name.split(".")
        for each in before:
            at = at.setdefault(each, {}) if type(at) is dict else member(at, each)
        put(at, last, number)

    @invariant()
    def what_is_committed_is_as_the_model_says(self) -> None:
        if hasattr(self, "run_state"):
            assert self.run_state.committed == self.model
            assert type(self.run_state.committed) is self.kind

    @invariant()
    def what_was_read_has_not_changed(self) -> None:
        for now, then in getattr(self, "read", ()):
            assert now == then


TestKept = KeptModel.TestCase


@pytest.mark.parametrize("make", MAKERS)
def test_a_working_copy_is_of_its_class_and_equal(make: Callable[[], Any]):
    run_state = run_state_of(make)
    edit = run_state.edit()
    state = edit.working
    assert isinstance(state, type(run_state.committed))
    assert state.__class__ is type(run_state.committed) or make is free
    assert state == run_state.committed
    assert repr(state) == repr(run_state.committed)
    assert type(state).__module__ == type(run_state.committed).__module__
    edit.end()
    assert type(state) is type(run_state.committed)
    edit.end()  # twice is once


def pickled(state: Any) -> Any:
    return pickle.loads(pickle.dumps(state))  # noqa: S301 - made in this line


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled], ids=["copy", "deep", "pickle"])
def test_a_copy_that_the_editor_makes_is_a_plain_object_of_its_own(make: Callable[[], Any], copied: Any):
    run_state = run_state_of(make)
    run_state.set("items", [[1]])
    edit = run_state.edit()
    made = copied(edit.working)
    assert type(made) is type(run_state.committed)
    assert made == run_state.committed
    member(made, "items")[0].append(2)
    edit.end()
    assert member(run_state.committed, "items") == [[1]]
    assert type(edit.working) is type(run_state.committed)


@pytest.mark.parametrize("make", MAKERS)
def test_what_a_copy_shares_with_what_is_copied_along_it_shares_still(make: Callable[[], Any]):
    run_state = run_state_of(make)
    run_state.set("items", [1])
    edit = run_state.edit()
    made, items = copy.deepcopy([edit.working, member(edit.working, "items")])
    assert member(made, "items") is items
    edit.end()


def all_ways_to_read_a_dict() -> dict[str, Callable[[Any], Any]]:
    return {
        "[]": lambda state: state["items"],
        "get": lambda state: state.get("items"),
        "pop": lambda state: state.pop("items"),
        "setdefault": lambda state: state.setdefault("items", []),
        "popitem": lambda state: dict([state.popitem(), state.popitem()])["items"],
        "values": lambda state: next(iter(state.values())),
        "items": lambda state: dict(state.items())["items"],
        "copy": lambda state: state.copy()["items"],
        "|": lambda state: (state | {"x": 1})["items"],
        "| from the right": lambda state: ({"x": 1} | state)["items"],
        "dict()": lambda state: dict(state)["items"],
        "**": lambda state: {**state}["items"],
        "copy.copy": lambda state: copy.copy(state)["items"],
        "match": _matched,
    }


def _matched(state: Any) -> Any:
    match state:
        case {"items": found}:
            return found


@pytest.mark.parametrize("way", all_ways_to_read_a_dict())
def test_whichever_way_an_editor_reads_a_free_state_it_gets_a_copy(way: str):
    run_state = RunState(StateKind(), "Flow")
    run_state.set("items", [1])
    run_state.set("by_key", {})
    before = run_state.committed
    edit = run_state.edit()
    found = all_ways_to_read_a_dict()[way](edit.working)
    found.append(2)
    assert before == {"items": [1], "by_key": {}}
    edit.end()


def test_the_methods_of_a_free_state_do_what_those_of_a_dict_do():
    run_state = RunState(StateKind(), "Flow")
    edit = run_state.edit()
    state: Any = edit.working
    assert state.get("a") is None
    assert state.get("a", 5) == 5
    assert state.pop("a", 5) == 5
    with pytest.raises(KeyError):
        state.pop("a")
    assert state.setdefault("a", 1) == 1
    assert state.setdefault("a", 2) == 1
    state["b"] = 2
    state |= {"c": 3}
    del state["b"]
    assert list(state) == ["a", "c"]
    assert list(state.items()) == [("a", 1), ("c", 3)]
    assert len(state) == 2
    assert "a" in state
    run_state.commit(edit)
    assert run_state.committed == {"a": 1, "c": 3}


@pytest.mark.parametrize("kind", [Slotted, WithDict, Data, Model])
def test_whichever_way_an_editor_reads_an_attribute_it_gets_a_copy(kind: Any):
    class Own(kind):
        def add(self, item: object) -> None:
            self.items.append(item)

        @property
        def first(self) -> Any:
            return self.items[0]

    for read in (
        lambda state: state.items,
        lambda state: getattr(state, "items"),  # noqa: B009
        lambda state: state.add(1) or state.items,
        lambda state: (
            vars(state)["items"] if hasattr(state, "__dict__") and "items" in vars(state) else state.items
        ),
    ):
        run_state = RunState(StateKind(Own), "Flow")
        run_state.set("items", [[0]])
        before: Any = run_state.committed
        edit = run_state.edit()
        state: Any = edit.working
        read(state).append(2)
        state.first.append(3)
        assert before.items == [[0]]
        edit.end()


def test_an_opaque_value_is_shared_and_nothing_of_it_is_copied():
    client = Opaque()
    run_state = RunState(StateKind(), "Flow")
    run_state.set("client", client)
    edit = run_state.edit()
    assert cast("Any", edit.working)["client"] is client
    run_state.commit(edit)
    assert run_state.get("client") is client
    assert run_state.get("client.url") == "here"


def test_two_names_for_one_object_stay_two_names_for_one_copy():
    run_state = RunState(StateKind(), "Flow")
    shared: list[int] = []
    run_state.set("a", shared)
    run_state.set("b", shared)
    edit = run_state.edit()
    state: Any = edit.working
    state["a"].append(1)
    state["b"].append(2)
    run_state.commit(edit)
    assert run_state.get("a") is run_state.get("b")
    assert (run_state.get("a"), shared) == ([1, 2], [])


def test_a_field_that_is_deleted_is_gone_and_one_that_holds_nothing_can_be_filled():
    @attrs.define(slots=False)
    class Late:
        late: list[int] = attrs.field(init=False)

    run_state = RunState(StateKind(Late), "Flow")
    edit = run_state.edit()
    state: Any = edit.working
    assert not hasattr(state, "late")
    state.late = [1]
    assert state.late == [1]
    run_state.commit(edit)
    edit = run_state.edit()
    del cast("Any", edit.working).late
    run_state.commit(edit)
    assert not hasattr(run_state.committed, "late")


def test_what_pydantic_keeps_beside_the_fields_is_rolled_back_too():
    class Rich(pydantic.BaseModel, extra="allow", validate_assignment=True):
        total: int = 0
        _seen: list[int] = pydantic.PrivateAttr(default_factory=list)

    run_state = RunState(StateKind(Rich), "Flow")
    first = run_state.edit()
    state: Any = first.working
    state.more = [1]
    state._seen.append(1)
    state.total = "5"
    with pytest.raises(pydantic.ValidationError):
        state.total = "much"
    run_state.commit(first)
    second = run_state.edit()
    state = second.working
    state.more.append(2)
    state._seen.append(2)
    second.end()
    committed: Any = run_state.committed
    assert (committed.total, committed.more, committed._seen) == (5, [1], [1])
    assert committed.model_dump() == {"total": 5, "more": [1]}


def test_a_class_that_keeps_a_list_of_its_subclasses_hears_nothing_of_ours():
    known: list[type] = []

    class Registered:
        def __init_subclass__(cls, *, needed: str = "") -> None:
            known.append(cls)

    @attrs.define(slots=False)
    class Mine(Registered):
        items: list[int] = attrs.Factory(list)

    before = list(known)
    run_state = RunState(StateKind(Mine), "Flow")
    edit = run_state.edit()
    cast("Any", edit.working).items.append(1)
    run_state.commit(edit)
    assert known == before
    assert run_state.get("items") == [1]


@pytest.mark.parametrize("kind", CLASSES)
def test_a_new_object_that_a_method_makes_of_its_own_class_can_be_used_and_kept(kind: Any):
    class Own(kind):
        def fresh(self) -> Any:
            return type(self)()

    run_state = RunState(StateKind(Own), "Flow")
    edit = run_state.edit()
    state: Any = edit.working
    fresh = state.fresh()
    fresh.items.append(1)
    assert copy.deepcopy(fresh).items == fresh.items == [1]
    state.by_key["fresh"] = fresh
    run_state.commit(edit)
    assert run_state.get("by_key.fresh.items") == [1]
    assert run_state.get("items") == []


def test_a_class_of_an_odd_layout_is_watched_like_any():
    @attrs.define(slots=False, weakref_slot=False)
    class Odd:
        __slots__ = ("__dict__",)
        items: list[int]

        def __init__(self) -> None:
            self.items = []

    run_state = RunState(StateKind(Odd), "Flow")
    before: Any = run_state.committed
    edit = run_state.edit()
    cast("Any", edit.working).items.append(1)
    assert before.items == []
    run_state.commit(edit)
    assert run_state.get("items") == [1]


def test_a_state_that_cannot_be_made_says_whose_it_is():
    def fail() -> int:
        raise OSError("no disk")

    @attrs.define
    class Broken:
        total: int = attrs.Factory(fail)

    with pytest.raises(OSError, match="no disk") as told:
        RunState(StateKind(Broken), "Flow")
    assert told.value.__notes__ == ["while the state of a run of Flow was made"]


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_nested_too_deep_is_told_where_it_is_read_and_nothing_is_lost(make: Callable[[], Any]):
    """It was a RecursionError, which did not say what was too deep."""
    run_state = run_state_of(make)
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    run_state.set("items", nested)
    edit = run_state.edit()
    with pytest.raises(StateError, match="'items' in the state is nested too deep"):
        member(edit.working, "items")
    edit.end()
    assert run_state.get("items") is nested


@pytest.mark.parametrize("make", MAKERS)
def test_an_edit_costs_what_it_touches(make: Callable[[], Any]):
    """Counted in calls: ten thousand inner objects that nobody looks at cost nothing."""

    def calls(size: int) -> int:
        run_state = run_state_of(make)
        run_state.set("items", [Inner() for _ in range(size)])

        def edit() -> None:
            change = run_state.edit()
            member(change.working, "by_key")["a"] = 1
            run_state.commit(change)
            run_state.set("total", 1)

        edit()
        return calls_during(edit)

    assert calls(10_000) == calls(1)


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_read_twice_is_looked_at_once(make: Callable[[], Any]):
    """An object that cannot change is its own copy, which takes a look at each of its parts."""
    run_state = run_state_of(make)
    run_state.set("items", tuple(range(1000)))
    edit = run_state.edit()
    first, second = (calls_during(lambda: member(edit.working, "items")) for _ in range(2))
    edit.end()
    assert second < first / 10


def test_an_edit_begins_with_its_turn():
    assert run_state_of(free).edit().dropped is False


def test_what_python_looks_for_in_a_free_state_is_told_as_python_does():
    state: Any = FreeState()
    with pytest.raises(AttributeError, match=r"^__html__$"):
        print(state.__html__)


def test_a_free_state_has_keys_and_no_attributes():
    state: Any = FreeState(total=1)
    says = (
        "the state of this run is a dict and has keys, not attributes; write state['total'], or name a class for it: "
        "ctx: Context[MyState]"
    )
    with pytest.raises(AttributeError) as told:
        print(state.total)
    assert str(told.value) == says
    assert told.value.name == "total"
    assert told.value.obj is None, "or Python would add a guess of its own"
    with pytest.raises(AttributeError) as told:
        state.total = 2
    assert str(told.value) == says
    assert not hasattr(state, "__wrapped__")
