"""The picture of an application: a frame for each member, thick lines between them; and the same as data."""

from __future__ import annotations

import json

from stretto import Application, StartEvent, StopEvent, Workflow, step
from stretto.drawing import to_mermaid
from stretto.drawing.dot import _STYLES, _WAYS
from stretto.drawing.graph import How, Role
from stretto.drawing.mermaid import _BOXES
from stretto.drawing.reading import read
from stretto.drawing.svg import _SIGNED, _SIGNS
from stretto.drawing.telling import _KINDS
from tests.application.programs import Ask, Asker, Monitor, Oracle, Station, Trade


def test_each_member_has_a_frame_and_what_goes_between_them_is_a_thick_line():
    assert to_mermaid(Application(monitor=Monitor(), orders=Station())).split("\n") == [
        "flowchart TD",
        '    subgraph m0["monitor #40;Monitor#41;"]',
        '        m0_watch["watch"]',
        '        m0_done["done"]',
        '        m0_start_StartEvent(["StartEvent"]) --> m0_watch',
        '        m0_done --> m0_stop_StopEvent(["StopEvent"])',
        "    end",
        '    subgraph m1["orders #40;Station#41;"]',
        '        m1_trade["trade"]',
        "    end",
        "    m0_watch ==>|Trade| m1_trade",
        "    m1_trade ==>|Traded| m0_done",
    ]


def test_what_a_nested_workflow_sends_comes_from_its_own_step_in_a_frame_within():
    class Inner(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Trade | StopEvent: ...

    class Outer(Workflow):
        @step
        async def begin(self, ev: StartEvent, inner: Inner) -> StopEvent: ...

    app = Application(a=Outer(inner=Inner()), b=Station(), c=Monitor()).connect(Trade, to="b")
    lines = to_mermaid(app).split("\n")
    assert '        subgraph m0_nested_inner["inner #40;Inner#41;"]' in lines
    assert '    m0_begin -.-> m0_nested_inner_start_StartEvent(["StartEvent"])' in lines
    assert "    m0_nested_inner_begin ==>|Trade| m1_trade" in lines


def test_the_graph_is_data():
    graph = Application(monitor=Monitor(), orders=Station()).graph()
    assert json.loads(json.dumps(graph)) == graph
    assert graph["members"]["orders"]["workflow"] == "Station"
    (trade,) = graph["members"]["orders"]["steps"]
    assert (trade["name"], trade["accepts"], trade["returns"], trade["num_workers"]) == (
        "trade", ["Trade"], ["Traded"], 4,
    )  # fmt: skip
    assert [(each["source"], each["event"], each["to"], each["how"]) for each in graph["routes"]] == [
        ("monitor", "Trade", "orders", "type"),
        ("orders", "Traded", "monitor", "type"),
    ]


def test_a_reply_is_a_line_back_to_the_step_that_asks():
    app = Application(asker=Asker(), oracle=Oracle())
    assert to_mermaid(app).split("\n") == [
        "flowchart TD",
        '    subgraph m0["asker #40;Asker#41;"]',
        '        m0_ask["ask"]',
        '        m0_start_StartEvent(["StartEvent"]) --> m0_ask',
        '        m0_ask --> m0_stop_StopEvent(["StopEvent"])',
        "    end",
        '    subgraph m1["oracle #40;Oracle#41;"]',
        '        m1_answer["answer"]',
        "    end",
        "    m0_ask ==>|Ask| m1_answer",
        "    m1_answer ==>|Answer| m0_ask",
    ]
    assert [(each["source"], each["event"], each["to"], each["how"]) for each in app.graph()["routes"]] == [
        ("asker", "Ask", "oracle", "type"),
        ("oracle", "Answer", "asker", "reply"),
    ]


def test_a_reply_for_who_asks_from_outside_goes_there_and_is_not_lost():
    app = Application(monitor=Monitor(), station=Station(), oracle=Oracle(), external=[Ask])
    graph = read(app)
    (answer,) = [node for node in graph.nodes if node.title == "Answer"]
    assert answer.role is Role.ANSWER
    assert [edge.how for edge in graph.edges if edge.target == answer.id] == [How.OUTSIDE]
    assert '        m2_answer -.-> m2_answer_Answer[/"Answer"/]' in to_mermaid(app).split("\n")
    (lost,) = [node for node in read(Oracle).nodes if node.title == "Answer"]
    assert lost.role is Role.LOST


def test_every_form_of_a_picture_knows_every_role_and_way():
    for each in Role:
        assert each is Role.STEP or each in _BOXES
        assert each in _STYLES
        assert each in _KINDS
    assert _SIGNS.keys() == _SIGNED
    assert _WAYS.keys() == set(How)
