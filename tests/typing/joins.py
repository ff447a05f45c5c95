"""What type checkers know of joins: a policy beside a list leaves it a list, and its options are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, assert_type

from stretto import Event, StartEvent, StepFailedEvent, StopEvent, Workflow, step
from stretto.joins import All, ByKey, First, Quorum, Settle, Until, Window


class Left(Event):
    n: int


class Right(Event):
    n: int


def enough(lefts: Sequence[Left]) -> bool:
    return len(lefts) > 1


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
    async def quorum(self, lefts: Annotated[list[Left], Quorum(enough, losers="keep")]) -> StopEvent[int]:
        assert_type(lefts, list[Left])
        return StopEvent(result=lefts[0].n)

    @step
    async def until(self, lefts: Annotated[list[Left], Until(lambda left: left.n > 1)]) -> StopEvent[int]:
        return StopEvent(result=lefts[-1].n)

    @step
    async def keyed(self, lefts: Annotated[list[Left], ByKey("n")]) -> StopEvent[int]:
        return StopEvent(result=lefts[0].n)

    @step
    async def windows(self, lefts: Annotated[list[Left], Window(3, seconds=0.5)]) -> StopEvent[int]:
        return StopEvent(result=lefts[0].n)

    @step
    async def settled(self, lefts: Annotated[list[Left | StepFailedEvent], Settle()]) -> StopEvent[int]:
        assert_type(lefts, list[Left | StepFailedEvent])
        return StopEvent(result=len(lefts))

    @step
    async def pair(self, left: Left, right: Right) -> StopEvent[int]:
        return StopEvent(result=left.n + right.n)


All("source")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
First(order="any")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
First("2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
First(losers="leave")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Quorum(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Window(seconds="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
