"""`read`: what is in the picture of a workflow, before it is drawn in any form."""

from __future__ import annotations

from typing import Any

import pytest

from stretto import Application, Event, StartEvent, StopEvent, Workflow, step
from stretto.drawing import draw_all_possible_flows
from stretto.drawing.graph import Graph, How, Role
from tests.application.programs import Monitor, Station
from tests.drawing.programs import Ask, Cheapest, Offer, Press, Writer


def graph_of(workflow: Any) -> Graph:
    return draw_all_possible_flows(workflow).graph


def roles(graph: Graph) -> dict[str, Role]:
    return {node.id: node.role for node in graph.nodes}


def ways(graph: Graph, how: How) -> list[str]:
    return [edge.id for edge in graph.edges if edge.how is how]


def test_steps_and_events_are_nodes_and_what_is_sent_in_a_list_is_marked():
    graph = graph_of(Cheapest)
    assert roles(graph) == {
        "ask_all": Role.STEP, "ask": Role.STEP, "choose": Role.STEP, "start_StartEvent": Role.START,
        "event_Ask": Role.EVENT, "event_Offer": Role.EVENT, "stop_StopEvent": Role.STOP,
    }  # fmt: skip
    assert [edge.id for edge in graph.edges] == [
        "start_StartEvent>ask_all", "ask_all>event_Ask", "event_Ask>ask", "ask>event_Offer", "event_Offer>choose",
        "choose>stop_StopEvent",
    ]  # fmt: skip
    assert [edge.id for edge in graph.edges if edge.many] == ["ask_all>event_Ask"]


def test_a_step_that_waits_in_its_middle_is_shown_with_what_it_waits_for_and_asks():
    graph = graph_of(Writer)
    assert ways(graph, How.WAITS) == ["outside_Answer>judge"]
    assert "judge>asked_Question" in ways(graph, How.OUTSIDE)


def test_an_event_taken_and_made_on_both_sides_is_one_node():
    graph = graph_of(Writer)
    assert [node.id for node in graph.nodes if node.title == "Rejected"] == ["event_Rejected"]
    assert {edge.id for edge in graph.edges if "event_Rejected" in edge.id} == {
        "judge>event_Rejected", "set_page>event_Rejected", "event_Rejected>write",
    }  # fmt: skip


def test_nested_workflows_are_frames_that_their_steps_run():
    graph = graph_of(Press)
    assert [(frame.id, frame.title, frame.within) for frame in graph.frames] == [
        ("nested_writer", "writer (Writer)", None),
        ("nested_shop", "shop (Cheapest)", None),
    ]
    assert ways(graph, How.CALLS) == [
        "begin>nested_writer_start_StartEvent",
        "sell>nested_shop_start_StartEvent",
    ]
    assert {node.frame for node in graph.nodes} == {None, "nested_writer", "nested_shop"}


def test_the_workflow_that_an_instance_was_given_is_drawn_and_not_the_annotated_class():
    class Better(Cheapest):
        @step
        async def haggle(self, ev: Offer) -> None: ...

    titles = [node.title for node in graph_of(Press(writer=Writer(), shop=Better())).nodes]
    assert "haggle" in titles


def test_what_a_nested_workflow_and_the_one_around_it_say_to_each_other_crosses_the_frame():
    class Inner(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Offer | StopEvent: ...
        @step
        async def told(self, ev: Ask) -> StopEvent: ...

    class Outer(Workflow):
        @step
        async def begin(self, ev: StartEvent, inner: Inner) -> Ask | StopEvent: ...
        @step
        async def heard(self, ev: Offer) -> None: ...

    edges = {edge.id for edge in graph_of(Outer).edges}
    assert edges >= {
        "nested_inner_begin>event_Offer", "event_Offer>heard", "begin>event_Ask", "event_Ask>nested_inner_told",
    }  # fmt: skip
    assert not any("lost_" in edge or "sent_" in edge for edge in edges)


def test_a_workflow_that_nests_itself_is_drawn_once():
    class Around(Workflow):
        pass

    class Within(Workflow):
        @step
        async def go(self, ev: StartEvent, around: Around) -> StopEvent: ...

    @step(workflow=Around)
    async def begin(ev: StartEvent, within: Within) -> StopEvent: ...

    assert [frame.id for frame in graph_of(Around).frames] == ["nested_within"]


def test_what_crosses_an_application_stands_between_the_frames():
    graph = graph_of(Application(monitor=Monitor(), orders=Station()))
    assert [frame.title for frame in graph.frames] == ["monitor (Monitor)", "orders (Station)"]
    assert ways(graph, How.CROSSING) == [
        "m0_watch>crossing_Trade", "crossing_Trade>m1_trade", "m1_trade>crossing_Traded", "crossing_Traded>m0_done",
    ]  # fmt: skip
    assert {node.frame for node in graph.nodes if node.id.startswith("crossing")} == {None}


def test_events_of_one_class_that_go_to_different_members_stay_apart():
    class Out(Workflow):
        @step
        async def send(self, ev: StartEvent) -> Offer | StopEvent: ...

    class In(Workflow):
        @step
        async def take(self, ev: Offer) -> None: ...

    app = Application(a=Out(), b=Out(), c=In(), d=In())
    app.connect(Offer, source="a", to="c").connect(Offer, source="b", to="d")
    assert set(ways(graph_of(app), How.CROSSING)) == {
        "m0_send>crossing_Offer", "crossing_Offer>m2_take", "m1_send>crossing_Offer_2", "crossing_Offer_2>m3_take",
    }  # fmt: skip


def test_each_class_made_or_taken_by_one_side_only_is_in_the_picture():
    class Made(Event):
        pass

    class Taken(Event):
        pass

    class Loose(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Made | StopEvent: ...
        @step
        async def end(self, ev: Taken) -> None: ...

    assert roles(graph_of(Loose)) | {"lost_Made": Role.LOST, "sent_Taken": Role.SENT} == roles(
        graph_of(Loose)
    )


@pytest.mark.parametrize("wrong", [None, 3, "Cheapest", Event])
def test_what_is_no_workflow_is_refused_and_named(wrong: Any):
    with pytest.raises(TypeError, match=r"a picture is drawn of a Workflow or an Application, not of "):
        draw_all_possible_flows(wrong)
