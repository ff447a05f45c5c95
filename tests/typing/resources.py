"""What the type checkers know of resources and limits: a parameter has the annotated type, a block its workflow."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, assert_type

import attrs

from stretto import Limit, Resource, ResourceConfig, StartEvent, StopEvent, Workflow, step


@attrs.frozen
class Settings:
    host: str


@asynccontextmanager
async def connect(settings: Annotated[Settings, ResourceConfig("app.toml", "db")]) -> AsyncGenerator[str]:
    yield settings.host


class Asks(Workflow[str]):
    @step(limiter=Limit(3))
    async def ask(
        self, ev: StartEvent, db: Annotated[str, Resource(connect, scope="workflow", enter=True)]
    ) -> StopEvent[str]:
        assert_type(db, str)
        return StopEvent(result=db)


async def a_block_gives_its_workflow() -> None:
    async with Asks(num_concurrent_runs=4) as flow:
        assert_type(flow, Asks)
        assert_type(await flow.run(), str)
    with Resource.override(connect, "fake"), Resource.override(connect, by=connect):
        assert_type(Asks().run_sync(), str)


Resource(connect, scope="step")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Resource("connect")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ResourceConfig(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Limit("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
step(limiter=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
