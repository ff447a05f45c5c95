"""What type checkers know of events: the fields that a class declares, and that they are frozen."""

from __future__ import annotations

from typing import Any, assert_type

import attrs

from stretto import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent


class Opinion(Event):
    source: str
    good: bool = True


class Longer(Opinion):
    words: list[str] = attrs.field(factory=list[str])


class Go(Event, external=True):
    pass


def fields_are_known() -> None:
    assert_type(Opinion(source="shop").source, str)
    assert_type(Opinion(source="shop", good=False).good, bool)
    assert_type(Longer(source="shop").words, list[str])
    Longer(source="shop", good=True, words=["a"])
    Go()


def wrong_fields_are_errors() -> None:
    Opinion(source=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Opinion(sauce="shop")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Opinion()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Opinion("shop")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Opinion(source="shop").sauce  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def events_are_frozen(opinion: Opinion) -> None:
    opinion.good = False  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def bare_classes_take_any_field() -> None:
    assert_type(StartEvent(payload=1).payload, Any)
    assert_type(InputRequiredEvent(question="?").question, Any)
    assert_type(HumanResponseEvent(answer="!").answer, Any)


def a_stop_event_knows_its_result() -> None:
    assert_type(StopEvent(result=3), StopEvent[int])
    assert_type(StopEvent("done").result, str)
    stop: StopEvent[int] = StopEvent(result="3")  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    wider: StopEvent[int | str] = StopEvent(result=3)
    print(stop, wider)
