"""`stretto.checking.check`: what is wrong, or may be, as values."""

from __future__ import annotations

import itertools

import pytest

from stretto import Application, Event, StartEvent, StopEvent, Workflow, step
from stretto.checking import Problem, check
from tests.core.counting import calls_during


class Lost(Event):
    pass


class Other(StartEvent):
    number: int


class Shop(Workflow):
    @step
    async def sell(self, ev: StartEvent) -> Lost | StopEvent:
        return StopEvent()


class Third(StartEvent):
    number: int


class Twice(Workflow):
    @step
    async def begin(self, ev: Other) -> StopEvent:
        return StopEvent()

    @step
    async def again(self, ev: Third) -> StopEvent:
        return StopEvent()


class Noted:
    last: StartEvent
    total: int


class Counting(Workflow):
    by_name: dict[str, Noted]

    @step
    async def count(self, ev: StartEvent) -> StopEvent:
        self.total: int = 3
        del self.total
        self.by_name["x"].last = ev
        total = 3
        other = Noted()
        other.total = total
        return StopEvent()

    @staticmethod
    @step
    async def apart(ev: Lost) -> StopEvent:
        return StopEvent()


class Outer(Workflow):
    @step
    async def begin(self, ev: StartEvent, shop: Shop) -> StopEvent:
        return StopEvent()


def kinds(found: tuple[Problem, ...]) -> list[tuple[str, str | None, bool]]:
    return [(each.kind, each.step, each.fatal) for each in found]


def test_a_class_and_a_workflow_made_of_it_have_the_same_findings():
    assert kinds(check(Shop)) == kinds(check(Shop())) == [("nobody-takes", "sell", False)]


def test_several_start_events_of_which_none_is_bare_are_told():
    assert kinds(check(Twice)) == [("several-starts", None, False)]


def test_whatever_way_an_attribute_of_self_is_assigned_it_is_named_once():
    found = [each.message for each in check(Counting) if each.kind == "shared-attribute"]
    assert [message.partition(" assigns ")[2].partition(" ")[0] for message in found] == [
        "self.total",
        "self.by_name",
    ]


def test_a_workflow_is_looked_at_with_those_that_its_steps_are_handed():
    assert kinds(check(Outer)) == []
    assert kinds(check(Outer())) == [("nested", None, True)]
    assert kinds(check(Outer(shop=Shop()))) == [("nobody-takes", "sell", False)]


def test_each_thing_that_is_wrong_with_the_wiring_of_an_application_is_told_by_itself():
    app = Application(one=Shop(), two=Twice(), three=Counting())
    app.connect(Lost, to="four")
    found = check(app)
    assert [each.kind for each in found][:1] == ["wiring"]
    assert {each.kind for each in found} == {"wiring", "shared-attribute"}
    assert "names a member 'four'" in found[0].message


def test_a_step_without_source_is_not_looked_into():
    names = {
        "Workflow": Workflow,
        "step": step,
        "StartEvent": StartEvent,
        "StopEvent": StopEvent,
        "__name__": "x",
    }
    program = (
        "class Made(Workflow):\n  @step\n  async def go(self, ev: StartEvent) -> StopEvent:\n    self.x = 1\n"
    )
    exec(program, names)  # noqa: S102 - as in an interactive session
    assert check(names["Made"]) == ()


def test_what_is_no_workflow_is_refused():
    with pytest.raises(TypeError, match="check takes a workflow class, a workflow or an Application, not 3"):
        check(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def chain(length: int) -> type[Workflow]:
    """A workflow of steps of which each leads to the next."""
    kinds = [StartEvent, *(type(f"E{number}", (Event,), {}) for number in range(1, length)), StopEvent]
    steps: dict[str, object] = {}
    for number, (taken, made) in enumerate(itertools.pairwise(kinds)):

        async def go(self: object, ev: object) -> object: ...

        go.__name__, go.__qualname__ = f"s{number}", f"Chain.s{number}"
        go.__annotations__ = {"ev": taken, "return": made}
        steps[go.__name__] = step(go)
    return type("Chain", (Workflow,), steps)


def test_a_workflow_of_many_steps_is_looked_at_in_the_square_of_their_number_at_most():
    small, large = chain(20), chain(80)
    assert calls_during(lambda: check(large)) <= 20 * calls_during(lambda: check(small))
