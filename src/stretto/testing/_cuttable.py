"""A step or an undo that may be cancelled alone, as a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import anyio

__all__ = ["cuttable"]


class AtWork(Protocol):
    """Who runs it.

    Attributes:
        scope: What its body runs in; None while it does not.
    """

    scope: anyio.CancelScope | None


def cuttable(call: Callable[..., Any], whose: Callable[[], AtWork | None]) -> Callable[..., Any]:
    """The async function, called in a scope of its own, which whoever runs it has meanwhile."""

    async def called(*args: object, **kwargs: object) -> object:
        who = whose()
        assert who is not None, "it has begun"
        cancelled: BaseException | None = None
        with anyio.CancelScope() as scope:
            who.scope = scope
            try:
                return await call(*args, **kwargs)
            except anyio.get_cancelled_exc_class() as error:
                cancelled = error
                raise
            finally:
                who.scope = None
        assert cancelled is not None, "the scope has caught something"
        raise cancelled  # as if it came from somewhere in the body

    return called
