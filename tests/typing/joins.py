"""What type checkers know of joins: a policy beside a list leaves it a list, and its options are checked."""

from __future__ import annotations

from typing import Annotated, assert_type

from stretto import Event, StartEvent, StopEvent, Workflow, step
from stretto.joins import All, First


class Left(Event):
    n: int


class Right(Event):
    n: int


class Joins(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> list[Left | Right]:
        return [Left(n=1), Right(n=2)]

    @step
    async def first(self, lefts: Annotated[list[Left], First(2, order="source")]) -> StopEvent[int]:
        assert_type(lefts, list[Left])
        return StopEvent(result=lefts[0].n)

    @step
    async def either(self, found: Annotated[list[Left | Right], All()]) -> StopEvent[int]:
        assert_type(found, list[Left | Right])
        return StopEvent(result=len(found))

    @step
    async def pair(self, left: Left, right: Right) -> StopEvent[int]:
        return StopEvent(result=left.n + right.n)


All("source")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
First(order="any")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
First("2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
