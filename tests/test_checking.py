"""`stretto.checking.check`: what is wrong, or may be, as values."""

from __future__ import annotations

import itertools
import re

import pytest

from stretto import (
    Application,
    Context,
    Event,
    HumanResponseEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
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


# -- the graph, and what can only be doubted ------------------------------------------------------------------------


class A(Event):
    pass


class SubA(A):
    pass


class B(Event):
    pass


class C(Event):
    pass


class D(Event):
    pass


class Both(Workflow):
    """A join of one of each, from two branches."""

    @step
    async def begin(self, ev: StartEvent) -> list[C]: ...

    @step
    async def work(self, ev: C) -> A | B: ...

    @step
    async def join(self, a: A, b: B) -> StopEvent: ...


class Either(Workflow):
    """One of the two, and never both."""

    @step
    async def begin(self, ev: StartEvent) -> C: ...

    @step
    async def work(self, ev: C) -> A | B: ...

    @step
    async def join(self, a: A, b: B) -> StopEvent: ...


class Apart(Workflow):
    """Two steps take one event, and so there are two branches."""

    @step
    async def begin(self, ev: StartEvent) -> A: ...

    @step
    async def beside(self, ev: StartEvent) -> B: ...

    @step
    async def join(self, a: A, b: B) -> StopEvent: ...


class Sends(Workflow):
    """What is sent by ctx may be several."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> A | B: ...

    @step
    async def join(self, a: A, b: B) -> StopEvent: ...


class Fed(Workflow):
    """One of the two comes from outside."""

    @step
    async def begin(self, ev: StartEvent) -> A: ...

    @step
    async def join(self, a: A, b: HumanResponseEvent) -> StopEvent: ...


class Cut(Workflow):
    """The other one is made by steps that go round among themselves, and nothing comes in there."""

    @step
    async def begin(self, ev: StartEvent) -> list[A]: ...

    @step
    async def round(self, ev: C) -> D | B: ...

    @step
    async def about(self, ev: D) -> C: ...

    @step
    async def join(self, a: A, b: B) -> StopEvent: ...


class Aside(Workflow):
    """It forks, and no branch comes to the join: each ends, or loops."""

    @step
    async def begin(self, ev: StartEvent) -> list[A] | B: ...

    @step
    async def loop(self, ev: A) -> A | StopEvent: ...

    @step
    async def join(self, all_of_them: list[B]) -> StopEvent: ...


class Gathers(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> A | B: ...

    @step
    async def gather(self, ctx: Context, ev: A | B) -> StopEvent | None:
        return None if ctx.collect_events(ev, [A, B] * 2) is None else StopEvent()


class Misses(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> A | B: ...

    @step
    async def gather(self, ctx: Context, ev: A) -> StopEvent | None:
        return None if ctx.collect_events(ev, [A, B]) is None else StopEvent()

    @step
    async def other(self, ctx: Context, ev: B) -> StopEvent | None:
        return StopEvent() if ctx.collect_events(ev, expected=[B, C] * 3) else None


class Overlap(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> SubA | A: ...

    @step
    async def exact(self, ev: SubA) -> None: ...

    @step(accept_event_subclasses=True)
    async def any_of_them(self, ev: A) -> StopEvent: ...


class Ends(Workflow):
    @step
    async def one(self, ev: StartEvent) -> StopEvent: ...

    @step
    async def other(self, ev: StartEvent) -> StopEvent[int]: ...


class MayEnd(Workflow):
    @step
    async def one(self, ev: StartEvent) -> StopEvent | None: ...

    @step
    async def other(self, ev: StartEvent) -> StopEvent: ...


GRAPHS: list[tuple[type[Workflow], list[tuple[str, str | None]]]] = [
    (Both, []),
    (Either, [("open-join", "join")]),
    (Apart, []),
    (Sends, []),
    (Fed, []),
    (Cut, [("unreachable", "round"), ("unreachable", "about"), ("open-join", "join")]),
    (Aside, [("lone-join", "join")]),
    (Gathers, []),
    (Misses, [("open-batch", "gather"), ("open-batch", "other")]),
    (Overlap, [("two-ways", "any_of_them")]),
    (Ends, [("two-ends", "other")]),
    (MayEnd, []),
]


@pytest.mark.parametrize(("workflow", "found"), GRAPHS, ids=[cls.__name__ for cls, _ in GRAPHS])
def test_each_thing_that_may_be_wrong_with_a_graph_is_found_and_its_twin_is_not(
    workflow: type[Workflow], found: list[tuple[str, str | None]]
):
    problems = check(workflow)
    assert [(each.kind, each.step) for each in problems] == found
    assert not any(each.fatal for each in problems)
    assert all(each.file is not None and each.line for each in problems)


MESSAGES = {
    Either: (
        "Either.join (test_checking.py) joins one of each of A and B, and nothing that leads to it forks, so that only "
        "one of them ever comes; let a step return a list of them, or two steps take one event"
    ),
    Cut: (
        "Cut.join (test_checking.py) joins one of each of A and B, and no B ever comes: it is returned by Cut.round "
        "(test_checking.py), which cannot be reached"
    ),
    Misses: (
        "Misses.gather (test_checking.py) collects B (line), which it does not take, so that no batch is ever whole; "
        "write ev: A | B, or leave it out of the list"
    ),
    Overlap: (
        "SubA goes to Overlap.exact (test_checking.py) and to Overlap.any_of_them (test_checking.py) too, which takes "
        "subclasses; if one of them is meant, let that one take what the other does not"
    ),
    Ends: (
        "StartEvent is taken by Ends.one (test_checking.py) and Ends.other (test_checking.py), each of which ends the "
        "run: the quicker one decides, and cancels the other; let one of them take another event, or join them"
    ),
}


@pytest.mark.parametrize(("workflow", "says"), MESSAGES.items(), ids=[cls.__name__ for cls in MESSAGES])
def test_what_is_doubted_says_what_to_write(workflow: type[Workflow], says: str):
    messages = [
        re.sub(r":\d+\)", ")", re.sub(r"\(line \d+\)", "(line)", each.message)) for each in check(workflow)
    ]
    assert says in messages


def test_a_run_does_not_warn_of_what_is_doubted():
    assert Either.blueprint().findings == Ends.blueprint().findings == ()


# -- members --------------------------------------------------------------------------------------------------------


class Front(Workflow):
    """Whole only among others: what it returns is taken there, and what it takes comes from there."""

    @step
    async def take(self, ev: StartEvent) -> A: ...

    @step
    async def give(self, ev: B) -> StopEvent: ...


class Back(Workflow):
    """Neither starts nor stops."""

    @step
    async def work(self, ev: A) -> B: ...


class Careless(Workflow):
    """As Back, and with whatever else may be wrong."""

    @step
    async def work(self, ev: A) -> B | C: ...

    @step
    async def loop(self, ev: C) -> C: ...

    @step
    async def lost(self, ev: D) -> None: ...

    @step
    async def never(self, ev: SubA) -> SubA: ...


def test_a_member_is_looked_at_with_what_comes_from_the_others_and_goes_to_them():
    assert {each.kind for each in check(Front)} == {"nobody-takes", "nobody-makes", "dead-end"}
    assert {each.kind for each in check(Back)} >= {"no-start", "no-stop"}
    assert check(Application(front=Front(), back=Back())) == ()


def test_each_finding_about_a_graph_is_found_in_a_member_too():
    found = check(Application(front=Front(), back=Careless()))
    assert [(each.workflow, each.kind, each.step) for each in found] == [
        ("back", "nobody-makes", "lost"),
        ("back", "unreachable", "never"),
        ("back", "dead-end", "loop"),
        ("back", "dead-end", "never"),
    ]


class Replies(Workflow):
    @step
    async def answer(self, ev: C) -> D: ...


class Asks(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> C | StopEvent:
        return StopEvent(result=await ctx.request(C(), reply=D))


def test_the_reply_to_a_request_is_taken_by_who_asked():
    assert check(Application(asks=Asks(), replies=Replies())) == ()


def test_what_an_application_is_told_to_come_from_outside_does():
    app = Application(front=Front(), back=Back(), replies=Replies(), taker=Takes(), external=[C])
    assert [(each.kind, each.step) for each in check(app)] == []


class Takes(Workflow):
    @step
    async def take(self, ev: D) -> None: ...


class Child(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> A | StopEvent: ...


class Parent(Workflow):
    @step
    async def begin(self, ev: StartEvent, child: Child) -> StopEvent | None: ...

    @step
    async def hear(self, ev: A) -> StopEvent: ...


def test_what_a_nested_workflow_sends_is_taken_by_the_steps_around_it():
    assert {each.kind for each in check(Child())} == {"nobody-takes"}
    assert check(Parent(child=Child())) == ()


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
