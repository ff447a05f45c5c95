"""Where classes are written, and how long a large workflow takes to be drawn."""

from __future__ import annotations

import inspect
import linecache
import random
import time
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from stretto import Event, StartEvent, StopEvent, Workflow, step
from stretto.blueprint import Blueprint
from stretto.drawing import draw_all_possible_flows
from stretto.drawing.places import Places


class Plain(Event):
    class Inner(Event):
        pass


def same(cls: type) -> type:
    return cls


@same
@same
class Decorated(Event):
    pass


def local() -> type:
    if local:

        class Local(Event):
            pass

    return Local


@pytest.mark.parametrize("kind", [Plain, Plain.Inner, Decorated, local()], ids=lambda kind: kind.__name__)
def test_a_class_is_found_where_python_finds_it(kind: type):
    places = Places()
    _, line = inspect.findsource(kind)
    for _ in range(2):
        assert places.find(kind) == (__file__, line + 1)


def test_a_file_is_read_once(monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    original = linecache.getlines

    def counted(path: str, names: Any = None) -> list[str]:
        read.append(path)
        return original(path, names)

    places = Places()
    monkeypatch.setattr(linecache, "getlines", counted)
    for kind in (Plain, Plain.Inner, Decorated, type("Elsewhere", (Event,), {"__module__": __name__})):
        places.find(kind)
    assert read == [__file__]


def test_a_class_without_a_file_has_no_place():
    names: dict[str, Any] = {"__name__": "nowhere", "Event": Event}
    exec("class Made(Event): pass", names)  # noqa: S102 - as in an interactive session
    assert Places().find(names["Made"]) is None
    assert Places().find(int) is None
    assert Places().find(type("Elsewhere", (Event,), {"__module__": __name__})) is None


def test_a_file_that_is_no_python_any_more_gives_no_place(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("linecache.getlines", lambda *_: ["class Plain(:\n"])
    assert Places().find(Plain) is None or hasattr(Plain, "__firstlineno__")


def large(count: int, each: int, *, loops: bool) -> type[Workflow]:
    """A workflow of so many steps, each of which may return several events, of which some lead back."""
    draws = random.Random(1)
    kinds = [type(f"E{number}", (Event,), {}) for number in range(count)]
    steps: dict[str, Any] = {}
    for number in range(count):

        async def go(self: object, ev: object) -> object: ...

        far = range(count) if loops else range(number + 1, min(count, number + 40))
        returns: Any = StopEvent if number == count - 1 else None
        for target in {draws.choice(far) for _ in range(each)} if far else set[int]():
            returns = kinds[target] if returns is None else returns | kinds[target]
        go.__name__, go.__qualname__ = f"s{number}", f"Large.s{number}"
        go.__annotations__ = {
            "ev": kinds[number] | StartEvent if number == 0 else kinds[number],
            "return": returns,
        }
        steps[go.__name__] = step(go)
    return type("Large", (Workflow,), steps)


@pytest.mark.untraced
@pytest.mark.parametrize("loops", [False, True], ids=["dense", "cyclic"])
@pytest.mark.parametrize("each", [1, 2, 4])
def test_a_page_of_five_hundred_steps_is_drawn_in_less_than_two_seconds(each: int, loops: bool):
    workflow = large(500, each, loops=loops)
    begun = time.process_time()
    page = draw_all_possible_flows(workflow).to_html()
    assert time.process_time() - begun < 2
    assert len(page) < 5_000_000


class Base(Event):
    pass


class Below(Base):
    pass


class Lowest(Below):
    pass


class Other(Event):
    pass


KINDS = [Event, Base, Below, Lowest, Other, StartEvent, StopEvent]
SETS = st.lists(st.sampled_from(KINDS[1:5]), min_size=1, max_size=3, unique=True)


def union(kinds: list[type]) -> Any:
    made: Any = kinds[0]
    for kind in kinds[1:]:
        made |= kind
    return made


def blueprint_of(steps: list[tuple[list[type], list[type], bool]]) -> Blueprint:
    methods: dict[str, Any] = {}
    for number, (takes, returns, subclasses) in enumerate(steps):

        async def go(self: object, ev: object) -> object: ...

        go.__name__, go.__qualname__ = f"s{number}", f"W.s{number}"
        go.__annotations__ = {"ev": union(takes), "return": union(returns)}
        methods[go.__name__] = step(accept_event_subclasses=subclasses)(go)
    return type("W", (Workflow,), methods).blueprint()


@example([([Base], [Other], True)], Below, False)
@example([([Lowest], [Below], False)], Base, True)
@example([([Other], [Base], False)], Lowest, False)
@given(
    st.lists(st.tuples(SETS, SETS, st.booleans()), min_size=1, max_size=4),
    st.sampled_from(KINDS),
    st.booleans(),
)
def test_who_takes_and_makes_a_type_is_as_by_asking_each_step(
    steps: list[tuple[list[type], list[type], bool]], kind: type[Event], subclasses: bool
):
    blueprint = blueprint_of(steps)
    assert [*blueprint.takers(kind)] == [
        spec
        for spec in blueprint.specs
        if any(
            issubclass(each, kind) or (spec.accept_event_subclasses and issubclass(kind, each))
            for each in spec.accepts
        )
    ]
    assert blueprint.makers(kind, subclasses=subclasses) == [
        spec
        for spec in blueprint.specs
        if any(issubclass(kind, each) or (subclasses and issubclass(each, kind)) for each in spec.returns)
    ]
