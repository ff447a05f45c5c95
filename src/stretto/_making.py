"""How a resource is made: the factory is called, what it gives is awaited, and entered if it is to be."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, TypeGuard, cast

from .errors import WorkflowError, shown
from .resources import Recipe

__all__ = ["make"]


async def make(recipe: Recipe, arguments: dict[str, object], stack: AsyncExitStack) -> tuple[object, bool]:
    """What the factory makes, and whether something was entered on the stack, which is to be left.

    Raises:
        WorkflowError: If it is to be entered and cannot be.
    """
    made = recipe.resource.factory(**arguments)
    if _is_coroutine(made):
        made = await made
    if not recipe.resource.enter and not isinstance(made, _OF_CONTEXTLIB):
        return made, False
    if isinstance(made, AbstractAsyncContextManager):
        return await stack.enter_async_context(cast("AbstractAsyncContextManager[object]", made)), True
    if isinstance(made, AbstractContextManager):
        return stack.enter_context(cast("AbstractContextManager[object]", made)), True
    raise WorkflowError(f"{recipe.label} gave {shown(made)}, which cannot be entered; leave out enter=True")


def _is_coroutine(value: object) -> TypeGuard[Coroutine[Any, Any, object]]:
    return isinstance(value, Coroutine)


@contextmanager
def _plain() -> Generator[None]:
    yield


@asynccontextmanager
async def _waiting() -> AsyncGenerator[None]:
    yield


_OF_CONTEXTLIB = (type(_plain()), type(_waiting()))  # their classes have no public name
