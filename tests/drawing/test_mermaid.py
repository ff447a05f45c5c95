"""`to_mermaid`: every step and every event of a workflow is in its picture, and no name can break it.

What Mermaid itself makes of odd names (`end` for a step, quotes in a label) was tried in a browser with Mermaid 11; the
tests here hold the form that was found to be drawn.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Annotated, Any

import pytest
from hypothesis import given, strategies as st

from stretto import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    Workflow,
    step,
)
from stretto.drawing import to_mermaid
from stretto.joins import ByKey, First, Quorum, Settle, Until, Window


class Ask(Event):
    pass


class Again(Event):
    pass


class Go(Event, external=True):
    pass


class Question(InputRequiredEvent):
    pass


class Fine(StopEvent[int]):
    pass


class Branches(Workflow):
    @step
    async def begin(self, ev: StartEvent | Again) -> Ask | Question | StopEvent: ...
    @step(num_workers=2)
    async def ask(self, ev: Ask) -> list[Again] | Fine: ...
    @step(num_workers=1)
    async def answer(self, ev: Go | HumanResponseEvent) -> Again | None: ...


def picture(workflow: Any) -> list[str]:
    """The lines of a picture without its first, each without its indentation."""
    first, *lines = to_mermaid(workflow).split("\n")
    assert first == "flowchart TD"
    assert all(line.startswith("    ") for line in lines)
    return [line.strip() for line in lines]


def test_branches_loops_workers_and_what_comes_from_outside():
    assert picture(Branches) == [
        'begin["begin"]',
        'ask["ask x2"]',
        'answer["answer x1"]',
        'start_StartEvent(["StartEvent"]) --> begin',
        "begin -->|Ask| ask",
        'begin -.-> asked_Question[/"Question"/]',
        'begin --> stop_StopEvent(["StopEvent"])',
        "ask -->|Again| begin",
        'ask --> stop_Fine(["Fine"])',
        'outside_Go[/"Go"/] -.-> answer',
        'outside_HumanResponseEvent[/"HumanResponseEvent"/] -.-> answer',
        "answer -->|Again| begin",
    ]


def test_a_class_and_its_instance_have_the_same_picture():
    assert to_mermaid(Branches) == to_mermaid(Branches(timeout=3))


def test_steps_of_base_classes_come_first_and_unbound_ones_when_they_were_added():
    class Base(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask: ...

    class Added(Base):
        @step
        async def middle(self, ev: Ask) -> Again: ...

    assert picture(Added)[:2] == ['begin["begin"]', 'middle["middle"]']

    @step(workflow=Added)
    def end(ev: Again) -> StopEvent: ...

    @step(workflow=Base)
    async def beside(ev: Ask) -> None: ...

    assert picture(Added) == [
        'begin["begin"]',
        'beside["beside"]',
        'middle["middle"]',
        'end_["end"]',
        'start_StartEvent(["StartEvent"]) --> begin',
        "begin -->|Ask| beside",
        "begin -->|Ask| middle",
        "middle -->|Again| end_",
        'end_ --> stop_StopEvent(["StopEvent"])',
    ]
    assert picture(Base) == [
        'begin["begin"]',
        'beside["beside"]',
        'start_StartEvent(["StartEvent"]) --> begin',
        "begin -->|Ask| beside",
    ]


def test_an_event_that_only_one_side_declares_is_in_the_picture_too():
    class Loose(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask | StopEvent: ...
        @step
        async def end(self, ev: Again) -> StopEvent: ...

    assert 'begin -.-> lost_Ask(["Ask"])' in picture(Loose)
    assert 'sent_Again(["Again"]) -.-> end_' in picture(Loose)


def test_a_step_that_takes_subclasses_is_reached_by_each_of_them():
    class Wide(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Ask | Question | StopEvent: ...
        @step(accept_event_subclasses=True)
        async def watch(self, ev: Event) -> None: ...
        @step
        async def go(self, ev: Go) -> None: ...

    assert [line for line in picture(Wide) if "watch" in line] == [
        'watch["watch"]',
        "begin -->|Ask| watch",
        "begin -->|Question| watch",
        'start_StartEvent(["StartEvent"]) --> watch',
        'outside_Go[/"Go"/] -.-> watch',
    ]


def test_a_declared_base_class_is_drawn_as_the_subclass_that_a_step_takes():
    class Base(Event):
        pass

    class Left(Base):
        pass

    class Right(Base):
        pass

    class Splits(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Base: ...
        @step
        async def left(self, ev: Left) -> StopEvent: ...
        @step
        async def both(self, ev: Left | Right) -> StopEvent: ...

    assert [line for line in picture(Splits) if "begin -" in line] == [
        "begin -->|Left| left",
        "begin -->|Left| both",
        "begin -->|Right| both",
    ]


def test_two_classes_of_one_name_stay_apart():
    def make(name: str) -> Any:
        return type(name, (StopEvent,), {})

    one, other = make("End"), make("End")

    class Two(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> one | other: ...  # pyright: ignore[reportInvalidTypeForm]

    assert picture(Two)[-2:] == ['begin --> stop_End(["End"])', 'begin --> stop_End_2(["End"])']


def test_a_workflow_without_steps_is_an_empty_picture():
    class Empty(Workflow):
        pass

    assert picture(Empty) == []


def named(step_name: str, event_name: str) -> type[Workflow[Any]]:
    """A workflow with a step and an event of these names."""
    event = type(event_name, (Event,), {})

    async def first(self: object, ev: object) -> None: ...
    async def last(self: object, ev: object) -> None: ...

    first.__annotations__ = {"ev": StartEvent, "return": event}
    last.__annotations__ = {"ev": event, "return": StopEvent}
    return type("Named", (Workflow,), {step_name: step(first), "last_of_all": step(last)})


# Mermaid's own words, and what JavaScript finds on every object: as ids of nodes they draw an error.
WORDS = [
    "end", "graph", "flowchart", "subgraph", "style", "linkStyle", "classDef", "class", "click", "call", "href",
    "direction", "default", "interpolate", "_self", "_blank", "_parent", "_top", "constructor", "toString", "valueOf",
    "hasOwnProperty", "__proto__x",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_step_called_like_a_word_of_mermaid_has_another_id_and_its_own_label(word: str):
    lines = picture(named(word, "Ask"))
    assert lines[0] == f'{word}_["{word}"]'
    assert f'start_StartEvent(["StartEvent"]) --> {word}_' in lines


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ('quo"te', "quo#34;te"),
        ("a|b]c)d", "a#124;b#93;c#41;d"),
        ("<script>", "#60;script#62;"),
        ("#35;", "#35;35#59;"),
        ("`md`", "#96;md#96;"),
        ("two\nlines", "two#10;lines"),
        ("list[int]", "list#91;int#93;"),
        ("Größe", "Größe"),
    ],
)
def test_whatever_stands_in_the_name_of_a_class_is_drawn_as_text(name: str, label: str):
    lines = picture(named("begin", name))
    assert f'begin -->|"{label}"| last_of_all' in lines


LABEL = r'"[\w #;]+"'
NODE = rf"\w+(\(\[{LABEL}\]\)|\[/{LABEL}/\])?"
LINE = re.compile(rf"[A-Za-z_]\w*\[{LABEL}\]|{NODE} (-->|-\.->)(\|(\w+|{LABEL})\|)? {NODE}")


@given(
    step_name=st.text(min_size=1).filter(
        lambda name: name.isidentifier() and not name.startswith("__") and name not in dir(Workflow)
    ),
    event_name=st.text(min_size=1).filter(lambda name: "\0" not in name),  # no class has one in its name
)
def test_no_name_leaves_the_form_that_mermaid_reads(step_name: str, event_name: str):
    lines = picture(named(step_name, event_name))
    assert all(LINE.fullmatch(line) for line in lines)
    ids = [line.partition("[")[0] for line in lines[:2]]
    assert len(set(ids)) == 2
    assert all(each.isascii() for each in ids)


def test_the_text_does_not_depend_on_the_order_of_a_set():
    program = (
        "from stretto.drawing import to_mermaid; from tests.drawing.test_mermaid import Branches; "
        "print(to_mermaid(Branches))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path)) + ":."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert told == {to_mermaid(Branches) + "\n"}


def first_of_its_kind(asks: Any) -> bool:
    return True


def test_a_join_says_by_which_policy_and_what_becomes_of_the_rest():
    policies = {
        First(losers="keep"): "joins the first and keeps the rest",
        First(2, losers="drain"): "joins the first 2 and drains the rest",
        Quorum(first_of_its_kind): "joins as soon as first_of_its_kind",
        Until(first_of_its_kind, losers="keep"): "joins until first_of_its_kind and keeps the rest",
        ByKey("shop"): "joins by shop",
        ByKey(first_of_its_kind): "joins by first_of_its_kind",
        Window(10): "joins each 10",
        Window(seconds=5): "joins each 5 s",
        Window(10, seconds=60): "joins each 10 or 60 s",
    }
    for policy, says in policies.items():

        class Joins(Workflow):
            @step
            async def begin(self, ev: StartEvent) -> list[Ask]: ...
            @step
            async def join(self, asks: Annotated[list[Ask], policy]) -> Fine: ...

        assert picture(Joins)[1] == f'join{{{{"join {says}"}}}}'

    class Settles(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask]: ...
        @step
        async def join(self, asks: Annotated[list[Ask | StepFailedEvent], Settle()]) -> Fine: ...

    assert picture(Settles)[1] == 'join{{"join joins all with failures"}}'


def test_a_step_that_joins_is_a_hexagon_that_says_how():
    class Joins(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> list[Ask | Again]: ...
        @step
        async def gather(self, asks: list[Ask]) -> Go | None: ...
        @step(num_workers=1)
        async def race(self, asks: Annotated[list[Ask], First()]) -> Fine: ...
        @step
        async def podium(self, asks: Annotated[list[Ask], First(3)]) -> Fine: ...
        @step
        async def pair(self, again: Again, go: Go) -> Fine: ...

    lines = picture(Joins)
    assert lines[:5] == [
        'begin["begin"]',
        'gather{{"gather joins all"}}',
        'race{{"race x1 joins the first"}}',
        'podium{{"podium joins the first 3"}}',
        'pair{{"pair joins one of each"}}',
    ]
    assert "begin -->|Ask| gather" in lines
    assert "begin -->|Again| pair" in lines
